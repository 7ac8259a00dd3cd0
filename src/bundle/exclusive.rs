//! One change of a bundle at a time: of two that read it at once and write it back, the second would undo the first.

use super::{ATTEMPTS, Version, read_manifest};
use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Held from before a bundle is read until what was made of it has taken its place.
#[derive(Debug)]
pub struct Exclusive {
    /// Where the bundle is, whatever links are pointed at meanwhile.
    place: PathBuf,
    /// What was there when it was locked; none if files were missing.
    version: Option<Version>,
    /// Open is locked.
    folder: File,
}

impl Exclusive {
    /// Locks the bundle in the folder `path` against other changes; reading needs no lock.
    ///
    /// # Errors
    /// If somebody else is changing it, or there is no such folder.
    pub fn lock(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            // Says best what is wrong.
            read_manifest(path)?;
        }
        let place = place(path)?;
        for _ in 0..ATTEMPTS {
            let folder = File::open(&place).map_err(|e| Error::io(&place, e))?;
            match folder.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::file(
                        &place,
                        "is being changed by another program; try again when that is done",
                    ));
                }
                // Not every file system can lock, and a bundle there can be changed all the same.
                Err(TryLockError::Error(_)) => {}
            }
            let version = Version::of(&place).ok();
            // Whoever held the lock before may have put another folder in this one's place.
            let [locked, there] = [folder.metadata(), place.metadata()];
            let (locked, there) =
                (locked.map_err(|e| Error::io(&place, e))?, there.map_err(|e| Error::io(&place, e))?);
            if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
                return Ok(Self { place, version, folder });
            }
        }
        Err(Error::file(&place, "is replaced again and again; try again later"))
    }

    /// The folder that was locked, wherever it is by now.
    pub(super) fn folder(&self) -> &File {
        &self.folder
    }

    /// The folder of the bundle itself, where links to it lead.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Asks, before the bundle is written, whether it still is what was locked: a fit does not ask who is at work on what it replaces.
    ///
    /// # Errors
    /// If it has been replaced.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        match Version::of(&self.place).ok() == self.version {
            true => Ok(()),
            false => Err(Error::file(
                &self.place,
                "has been replaced meanwhile, and nothing was changed; run the same command again",
            )),
        }
    }
}

/// Where a bundle at `path` lies: where a link leads to is replaced, and the link stays. Nothing can take the place of "." or "link/" by
/// that name.
///
/// # Errors
/// If a link leads nowhere.
pub fn place(path: &Path) -> Result<PathBuf> {
    let plain: PathBuf = path.components().collect();
    match plain.is_symlink() || plain.file_name().is_none() {
        true => std::fs::canonicalize(&plain).map_err(|e| Error::io(path, e)),
        false => Ok(plain),
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

    #[test]
    fn a_link_that_is_pointed_elsewhere_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, link] = ["first", "second", "link"].map(|name| folder.path().join(name));
        std::fs::create_dir(&first).unwrap();
        std::fs::create_dir(&second).unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let alone = Exclusive::lock(&link).unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert_eq!(alone.place(), first.canonicalize().unwrap());
        assert!(Exclusive::lock(&first).is_err());
        Exclusive::lock(&link).unwrap();
    }
}
