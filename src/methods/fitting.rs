//! What fitting any method needs: its options, the images and room for their features.

mod depth;
mod distinct;
mod exclude;
mod images;
mod mixture;
mod precision;
mod room;
mod settings;
mod size;
mod spool;
mod twins;

pub use depth::expect_range;
pub(crate) use depth::value_range;
pub use distinct::unknown;
pub use exclude::excluded;
pub use images::ImageSet;
pub(crate) use precision::{in_bytes, with_precision};
pub(crate) use room::{free_disk, free_memory};
pub use settings::apply;
pub(crate) use settings::plain;
pub use spool::Spool;
pub use twins::Twins;

use super::{METHODS, find};
use crate::bundle::{self, BackboneInfo, Bundle, Calibration, Exclusive, Manifest, Training};
use crate::error::{Error, Result};
use crate::frame::{Fit, InputSpec, ValueRange};
use crate::methods::cpr::train::Learning;
use crate::network::backbone::{Backbone, CardInput};
use crate::network::{Device, Precision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    /// To calibrate, the image of this number in the bank's order was scored without itself: its anomaly map, raw values,
    /// `[input height, input width]`. Of several for an image the last counts.
    fn scored(&mut self, _image: usize, _map: &[f32]) {}
    /// Whether the user wants to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Nobody wants to know, and nobody stops it.
impl Progress for () {
    fn stage(&mut self, _name: &str, _steps: usize) {}
    fn advance(&mut self) {}
    fn note(&mut self, _message: &str) {}
}

/// Whether a foreground is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Foreground {
    /// If the images look like objects on a plain background.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The size of the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputSize {
    /// Width and height, multiples of 32.
    Fixed(u32, u32),
    /// The shape of the training images, with as many pixels as 320x320; 320x320 itself where they are nearly square.
    #[default]
    Auto,
}

/// What is black and white in images of 16 bits a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelRange {
    /// The values of as many bits as the training images use.
    #[default]
    Auto,
    /// All values.
    Full,
    /// These values.
    Fixed(ValueRange),
}

/// What to learn from, and how.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// What is inspected, for people.
    pub name: String,
    /// An MVTec-style category or a folder of good images.
    pub data: PathBuf,
    /// The data set's name as the bundle records it.
    pub dataset: String,
    /// Images that are not to be learned from: paths, paths in the folder, names or patterns with `*` and `?`, each of which means at
    /// least one.
    pub exclude: Vec<String>,
    /// The network that the features come from.
    pub backbone: Backbone,
    /// What it computes with.
    pub precision: Precision,
    /// The layers to use; empty: the backbone's default ones.
    pub layers: Vec<String>,
    /// Input size.
    pub size: InputSize,
    /// How images of another shape are brought to that size.
    pub fit: Fit,
    /// What is black and white in images of 16 bits a channel.
    pub range: PixelRange,
    /// Foreground estimation.
    pub foreground: Foreground,
    /// Parameters of the method by name, over its defaults.
    pub set: Vec<(String, String)>,
    /// Seed of everything random.
    pub seed: u64,
    /// An unreadable image fails the fit instead of being left out, and so do files that would not be used and images of quite different
    /// sizes.
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
    pub fn apply<P: Serialize + DeserializeOwned>(&self, params: P, decided: &[&str]) -> Result<P> {
        apply(&self.set, params, decided, "")
    }

    /// What was asked for, by the name of the setting. The same wish is the same value, however it was written.
    pub fn settings(&self) -> BTreeMap<String, Value> {
        let mut layers = self.layers.clone();
        layers.sort();
        // A card that names others now asks for something else.
        let card = &self.backbone.card;
        let layers = match layers.is_empty() {
            true => json!({ "default": card.default_layers, "learned": card.learned_layers }),
            false => json!(layers),
        };
        let size = match self.size {
            InputSize::Auto => "auto".into(),
            InputSize::Fixed(width, height) => format!("{width}x{height}"),
        };
        let CardInput { mean, std, .. } = &card.input;
        let scaling = format!("mean {mean:?}, std {std:?}");
        let own = [
            ("size", json!(size)),
            ("scaling", json!(scaling)),
            ("fit", json!(self.fit)),
            ("foreground", json!(self.foreground)),
            ("layers", layers),
        ];
        let range = match self.range {
            PixelRange::Auto => None,
            PixelRange::Full => Some(json!("full")),
            PixelRange::Fixed(range) => Some(json!(range)),
        };
        let range = range.map(|range| ("range".into(), range));
        let precision = (!self.precision.is_f32()).then(|| ("precision".into(), json!(self.precision)));
        let exclude = (!self.exclude.is_empty()).then(|| ("exclude".into(), json!(self.exclude)));
        let set = self.set.iter().map(|(name, text)| (name.clone(), plain(text)));
        let learning = self.learning.iter().flat_map(Learning::settings);
        own.map(|(name, value)| (name.into(), value))
            .into_iter()
            .chain(range)
            .chain(precision)
            .chain(exclude)
            .chain(set)
            .chain(learning.map(|(name, value)| (format!("learning.{name}"), value)))
            .collect()
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
    pub fn manifest(&self, fitted: Fitted<'_>) -> Manifest {
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
                precision: self.precision,
            },
            input: fitted.input,
            params: fitted.params,
            calibration: fitted.calibration,
            training: Training {
                images: fitted.images.len(),
                skipped: fitted.images.skipped(),
                copies: fitted.images.copies().len(),
                twins: fitted.images.twins().count(),
                seed: self.seed,
                steps: 0,
                branch: None,
                dataset: self.dataset.clone(),
                date: self.date.clone(),
                version: env!("CARGO_PKG_VERSION").into(),
                settings: Some(self.settings()),
            },
            files: Default::default(),
        }
    }
}

/// What a method says of a fit.
#[derive(Debug)]
pub struct Fitted<'a> {
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
    /// The good images.
    pub images: &'a ImageSet,
}

/// What to add to a bundle.
#[derive(Debug)]
pub struct UpdateOptions {
    /// A folder of good images.
    pub add: PathBuf,
    /// An unreadable image fails the update instead of being left out, and so do files that would not be used and images of quite different
    /// sizes.
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

impl UpdateOptions {
    /// Notes in `manifest` what `images` have made of it: its parameters, their number and the day.
    pub(crate) fn record(
        &self,
        manifest: &mut Manifest,
        params: &impl Serialize,
        images: &ImageSet,
    ) -> Result<()> {
        manifest.params = serde_json::to_value(params).map_err(|e| Error::Fit(e.to_string()))?;
        manifest.training.images += images.len();
        manifest.training.skipped += images.skipped();
        manifest.training.twins += images.twins().count();
        manifest.training.date.clone_from(&self.date);
        manifest.training.version = env!("CARGO_PKG_VERSION").into();
        Ok(())
    }
}

/// What an update has made of a bundle.
#[derive(Debug)]
pub struct Updated {
    /// The manifest that it had.
    pub before: Manifest,
    /// The manifest that it has; the same if there was nothing new.
    pub after: Manifest,
    /// Images that it has learned from now.
    pub added: usize,
}

/// Adds normal images to the bundle in `path` without fitting it anew, but for those that it has learned from already. If none is left
/// the bundle stays as it is. Whoever has it open keeps the old one.
///
/// # Errors
/// If the bundle cannot be opened, somebody else is changing it, its method cannot be updated, the images cannot be used or the new
/// bundle cannot be written; then the old one stays.
pub fn update(path: &Path, options: &UpdateOptions, progress: &mut dyn Progress) -> Result<Updated> {
    let alone = Exclusive::lock(path)?;
    let bundle = Bundle::open(alone.place())?;
    let before = bundle.manifest().clone();
    let Some(update) = find(&before.method).and_then(|method| method.training.update) else {
        let known: Vec<&str> = METHODS
            .iter()
            .filter(|method| method.training.update.is_some())
            .map(|method| method.name)
            .collect();
        return Err(Error::Setting(format!(
            "{}: a bundle of {} cannot be updated, only those of {}; fit it again with the new images",
            path.display(),
            before.method,
            known.join(", ")
        )));
    };
    let mut images = ImageSet::beyond(&bundle, options, progress)?;
    if images.is_empty() {
        return Ok(Updated { after: before.clone(), before, added: 0 });
    }
    let after = update(&alone, &bundle, &mut images, options, progress)?;
    Ok(Updated { before, after, added: images.len() })
}
