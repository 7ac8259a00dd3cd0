//! Values in 8 bits, with what they have lost by it.

use crate::kernels::parallel::Buffer;
use crate::kernels::simd::wide;
use crate::kernels::windowed::Element;

/// Values of a row that lie side by side, as instructions multiply and add them.
pub(super) const GROUP: usize = 4;
/// What is added to a row's value where it must not be negative.
pub(super) const OFFSET: i32 = 128;
/// The largest value of a row in 8 bits.
pub(super) const ROW_LEVELS: f32 = 127.0;

/// Errors of arithmetic in f32 as a share of lengths, with a wide margin: turning adds up ten rounding errors of 2^-24.
pub(super) const ARITHMETIC: f32 = 8e-6;

/// What a vector is besides its 8-bit values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VectorFacts {
    /// A step of the 8-bit values; not a number if the vector is not finite.
    pub scale: f32,
    /// The squared length of the 8-bit form, a little less: not more than it can be by errors of arithmetic.
    pub square: f32,
    /// Not less than the length of the difference between the vector and its 8-bit form.
    pub residual: f32,
    /// The sum of the 8-bit values times [`OFFSET`], which the rows' offset adds to a product.
    pub offset: i32,
}

/// Centres, turns and rounds rows, and the vectors that are compared with them.
#[derive(Debug)]
pub(super) struct Quantiser {
    mean: Vec<f32>,
}

impl Quantiser {
    /// For a bank of `rows`, `[n, dimension]`.
    pub fn new<E: Element>(rows: &[E], dimension: usize) -> Self {
        Self { mean: mean(rows, dimension) }
    }

    /// The bank's mean.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Centres and turns `values` and rounds them to whole steps, `most` at most, in `levels`, `[width]`.
    pub fn run(&self, values: &mut [f32], most: f32, levels: &mut [i8]) -> VectorFacts {
        let mut facts = VectorFacts::default();
        turn(values, &self.mean);
        round(values, most, levels, &mut facts);
        levels[values.len()..].fill(0);
        let residual = facts.residual + ARITHMETIC * (facts.square.sqrt() + facts.residual);
        if !(facts.square + facts.scale).is_finite() {
            // Nothing compares with what is not a number.
            return VectorFacts { scale: f32::NAN, ..facts };
        }
        VectorFacts { residual, square: facts.square * (1.0 - ARITHMETIC), ..facts }
    }
}

fn mean<E: Element>(rows: &[E], dimension: usize) -> Vec<f32> {
    let mut sums = vec![0f64; dimension];
    let mut wide = Buffer::new(dimension);
    for row in rows.chunks_exact(dimension) {
        E::widen(row, &mut wide);
        sums.iter_mut().zip(wide.iter()).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let count = (rows.len() / dimension).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Values that are turned together: a register's width.
const LANES: usize = 16;

wide! {
    /// Subtracts `mean` and turns: values that are large in a few channels are spread over many, so that 8 bits serve all of them.
    /// Lengths and differences stay what they are: it is a Walsh-Hadamard transform of every 16th value, in blocks of powers of two.
    fn turn(values: &mut [f32], mean: &[f32]) {
        values.iter_mut().zip(mean).for_each(|(value, mean)| *value -= mean);
        let mut rest = values;
        while rest.len() >= 2 * LANES {
            let size = 1 << rest.len().ilog2();
            let (block, others) = rest.split_at_mut(size);
            let mut half = LANES;
            while half < size {
                for pair in block.chunks_exact_mut(2 * half) {
                    let (first, second) = pair.split_at_mut(half);
                    for (a, b) in first.iter_mut().zip(second) {
                        (*a, *b) = (*a + *b, *a - *b);
                    }
                }
                half *= 2;
            }
            let scale = (LANES as f32 / size as f32).sqrt();
            block.iter_mut().for_each(|value| *value *= scale);
            rest = others;
        }
    }
}

wide! {
    fn round(values: &[f32], most: f32, levels: &mut [i8], facts: &mut VectorFacts) {
        let mut largest = [0f32; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            for (largest, value) in largest.iter_mut().zip(block) {
                *largest = if value.abs() > *largest { value.abs() } else { *largest };
            }
        }
        let largest = largest.iter().chain(rest.iter()).fold(0f32, |most, value| most.max(value.abs()));
        let scale = largest / most;
        let inverse = if largest > 0.0 { most / largest } else { 0.0 };
        let mut sums = [[0f32; LANES]; 2];
        let mut total = 0;
        let mut one = |value: f32, level: &mut i8, lane: usize| {
            let whole = (value * inverse).round_ties_even();
            *level = whole as i8;
            let rounded = whole * scale;
            sums[0][lane] += rounded * rounded;
            sums[1][lane] += (value - rounded) * (value - rounded);
            total += i32::from(*level);
        };
        let (level_blocks, level_rest) = levels[..values.len()].as_chunks_mut::<LANES>();
        for (block, levels) in blocks.iter().zip(level_blocks) {
            for lane in 0..LANES {
                one(block[lane], &mut levels[lane], lane);
            }
        }
        for (&value, level) in rest.iter().zip(level_rest) {
            one(value, level, 0);
        }
        let [square, residual] = sums.map(|sums| sums.iter().sum::<f32>());
        *facts = VectorFacts { scale, square, residual: residual.sqrt(), offset: OFFSET * total };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turning_keeps_distances_and_spreads_values() {
        for dimension in [1, 7, 31, 32, 100, 256, 1000, 1024] {
            let mean: Vec<f32> = (0..dimension).map(|i| i as f32 * 0.01).collect();
            let mut a: Vec<f32> = (0..dimension).map(|i| ((i * 7919) % 101) as f32).collect();
            let mut b: Vec<f32> = (0..dimension).map(|i| ((i * 104_729) % 89) as f32).collect();
            let square = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            let before = square(&a, &b);
            turn(&mut a, &mean);
            turn(&mut b, &mean);
            assert!((square(&a, &b) - before).abs() <= 1e-4 * before, "{dimension}");
        }
        let mut spike = vec![0.0; 1024];
        spike[77] = 8.0;
        turn(&mut spike, &[0.0; 1024]);
        assert!(spike.iter().all(|value| value.abs() < 1.01));
    }
}
