//! The images that a bundle has learned from, told by the content of their files.
//!
//! `images.sha256` has a line for each, in the order of the bank, as `sha256sum` writes and checks them. An update leaves out what is in it:
//! a picture that the bank has already would be found there without any distance, as no picture that is yet to come will be.

use super::listed::read_listed;
use super::{FileInfo, hash_file};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The list's file name.
pub const IMAGES: &str = "images.sha256";

/// A list larger than this is not one.
const MAX_BYTES: u64 = 256 << 20;
/// Digits of a hash in hexadecimal.
const DIGITS: usize = 64;
/// Between the hash and the name.
const GAP: &[u8] = b"  ";

/// An image that a bundle has learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedImage {
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// Its path in the folder that it came from.
    pub path: PathBuf,
}

impl LearnedImage {
    /// The image in `file`, which lies somewhere in `folder`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(file: &Path, folder: &Path) -> Result<Self> {
        Ok(Self { sha256: hash_file(file)?, path: Self::path_in(file, folder) })
    }

    /// The path of `file`, which lies somewhere in `folder`, as lists have it.
    pub fn path_in(file: &Path, folder: &Path) -> PathBuf {
        file.strip_prefix(folder).unwrap_or(file).to_owned()
    }

    /// Its path as text; bytes that are no text are replaced.
    pub fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Its line in the list, as `sha256sum` writes it: a name with a backslash or the end of a line in it is escaped, and the line marked.
    fn line(&self) -> Vec<u8> {
        let name = self.path.as_os_str().as_bytes();
        let mut escaped = Vec::with_capacity(name.len());
        for &byte in name {
            match byte {
                b'\\' => escaped.extend(br"\\"),
                b'\n' => escaped.extend(br"\n"),
                b'\r' => escaped.extend(br"\r"),
                other => escaped.push(other),
            }
        }
        let mark: &[u8] = if escaped.len() > name.len() { br"\" } else { b"" };
        [mark, self.sha256.as_bytes(), GAP, &escaped, b"\n"].concat()
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
        let whole = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let lines = whole.split(|&byte| byte == b'\n').filter(|_| !whole.is_empty()).enumerate().map(
            |(number, line)| {
                parse(line).ok_or_else(|| {
                    let problem =
                        format!("line {}: expected a SHA-256 in hexadecimal and a name", number + 1);
                    Error::file(&file, problem)
                })
            },
        );
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
    pub fn content(&self) -> Vec<u8> {
        self.0.iter().flat_map(LearnedImage::line).collect()
    }
}

fn parse(line: &[u8]) -> Option<LearnedImage> {
    let (line, is_escaped) = match line.strip_prefix(br"\") {
        Some(line) => (line, true),
        None => (line, false),
    };
    let (sha256, rest) = line.split_at_checked(DIGITS)?;
    let name = rest.strip_prefix(GAP)?;
    let is_hash = sha256.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let name = if is_escaped { unescape(name)? } else { name.to_vec() };
    (is_hash && !name.is_empty()).then(|| LearnedImage {
        sha256: String::from_utf8_lossy(sha256).into_owned(),
        path: OsStr::from_bytes(&name).into(),
    })
}

/// A name without the escapes of [`LearnedImage::line`]; none where there are others.
fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
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
        let all: [(&[u8], &str); 6] = [
            (b"a.png", "one"),
            (b"b c\nd.png", "two"),
            (b"again.png", "one"),
            (br"back\slash.png", "three"),
            (b"tab\tand\rreturn.png", "four"),
            (b"M\xe4rz.png", "five"),
        ];
        for (name, content) in all {
            let file = folder.path().join(OsStr::from_bytes(name));
            std::fs::write(&file, content).unwrap();
            images.extend(&[LearnedImage::of(&file, folder.path()).unwrap()]);
        }
        let text = images.content();
        std::fs::write(folder.path().join(IMAGES), &text).unwrap();
        let read = |bytes| LearnedImages::read(folder.path(), &listing(bytes));
        assert_eq!(read(text.len()).unwrap().as_ref(), Some(&images));
        let check = std::process::Command::new("sha256sum")
            .arg("-c")
            .arg(IMAGES)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        let names: Vec<_> = images.images().iter().map(LearnedImage::name).collect();
        assert_eq!(names[..3], ["a.png", "b c\nd.png", "again.png"]);
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert!(images.hashes().contains(one));
        assert_eq!(images.hashes().len(), 5);

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
        for text in [
            format!(r"\{hash}  a\tb"),
            "x".into(),
            hash.clone(),
            format!("{hash}  "),
            format!("{}  a", "G".repeat(64)),
            "é".repeat(64),
        ] {
            let text = format!("{hash}  a.png\n{text}\n");
            std::fs::write(folder.path().join(IMAGES), &text).unwrap();
            let error = LearnedImages::read(folder.path(), &listing(text.len())).unwrap_err().to_string();
            assert!(error.contains(IMAGES) && error.contains("line 2"), "{error}");
        }
    }
}
