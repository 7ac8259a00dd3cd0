//! Short forms of long vectors that are never further apart than the vectors themselves.
//!
//! The sketch of a vector x is its part along some orthonormal axes A, and the length of the rest: `z = (A x, |x - A' A x|)`. Then
//! `|z_q - z_r| <= |q - r|`, since the rests of two vectors are not closer than their lengths are: what is too far in a sketch is too far.
//! Features of images mostly lie along few axes. Those along which a bank is wide are found by orthogonal iteration
//! from some of its rows; whichever they are, nothing that is nearest can be missed.

use crate::kernels::parallel::{self, Buffer};
use crate::kernels::simd::wide;
use crate::kernels::windowed::Element;

/// Axes at most: with the length of the rest, four panels' rows fill whole registers.
const AXES: usize = 127;
/// Rows at most that say where a bank is wide.
const SAMPLES: usize = 1024;
/// What is left of an axis by those before it, as a share of its length, where it depends on them.
const DEPENDENT: f64 = 1e-4;
/// Vectors that are sketched together.
pub(super) const TOGETHER: usize = 4;
/// Products that are added up side by side.
const LANES: usize = 16;

/// How vectors are sketched.
#[derive(Debug)]
pub(super) struct Sketch {
    mean: Vec<f32>,
    /// `[axes, dimension]`.
    axes: Vec<f32>,
}

impl Sketch {
    /// For a bank of `rows`, `[n, dimension]`, with this mean.
    pub fn new<E: Element>(rows: &[E], mean: Vec<f32>) -> Self {
        let dimension = mean.len();
        let count = rows.len() / dimension;
        let drawn = count.min(SAMPLES);
        let mut samples = vec![0.0; drawn * dimension];
        for (i, sample) in samples.chunks_exact_mut(dimension).enumerate() {
            E::widen(&rows[i * count / drawn * dimension..][..dimension], sample);
            sample.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
        }
        let first = AXES.min(drawn);
        let starts = (0..first).map(|i| &samples[i * drawn / first * dimension..][..dimension]);
        let starts = orthonormal(starts, dimension);
        let mut axes = vec![0.0; starts.len()];
        parallel::each(axes.chunks_mut(dimension).zip(starts.chunks(dimension)), |(axis, start)| {
            spread(&samples, start, axis);
        });
        let axes = orthonormal(axes.chunks_exact(dimension), dimension);
        Self { mean, axes }
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// Values of a sketch.
    pub fn len(&self) -> usize {
        self.axes.len() / self.mean.len() + 1
    }

    /// Sketches [`TOGETHER`] `vectors` at most, `[n, dimension]`; returns how far rounding may have moved each.
    pub fn run(&self, vectors: &[f32], sketches: &mut [f32]) -> [f32; TOGETHER] {
        let (dimension, length) = (self.mean.len(), self.len());
        let count = vectors.len() / dimension;
        let mut centred = Buffer::new(TOGETHER * dimension);
        centred.fill(0.0);
        let rows = centred.chunks_exact_mut(dimension).zip(vectors.chunks_exact(dimension));
        for (centred, vector) in rows {
            let values = vector.iter().zip(&self.mean);
            centred.iter_mut().zip(values).for_each(|(centred, (value, mean))| *centred = value - mean);
        }
        let mut parts = [[0.0; TOGETHER]; AXES];
        project(&centred, &self.axes, dimension, &mut parts);
        let mut squares = [0.0; TOGETHER];
        square_lengths(&centred, &mut squares);
        let mut moved = [0.0; TOGETHER];
        for (i, sketch) in sketches.chunks_exact_mut(length).take(count).enumerate() {
            let square: f32 = squares[i];
            sketch.iter_mut().zip(&parts).for_each(|(value, part)| *value = part[i]);
            let along: f32 = sketch[..length - 1].iter().map(|value| value * value).sum();
            let rest = (square - along).max(0.0).sqrt();
            sketch[length - 1] = rest;
            moved[i] = self.error(square, rest);
        }
        moved
    }

    /// A bound of the rounding errors of a sketch of a vector with this squared length and this length of the rest.
    ///
    /// Each product with an axis adds up `dimension / LANES` values one after the other, with an error of 2^-24 each, relative to the
    /// vector's length; the axes are orthonormal but for as much. The rest is the root of a difference of squares.
    fn error(&self, square: f32, rest: f32) -> f32 {
        let additions = (self.mean.len() / LANES + LANES) as f32;
        let share = additions * (self.len() as f32).sqrt() * f32::EPSILON;
        let of_square = 4.0 * share * square;
        share * square.sqrt() + of_square / (rest + of_square.sqrt()).max(f32::MIN_POSITIVE)
    }
}

/// Makes vectors orthonormal, in their order; those that depend on others are left out.
fn orthonormal<'a>(vectors: impl Iterator<Item = &'a [f32]>, dimension: usize) -> Vec<f32> {
    let mut axes: Vec<f64> = Vec::new();
    for vector in vectors {
        let mut axis: Vec<f64> = vector.iter().map(|&value| f64::from(value)).collect();
        let before = axis.iter().map(|value| value * value).sum::<f64>().sqrt();
        // Twice, since once leaves what cancellation has hidden.
        for _ in 0..2 {
            for other in axes.chunks_exact(dimension) {
                let part: f64 = axis.iter().zip(other).map(|(a, b)| a * b).sum();
                axis.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
            }
        }
        let length = axis.iter().map(|value| value * value).sum::<f64>().sqrt();
        if length > DEPENDENT * before && length.is_normal() {
            axes.extend(axis.iter().map(|value| value / length));
        }
    }
    axes.into_iter().map(|value| value as f32).collect()
}

wide! {
    /// Fills `axis` with the sum of `samples` times their products with `start`: the covariance's product with it.
    fn spread(samples: &[f32], start: &[f32], axis: &mut [f32]) {
        axis.fill(0.0);
        for sample in samples.chunks_exact(start.len()) {
            let mut sums = [0f32; LANES];
            let ((a, a_rest), (b, b_rest)) = (sample.as_chunks::<LANES>(), start.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    sums[lane] += a[lane] * b[lane];
                }
            }
            let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
            let part = sums.iter().sum::<f32>() + rest;
            axis.iter_mut().zip(sample).for_each(|(value, sample)| *value += part * sample);
        }
    }
}

wide! {
    /// The products of four vectors, `[4, dimension]`, with `axes`.
    fn project(vectors: &[f32], axes: &[f32], dimension: usize, parts: &mut [[f32; TOGETHER]; AXES]) {
        let of = |i: usize| vectors[i * dimension..][..dimension].as_chunks::<LANES>();
        let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] = [of(0), of(1), of(2), of(3)];
        for (axis, parts) in axes.chunks_exact(dimension).zip(parts) {
            let (axis, axis_rest) = axis.as_chunks::<LANES>();
            let mut sums = [[0f32; LANES]; TOGETHER];
            for ((((axis, a), b), c), d) in axis.iter().zip(a).zip(b).zip(c).zip(d) {
                for lane in 0..LANES {
                    sums[0][lane] += axis[lane] * a[lane];
                    sums[1][lane] += axis[lane] * b[lane];
                    sums[2][lane] += axis[lane] * c[lane];
                    sums[3][lane] += axis[lane] * d[lane];
                }
            }
            for ((part, sums), rest) in parts.iter_mut().zip(sums).zip([a_rest, b_rest, c_rest, d_rest]) {
                let rest: f32 = rest.iter().zip(axis_rest).map(|(a, b)| a * b).sum();
                *part = sums.iter().sum::<f32>() + rest;
            }
        }
    }
}

wide! {
    /// The squared lengths of four vectors.
    fn square_lengths(vectors: &[f32], squares: &mut [f32; TOGETHER]) {
        for (vector, square) in vectors.chunks_exact(vectors.len() / TOGETHER).zip(squares) {
            let mut sums = [0f32; LANES];
            let (blocks, rest) = vector.as_chunks::<LANES>();
            for block in blocks {
                for lane in 0..LANES {
                    sums[lane] += block[lane] * block[lane];
                }
            }
            *square = sums.iter().sum::<f32>() + rest.iter().map(|value| value * value).sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn sketches_are_not_further_apart_than_vectors(
            values in proptest::collection::vec(-1f32..1.0, 6000), dimension in 1usize..400, exponent in -20i32..20, few in 1usize..8,
        ) {
            // All rows lie along a few axes, but for a little.
            let count = values.len() / dimension;
            let scale = 2f32.powi(exponent);
            let rows: Vec<f32> = (0..count * dimension)
                .map(|i| scale * (values[i / dimension % few * 7 + i % dimension] * (i / dimension) as f32 + 0.01 * values[i]))
                .collect();
            let mean: Vec<f32> = (0..dimension)
                .map(|c| rows.iter().skip(c).step_by(dimension).sum::<f32>() / count as f32)
                .collect();
            let sketch = Sketch::new(&rows, mean);
            prop_assert!(sketch.len() <= AXES.min(count) + 1);
            let mut sketches = vec![0.0; count * sketch.len()];
            let mut moved = Vec::new();
            for (rows, sketches) in
                rows.chunks(TOGETHER * dimension).zip(sketches.chunks_mut(TOGETHER * sketch.len()))
            {
                moved.extend_from_slice(&sketch.run(rows, sketches)[..rows.len() / dimension]);
            }
            let distance = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
            };
            for i in 0..count {
                for j in 0..i.min(20) {
                    let whole = distance(&rows[i * dimension..][..dimension], &rows[j * dimension..][..dimension]);
                    let short = distance(&sketches[i * sketch.len()..][..sketch.len()], &sketches[j * sketch.len()..][..sketch.len()]);
                    let error = f64::from(moved[i] + moved[j]);
                    prop_assert!(short <= whole + error, "{short} {whole} {error}");
                }
            }
        }
    }

    #[test]
    fn rows_that_are_all_the_same_have_no_axes() {
        let sketch = Sketch::new(&[2.0; 50], vec![2.0; 5]);
        let mut sketches = [1.0; 2];
        sketch.run(&[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 5.0, 6.0], &mut sketches);
        assert_eq!((sketch.len(), sketches), (1, [0.0, 5.0]));
    }
}
