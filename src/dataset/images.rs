//! Which files of a folder are images.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Endings of the image files that can be read, lower case.
pub const IMAGE_EXTENSIONS: [&str; 10] =
    ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "ppm", "pgm", "pnm"];

/// Whether a file is an image by its ending.
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| IMAGE_EXTENSIONS.contains(&extension.as_str()))
}

/// The image files directly in a folder, by name; hidden files are left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn list_images(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let mut images = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && is_image(&path) && path.is_file() {
            images.push(path);
        }
    }
    images.sort();
    Ok(images)
}

/// The image files in a folder and the folders in it, by path; what is hidden is left out, links to folders are not followed.
///
/// # Errors
/// If a folder cannot be read.
pub fn find_images(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut images = list_images(folder)?;
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            images.extend(find_images(&entry.path())?);
        }
    }
    images.sort();
    Ok(images)
}
