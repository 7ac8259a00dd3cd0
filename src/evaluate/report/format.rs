//! Numbers as a reader wants them.

/// A metric to four digits; only what is exactly 1 is shown as 1.
pub(super) fn rounded(value: f64) -> String {
    let text = format!("{value:.4}");
    if value < 1.0 && text == "1.0000" { "0.9999".into() } else { text }
}

/// A rate to a tenth of a percent; only what is exactly all or nothing is shown so.
pub(super) fn percent(rate: f64) -> String {
    let text = format!("{:.1}", 100.0 * rate);
    match text.as_str() {
        "100.0" if rate < 1.0 => "99.9".into(),
        "0.0" if rate > 0.0 => "0.1".into(),
        "100.0" => "100".into(),
        "0.0" => "0".into(),
        _ => text,
    }
}

/// A score to four significant digits, whatever its scale.
pub(super) fn significant(score: f32) -> String {
    let magnitude = if score == 0.0 { 0 } else { score.abs().log10().floor() as i32 };
    if !(-4..7).contains(&magnitude) {
        return format!("{score:.3e}");
    }
    format!("{score:.*}", (3 - magnitude).max(0) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_never_rounded_up_to_perfect() {
        assert_eq!(
            (rounded(1.0), rounded(0.99999), rounded(0.98765)),
            ("1.0000".into(), "0.9999".into(), "0.9877".into())
        );
        assert_eq!(percent(0.9999), "99.9");
        assert_eq!(percent(0.0001), "0.1");
        assert_eq!((percent(1.0), percent(0.0), percent(0.0164)), ("100".into(), "0".into(), "1.6".into()));
    }

    #[test]
    fn scores_of_any_scale_are_readable() {
        let texts = [0.0, 0.0123, 0.5, 12.3456, 123456.7, 1e-9, -3.25].map(significant);
        assert_eq!(
            texts,
            ["0.000", "0.01230", "0.5000", "12.35", "123457", "1.000e-9", "-3.250"].map(String::from)
        );
    }
}
