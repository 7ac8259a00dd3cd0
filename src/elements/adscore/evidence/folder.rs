//! The folder: complete records, and the oldest of them go when there is no room for a new one.
//!
//! A record is a few files with a common stem, `anomaly-NUMBER-TIME-REASON`. Files of any other name are never touched.

use super::ENDS;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Beginning of the names of a record's files.
const PREFIX: &str = "anomaly-";
/// Files that are being written. One that is there at the start was left by a crash.
const UNFINISHED: (&str, &str) = (".anomaly-", ".tmp");
/// End of the file that is written last.
const COMPLETING: &str = ".json";
/// Held as long as the folder is in use, since two writers would not see each other's sizes and numbers.
const LOCK: &str = ".anomaly-lock";
/// How long a writer before us may need to end.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Digits of a record's number, which make names sort by age.
const DIGITS: usize = 8;

/// A folder of records in use by this writer alone.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Bytes that the records may take together.
    limit: u64,
    /// By number, and so by age: clocks may be set back, numbers only grow.
    records: BTreeMap<u64, Vec<Part>>,
    /// Bytes that they take now.
    bytes: u64,
    /// Number of the next record.
    next: u64,
    _lock: File,
}

/// A file of a record.
#[derive(Debug)]
struct Part {
    name: String,
    bytes: u64,
}

impl Folder {
    /// Opens the folder, makes it if need be, counts what is in it and removes what is over `limit` bytes.
    ///
    /// # Errors
    /// If it cannot be made, read or written, or another writer uses it.
    pub(super) fn open(path: &Path, limit: u64) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
        let lock = lock(path)?;
        // Whether it can be written is better known now than at the first anomaly.
        unfinished(path)?;
        let mut folder =
            Self { path: path.to_owned(), limit, records: BTreeMap::new(), bytes: 0, next: 1, _lock: lock };
        folder.scan().map_err(|e| Error::io(path, e))?;
        folder.make_room(0)?;
        Ok(folder)
    }

    fn scan(&mut self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Of the entry itself: a link is not ours.
            let data = entry.metadata()?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let number = number(&name);
            self.next = self.next.max(number.map_or(1, |number| number.saturating_add(1)));
            if !data.is_file() {
                continue;
            }
            if name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1) {
                std::fs::remove_file(entry.path())?;
            } else if let Some(number) = number {
                self.bytes += data.len();
                self.records.entry(number).or_default().push(Part { name, bytes: data.len() });
            }
        }
        // The part that makes a record complete is the last one, which goes first.
        for parts in self.records.values_mut() {
            parts.sort_by_key(|part| part.name.ends_with(COMPLETING));
        }
        Ok(())
    }

    /// Stores a record. `title` are time and reason; `files` makes its files from the stem that their names will have, each as
    /// the end of its name and its content. The last one appears last: where it is, the record is complete.
    ///
    /// # Errors
    /// If it is larger than the limit, or cannot be written; nothing of it stays then.
    pub(super) fn store<'a>(
        &mut self,
        title: &str,
        files: impl FnOnce(&str) -> Result<Vec<(&'a str, Vec<u8>)>>,
    ) -> Result<()> {
        let number = self.next;
        let stem = format!("{PREFIX}{number:0DIGITS$}-{title}");
        let files = files(&stem)?;
        let bytes = files.iter().map(|(_, content)| content.len() as u64).sum();
        if bytes > self.limit {
            let limit = self.limit;
            let problem = format!("a record of {bytes} bytes is larger than evidence-limit, {limit} bytes");
            return Err(Error::file(&self.path, problem));
        }
        self.make_room(bytes)?;
        let mut parts: Vec<Part> = Vec::with_capacity(files.len());
        for (end, content) in files {
            let name = format!("{stem}{end}");
            if let Err(error) = write(&self.path, &name, &content) {
                for part in parts {
                    // What cannot be removed either is found at the next start.
                    let _ = std::fs::remove_file(self.path.join(part.name));
                }
                return Err(error);
            }
            parts.push(Part { name, bytes: content.len() as u64 });
        }
        self.next += 1;
        self.bytes += bytes;
        self.records.insert(number, parts);
        Ok(())
    }

    /// Removes the oldest records until there is room for `bytes`.
    fn make_room(&mut self, bytes: u64) -> Result<()> {
        while self.bytes.saturating_add(bytes) > self.limit {
            let Some(mut oldest) = self.records.first_entry() else { break };
            while let Some(part) = oldest.get().last() {
                let path = self.path.join(&part.name);
                match std::fs::remove_file(&path) {
                    // Somebody else may have tidied up.
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path, e)),
                    _ => self.bytes -= part.bytes,
                }
                oldest.get_mut().pop();
            }
            oldest.remove();
        }
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File> {
    let name = path.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|e| Error::io(path, e))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::file(
                    path,
                    "another adscore writes here, or has just stopped and is not done with it; give each a folder of its own",
                ));
            }
            // Some network file systems have no locks, and their folders are good enough all the same.
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// A new file under a name of its own that goes away again unless it is renamed.
fn unfinished(folder: &Path) -> Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(UNFINISHED.0)
        .suffix(UNFINISHED.1)
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(|e| Error::io(folder, e))
}

/// Writes a file that is there whole or not at all.
fn write(folder: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = folder.join(name);
    let mut file = unfinished(folder)?;
    let written = file.write_all(content).and_then(|()| file.as_file().sync_data());
    written.map_err(|e| Error::io(&path, e))?;
    file.persist_noclobber(&path).map_err(|e| Error::io(&path, e.error))?;
    Ok(())
}

/// The number in the name of a record's file; `None` where it is not one of ours.
fn number(name: &str) -> Option<u64> {
    let (number, rest) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let (time, rest) = rest.split_once('-')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (day, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let known = number.len() >= DIGITS
        && digits(number)
        && (day.len(), clock.len()) == (8, 6)
        && digits(day)
        && digits(clock)
        && ["first", "peak"].iter().any(|reason| rest.strip_prefix(reason).is_some_and(is_end));
    known.then(|| number.parse().ok()).flatten()
}

fn is_end(end: &str) -> bool {
    ENDS.contains(&end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TITLE: &str = "20250102T030405Z-first";

    fn names(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name != LOCK).collect();
        names.sort();
        names
    }

    fn store(folder: &mut Folder, bytes: usize) -> Result<()> {
        folder.store(TITLE, |_| Ok(vec![(".png", vec![0; bytes - 4]), (".json", vec![0; 4])]))
    }

    #[test]
    fn the_oldest_records_make_room_and_nothing_else_goes() {
        let place = tempfile::tempdir().unwrap();
        let foreign =
            ["anomaly-00000001.png", "anomaly-1-20250102T030405Z-first.png", "notes.json", ".anomaly-x"];
        for name in foreign {
            std::fs::write(place.path().join(name), [0; 5000]).unwrap();
        }
        let mut folder = Folder::open(place.path(), 1000).unwrap();
        for _ in 0..7 {
            store(&mut folder, 300).unwrap();
        }
        let kept = |number: u64, end: &str| format!("anomaly-{number:08}-{TITLE}{end}");
        let mut expected: Vec<String> =
            (5..=7).flat_map(|number| [kept(number, ".json"), kept(number, ".png")]).collect();
        expected.extend(foreign.map(String::from));
        expected.sort();
        assert_eq!(names(place.path()), expected);

        // Removed by hand, and too large: both are no harm.
        std::fs::remove_file(place.path().join(kept(5, ".png"))).unwrap();
        let message = store(&mut folder, 1001).unwrap_err().to_string();
        assert!(message.contains("1001") && message.contains("evidence-limit"), "{message}");
        store(&mut folder, 1000).unwrap();
        assert!(
            names(place.path()).contains(&kept(8, ".png")) && !names(place.path()).contains(&kept(7, ".png"))
        );
    }

    #[test]
    fn a_new_start_counts_what_is_there_and_goes_on_with_the_numbers() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(place.path(), 1000).unwrap();
        for _ in 0..3 {
            store(&mut folder, 300).unwrap();
        }
        drop(folder);
        std::fs::write(place.path().join(".anomaly-abc.tmp"), "half").unwrap();
        let mut folder = Folder::open(place.path(), 700).unwrap();
        assert_eq!(
            names(place.path()).len(),
            4,
            "the third record is over the new limit, the rest of a crash is gone"
        );
        store(&mut folder, 200).unwrap();
        assert!(names(place.path()).contains(&format!("anomaly-00000004-{TITLE}.json")));
    }

    #[test]
    fn what_cannot_be_a_folder_of_ours_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below"), "/proc/evidence".into()] {
            let message = Folder::open(&path, 1000).unwrap_err().to_string();
            assert!(message.contains(path.to_str().unwrap()), "{message}");
        }
        let first = Folder::open(place.path(), 1000).unwrap();
        let message = Folder::open(place.path(), 1000).unwrap_err().to_string();
        assert!(message.contains("another adscore"), "{message}");
        drop(first);
        Folder::open(place.path(), 1000).unwrap();
    }

    #[test]
    fn links_with_our_names_are_not_ours() {
        let place = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(outside.path(), [0; 900]).unwrap();
        let link = place.path().join(format!("anomaly-00000001-{TITLE}.png"));
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let mut folder = Folder::open(place.path(), 100).unwrap();
        store(&mut folder, 90).unwrap();
        store(&mut folder, 90).unwrap();
        assert!(link.is_symlink() && outside.path().exists());
    }
}
