//! AVX-512: sixteen patches in a vector. A window of one column is limited by memory, so that AVX2 is as good for it.

use super::planar;
use super::{Element, Search, avx2};
use std::arch::x86_64::*;

pub(super) fn band<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { band_avx512(search, first, best) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn band_avx512<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    if search.reach == 0 {
        avx2::same_place(search, first, best);
    } else {
        // SAFETY: the processor has the features that this function is compiled for.
        unsafe { planar::band::<__m512, E>(search, first, best) }
    }
}
