//! Whether values are numbers at all. What compares distances passes over those that are none, and would call a frame of them perfect.

use super::parallel;
use super::simd::wide;
use std::sync::atomic::{AtomicBool, Ordering};

/// Values that are looked at together; so many are not worth waking another thread.
const TOGETHER: usize = 1 << 17;
const LANES: usize = 16;

/// Whether all values are finite.
pub fn all_finite(values: &[f32]) -> bool {
    let good = |values: &[f32]| {
        let mut sum = 0.0;
        zero_unless_infinite(values, &mut sum);
        sum == 0.0
    };
    if values.len() <= TOGETHER {
        return good(values);
    }
    let all = AtomicBool::new(true);
    parallel::each(values.chunks(TOGETHER), |values| {
        if !good(values) {
            all.store(false, Ordering::Relaxed);
        }
    });
    all.into_inner()
}

wide! {
    /// The sum of zero times each value: not a number where one value is none, or infinite.
    fn zero_unless_infinite(values: &[f32], sum: &mut f32) {
        let mut sums = [0f32; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                sums[lane] += block[lane] * 0.0;
            }
        }
        *sum = sums.iter().sum::<f32>() + rest.iter().map(|value| value * 0.0).sum::<f32>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_that_is_none_is_found_wherever_it_is() {
        for length in [1, 15, 16, 100, 2 * TOGETHER + 7] {
            let mut values = vec![f32::MAX; length];
            values[length / 3] = -f32::MAX;
            assert!(all_finite(&values), "{length}");
            for place in [0, length / 2, length - 1] {
                for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let whole = std::mem::replace(&mut values[place], wrong);
                    assert!(!all_finite(&values), "{wrong} at {place} of {length}");
                    values[place] = whole;
                }
            }
        }
        assert!(all_finite(&[]));
    }
}
