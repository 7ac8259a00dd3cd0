//! AVX2, FMA and F16C: eight patches in a vector.

use super::planar::{self, Vector};
use super::{Element, Search};
use std::arch::x86_64::*;

pub(super) fn band<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { band_avx2(search, first, best) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn band_avx2<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: the processor has the features that this function is compiled for.
    unsafe { planar::band::<__m256, E>(search, first, best) }
}

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for eight values; the load needs no alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn widen<E: Element>(from: *const E) -> Self {
        // SAFETY: the caller vouches for eight elements.
        unsafe { E::load8(from) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn zero() -> Self {
        _mm256_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(self, other: Self) -> Self {
        _mm256_add_ps(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        _mm256_fmadd_ps(self, factor, sum)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn max(self, other: Self) -> Self {
        // The second operand is the result where one is not a number.
        _mm256_max_ps(other, self)
    }
}
