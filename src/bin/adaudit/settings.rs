//! The folder of the results, and what everything in it was made with.

use anyhow::{Context, bail};
use gstanomaly::Error;
use gstanomaly::bundle::ScoreRange;
use gstanomaly::evaluate::{UNFINISHED, write_atomically};
use gstanomaly::text::shown;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that says what a folder's results were made with.
const SETTINGS: &str = "audit.json";
/// Whoever changes what the results share holds a lock on this file, in the folder and in each video's folder.
const LOCK: &str = ".lock";

/// What scores and events depend on.
///
/// Numbers are kept as text: two settings are the same if they read the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Version of the layout of the folder.
    pub format: u32,
    /// Name of the bundle.
    pub model: String,
    /// Hash of its manifest, which has the hashes of its other files.
    pub model_sha256: String,
    /// Every so many-th frame is inspected.
    pub every: u64,
    /// The threshold, where it is not the bundle's.
    pub threshold: Option<String>,
    /// The warn level, where it is not the bundle's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn: Option<String>,
    /// Smallest area of a region that counts, in pixels of the frame.
    pub min_area: String,
    /// Inspected frames that it takes to change the decision.
    pub hold: u32,
    /// The video track, where it is not the one that each file has for people who have not chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<usize>,
    /// Hash of the ignore mask.
    pub ignore_mask_sha256: Option<String>,
}

/// The raw scores that frames are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Levels {
    /// The scale of the scores, with the threshold in use.
    pub range: ScoreRange,
    /// The warn level in use, if there is one.
    pub warn: Option<f64>,
}

impl Settings {
    /// Version of the layout of the folder.
    pub const FORMAT: u32 = 2;

    /// In which way they differ from those that a folder was made with, if they do.
    fn difference(&self, old: &Self) -> Option<String> {
        let or = |value: &Option<String>, other: &str| value.clone().unwrap_or_else(|| other.into());
        let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
        let track = |settings: &Self| settings.track.map(|track| track.to_string());
        let mask = |settings: &Self| settings.ignore_mask_sha256.as_deref().map(short);
        let pairs = [
            ("layout", old.format.to_string(), self.format.to_string()),
            (
                "--model",
                format!("{} ({})", old.model, short(&old.model_sha256)),
                format!("{} ({})", self.model, short(&self.model_sha256)),
            ),
            ("--every", old.every.to_string(), self.every.to_string()),
            ("--threshold", or(&old.threshold, "of the bundle"), or(&self.threshold, "of the bundle")),
            ("--warn", or(&old.warn, "of the bundle"), or(&self.warn, "of the bundle")),
            ("--min-area", old.min_area.clone(), self.min_area.clone()),
            ("--hold", old.hold.to_string(), self.hold.to_string()),
            ("--track", or(&track(old), "of each file"), or(&track(self), "of each file")),
            ("--ignore-mask", or(&mask(old), "none"), or(&mask(self), "none")),
        ];
        let differing = pairs.into_iter().find(|(_, old, new)| old != new);
        differing.map(|(name, old, new)| format!("{name} was {old} and is now {new}"))
    }
}

/// The folder of the results.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// Held while something is changed; the system gives it up when the process ends, however that comes about.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is the open file that holds the lock")] File);

impl Folder {
    /// Opens the folder for results with `settings`, and makes it if need be.
    ///
    /// # Errors
    /// If it holds something else, or results with other settings.
    pub fn open(path: &Path, settings: &Settings) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
        let folder = Self(path.to_owned());
        let file = path.join(SETTINGS);
        if !file.exists() {
            // Before anything is put there, the lock as well.
            folder.check_empty()?;
        }
        let _lock = folder.lock()?;
        match std::fs::read(&file) {
            Ok(text) => {
                let old: Settings = serde_json::from_slice(&text)
                    .with_context(|| format!("{}: not what adaudit writes", file.display()))?;
                if let Some(difference) = settings.difference(&old) {
                    bail!(
                        "{}: holds an audit with other settings: {difference}; take another --out, or remove it",
                        path.display()
                    );
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                folder.check_empty()?;
                write_atomically(&file, |file| {
                    serde_json::to_writer_pretty(file, settings).map_err(Into::into)
                })
                .map_err(|e| Error::io(&file, e))?;
            }
            Err(e) => return Err(Error::io(file, e).into()),
        }
        Ok(folder)
    }

    /// What lies in somebody's folder stays as it is.
    fn check_empty(&self) -> anyhow::Result<()> {
        for entry in std::fs::read_dir(&self.0).map_err(|e| Error::io(&self.0, e))? {
            let name = entry.map_err(|e| Error::io(&self.0, e))?.file_name();
            if !name.to_string_lossy().starts_with('.') {
                bail!(
                    "{}: is no audit and not empty (it holds {}); --out takes a new or empty folder",
                    self.0.display(),
                    name.display()
                );
            }
        }
        Ok(())
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Where the folders of the videos are.
    pub fn videos(&self) -> PathBuf {
        self.0.join("videos")
    }

    /// Waits until nobody else changes what all videos share.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let file = lock_file(&self.0)?;
        let failed = |e| Error::io(self.0.join(LOCK), e);
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let folder = self.0.to_string_lossy();
                eprintln!("adaudit: {}: waiting for another adaudit to write its report", shown(&folder));
                file.lock().map_err(failed)?;
            }
            Err(TryLockError::Error(e)) => return Err(failed(e).into()),
            Ok(()) => {}
        }
        remove_unfinished(&self.0)?;
        Ok(Lock(file))
    }
}

/// Reserves the folder of one video; none if another process works on it.
///
/// # Errors
/// If the folder cannot be written to.
pub fn reserve(folder: &Path) -> anyhow::Result<Option<Lock>> {
    let file = lock_file(folder)?;
    match file.try_lock() {
        Ok(()) => {
            remove_unfinished(folder)?;
            Ok(Some(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::io(folder.join(LOCK), e).into()),
    }
}

fn lock_file(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| Error::io(path, e))
}

/// Removes what a process that was killed has left half written. Nobody else writes here: the folder is locked.
fn remove_unfinished(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            std::fs::remove_file(entry.path()).map_err(|e| Error::io(entry.path(), e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            format: Settings::FORMAT,
            model: "bottle".into(),
            model_sha256: "0123456789abcdef".into(),
            every: 1,
            threshold: None,
            warn: None,
            min_area: "0".into(),
            hold: 0,
            track: None,
            ignore_mask_sha256: None,
        }
    }

    #[test]
    fn other_settings_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        Folder::open(&out, &settings()).unwrap();
        Folder::open(&out, &settings()).unwrap();
        for (other, part) in [
            (Settings { every: 5, ..settings() }, "--every was 1 and is now 5"),
            (Settings { threshold: Some("3.5".into()), ..settings() }, "--threshold was of the bundle and"),
            (Settings { warn: Some("3.5".into()), ..settings() }, "--warn was of the bundle and is now 3.5"),
            (Settings { model_sha256: "fedcba9876543210".into(), ..settings() }, "now bottle (fedcba987654)"),
            (Settings { track: Some(2), ..settings() }, "--track was of each file and is now 2"),
            (Settings { ignore_mask_sha256: Some("ab".into()), ..settings() }, "was none and is now ab"),
        ] {
            let problem = Folder::open(&out, &other).unwrap_err().to_string();
            assert!(problem.contains(part) && problem.contains("take another --out"), "{problem}");
        }
    }

    #[test]
    fn what_is_no_audit_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.html"), "mine").unwrap();
        let problem = Folder::open(folder.path(), &settings()).unwrap_err().to_string();
        assert!(problem.contains("index.html"), "{problem}");
        std::fs::write(folder.path().join(SETTINGS), "{}").unwrap();
        assert!(format!("{:#}", Folder::open(folder.path(), &settings()).unwrap_err()).contains(SETTINGS));
    }

    #[test]
    fn a_video_is_reserved_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = reserve(folder.path()).unwrap();
        assert!(first.is_some() && reserve(folder.path()).unwrap().is_none());
        drop(first);
        assert!(reserve(folder.path()).unwrap().is_some());
    }
}
