//! What a score means: the levels of a bundle and the scale around them.

use serde::{Deserialize, Serialize};

/// Where normal ends, and how that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores from here on are anomalous (0.5 on the normalised scale).
    pub threshold: f64,
    /// The image score that is 0 on the normalised scale.
    pub min: f64,
    /// The image score that is 1 on the normalised scale.
    pub max: f64,
    /// Image scores from here to the threshold are unusual, but not anomalous; at most the threshold. None where an older version
    /// made the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<f64>,
    /// The shares of good parts that `warn` and `threshold` were set for; none where an older version made the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_alarms: Option<FalseAlarms>,
    /// Where the threshold would lie in nine of ten folders of as many good images; none where defective images set it, where the images
    /// hardly differ, and in bundles of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// The same for the values of the anomaly map.
    pub map: ScoreRange,
    /// Quantiles of the image scores of normal images.
    pub quantiles: Vec<Quantile>,
    /// How the numbers were obtained, for people.
    pub obtained: String,
}

impl Calibration {
    /// The scale of the image score.
    pub fn score(&self) -> ScoreRange {
        ScoreRange { min: self.min, threshold: self.threshold, max: self.max }
    }

    /// The raw warn level on the scale `range` of the image score, which may have another threshold than the bundle's: the level keeps
    /// its place between the score that is 0 and the threshold. None where the bundle has no warn level.
    pub fn warn_on(&self, range: &ScoreRange) -> Option<f64> {
        let warn = self.warn?;
        if *range == self.score() {
            return Some(warn);
        }
        let place = (warn - self.min) / (self.threshold - self.min);
        Some((range.min + place * (range.threshold - range.min)).min(range.threshold))
    }

    /// Whether the scales, the levels and the interval belong together.
    ///
    /// # Errors
    /// With what was expected and what was found.
    pub(super) fn check(&self) -> Result<(), String> {
        self.score().check("calibration")?;
        self.map.check("calibration.map")?;
        if let Some(interval) = &self.interval {
            interval.check(self.threshold).map_err(|problem| format!("calibration.interval: {problem}"))?;
        }
        if let Some(warn) = self.warn
            && !(self.min < warn && warn <= self.threshold)
        {
            let Self { min, threshold, .. } = self;
            return Err(format!(
                "calibration.warn: expected a level above min = {min} and at most threshold = {threshold}, found {warn}"
            ));
        }
        self.false_alarms
            .map_or(Ok(()), |shares| shares.check().map_err(|e| format!("calibration.false_alarms: {e}")))
    }
}

/// The shares of good parts, 0 to 1, that a level is set to let reach it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FalseAlarms {
    /// Of good parts that are at least in warn; those that are rejected count as well.
    pub warn: f64,
    /// Of good parts that are rejected.
    pub reject: f64,
}

impl FalseAlarms {
    /// Whether these are shares, and no more good parts are to be rejected than to be warned of.
    ///
    /// # Errors
    /// With what was expected and what was found.
    pub fn check(&self) -> Result<(), String> {
        let Self { warn, reject } = *self;
        if !(0.0 < reject && reject <= warn && warn < 1.0) {
            return Err(format!("expected 0 < reject <= warn < 1, found reject {reject}, warn {warn}"));
        }
        Ok(())
    }
}

/// An interval of image scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Interval {
    /// Whether it is finite and holds `value`.
    ///
    /// # Errors
    /// With what was expected and what was found.
    pub(crate) fn check(&self, value: f64) -> Result<(), String> {
        let Self { low, high } = *self;
        match low.is_finite() && high.is_finite() && low <= value && value <= high {
            true => Ok(()),
            false => Err(format!("expected a finite low <= {value} <= high, found {low} and {high}")),
        }
    }
}

/// The raw values that are 0, 0.5 and 1 on the normalised scale.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRange {
    /// Normalised 0.
    pub min: f64,
    /// Normalised 0.5.
    pub threshold: f64,
    /// Normalised 1.
    pub max: f64,
}

impl ScoreRange {
    /// Values beyond make no difference, and sums of values within stay finite.
    const LARGEST: f64 = f64::MAX / 8.0;

    /// The range from `min` over `threshold` to the value as far above the threshold as `min` is below.
    pub fn around(threshold: f64, min: f64) -> Self {
        let threshold = threshold.clamp(-Self::LARGEST, Self::LARGEST);
        // A threshold at or below the minimum still needs a scale with a direction.
        let half =
            (threshold - min).max(threshold.abs() * 1e-3).clamp(f64::MIN_POSITIVE * 1e16, Self::LARGEST);
        Self { min: threshold - half, threshold, max: threshold + half }
    }

    /// The raw value on the normalised scale, 0 to 1, with the threshold at 0.5.
    pub fn normalise(&self, raw: f64) -> f64 {
        ((raw - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }

    /// The same scale for another threshold in the units of `from`; keeps the distance to the minimum in proportion.
    pub fn moved(&self, from: &Self, threshold: f64) -> Self {
        let ratio = (threshold - from.threshold) / (from.threshold - from.min);
        Self::around(self.threshold + ratio * (self.threshold - self.min), self.min)
    }

    fn check(&self, name: &str) -> Result<(), String> {
        let Self { min, threshold, max } = *self;
        let ordered = [min, threshold, max].iter().all(|v| v.abs() <= Self::LARGEST)
            && min < threshold
            && threshold < max;
        let centred = (0.5 * (min + max) - threshold).abs() <= 1e-6 * (max - min);
        if !(ordered && centred) {
            return Err(format!(
                "{name}: expected finite min < threshold < max with the threshold in the middle, found {min}, {threshold}, {max}"
            ));
        }
        Ok(())
    }
}

/// A share of the normal images and the score that it does not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// Share, 0 to 1.
    pub share: f64,
    /// Score.
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_the_middle() {
        let range = ScoreRange::around(10.0, 4.0);
        assert_eq!(range.normalise(10.0), 0.5);
        assert_eq!((range.normalise(4.0), range.normalise(16.0)), (0.0, 1.0));
        assert_eq!((range.normalise(-9.0), range.normalise(99.0)), (0.0, 1.0));
    }

    #[test]
    fn an_absurd_threshold_still_gives_a_scale() {
        for threshold in [f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE] {
            let own = ScoreRange::around(5.0, 1.0);
            for range in
                [ScoreRange::around(threshold, own.min), own.moved(&ScoreRange::around(7.0, 2.0), threshold)]
            {
                assert!(range.min < range.threshold && range.threshold < range.max, "{threshold}: {range:?}");
                assert!((0.0..=1.0).contains(&range.normalise(3.0)), "{threshold}: {range:?}");
            }
        }
    }

    #[test]
    fn a_warn_level_moves_with_the_threshold() {
        let ScoreRange { min, threshold, max } = ScoreRange::around(512.0, 112.0);
        let mut calibration = Calibration {
            threshold,
            min,
            max,
            interval: None,
            warn: Some(412.0),
            false_alarms: None,
            map: ScoreRange::around(1.0, 0.0),
            quantiles: Vec::new(),
            obtained: String::new(),
        };
        let own = calibration.score();
        assert_eq!(calibration.warn_on(&own), Some(412.0));
        let moved = ScoreRange::around(912.0, min);
        assert_eq!(calibration.warn_on(&moved), Some(712.0));
        assert_eq!(moved.normalise(712.0), own.normalise(412.0));
        for threshold in [f64::MAX, f64::MIN, 0.0, 112.0] {
            let moved = ScoreRange::around(threshold, min);
            let warn = calibration.warn_on(&moved).unwrap();
            assert!(warn.is_finite() && warn <= moved.threshold, "{threshold}: {warn}");
        }
        calibration.warn = None;
        assert_eq!(calibration.warn_on(&own), None);
    }

    #[test]
    fn a_moved_threshold_moves_the_map_in_proportion() {
        let (score, map) = (ScoreRange::around(512.0, 0.0), ScoreRange::around(1.0, 0.0));
        assert_eq!(map.moved(&score, 1024.0).threshold, 2.0);
        let low = map.moved(&score, -1.0);
        assert!(low.min < low.threshold && low.threshold < low.max);
    }
}
