//! AVX2: eight rows of a factor in a vector.

use super::packed::{COLUMNS, ROWS, TILE, tiles};
use super::{Triangle, VECTORS, of_block};
use crate::kernels::simd::prefetch_for_later;
use std::arch::x86_64::*;

/// The squared lengths of the factor's products with the first `COUNT` vectors. The next factor is asked for meanwhile, tile by tile.
#[target_feature(enable = "avx2,fma")]
pub(super) fn squares<const COUNT: usize>(factor: Triangle<'_>, centred: &[f32]) -> [f32; VECTORS] {
    let length = centred.len() / VECTORS;
    let (mut rest, _) = factor.packed.as_chunks::<ROWS>().0.as_chunks::<{ COLUMNS + 1 }>();
    let mut later = factor.later.chunks(TILE);
    let mut totals = [_mm256_setzero_ps(); COUNT];
    for block in 0..length / ROWS {
        let (row, below) = rest.split_at(tiles(block));
        rest = below;
        let mut sums = [_mm256_setzero_ps(); COUNT];
        for (number, tile) in row.iter().enumerate() {
            prefetch_for_later(later.next().unwrap_or_default());
            // Sums of a tile wait for none before them.
            let mut parts = [_mm256_setzero_ps(); COUNT];
            for (place, levels) in tile[..COLUMNS].iter().enumerate() {
                let levels = _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(eight(levels)));
                for (v, part) in parts.iter_mut().enumerate() {
                    let value = centred[v * length + number * COLUMNS + place];
                    *part = _mm256_fmadd_ps(levels, _mm256_set1_ps(value), *part);
                }
            }
            let steps = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(eight(&tile[COLUMNS])));
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = _mm256_fmadd_ps(_mm256_castsi256_ps(steps), part, *sum);
            }
        }
        let diagonal = of_block(factor.diagonal, block);
        for (v, (total, sum)) in totals.iter_mut().zip(sums).enumerate() {
            let own = floats(&centred[v * length + block * ROWS..]);
            let sum = _mm256_fmadd_ps(floats(&diagonal), own, sum);
            *total = _mm256_fmadd_ps(sum, sum, *total);
        }
    }
    let mut squares = [0.0; VECTORS];
    for (square, total) in squares.iter_mut().zip(totals) {
        let lanes: [f32; ROWS] = bytemuck::cast(total);
        *square = lanes.iter().sum();
    }
    squares
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn eight(values: &[i16; ROWS]) -> __m128i {
    // SAFETY: these are sixteen bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn floats(values: &[f32]) -> __m256 {
    let eight = &values[..ROWS];
    // SAFETY: these are eight, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(eight.as_ptr()) }
}
