//! The types in which features of references are kept.

use half::f16;
use half::slice::HalfFloatSliceExt;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A type of stored features: f16 as a rule, f32 where exact numbers count more than memory. Sums are in f32 either way.
pub trait Element: Copy + Send + Sync {
    /// Whether values have lost as much to 16 bits as arithmetic in steps of 1 / 32,767 would cost them.
    const HALF: bool;

    /// The value.
    fn to_f32(self) -> f32;

    /// Several values at once.
    ///
    /// # Panics
    /// If the lengths differ.
    fn widen(values: &[Self], out: &mut [f32])
    where
        Self: Sized;

    /// Eight values from `from` on.
    ///
    /// # Safety
    /// They must lie there, and the processor must have AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load8(from: *const Self) -> __m256;

    /// Sixteen values from `from` on.
    ///
    /// # Safety
    /// They must lie there, and the processor must have AVX-512F.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load16(from: *const Self) -> __m512;
}

impl Element for f16 {
    const HALF: bool = true;

    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    fn widen(values: &[Self], out: &mut [f32]) {
        values.convert_to_f32_slice(out);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn load8(from: *const Self) -> __m256 {
        // SAFETY: eight values of two bytes lie there, and the load needs no alignment.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(from: *const Self) -> __m512 {
        // SAFETY: sixteen values of two bytes lie there, and the load needs no alignment.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.cast()) })
    }
}

impl Element for f32 {
    const HALF: bool = false;

    fn to_f32(self) -> f32 {
        self
    }

    fn widen(values: &[Self], out: &mut [f32]) {
        out.copy_from_slice(values);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load8(from: *const Self) -> __m256 {
        // SAFETY: eight values lie there, and the load needs no alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load16(from: *const Self) -> __m512 {
        // SAFETY: sixteen values lie there, and the load needs no alignment.
        unsafe { _mm512_loadu_ps(from) }
    }
}
