//! The two levels of a bundle in words.

use gstanomaly::bundle::{Calibration, FalseAlarms};

/// What the levels let through, in plain words; none where an older version made the bundle, which did not say.
pub fn promise(calibration: &Calibration) -> Option<String> {
    let FalseAlarms { warn, reject } = calibration.false_alarms?;
    Some(format!(
        "of good parts, about {} are to be rejected and {} to reach the warn level",
        percent(reject),
        percent(warn)
    ))
}

/// How sure the threshold is, in words; none where the bundle does not say.
pub fn interval(calibration: &Calibration) -> Option<String> {
    let interval = calibration.interval.as_ref()?;
    Some(format!("{:.4} to {:.4} with other images in nine of ten cases", interval.low, interval.high))
}

/// The threshold, what it was `before`, and how it was obtained.
pub fn threshold(calibration: &Calibration, before: Option<&Calibration>) -> String {
    let was = before.map_or_else(String::new, |before| format!(", was {:.4}", before.threshold));
    let interval = interval(calibration).map_or_else(String::new, |interval| format!(" ({interval})"));
    format!("threshold {:.4}{was}{interval}: {}", calibration.threshold, calibration.obtained)
}

/// The warn level, what it was `before`, and what both levels let through; none where the bundle has none.
pub fn warn(calibration: &Calibration, before: Option<&Calibration>) -> Option<String> {
    let was =
        before.and_then(|before| before.warn).map_or_else(String::new, |warn| format!(", was {warn:.4}"));
    let promise = promise(calibration).map_or_else(String::new, |promise| format!(": {promise}"));
    calibration.warn.map(|warn| format!("warn level {warn:.4}{was}{promise}"))
}

/// A line for each level.
pub fn describe(calibration: &Calibration, before: Option<&Calibration>) -> String {
    let lines: Vec<String> =
        std::iter::once(threshold(calibration, before)).chain(warn(calibration, before)).collect();
    lines.join("\n")
}

/// A share in percent, with as many digits as it has.
fn percent(share: f64) -> String {
    // Shares are decimal fractions: what is beyond 12 digits is rounding.
    let rounded = (share * 1e2 * 1e10).round() / 1e10;
    format!("{} %", if rounded > 0.0 { rounded } else { share * 1e2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_as_they_were_given() {
        let read = [0.005, 0.05, 0.07, 0.001, 1e-9, 0.29].map(percent);
        assert_eq!(read, ["0.5 %", "5 %", "7 %", "0.1 %", "0.0000001 %", "29 %"]);
    }
}
