//! The score that a small share of good images reaches, estimated from the scores of some of them.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Quantiles of the scores that their spread above the median is estimated from. A few odd images lie beyond both.
const SPREAD: [f64; 2] = [0.84, 0.95];
/// Degrees of freedom of the tail: scores of good images have a slightly heavier one than a log-normal distribution. With 20, the share of
/// good images held out above a level was the promised one over 15 products (docs/methods.md).
const FREEDOM: f64 = 20.0;
/// Of few images the spread itself is uncertain, which fewer degrees of freedom allow for: a quarter of their number, at least three.
const FEWEST_FREEDOM: f64 = 3.0;
const IMAGES_A_DEGREE: f64 = 4.0;
/// From this share of the images on it is looked at how far their scores lie beyond the rest, ...
const BEND: f64 = 0.15;
/// ... each of them at most so many times as far as their median, since a few of them may be odd. ...
const FARTHEST: f64 = 4.0;
/// ... That counts as much as the spread of the other scores if there are so many of them.
const TOLD: f64 = 15.0;
/// Places in the tail that its mean is taken from.
const PLACES: usize = 64;
/// Images beyond a level at which their quantile alone says where it is.
const ENOUGH: f64 = 50.0;
/// The smallest share of images that is told from none.
const SMALLEST: f64 = 1e-12;
/// A score below this share of the largest one is that of an image that the bank knows.
const KNOWN: f64 = 0.01;
/// Samples with replacement that an interval is taken from, and the share of them that it leaves out at either end.
const RESAMPLED: usize = 200;
const LEFT_OUT: f64 = 0.05;

/// The score that about the share `share` of images like those of the `sorted` scores reaches.
///
/// It is the quantile of a Student's t distribution of the logarithms, with their median and the spread of their upper half. The more
/// images there are, the more the tail is as long as the highest 15 % of the scores show it, and where many lie beyond the level, it is their
/// own quantile. Single odd images among many hardly move it. Scores below a hundredth of the largest are those of images that the bank
/// knows, and say nothing.
pub(super) fn level(sorted: &[f64], share: f64) -> f64 {
    let logs = logarithms(sorted);
    Tail::new(logs.len(), share).level_of(&logs).exp()
}

/// Where the level lies in nine of ten folders of as many images.
pub(super) fn interval(sorted: &[f64], share: f64) -> (f64, f64) {
    let logs = logarithms(sorted);
    let mut random = Xoshiro256Plus::seed_from_u64(0);
    let mut drawn = vec![0.0; logs.len()];
    let tail = Tail::new(logs.len(), share);
    let mut levels: Vec<f64> = (0..RESAMPLED)
        .map(|_| {
            drawn.iter_mut().for_each(|value| *value = logs[random.gen_range(0..logs.len())]);
            drawn.sort_by(f64::total_cmp);
            tail.level_of(&drawn).exp()
        })
        .collect();
    levels.sort_by(f64::total_cmp);
    (quantile(&levels, LEFT_OUT), quantile(&levels, 1.0 - LEFT_OUT))
}

/// The logarithms of the scores that say something, sorted.
fn logarithms(sorted: &[f64]) -> Vec<f64> {
    let least = KNOWN * sorted[sorted.len() - 1];
    let known = sorted.partition_point(|&score| score < least);
    // None is left where the largest is below 0, as by rounding.
    let new = if known < sorted.len() { &sorted[known..] } else { sorted };
    new.iter().map(|score| score.max(f64::MIN_POSITIVE).ln()).collect()
}

/// What the distribution says of a share, in units of the spread; the same for all folders of as many images.
struct Tail {
    share: f64,
    /// The distribution's quantile that the share lies beyond.
    level: f64,
    /// How far that is from the one that [`BEND`] lies beyond, in units of how far the mean of what lies beyond that is.
    reach: f64,
    /// The quantiles of a normal distribution at [`SPREAD`].
    spread: [f64; 2],
}

impl Tail {
    fn new(count: usize, share: f64) -> Self {
        let freedom = (count as f64 / IMAGES_A_DEGREE).clamp(FEWEST_FREEDOM, FREEDOM);
        let level = beyond(share, freedom);
        let bend = beyond(BEND, freedom);
        let places = (0..PLACES).map(|i| BEND * (i as f64 + 0.5) / PLACES as f64);
        let mean = places.map(|share| beyond(share, freedom)).sum::<f64>() / PLACES as f64;
        Self { share, level, reach: (level - bend) / (mean - bend), spread: SPREAD.map(normal) }
    }

    fn level_of(&self, logs: &[f64]) -> f64 {
        let count = logs.len() as f64;
        let median = quantile(logs, 0.5);
        let spreads =
            SPREAD.iter().zip(self.spread).map(|(&at, normal)| (quantile(logs, at) - median) / normal);
        let spread = spreads.sum::<f64>() / SPREAD.len() as f64;
        // The median of few images is uncertain, too.
        let by_spread = median + spread * self.level * (1.0 + 1.0 / count).sqrt();
        let own = quantile(logs, 1.0 - self.share);
        let bend = quantile(logs, 1.0 - BEND);
        let beyond = &logs[logs.partition_point(|&score| score <= bend)..];
        let by_highest = match self.share < BEND {
            true => bend + mean_excess(beyond, bend) * self.reach,
            false => own,
        };
        let told = beyond.len() as f64 / (beyond.len() as f64 + TOLD);
        let tail = by_spread + (by_highest - by_spread) * told;
        tail + (own - tail) * (count * self.share / ENOUGH).min(1.0)
    }
}

/// How far the sorted `scores` lie beyond `bend` in the mean; single ones that lie far beyond count less.
fn mean_excess(scores: &[f64], bend: f64) -> f64 {
    let Some(last) = scores.len().checked_sub(1) else { return 0.0 };
    let most = FARTHEST * (scores[last / 2] - bend);
    scores.iter().map(|score| (score - bend).min(most)).sum::<f64>() / scores.len() as f64
}

fn normal(share: f64) -> f64 {
    Normal::standard().inverse_cdf(share)
}

/// The value of a Student's t distribution that the share `share` lies beyond, to either side of 0. Of the smallest share that is told
/// from none for smaller ones: the distribution's own function fails there.
fn beyond(share: f64, freedom: f64) -> f64 {
    let share = share.clamp(SMALLEST, 1.0 - SMALLEST);
    // The tails mirror each other, and close to 1 a share would be rounded.
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |tail| -tail.inverse_cdf(share))
}

/// The value that the share `share` of `sorted` does not exceed, linear between neighbours.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sorted scores of a product: exp of Student's t with twenty degrees of freedom.
    fn scores(count: usize, seed: u64) -> Vec<f64> {
        let mut random = Xoshiro256Plus::seed_from_u64(seed);
        let mut scores: Vec<f64> = (0..count)
            .map(|_| 300.0 * (-0.15 * beyond(random.gen_range(1e-6..1.0 - 1e-6), 20.0)).exp())
            .collect();
        scores.sort_by(f64::total_cmp);
        scores
    }

    /// The share of images of such a product that reaches the level, over folders of so many images.
    fn kept(count: usize, share: f64) -> f64 {
        let folders = 60;
        let beyond = |seed: u64| {
            let level = level(&scores(count, seed), share);
            1.0 - StudentsT::new(0.0, 1.0, 20.0).unwrap().cdf((level / 300.0).ln() / 0.15)
        };
        (0..folders).map(beyond).sum::<f64>() / folders as f64
    }

    #[test]
    fn the_promise_is_kept_on_the_whole() {
        for (count, share) in [(300, 0.005), (300, 0.05), (100, 0.005), (100, 0.05), (1000, 0.05), (30, 0.05)]
        {
            let kept = kept(count, share);
            assert!(kept < 1.6 * share && kept > 0.4 * share, "{count} images, {share}: {kept}");
        }
        // Few images: on the safe side for the share that nobody can see.
        assert!(kept(20, 0.005) < 0.015);
    }

    #[test]
    fn a_few_odd_images_hardly_move_it() {
        let clean = scores(150, 3);
        let mut odd = clean.clone();
        odd.extend([3_000.0, 5_000.0, 9_000.0]);
        let ratio = level(&odd, 0.005) / level(&clean, 0.005);
        // They are one in fifty, and ten to thirty times as high.
        assert!((1.0..1.2).contains(&ratio), "{ratio}");
    }

    #[test]
    fn images_that_the_bank_knows_do_not_move_it() {
        let clean = scores(40, 5);
        let mut with_known = vec![0.1; 60];
        with_known.extend(&clean);
        assert_eq!(level(&with_known, 0.005), level(&clean, 0.005));
    }

    #[test]
    fn the_interval_narrows_with_more_images() {
        let width = |count: usize| {
            let scores = scores(count, 7);
            let (low, high) = interval(&scores, 0.005);
            let level = level(&scores, 0.005);
            assert!(low <= level && level <= high, "{low} {level} {high}");
            (high - low) / level
        };
        assert!(width(800) < 0.6 * width(50), "{} {}", width(800), width(50));
    }

    #[test]
    fn the_smaller_the_share_the_higher_the_level() {
        for count in [4, 60, 300] {
            let scores = scores(count, 11);
            let shares = [0.5, 0.05, 1e-3, 1e-6, 1e-9, 1e-12, 1e-17, 1e-100, f64::MIN_POSITIVE];
            let levels = shares.map(|share| level(&scores, share));
            assert!(levels.is_sorted() && !levels.iter().any(|level| level.is_nan()), "{count}: {levels:?}");
            assert!(levels[6] > 2.0 * levels[2], "{count}: {levels:?}");
        }
        for images in 1..40 {
            let freedom = (f64::from(images) / IMAGES_A_DEGREE).clamp(FEWEST_FREEDOM, FREEDOM);
            for share in
                [f64::MIN_POSITIVE, 1e-12, 3e-11, 1e-9, 1e-5, 0.3, 0.7, 1.0 - 1e-9, 1.0_f64.next_down()]
            {
                assert!(beyond(share, freedom).is_finite(), "{freedom} {share}");
            }
        }
    }

    #[test]
    fn equal_zero_and_negative_scores_have_a_level() {
        for score in [0.0, -1e-7, 5.0] {
            let level = level(&[score; 20], 0.005);
            assert!(level.is_finite() && level >= 0.0, "{score}: {level}");
        }
        assert!(level(&[4.0], 0.005) >= 4.0 - 1e-9);
    }
}
