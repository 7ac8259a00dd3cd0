//! AVX2, FMA and F16C.
//!
//! A tile is three neighbouring patches of the query against five columns of a reference: nine dot products share
//! three query loads and five converted reference loads per eight channels, so that arithmetic and not memory
//! is the limit. Wider windows are covered in steps of three columns.

use super::{Shape, rows};
use half::f16;
use std::arch::x86_64::*;

pub(super) fn row(
    query: &[f32],
    references: &[&[f16]],
    shape: Shape,
    reach: usize,
    y: usize,
    best: &mut [f32],
) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { row_avx2(query, references, shape, reach, y, best) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn row_avx2(query: &[f32], references: &[&[f16]], shape: Shape, reach: usize, y: usize, best: &mut [f32]) {
    let Shape { height, width, channels } = shape;
    let query = &query[y * width * channels..(y + 1) * width * channels];
    for reference in references {
        for ry in rows(y, reach, height) {
            let reference = &reference[ry * width * channels..(ry + 1) * width * channels];
            if reach == 0 {
                same_column(query, reference, channels, best);
            } else {
                window(query, reference, channels, reach, best);
            }
        }
    }
}

/// The window is one column: eight patches at a time, each with its own accumulator.
#[target_feature(enable = "avx2,fma,f16c")]
fn same_column(query: &[f32], reference: &[f16], channels: usize, best: &mut [f32]) {
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
fn window(query: &[f32], reference: &[f16], channels: usize, reach: usize, best: &mut [f32]) {
    let width = best.len();
    let side = 2 * reach + 1;
    let mut x = 0;
    while x < width {
        let inner = x >= reach && x + 3 + reach <= width;
        if !inner {
            let q = &query[x * channels..(x + 1) * channels];
            for rx in rows(x, reach, width) {
                best[x] = best[x].max(dot(q, &reference[rx * channels..(rx + 1) * channels]));
            }
            x += 1;
            continue;
        }
        let q = &query[x * channels..(x + 3) * channels];
        // Offsets -reach..=reach in steps of three columns; the last step moves back to end with the window.
        let mut step = 0;
        while step < side {
            let first = x - reach + step.min(side - 3);
            let sums = tile(q, &reference[first * channels..(first + 5) * channels], channels);
            for (best, sum) in best[x..x + 3].iter_mut().zip(sums) {
                *best = best.max(sum);
            }
            step += 3;
        }
        x += 3;
    }
}

/// The best of three dot products for each of three patches: patch `i` against columns `i..i + 3` of five.
#[target_feature(enable = "avx2,fma,f16c")]
fn tile(query: &[f32], reference: &[f16], channels: usize) -> [f32; 3] {
    assert!(query.len() == 3 * channels && reference.len() == 5 * channels);
    let mut sums = [[_mm256_setzero_ps(); 3]; 3];
    let whole = channels / 8 * 8;
    let mut c = 0;
    while c < whole {
        // SAFETY: c + 8 <= channels, and the lengths were checked above.
        unsafe {
            let q: [__m256; 3] =
                std::array::from_fn(|i| _mm256_loadu_ps(query.as_ptr().add(i * channels + c)));
            for column in 0..5 {
                let r = load_half(reference.as_ptr().add(column * channels + c));
                for i in column.saturating_sub(2)..=column.min(2) {
                    sums[i][column - i] = _mm256_fmadd_ps(q[i], r, sums[i][column - i]);
                }
            }
        }
        c += 8;
    }
    if whole == channels {
        return std::array::from_fn(|i| largest_sum(sums[i]));
    }
    std::array::from_fn(|i| {
        let tail = |d: usize| {
            let (q, r) = (i * channels, (i + d) * channels);
            plain_dot(&query[q + whole..q + channels], &reference[r + whole..r + channels])
        };
        (0..3).map(|d| sum(sums[i][d]) + tail(d)).fold(f32::NEG_INFINITY, f32::max)
    })
}

#[target_feature(enable = "avx2,fma,f16c")]
fn eight_dots(query: &[f32], reference: &[f16], channels: usize) -> __m256 {
    assert!(query.len() == 8 * channels && reference.len() == 8 * channels);
    let mut sums = [_mm256_setzero_ps(); 8];
    let whole = channels / 8 * 8;
    let mut c = 0;
    while c < whole {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: c + 8 <= channels, and the lengths were checked above.
            unsafe {
                let q = _mm256_loadu_ps(query.as_ptr().add(i * channels + c));
                *sum = _mm256_fmadd_ps(q, load_half(reference.as_ptr().add(i * channels + c)), *sum);
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
fn largest_sum(v: [__m256; 3]) -> f32 {
    let pairs = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[2]));
    let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
    let best = _mm_max_ps(sums, _mm_movehl_ps(sums, sums));
    _mm_cvtss_f32(_mm_max_ss(best, _mm_shuffle_ps::<1>(best, best)))
}

#[target_feature(enable = "avx2")]
fn sum(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_shuffle_ps::<1>(pair, pair)))
}

#[target_feature(enable = "avx2,fma,f16c")]
fn dot(query: &[f32], reference: &[f16]) -> f32 {
    let mut acc = _mm256_setzero_ps();
    let (q, q_tail) = query.as_chunks::<8>();
    let (r, r_tail) = reference.as_chunks::<8>();
    for (q, r) in q.iter().zip(r) {
        // SAFETY: both are eight values.
        unsafe { acc = _mm256_fmadd_ps(_mm256_loadu_ps(q.as_ptr()), load_half(r.as_ptr()), acc) };
    }
    sum(acc) + plain_dot(q_tail, r_tail)
}

fn plain_dot(query: &[f32], reference: &[f16]) -> f32 {
    query.iter().zip(reference).map(|(q, r)| q * r.to_f32()).sum()
}

/// Eight values, converted.
///
/// # Safety
/// Eight values must lie at `from`.
#[target_feature(enable = "avx2,f16c")]
unsafe fn load_half(from: *const f16) -> __m256 {
    // SAFETY: eight values of two bytes lie there, and the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
}
