//! 64 bytes at a time.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_loadu_si512,
    _mm512_set1_epi8, _mm512_shuffle_epi8, _mm512_srli_epi16, _mm512_test_epi8_mask,
};

use super::generic::{self, PrefixTables, Vector};
use super::{Block, Wanted};

/// # Safety
/// The processor must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn scan(
    bytes: &[u8],
    tables: &PrefixTables,
    wanted: &Wanted,
    out: &mut Vec<Block>,
) {
    // SAFETY: this function's contract.
    unsafe { generic::scan::<__m512i>(bytes, tables, wanted, out) }
}

impl Vector for __m512i {
    const BYTES: usize = 64;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the trait asks for `BYTES` readable bytes and AVX-512.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline(always)]
    unsafe fn table(table: &[u8; 16]) -> Self {
        // SAFETY: sixteen readable bytes; the trait asks for AVX-512.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: the trait asks for AVX-512.
        unsafe { _mm512_set1_epi8(byte.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the trait asks for AVX-512.
        unsafe { _mm512_and_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        // SAFETY: the trait asks for AVX-512.
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(self), _mm512_set1_epi8(0x0f)) }
    }

    #[inline(always)]
    unsafe fn lookup(self, nibbles: Self) -> Self {
        // SAFETY: the trait asks for AVX-512.
        unsafe { _mm512_shuffle_epi8(self, nibbles) }
    }

    #[inline(always)]
    unsafe fn test(self, bits: Self) -> u64 {
        // SAFETY: the trait asks for AVX-512.
        unsafe { _mm512_test_epi8_mask(self, bits) }
    }
}
