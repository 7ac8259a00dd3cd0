//! The images that a method is fitted to.

use super::distinct::{Found, any_readable, distinct};
use super::twins::{Sketches, Twins};
use super::{FitOptions, Progress, UpdateOptions, depth, exclude, mixture, size};
use crate::bundle::{Bundle, LearnedImage, LearnedImages, TrainingScores};
use crate::dataset::training_images;
use crate::error::{Error, Result};
use crate::evaluate::calibration::Scores;
use crate::frame::{InputSpec, Picture, Preprocessor, Rect, TraitCounts, load_picture};
use crate::network::{FeatureMap, Network};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// The good images, read anew in each pass; an unreadable one is left out of all of them.
#[derive(Debug)]
pub struct ImageSet {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    /// Their contents, as far as they are known: before the first pass not those of files that cannot be read.
    hashed: Vec<Option<LearnedImage>>,
    /// What the last pass could read.
    read: Vec<LearnedImage>,
    /// How these look.
    sketches: Sketches,
    /// Which of these are near-twins.
    twins: Twins,
    /// What the bundle has learned from before; none if it does not say.
    known: Option<LearnedImages>,
    /// What these scored; none if it does not say.
    before: Option<TrainingScores>,
    input: InputSpec,
    strict: bool,
    skipped: usize,
    /// Files that were left out because another one is the same byte for byte.
    copies: Vec<PathBuf>,
    preprocessors: HashMap<Format, Preprocessor>,
    /// The first pass has said what the files have that not everybody knows of.
    told: bool,
}

/// The format and size of a picture.
type Format = (gst_video::VideoFormat, u32, u32);

/// Image sizes for which a converter is kept; folders of photographs have one or two.
const KEPT_SIZES: usize = 16;

impl ImageSet {
    /// What [`ImageSet::shifted_views`] shows.
    pub const VIEWS: usize = 4;

    /// Finds the images that are not to be left out, those that are the same byte for byte once, and decides the input's size.
    ///
    /// # Errors
    /// If there are none, what is to be left out is not there, the size is not usable, or the user interrupts.
    pub fn open(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        let paths = training_images(&options.data)?.settle(options.strict, |text| progress.note(text))?;
        let (paths, excluded) = exclude::without(paths, &options.data, &options.exclude)?;
        if excluded > 0 {
            progress.note(&format!("{excluded} images are left out as --exclude says"));
        }
        let found = paths.len();
        let known = LearnedImages::default();
        let mut images = distinct(paths.clone(), &options.data, &known, "looking for copies", progress)?;
        let kept: HashSet<&PathBuf> = images.iter().map(|(path, _)| path).collect();
        let mut copies: Vec<PathBuf> = paths.iter().filter(|path| !kept.contains(path)).cloned().collect();
        if !copies.is_empty() {
            let then = match images.len() {
                1 => "and there is no other image: they say nothing of how good parts differ",
                _ => "and left out",
            };
            progress.note(&format!(
                "{} of {found} images are copies of others, byte for byte, {then}",
                copies.len()
            ));
        }
        if images.len() == 1 {
            // One picture many times is all that there is to learn from, and what it scores against itself is known to be worth nothing.
            let first = images[0].1.clone();
            let same = |path: PathBuf| {
                let named = LearnedImage::path_in(&path, &options.data);
                (path, first.clone().map(|image| LearnedImage { path: named, ..image }))
            };
            images = paths.into_iter().map(same).collect();
            copies.clear();
        }
        let paths: Vec<PathBuf> = images.iter().map(|(path, _)| path.clone()).collect();
        let headers = mixture::headers(&paths, progress)?;
        mixture::expect_one_size(&headers, options.strict, progress)?;
        let (width, height) = size::choose(&headers, options.size, options.fit, progress)?;
        let range = depth::choose(&headers, options.range, progress)?;
        let card = &options.backbone.card.input;
        let input = InputSpec { width, height, fit: options.fit, mean: card.mean, std: card.std, range };
        input.check().map_err(Error::Setting)?;
        let images = Self::new(&options.data, images, Some(known), input, options.strict);
        Ok(Self { copies, ..images })
    }

    /// The images of the folder that is to be added which `bundle` has not learned from; none may be left.
    ///
    /// # Errors
    /// If there are no images in the folder, the bundle's lists of its own cannot be read, or the user interrupts.
    pub fn beyond(bundle: &Bundle, options: &UpdateOptions, progress: &mut dyn Progress) -> Result<Self> {
        let known = LearnedImages::read(bundle.path(), &bundle.manifest().files)?;
        // Now: another bundle may take its place meanwhile.
        let before = TrainingScores::read(bundle.path(), &bundle.manifest().files)?;
        let paths = training_images(&options.add)?.settle(options.strict, |text| progress.note(text))?;
        let found = paths.len();
        let none = LearnedImages::default();
        let others = known.as_ref().unwrap_or(&none);
        let mut new = distinct(paths, &options.add, others, "looking for what is new", progress)?;
        if known.is_none() {
            progress.note(
                "this bundle does not say which images it has learned from: one that is added twice lowers the threshold",
            );
        }
        if new.len() < found {
            progress.note(&format!(
                "{} of {found} images are left out: the bundle knows them already, or the folder has them twice",
                found - new.len()
            ));
            // What remains of a folder that was added before may be what could not be read then.
            if !options.strict && !any_readable(&new, progress) {
                new.clear();
            }
        }
        let headers = mixture::headers(new.iter().map(|(path, _)| path), progress)?;
        mixture::expect_one_size(&headers, options.strict, progress)?;
        let input = bundle.manifest().input.clone();
        depth::expect_range_of(&headers, input.range, progress)?;
        let images = Self::new(&options.add, new, known, input, options.strict);
        Ok(Self { before, ..images })
    }

    fn new(
        folder: &Path,
        found: Vec<Found>,
        known: Option<LearnedImages>,
        input: InputSpec,
        strict: bool,
    ) -> Self {
        let (paths, hashed): (Vec<PathBuf>, Vec<Option<LearnedImage>>) = found.into_iter().unzip();
        Self {
            folder: folder.to_owned(),
            twins: Twins::none(paths.len()),
            paths,
            hashed,
            read: Vec::new(),
            before: None,
            sketches: Sketches::default(),
            known,
            input,
            strict,
            skipped: 0,
            copies: Vec::new(),
            preprocessors: HashMap::new(),
            told: false,
        }
    }

    /// What the bundle has learned from, with the images of the last pass; none if it did not say before.
    pub fn learned(&self) -> Option<LearnedImages> {
        let mut learned = self.known.clone()?;
        learned.extend(&self.read);
        Some(learned)
    }

    /// What the training images scored, and which `twins` they stand for, by their names; none where the scores are not those of
    /// training images, or the bundle does not say which it has learned from.
    pub fn scored(&self, scores: &Scores, twins: &Twins) -> Option<TrainingScores> {
        let found = TrainingScores::new(&self.learned()?, &scores.images, &scores.normal, twins.pairs());
        (!found.scores().is_empty()).then_some(found)
    }

    /// The scores that the bundle has kept, which has only grown since, with those of the images that were added; none where it kept none:
    /// what some images scored would be taken for what all did.
    pub fn scored_beyond(&self, added: &Scores) -> Option<TrainingScores> {
        let before = self.known.as_ref().map_or(0, |known| known.images().len());
        let twins = self.twins.after(&Twins::none(before));
        Some(self.before.clone()?.with(self.scored(added, &twins).unwrap_or_default()))
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

    /// Number of images that could not be read and were left out.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// The images that were left out because others are the same byte for byte.
    pub fn copies(&self) -> &[PathBuf] {
        &self.copies
    }

    /// Which of the images of the last pass are near-twins.
    pub fn twins(&self) -> &Twins {
        &self.twins
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
        self.read.clear();
        self.sketches.clear();
        let mut traits = TraitCounts::default();
        let hashed = std::mem::take(&mut self.hashed);
        for (path, hashed) in std::mem::take(&mut self.paths).into_iter().zip(hashed) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let image = hashed.map_or_else(|| LearnedImage::of(&path, &self.folder), Ok);
            let loaded = load_picture(&path).and_then(|picture| Ok((picture, image?)));
            match loaded {
                Ok((picture, image)) => {
                    traits.add(&path, picture.traits());
                    let preprocessor = self.preprocessor(&picture)?;
                    let maps = network.extract(preprocessor, &mut input, &picture.frame()?)?;
                    self.sketches.add(input.extract_tensor().1, &self.input);
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
        if !std::mem::replace(&mut self.told, true) {
            traits.notes().iter().for_each(|note| progress.note(note));
        }
        self.paths = readable;
        self.hashed = self.read.iter().cloned().map(Some).collect();
        let twins = self.sketches.twins();
        if twins != self.twins && twins.count() > 0 {
            progress.note(&format!(
                "{} of {} images are near-twins of others, as re-encoded copies and frames of a burst are: they do not count as other parts",
                twins.count(),
                self.read.len()
            ));
        }
        self.twins = twins;
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
        let info = picture.info();
        let size = (info.format(), info.width(), info.height());
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
