//! `adtrain eval`.

mod ablation;
pub mod judge;
pub mod report;
mod table;

use crate::arguments::{self, Hardware};
use crate::console::{self, Console};
use crate::files;
use anyhow::Context;
use gstanomaly::cascade::Cascade;
use gstanomaly::evaluate::{
    Confusion, LevelCounts, MetricParams, PixelMetrics, RankingMetrics, image_metrics,
};
use judge::{Judged, JudgedImage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Measure a bundle on images whose condition is known
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// The bundle to measure
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Data set with test/good and test/DEFECT, and masks in ground_truth/DEFECT if there are any
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write the result as JSON; - writes to standard output instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a report to look at, worst decisions first
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Measure again without the foreground and without the coarser scales, to see what they are worth
    #[arg(long)]
    ablate: bool,
    /// Fail if an image cannot be read or a defective one has no mask, instead of leaving it out, or if a file would not be used
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    hardware: Hardware,
}

const EXAMPLES: &str = "\
Examples:
  adtrain eval --model bottle.bundle --data bottle
  adtrain eval --model bottle.bundle --data bottle --json result.json --report report.html

A mask has the size of its image; what is not background in it, which is black or transparent, is defective. It is called as its image, with _mask behind it or not, or is one of several in a folder of that name. Images of good parts are in test/good, test/ok or test/normal. Maps and masks are compared at the size at \
which the network sees the image. Where some defective images have masks, those without do not count for the pixel \
metrics.";

/// What was measured.
pub struct Evaluation {
    pub judged: Judged,
    pub images: RankingMetrics,
    /// Or why there are none.
    pub pixels: Result<PixelMetrics, String>,
    pub confusion: Confusion,
}

/// Evaluates a bundle.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let options = judge::Options { strict: arguments.strict, pictures: arguments.report.is_some() };
    // A slip of the finger is not to come to light when everything has been judged.
    for file in arguments.report.iter().chain(&arguments.json).filter(|file| *file != Path::new("-")) {
        files::expect_writable(file)?;
    }
    let mut cascade = arguments.hardware.open(&arguments.model)?;
    let judged = judge::judge(&mut cascade, &arguments.data, options, console)?;
    let mut evaluation = measure(judged, &arguments.data)?;
    let ablations = match arguments.ablate {
        true => ablation::run(&mut cascade, &arguments.data, arguments.strict, console)?,
        false => Vec::new(),
    };
    console.finish();

    let mut json = evaluation.to_json(&cascade);
    if arguments.ablate {
        json["ablation"] = ablation::to_json(&ablations);
    }
    // The figures first: a file that cannot be written is not to take them along.
    match &arguments.json {
        Some(file) if file == Path::new("-") => console::print(&format!("{json:#}"))?,
        _ => {
            let mut text = table::render(&evaluation, &cascade);
            if arguments.ablate {
                text += &format!("\n\n{}", ablation::render(&evaluation, &ablations));
            }
            console::print(&text)?;
        }
    }
    let written = match &arguments.json {
        Some(file) if file != Path::new("-") => files::write(file, format!("{json:#}\n").as_bytes()),
        _ => Ok(()),
    };
    // The one is no reason to lose the other.
    if let Some(file) = &arguments.report {
        report::write(file, &mut evaluation, &cascade, &arguments::folder_name(&arguments.data))?;
    }
    written
}

/// The metrics of judged images.
pub fn measure(mut judged: Judged, data: &Path) -> anyhow::Result<Evaluation> {
    let params = MetricParams::default();
    let labels: Vec<bool> = judged.images.iter().map(|image| image.is_defective).collect();
    let scores: Vec<f32> = judged.images.iter().map(|image| image.score as f32).collect();
    let images = image_metrics(&labels, &scores, &params).with_context(|| data.display().to_string())?;
    let pixels = match judged.pixels.take() {
        None if judged.empty_masks > 0 => {
            Err("the masks of all defective test images are black all over".into())
        }
        None => Err("no defective test image has a mask in ground_truth".into()),
        Some(samples) => Ok(samples.finish(&params).context("pixel metrics")?),
    };
    let decision = |image: &JudgedImage| (image.is_defective, image.is_anomalous());
    let confusion = Confusion::count(judged.images.iter().map(decision));
    Ok(Evaluation { judged, images, pixels, confusion })
}

impl Evaluation {
    /// Good images (false) or defective ones (true), counted by level.
    pub fn levels(&self, defective: bool) -> LevelCounts {
        let those = self.judged.images.iter().filter(|image| image.is_defective == defective);
        LevelCounts::count(those.map(|image| image.level))
    }

    /// The result for machines.
    pub fn to_json(&self, cascade: &Cascade) -> Value {
        let images = &self.judged.images;
        let pixels = self.pixels.as_ref().ok();
        let mut result = json!({
            "images": {
                "good": self.confusion.good(),
                "defective": self.confusion.defective(),
                "skipped": self.judged.skipped.len(),
                "without_mask": self.judged.without_mask,
                "empty_masks": self.judged.empty_masks,
                "learned_from": self.judged.learned,
            },
            "image_auroc": self.images.auroc,
            "image_ap": self.images.average_precision,
            "image_f1max": self.images.f1_max,
            "pixel_auroc": pixels.map(|metrics| metrics.ranking.auroc),
            "pixel_ap": pixels.map(|metrics| metrics.ranking.average_precision),
            "pro30": pixels.map(|metrics| metrics.pro),
            "threshold": cascade.bundle().manifest().calibration.threshold,
            "warn": cascade.bundle().manifest().calibration.warn,
            "levels": {"good": self.levels(false), "defective": self.levels(true)},
            "false_alarm_rate": self.confusion.false_alarm_rate().value(),
            "miss_rate": self.confusion.miss_rate().value(),
            "ms": {
                "features": self.judged.times.features,
                "retrieve": self.judged.times.retrieve,
                "score": self.judged.times.score,
                "total": self.judged.times.total,
            },
            "skipped": self.judged.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect::<Vec<_>>(),
            "per_image": images.iter().map(|image| json!({
                "path": image.path, "label": image.label, "score": image.score, "normalized": image.normalized,
                "level": image.level,
            })).collect::<Vec<_>>(),
        });
        if let Err(reason) = &self.pixels {
            result["no_pixel_metrics"] = json!(reason);
        }
        result
    }
}
