//! A decision that holds: it changes only after enough frames in a row say so.

use serde::{Deserialize, Serialize};

/// The decision of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    anomalous: bool,
    /// Frames in a row that contradict it.
    against: u32,
}

impl Decision {
    /// Takes in one frame; returns the decision and whether it has just changed. It changes after `hold` frames in a row
    /// (0 and 1: at once).
    pub fn update(&mut self, anomalous: bool, hold: u32) -> (bool, bool) {
        if anomalous == self.anomalous {
            self.against = 0;
            return (self.anomalous, false);
        }
        self.against += 1;
        if self.against < hold {
            return (self.anomalous, false);
        }
        *self = Self { anomalous, against: 0 };
        (anomalous, true)
    }

    /// The present decision.
    pub fn anomalous(&self) -> bool {
        self.anomalous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_at_once_without_hold() {
        let mut decision = Decision::default();
        assert_eq!(decision.update(true, 0), (true, true));
        assert_eq!(decision.update(true, 0), (true, false));
        assert_eq!(decision.update(false, 1), (false, true));
    }

    #[test]
    fn a_short_disturbance_does_not_count() {
        let mut decision = Decision::default();
        let seen = [true, true, false, true, true, true, false];
        let changes: Vec<bool> = seen.iter().map(|&frame| decision.update(frame, 3).1).collect();
        assert_eq!(changes, [false, false, false, false, false, true, false]);
        assert!(decision.anomalous());
    }
}
