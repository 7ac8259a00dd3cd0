//! The videos that the paths of the command line stand for.

use gstanomaly::dataset::is_video;
use gstanomaly::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A video to be audited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it was named.
    pub path: PathBuf,
    /// The name of its folder in the results: readable, and no other file's.
    pub key: String,
    /// A number that its path gives it, whatever other files there are.
    pub number: u64,
    /// Its size, by which the time left is estimated.
    pub bytes: u64,
}

impl Source {
    fn new(path: PathBuf) -> Result<Self> {
        let failed = |e| Error::io(&path, e);
        let bytes = path.metadata().map_err(failed)?.len();
        let whole = path.canonicalize().map_err(failed)?;
        let hash = Sha256::digest(whole.as_os_str().as_encoded_bytes());
        let number = hash.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
        let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let readable = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let stem: String = stem.chars().map(readable).take(60).collect();
        // Never hidden, whatever the file is called.
        let key = format!("{}-{hash}", stem.trim_start_matches('.'));
        Ok(Self { path, key, number, bytes })
    }
}

/// The videos of files and folders, each once, with what was wrong with paths that are none.
pub fn find(paths: &[PathBuf]) -> (Vec<Source>, Vec<Error>) {
    let (mut sources, mut errors, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for path in paths {
        match expand(path, &mut errors) {
            Ok(found) => sources.extend(found.into_iter().filter(|source| seen.insert(source.key.clone()))),
            Err(error) => errors.push(error),
        }
    }
    (sources, errors)
}

/// A file, or the videos of a folder; what of a folder cannot be read is one of the `errors` and leaves the rest.
fn expand(path: &Path, errors: &mut Vec<Error>) -> Result<Vec<Source>> {
    if !path.metadata().map_err(|e| Error::io(path, e))?.is_dir() {
        return Ok(vec![Source::new(path.to_owned())?]);
    }
    let mut videos = Vec::new();
    let before = errors.len();
    collect(path, &mut videos, errors);
    videos.sort();
    if videos.is_empty() && errors.len() == before {
        return Err(Error::file(path, "holds no video by its ending; others are named one by one"));
    }
    let mut sources = Vec::with_capacity(videos.len());
    for video in videos {
        match Source::new(video) {
            Ok(source) => sources.push(source),
            Err(error) => errors.push(error),
        }
    }
    Ok(sources)
}

/// The videos in a folder and the folders in it; what is hidden is left out, links to folders are not followed.
fn collect(folder: &Path, videos: &mut Vec<PathBuf>, errors: &mut Vec<Error>) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return errors.push(Error::io(folder, error)),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            // What comes after it would not be better.
            Err(error) => return errors.push(Error::io(folder, error)),
        };
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, videos, errors);
        } else if is_video(&path) && path.is_file() {
            videos.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_video_is_found_once_under_a_name_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("a/b")).unwrap();
        std::fs::create_dir_all(path("empty")).unwrap();
        for name in ["a/x.mp4", "a/b/x.MKV", "a/.hidden.mp4", "a/notes.txt", "a/no ending"] {
            std::fs::write(path(name), b"12").unwrap();
        }
        let paths = [path("a"), path("a/x.mp4"), path("a/../a/x.mp4"), path("a/no ending"), path("empty")];
        let (found, errors) = find(&[&paths[..], &[path("missing")]].concat());
        let names: Vec<_> =
            found.iter().map(|source| source.path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, ["a/b/x.MKV", "a/x.mp4", "a/no ending"].map(Path::new));
        assert!(found[0].key != found[1].key && found[0].key.starts_with("x-"));
        assert!(found[2].key.starts_with("no_ending-") && found[2].bytes == 2);
        assert_eq!(errors.len(), 2);
        assert!(errors[0].to_string().contains("holds no video"), "{}", errors[0]);
    }
}
