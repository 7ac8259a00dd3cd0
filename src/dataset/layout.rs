//! The names of a data set's folders, and what is said of a folder that has others.

use super::images::{Entries, Tree, is_litter};
use super::video::is_video;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder name of good images.
pub const GOOD: &str = "good";

/// The names that a folder of good images may have, in upper or lower case.
pub const GOOD_NAMES: [&str; 3] = [GOOD, "ok", "normal"];

pub(super) const TRAIN: [&str; 1] = ["train"];
/// MVTec AD 2 keeps the images whose masks are known apart from those of its competition.
pub(super) const TEST: [&str; 2] = ["test", "test_public"];
pub(super) const GROUND_TRUTH: [&str; 1] = ["ground_truth"];
pub(super) const VALIDATION: [&str; 1] = ["validation"];

/// Paths at most that a message names.
const NAMED: usize = 3;

/// Whether a folder of this name holds good images.
pub fn is_good(name: &str) -> bool {
    GOOD_NAMES.contains(&name.to_lowercase().as_str())
}

/// An error if `path` is no folder that can be looked into; `expected` says what should be there.
pub(crate) fn expect_folder(path: &Path, expected: &str) -> Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::file(path, format!("expected {expected}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let problem = match path.is_symlink() {
                true => "is a link that leads nowhere",
                false => "no such folder",
            };
            Err(Error::file(path, format!("{problem}; expected {expected}")))
        }
        // It may be there and not be ours to see.
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The folder in `parent` that has one of these names, in upper or lower case.
///
/// # Errors
/// If several have, or `parent` cannot be read.
pub(super) fn child(parent: &Path, names: &[&str]) -> Result<Option<PathBuf>> {
    let mut found = children(parent, |name| names.contains(&name))?;
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => {
            let found: Vec<String> = found.iter().map(|path| file_name(path)).collect();
            Err(Error::file(parent, format!("expected one folder of these: {}", found.join(", "))))
        }
    }
}

/// The folders in `parent` whose names, in lower case, are `wanted`.
pub(super) fn children(parent: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut folders = Entries::of(parent)?.folders;
    folders.retain(|folder| wanted(&file_name(folder).to_lowercase()));
    Ok(folders)
}

/// The last part of a path, for people and for comparisons.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a folder is called as one of good images is, also where the path does not say so.
pub(super) fn is_good_folder(folder: &Path) -> bool {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    is_good(&file_name(&whole))
}

/// "a.png, b.png": the first of some paths, as they are called in `folder`.
pub(super) fn such_as(paths: &[PathBuf], folder: &Path) -> String {
    let names = paths.iter().take(NAMED).map(|path| {
        let name = path.strip_prefix(folder).unwrap_or(path).display().to_string();
        name.replace(char::is_control, "?")
    });
    names.collect::<Vec<_>>().join(", ")
}

/// "1 image" or "3 images".
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// "1 image is" or "3 images are".
pub(super) fn are(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "is" } else { "are" })
}

/// What is in a folder, for a message that says why it will not do.
pub(super) fn contents(folder: &Path) -> String {
    let Ok(Entries { images, folders, others }) = Entries::of(folder) else {
        return "it cannot be read".into();
    };
    let (videos, others): (Vec<PathBuf>, Vec<PathBuf>) = others.into_iter().partition(|path| is_video(path));
    let mut parts = Vec::new();
    if !images.is_empty() {
        parts.push(counted(images.len(), "image"));
    }
    if let Some(video) = videos.first() {
        parts.push(format!("{} ({})", counted(videos.len(), "video"), file_name(video)));
    }
    let with_images = folders.iter().map(|folder| (file_name(folder), inside(folder)));
    let with_images: Vec<String> = with_images
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} ({})", counted(count, "image")))
        .collect();
    let empty = folders.len() - with_images.len();
    match with_images.len() {
        0 => {}
        more @ 6.. => {
            parts.push(format!("{} and {} more folders with images", with_images[..5].join(", "), more - 5))
        }
        _ => parts.push(format!("the folders {}", with_images.join(", "))),
    }
    if empty > 0 {
        parts.push(format!("{} without images", counted(empty, "folder")));
    }
    if let Some(other) = others.first() {
        parts.push(format!("{} ({})", counted(others.len(), "other file"), file_name(other)));
    }
    let text = if parts.is_empty() { "it is empty".into() } else { format!("it holds {}", parts.join(", ")) };
    text.replace(char::is_control, "?")
}

/// Number of images in a folder and those in it.
fn inside(folder: &Path) -> usize {
    Tree::of(folder).map_or(0, |tree| tree.images.len())
}

/// What to do with a folder that has a video and no images; nothing where it has none.
pub(super) fn video_advice(folder: &Path) -> Option<String> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut videos: Vec<PathBuf> = entries
        .filter(|entry| !is_litter(&entry.file_name()))
        .map(|entry| entry.path())
        .filter(|path| is_video(path))
        .collect();
    videos.sort();
    let name = file_name(videos.first()?).replace(char::is_control, "?");
    Some(format!(
        "images are made of a video's frames with gst-launch-1.0 filesrc location='{name}' ! decodebin ! videoconvert ! pngenc ! \
         multifilesink location=good/%06d.png"
    ))
}
