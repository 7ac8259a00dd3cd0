//! Arguments that several verbs take, and how their values are read.

pub use crate::common::hardware::Hardware;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use gstanomaly::bundle::{Bundle, Manifest, open_shared};
use gstanomaly::cascade::Cascade;
use gstanomaly::frame::Fit;
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize, PixelRange, Progress};
use gstanomaly::methods::{cpr, hetmm, npad, patchcore};
use gstanomaly::network::Precision;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Hardware {
    /// Opens a bundle and makes it ready to inspect.
    pub fn open(&self, model: &Path) -> anyhow::Result<Cascade> {
        self.prepare()?;
        self.cascade(model)
    }

    /// The same, once prepared.
    pub fn cascade(&self, model: &Path) -> anyhow::Result<Cascade> {
        let bundle: Arc<Bundle> = open_shared(model)?;
        Ok(Cascade::new(bundle, self.device, self.threads)?)
    }
}

/// A method that can be fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Cascade patch retrieval
    Cpr,
    /// A coreset of normal patches
    Patchcore,
    /// Template mutual matching
    Hetmm,
    /// Neighbouring pixels' distributions
    Npad,
}

/// A method, or the choice of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodArgument {
    /// The one that finds most small defects drawn into good images held out.
    Auto,
    /// This one.
    Named(Method),
}

impl ValueEnum for MethodArgument {
    fn value_variants<'a>() -> &'a [Self] {
        use Method::{Cpr, Hetmm, Npad, Patchcore};
        &[Self::Auto, Self::Named(Cpr), Self::Named(Patchcore), Self::Named(Hetmm), Self::Named(Npad)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Auto => Some(PossibleValue::new("auto").help(
                "The one that finds most small defects drawn into good images held out: cpr unless another is clearly better",
            )),
            Self::Named(method) => method.to_possible_value(),
        }
    }
}

impl Method {
    /// Whether the settings of `options` can be used with its images; nothing is learned yet.
    pub fn check(self, options: &FitOptions) -> gstanomaly::Result<()> {
        match self {
            Self::Cpr => cpr::check(options),
            Self::Patchcore => patchcore::check(options),
            Self::Hetmm => hetmm::check(options),
            Self::Npad => npad::check(options),
        }
    }

    /// Fits a bundle of it to the good images of `options` and writes it to `out`.
    pub fn fit(
        self,
        options: &FitOptions,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> gstanomaly::Result<Manifest> {
        match self {
            Self::Cpr => cpr::fit(options, out, progress),
            Self::Patchcore => patchcore::fit(options, out, progress),
            Self::Hetmm => hetmm::fit(options, out, progress),
            Self::Npad => npad::fit(options, out, progress),
        }
    }

    /// What it is called on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
    }
}

/// What the network computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArgument {
    /// Numbers of 32 bits
    F32,
    /// Bytes, where it can: faster on a processor, and a little less exact
    Int8,
}

impl From<PrecisionArgument> for Precision {
    fn from(precision: PrecisionArgument) -> Self {
        match precision {
            PrecisionArgument::F32 => Self::F32,
            PrecisionArgument::Int8 => Self::Int8,
        }
    }
}

/// How images of another shape are brought to the input's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FitArgument {
    /// Scaled to the input's size
    Stretch,
    /// Scaled to fit inside, the rest black
    Pad,
    /// Scaled to cover it, the rest cut off
    Crop,
}

impl From<FitArgument> for Fit {
    fn from(fit: FitArgument) -> Self {
        match fit {
            FitArgument::Stretch => Self::Stretch,
            FitArgument::Pad => Self::Pad,
            FitArgument::Crop => Self::Crop,
        }
    }
}

/// Brings images to the input's size in one way, or, where `resize` is given, scaled to that many pixels and cut from the middle.
pub fn fit_of(fit: FitArgument, resize: Option<u32>) -> anyhow::Result<Fit> {
    match (fit, resize) {
        (fit, None) => Ok(fit.into()),
        (FitArgument::Crop, Some(side)) => Ok(Fit::Centre(side)),
        _ => anyhow::bail!("--resize goes with --fit crop: it says how large the image is that is cropped"),
    }
}

/// Whether a foreground is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForegroundArgument {
    /// If the images look like objects on a plain background
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

impl From<ForegroundArgument> for Foreground {
    fn from(foreground: ForegroundArgument) -> Self {
        match foreground {
            ForegroundArgument::Auto => Self::Auto,
            ForegroundArgument::On => Self::On,
            ForegroundArgument::Off => Self::Off,
        }
    }
}

/// How the nearest patch of a bank is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IndexArgument {
    /// By comparing with all
    Exact,
    /// By a graph that leads to it
    Approximate,
}

impl IndexArgument {
    /// The value as [`setting`] takes it.
    pub fn value(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| format!("\"{}\"", value.get_name()))
    }
}

/// Reads `WxH` or `auto`.
pub fn input_size(text: &str) -> Result<InputSize, String> {
    if text == "auto" {
        return Ok(InputSize::Auto);
    }
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let (width, height): (u32, u32) =
        sides.ok_or("expected WIDTHxHEIGHT in pixels, such as 320x320, or auto")?;
    let usable = |side: u32| side > 0 && side.is_multiple_of(32);
    if !usable(width) || !usable(height) {
        return Err("both sides must be multiples of 32".into());
    }
    Ok(InputSize::Fixed(width, height))
}

/// Reads `BLACK-WHITE`, `auto` or `full`.
pub fn pixel_range(text: &str) -> Result<PixelRange, String> {
    match text {
        "auto" => Ok(PixelRange::Auto),
        "full" => Ok(PixelRange::Full),
        range => range.parse().map(PixelRange::Fixed),
    }
}

/// Pixels of an image at most.
pub fn pixels(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(pixels @ 1..=MOST_PIXELS) => Ok(pixels),
        _ => Err(format!("expected a number of pixels, 1 to {MOST_PIXELS}")),
    }
}

/// Images of more pixels than this would not fit in any memory.
const MOST_PIXELS: u64 = 1 << 40;

/// Reads a factor of contrast.
pub fn contrast(text: &str) -> Result<f32, String> {
    let factor: f32 = text.parse().map_err(|_| "expected a number, such as 2")?;
    if (0.1..=10.0).contains(&factor) { Ok(factor) } else { Err("must be 0.1 to 10".into()) }
}

/// Reads `NAME=VALUE`.
pub fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as neighbours=5")?;
    Ok((name.trim().into(), value.trim().into()))
}

/// Reads a number of sheets, or all; the value as [`setting`] takes it.
pub fn sheets(text: &str) -> Result<String, String> {
    match (text, text.parse::<usize>()) {
        ("all" | "null", _) => Ok("null".into()),
        (_, Ok(2..)) => Ok(text.into()),
        _ => Err("expected a number of sheets, such as 60 and at least 2, or all".into()),
    }
}

/// The last part of a path, with what `.` and `..` stand for.
pub fn folder_name(path: &Path) -> String {
    let whole: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| "unnamed".into(), |name| name.to_string_lossy().into_owned())
}

/// The folder that a path lies in.
pub fn folder_around(out: &Path) -> PathBuf {
    match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
