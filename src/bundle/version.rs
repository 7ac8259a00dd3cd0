//! Whether what is in a bundle's folder is still what was there before.

use super::{BANK, GRAPH, MANIFEST};
use crate::error::{Error, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells the files of a bundle from those that were in its folder before: where they are on the disk, their sizes and when they
/// were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version([FileVersion; 3]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileVersion {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Version {
    /// That of the bundle in the folder `path`.
    ///
    /// # Errors
    /// If one of its files is missing.
    pub fn of(path: &Path) -> Result<Self> {
        let file = |name: &str| -> Result<FileVersion> {
            let file = path.join(name);
            let found = file.metadata().map_err(|e| Error::io(&file, e))?;
            Ok(FileVersion {
                device: found.dev(),
                inode: found.ino(),
                bytes: found.len(),
                modified: (found.mtime(), found.mtime_nsec()),
            })
        };
        Ok(Self([file(MANIFEST)?, file(GRAPH)?, file(BANK)?]))
    }
}
