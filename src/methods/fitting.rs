//! What fitting any method needs: its options and the images.

pub use super::spool::Spool;
use super::{cpr, hetmm, patchcore};
use crate::bundle::{self, BackboneInfo, Bundle, Calibration, Manifest, Training};
use crate::dataset::training_images;
use crate::error::{Error, Result};
use crate::frame::{Fit, InputSpec, Picture, Preprocessor, Rect, load_picture};
use crate::methods::cpr::train::Learning;
use crate::network::backbone::Backbone;
use crate::network::{Device, FeatureMap, Network};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Somebody who wants to know how far a fit is, and may stop it.
pub trait Progress {
    /// A new stage of `steps` steps begins.
    fn stage(&mut self, name: &str, steps: usize);
    /// One step of the stage is done.
    fn advance(&mut self);
    /// How the stage is going, in a few words.
    fn detail(&mut self, _text: &str) {}
    /// Something that the user should know.
    fn note(&mut self, message: &str);
    /// Whether the user wants to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Whether a foreground is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Foreground {
    /// If the images look like an object on a plain ground.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The size of the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSize {
    /// Width and height, multiples of 32.
    Fixed(u32, u32),
    /// The shape of the training images, with as many pixels as 320x320.
    Auto,
}

/// Side of the default input.
const SIDE: u32 = 320;

impl Default for InputSize {
    fn default() -> Self {
        Self::Fixed(SIDE, SIDE)
    }
}

/// What to learn from, and how.
#[derive(Debug)]
pub struct FitOptions {
    /// What is inspected, for people.
    pub name: String,
    /// An MVTec-style category or a folder of good images.
    pub data: PathBuf,
    /// The data set's name as the bundle records it.
    pub dataset: String,
    /// The network that the features come from.
    pub backbone: Backbone,
    /// The layers to use; empty: the backbone's default ones.
    pub layers: Vec<String>,
    /// Input size.
    pub size: InputSize,
    /// How images of another shape are brought to that size.
    pub fit: Fit,
    /// Foreground estimation.
    pub foreground: Foreground,
    /// Parameters of the method by name, over its defaults.
    pub set: Vec<(String, String)>,
    /// Seed of everything random.
    pub seed: u64,
    /// An unreadable image fails the fit instead of being left out.
    pub strict: bool,
    /// Where the network runs.
    pub device: Device,
    /// Its threads; 0: all cores.
    pub threads: usize,
    /// A folder with room for what does not fit in memory.
    pub scratch: PathBuf,
    /// The day that the bundle records.
    pub date: String,
    /// What to learn beyond what the good images show as they are; none: nothing.
    pub learning: Option<Learning>,
}

impl FitOptions {
    /// Puts the values of [`FitOptions::set`] over `params`, as [`apply`] does.
    ///
    /// # Errors
    /// As [`apply`].
    pub fn apply<P: Serialize + DeserializeOwned>(&self, params: P) -> Result<P> {
        apply(&self.set, params)
    }

    /// For methods that neither estimate a foreground nor learn features, as CPR does.
    ///
    /// # Errors
    /// If one of these was asked for.
    pub fn refuse_foreground_and_learning(&self, method: &str) -> Result<()> {
        let refuse = |what: &str| {
            Err(Error::Setting(format!("{method} {what}: leave the setting out, or take the method cpr")))
        };
        match (self.foreground, &self.learning) {
            (Foreground::On, _) => refuse("does not estimate a foreground"),
            (_, Some(_)) => refuse("learns no features"),
            _ => Ok(()),
        }
    }

    /// The manifest of a bundle fitted with these options, without training steps.
    pub fn manifest(&self, fitted: Fitted) -> Manifest {
        let card = &self.backbone.card;
        Manifest {
            format: bundle::FORMAT,
            name: self.name.clone(),
            method: fitted.method.into(),
            preset: fitted.preset.into(),
            backbone: BackboneInfo {
                name: card.name.clone(),
                sha256: card.sha256.clone(),
                licence: card.licence.clone(),
                layers: fitted.layers,
            },
            input: fitted.input,
            params: fitted.params,
            calibration: fitted.calibration,
            training: Training {
                images: fitted.images,
                skipped: fitted.skipped,
                seed: self.seed,
                steps: 0,
                branch: None,
                dataset: self.dataset.clone(),
                date: self.date.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
            },
            files: Default::default(),
        }
    }
}

/// Puts the values of `set` over `params`; "a.b=1" names a field of a field.
///
/// # Errors
/// If a name is unknown or a value cannot be read.
pub fn apply<P: Serialize + DeserializeOwned>(set: &[(String, String)], params: P) -> Result<P> {
    let mut value = serde_json::to_value(params).map_err(|e| Error::Setting(e.to_string()))?;
    for (name, text) in set {
        let mut place = &mut value;
        for part in name.split('.') {
            let known = place.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
            place = place.get_mut(part).ok_or_else(|| {
                Error::Setting(format!(
                    "unknown parameter '{name}'; there are: {}",
                    known.unwrap_or_default()
                ))
            })?;
        }
        *place = serde_json::from_str(text)
            .map_err(|_| Error::Setting(format!("parameter '{name}': '{text}' is not a number or a list")))?;
    }
    serde_json::from_value(value).map_err(|e| Error::Setting(format!("parameters: {e}")))
}

/// What a method says of a fit.
#[derive(Debug)]
pub struct Fitted {
    /// The method's name.
    pub method: &'static str,
    /// What its parameters started from.
    pub preset: &'static str,
    /// The layers in use, finest first.
    pub layers: Vec<String>,
    /// What the network wants to see.
    pub input: InputSpec,
    /// The method's parameters.
    pub params: serde_json::Value,
    /// What a score means.
    pub calibration: Calibration,
    /// Number of good images.
    pub images: usize,
    /// Images that could not be read and were left out.
    pub skipped: usize,
}

/// What to add to a bundle.
#[derive(Debug)]
pub struct UpdateOptions {
    /// A folder of good images.
    pub add: PathBuf,
    /// An unreadable image fails the update instead of being left out.
    pub strict: bool,
    /// Where the network runs.
    pub device: Device,
    /// Its threads; 0: all cores.
    pub threads: usize,
    /// A folder with room for what does not fit in memory.
    pub scratch: PathBuf,
    /// The day that the bundle records.
    pub date: String,
}

/// Adds normal images to the bundle in `path` without fitting it anew, and returns its new manifest. Whoever has the bundle
/// open keeps the old one.
///
/// # Errors
/// If the bundle cannot be opened, its method cannot be updated, the images cannot be used or the new bundle cannot be written;
/// then the old one stays.
pub fn update(path: &Path, options: &UpdateOptions, progress: &mut dyn Progress) -> Result<Manifest> {
    let bundle = Bundle::open(path)?;
    match bundle.manifest().method.as_str() {
        cpr::NAME => cpr::update(path, &bundle, options, progress),
        hetmm::NAME => hetmm::update(path, options, progress),
        patchcore::NAME => patchcore::update(path, &bundle, options, progress),
        other => Err(Error::Setting(format!(
            "{}: a bundle of {other} cannot be updated, only one of {}, {} or {}; fit it again with the new images",
            path.display(),
            cpr::NAME,
            hetmm::NAME,
            patchcore::NAME
        ))),
    }
}

/// The good images, read anew in each pass; an unreadable one is left out of all of them.
#[derive(Debug)]
pub struct ImageSet {
    paths: Vec<PathBuf>,
    input: InputSpec,
    strict: bool,
    skipped: usize,
    preprocessors: HashMap<(u32, u32), Preprocessor>,
}

/// Image sizes for which a converter is kept; folders of photographs have one or two.
const KEPT_SIZES: usize = 16;

impl ImageSet {
    /// Finds the images and decides the input's size.
    ///
    /// # Errors
    /// If there are none, or the size is not usable.
    pub fn open(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        let paths = training_images(&options.data)?;
        let (width, height) = match options.size {
            InputSize::Fixed(width, height) => (width, height),
            InputSize::Auto => {
                let size = automatic_size(&paths)?;
                progress.note(&format!("input size: {}x{}", size.0, size.1));
                size
            }
        };
        let card = &options.backbone.card.input;
        let input = InputSpec { width, height, fit: options.fit, mean: card.mean, std: card.std };
        input.check().map_err(Error::Setting)?;
        Ok(Self::new(paths, input, options.strict))
    }

    /// The images in `paths` for a network that wants to see `input`.
    pub fn new(paths: Vec<PathBuf>, input: InputSpec, strict: bool) -> Self {
        Self { paths, input, strict, skipped: 0, preprocessors: HashMap::new() }
    }

    /// The images of a folder, for an input that is decided already.
    ///
    /// # Errors
    /// If there are none.
    pub fn listed(folder: &Path, input: InputSpec, strict: bool) -> Result<Self> {
        Ok(Self::new(training_images(folder)?, input, strict))
    }

    /// Number of images; it shrinks when one turns out to be unreadable.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The images that could be read so far.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether no image is left.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Number of images that were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// What the network wants to see.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Runs `network` on every image and hands the maps to `use_maps`.
    ///
    /// # Errors
    /// If the network or `use_maps` fails, the user interrupts, an image is unreadable and the fit is strict, or none is left.
    pub fn each(
        &mut self,
        network: &mut Network,
        stage: &str,
        progress: &mut dyn Progress,
        mut use_maps: impl FnMut(&[FeatureMap]) -> Result<()>,
    ) -> Result<()> {
        progress.stage(stage, self.paths.len());
        let mut input = network.new_input()?;
        let mut readable = Vec::with_capacity(self.paths.len());
        for path in std::mem::take(&mut self.paths) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            match load_picture(&path) {
                Ok(picture) => {
                    let preprocessor = self.preprocessor(&picture)?;
                    let maps = network.extract(preprocessor, &mut input, &picture.frame()?)?;
                    use_maps(&maps)?;
                    readable.push(path);
                }
                Err(e) if self.strict => return Err(e),
                Err(e) => {
                    self.skipped += 1;
                    progress.note(&format!("left out: {e}"));
                }
            }
            progress.advance();
        }
        self.paths = readable;
        match self.paths.is_empty() {
            true => Err(Error::Fit(format!("none of the {} images can be read", self.skipped))),
            false => Ok(()),
        }
    }

    /// Runs `network` on the first image four more times, each without a strip at another side, and hands the maps to `use_maps`:
    /// what little can be known of how good images differ where there is only one.
    ///
    /// # Errors
    /// As [`ImageSet::each`].
    pub fn shifted_views(
        &mut self,
        network: &mut Network,
        stage: &str,
        progress: &mut dyn Progress,
        mut use_maps: impl FnMut(&[FeatureMap], &mut dyn Progress) -> Result<()>,
    ) -> Result<()> {
        let Some(path) = self.paths.first() else {
            return Err(Error::Fit("there is no image".into()));
        };
        let picture = load_picture(path)?;
        let views = views_without_a_strip(picture.info().width(), picture.info().height());
        progress.stage(stage, views.len());
        let mut input = network.new_input()?;
        for view in views {
            let mut preprocessor = Preprocessor::new(picture.info(), &self.input, Some(view))?;
            let maps = network.extract(&mut preprocessor, &mut input, &picture.frame()?)?;
            use_maps(&maps, progress)?;
        }
        Ok(())
    }

    fn preprocessor(&mut self, picture: &Picture) -> Result<&mut Preprocessor> {
        let size = (picture.info().width(), picture.info().height());
        if self.preprocessors.len() >= KEPT_SIZES && !self.preprocessors.contains_key(&size) {
            self.preprocessors.clear();
        }
        match self.preprocessors.entry(size) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                Ok(entry.insert(Preprocessor::new(picture.info(), &self.input, None)?))
            }
        }
    }
}

/// What a strip leaves of an image, as a share of its side.
const VIEW: f64 = 0.95;

/// The parts of an image that are left without a strip at the left, the right, the top or the bottom.
fn views_without_a_strip(width: u32, height: u32) -> [Rect; 4] {
    let part = |side: u32| ((f64::from(side) * VIEW) as u32).max(1);
    let (w, h) = (part(width), part(height));
    [
        Rect { x: width - w, y: 0, width: w, height },
        Rect { x: 0, y: 0, width: w, height },
        Rect { x: 0, y: height - h, width, height: h },
        Rect { x: 0, y: 0, width, height: h },
    ]
}

/// The shape of the images (the median of their aspect ratios) with about as many pixels as the default input.
fn automatic_size(paths: &[PathBuf]) -> Result<(u32, u32)> {
    let mut ratios: Vec<f64> = paths
        .iter()
        .filter_map(|path| {
            image::ImageReader::open(path).ok()?.with_guessed_format().ok()?.into_dimensions().ok()
        })
        .filter(|&(width, height)| width > 0 && height > 0)
        .map(|(width, height)| f64::from(width) / f64::from(height))
        .collect();
    if ratios.is_empty() {
        return Err(Error::Fit("none of the images can be read".into()));
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2].clamp(1.0 / 16.0, 16.0);
    let side = |length: f64| ((length / 32.0).round() as u32).max(1) * 32;
    Ok((side(f64::from(SIDE) * ratio.sqrt()), side(f64::from(SIDE) / ratio.sqrt())))
}
