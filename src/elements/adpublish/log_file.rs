//! A file that messages are added to, and that is set aside when it has become too large or too old.
//!
//! What was added is never lost by our doing: a name that is taken is not taken again, a file that somebody moved away is begun
//! anew, and two writers can't share one.

use super::aside::{Mark, set_aside, sync_folder};
use super::settings::FileFormat;
use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bytes that are read at a time where the end of the last whole line is looked for.
const CHUNK: u64 = 64 * 1024;

/// When a file is set aside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Bytes.
    pub(super) size: Option<u64>,
    pub(super) age: Option<Duration>,
}

/// How messages are put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    format: FileFormat,
    /// Whether a message was written before.
    begun: bool,
}

impl Framing {
    pub(super) fn new(format: FileFormat) -> Self {
        Self { format, begun: false }
    }

    /// A message with what must stand before and after it.
    pub(super) fn frame(&self, json: &[u8]) -> Vec<u8> {
        match (self.format, self.begun) {
            (FileFormat::JsonLines, _) => [json, b"\n"].concat(),
            (FileFormat::Json, false) => [b"[\n", json].concat(),
            (FileFormat::Json, true) => [b",\n", json].concat(),
        }
    }

    /// The last message was written.
    pub(super) fn advance(&mut self) {
        self.begun = true;
    }

    /// How many bytes [`Self::end`] has after a message.
    fn tail(&self) -> usize {
        Self { begun: true, ..*self }.end().len()
    }

    /// What completes a file.
    pub(super) fn end(&self) -> &'static [u8] {
        match (self.format, self.begun) {
            (FileFormat::JsonLines, _) => b"",
            (FileFormat::Json, false) => b"[]\n",
            (FileFormat::Json, true) => b"\n]\n",
        }
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    limits: Limits,
    framing: Framing,
    file: File,
    /// Bytes up to the end of the last message.
    length: u64,
    /// Whether the end of the array stands there.
    finished: bool,
    opened: Instant,
    /// What the name of the file says that was set aside last.
    aside: Option<Mark>,
}

impl LogFile {
    /// Opens the file, or makes it. JSON lines are added to what is there; a JSON array that is there is set aside.
    ///
    /// # Errors
    /// If it can't be written or isn't a regular file, or if somebody else writes to it.
    pub(super) fn open(path: &Path, format: FileFormat, limits: Limits) -> Result<Self> {
        Self::open_after(path, format, limits, None)
    }

    /// The same, after files were set aside up to that one.
    fn open_after(path: &Path, format: FileFormat, limits: Limits, aside: Option<Mark>) -> Result<Self> {
        let (mut file, mut length) = open(path)?;
        let mut aside = aside;
        match format {
            FileFormat::JsonLines => length = cut_torn_line(&mut file, path, length)?,
            FileFormat::Json if length > 0 => {
                aside = Some(set_aside(path, aside).map_err(|e| Error::io(path, e))?);
                (file, length) = open(path)?;
            }
            FileFormat::Json => (),
        }
        if length == 0 {
            // Where folders can't be synced, that they hold the file is up to the file system.
            let _ = sync_folder(path);
        }
        let framing = Framing::new(format);
        Ok(Self {
            path: path.to_owned(),
            limits,
            framing,
            file,
            length,
            finished: false,
            opened: Instant::now(),
            aside,
        })
    }

    /// The file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When the file will be too old.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.limits.age.filter(|_| self.length > 0).map(|age| self.opened + age)
    }

    /// Whether it is too old.
    pub(super) fn expired(&self) -> bool {
        self.expiry().is_some_and(|expiry| Instant::now() >= expiry)
    }

    /// Adds a message. If that fails, the file ends with the message before it.
    pub(super) fn append(&mut self, json: &[u8]) -> io::Result<()> {
        let mut bytes = self.framing.frame(json);
        let size = self.length + (bytes.len() + self.framing.tail()) as u64;
        let too_large = self.limits.size.is_some_and(|limit| size > limit);
        if self.length > 0 && (too_large || self.expired()) {
            self.rotate()?;
            bytes = self.framing.frame(json);
        }
        if self.finished {
            self.cut()?;
        }
        if let Err(e) = self.file.write_all(&bytes) {
            // On a full disk half a message may have found room; it goes before the next one if it cannot go now.
            self.finished = true;
            self.cut()?;
            return Err(e);
        }
        self.framing.advance();
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Takes away what stands after the last message.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.finished = false;
        Ok(())
    }

    /// Puts what was added on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Sets the file aside and begins a new one.
    pub(super) fn rotate(&mut self) -> io::Result<()> {
        self.finish()?;
        self.aside = Some(set_aside(&self.path, self.aside.take())?);
        self.begin()
    }

    /// Begins anew if the file is no longer where it was, moved or removed by somebody, or goes on at its beginning if somebody has
    /// copied and emptied it.
    pub(super) fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                if ours.len() < self.length {
                    self.opened = Instant::now();
                    self.length = match self.framing.format {
                        FileFormat::JsonLines => ours.len(),
                        // What may have come after that is no array.
                        FileFormat::Json => 0,
                    };
                    self.framing = Framing::new(self.framing.format);
                    self.cut()?;
                }
                return Ok(());
            }
            Ok(_) => (),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (),
            Err(e) => return Err(e),
        }
        self.finish()?;
        self.begin()
    }

    fn begin(&mut self) -> io::Result<()> {
        let (format, aside) = (self.framing.format, self.aside.clone());
        *self = Self::open_after(&self.path, format, self.limits, aside).map_err(io::Error::other)?;
        Ok(())
    }

    /// Completes the file.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.finished {
            return Ok(());
        }
        if let Err(e) = self.file.write_all(self.framing.end()).and_then(|()| self.file.sync_all()) {
            self.cut()?;
            return Err(e);
        }
        self.finished = true;
        Ok(())
    }
}

/// Opens the file for adding to it, as the only one; returns its length, too.
fn open(path: &Path) -> Result<(File, u64)> {
    let mut options = OpenOptions::new();
    // At its end wherever that is by then, should somebody empty the file. A named pipe that nobody reads would hold us up.
    options.read(true).append(true).create(true).custom_flags(libc::O_NONBLOCK);
    let mut file = options.open(path).map_err(|e| Error::io(path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    if !metadata.is_file() {
        return Err(Error::file(path, "not a regular file; name one, or 'stdout'"));
    }
    match file.try_lock() {
        // A file system without locks leaves this to the user.
        Ok(()) | Err(TryLockError::Error(_)) => (),
        Err(TryLockError::WouldBlock) => {
            return Err(Error::file(
                path,
                "another adpublish writes to this file; give each a file of its own",
            ));
        }
    }
    let length = file.seek(SeekFrom::End(0)).map_err(|e| Error::io(path, e))?;
    Ok((file, length))
}

/// Cuts what stands after the last line end, the rest of a message that a crash interrupted, unless only the line end is missing;
/// returns the length.
fn cut_torn_line(file: &mut File, path: &Path, length: u64) -> Result<u64> {
    let (end, first) = last_line(file, length).map_err(|e| Error::io(path, e))?;
    if first.is_some_and(|byte| byte != b'{') {
        // Somebody's picture, say.
        return Err(Error::file(
            path,
            "its last line is no JSON object; name a file of JSON lines, or a new one",
        ));
    }
    let failed = |e| Error::io(path, e);
    if end < length {
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        if serde_json::from_reader::<_, serde::de::IgnoredAny>(BufReader::new(&*file)).is_ok() {
            file.seek(SeekFrom::End(0)).map_err(failed)?;
            file.write_all(b"\n").map_err(failed)?;
            return Ok(length + 1);
        }
        file.set_len(end).map_err(failed)?;
    }
    file.seek(SeekFrom::Start(end)).map_err(failed)
}

/// Where the line begins that has no end, and its first byte if it has one.
fn last_line(file: &mut File, length: u64) -> io::Result<(u64, Option<u8>)> {
    let mut chunk = Vec::new();
    let mut end = length;
    let mut first = None;
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.take(end - start).read_to_end(&mut chunk)?;
        match chunk.iter().rposition(|&byte| byte == b'\n') {
            Some(place) => return Ok((start + place as u64 + 1, chunk.get(place + 1).copied().or(first))),
            None => first = chunk.first().copied(),
        }
        end = start;
    }
    Ok((0, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_cut_and_a_whole_one_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        for (before, after) in [
            ("{\"a\":1}\n{\"b\":", "{\"a\":1}\n"),
            ("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n"),
            ("{\"a\":1}", "{\"a\":1}\n"),
            ("{\"a\":1}\n", "{\"a\":1}\n"),
            ("", ""),
        ] {
            std::fs::write(&path, before).unwrap();
            let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let length = cut_torn_line(&mut file, &path, before.len() as u64).unwrap();
            assert_eq!(
                (std::fs::read_to_string(&path).unwrap().as_str(), length),
                (after, after.len() as u64)
            );
            assert_eq!(file.stream_position().unwrap(), length);
        }
        std::fs::write(&path, "no JSON").unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(cut_torn_line(&mut file, &path, 7).is_err());
    }
}
