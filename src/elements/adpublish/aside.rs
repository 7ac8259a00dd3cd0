//! Names of files that were set aside: they sort in the order in which that was done, also within a second and after the clock was set
//! back.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Digits of the number behind the time.
const DIGITS: usize = 6;

/// What names say of when: the time in UTC as `20260301T073012Z`, and a number among those of the same second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    time: String,
    number: u32,
}

impl Mark {
    fn now() -> Result<Self, glib::BoolError> {
        let time = glib::DateTime::now_utc()?.format("%Y%m%dT%H%M%SZ")?;
        Ok(Self { time: time.into(), number: 0 })
    }

    fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }

    /// What the name of a file `stem-MARK.extension` says.
    fn of(name: &OsStr, (stem, extension): (&OsStr, Option<&OsStr>)) -> Option<Self> {
        let name = Path::new(name);
        if name.extension() != extension {
            return None;
        }
        let rest = name.file_stem()?.as_encoded_bytes().strip_prefix(stem.as_encoded_bytes())?;
        let (time, number) = std::str::from_utf8(rest).ok()?.strip_prefix('-')?.split_once('-')?;
        let (day, clock) = time.strip_suffix('Z')?.split_once('T')?;
        let digits =
            |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        let known = digits(day, 8) && digits(clock, 6) && digits(number, DIGITS);
        known.then(|| number.parse().ok().map(|number| Self { time: time.into(), number })).flatten()
    }

    fn name(&self, path: &Path) -> PathBuf {
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{}-{:0DIGITS$}", self.time, self.number));
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
    }
}

/// Gives the file a name that comes after all others of its kind, and after `last`, and makes that last; returns what it says.
pub(super) fn set_aside(path: &Path, last: Option<Mark>) -> io::Result<Mark> {
    let now = Mark::now().map_err(io::Error::other)?;
    let before = newest(path)?.max(last);
    let mut mark = match before {
        Some(before) => before.next().max(now),
        None => now,
    };
    loop {
        let aside = mark.name(path);
        // Unlike a renaming, a second name never takes the place of another file.
        match std::fs::hard_link(path, &aside) {
            Ok(()) => break,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => (),
            // File systems without hard links: nobody but us makes such names.
            Err(_) if aside.try_exists()? => (),
            Err(_) => {
                std::fs::rename(path, &aside)?;
                sync_folder(path)?;
                return Ok(mark);
            }
        }
        mark = mark.next();
    }
    std::fs::remove_file(path)?;
    sync_folder(path)?;
    Ok(mark)
}

/// What the last name says of files that were set aside from `path`.
fn newest(path: &Path) -> io::Result<Option<Mark>> {
    let kind = (path.file_stem().unwrap_or_default(), path.extension());
    let mut newest = None;
    for entry in std::fs::read_dir(folder(path))? {
        newest = newest.max(Mark::of(&entry?.file_name(), kind));
    }
    Ok(newest)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_sort_in_the_order_in_which_files_were_set_aside() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("results.jsonl");
        // From before the clock was set back, and what others have put there.
        let future = "results-20990101T000000Z-000041.jsonl";
        let foreign =
            ["results-20990101T000000Z.jsonl", "results-x.jsonl", "results-20990101T000000Z-000050.json"];
        for name in foreign.iter().chain([&future]) {
            std::fs::write(place.path().join(name), "").unwrap();
        }
        let mut last = None;
        for number in 0..20 {
            std::fs::write(&path, number.to_string()).unwrap();
            last = Some(set_aside(&path, last).unwrap());
        }
        let ours: Vec<String> =
            names(place.path()).into_iter().filter(|n| !foreign.contains(&n.as_str())).collect();
        assert_eq!(ours[0], future);
        for (number, name) in ours[1..].iter().enumerate() {
            assert_eq!(
                std::fs::read_to_string(place.path().join(name)).unwrap(),
                number.to_string(),
                "{name}"
            );
        }
        assert_eq!(last.unwrap(), Mark { time: "20990101T000000Z".into(), number: 61 });
    }

    #[test]
    fn files_that_somebody_has_fetched_count_as_long_as_we_run() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        let last = Mark { time: "20990101T000000Z".into(), number: 7 };
        std::fs::write(&path, "").unwrap();
        set_aside(&path, Some(last)).unwrap();
        assert_eq!(names(place.path()), ["log-20990101T000000Z-000008"]);
        // Without that, and with a clock that goes right, the time says it all.
        std::fs::write(&path, "").unwrap();
        std::fs::remove_file(place.path().join("log-20990101T000000Z-000008")).unwrap();
        let mark = set_aside(&path, None).unwrap();
        assert!(mark.time.as_str() < "2099" && mark.number == 0, "{mark:?}");
    }
}
