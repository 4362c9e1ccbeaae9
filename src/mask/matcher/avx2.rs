//! 32 bytes at a time.

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16,
};

use super::generic::{self, PrefixTables, Vector};
use super::{Block, Wanted};

/// # Safety
/// The processor must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn scan(
    bytes: &[u8],
    tables: &PrefixTables,
    wanted: &Wanted,
    out: &mut Vec<Block>,
) {
    // SAFETY: this function's contract.
    unsafe { generic::scan::<__m256i>(bytes, tables, wanted, out) }
}

impl Vector for __m256i {
    const BYTES: usize = 32;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the trait asks for `BYTES` readable bytes and AVX2.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[inline(always)]
    unsafe fn table(table: &[u8; 16]) -> Self {
        // SAFETY: sixteen readable bytes; the trait asks for AVX2.
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the trait asks for AVX2.
        unsafe { _mm256_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the trait asks for AVX2.
        unsafe { _mm256_and_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        // SAFETY: the trait asks for AVX2.
        unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(self), _mm256_set1_epi8(0x0f)) }
    }

    #[inline(always)]
    unsafe fn lookup(self, nibbles: Self) -> Self {
        // SAFETY: the trait asks for AVX2.
        unsafe { _mm256_shuffle_epi8(self, nibbles) }
    }

    #[inline(always)]
    unsafe fn test(self, bits: Self) -> u64 {
        // SAFETY: the trait asks for AVX2.
        let clear = unsafe {
            let shared = _mm256_and_si256(self, bits);
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(shared, _mm256_setzero_si256()))
        };
        u64::from(!clear.cast_unsigned())
    }
}
