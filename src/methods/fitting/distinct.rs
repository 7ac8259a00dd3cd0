//! Which image files are the first of their content.

use super::Progress;
use crate::bundle::{LearnedImage, LearnedImages};
use crate::error::{Error, Result};
use crate::frame::load_picture;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A file that is to be looked at, and what its content is if it could be read.
pub(super) type Found = (PathBuf, Option<LearnedImage>);

/// The files of `folder` that are not `known`, each content once; those that cannot be read remain, to be told when they are looked at.
///
/// # Errors
/// If the user interrupts.
pub(super) fn distinct(
    paths: Vec<PathBuf>,
    folder: &Path,
    known: &LearnedImages,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Vec<Found>> {
    let mut seen: HashSet<String> = known.hashes().into_iter().map(Into::into).collect();
    let mut left = Vec::new();
    progress.stage(stage, paths.len());
    for path in paths {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let image = LearnedImage::of(&path, folder).ok();
        if image.as_ref().is_none_or(|image| seen.insert(image.sha256.clone())) {
            left.push((path, image));
        }
        progress.advance();
    }
    Ok(left)
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
    let found = distinct(paths, Path::new(""), known, "looking for what is new", progress)?;
    Ok(found.into_iter().map(|(path, _)| path).collect())
}

/// Whether one of the images can be read; says why not if none can.
pub(super) fn any_readable(paths: &[Found], progress: &mut dyn Progress) -> bool {
    let mut problems = Vec::new();
    for (path, _) in paths {
        match load_picture(path) {
            Ok(_) => return true,
            Err(e) => problems.push(e),
        }
    }
    problems.iter().for_each(|e| progress.note(&format!("left out: {e}")));
    false
}
