//! The sum of the largest values of a map.

/// Values that share one maximum in the first, coarse pass.
const GROUP: usize = 32;

/// The sum of the `count` largest of `values` (all of them if there are fewer), in f64. `scratch` is kept by the caller.
///
/// The `count`-th largest maximum of groups is a value that at least `count` values reach, so that only the values not
/// below it need to be sorted out.
pub fn sum_of_largest(values: &[f32], count: usize, scratch: &mut Vec<f32>) -> f64 {
    if count == 0 {
        return 0.0;
    }
    scratch.clear();
    let largest =
        |group: &[f32]| group.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
    scratch.extend(values.chunks(GROUP).map(largest));
    if scratch.len() >= count {
        let (_, &mut bound, _) = scratch.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        scratch.clear();
        scratch.extend(values.iter().copied().filter(|&value| value >= bound));
    } else {
        scratch.clear();
        scratch.extend_from_slice(values);
    }
    if scratch.len() > count {
        scratch.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        scratch.truncate(count);
    }
    scratch.iter().map(|&value| f64::from(value)).sum()
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
