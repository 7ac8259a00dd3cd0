//! The images that a method is fitted to.

use super::{FitOptions, InputSize, Progress, SIDE, UpdateOptions};
use crate::bundle::{Bundle, LearnedImage, LearnedImages, TrainingScores, hash_file};
use crate::dataset::training_images;
use crate::error::{Error, Result};
use crate::evaluate::calibration::Scores;
use crate::frame::{InputSpec, Picture, Preprocessor, Rect, load_picture};
use crate::network::{FeatureMap, Network};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The good images, read anew in each pass; an unreadable one is left out of all of them.
#[derive(Debug)]
pub struct ImageSet {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    /// What the last pass could read.
    read: Vec<LearnedImage>,
    /// What the bundle has learned from before; none if it does not say.
    known: Option<LearnedImages>,
    input: InputSpec,
    strict: bool,
    skipped: usize,
    /// Images that are there more than once, as far as they are known.
    copies: usize,
    preprocessors: HashMap<(u32, u32), Preprocessor>,
}

/// Image sizes for which a converter is kept; folders of photographs have one or two.
const KEPT_SIZES: usize = 16;

impl ImageSet {
    /// What [`ImageSet::shifted_views`] shows.
    pub const VIEWS: usize = 4;

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
        let known = Some(LearnedImages::default());
        Ok(Self::new(&options.data, paths, known, input, options.strict))
    }

    /// The images of the folder that is to be added which `bundle` has not learned from; none may be left.
    ///
    /// # Errors
    /// If there are no images in the folder, the bundle's list of its own cannot be read, or the user interrupts.
    pub fn beyond(bundle: &Bundle, options: &UpdateOptions, progress: &mut dyn Progress) -> Result<Self> {
        let known = LearnedImages::read(bundle.path(), &bundle.manifest().files)?;
        let mut paths = training_images(&options.add)?;
        match &known {
            None => progress.note(
                "this bundle does not say which images it has learned from: one that is added twice lowers the threshold",
            ),
            Some(known) => {
                let found = paths.len();
                paths = unknown(paths, known, progress)?;
                if paths.len() < found {
                    progress.note(&format!(
                        "{} of {found} images are left out: the bundle knows them already, or the folder has them twice",
                        found - paths.len()
                    ));
                    // What remains of a folder that was added before may be what could not be read then.
                    if !options.strict && !any_readable(&paths, progress) {
                        paths.clear();
                    }
                }
            }
        }
        Ok(Self::new(&options.add, paths, known, bundle.manifest().input.clone(), options.strict))
    }

    fn new(
        folder: &Path,
        paths: Vec<PathBuf>,
        known: Option<LearnedImages>,
        input: InputSpec,
        strict: bool,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            paths,
            read: Vec::new(),
            known,
            input,
            strict,
            skipped: 0,
            copies: 0,
            preprocessors: HashMap::new(),
        }
    }

    /// What the bundle has learned from, with the images of the last pass; none if it did not say before.
    pub fn learned(&self) -> Option<LearnedImages> {
        let mut learned = self.known.clone()?;
        learned.extend(&self.read);
        Some(learned)
    }

    /// What the training images scored, by their names; none where the scores are not those of training images, or the bundle does not
    /// say which it has learned from.
    pub fn scored(&self, scores: &Scores) -> Option<TrainingScores> {
        let found = TrainingScores::new(&self.learned()?, &scores.images, &scores.normal);
        (!found.scores().is_empty()).then_some(found)
    }

    /// The scores that `bundle` keeps, which has only grown since, with those of the images that were added; none where it keeps none:
    /// what some images scored would be taken for what all did.
    ///
    /// # Errors
    /// As [`TrainingScores::read`].
    pub fn scored_beyond(&self, bundle: &Bundle, added: &Scores) -> Result<Option<TrainingScores>> {
        let known = TrainingScores::read(bundle.path(), &bundle.manifest().files)?;
        Ok(known.map(|mut known| {
            known.extend(self.scored(added).into_iter().flatten());
            known
        }))
    }

    /// Number of images; it shrinks when one turns out to be unreadable.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The images that could be read so far.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// SHA-256 of the images of the last pass.
    pub fn hashes(&self) -> Vec<&str> {
        self.read.iter().map(|image| image.sha256.as_str()).collect()
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
        // The passes after the first see the same files: they are not hashed again.
        let mut hashed = std::mem::take(&mut self.read).into_iter();
        for path in std::mem::take(&mut self.paths) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let image = hashed.next().map_or_else(|| LearnedImage::of(&path, &self.folder), Ok);
            let loaded = load_picture(&path).and_then(|picture| Ok((picture, image?)));
            match loaded {
                Ok((picture, image)) => {
                    let preprocessor = self.preprocessor(&picture)?;
                    let maps = network.extract(preprocessor, &mut input, &picture.frame()?)?;
                    use_maps(&maps)?;
                    readable.push(path);
                    self.read.push(image);
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
        let copies = self.read.len() - self.read.iter().map(|it| &it.sha256).collect::<HashSet<_>>().len();
        if copies > self.copies {
            progress.note(&format!(
                "{copies} of {} images are copies of others: they say nothing of how good parts differ",
                self.read.len()
            ));
        }
        self.copies = copies;
        match self.paths.is_empty() {
            true => Err(Error::Fit(format!("none of the {} images can be read", self.skipped))),
            false => Ok(()),
        }
    }

    /// Runs `network` on `most` images at most, evenly chosen, and hands the maps to `use_maps`; others take the place of those that
    /// cannot be read.
    ///
    /// # Errors
    /// If the network fails, the user interrupts, an image is unreadable and the fit is strict, or none can be read.
    pub fn some(
        &mut self,
        most: usize,
        network: &mut Network,
        stage: &str,
        progress: &mut dyn Progress,
        mut use_maps: impl FnMut(&[FeatureMap]),
    ) -> Result<()> {
        let mut input = network.new_input()?;
        let count = self.paths.len();
        let step = count.div_ceil(most).max(1);
        progress.stage(stage, count.min(most));
        let (mut used, mut unread) = (0, Vec::new());
        for at in (0..step).flat_map(|first| (first..count).step_by(step)) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let picture = match load_picture(&self.paths[at]) {
                Ok(picture) => picture,
                Err(e) if self.strict => return Err(e),
                Err(e) => {
                    unread.push(e);
                    continue;
                }
            };
            let preprocessor = self.preprocessor(&picture)?;
            use_maps(&network.extract(preprocessor, &mut input, &picture.frame()?)?);
            progress.advance();
            used += 1;
            if used == most {
                break;
            }
        }
        if used == 0 {
            unread.iter().for_each(|e| progress.note(&format!("left out: {e}")));
            return Err(Error::Fit(format!("none of the {count} images can be read")));
        }
        // A pass over all of them says what cannot be read.
        Ok(())
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

/// The images that are not `known`, each once; those that cannot be read remain, to be told when they are looked at.
///
/// # Errors
/// If the user interrupts.
pub fn unknown(
    paths: Vec<PathBuf>,
    known: &LearnedImages,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>> {
    let mut seen: HashSet<String> = known.hashes().into_iter().map(Into::into).collect();
    let mut left = Vec::new();
    progress.stage("looking for what is new", paths.len());
    for path in paths {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        if hash_file(&path).map_or(true, |hash| seen.insert(hash)) {
            left.push(path);
        }
        progress.advance();
    }
    Ok(left)
}

/// Whether one of the images can be read; says why not if none can.
fn any_readable(paths: &[PathBuf], progress: &mut dyn Progress) -> bool {
    let mut problems = Vec::new();
    for path in paths {
        match load_picture(path) {
            Ok(_) => return true,
            Err(e) => problems.push(e),
        }
    }
    problems.iter().for_each(|e| progress.note(&format!("left out: {e}")));
    false
}

/// What a strip leaves of an image, as a share of its side.
const VIEW: f64 = 0.95;

/// The parts of an image that are left without a strip at the left, the right, the top or the bottom.
fn views_without_a_strip(width: u32, height: u32) -> [Rect; ImageSet::VIEWS] {
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
