//! One change of a bundle at a time: of two that read it at once and write it back, the second would undo the first.

use super::read_manifest;
use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Held from before a bundle is read until what was made of it has taken its place.
#[derive(Debug)]
pub struct Exclusive {
    /// Open is locked.
    _folder: File,
}

impl Exclusive {
    /// Locks the bundle in the folder `path` against other changes; reading needs no lock.
    ///
    /// # Errors
    /// If somebody else is changing it, or there is no such folder.
    pub fn lock(path: &Path) -> Result<Self> {
        loop {
            if !path.is_dir() {
                // Says best what is wrong.
                read_manifest(path)?;
            }
            let folder = File::open(path).map_err(|e| Error::io(path, e))?;
            match folder.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::file(
                        path,
                        "is being changed by another program; try again when that is done",
                    ));
                }
                // Not every file system can lock, and a bundle there can be changed all the same.
                Err(TryLockError::Error(_)) => return Ok(Self { _folder: folder }),
            }
            // Whoever held the lock before may have put another folder in this one's place.
            let [locked, there] = [folder.metadata(), path.metadata()];
            let (locked, there) =
                (locked.map_err(|e| Error::io(path, e))?, there.map_err(|e| Error::io(path, e))?);
            if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
                return Ok(Self { _folder: folder });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_changed_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Exclusive::lock(folder.path()).unwrap();
        let error = Exclusive::lock(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another program"), "{error}");
        drop(first);
        Exclusive::lock(folder.path()).unwrap();
        let error = Exclusive::lock(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none"), "{error}");
    }

    #[test]
    fn a_bundle_that_was_replaced_is_locked_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (bundle, new) = (folder.path().join("bundle"), folder.path().join("new"));
        std::fs::create_dir(&bundle).unwrap();
        std::fs::create_dir(&new).unwrap();
        let old = Exclusive::lock(&bundle).unwrap();
        std::fs::rename(&new, &bundle).unwrap();
        let _new = Exclusive::lock(&bundle).unwrap();
        assert!(Exclusive::lock(&bundle).is_err());
        drop(old);
        assert!(Exclusive::lock(&bundle).is_err());
    }
}
