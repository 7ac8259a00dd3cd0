//! Times as people read them.

use std::fmt;

/// A time in ns as seconds.
pub fn seconds(time: u64) -> f64 {
    time as f64 / 1e9
}

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

/// How long something will take in seconds, as precise as an estimate is.
pub fn estimate(seconds: f64) -> String {
    let count = |number: f64, unit: &str| match number.round() {
        1.0 => format!("1 {unit}"),
        number => format!("{number:.0} {unit}s"),
    };
    match seconds {
        ..100.0 => count(seconds, "second"),
        ..6000.0 => count(seconds / 60.0, "minute"),
        _ => format!("{:.1} hours", seconds / 3600.0),
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

    #[test]
    fn estimates_are_round() {
        let texts = [0.2, 1.2, 59.6, 100.0, 5999.0, 7200.0].map(estimate);
        assert_eq!(texts, ["0 seconds", "1 second", "60 seconds", "2 minutes", "100 minutes", "2.0 hours"]);
    }
}
