//! Decisions at one threshold: what was found, what was missed, what was a false alarm, and how sure that is.

use serde::Serialize;

/// Decisions counted against the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Defective and called so.
    pub found: usize,
    /// Defective and passed as good.
    pub missed: usize,
    /// Good and called defective.
    pub false_alarms: usize,
    /// Good and passed.
    pub passed: usize,
}

impl Confusion {
    /// Counts pairs of truth and decision; true is defective.
    pub fn count(decisions: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut confusion = Self::default();
        for decision in decisions {
            *match decision {
                (true, true) => &mut confusion.found,
                (true, false) => &mut confusion.missed,
                (false, true) => &mut confusion.false_alarms,
                (false, false) => &mut confusion.passed,
            } += 1;
        }
        confusion
    }

    /// Counts pairs of truth and score when every score of at least `threshold` is called defective.
    pub fn at_threshold(threshold: f32, scores: impl IntoIterator<Item = (bool, f32)>) -> Self {
        Self::count(scores.into_iter().map(|(defective, score)| (defective, score >= threshold)))
    }

    /// False alarms among the good.
    pub fn false_alarm_rate(&self) -> Rate {
        Rate { events: self.false_alarms, trials: self.good() }
    }

    /// Misses among the defective.
    pub fn miss_rate(&self) -> Rate {
        Rate { events: self.missed, trials: self.defective() }
    }

    /// Found among the defective: recall.
    pub fn recall(&self) -> Rate {
        Rate { events: self.found, trials: self.defective() }
    }

    /// Found among all that were called defective: precision.
    pub fn precision(&self) -> Rate {
        Rate { events: self.found, trials: self.found + self.false_alarms }
    }

    /// Number of good samples.
    pub fn good(&self) -> usize {
        self.false_alarms + self.passed
    }

    /// Number of defective samples.
    pub fn defective(&self) -> usize {
        self.found + self.missed
    }
}

/// How often something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// How many times.
    pub events: usize,
    /// Out of how many.
    pub trials: usize,
}

impl Rate {
    /// The rate in [0, 1]; none without a trial.
    pub fn value(&self) -> Option<f64> {
        (self.trials > 0).then(|| self.events as f64 / self.trials as f64)
    }

    /// The 95 % confidence interval of the true rate (Wilson, JASA 1927), within [0, 1]; none without a trial.
    ///
    /// No false alarm on 20 parts still allows a true rate of 16 %.
    pub fn confidence(&self) -> Option<(f64, f64)> {
        /// The 97.5 % quantile of the normal distribution.
        const Z: f64 = 1.959_963_984_540_054;
        let (rate, trials) = (self.value()?, self.trials as f64);
        let scale = 1.0 + Z * Z / trials;
        let centre = (rate + Z * Z / (2.0 * trials)) / scale;
        let half = Z / scale * (rate * (1.0 - rate) / trials + (Z / (2.0 * trials)).powi(2)).sqrt();
        let low = if self.events == 0 { 0.0 } else { (centre - half).max(0.0) };
        let high = if self.events == self.trials { 1.0 } else { (centre + half).min(1.0) };
        Some((low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_counted() {
        let scores = [(true, 0.9), (true, 0.5), (true, 0.4), (false, 0.6), (false, 0.1)];
        let confusion = Confusion::at_threshold(0.5, scores);
        assert_eq!(confusion, Confusion { found: 2, missed: 1, false_alarms: 1, passed: 1 });
        assert_eq!((confusion.good(), confusion.defective()), (2, 3));
        assert_eq!(confusion.false_alarm_rate().value(), Some(0.5));
        assert_eq!(confusion.miss_rate(), Rate { events: 1, trials: 3 });
    }

    #[test]
    fn intervals_are_those_of_the_literature() {
        // Newcombe, Statistics in Medicine 1998, table I, method 3.
        for (events, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
        {
            let (found_low, found_high) = Rate { events, trials }.confidence().unwrap();
            assert!((found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5, "{events}/{trials}");
        }
        assert_eq!(Rate { events: 0, trials: 0 }.confidence(), None);
        assert_eq!(Rate { events: 5, trials: 5 }.confidence().unwrap().1, 1.0);
    }
}
