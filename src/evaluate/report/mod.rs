//! The evaluation report: one HTML file that needs nothing else, neither network nor fonts nor other files.
//!
//! It opens with what the threshold in use does to good and defective parts, and then shows the pictures, the worst
//! decisions first. File and class names come from a data set and are untrusted: the template escapes them, and the
//! page's content security policy lets no script run but its own.

mod charts;
mod comparison;
mod format;
mod order;
mod picture;
#[cfg(test)]
mod tests;
mod training;
mod view;

use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub use comparison::{ComparedMethod, Comparison, Example, ExampleResult, MethodFigures, PixelFigures};
pub use order::Outcome;
pub use training::{TrainingImage, TrainingReport};

use super::decisions::Confusion;
use super::levels::LevelCounts;
use super::metrics::RankingMetrics;
use super::pixels::PixelMetrics;
use crate::methods::Level;

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The report's file.
    #[error("report {}: {source}", path.display())]
    Write {
        /// Where it was to be written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A picture that a browser does not show.
    #[error("picture of {image} is neither PNG nor JPEG nor WebP")]
    Picture {
        /// Path of the test image, as given.
        image: String,
    },
    /// A score that is NaN or infinite.
    #[error("{image}: score {score} and normalised score {normalized} must be finite numbers")]
    NotFinite {
        /// Path of the test image, as given.
        image: String,
        /// Its score.
        score: f32,
        /// Its normalised score.
        normalized: f32,
    },
    /// A figure could not be drawn.
    #[error("figure: {0}")]
    Figure(String),
}

/// Numbers that the report depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReportParams {
    /// Limit of all embedded pictures together, in bytes of the file.
    pub max_picture_bytes: usize,
    /// How many of the wrong and borderline decisions are shown, the worst first.
    pub worst: usize,
    /// How many of the remaining images are shown, evenly spread over the classes and scores.
    pub sampled: usize,
    /// A right decision is borderline when its normalised score is this close to 0.5.
    pub borderline: f32,
}

impl Default for ReportParams {
    fn default() -> Self {
        Self { max_picture_bytes: 14_000_000, worst: 60, sampled: 120, borderline: 0.05 }
    }
}

/// Everything that a report shows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Heading: what was inspected.
    pub title: String,
    /// The data set that was evaluated.
    pub dataset: String,
    /// When it was evaluated.
    pub date: String,
    /// What was evaluated.
    pub model: ModelFacts,
    /// Metrics of the image scores; none where the images are all good or all defective.
    pub image_metrics: Option<RankingMetrics>,
    /// Metrics of the maps; none without masks.
    pub pixel_metrics: Option<PixelMetrics>,
    /// How long an image took.
    pub timing: Option<Timing>,
    /// How the model's learned branch got there: a point per few training steps; empty where nothing was learned.
    pub learning: Vec<LearningPoint>,
    /// All test images, in any order.
    pub images: Vec<ReportImage>,
}

/// The mean losses of the training steps up to one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LearningPoint {
    /// The last of the steps.
    pub step: usize,
    /// Loss of what should be alike.
    pub alike: f64,
    /// Loss of what should be told apart.
    pub apart: f64,
}

/// What a reader wants to know about the model.
#[derive(Debug, Clone, Default)]
pub struct ModelFacts {
    /// Name of the bundle.
    pub name: String,
    /// Method, with its preset.
    pub method: String,
    /// Backbone.
    pub backbone: String,
    /// Width and height of the network's input in pixels.
    pub size: (usize, usize),
    /// Number of good images it learned from.
    pub training_images: usize,
    /// When it was trained.
    pub date: String,
    /// Device that ran the evaluation.
    pub device: String,
    /// Images with a raw score of at least this much are called defective.
    pub threshold: f32,
    /// Its warn level, if it has one.
    pub warn: Option<WarnLevel>,
    /// More facts: name and value.
    pub others: Vec<(String, String)>,
}

/// From where on an image that is not called defective is in warn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarnLevel {
    /// Raw score.
    pub score: f32,
    /// The same in [0, 0.5].
    pub normalized: f32,
}

/// Mean time of an image in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// Pre-processing and the network.
    pub features: f64,
    /// Search for the closest normal images and patches.
    pub retrieve: f64,
    /// Map, score and decision.
    pub score: f64,
    /// All together, which may be more than the sum.
    pub total: f64,
}

/// A test image and what the model made of it.
#[derive(Debug, Clone, Default)]
pub struct ReportImage {
    /// Path as it is shown, best relative to the data set.
    pub path: String,
    /// Class: `good` or the name of the defect.
    pub label: String,
    /// The truth.
    pub is_defective: bool,
    /// Raw score.
    pub score: f32,
    /// Score in [0, 1]; 0.5 is the threshold.
    pub normalized: f32,
    /// What it comes to: called defective where that is reject.
    pub level: Level,
    /// The image, as the bytes of a PNG, JPEG or WebP file; empty where there is none.
    pub input: Vec<u8>,
    /// The image under its anomaly map, likewise.
    pub overlay: Vec<u8>,
    /// The ground truth, likewise; none for good images and where it is not known.
    pub mask: Option<Vec<u8>>,
}

impl ReportImage {
    /// Whether it is called defective.
    pub fn is_anomalous(&self) -> bool {
        self.level == Level::Reject
    }
}

impl Report {
    /// Good images (false) or defective ones (true), counted by level.
    pub fn levels(&self, defective: bool) -> LevelCounts {
        let those = self.images.iter().filter(|image| image.is_defective == defective);
        LevelCounts::count(those.map(|image| image.level))
    }

    /// The decisions counted against the truth.
    pub fn confusion(&self) -> Confusion {
        Confusion::count(self.images.iter().map(|image| (image.is_defective, image.is_anomalous())))
    }

    /// Writes the report to `path`; a failure leaves an older file as it was.
    ///
    /// # Errors
    /// When the file cannot be written, a score is not finite, or a picture is not PNG, JPEG or WebP.
    pub fn write(&self, path: impl AsRef<Path>, params: &ReportParams) -> Result<(), ReportError> {
        write_page(path.as_ref(), &view::Page::new(self, params)?)
    }
}

/// Writes a page to `path`; a failure leaves an older file as it was.
fn write_page(path: &Path, page: &impl askama::Template) -> Result<(), ReportError> {
    write_atomically(path, |file| askama::Template::write_into(page, file))
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// How the names of files begin that [`write_atomically`] has not finished; one that stays is of a process that was killed.
pub const UNFINISHED: &str = ".unfinished-";

/// Writes a file that is there either as it was or whole: beside it first, under a name that begins with [`UNFINISHED`], then renamed.
///
/// # Errors
/// If the content fails, or the file cannot be written, synced or renamed; an older file is then as it was.
pub fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<tempfile::NamedTempFile>) -> io::Result<()>,
) -> io::Result<()> {
    // A device or a pipe takes what it is given; a file in its place would be something else.
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut whole = BufWriter::new(tempfile::NamedTempFile::new()?);
        content(&mut whole)?;
        let whole = whole.into_inner().map_err(|error| error.into_error())?.reopen()?;
        return io::copy(&mut &whole, &mut std::fs::OpenOptions::new().write(true).open(path)?).map(drop);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any new file, the report may be read by whoever the umask allows; a temporary one would be private.
    let permissions = Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(UNFINISHED).permissions(permissions).tempfile_in(folder)?;
    let mut writer = BufWriter::new(file);
    content(&mut writer)?;
    writer.flush()?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // So that a power cut does not bring back the old one; where folders can't be synced that is up to the file system.
    let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}
