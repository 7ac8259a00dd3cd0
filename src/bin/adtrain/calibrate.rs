//! `adtrain calibrate`.

use crate::arguments::Hardware;
use crate::console::{self, Console};
use crate::interrupt;
use crate::levels;
use gstanomaly::bundle::{Bundle, Calibration, Exclusive, FalseAlarms, LearnedImages, save_manifest};
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::folder_images;
use gstanomaly::evaluate::LevelCounts;
use gstanomaly::evaluate::calibration::{self, FALSE_ALARMS, FEW, Scores};
use gstanomaly::frame::{TraitCounts, load_picture};
use gstanomaly::methods::fitting::{Progress, expect_range, unknown};
use gstanomaly::methods::{Anomaly, Level};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Set a bundle's threshold from images taken where it is used
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// The bundle to change
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Folder of images of good parts; those that the bundle has learned from are left out
    #[arg(long, value_name = "DIR")]
    normal: PathBuf,
    /// Folder of images of defective parts, which the threshold keeps away from as far as good parts allow; can be given again
    #[arg(long, value_name = "DIR")]
    defects: Vec<PathBuf>,
    /// Share of good parts that may be rejected
    #[arg(long, default_value_t = FALSE_ALARMS.reject, value_parser = share, value_name = "SHARE")]
    false_alarms: f64,
    /// Share of good parts that may reach the warn level, those that are rejected included [default: 0.05, or --false-alarms where
    /// that is more]
    #[arg(long, value_parser = share, value_name = "SHARE")]
    warn: Option<f64>,
    /// Fail if an image cannot be read, instead of leaving it out, or if a file would not be used
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hardware: Hardware,
}

/// Images of good parts at least.
const LEAST: usize = 2;

/// The share of images on the wrong side from which on folders may be mixed up; few good parts were there before.
const DOUBTFUL: f64 = 0.5;

const EXAMPLES: &str = "\
Examples:
  adtrain calibrate --model bottle.bundle --normal last_week/good
  adtrain calibrate --model bottle.bundle --normal good --defects scratched --defects dented --false-alarms 0.001
  adtrain calibrate --model bottle.bundle --normal good --false-alarms 0.005 --warn 0.02

Only the threshold, the warn level and the scale of the scores change. With hundreds of good parts the threshold is what the share of false alarms \
asks for; with fewer it is guessed from how much they differ, and 20 are few. Defects that score above all good parts put it midway \
between them. Where most images would have been rejected before, a warning says so: they may be defective. From the warn level to the threshold a part is in warn: it passes, but few good parts are like that. Defects do not move \
that level, unless they lie below it. A pipeline that plays the bundle takes the change up if its 'follow' is true, others when they open it again.";

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("must be between 0 and 1".into()) }
}

impl Arguments {
    /// The shares that the levels are set for.
    fn shares(&self) -> anyhow::Result<FalseAlarms> {
        let reject = self.false_alarms;
        let warn = self.warn.unwrap_or(FALSE_ALARMS.warn.max(reject));
        anyhow::ensure!(
            warn >= reject,
            "--warn {warn} is less than --false-alarms {reject}: a part that is rejected counts for both; give --warn {reject} or more"
        );
        Ok(FalseAlarms { warn, reject })
    }
}

/// Calibrates a bundle.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let shares = arguments.shares()?;
    let alone = Exclusive::lock(&arguments.model)?;
    let mut cascade = arguments.hardware.open(alone.place())?;
    let mut scores = Scores::default();
    let normal = folder_images(&arguments.normal)?.settle(arguments.strict, |text| console.note(text))?;
    let normal = unlearned(cascade.bundle(), &arguments.normal, normal, console)?;
    expect_range(&normal, cascade.bundle().manifest().input.range, console)?;
    each(&mut cascade, &arguments.normal, &normal, arguments.strict, console, |anomaly| {
        scores.normal.push(anomaly.score);
        scores
            .map_means
            .push(anomaly.map.iter().map(|&v| f64::from(v)).sum::<f64>() / anomaly.map.len() as f64);
    })?;
    let found = scores.normal.len();
    anyhow::ensure!(
        found >= LEAST,
        "{}: one image of a good part says nothing of how much they differ; at least {LEAST} are needed, {FEW} or more \
         are better",
        arguments.normal.display()
    );
    for folder in &arguments.defects {
        anyhow::ensure!(
            folder.canonicalize().ok() != arguments.normal.canonicalize().ok(),
            "{}: its images cannot be normal and defective at once",
            folder.display()
        );
        let images = folder_images(folder)?.settle(arguments.strict, |text| console.note(text))?;
        each(&mut cascade, folder, &images, arguments.strict, console, |anomaly| {
            scores.defective.push(anomaly.score)
        })?;
    }
    console.finish();
    if found < FEW {
        console.note(&format!(
            "{found} images of good parts are few to set a threshold by; {FEW} or more are better"
        ));
    }
    let method = cascade.bundle().method();
    let calibration =
        calibration::calibrate(&scores, &shares, calibration::GIVEN, |score| method.map_level(score))?;
    let mut manifest = cascade.bundle().manifest().clone();
    let before = std::mem::replace(&mut manifest.calibration, calibration);
    save_manifest(&alone, &manifest)?;
    for doubt in doubts(&before, &scores, &arguments.normal) {
        console.warn(&doubt);
    }
    console::print(&describe(&before, &manifest.calibration, &scores, arguments.json))
}

/// What looks as if folders were mixed up: a threshold above defective parts lets all of them pass.
fn doubts(before: &Calibration, scores: &Scores, folder: &Path) -> Vec<String> {
    let folder = folder.display();
    let (over, normal) = (over(&scores.normal, before.threshold), scores.normal.len());
    let mut doubts = Vec::new();
    if over as f64 > DOUBTFUL * normal as f64 {
        doubts.push(format!(
            "{folder}: {over} of {normal} images reach the threshold that the bundle had, {:.4}, as defective parts do, and all count as good ones \
             now. If they show defects, or another product, calibrate again with images of good parts; if they are good, because the camera or \
             the light is another one, look at a few with 'adtrain predict' all the same",
            before.threshold
        ));
    }
    let above = |defect: f64| scores.normal.iter().filter(|&&score| score >= defect).count() as f64;
    let beaten = scores.defective.iter().filter(|&&defect| above(defect) > DOUBTFUL * normal as f64).count();
    if beaten as f64 > DOUBTFUL * scores.defective.len() as f64 {
        doubts.push(format!(
            "{beaten} of {} defective images score less than most of the images in {folder}: are the folders mixed up?",
            scores.defective.len()
        ));
    }
    doubts
}

/// How many of the scores reach a threshold.
fn over(scores: &[f64], threshold: f64) -> usize {
    scores.iter().filter(|&&score| score >= threshold).count()
}

/// The images of a folder that the bundle has not learned from. What it knows it finds without any distance, as it will find no part
/// that is yet to come.
fn unlearned(
    bundle: &Bundle,
    folder: &Path,
    images: Vec<PathBuf>,
    console: &mut Console,
) -> anyhow::Result<Vec<PathBuf>> {
    let Some(learned) = LearnedImages::read(bundle.path(), &bundle.manifest().files)? else {
        console
            .note("this bundle does not say which images it has learned from: such ones lower the threshold");
        return Ok(images);
    };
    let found = images.len();
    let new = unknown(images, &learned, console)?;
    anyhow::ensure!(
        found == 0 || !new.is_empty(),
        "{}: the bundle has learned from every image in it ({found}), so that their scores say nothing; take images of other good \
         parts (the fit has set the threshold by its own images already, each against the others)",
        folder.display()
    );
    if new.len() < found {
        console.note(&format!(
            "{} of {found} images are left out: the bundle has learned from them, or the folder has them twice",
            found - new.len()
        ));
    }
    Ok(new)
}

/// Judges the images of a folder.
fn each(
    cascade: &mut Cascade,
    folder: &Path,
    images: &[PathBuf],
    strict: bool,
    console: &mut Console,
    mut use_result: impl FnMut(&Anomaly),
) -> anyhow::Result<()> {
    console.stage(&folder.display().to_string(), images.len());
    let mut judged = 0;
    let mut traits = TraitCounts::default();
    for path in images {
        interrupt::check()?;
        match load_picture(path) {
            Ok(picture) => {
                traits.add(path, picture.traits());
                use_result(&cascade.inspect_picture(&picture)?.0);
                judged += 1;
            }
            Err(e) if strict => return Err(e.into()),
            Err(e) => console.note(&format!("left out: {e}")),
        }
        console.advance();
    }
    traits.notes().iter().for_each(|note| console.note(note));
    anyhow::ensure!(judged > 0, "{}: no image in this folder can be read", folder.display());
    Ok(())
}

fn describe(before: &Calibration, after: &Calibration, scores: &Scores, as_json: bool) -> String {
    let over = |scores: &[f64]| over(scores, after.threshold);
    let (alarms, found) = (over(&scores.normal), over(&scores.defective));
    let false_alarms_before = self::over(&scores.normal, before.threshold);
    let counts = |scores: &[f64]| {
        LevelCounts::count(scores.iter().map(|&score| Level::of(score >= after.threshold, score, after.warn)))
    };
    let (normal, defective) = (counts(&scores.normal), counts(&scores.defective));
    if as_json {
        let result = json!({
            "threshold": after.threshold,
            "threshold_before": before.threshold,
            "warn": after.warn,
            "warn_before": before.warn,
            "normal": scores.normal.len(),
            "false_alarms": alarms,
            "false_alarms_before": false_alarms_before,
            "defective": scores.defective.len(),
            "found": found,
            "levels": {"normal": normal, "defective": defective},
            "calibration": after,
        });
        return format!("{result:#}");
    }
    let mut text = format!(
        "{}\n{alarms} of {} normal images are over it",
        levels::threshold(after, Some(before)),
        scores.normal.len(),
    );
    if !scores.defective.is_empty() {
        text += &format!(", {found} of {} defective ones", scores.defective.len());
    }
    if let Some(warn) = levels::warn(after, Some(before)) {
        text += &format!("\n{warn}\nnormal images: {normal}");
        if !scores.defective.is_empty() {
            text += &format!("\ndefective images: {defective}");
        }
    }
    text
}
