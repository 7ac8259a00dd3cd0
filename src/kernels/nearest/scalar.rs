//! The plain form: every vector against every row.

use super::{Found, Skip};
use crate::kernels::parallel::Buffer;
use crate::kernels::simd::wide;
use crate::kernels::windowed::Element;

/// The Euclidean distance of a vector to a row of the bank.
///
/// # Panics
/// If their lengths differ.
pub fn distance<E: Element>(vector: &[f32], row: &[E]) -> f32 {
    squared_distance(vector, row).sqrt()
}

/// Its square.
pub(super) fn squared_distance<E: Element>(vector: &[f32], row: &[E]) -> f32 {
    assert_eq!(vector.len(), row.len());
    #[cfg(target_arch = "x86_64")]
    if crate::kernels::simd::has_avx2() {
        // SAFETY: the processor has the features, and the lengths are the same.
        return unsafe { super::x86::squared_distance(vector, row) };
    }
    let mut wide = Buffer::new(row.len());
    E::widen(row, &mut wide);
    let mut square = 0.0;
    square_of(vector, &wide, &mut square);
    square
}

/// As [`super::Nearest::find`], one distance after the other; a vector for which no row is left keeps an infinite distance.
///
/// # Panics
/// If a length does not fit.
pub fn find_scalar<E: Element>(
    rows: &[E],
    vectors: &[f32],
    dimension: usize,
    skip: Option<Skip<'_>>,
    found: &mut [Found],
) {
    found.fill(Found::default());
    let mut wide = Buffer::new(dimension);
    for (row, values) in rows.chunks_exact(dimension).enumerate() {
        if Skip::has(skip, row) {
            continue;
        }
        E::widen(values, &mut wide);
        for (vector, found) in vectors.chunks_exact(dimension).zip(&mut *found) {
            let mut square = 0.0;
            square_of(vector, &wide, &mut square);
            if square < found.distance {
                *found = Found { row: row as u32, distance: square };
            }
        }
    }
    found.iter_mut().for_each(|found| found.distance = found.distance.sqrt());
}

/// Sums that are added up side by side.
pub(super) const LANES: usize = 32;

wide! {
    /// The squared Euclidean distance.
    pub(crate) fn square_of(a: &[f32], b: &[f32], square: &mut f32) {
        *square = squared_difference(a, b);
    }
}

/// The squared Euclidean distance; to be inlined where an instruction set is chosen.
#[inline(always)]
pub(crate) fn squared_difference(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    // In halves, so that the additions do not wait for one another.
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums[0] + rest
}
