//! Which files of a folder are images, and what else is in it.

use crate::error::{Error, Result};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Endings of the image files that can be read, lower case.
pub const IMAGE_EXTENSIONS: [&str; 13] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "bmp", "tif", "tiff", "webp", "ppm", "pgm", "pnm", "pbm"];

/// What file managers, archivers and file systems leave in folders, lower case; what begins with a dot comes on top.
const LITTER: [&str; 8] = [
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "lost+found",
    "$recycle.bin",
    "system volume information",
];

/// What Windows keeps of the origin of a file, where that is copied to another system.
const DOWNLOADED: &str = ":zone.identifier";

/// Endings of files that lie beside images and that nobody takes for one, lower case.
const COMPANIONS: [&str; 12] =
    ["txt", "md", "csv", "json", "xml", "yaml", "yml", "html", "pdf", "log", "ini", "sha256"];

/// Whether a file is an image by its ending.
pub fn is_image(path: &Path) -> bool {
    IMAGE_EXTENSIONS.contains(&extension(path).as_str())
}

/// The ending of a file's name, lower case; empty where it has none.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Whether a name is hidden, or one of those that programs leave behind.
pub(super) fn is_litter(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.to_lowercase();
    name.starts_with('.') || LITTER.contains(&name.as_str()) || name.ends_with(DOWNLOADED)
}

/// What lies directly in a folder, each by name, without litter.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub images: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
    pub others: Vec<PathBuf>,
}

impl Entries {
    /// Links are taken for what they lead to; one that leads nowhere for a file, so that it is told of and not passed over.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            let entry = entry.map_err(|e| Error::io(folder, e))?;
            let path = entry.path();
            if is_litter(&entry.file_name()) {
                continue;
            }
            match path.is_dir() {
                true => found.folders.push(path),
                false if is_image(&path) => found.images.push(path),
                false => found.others.push(path),
            }
        }
        for paths in [&mut found.images, &mut found.folders, &mut found.others] {
            paths.sort();
        }
        Ok(found)
    }

    /// The files that are neither images nor things that lie beside images.
    pub fn unexpected(&self) -> Vec<PathBuf> {
        self.others.iter().filter(|path| !COMPANIONS.contains(&extension(path).as_str())).cloned().collect()
    }
}

/// The image files directly in a folder, by name; what is hidden and what programs leave behind is left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn list_images(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Entries::of(folder)?.images)
}

/// The image files in a folder and the folders in it, by path; as [`list_images`]. Links to folders are followed, each folder is looked
/// into once.
///
/// # Errors
/// If a folder cannot be read.
pub fn find_images(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(Tree::of(folder)?.images)
}

/// The same, and the files that are no images by their names, nor of a kind that lies beside images.
///
/// # Errors
/// If a folder cannot be read.
pub fn find_images_and_others(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let Tree { images, unexpected } = Tree::of(folder)?;
    Ok((images, unexpected))
}

/// What lies in a folder and the folders in it, by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub images: Vec<PathBuf>,
    /// See [`Entries::unexpected`].
    pub unexpected: Vec<PathBuf>,
}

impl Tree {
    /// As [`find_images`].
    pub fn of(folder: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let root = folder.canonicalize().map_err(|e| Error::io(folder, e))?;
        tree.walk(folder, &root, &mut HashSet::new())?;
        tree.images.sort();
        tree.unexpected.sort();
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, root: &Path, seen: &mut HashSet<(u64, u64)>) -> Result<()> {
        let found = folder.metadata().map_err(|e| Error::io(folder, e))?;
        if !seen.insert((found.dev(), found.ino())) {
            return Ok(());
        }
        // A link may lead to where one came from, and from there to what is not meant.
        if folder.is_symlink()
            && folder.canonicalize().is_ok_and(|real| real != root && root.starts_with(real))
        {
            return Ok(());
        }
        let entries = Entries::of(folder)?;
        self.unexpected.extend(entries.unexpected());
        self.images.extend(entries.images);
        entries.folders.iter().try_for_each(|folder| self.walk(folder, root, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(paths: &[PathBuf], folder: &Path) -> Vec<String> {
        paths.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn litter_is_no_image_and_links_end() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        for name in [
            "a.png",
            "b.JPEG",
            "c.TIF",
            "._a.png",
            ".ipynb_checkpoints/a-checkpoint.png",
            "__MACOSX/a.png",
            "@eaDir/a.jpg",
            "Thumbs.db",
            "a.png:Zone.Identifier",
            "in/d.png",
            "in/e.heic",
            "in/readme.TXT",
        ] {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        symlink(folder, folder.join("in/back")).unwrap();
        symlink(folder.parent().unwrap(), folder.join("in/above")).unwrap();
        symlink("nowhere.png", folder.join("z.png")).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("f.png"), "x").unwrap();
        symlink(elsewhere.path(), folder.join("linked")).unwrap();

        assert_eq!(names(&list_images(folder).unwrap(), folder), ["a.png", "b.JPEG", "c.TIF", "z.png"]);
        let tree = Tree::of(folder).unwrap();
        let all = ["a.png", "b.JPEG", "c.TIF", "in/d.png", "linked/f.png", "z.png"];
        assert_eq!(names(&tree.images, folder), all);
        assert_eq!(names(&tree.unexpected, folder), ["in/e.heic"]);
    }
}
