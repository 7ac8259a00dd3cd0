//! What a frame comes to in one word.

use serde::{Deserialize, Serialize};

/// The level of a frame, the better one first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As good parts are.
    #[default]
    Normal,
    /// Less usual than good parts are as a rule, but not anomalous.
    Warn,
    /// Anomalous.
    Reject,
}

impl Level {
    /// Of a frame with this decision and this raw score; `warn` is the raw score from which on a frame is in warn, none where no such
    /// level is known. A score that is no finite number rejects: it cannot be compared.
    pub fn of(anomalous: bool, score: f64, warn: Option<f64>) -> Self {
        match warn {
            _ if anomalous || !score.is_finite() => Self::Reject,
            Some(warn) if score >= warn => Self::Warn,
            _ => Self::Normal,
        }
    }

    /// As metadata, messages and tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warn => "warn",
            Self::Reject => "reject",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_follows_the_decision_before_the_score() {
        assert_eq!(Level::of(true, 0.0, Some(5.0)), Level::Reject);
        assert_eq!(Level::of(false, 5.0, Some(5.0)), Level::Warn);
        assert_eq!(Level::of(false, 5.0_f64.next_down(), Some(5.0)), Level::Normal);
        for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Level::of(false, score, Some(5.0)), Level::Reject);
        }
        assert_eq!((Level::of(false, 9.0, None), Level::of(true, 9.0, None)), (Level::Normal, Level::Reject));
        assert!(Level::Normal < Level::Warn && Level::Warn < Level::Reject);
    }

    #[test]
    fn json_has_the_same_names() {
        for level in [Level::Normal, Level::Warn, Level::Reject] {
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{}\"", level.name()));
        }
    }
}
