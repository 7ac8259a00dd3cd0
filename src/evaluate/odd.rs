//! Training images whose score against the others stands far out: they may be defective, wrongly framed, or a rare kind of good part.

use super::tail::quantile;

/// Numbers that say what stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OddParams {
    /// Spreads above the median from which on a score of [`OddParams::count`] or fewer stands out. The spread of a normal distribution
    /// would be its standard deviation.
    pub spreads: f64,
    /// See [`OddParams::spreads`].
    pub count: usize,
    /// How many spreads more it takes of e times as many scores: the highest of more good parts is higher.
    pub growth: f64,
    /// The spread is at least this share of the median: of parts that are all alike, a little more is nothing.
    pub least_spread: f64,
    /// Scores at least: of fewer, nobody knows how far they spread.
    pub least_scores: usize,
}

impl Default for OddParams {
    fn default() -> Self {
        Self { spreads: 3.5, count: 30, growth: 0.36, least_spread: 0.03, least_scores: 8 }
    }
}

impl OddParams {
    /// Spreads above the median from which on one of `count` scores stands out.
    fn required(&self, count: usize) -> f64 {
        self.spreads + self.growth * (count as f64 / self.count as f64).max(1.0).ln()
    }
}

/// A score that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odd {
    /// Its place among the scores that were given.
    pub at: usize,
    /// How many spreads it is above the median.
    pub spreads: f64,
    /// How many times the median it is.
    pub ratio: f64,
}

/// Which of the `scores` of normal images stand out, the highest first.
///
/// Scores spread by factors rather than by amounts, so that their logarithms are compared: with the median, in units of the median
/// distance from it, scaled to be a standard deviation where the logarithms are normally distributed. Both bear that up to half of the
/// scores are those of something else.
pub fn odd(scores: &[f64], params: &OddParams) -> Vec<Odd> {
    if scores.len() < params.least_scores {
        return Vec::new();
    }
    let logs: Vec<f64> = scores.iter().map(|score| score.max(f64::MIN_POSITIVE).ln()).collect();
    let middle = median(logs.clone());
    let spread = MAD_OF_NORMAL * median(logs.iter().map(|log| (log - middle).abs()).collect());
    let spread = spread.max(params.least_spread);
    let mut found: Vec<Odd> = logs
        .iter()
        .enumerate()
        .map(|(at, log)| Odd { at, spreads: (log - middle) / spread, ratio: (log - middle).exp() })
        .filter(|odd| odd.spreads >= params.required(scores.len()))
        .collect();
    found.sort_by(|a, b| b.spreads.total_cmp(&a.spreads));
    found
}

/// The standard deviation of a normal distribution over its median distance from the median.
const MAD_OF_NORMAL: f64 = 1.4826;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    /// Scores whose logarithms are about normally distributed, of the standard deviation `spread`.
    fn scores(count: usize, spread: f64, seed: u64) -> Vec<f64> {
        let mut random = Xoshiro256Plus::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| random.gen_range(-0.5..0.5)).sum::<f64>();
        (0..count).map(|_| 150.0 * (spread * normal()).exp()).collect()
    }

    #[test]
    fn hardly_any_of_good_parts_is_named() {
        let named: usize =
            (0..50).map(|seed| odd(&scores(200, 0.2, seed), &OddParams::default()).len()).sum();
        assert!(named <= 10, "{named} of 10,000");
    }

    #[test]
    fn a_tenth_of_others_is_named_the_highest_first() {
        let mut all = scores(200, 0.2, 1);
        all.splice(50..50, (0..22).map(|i| 480.0 + 10.0 * f64::from(i)));
        let found = odd(&all, &OddParams::default());
        let places: Vec<usize> = found.iter().map(|odd| odd.at).collect();
        assert_eq!(places, (50..72).rev().collect::<Vec<_>>());
        assert!((found[0].ratio - 690.0 / 150.0).abs() < 0.3, "{:?}", found[0]);
    }

    #[test]
    fn parts_that_are_all_alike_have_no_odd_ones() {
        let params = OddParams::default();
        let alike: Vec<f64> = (0..30).map(|i| 100.0 + 0.01 * f64::from(i)).chain([108.0]).collect();
        assert!(odd(&alike, &params).is_empty());
        assert_eq!(odd(&[&alike[..], &[150.0]].concat(), &params).len(), 1);
        assert!(odd(&[0.0; 20], &params).is_empty());
        assert!(odd(&[1.0, 1.0, 1.0, 900.0], &params).is_empty(), "few scores");
        assert!(odd(&[], &params).is_empty());
    }
}
