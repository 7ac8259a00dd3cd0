//! The images that a bundle has learned from, told by the content of their files.
//!
//! `images.sha256` has a line for each, in the order of the bank, as `sha256sum` writes and checks them. An update leaves out what is in it:
//! a picture that the bank has already would be found there without any distance, as no picture that is yet to come will be.

use super::listed::read_listed;
use super::{FileInfo, hash_file};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// The list's file name.
pub const IMAGES: &str = "images.sha256";

/// A list larger than this is not one.
const MAX_BYTES: u64 = 256 << 20;
/// Digits of a hash in hexadecimal.
const DIGITS: usize = 64;
/// Between the hash and the name.
const GAP: &str = "  ";

/// An image that a bundle has learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedImage {
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// Its path in the folder that it came from.
    pub name: String,
}

impl LearnedImage {
    /// The image in `file`, which lies somewhere in `folder`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(file: &Path, folder: &Path) -> Result<Self> {
        Ok(Self { sha256: hash_file(file)?, name: Self::name_in(file, folder) })
    }

    /// What `file`, which lies somewhere in `folder`, is called in lists.
    pub fn name_in(file: &Path, folder: &Path) -> String {
        file.strip_prefix(folder).unwrap_or(file).to_string_lossy().replace(['\n', '\r'], "?")
    }
}

/// The images that a bundle has learned from, in the order of the bank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedImages(Vec<LearnedImage>);

impl LearnedImages {
    /// The list of the bundle in the folder `bundle`, whose manifest has these `files`; none where an older version made it, which kept
    /// none.
    ///
    /// # Errors
    /// If it is missing though it should be there, cannot be read, or is not a list of hashes and names.
    pub fn read(bundle: &Path, files: &BTreeMap<String, FileInfo>) -> Result<Option<Self>> {
        let Some((file, bytes)) = read_listed(bundle, IMAGES, files, MAX_BYTES)? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|e| Error::file(&file, e.to_string()))?;
        let lines = text.lines().enumerate().map(|(number, line)| {
            parse(line).ok_or_else(|| {
                let problem = format!("line {}: expected a SHA-256 in hexadecimal and a name", number + 1);
                Error::file(&file, problem)
            })
        });
        lines.collect::<Result<_>>().map(|images| Some(Self(images)))
    }

    /// Adds images at the end.
    pub fn extend(&mut self, images: &[LearnedImage]) {
        self.0.extend_from_slice(images);
    }

    /// Their hashes.
    pub fn hashes(&self) -> HashSet<&str> {
        self.0.iter().map(|image| image.sha256.as_str()).collect()
    }

    /// The images, in the order of the bank.
    pub fn images(&self) -> &[LearnedImage] {
        &self.0
    }

    /// The file's content.
    pub fn text(&self) -> String {
        self.0.iter().map(|LearnedImage { sha256, name }| format!("{sha256}{GAP}{name}\n")).collect()
    }
}

fn parse(line: &str) -> Option<LearnedImage> {
    let (sha256, rest) = line.split_at_checked(DIGITS)?;
    let name = rest.strip_prefix(GAP)?;
    let is_hash = sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (is_hash && !name.is_empty()).then(|| LearnedImage { sha256: sha256.into(), name: name.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(bytes: usize) -> BTreeMap<String, FileInfo> {
        [(IMAGES.into(), FileInfo { sha256: String::new(), bytes: bytes as u64 })].into()
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LearnedImages::read(folder.path(), &BTreeMap::new()).unwrap(), None);
        let mut images = LearnedImages::default();
        for (name, content) in [("a.png", "one"), ("b c\nd.png", "two"), ("again.png", "one")] {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            images.extend(&[LearnedImage::of(&file, folder.path()).unwrap()]);
        }
        let text = images.text();
        std::fs::write(folder.path().join(IMAGES), &text).unwrap();
        let read = |bytes| LearnedImages::read(folder.path(), &listing(bytes));
        assert_eq!(read(text.len()).unwrap().as_ref(), Some(&images));
        let names: Vec<_> = images.images().iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["a.png", "b c?d.png", "again.png"]);
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert!(images.hashes().contains(one));
        assert_eq!(images.hashes().len(), 2);

        let cut = read(text.len() + 1).unwrap_err().to_string();
        assert!(cut.contains(IMAGES) && cut.contains("bytes, found"), "{cut}");
        std::fs::remove_file(folder.path().join(IMAGES)).unwrap();
        let missing = read(text.len()).unwrap_err().to_string();
        assert!(missing.contains(IMAGES) && missing.contains("is missing"), "{missing}");
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "0".repeat(DIGITS);
        for text in
            ["x".into(), hash.clone(), format!("{hash}  "), format!("{}  a", "G".repeat(64)), "é".repeat(64)]
        {
            let text = format!("{hash}  a.png\n{text}\n");
            std::fs::write(folder.path().join(IMAGES), &text).unwrap();
            let error = LearnedImages::read(folder.path(), &listing(text.len())).unwrap_err().to_string();
            assert!(error.contains(IMAGES) && error.contains("line 2"), "{error}");
        }
    }
}
