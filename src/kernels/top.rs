//! The sum of the largest values of a map.

use super::simd::wide;

/// Values that share one maximum in the first, coarse pass: every `LANES`-th of a block.
const GROUP: usize = 32;
const LANES: usize = 16;
const BLOCK: usize = GROUP * LANES;

/// The sum of the `count` largest of `values` (all of them if there are fewer), in f64. `scratch` is kept by the caller.
///
/// The `count`-th largest maximum of groups is a value that at least `count` values reach, so that only the values not
/// below it need to be sorted out, and only in blocks that have one.
pub fn sum_of_largest(values: &[f32], count: usize, scratch: &mut Vec<f32>) -> f64 {
    if count == 0 {
        return 0.0;
    }
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    scratch.clear();
    scratch.resize(blocks.len() * LANES, 0.0);
    let (maxima, _) = scratch.as_chunks_mut::<LANES>();
    maxima_of_groups(blocks, maxima);
    let bound = if scratch.len() >= count {
        let mut sorted = scratch.clone();
        *sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a)).1
    } else {
        f32::NEG_INFINITY
    };
    let reaches = |&value: &f32| value >= bound;
    let mut found: Vec<f32> = Vec::with_capacity(4 * count);
    for (block, maxima) in blocks.iter().zip(scratch.chunks_exact(LANES)) {
        if maxima.iter().any(reaches) {
            found.extend(block.iter().copied().filter(reaches));
        }
    }
    found.extend(rest.iter().copied().filter(reaches));
    if found.len() > count {
        found.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        found.truncate(count);
    }
    found.iter().map(|&value| f64::from(value)).sum()
}

wide! {
    fn maxima_of_groups(blocks: &[[f32; BLOCK]], maxima: &mut [[f32; LANES]]) {
        for (block, maxima) in blocks.iter().zip(maxima) {
            let mut largest = [f32::NEG_INFINITY; LANES];
            for values in block.as_chunks::<LANES>().0 {
                for (largest, &value) in largest.iter_mut().zip(values) {
                    *largest = if value > *largest { value } else { *largest };
                }
            }
            *maxima = largest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_sorting(values in proptest::collection::vec(0u8..20, 0..3000), count in 0usize..200) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let expected: f64 = sorted.iter().take(count).map(|&v| f64::from(v)).sum();
            prop_assert_eq!(sum_of_largest(&values, count, &mut Vec::new()), expected);
        }
    }
}
