//! What the paths of the command line stand for.

use crate::console::{self, Console};
use anyhow::bail;
use gstanomaly::Error;
use gstanomaly::dataset::{find_images_and_others, is_image, is_video};
use gstanomaly::methods::fitting::Progress;
use std::path::{Path, PathBuf};

/// An image or a video to be judged.
pub struct Source {
    pub path: PathBuf,
    pub kind: Kind,
    /// What its results are called, without an ending; not unique.
    pub name: String,
}

/// How a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Image,
    Video,
}

/// The images of a folder, or the one image or video.
pub fn find(path: &Path, console: &mut Console) -> anyhow::Result<Vec<Source>> {
    let metadata = path.metadata().map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        return Ok(vec![Source { path: path.to_owned(), kind: kind(path), name: name(path, path.parent()) }]);
    }
    let (images, others) = find_images_and_others(path)?;
    if images.is_empty() {
        bail!("{}: holds no images; videos are named one by one", path.display());
    }
    if let Some(first) = others.first() {
        console.note(&format!(
            "{}: {} no image by its name and not judged, such as {}; videos are named one by one",
            path.display(),
            if others.len() == 1 { "1 file is".into() } else { format!("{} files are", others.len()) },
            console::one_line(first)
        ));
    }
    let source = |image: PathBuf| Source { name: name(&image, Some(path)), path: image, kind: Kind::Image };
    Ok(images.into_iter().map(source).collect())
}

/// By the ending, or else by the first bytes: what is no image is left to GStreamer, and so is a pipe, whose first bytes may never come.
fn kind(path: &Path) -> Kind {
    if is_image(path) {
        return Kind::Image;
    }
    let known = || image::ImageReader::open(path).ok()?.with_guessed_format().ok()?.format();
    if path.is_file() && !is_video(path) && known().is_some() { Kind::Image } else { Kind::Video }
}

/// The path below `folder` without its ending, as one word.
fn name(path: &Path, folder: Option<&Path>) -> String {
    let inner = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path).with_extension("");
    let parts: Vec<_> = inner.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::name;
    use std::path::Path;

    #[test]
    fn names_tell_folders_apart() {
        let named = |path: &str, folder: &str| name(Path::new(path), Some(Path::new(folder)));
        assert_eq!(named("bottle/test/good/000.png", "bottle/test"), "good_000");
        assert_eq!(named("000.png", ""), "000");
        assert_eq!(named("a/x.tar.png", "a/"), "x.tar");
    }
}
