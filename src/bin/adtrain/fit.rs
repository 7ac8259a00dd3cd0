//! `adtrain fit`.

use crate::arguments::{
    self, FitArgument, ForegroundArgument, Hardware, Method, MethodArgument, MethodFlags, PrecisionArgument,
};
use crate::choice::{self, Choice};
use crate::console::{self, Console};
use crate::date;
use crate::files;
use crate::learning::{self, LearningArguments, Settings};
use crate::levels;
use crate::training::{self, Found, Maps};
use anyhow::Context;
use gstanomaly::bundle::Manifest;
use gstanomaly::methods::fitting::{FitOptions, InputSize, PixelRange, excluded};
use gstanomaly::network::backbone::Backbone;
use serde_json::json;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Learn a bundle from images of good parts
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// Folder of good images, or a data set with train/good in it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Leave an image out: its path, its path in DIR, its name, or a pattern such as 'scratched_*'; @FILE names a list with one of these
    /// in each line; can be given again
    #[arg(long, value_name = "IMAGE|@FILE")]
    exclude: Vec<String>,
    /// How to compare with what is normal
    #[arg(long, value_enum, default_value = Method::default().name)]
    method: MethodArgument,
    /// The bundle to write: a new folder, or a bundle to replace
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// Network that the features come from: a name from 'adtrain backbones', or an ONNX file with its card
    #[arg(long, default_value = "efficientnet-lite0", value_name = "NAME|FILE")]
    backbone: String,
    #[arg(long, value_delimiter = ',', value_name = "A,B,..", help = arguments::layers_help())]
    layers: Vec<String>,
    /// What the network computes with
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionArgument,
    /// How much of the images' contrast the network sees; more shows faint defects better, and on some products hides them: try it with
    /// 'adtrain compare --methods cpr,cpr:contrast=2'
    #[arg(long, default_value_t = 1.0, value_parser = arguments::contrast, value_name = "FACTOR")]
    contrast: f32,
    /// Size at which the network sees the images, in multiples of 32; auto: 320x320 for images that are nearly square, for others their
    /// own shape with about as many pixels
    #[arg(long, default_value = "auto", value_parser = arguments::input_size, value_name = "WxH|auto")]
    size: InputSize,
    /// What to do with images of another shape
    #[arg(long, value_enum, default_value = "stretch")]
    fit: FitArgument,
    /// With --fit crop: scale the shorter side to this many pixels, then cut the input from the middle, as in 256 for 224x224
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65536), value_name = "PIXELS")]
    resize: Option<u32>,
    /// What is black and white in images and frames of 16 bits a channel, such as 0-4095 of a camera of 12 bits; auto: the values of as many
    /// bits as the images use; full: all values
    #[arg(long, default_value = "auto", value_parser = arguments::pixel_range, value_name = "BLACK-WHITE|auto|full")]
    range: PixelRange,
    /// Weight what belongs to the object higher than the ground it lies on
    #[arg(long, value_enum, default_value = "auto")]
    foreground: ForegroundArgument,
    #[command(flatten)]
    flags: MethodFlags,
    /// Set a parameter of the method, such as neighbours=5, or of the learned branch, such as learning.samples.queries=1200; can be
    /// given again
    #[arg(long, value_parser = arguments::setting, value_name = "NAME=VALUE")]
    set: Vec<(String, String)>,
    /// Start of the random numbers: the same seed gives the same bundle
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Fail if an image cannot be read, instead of leaving it out, if a file would not be used, or if images have quite different sizes
    #[arg(long)]
    strict: bool,
    /// What is inspected, for people [default: the name of the data folder]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Write a page about the training images: what each scores against the others, those that stand out with their anomaly maps, and
    /// typical ones
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    hardware: Hardware,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    // Last, because its heading holds for what follows.
    #[command(flatten)]
    learning: LearningArguments,
}

const EXAMPLES: &str = "\
Examples:
  adtrain fit --data good_images --out part.bundle
  adtrain fit --data bottle --foreground on --set neighbours=5 --out bottle.bundle
  adtrain fit --data rails --size 640x128 --out rails.bundle
  adtrain fit --data bottle --method patchcore --coreset 0.01 --size 224x224 --fit crop --resize 256 --out bottle.bundle
  adtrain fit --data bottle --method hetmm --size 256x256 --sheets 60 --out bottle.bundle
  adtrain fit --data bottle --preset faster --out bottle.bundle
  adtrain fit --data bottle --report training.html --exclude train/good/017.png --exclude @odd.txt --out bottle.bundle

A bundle appears when it is complete; if anything fails, or on Ctrl-C, an old one stays as it was. What the learned branch \
has learned when it is interrupted, or when something fails afterwards, is kept in BUNDLE.checkpoint; the same command with --resume \
goes on and ends with the same bundle as if nothing had happened.";

/// Fits a bundle.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let start = Instant::now();
    let method = arguments.named_method()?;
    let (learning, set) = settings(arguments, method.unwrap_or_default())?;
    let learning = arguments.learning.learning(&arguments.out, learning);
    arguments.hardware.prepare()?;
    let dataset = arguments::folder_name(&arguments.data);
    let mut options = FitOptions {
        name: arguments.name.clone().unwrap_or_else(|| dataset.clone()),
        data: arguments.data.clone(),
        dataset,
        exclude: excluded(&arguments.exclude)?,
        backbone: Backbone::open(&arguments.backbone)?.with_contrast(arguments.contrast),
        precision: arguments.precision.into(),
        layers: arguments.layers.clone(),
        size: arguments.size,
        fit: arguments::fit_of(arguments.fit, arguments.resize)?,
        range: arguments.range,
        foreground: arguments.foreground.into(),
        set,
        seed: arguments.seed,
        strict: arguments.strict,
        device: arguments.hardware.device,
        threads: arguments.hardware.threads,
        scratch: arguments::folder_around(&arguments.out),
        date: date::today()?,
        learning,
    };
    if let Some(file) = &arguments.report {
        // A slip of the finger is not to come to light after the fit.
        files::expect_writable(file).context("--report")?;
    }
    let (method, trials) = match method {
        Some(method) => (method, Vec::new()),
        None => {
            let Choice { method, set, trials } = choice::choose(&options, console)?;
            options.set = set;
            (method, trials)
        }
    };
    let mut maps = Maps::new(console, arguments.report.is_some());
    let manifest = (method.training.fit)(&options, &arguments.out, &mut maps)?;
    let found = Found::of(&arguments.out, &manifest)?;
    let reported = match (&arguments.report, &found) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(anyhow::anyhow!("--report: a single image was not scored against others")),
        (Some(file), Some(found)) => found.write(file, &arguments.out, &manifest, &arguments.data, &maps),
    };
    console.finish();
    // The bundle is there, whatever became of the page.
    let seconds = start.elapsed().as_secs_f64();
    if arguments.json {
        let result = json!({
            "bundle": arguments.out, "seconds": seconds, "tried": trials, "foreground": manifest.params["foreground"],
            "odd_images": found.as_ref().map(Found::to_json), "manifest": manifest,
        });
        console::print(&format!("{result:#}"))?;
    } else {
        let odd = found.map(|found| found.describe(&arguments.out)).unwrap_or_default();
        console::print(&format!("{}{odd}", describe(&arguments.out, &manifest, seconds)))?;
    }
    reported
}

impl Arguments {
    /// The method that was asked for; none if it is to be chosen.
    ///
    /// # Errors
    /// If a setting that only some methods have is given for one that is to be chosen.
    fn named_method(&self) -> anyhow::Result<Option<Method>> {
        let own = [
            ("--set".to_owned(), !self.set.is_empty()),
            ("--layers".into(), !self.layers.is_empty()),
            (
                self.flags.first().map_or_else(String::new, |name| format!("--{name}")),
                self.flags.first().is_some(),
            ),
            ("--foreground".into(), self.foreground != ForegroundArgument::Auto),
            ("settings of a learned branch".into(), self.learning.are_given()),
        ];
        let named = match self.method {
            MethodArgument::Auto => None,
            MethodArgument::Named(method) => Some(method),
        };
        if let (None, Some((name, _))) = (named, own.iter().find(|(_, given)| *given)) {
            anyhow::bail!(
                "--method auto tries each method with its own settings: leave out {name}, or name the method"
            );
        }
        Ok(named)
    }
}

/// Parameters of the learned branch that were set, and of the method, by `--set` or by a flag of its own.
fn settings(arguments: &Arguments, chosen: Method) -> anyhow::Result<(Settings, Settings)> {
    let mut set = Vec::new();
    for (flag, value) in arguments.flags.of(chosen)? {
        anyhow::ensure!(
            arguments.set.iter().all(|(other, _)| other != flag.setting),
            "--{} and --set {} are the same setting: give one of them",
            flag.name,
            flag.setting
        );
        set.push((flag.setting.into(), value));
    }
    let mut names = HashSet::new();
    for (name, _) in &arguments.set {
        anyhow::ensure!(names.insert(name), "--set {name} is given twice");
    }
    let (learning, own) = learning::split(arguments.set.iter().cloned());
    set.extend(own.into_iter().map(|(name, value)| {
        // As its flag has it.
        let flag = chosen.training.flags.iter().find(|flag| flag.setting == name);
        let value = flag.and_then(|flag| (flag.read)(&value).ok()).unwrap_or(value);
        (name, value)
    }));
    Ok((learning, set))
}

fn describe(out: &Path, manifest: &Manifest, seconds: f64) -> String {
    let left_out = training::left_out(
        &manifest.training,
        ["left out because they cannot be read", "left out as copies of others"],
    );
    let foreground = match manifest.params.get("foreground").and_then(serde_json::Value::as_bool) {
        Some(true) => ", foreground on",
        Some(false) => ", foreground off",
        None => "",
    };
    format!(
        "{}: {} with {} at {}x{}{foreground}, learned from {}{left_out} in {seconds:.0} s\n\
         {}",
        out.display(),
        manifest.method,
        manifest.backbone.title(),
        manifest.input.width,
        manifest.input.height,
        console::images(manifest.training.images),
        levels::describe(&manifest.calibration, None),
    )
}
