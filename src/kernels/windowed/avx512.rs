//! AVX-512: sixteen patches in a vector.

use super::planar::{self, Vector};
use super::{Element, Search};
use std::arch::x86_64::*;

pub(super) fn band<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { band_avx512(search, first, best) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn band_avx512<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: the processor has the features that this function is compiled for.
    unsafe { planar::band::<__m512, E>(search, first, best) }
}

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for sixteen values; the load needs no alignment.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn widen<E: Element>(from: *const E) -> Self {
        // SAFETY: the caller vouches for sixteen elements.
        unsafe { E::load16(from) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn zero() -> Self {
        _mm512_setzero_ps()
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add(self, other: Self) -> Self {
        _mm512_add_ps(self, other)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        _mm512_fmadd_ps(self, factor, sum)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn max(self, other: Self) -> Self {
        // The second operand is the result where one is not a number.
        _mm512_max_ps(other, self)
    }
}
