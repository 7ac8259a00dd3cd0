//! Windowed cosine search: how far is every patch from its best match near the same place of the references.
//!
//! `distance(y, x) = min over references k and offsets |dy|, |dx| <= window / 2 of 1 - <q(y, x), r_k(y + dy, x + dx)>`
//! (CPR, Algorithm 2; HETMM's forward matching). Vectors have unit length; places outside the map never win.

use half::f16;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

/// The sides of feature maps that are searched together: `[height, width, channels]`, channel last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per place.
    pub channels: usize,
}

impl Shape {
    /// Number of places.
    pub fn places(&self) -> usize {
        self.height * self.width
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.places() * self.channels
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One row of a search: the similarity of every patch of row `y` to its best match.
type RowSearch =
    fn(query: &[f32], references: &[&[f16]], shape: Shape, reach: usize, y: usize, best: &mut [f32]);

/// Fills `distances`, `[height, width]`, for `query`, `[height, width, channels]`, against `references` of the same shape.
///
/// # Panics
/// If a length does not fit `shape`, `window` is even, or there is no reference.
pub fn distances(query: &[f32], references: &[&[f16]], shape: Shape, window: usize, distances: &mut [f32]) {
    check(query, references, shape, window, distances);
    run(fastest(), query, references, shape, window, distances);
}

/// The same by the plain code; what the others are tested against.
///
/// # Panics
/// As [`distances`].
pub fn distances_scalar(
    query: &[f32],
    references: &[&[f16]],
    shape: Shape,
    window: usize,
    distances: &mut [f32],
) {
    check(query, references, shape, window, distances);
    run(scalar::row, query, references, shape, window, distances);
}

fn check(query: &[f32], references: &[&[f16]], shape: Shape, window: usize, distances: &[f32]) {
    assert_eq!(query.len(), shape.len(), "the query does not have the shape {shape:?}");
    assert_eq!(distances.len(), shape.places(), "the distances do not have the shape {shape:?}");
    assert!(window % 2 == 1, "the window must be odd, is {window}");
    assert!(!references.is_empty(), "no reference to search");
    assert!(
        references.iter().all(|r| r.len() == shape.len()),
        "a reference does not have the shape {shape:?}"
    );
}

fn run(
    row: RowSearch,
    query: &[f32],
    references: &[&[f16]],
    shape: Shape,
    window: usize,
    distances: &mut [f32],
) {
    distances.par_chunks_exact_mut(shape.width).enumerate().with_min_len(4).for_each(|(y, best)| {
        best.fill(f32::NEG_INFINITY);
        row(query, references, shape, window / 2, y, best);
        best.iter_mut().for_each(|similarity| *similarity = 1.0 - *similarity);
    });
}

fn fastest() -> RowSearch {
    #[cfg(target_arch = "x86_64")]
    {
        if super::simd::has_avx512() {
            return avx512::row;
        }
        if super::simd::has_avx2() {
            return avx2::row;
        }
    }
    scalar::row
}

/// The rows that the window around row `y` covers.
fn rows(y: usize, reach: usize, height: usize) -> std::ops::Range<usize> {
    y.saturating_sub(reach)..(y + reach + 1).min(height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vectors(seed: u64, shape: Shape) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut values: Vec<f32> = (0..shape.len()).map(|_| next()).collect();
        for vector in values.chunks_exact_mut(shape.channels) {
            let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt() + 1e-8;
            vector.iter_mut().for_each(|v| *v /= norm);
        }
        values
    }

    fn check_parity(seed: u64, shape: Shape, window: usize, count: usize) {
        let query = vectors(seed, shape);
        let references: Vec<Vec<f16>> = (0..count)
            .map(|k| vectors(seed + 1 + k as u64, shape).into_iter().map(f16::from_f32).collect())
            .collect();
        let references: Vec<&[f16]> = references.iter().map(Vec::as_slice).collect();
        let mut expected = vec![0.0; shape.places()];
        distances_scalar(&query, &references, shape, window, &mut expected);
        let mut rows: Vec<(&str, RowSearch)> = vec![("fastest", fastest())];
        #[cfg(target_arch = "x86_64")]
        if crate::kernels::simd::has_avx2() {
            rows.push(("avx2", avx2::row));
        }
        for (name, row) in rows {
            let mut found = vec![0.0; shape.places()];
            run(row, &query, &references, shape, window, &mut found);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{name} {shape:?} window {window}: {found} != {expected}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_instruction_set_agrees_with_the_plain_code(
            seed in 0u64..1_000_000, height in 1usize..7, width in 1usize..23, channels in 1usize..70,
            reach in 0usize..5, count in 1usize..4,
        ) {
            check_parity(seed, Shape { height, width, channels }, 2 * reach + 1, count);
        }
    }

    #[test]
    fn a_patch_finds_itself_within_the_window() {
        let shape = Shape { height: 3, width: 5, channels: 8 };
        let reference = vectors(7, shape);
        // The query is the reference shifted by one column.
        let mut query = reference.clone();
        query.rotate_right(shape.channels);
        let half: Vec<f16> = reference.iter().map(|&v| f16::from_f32(v)).collect();
        let mut found = vec![0.0; shape.places()];
        distances(&query, &[&half], shape, 3, &mut found);
        for y in 0..3 {
            for x in 1..5 {
                assert!(found[y * 5 + x] < 1e-3);
            }
            assert!(found[y * 5] > 0.01, "the first column came from another row's end");
        }
    }
}
