//! `adtrain info`.

use crate::console;
use crate::levels;
use crate::training::{self, Found};
use anyhow::Context;
use gstanomaly::bundle::{Bundle, Manifest};
use gstanomaly::methods::find;
use serde_json::Value;
use std::fmt::Write;
use std::path::PathBuf;

/// Say what a bundle is
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The bundle
    #[arg(value_name = "BUNDLE")]
    model: PathBuf,
    /// Print its manifest as JSON
    #[arg(long)]
    json: bool,
    /// Print only the training images that stand out, a path in each line, for 'adtrain fit --exclude @FILE'
    #[arg(long, conflicts_with = "json")]
    odd: bool,
    /// Compare its files with the hashes in the manifest, too
    #[arg(long)]
    verify: bool,
}

const EXAMPLES: &str = "\
Examples:
  adtrain info bottle.bundle
  adtrain info --verify --json bottle.bundle
  adtrain info --odd bottle.bundle > odd.txt";

/// Prints what a bundle says of itself, if it can be opened.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let bundle = Bundle::open(&arguments.model)?;
    if arguments.verify {
        bundle.verify_hashes()?;
    }
    let manifest = bundle.manifest();
    let found = Found::of(bundle.path(), manifest)?;
    if arguments.odd {
        let found = found.with_context(|| {
            format!("{}: keeps no scores of its training images", arguments.model.display())
        })?;
        let words: Vec<String> = found.paths().into_iter().map(training::word).collect();
        return if words.is_empty() { Ok(()) } else { console::print(&words.join("\n")) };
    }
    if arguments.json {
        return console::print(&serde_json::to_string_pretty(manifest)?);
    }
    let mut text = describe(manifest, &found.map(|found| found.lines()).unwrap_or_default());
    if arguments.verify {
        text += "\nhashes          as in the manifest";
    }
    console::print(&text)
}

fn describe(manifest: &Manifest, odd: &[String]) -> String {
    let Manifest { backbone, input, calibration, training, .. } = manifest;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // A bundle may be anybody's: what is not to be shown could do anything to a terminal.
        let value: String = value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        // A string never fails to grow.
        let _ = writeln!(text, "{name:<16}{value}");
    };
    let fit = serde_json::to_value(input.fit).unwrap_or_default();
    let left_out = training::left_out(training, ["left out", "left out as copies"]);
    let branch = training.branch.as_ref();
    line("name", manifest.name.clone());
    line("method", manifest.title());
    line("backbone", format!("{} ({})", backbone.name, backbone.licence));
    line("layers", backbone.layers.join(", "));
    if !backbone.precision.is_f32() {
        line("computes with", "bytes (--precision int8)".into());
    }
    line("input", format!("{}x{}, {}", input.width, input.height, fit.as_str().unwrap_or_default()));
    line("pixels", format!("(value - {}) / {}", channels(input.mean), channels(input.std)));
    if let Some(range) = input.range {
        line("16 bits", format!("{range} is black to white"));
    }
    line("learned from", format!("{} of {}{left_out}", console::images(training.images), training.dataset));
    let excluded = training.settings.iter().filter_map(|settings| settings.get("exclude")?.as_array());
    for (number, value) in excluded.flatten().enumerate() {
        line(if number == 0 { "excluded" } else { "" }, plain(value));
    }
    for (number, text) in odd.iter().enumerate() {
        line(if number == 0 { "stand out" } else { "" }, text.clone());
    }
    match branch {
        None if find(&manifest.method).is_some_and(|method| method.training.learned_head) => {
            line("learned branch", "none".into())
        }
        None => {}
        Some(branch) => {
            let (steps, batch) = (training.steps, branch.batch);
            line(
                "learned branch",
                format!("{} channels, {steps} steps of batch {batch}, as {}", branch.channels, branch.kind),
            );
            let folder =
                branch.texture_folder.as_ref().map_or("built-in".into(), |name| format!("--textures {name}"));
            line("textures", format!("{folder}: {}", branch.textures));
        }
    }
    let settings = training.settings.iter().flatten().filter(|(name, _)| name.starts_with("learning."));
    for (number, (name, value)) in settings.enumerate() {
        line(if number == 0 { "set for it" } else { "" }, format!("{name} = {}", plain(value)));
    }
    for (number, defect) in branch.iter().flat_map(|branch| &branch.defects).enumerate() {
        line(if number == 0 { "real defects" } else { "" }, defect.name.clone());
    }
    line("fitted", format!("{}, version {}, seed {}", training.date, training.version, training.seed));
    line("threshold", format!("{:.4}", calibration.threshold));
    match calibration.warn {
        Some(warn) => line("warn level", format!("{warn:.4}")),
        None => {
            line("warn level", "none, an older version made this bundle; 'adtrain calibrate' sets one".into())
        }
    }
    if let Some(promise) = levels::promise(calibration) {
        line("set so that", promise);
    }
    if let Some(interval) = levels::interval(calibration) {
        line("uncertainty", interval);
    }
    line("scale", format!("0 is {:.4}, 1 is {:.4}", calibration.min, calibration.max));
    line("calibration", calibration.obtained.clone());
    for (number, text) in parameters("", &manifest.params).into_iter().enumerate() {
        line(if number == 0 { "parameters" } else { "" }, text);
    }
    for (number, (name, file)) in manifest.files.iter().enumerate() {
        let size = match file.bytes {
            bytes @ ..100_000 => format!("{:.1} kB", bytes as f64 * 1e-3),
            bytes => format!("{:.1} MB", bytes as f64 * 1e-6),
        };
        line(if number == 0 { "files" } else { "" }, format!("{name}, {size}"));
    }
    text.truncate(text.trim_end().len());
    text
}

/// What red, green and blue have, once where that is the same.
fn channels(values: [f32; 3]) -> String {
    match values {
        [red, green, blue] if red == green && green == blue => red.to_string(),
        [red, green, blue] => format!("({red}, {green}, {blue})"),
    }
}

/// Every parameter by the name that it has for `--set`, what follows from others included.
fn parameters(above: &str, params: &Value) -> Vec<String> {
    let one = |(name, value): (&String, &Value)| match value {
        Value::Object(_) => parameters(&format!("{above}{name}."), value),
        _ => vec![format!("{above}{name} = {}", plain(value))],
    };
    params.as_object().into_iter().flatten().flat_map(one).collect()
}

/// A value as it is written on the command line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |value| value.to_string())
        }
        other => other.to_string(),
    }
}
