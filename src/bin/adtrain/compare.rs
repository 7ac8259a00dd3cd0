//! `adtrain compare`.

mod entry;
mod examples;
mod resume;
mod table;

use crate::arguments::{self, FitArgument, ForegroundArgument, Hardware, Method};
use crate::common::interrupt;
use crate::console::{self, Console};
use crate::eval::judge::{self, Options};
use crate::eval::{Evaluation, measure};
use crate::files;
use crate::{date, learning};
use anyhow::{Context, bail};
use entry::{Entries, Entry};
use gstanomaly::bundle::{BANK, Manifest};
use gstanomaly::dataset::{TestImage, expect_good_and_defective, test_images, training_images};
use gstanomaly::evaluate::calibration::FEW;
use gstanomaly::evaluate::{ComparedMethod, Comparison, MethodFigures, PixelFigures};
use gstanomaly::methods::cpr::train::Resume;
use gstanomaly::methods::fitting::{FitOptions, InputSize, PixelRange, Progress};
use gstanomaly::network::backbone::Backbone;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Learn and measure several methods on one product
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// Data set with train/good to learn from, test/good and test/DEFECT to judge, and masks in ground_truth/DEFECT
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Methods to compare, as in cpr:faster:neighbours=5: behind colons a preset of cpr, and values of the method's parameters, size,
    /// backbone, layers, contrast or precision
    #[arg(
        long,
        value_parser = entry::parse_all,
        default_value = "cpr,patchcore,hetmm,npad",
        value_name = "METHOD,.."
    )]
    methods: Entries,
    /// Folder for the comparison and the bundles
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Network of all methods that name no other: a name from 'adtrain backbones', or an ONNX file with its card
    #[arg(long, default_value = "efficientnet-lite0", value_name = "NAME|FILE")]
    backbone: String,
    /// Size of the images for all methods that name no other, in multiples of 32; auto: 320x320 for images that are nearly square, for
    /// others their own shape with about as many pixels
    #[arg(long, default_value = "auto", value_parser = arguments::input_size, value_name = "WxH|auto")]
    size: InputSize,
    /// What to do with images of another shape
    #[arg(long, value_enum, default_value = "stretch")]
    fit: FitArgument,
    /// With --fit crop: scale the shorter side to this many pixels, then cut the input from the middle
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65536), value_name = "PIXELS")]
    resize: Option<u32>,
    /// What is black and white in images of 16 bits a channel, such as 0-4095 of a camera of 12 bits; auto: the values of as many
    /// bits as the images use; full: all values
    #[arg(long, default_value = "auto", value_parser = arguments::pixel_range, value_name = "BLACK-WHITE|auto|full")]
    range: PixelRange,
    /// For cpr: weight what belongs to the object higher than the ground it lies on
    #[arg(long, value_enum, default_value = "auto")]
    foreground: ForegroundArgument,
    /// Set a parameter of a method wherever it is compared, such as patchcore.coreset=0.01; can be given again
    #[arg(long, value_parser = entry::set, value_name = "METHOD.NAME=VALUE")]
    set: Vec<(Method, (String, String))>,
    /// Start of the random numbers
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Take bundles of these settings that are in FOLDER already as they are, and go on with interrupted trainings
    #[arg(long)]
    resume: bool,
    /// Fail a method if an image cannot be read or a defective one has no mask, instead of leaving it out, if a file would not be used, or
    /// if images to learn from have quite different sizes
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
  adtrain compare --data bottle --out comparison
  adtrain compare --data bottle --methods cpr,cpr:faster,patchcore:coreset=0.01 --out comparison
  adtrain compare --data bottle --methods patchcore:size=224x224,hetmm:sheets=all --backbone resnet50.onnx --out comparison
  adtrain compare --data bottle --set npad.channels=100 --set patchcore.coreset=0.01 --out comparison

FOLDER gets compare.html to look at, compare.md with the table, compare.json with everything that 'adtrain eval' says of \
each method, and the bundles. A method that fails is a row with its reason; the others go on, and the exit code is 1. All methods \
are fitted anew and bundles in FOLDER replaced, unless --resume is given. After Ctrl-C the bundles that are complete stay.";

/// The files of a comparison.
const JSON: &str = "compare.json";
const MARKDOWN: &str = "compare.md";
const PAGE: &str = "compare.html";

/// A method that was fitted and measured.
struct Measured {
    manifest: Manifest,
    fit_seconds: Option<f64>,
    evaluation: Evaluation,
    /// As `adtrain eval` has it.
    json: Value,
    device: &'static str,
}

/// A method and what came of it; without a result why there is none.
struct Row<'a> {
    entry: &'a Entry,
    outcome: Result<Measured, String>,
}

/// Compares methods.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    check(arguments)?;
    let tests = tests(&arguments.data)?;
    let learned = training_images(&arguments.data)?.images.len();
    arguments.hardware.prepare()?;
    let out = &arguments.out;
    // A slip of the finger is not to come to light after an hour.
    for entry in &arguments.methods.0 {
        let checked = options(arguments, entry, &out.join(entry.bundle_name()))
            .and_then(|options| Ok((entry.method.training.check)(&options)?));
        checked.with_context(|| entry.text.clone())?;
    }
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    files::expect_writable(&out.join(JSON))?;
    // What they say would no longer be true of the bundles.
    for name in [JSON, MARKDOWN, PAGE] {
        remove(&out.join(name))?;
    }
    let mut rows = Vec::new();
    for entry in &arguments.methods.0 {
        console.about(&entry.text);
        let outcome = match fit_and_measure(arguments, entry, console) {
            Err(error) if interrupt::is_cause(&error) => return Err(error),
            Err(error) => Err(console::describe(&error)),
            Ok(measured) => Ok(measured),
        };
        if let Err(reason) = &outcome {
            console.finish();
            console.note(&format!("failed: {reason}"));
        }
        rows.push(Row { entry, outcome });
    }
    console.about("");
    let comparison = Comparison {
        title: arguments::folder_name(&arguments.data),
        date: date::today()?,
        device: rows.iter().find_map(|row| row.outcome.as_ref().ok()).map_or("", |m| m.device).into(),
        facts: facts(&tests, learned, arguments.seed),
        notes: notes(&tests, learned, &rows),
        methods: rows.iter().map(Row::compared).collect(),
        examples: examples::make(arguments, &tests, &rows, console)?,
    };
    console.finish();
    let json = to_json(arguments, &comparison, &rows);
    let table = table::markdown(&comparison);
    // The figures first: a file that cannot be written is not to take them along.
    match arguments.json {
        true => console::print(&format!("{json:#}"))?,
        false => console::print(&format!("{table}\n\n{}", out.join(PAGE).display()))?,
    }
    files::write(&out.join(JSON), format!("{json:#}\n").as_bytes())?;
    files::write(&out.join(MARKDOWN), format!("{table}\n").as_bytes())?;
    comparison.write(out.join(PAGE))?;
    let failed: Vec<&str> =
        rows.iter().filter(|row| row.outcome.is_err()).map(|row| row.entry.text.as_str()).collect();
    anyhow::ensure!(
        failed.is_empty(),
        "{} of {} methods failed: {}",
        failed.len(),
        rows.len(),
        failed.join(", ")
    );
    Ok(())
}

/// An error if the entries cannot be told apart, or a setting is of none of them.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let mut names = HashSet::new();
    for entry in &arguments.methods.0 {
        anyhow::ensure!(names.insert(entry.bundle_name()), "--methods names {} twice", entry.text);
    }
    for (method, (name, _)) in &arguments.set {
        anyhow::ensure!(
            arguments.methods.0.iter().any(|entry| entry.method == *method),
            "--set {0}.{name}: {0} is not compared; add it to --methods",
            method.name
        );
    }
    arguments::fit_of(arguments.fit, arguments.resize)?;
    Ok(())
}

/// The test images; said before the work if they would not do.
fn tests(data: &Path) -> anyhow::Result<Vec<TestImage>> {
    // What is not used of them is said when they are judged.
    let tests = test_images(data)?.images;
    expect_good_and_defective(&tests, data)?;
    Ok(tests)
}

fn facts(tests: &[TestImage], learned: usize, seed: u64) -> Vec<String> {
    let good = tests.iter().filter(|test| !test.is_defective()).count();
    vec![
        match learned {
            1 => "1 good image to learn from".into(),
            _ => format!("{learned} good images to learn from"),
        },
        format!("{good} good and {} defective ones to judge", tests.len() - good),
        format!("seed {seed}"),
    ]
}

/// What makes the figures worth less than they look.
fn notes(tests: &[TestImage], learned: usize, rows: &[Row<'_>]) -> Vec<String> {
    let known =
        rows.iter().filter_map(|row| Some(row.outcome.as_ref().ok()?.evaluation.judged.learned)).max();
    let known = known.filter(|&known| known > 0).map(|known| {
        format!(
            "{known} of the {} test images are among those that were learned from, so that the figures are better than they should be.",
            tests.len()
        )
    });
    let few = (learned < FEW).then(|| {
        format!(
            "With so few good images to learn from ({learned}) the methods' ranking of parts tells more than their thresholds: where \
             these lie is a guess, and so are false alarms and misses, until 'adtrain update' or 'adtrain calibrate' has seen more \
             good parts."
        )
    });
    known.into_iter().chain(few).collect()
}

/// Fits and measures one method.
fn fit_and_measure(arguments: &Arguments, entry: &Entry, console: &mut Console) -> anyhow::Result<Measured> {
    let bundle = arguments.out.join(entry.bundle_name());
    let options = options(arguments, entry, &bundle)?;
    let fit_seconds = match resume::finished(arguments, entry, &options, &bundle, console)? {
        true => None,
        false => {
            let start = Instant::now();
            (entry.method.training.fit)(&options, &bundle, console)?;
            Some(start.elapsed().as_secs_f64())
        }
    };
    let mut cascade = arguments.hardware.cascade(&bundle)?;
    let how = Options { strict: arguments.strict, pictures: false };
    let judged = judge::judge(&mut cascade, &arguments.data, how, console)?;
    let evaluation = measure(judged, &arguments.data)?;
    Ok(Measured {
        manifest: cascade.bundle().manifest().clone(),
        fit_seconds,
        json: evaluation.to_json(&cascade),
        evaluation,
        device: cascade.device().name(),
    })
}

fn options(arguments: &Arguments, entry: &Entry, bundle: &Path) -> anyhow::Result<FitOptions> {
    let dataset = arguments::folder_name(&arguments.data);
    let common = arguments.set.iter().filter(|(method, _)| *method == entry.method);
    let (branch, set) = learning::split(common.map(|(_, setting)| setting).chain(&entry.set).cloned());
    let learning = entry.preset.learning(bundle).map(|mut learning| {
        learning.resume = if arguments.resume { Resume::IfPossible } else { Resume::Anew };
        learning.set = branch.clone();
        learning
    });
    if learning.is_none()
        && let Some((name, _)) = branch.first()
    {
        bail!("learning.{name} needs a learned branch; choose one, as in cpr:faster");
    }
    // A method without a foreground refuses to be asked for one; here it is asked of those that have it.
    let foreground =
        if entry.method.training.foreground { arguments.foreground } else { ForegroundArgument::Auto };
    Ok(FitOptions {
        name: dataset.clone(),
        data: arguments.data.clone(),
        dataset,
        exclude: Vec::new(),
        backbone: Backbone::open(entry.backbone.as_ref().unwrap_or(&arguments.backbone))?
            .with_contrast(entry.contrast),
        precision: entry.precision.into(),
        layers: entry.layers.clone(),
        size: entry.size.unwrap_or(arguments.size),
        fit: arguments::fit_of(arguments.fit, arguments.resize)?,
        range: arguments.range,
        foreground: foreground.into(),
        set,
        seed: arguments.seed,
        strict: arguments.strict,
        device: arguments.hardware.device,
        threads: arguments.hardware.threads,
        scratch: arguments.out.clone(),
        date: date::today()?,
        learning,
    })
}

impl Row<'_> {
    fn compared(&self) -> ComparedMethod {
        let description = self.outcome.as_ref().map(|measured| {
            let Manifest { backbone, input, .. } = &measured.manifest;
            format!(
                "{}, {} {}, {}x{}",
                measured.manifest.title(),
                backbone.title(),
                backbone.layers.join("+"),
                input.width,
                input.height
            )
        });
        ComparedMethod {
            name: self.entry.text.clone(),
            description: description.unwrap_or_default(),
            outcome: self.outcome.as_ref().map(Measured::figures).map_err(Clone::clone),
        }
    }

    fn to_json(&self) -> Value {
        let mut row = match &self.outcome {
            Err(reason) => json!({ "failed": reason }),
            Ok(measured) => {
                let mut row = measured.json.clone();
                let Manifest { method, preset, backbone, input, training, .. } = &measured.manifest;
                row["bundle"] = self.entry.bundle_name().into();
                row["method"] = json!(method);
                row["preset"] = json!(preset);
                row["backbone"] = json!(backbone);
                row["input"] = json!(input);
                row["training_images"] = training.images.into();
                row["bank_bytes"] = measured.bank_bytes().into();
                row["fit_seconds"] = json!(measured.fit_seconds);
                row
            }
        };
        row["name"] = json!(self.entry.text);
        row
    }
}

impl Measured {
    fn bank_bytes(&self) -> u64 {
        self.manifest.files.get(BANK).map_or(0, |file| file.bytes)
    }

    fn figures(&self) -> MethodFigures {
        let pixels = self.evaluation.pixels.as_ref().ok();
        MethodFigures {
            image_auroc: self.evaluation.images.auroc,
            pixels: pixels.map(|metrics| PixelFigures {
                auroc: metrics.ranking.auroc,
                average_precision: metrics.ranking.average_precision,
                pro: metrics.pro,
            }),
            confusion: self.evaluation.confusion,
            timing: self.evaluation.judged.times,
            bank_bytes: self.bank_bytes(),
            fit_seconds: self.fit_seconds,
        }
    }
}

fn to_json(arguments: &Arguments, comparison: &Comparison, rows: &[Row<'_>]) -> Value {
    json!({
        "dataset": comparison.title,
        "date": comparison.date,
        "device": comparison.device,
        "seed": arguments.seed,
        "notes": comparison.notes,
        "version": env!("CARGO_PKG_VERSION"),
        "methods": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
    })
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context(file.display().to_string()),
        _ => Ok(()),
    }
}
