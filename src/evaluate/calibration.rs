//! From the scores of normal images to a threshold, a warn level below it, and a scale.

use super::tail::{self, quantile};
use crate::bundle::{Calibration, FalseAlarms, Interval, Quantile, ScoreRange};
use crate::error::{Error, Result};

/// The shares of good parts that may be in warn and that may be rejected, unless the user says otherwise.
pub const FALSE_ALARMS: FalseAlarms = FalseAlarms { warn: 0.05, reject: 0.005 };

/// Images of good parts below which a threshold is hardly more than a guess.
pub const FEW: usize = 20;

/// How a calibration begins to say that it was obtained from images that were given for it.
pub const GIVEN: &str = "calibration images";

/// Shares of normal images whose scores are kept in the bundle.
const QUANTILES: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];

/// The scores of images whose label is known.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Image scores of normal images.
    pub normal: Vec<f64>,
    /// The mean of the anomaly map of each normal image.
    pub map_means: Vec<f64>,
    /// Image scores of defective images, if there are any.
    pub defective: Vec<f64>,
    /// The number of the training image that each score of [`Scores::normal`] belongs to, in the order of the bank; empty where the
    /// scores are those of other images.
    pub images: Vec<usize>,
}

/// A threshold that rejects about the share `false_alarms.reject` of normal images, a warn level that about the share
/// `false_alarms.warn` of them reaches, and the scale around the threshold.
///
/// Both come from the tail of the scores: the spread of their upper half, a tail as heavy as good images have, and, the more images lie
/// beyond, the quantile itself. A few odd images among many do not move it, and an image that the bank knows, with next to no score, says
/// nothing of how high that of a good part can be.
///
/// With defective images the threshold moves up to the middle between it and the lowest defective score above it. The tail is an
/// estimate, and defects that lie between the largest normal score and it are known: then the middle between that score and the
/// lowest of them is the threshold. The warn level tells what good parts rarely are, whatever defects look like, and stays where it is,
/// unless the threshold comes to lie below it: then it is the threshold.
/// `map_level` gives the value of the anomaly map that corresponds to an image score.
///
/// # Errors
/// If there is no normal score, one is not finite, or the shares are not `0 < reject <= warn < 1`.
pub fn calibrate(
    scores: &Scores,
    false_alarms: &FalseAlarms,
    source: &str,
    map_level: impl Fn(f64) -> f64,
) -> Result<Calibration> {
    false_alarms.check().map_err(|e| Error::Setting(format!("the shares of false alarms: {e}")))?;
    let mut normal = scores.normal.clone();
    if normal.is_empty() {
        return Err(Error::Fit("there is no score of a normal image to calibrate with".into()));
    }
    if normal.iter().chain(&scores.defective).chain(&scores.map_means).any(|score| !score.is_finite()) {
        return Err(Error::Fit("a score is not a finite number".into()));
    }
    normal.sort_by(f64::total_cmp);
    let (lowest, highest) = (calmest(&normal), normal[normal.len() - 1]);
    let alike = normal.len() > 1 && highest - normal[0] <= ALIKE * highest.abs();
    let (mut threshold, mut how) = (level_for(&normal, false_alarms.reject), "tail of the scores");
    let warn = level_for(&normal, false_alarms.warn);
    let interval = tail::interval(&normal, false_alarms.reject);
    let mut interval = (normal.len() > 1 && !alike)
        .then_some(Interval { low: interval.0.min(threshold), high: interval.1.max(threshold) });
    let lowest_above =
        |level: f64| scores.defective.iter().copied().filter(|&score| score > level).min_by(f64::total_cmp);
    if let Some(defect) = lowest_above(threshold.min(highest)) {
        threshold = 0.5 * (if defect > threshold { threshold } else { highest } + defect);
        how = "middle between normal and defective";
        interval = None;
    }
    let doubt =
        if alike { "; these images hardly differ, so that the threshold says nothing of others" } else { "" };
    let range = ScoreRange::around(threshold, lowest);
    // Where most of the scores are equal, the quantile is the lowest of them, which is nothing to warn of.
    let warn = warn.max(just_above(lowest)).max(range.min.next_up()).min(range.threshold);
    let level = map_level(range.threshold);
    let calm = scores.map_means.iter().sum::<f64>() / scores.map_means.len().max(1) as f64;
    Ok(Calibration {
        threshold: range.threshold,
        min: range.min,
        max: range.max,
        warn: Some(warn),
        false_alarms: Some(*false_alarms),
        interval: interval.filter(|interval| interval.check(range.threshold).is_ok()),
        map: ScoreRange::around(level, calm.min(level)),
        quantiles: QUANTILES
            .iter()
            .map(|&share| Quantile { share, score: quantile(&normal, share) })
            .collect(),
        obtained: format!(
            "{source}: {} normal, {} defective images; {how} at {} false alarms, warn level at {}{doubt}",
            normal.len(),
            scores.defective.len(),
            false_alarms.reject,
            false_alarms.warn,
        ),
    })
}

/// The level that about the share `share` of images like those of the sorted scores reaches.
fn level_for(sorted: &[f64], share: f64) -> f64 {
    // A score that reaches a level counts: none of good images is to reach it where all are alike.
    tail::level(sorted, share).max(just_above(tail::quantile(sorted, 0.5)))
}

/// The lowest level that is clearly above a score.
fn just_above(score: f64) -> f64 {
    (score + MARGIN * score.abs()).next_up()
}

/// The lowest of the sorted scores that is not far out: no more than three times the range of the middle half below that (Tukey).
fn calmest(sorted: &[f64]) -> f64 {
    let [first, third] = [0.25, 0.75].map(|share| quantile(sorted, share));
    let fence = first - 3.0 * (third - first);
    sorted.iter().copied().find(|&score| score >= fence).unwrap_or(first)
}

/// How far above a score a level is at least where it is to lie above it, as a share of that score.
const MARGIN: f64 = 1e-3;
/// Scores that differ by no more than this share of the largest are those of one picture.
const ALIKE: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(normal: impl IntoIterator<Item = f64>, defective: Vec<f64>) -> Scores {
        Scores { normal: normal.into_iter().collect(), map_means: vec![0.1], defective, images: Vec::new() }
    }

    #[test]
    fn very_many_images_give_the_quantile() {
        let c = calibrate(&scores((0..20_001).map(f64::from), vec![]), &FALSE_ALARMS, "test", |s| s / 512.0)
            .unwrap();
        // Those below a hundredth of the largest are left out.
        assert!((c.threshold - 19_901.0).abs() < 1e-6, "{c:?}");
        assert!((c.map.threshold - 19_901.0 / 512.0).abs() < 1e-6 && c.min == 0.0);
        assert!(c.interval.is_some_and(|it| it.low <= c.threshold && c.threshold <= it.high), "{c:?}");
    }

    #[test]
    fn few_images_give_a_tail_beyond_the_largest() {
        let c = calibrate(&scores([10.0, 11.0, 12.0, 11.5], vec![]), &FALSE_ALARMS, "test", |s| s).unwrap();
        assert!(c.threshold > 12.0 && c.threshold < 20.0, "{c:?}");
    }

    #[test]
    fn pictures_that_occur_twice_do_not_move_the_threshold() {
        let others = (0..30).map(|i| 440.0 + f64::from(i));
        let with_twins = [0.09, 0.1].into_iter().chain(others.clone());
        let [with, without] = [scores(with_twins, vec![]), scores(others, vec![])]
            .map(|scores| calibrate(&scores, &FALSE_ALARMS, "test", |s| s).unwrap());
        assert!((with.threshold - without.threshold).abs() < 3.0, "{with:?} {without:?}");
        assert!(
            (with.min - 440.0).abs() < 1e-9 && (without.min - 440.0).abs() < 1e-9,
            "{with:?} {without:?}"
        );
    }

    #[test]
    fn nor_do_many_of_them() {
        let others = (0..6).map(|i| 60.0 + f64::from(i));
        let twins = (0..20).map(|i| 1e-3 * f64::from(i));
        let [with, without] = [scores(twins.chain(others.clone()), vec![]), scores(others, vec![])]
            .map(|scores| calibrate(&scores, &FALSE_ALARMS, "test", |s| s).unwrap().threshold);
        assert_eq!(with, without);
    }

    #[test]
    fn defects_move_the_threshold_to_the_middle() {
        let with = |defective| {
            calibrate(&scores((0..1001).map(f64::from), defective), &FALSE_ALARMS, "test", |s| s).unwrap()
        };
        let without = with(vec![]).threshold;
        let c = with(vec![5.0, without + 1000.0]);
        assert!((c.threshold - without - 500.0).abs() < 1e-9 && c.interval.is_none(), "{c:?}");
    }

    #[test]
    fn defects_are_known_better_than_the_tail_of_few_images() {
        let normal = [10.0, 11.0, 12.0, 11.5];
        let threshold = |defective| {
            calibrate(&scores(normal, defective), &FALSE_ALARMS, "test", |s| s).unwrap().threshold
        };
        let tail = threshold(vec![]);
        assert!(tail > 12.4, "{tail}");
        assert!((threshold(vec![9.0, 12.4, 40.0]) - 12.2).abs() < 1e-9);
        assert!((threshold(vec![9.0, 40.0]) - 0.5 * (tail + 40.0)).abs() < 1e-9);
        assert_eq!(threshold(vec![9.0, 12.0]), tail);
    }

    #[test]
    fn equal_scores_still_give_a_scale() {
        for (score, reject) in [(0.0, 0.005), (3.0, 0.005), (3.0, 0.5), (-1e-7, 0.005)] {
            let false_alarms = FalseAlarms { warn: 0.5, reject };
            let c = calibrate(&scores([score; 20], vec![]), &false_alarms, "test", |s| s).unwrap();
            assert!(c.warn.is_some_and(|warn| c.min < warn && score < warn && warn <= c.threshold), "{c:?}");
            assert!(c.min < c.threshold && c.threshold < c.max, "{c:?}");
            assert!(c.threshold > score && c.obtained.contains("hardly differ"), "{c:?}");
        }
        assert!(calibrate(&scores([], vec![]), &FALSE_ALARMS, "test", |s| s).is_err());
        assert!(calibrate(&scores([f64::NAN], vec![]), &FALSE_ALARMS, "test", |s| s).is_err());
    }

    #[test]
    fn the_warn_level_has_its_own_share() {
        let c = calibrate(&scores((0..20_001).map(f64::from), vec![]), &FALSE_ALARMS, "test", |s| s).unwrap();
        assert!(c.warn.is_some_and(|warn| (warn - 19_010.0).abs() < 1e-6), "{c:?}");
        assert_eq!(c.false_alarms, Some(FALSE_ALARMS));
        assert!(
            c.obtained.ends_with("tail of the scores at 0.005 false alarms, warn level at 0.05"),
            "{c:?}"
        );
    }

    #[test]
    fn few_images_give_a_warn_level_between_the_largest_and_the_threshold() {
        let c = calibrate(&scores([10.0, 11.0, 12.0, 11.5], vec![]), &FALSE_ALARMS, "test", |s| s).unwrap();
        assert!(c.warn.is_some_and(|warn| 12.0 < warn && warn < c.threshold), "{c:?}");
        let c = calibrate(&scores((0..100).map(f64::from), vec![]), &FALSE_ALARMS, "test", |s| s).unwrap();
        assert!(c.warn.is_some_and(|warn| warn > 94.0 && warn < c.threshold) && c.threshold > 99.0, "{c:?}");
    }

    #[test]
    fn defects_leave_the_warn_level_alone_unless_they_lie_below_it() {
        let normal = || (0..1001).map(f64::from);
        let warn = |normal: Vec<f64>, defective| {
            let c = calibrate(&scores(normal, defective), &FALSE_ALARMS, "test", |s| s).unwrap();
            (c.warn.unwrap(), c.threshold)
        };
        let without = warn(normal().collect(), vec![]).0;
        assert_eq!(warn(normal().collect(), vec![5.0, 5_000.0]).0, without);
        let few = vec![10.0, 11.0, 12.0, 11.5];
        let tail = warn(few.clone(), vec![]).0;
        let (with, threshold) = warn(few, vec![12.1]);
        assert!(threshold < tail && with == threshold, "{with} {threshold} {tail}");
    }

    #[test]
    fn mostly_equal_scores_are_not_in_warn() {
        let mostly = [7.0; 300].into_iter().chain([8.0, 9.0, 10.0]);
        let c = calibrate(&scores(mostly, vec![]), &FALSE_ALARMS, "test", |s| s).unwrap();
        assert!(c.warn.is_some_and(|warn| 7.0 < warn && warn < 8.0 && warn < c.threshold), "{c:?}");
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for (warn, reject) in
            [(0.05, 0.0), (1.0, 0.005), (0.004, 0.005), (f64::NAN, 0.005), (0.05, f64::NAN), (0.05, -1.0)]
        {
            let result = calibrate(&scores([1.0, 2.0], vec![]), &FalseAlarms { warn, reject }, "test", |s| s);
            assert!(matches!(result, Err(Error::Setting(_))), "{warn} {reject}");
        }
    }
}
