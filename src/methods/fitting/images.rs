//! The images that a method is fitted to.

use super::{FitOptions, InputSize, Progress, SIDE};
use crate::dataset::training_images;
use crate::error::{Error, Result};
use crate::frame::{InputSpec, Picture, Preprocessor, Rect, load_picture};
use crate::network::{FeatureMap, Network};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
