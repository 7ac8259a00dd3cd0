//! How many images came to which level.

use crate::methods::Level;
use serde::Serialize;

/// Images of one kind, counted by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LevelCounts {
    /// Below the warn level.
    pub normal: usize,
    /// From the warn level on, but not rejected.
    pub warn: usize,
    /// Rejected.
    pub reject: usize,
}

impl LevelCounts {
    /// Counts levels.
    pub fn count(levels: impl IntoIterator<Item = Level>) -> Self {
        let mut counts = Self::default();
        for level in levels {
            *match level {
                Level::Normal => &mut counts.normal,
                Level::Warn => &mut counts.warn,
                Level::Reject => &mut counts.reject,
            } += 1;
        }
        counts
    }
}

impl std::fmt::Display for LevelCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { normal, warn, reject } = self;
        write!(f, "{normal} normal, {warn} in warn, {reject} rejected")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_counted() {
        let levels = [Level::Reject, Level::Normal, Level::Warn, Level::Normal];
        let counts = LevelCounts::count(levels);
        assert_eq!(counts, LevelCounts { normal: 2, warn: 1, reject: 1 });
        assert_eq!(counts.to_string(), "2 normal, 1 in warn, 1 rejected");
    }
}
