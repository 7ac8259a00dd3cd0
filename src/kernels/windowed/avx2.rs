//! AVX2, FMA and F16C: eight patches in a vector, or, where the window is one column, eight channels.

use super::planar;
use super::{Element, Search};
use std::arch::x86_64::*;

pub(super) fn band<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { band_avx2(search, first, best) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn band_avx2<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    if search.reach == 0 {
        same_place(search, first, best);
    } else {
        // SAFETY: the processor has the features that this function is compiled for.
        unsafe { planar::band::<__m256, E>(search, first, best) }
    }
}

/// The window is one column: eight patches at a time, each with its own sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn same_place<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    for (y, best) in best.chunks_exact_mut(search.shape.width).enumerate() {
        best.fill(f32::NEG_INFINITY);
        let row = search.row(first + y);
        for reference in search.references {
            same_place_of_row(
                &search.query[row.clone()],
                &reference[row.clone()],
                search.shape.channels,
                best,
            );
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn same_place_of_row<E: Element>(query: &[f32], reference: &[E], channels: usize, best: &mut [f32]) {
    let mut groups = best.chunks_exact_mut(8);
    let mut x = 0;
    for group in &mut groups {
        let span = x * channels..(x + 8) * channels;
        let sums = eight_dots(&query[span.clone()], &reference[span], channels);
        // SAFETY: the group is eight values.
        unsafe {
            let old = _mm256_loadu_ps(group.as_ptr());
            _mm256_storeu_ps(group.as_mut_ptr(), _mm256_max_ps(old, sums));
        }
        x += 8;
    }
    for best in groups.into_remainder() {
        let span = x * channels..(x + 1) * channels;
        *best = best.max(dot(&query[span.clone()], &reference[span]));
        x += 1;
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn eight_dots<E: Element>(query: &[f32], reference: &[E], channels: usize) -> __m256 {
    assert!(query.len() == 8 * channels && reference.len() == 8 * channels);
    let mut sums = [_mm256_setzero_ps(); 8];
    let whole = channels / 8 * 8;
    let mut c = 0;
    while c < whole {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: c + 8 <= channels, and the lengths were checked above.
            unsafe {
                let q = _mm256_loadu_ps(query.as_ptr().add(i * channels + c));
                *sum = _mm256_fmadd_ps(q, E::load8(reference.as_ptr().add(i * channels + c)), *sum);
            }
        }
        c += 8;
    }
    let tails: [f32; 8] = std::array::from_fn(|i| {
        let span = i * channels + whole..(i + 1) * channels;
        plain_dot(&query[span.clone()], &reference[span])
    });
    // SAFETY: eight values.
    let tails = unsafe { _mm256_loadu_ps(tails.as_ptr()) };
    _mm256_add_ps(transposed_sums(sums), tails)
}

/// Lane `i` of the result is the sum of the lanes of vector `i`.
#[target_feature(enable = "avx2")]
fn transposed_sums(v: [__m256; 8]) -> __m256 {
    let low = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    let high = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
}

#[target_feature(enable = "avx2")]
fn sum(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot<E: Element>(query: &[f32], reference: &[E]) -> f32 {
    let mut acc = _mm256_setzero_ps();
    let (q, q_tail) = query.as_chunks::<8>();
    let (r, r_tail) = reference.as_chunks::<8>();
    for (q, r) in q.iter().zip(r) {
        // SAFETY: both are eight values.
        unsafe { acc = _mm256_fmadd_ps(_mm256_loadu_ps(q.as_ptr()), E::load8(r.as_ptr()), acc) };
    }
    sum(acc) + plain_dot(q_tail, r_tail)
}

fn plain_dot<E: Element>(query: &[f32], reference: &[E]) -> f32 {
    query.iter().zip(reference).map(|(q, r)| q * r.to_f32()).sum()
}
