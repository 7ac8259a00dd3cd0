//! The events of a video that have ended, in a file that grows by one line of JSON an event.
//!
//! Beside the state and not in it: the state is written anew at every checkpoint, and a threshold that is too low makes an event of
//! every other frame. As with the records, the state counts the bytes that are valid; what a kill has left beyond them is cut.

use crate::events::Event;
use gstanomaly::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file of one video, open to grow.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    /// Bytes of it that are on the disk.
    synced: u64,
}

impl Writer {
    /// Opens the file and cuts it back to so many bytes.
    ///
    /// # Errors
    /// If the file cannot be opened, or is shorter.
    pub fn open(path: &Path, bytes: u64) -> Result<Self> {
        let failed = |e| Error::io(path, e);
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        check_length(path, &file, bytes)?;
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), bytes, synced: bytes })
    }

    /// Adds an event.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn push(&mut self, event: &Event) -> Result<()> {
        let failed = |e| Error::io(&self.path, e);
        let mut line = serde_json::to_vec(event).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(failed)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Returns when everything is on the disk, with the number of bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn sync(&mut self) -> Result<u64> {
        if self.synced < self.bytes {
            let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_data());
            synced.map_err(|e| Error::io(&self.path, e))?;
            self.synced = self.bytes;
        }
        Ok(self.bytes)
    }
}

/// The events in the first so many bytes of a file.
///
/// # Errors
/// If the file cannot be read, is shorter, or holds something else.
pub fn read(path: &Path, bytes: u64) -> Result<Vec<Event>> {
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    check_length(path, &file, bytes)?;
    let lines = BufReader::new(file).take(bytes).lines();
    let events = lines.map(|line| {
        let line = line.map_err(|e| Error::io(path, e))?;
        serde_json::from_str(&line)
            .map_err(|e| Error::file(path, format!("{e}; remove its folder to audit the video anew")))
    });
    events.collect()
}

fn check_length(path: &Path, file: &File, bytes: u64) -> Result<()> {
    let found = file.metadata().map_err(|e| Error::io(path, e))?.len();
    if found < bytes {
        let problem = format!(
            "expected {bytes} bytes of events, found {found}; remove its folder to audit the video anew"
        );
        return Err(Error::file(path, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Mark;

    fn event(record: u64) -> Event {
        let mark = Mark { record, frame: record, time: None };
        Event { first: mark, last: mark, peak: mark, end: Some(record), regions: Vec::new() }
    }

    #[test]
    fn what_a_kill_has_left_beyond_the_count_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        assert!(read(&path, 0).unwrap().is_empty(), "no file is no event");
        let mut writer = Writer::open(&path, 0).unwrap();
        writer.push(&event(1)).unwrap();
        let bytes = writer.sync().unwrap();
        writer.push(&event(2)).unwrap();
        drop(writer);
        let mut writer = Writer::open(&path, bytes).unwrap();
        writer.push(&event(3)).unwrap();
        let bytes = writer.sync().unwrap();
        assert_eq!(read(&path, bytes).unwrap(), [event(1), event(3)]);
        let problem = read(&path, bytes + 1).unwrap_err().to_string();
        assert!(problem.contains("remove its folder"), "{problem}");
        assert!(Writer::open(&path, bytes + 1).is_err());
    }
}
