//! Times as people read them.

pub use gstanomaly::dataset::Length;

/// A time in ns as seconds.
pub fn seconds(time: u64) -> f64 {
    time as f64 / 1e9
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
    fn estimates_are_round() {
        let texts = [0.2, 1.2, 59.6, 100.0, 5999.0, 7200.0].map(estimate);
        assert_eq!(texts, ["0 seconds", "1 second", "60 seconds", "2 minutes", "100 minutes", "2.0 hours"]);
    }
}
