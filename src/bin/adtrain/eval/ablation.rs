//! What each part of the cascade is worth: the same images again without it.

use super::judge::{self, Options};
use super::{Evaluation, measure};
use crate::console::Console;
use gstanomaly::cascade::{Cascade, LeftOut};
use gstanomaly::methods::fitting::Progress;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// The metrics without a part.
pub struct Ablation {
    without: &'static str,
    evaluation: Evaluation,
}

/// Evaluates `data` once without each part that the bundle has.
pub fn run(
    cascade: &mut Cascade,
    data: &Path,
    strict: bool,
    console: &mut Console,
) -> anyhow::Result<Vec<Ablation>> {
    let manifest = cascade.bundle().manifest();
    let foreground = manifest.params["foreground"] == true;
    let coarser = manifest.params["scales"].as_array().is_some_and(|scales| scales.len() > 1);
    if manifest.training.branch.is_some() {
        console.note("the learned branch is a part of the bundle; compare with one of --preset raw");
    }
    let parts = [
        ("foreground", foreground, LeftOut { foreground: true, coarser_scales: false }),
        ("coarser scales", coarser, LeftOut { foreground: false, coarser_scales: true }),
        ("both", foreground && coarser, LeftOut { foreground: true, coarser_scales: true }),
    ];
    let mut ablations = Vec::new();
    for (without, _, left_out) in parts.into_iter().filter(|&(_, there, _)| there) {
        cascade.leave_out(left_out);
        let judged = judge::judge(cascade, data, Options { strict, pictures: false }, console);
        cascade.leave_out(LeftOut::default());
        ablations.push(Ablation { without, evaluation: measure(judged?, data)? });
    }
    Ok(ablations)
}

/// The table for people.
pub fn render(all: &Evaluation, ablations: &[Ablation]) -> String {
    let mut text = format!("{:<24}image AUROC  pixel AUROC  pixel AP     PRO (30 %)", "");
    let rows =
        ablations.iter().map(|ablation| (format!("without {}", ablation.without), &ablation.evaluation));
    for (name, evaluation) in std::iter::once(("with everything".into(), all)).chain(rows) {
        let pixels = match &evaluation.pixels {
            Ok(p) => {
                [p.ranking.auroc, p.ranking.average_precision, p.pro].map(|value| format!("{value:<13.4}"))
            }
            Err(_) => Default::default(),
        };
        // A string never fails to grow.
        let _ = write!(text, "\n{name:<24}{:<13.4}{}", evaluation.images.auroc, pixels.concat().trim_end());
    }
    text
}

/// The same for machines.
pub fn to_json(ablations: &[Ablation]) -> Value {
    let of = |ablation: &Ablation| {
        let pixels = ablation.evaluation.pixels.as_ref().ok();
        json!({
            "without": ablation.without,
            "image_auroc": ablation.evaluation.images.auroc,
            "pixel_auroc": pixels.map(|metrics| metrics.ranking.auroc),
            "pixel_ap": pixels.map(|metrics| metrics.ranking.average_precision),
            "pro30": pixels.map(|metrics| metrics.pro),
        })
    };
    ablations.iter().map(of).collect()
}
