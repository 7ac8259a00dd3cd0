//! The result for people.

use super::Evaluation;
use gstanomaly::cascade::Cascade;
use gstanomaly::evaluate::Rate;
use std::fmt::Write;

/// The table that `adtrain eval` prints.
pub fn render(evaluation: &Evaluation, cascade: &Cascade) -> String {
    let Evaluation { judged, images, pixels, confusion } = evaluation;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // A string never fails to grow.
        let _ = writeln!(text, "{name:<18}{value}");
    };
    let mut counts = format!("{} good, {} defective", confusion.good(), confusion.defective());
    if !judged.skipped.is_empty() {
        counts += &format!(", {} left out because they cannot be read", judged.skipped.len());
    }
    line("images", counts);
    line("image AUROC", format!("{:.4}", images.auroc));
    line("image AP", format!("{:.4}", images.average_precision));
    line("image F1 max", format!("{:.4}", images.f1_max));
    match pixels {
        Ok(pixels) => {
            line("pixel AUROC", format!("{:.4}", pixels.ranking.auroc));
            line("pixel AP", format!("{:.4}", pixels.ranking.average_precision));
            line("PRO (30 %)", format!("{:.4}", pixels.pro));
        }
        Err(reason) => line("pixel metrics", format!("none: {reason}")),
    }
    let calibration = &cascade.bundle().manifest().calibration;
    line("threshold", format!("{:.4}", calibration.threshold));
    if let Some(warn) = calibration.warn {
        line("warn level", format!("{warn:.4}"));
    }
    line("false alarms", rate(confusion.false_alarm_rate(), "good"));
    line("missed", rate(confusion.miss_rate(), "defective"));
    if calibration.warn.is_some() {
        line("good by level", evaluation.levels(false).to_string());
        line("defects by level", evaluation.levels(true).to_string());
    }
    let times = &judged.times;
    line(
        "time per image",
        format!(
            "{:.1} ms: features {:.1}, retrieve {:.1}, score {:.1} ({})",
            times.total,
            times.features,
            times.retrieve,
            times.score,
            cascade.device().name()
        ),
    );
    text.truncate(text.trim_end().len());
    text
}

fn rate(rate: Rate, class: &str) -> String {
    let share = rate.value().map_or_else(String::new, |share| format!(" ({:.1} %)", share * 100.0));
    format!("{} of {} {class}{share}", rate.events, rate.trials)
}
