//! Times as people read them.

use std::fmt;

/// A time in a video in ns as `H:MM:SS.s`.
#[derive(Clone, Copy, Debug)]
pub struct Length(pub u64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0 / 100_000_000;
        let (seconds, tenths) = (tenths / 10, tenths % 10);
        write!(f, "{}:{:02}:{:02}.{tenths}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_on_a_clock() {
        assert_eq!(Length(0).to_string(), "0:00:00.0");
        assert_eq!(Length(3_661_960_000_000).to_string(), "1:01:01.9");
        assert_eq!(Length(360_000_000_000_000).to_string(), "100:00:00.0");
    }
}
