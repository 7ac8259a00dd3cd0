//! Arguments that several verbs take, and how their values are read.

pub use crate::common::hardware::Hardware;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use gstanomaly::bundle::{Bundle, open_shared};
use gstanomaly::cascade::Cascade;
use gstanomaly::frame::Fit;
use gstanomaly::methods::fitting::{Foreground, InputSize, PixelRange};
use gstanomaly::methods::{Descriptor, Flag, METHODS};
use gstanomaly::network::Precision;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

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
#[derive(Clone, Copy, Debug)]
pub struct Method(&'static Descriptor);

/// Two entries of the registry never have the same name.
impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Method {}

impl Deref for Method {
    type Target = Descriptor;

    fn deref(&self) -> &Descriptor {
        self.0
    }
}

impl Default for Method {
    fn default() -> Self {
        Self(METHODS[0])
    }
}

static ALL: LazyLock<Vec<Method>> = LazyLock::new(|| METHODS.iter().copied().map(Method).collect());

impl ValueEnum for Method {
    fn value_variants<'a>() -> &'a [Self] {
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name).help(self.summary))
    }
}

/// A method, or the choice of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodArgument {
    /// The one that finds most small defects drawn into good images held out.
    Auto,
    /// This one.
    Named(Method),
}

static ARGUMENTS: LazyLock<Vec<MethodArgument>> = LazyLock::new(|| {
    let named = ALL.iter().copied().map(MethodArgument::Named);
    std::iter::once(MethodArgument::Auto).chain(named).collect()
});

impl ValueEnum for MethodArgument {
    fn value_variants<'a>() -> &'a [Self] {
        &ARGUMENTS
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

/// The help of `--layers`.
pub fn layers_help() -> String {
    let each: Vec<String> =
        METHODS.iter().map(|method| format!("{}: {}", method.name, method.training.layers)).collect();
    format!("Layers of the backbone; {}", each.join("; "))
}

/// Settings of single methods that have a flag of their own.
#[derive(Clone, Debug, Default)]
pub struct MethodFlags(Vec<(Method, &'static Flag, String)>);

impl MethodFlags {
    /// The flag that was given first, if one was.
    pub fn first(&self) -> Option<&'static str> {
        self.0.first().map(|(_, flag, _)| flag.name)
    }

    /// What was given, as settings of `chosen`.
    ///
    /// # Errors
    /// If a flag is that of another method.
    pub fn of(&self, chosen: Method) -> anyhow::Result<Vec<(&'static Flag, String)>> {
        let own = self.0.iter().map(|(method, flag, value)| {
            anyhow::ensure!(
                *method == chosen,
                "--{} is a setting of {}, not of {}",
                flag.name,
                method.name,
                chosen.name
            );
            Ok((*flag, value.clone()))
        });
        own.collect()
    }
}

/// The flags of all methods.
fn flags() -> impl Iterator<Item = (Method, &'static Flag)> {
    ALL.iter().flat_map(|method| method.0.training.flags.iter().map(|flag| (*method, flag)))
}

impl clap::Args for MethodFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        flags().fold(command, |command, (method, flag)| {
            let argument = clap::Arg::new(flag.name)
                .long(flag.name)
                .value_name(flag.value_name)
                .help(format!("{}: {}", method.name, flag.help))
                .value_parser(flag.read);
            command.arg(argument)
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for MethodFlags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let given = flags()
            .filter_map(|(method, flag)| Some((method, flag, matches.get_one::<String>(flag.name)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
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
