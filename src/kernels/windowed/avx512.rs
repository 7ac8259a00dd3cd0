//! AVX-512: tiles of six patches against eight columns, with masked loads for the last channels.

use super::{Shape, rows};
use half::f16;
use std::arch::x86_64::*;

/// Patches in a tile: 18 accumulators, 6 query vectors and one reference vector fit the 32 registers.
const PATCHES: usize = 6;
/// Columns of the reference that a tile of windows of three touches.
const COLUMNS: usize = PATCHES + 2;

pub(super) fn row(
    query: &[f32],
    references: &[&[f16]],
    shape: Shape,
    reach: usize,
    y: usize,
    best: &mut [f32],
) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { row_avx512(query, references, shape, reach, y, best) }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn row_avx512(query: &[f32], references: &[&[f16]], shape: Shape, reach: usize, y: usize, best: &mut [f32]) {
    let Shape { height, width, channels } = shape;
    let query = &query[y * width * channels..(y + 1) * width * channels];
    for reference in references {
        for ry in rows(y, reach, height) {
            let reference = &reference[ry * width * channels..(ry + 1) * width * channels];
            window(query, reference, channels, reach, best);
        }
    }
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn window(query: &[f32], reference: &[f16], channels: usize, reach: usize, best: &mut [f32]) {
    let width = best.len();
    let side = 2 * reach + 1;
    let mut x = 0;
    while x < width {
        if x < reach || x + PATCHES + reach > width {
            let q = &query[x * channels..(x + 1) * channels];
            for rx in rows(x, reach, width) {
                best[x] = best[x].max(dot(q, &reference[rx * channels..(rx + 1) * channels]));
            }
            x += 1;
            continue;
        }
        let q = &query[x * channels..(x + PATCHES) * channels];
        if reach == 0 {
            keep_best(
                &mut best[x..x + PATCHES],
                tile::<1, PATCHES>(q, &reference[x * channels..(x + PATCHES) * channels], channels),
            );
        } else {
            // Offsets -reach..=reach in steps of three columns; the last step moves back to end with the window.
            for step in (0..side).step_by(3) {
                let first = x - reach + step.min(side - 3);
                let r = &reference[first * channels..(first + COLUMNS) * channels];
                keep_best(&mut best[x..x + PATCHES], tile::<3, COLUMNS>(q, r, channels));
            }
        }
        x += PATCHES;
    }
}

fn keep_best(best: &mut [f32], sums: [f32; PATCHES]) {
    for (best, sum) in best.iter_mut().zip(sums) {
        *best = best.max(sum);
    }
}

/// The best of `SIDE` dot products for each patch: patch `i` against columns `i..i + SIDE`.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn tile<const SIDE: usize, const WIDTH: usize>(
    query: &[f32],
    reference: &[f16],
    channels: usize,
) -> [f32; PATCHES] {
    assert!(
        query.len() == PATCHES * channels
            && reference.len() == WIDTH * channels
            && WIDTH + 1 == PATCHES + SIDE
    );
    let mut sums = [[_mm512_setzero_ps(); SIDE]; PATCHES];
    let mut c = 0;
    while c < channels {
        let mask = lanes(channels - c);
        // SAFETY: lanes beyond the channels are masked off, and the lengths were checked above.
        unsafe {
            let q: [__m512; PATCHES] =
                std::array::from_fn(|i| _mm512_maskz_loadu_ps(mask, query.as_ptr().add(i * channels + c)));
            for column in 0..WIDTH {
                let r = load_half(mask, reference.as_ptr().add(column * channels + c));
                for i in (column + 1).saturating_sub(SIDE)..=column.min(PATCHES - 1) {
                    sums[i][column - i] = _mm512_fmadd_ps(q[i], r, sums[i][column - i]);
                }
            }
        }
        c += 16;
    }
    if SIDE == 1 {
        return std::array::from_fn(|i| _mm512_reduce_add_ps(sums[i][0]));
    }
    let folded: [[__m256; SIDE]; PATCHES] = sums.map(|row| row.map(|v| fold(v)));
    std::array::from_fn(|i| largest_sum(&folded[i]))
}

#[target_feature(enable = "avx512f,avx512dq,avx2")]
fn fold(v: __m512) -> __m256 {
    _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v))
}

/// The largest of the sums of up to four vectors.
#[target_feature(enable = "avx2")]
fn largest_sum(v: &[__m256]) -> f32 {
    let at = |i: usize| v[i.min(v.len() - 1)];
    let pairs = _mm256_hadd_ps(_mm256_hadd_ps(at(0), at(1)), _mm256_hadd_ps(at(2), at(2)));
    let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
    let best = _mm_max_ps(sums, _mm_movehl_ps(sums, sums));
    _mm_cvtss_f32(_mm_max_ss(best, _mm_shuffle_ps::<1>(best, best)))
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
fn dot(query: &[f32], reference: &[f16]) -> f32 {
    let mut acc = _mm512_setzero_ps();
    let mut c = 0;
    while c < query.len() {
        let mask = lanes(query.len() - c);
        // SAFETY: lanes beyond the end are masked off.
        unsafe {
            let q = _mm512_maskz_loadu_ps(mask, query.as_ptr().add(c));
            acc = _mm512_fmadd_ps(q, load_half(mask, reference.as_ptr().add(c)), acc);
        }
        c += 16;
    }
    _mm512_reduce_add_ps(acc)
}

fn lanes(left: usize) -> __mmask16 {
    if left >= 16 { !0 } else { (1 << left) - 1 }
}

/// Up to sixteen values, converted; masked lanes are 0.
///
/// # Safety
/// The values of the mask's lanes must lie at `from`.
#[target_feature(enable = "avx512f,avx512vl,avx512bw")]
unsafe fn load_half(mask: __mmask16, from: *const f16) -> __m512 {
    // SAFETY: masked lanes are not read.
    _mm512_cvtph_ps(unsafe { _mm256_maskz_loadu_epi16(mask, from.cast()) })
}
