//! `adtrain update`.

use crate::arguments::{self, Hardware};
use crate::console::{self, Console};
use crate::date;
use crate::levels;
use gstanomaly::bundle::{self, Manifest};
use gstanomaly::evaluate::calibration::GIVEN;
use gstanomaly::methods::fitting::{Progress, UpdateOptions, Updated, update};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// Add images of good parts to a bundle, without learning it anew
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// The bundle to change; of the method cpr, hetmm or patchcore
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Folder of images of good parts; those that the bundle has learned from already are left out
    #[arg(long, value_name = "DIR")]
    add: PathBuf,
    /// Fail if an image cannot be read, instead of leaving it out, if a file would not be used, or if images have quite different sizes
    #[arg(long)]
    strict: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hardware: Hardware,
}

const EXAMPLES: &str = "\
Examples:
  adtrain update --model bottle.bundle --add false_alarms_of_today

The bundle takes in what it does not know yet, and its threshold is set anew, also where 'adtrain calibrate' had set it. The new bundle appears when it is complete. A pipeline \
that plays the old one takes it over between two frames if 'follow' is true, or as soon as 'model' is set again.";

/// Updates a bundle.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let start = Instant::now();
    arguments.hardware.prepare()?;
    // Nothing there is an error that says so best when the bundle is opened.
    let place = bundle::place(&arguments.model).unwrap_or_else(|_| arguments.model.clone());
    let options = UpdateOptions {
        add: arguments.add.clone(),
        strict: arguments.strict,
        device: arguments.hardware.device,
        threads: arguments.hardware.threads,
        scratch: arguments::folder_around(&place),
        date: date::today()?,
    };
    let Updated { before, after, added } = update(&arguments.model, &options, console)?;
    console.finish();
    if added > 0 && before.calibration.obtained.starts_with(GIVEN) {
        console.note("the threshold that 'adtrain calibrate' had set is replaced; calibrate again to have it from such images");
    }
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        let result = json!({
            "bundle": arguments.model, "seconds": seconds, "images_added": added,
            "images_before": before.training.images, "threshold_before": before.calibration.threshold,
            "warn_before": before.calibration.warn, "manifest": after,
        });
        return console::print(&format!("{result:#}"));
    }
    if added == 0 {
        return console::print(&format!(
            "{}: nothing new; it stays as it is, with {} images",
            arguments.model.display(),
            after.training.images
        ));
    }
    let rows = |manifest: &Manifest| manifest.params.get("rows").and_then(serde_json::Value::as_u64);
    // Only where new images do not simply join the bank.
    let rows = match (rows(&after), rows(&before)) {
        (Some(after), Some(before)) => format!("; {after} rows, {before} before"),
        _ => String::new(),
    };
    console::print(&format!(
        "{}: {} images, {} before{rows}; in {seconds:.0} s\n{}",
        arguments.model.display(),
        after.training.images,
        before.training.images,
        levels::describe(&after.calibration, Some(&before.calibration)),
    ))
}
