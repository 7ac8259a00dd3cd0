//! Folders of images: an MVTec-style category, or, for fitting, any folder of good images.
//!
//! A category has `train/good`, `test/good`, `test/DEFECT`, and `ground_truth/DEFECT/NAME_mask.png` (or `NAME.png`)
//! in which everything that is not black is defective.

mod images;
mod masks;
pub mod synthetic;
mod video;

pub use images::{IMAGE_EXTENSIONS, find_images, is_image, list_images};
pub use masks::{at_input, load_mask};
pub use video::{VIDEO_EXTENSIONS, VideoFrame, VideoFrames, is_video};

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder name of good images.
pub const GOOD: &str = "good";

/// The good images to learn from, in the order of their names.
///
/// # Errors
/// If the folder is missing or holds no image.
pub fn training_images(data: &Path) -> Result<Vec<PathBuf>> {
    if !data.is_dir() {
        let problem = if data.exists() { "expected a folder of images" } else { "no such folder" };
        return Err(Error::file(data, problem));
    }
    let train = data.join("train");
    let folder = if train.is_dir() { train.join(GOOD) } else { data.to_owned() };
    if !folder.is_dir() {
        return Err(Error::file(&folder, "no such folder; good images to learn from belong in train/good"));
    }
    let images = list_images(&folder)?;
    if images.is_empty() {
        return Err(Error::file(
            &folder,
            format!("no images to learn from; expected files ending in {}", IMAGE_EXTENSIONS.join(", ")),
        ));
    }
    Ok(images)
}

/// An image to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestImage {
    /// The image file.
    pub path: PathBuf,
    /// Its folder's name: `good` or a kind of defect.
    pub label: String,
    /// Its mask, for a defective image that has one.
    pub mask: Option<PathBuf>,
}

impl TestImage {
    /// Whether it is labelled as defective.
    pub fn is_defective(&self) -> bool {
        self.label != GOOD
    }
}

/// The test images of an MVTec-style category, by label and name.
///
/// # Errors
/// If there is no `test` folder, or it holds no image.
pub fn test_images(data: &Path) -> Result<Vec<TestImage>> {
    let test = data.join("test");
    if !test.is_dir() {
        return Err(Error::file(data, "expected a folder with test/good and test/DEFECT"));
    }
    let mut labels: Vec<PathBuf> = std::fs::read_dir(&test)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(|e| Error::io(&test, e))?;
    labels.retain(|path| path.is_dir());
    labels.sort();
    let mut images = Vec::new();
    for folder in labels {
        let label = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in list_images(&folder)? {
            let mask = if label == GOOD { None } else { mask_of(data, &label, &path) };
            images.push(TestImage { path, label: label.clone(), mask });
        }
    }
    if images.is_empty() {
        return Err(Error::file(&test, "no test images in test/good or test/DEFECT"));
    }
    Ok(images)
}

/// Defective images with their masks: the test images of an MVTec-style category that have a mask, or the images of a folder
/// that have one, `NAME_mask.png`, beside them.
///
/// # Errors
/// If the folder is missing or holds no such pair.
pub fn defect_images(data: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    if !data.is_dir() {
        let problem =
            if data.exists() { "expected a folder of defective images with masks" } else { "no such folder" };
        return Err(Error::file(data, problem));
    }
    let pairs: Vec<(PathBuf, PathBuf)> = if data.join("test").is_dir() {
        test_images(data)?.into_iter().filter_map(|image| Some((image.path, image.mask?))).collect()
    } else {
        let beside = |image: PathBuf| {
            let mask = image.with_file_name(format!("{}_mask.png", image.file_stem()?.to_string_lossy()));
            mask.is_file().then_some((image, mask))
        };
        list_images(data)?.into_iter().filter_map(beside).collect()
    };
    match pairs.is_empty() {
        true => Err(Error::file(
            data,
            "no defective image with a mask; expected test/DEFECT and ground_truth/DEFECT, or NAME_mask.png beside an image",
        )),
        false => Ok(pairs),
    }
}

fn mask_of(data: &Path, label: &str, image: &Path) -> Option<PathBuf> {
    let stem = image.file_stem()?.to_string_lossy();
    let folder = data.join("ground_truth").join(label);
    [format!("{stem}_mask.png"), format!("{stem}.png")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}
