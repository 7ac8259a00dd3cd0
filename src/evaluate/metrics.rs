//! Metrics of a ranking: how well a score separates good from defective.
//!
//! Every metric comes out of one sweep over the distinct scores, from the highest to the lowest; samples whose score
//! is at least the threshold count as called defective. Ties are therefore never split: they count one half in the
//! AUROC, and a constant score is worth 0.5.

use serde::{Deserialize, Serialize};

/// Why a metric is an error and not a number.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// One of the two classes has no sample, so that there is nothing to separate.
    #[error("there is no {class} {unit}: metrics need at least one good and one defective {unit}")]
    EmptyClass {
        /// `good` or `defective`.
        class: &'static str,
        /// `image` or `pixel`.
        unit: &'static str,
    },
    /// A score is NaN or infinite.
    #[error("{what} {index}: a score is {value}, not a finite number")]
    NotFinite {
        /// `image`, `map` (a pixel of it).
        what: &'static str,
        /// Which one, counted from 0 in the order given.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// As many labels as scores are needed.
    #[error("{labels} labels for {scores} scores")]
    Lengths {
        /// Number of labels.
        labels: usize,
        /// Number of scores.
        scores: usize,
    },
    /// A mask must have the size of its map.
    #[error("map {index} has {} x {} pixels, its mask {} x {}", map.1, map.0, mask.1, mask.0)]
    Shape {
        /// Which map, counted from 0 in the order given.
        index: usize,
        /// Rows and columns of the map.
        map: (usize, usize),
        /// Rows and columns of the mask.
        mask: (usize, usize),
    },
    /// A number is outside of its range.
    #[error("{name} is {value}, outside {range}")]
    OutOfRange {
        /// The metric or parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Where it must be.
        range: &'static str,
    },
    /// More regions than labels.
    #[error("more than {} regions in the masks", u32::MAX)]
    TooManyRegions,
}

/// Numbers that the metrics depend on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MetricParams {
    /// Largest false positive rate up to which PRO is integrated, in (0, 1]. The MVTec AD paper uses 0.3.
    pub fpr_limit: f64,
    /// A point of a curve is kept when a coordinate moved by at least this much since the last one, in [0, 1];
    /// 0 keeps every threshold. It thins what is plotted, never what is integrated.
    pub curve_resolution: f64,
}

impl Default for MetricParams {
    fn default() -> Self {
        Self { fpr_limit: 0.3, curve_resolution: 1e-3 }
    }
}

impl MetricParams {
    pub(super) fn check(&self) -> Result<(), MetricError> {
        if !(self.fpr_limit > 0.0 && self.fpr_limit <= 1.0) {
            return Err(MetricError::OutOfRange {
                name: "fpr_limit",
                value: self.fpr_limit,
                range: "(0, 1]",
            });
        }
        unit_interval("curve_resolution", self.curve_resolution).map(|_| ())
    }
}

/// What is called defective at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// Samples with a score of at least this much are called defective.
    pub threshold: f32,
    /// Defective samples among them.
    pub true_positives: u64,
    /// Good samples among them.
    pub false_positives: u64,
}

/// How well a score separates defective from good samples (images or pixels).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RankingMetrics {
    /// Number of defective samples.
    pub positives: u64,
    /// Number of good samples.
    pub negatives: u64,
    /// Area under the ROC curve: the chance that a defective sample scores higher than a good one, ties one half.
    pub auroc: f64,
    /// Average precision: the sum of `(R_n - R_(n-1)) P_n` over the distinct thresholds, without interpolation.
    pub average_precision: f64,
    /// Largest F1 of all thresholds.
    pub f1_max: f64,
    /// The lowest threshold that reaches `f1_max`.
    pub f1_max_threshold: f32,
    /// Operating points from the highest threshold to the lowest, thinned to
    /// [`curve_resolution`](MetricParams::curve_resolution).
    pub curve: Vec<OperatingPoint>,
}

impl RankingMetrics {
    /// The ROC curve from (0, 0) to (1, 1): false positive rate, true positive rate.
    pub fn roc(&self) -> impl Iterator<Item = (f64, f64)> {
        let rates = |point: &OperatingPoint| {
            let rate = |part: u64, whole: u64| part as f64 / whole as f64;
            (rate(point.false_positives, self.negatives), rate(point.true_positives, self.positives))
        };
        std::iter::once((0.0, 0.0)).chain(self.curve.iter().map(rates))
    }

    /// The precision-recall curve from the highest threshold on: recall, precision.
    pub fn precision_recall(&self) -> impl Iterator<Item = (f64, f64)> {
        self.curve.iter().map(|point| {
            let found = point.true_positives as f64;
            let called = point.true_positives + point.false_positives;
            (found / self.positives as f64, found / called as f64)
        })
    }
}

/// Metrics of whole images: `labels` (true: defective) and `scores` (higher: more anomalous), one of each an image.
///
/// # Errors
/// When the lengths differ, a score is not finite, a class is empty, or a parameter is out of range.
pub fn image_metrics(
    labels: &[bool],
    scores: &[f32],
    params: &MetricParams,
) -> Result<RankingMetrics, MetricError> {
    params.check()?;
    if labels.len() != scores.len() {
        return Err(MetricError::Lengths { labels: labels.len(), scores: scores.len() });
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(MetricError::NotFinite { what: "image", index, value: scores[index] });
    }
    let mut samples: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

    let positives = labels.iter().filter(|&&defective| defective).count() as u64;
    let mut sweep = RankingSweep::new(positives, labels.len() as u64 - positives, "image", params)?;
    for ties in samples.chunk_by(|a, b| a.0 == b.0) {
        let positives = ties.iter().filter(|(_, defective)| *defective).count() as u64;
        sweep.step(ties[0].0, positives, ties.len() as u64 - positives);
    }
    sweep.finish()
}

/// Sums up the metrics of a ranking, one distinct threshold after the other, from the highest down.
pub(super) struct RankingSweep {
    positives: u64,
    negatives: u64,
    /// Counts by which the curve must move before a point of it is kept.
    stride: (u64, u64),
    here: OperatingPoint,
    /// Twice the area under the ROC curve, in pairs of samples: exact.
    doubled_area: u128,
    precision_sum: f64,
    f1_max: f64,
    f1_max_threshold: f32,
    curve: Vec<OperatingPoint>,
}

impl RankingSweep {
    pub(super) fn new(
        positives: u64,
        negatives: u64,
        unit: &'static str,
        params: &MetricParams,
    ) -> Result<Self, MetricError> {
        for (count, class) in [(positives, "defective"), (negatives, "good")] {
            if count == 0 {
                return Err(MetricError::EmptyClass { class, unit });
            }
        }
        let stride = |count: u64| ((count as f64 * params.curve_resolution) as u64).max(1);
        Ok(Self {
            positives,
            negatives,
            stride: (stride(positives), stride(negatives)),
            here: OperatingPoint { threshold: f32::INFINITY, true_positives: 0, false_positives: 0 },
            doubled_area: 0,
            precision_sum: 0.0,
            f1_max: 0.0,
            f1_max_threshold: f32::INFINITY,
            curve: Vec::new(),
        })
    }

    /// Lowers the threshold to `threshold`, at which so many more positives and negatives are called defective.
    pub(super) fn step(&mut self, threshold: f32, positives: u64, negatives: u64) {
        let found_before = self.here.true_positives;
        self.here.threshold = threshold;
        self.here.true_positives += positives;
        self.here.false_positives += negatives;
        let OperatingPoint { true_positives: found, false_positives: false_alarms, .. } = self.here;
        self.doubled_area += u128::from(negatives) * u128::from(found_before + found);

        // Neither the precision sum nor the best F1 can change where no defective sample is won.
        if positives > 0 {
            self.precision_sum += positives as f64 * (found as f64 / (found + false_alarms) as f64);
            let f1 = 2.0 * found as f64 / (found + false_alarms + self.positives) as f64;
            if f1 >= self.f1_max {
                (self.f1_max, self.f1_max_threshold) = (f1, threshold);
            }
        }

        let (found_kept, false_kept) =
            self.curve.last().map_or((0, 0), |kept| (kept.true_positives, kept.false_positives));
        let at_end = found == self.positives && false_alarms == self.negatives;
        if at_end || found - found_kept >= self.stride.0 || false_alarms - false_kept >= self.stride.1 {
            self.curve.push(self.here);
        }
    }

    pub(super) fn finish(self) -> Result<RankingMetrics, MetricError> {
        let pairs = self.positives as f64 * self.negatives as f64;
        Ok(RankingMetrics {
            positives: self.positives,
            negatives: self.negatives,
            auroc: unit_interval("AUROC", self.doubled_area as f64 / (2.0 * pairs))?,
            average_precision: unit_interval(
                "average precision",
                self.precision_sum / self.positives as f64,
            )?,
            f1_max: unit_interval("F1", self.f1_max)?,
            f1_max_threshold: self.f1_max_threshold,
            curve: self.curve,
        })
    }
}

/// `value` if it lies in [0, 1]; what rounding added beyond is taken off.
pub(super) fn unit_interval(name: &'static str, value: f64) -> Result<f64, MetricError> {
    const ROUNDING: f64 = 1e-9;
    if !(-ROUNDING..=1.0 + ROUNDING).contains(&value) {
        return Err(MetricError::OutOfRange { name, value, range: "[0, 1]" });
    }
    Ok(value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(labels: &[bool], scores: &[f32]) -> Result<RankingMetrics, MetricError> {
        image_metrics(labels, scores, &MetricParams::default())
    }

    #[test]
    fn a_perfect_and_a_reversed_ranking() {
        let perfect = metrics(&[false, true, true], &[0.1, 0.8, 0.5]).unwrap();
        assert_eq!((perfect.auroc, perfect.average_precision, perfect.f1_max), (1.0, 1.0, 1.0));
        assert_eq!(perfect.f1_max_threshold, 0.5);
        let reversed = metrics(&[true, false], &[0.0, 1.0]).unwrap();
        assert_eq!((reversed.auroc, reversed.average_precision), (0.0, 0.5));
    }

    #[test]
    fn all_ties_are_worth_a_coin_toss() {
        let tied = metrics(&[true, false, false, false], &[0.3; 4]).unwrap();
        assert_eq!((tied.auroc, tied.average_precision, tied.f1_max), (0.5, 0.25, 0.4));
        assert_eq!(tied.roc().collect::<Vec<_>>(), [(0.0, 0.0), (1.0, 1.0)]);
    }

    #[test]
    fn negative_zero_ties_with_zero() {
        assert_eq!(metrics(&[true, false], &[-0.0, 0.0]).unwrap().auroc, 0.5);
        assert_eq!(metrics(&[false, true], &[-0.0, 0.0]).unwrap().auroc, 0.5);
    }

    #[test]
    fn curves_run_from_end_to_end() {
        let measured = metrics(&[true, false, true, false], &[0.9, 0.7, 0.7, 0.1]).unwrap();
        let roc: Vec<_> = measured.roc().collect();
        assert_eq!(roc, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
        let precision_recall: Vec<_> = measured.precision_recall().collect();
        assert_eq!(precision_recall, [(0.5, 1.0), (1.0, 2.0 / 3.0), (1.0, 0.5)]);
    }

    #[test]
    fn a_thinned_curve_keeps_its_end_and_the_area() {
        let labels: Vec<bool> = (0..5000).map(|i| i % 3 == 0).collect();
        let scores: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 5003) as f32).collect();
        let thin =
            image_metrics(&labels, &scores, &MetricParams { curve_resolution: 0.1, ..Default::default() });
        let full =
            image_metrics(&labels, &scores, &MetricParams { curve_resolution: 0.0, ..Default::default() });
        let (thin, full) = (thin.unwrap(), full.unwrap());
        assert_eq!(full.curve.len(), 5000);
        assert!(thin.curve.len() <= 21, "{} points", thin.curve.len());
        assert_eq!(thin.roc().last(), Some((1.0, 1.0)));
        assert_eq!(thin.auroc, full.auroc);
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        let empty = |class| Err(MetricError::EmptyClass { class, unit: "image" });
        assert_eq!(metrics(&[true, true], &[0.1, 0.2]), empty("good"));
        assert_eq!(metrics(&[false], &[0.1]), empty("defective"));
        assert_eq!(metrics(&[], &[]), empty("defective"));
        assert_eq!(metrics(&[true], &[]), Err(MetricError::Lengths { labels: 1, scores: 0 }));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = metrics(&[true, false], &[0.1, value]).unwrap_err();
            assert!(matches!(error, MetricError::NotFinite { what: "image", index: 1, .. }), "{error}");
        }
    }

    #[test]
    fn parameters_out_of_range_are_errors() {
        for fpr_limit in [0.0, -0.1, 1.1, f64::NAN] {
            let params = MetricParams { fpr_limit, ..Default::default() };
            assert!(image_metrics(&[true, false], &[1.0, 0.0], &params).is_err(), "{fpr_limit}");
        }
        for curve_resolution in [-0.1, 1.1, f64::NAN] {
            let params = MetricParams { curve_resolution, ..Default::default() };
            assert!(image_metrics(&[true, false], &[1.0, 0.0], &params).is_err(), "{curve_resolution}");
        }
        assert!(unit_interval("AUROC", f64::NAN).is_err());
        assert!(unit_interval("AUROC", 1.01).is_err());
        assert_eq!(unit_interval("AUROC", 1.0 + 1e-12), Ok(1.0));
    }
}
