//! The comparison as a table in Markdown.

use gstanomaly::evaluate::{ComparedMethod, Comparison, MethodFigures, Rate};

const HEADINGS: [&str; 11] = [
    "method",
    "image AUROC",
    "pixel AUROC",
    "pixel AP",
    "PRO",
    "false alarms",
    "missed",
    "ms per frame",
    "features + retrieve + score",
    "bank, MB",
    "fit, s",
];

/// The table, its columns aligned for those who read it as it is; the reasons of failures below it.
pub fn markdown(comparison: &Comparison) -> String {
    let mut rows: Vec<[String; 11]> = vec![HEADINGS.map(Into::into)];
    rows.extend(comparison.methods.iter().map(row));
    let widths: [usize; 11] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 11]| {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(i, (cell, width))| match i {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        format!("| {} |", cells.join(" | "))
    };
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(i, width)| if i == 0 { "-".repeat(width + 2) } else { format!("{}:", "-".repeat(width + 1)) })
        .collect();
    let mut lines = vec![
        format!("{}: {}; {}", comparison.title, comparison.facts.join(", "), comparison.date),
        String::new(),
        line(&rows[0]),
        format!("|{}|", rule.join("|")),
    ];
    lines.extend(rows[1..].iter().map(line));
    for note in &comparison.notes {
        lines.extend([String::new(), format!("Note: {note}")]);
    }
    let failed =
        comparison.methods.iter().filter_map(|method| Some((method, method.outcome.as_ref().err()?)));
    let failed: Vec<String> = failed.map(|(method, reason)| format!("- {}: {reason}", method.name)).collect();
    if !failed.is_empty() {
        lines.extend([String::new(), "Failed:".into(), String::new()]);
        lines.extend(failed);
    }
    lines.join("\n")
}

fn row(method: &ComparedMethod) -> [String; 11] {
    // A name is the user's own text; a bar would end its cell.
    let name = method.name.replace('|', "\\|");
    let Ok(figures) = &method.outcome else {
        return std::array::from_fn(|i| match i {
            0 => name.clone(),
            1 => "failed".into(),
            _ => String::new(),
        });
    };
    let MethodFigures { image_auroc, pixels, confusion, timing, bank_bytes, fit_seconds } = figures;
    let metric = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
    let rate = |rate: Rate| format!("{}/{}", rate.events, rate.trials);
    [
        name,
        metric(Some(*image_auroc)),
        metric(pixels.map(|pixels| pixels.auroc)),
        metric(pixels.map(|pixels| pixels.average_precision)),
        metric(pixels.map(|pixels| pixels.pro)),
        rate(confusion.false_alarm_rate()),
        rate(confusion.miss_rate()),
        format!("{:.1}", timing.total),
        format!("{:.1} + {:.1} + {:.1}", timing.features, timing.retrieve, timing.score),
        format!("{:.1}", *bank_bytes as f64 * 1e-6),
        fit_seconds.map_or_else(|| "–".into(), |seconds| format!("{seconds:.0}")),
    ]
}
