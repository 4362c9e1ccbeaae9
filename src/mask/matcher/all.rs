//! The vector of every processor: an array.

use super::generic::Vector;

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes([u8; 16]);

impl Vector for Bytes {
    const BYTES: usize = 16;

    #[inline(always)]
    unsafe fn load(at: *const u8) -> Self {
        // SAFETY: the trait asks for `BYTES` readable bytes; an array of bytes has no alignment.
        Bytes(unsafe { at.cast::<[u8; 16]>().read() })
    }

    #[inline(always)]
    unsafe fn table(table: &[u8; 16]) -> Self {
        Bytes(*table)
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        Bytes([byte; 16])
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        Bytes(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        Bytes(self.0.map(|byte| byte >> 4))
    }

    #[inline(always)]
    unsafe fn lookup(self, nibbles: Self) -> Self {
        Bytes(nibbles.0.map(|nibble| self.0[usize::from(nibble & 0x0f)]))
    }

    #[inline(always)]
    unsafe fn test(self, bits: Self) -> u64 {
        let set = |i: usize| u64::from(self.0[i] & bits.0[i] != 0) << i;
        (0..16).map(set).fold(0, |mask, bit| mask | bit)
    }
}
