//! What is kept of every inspected frame, in a file that grows by one record a frame.
//!
//! A record is five little-endian 64-bit words: frame, time in ns, score, normalised score, level. Of a fixed size, so that a file that
//! a kill has torn is cut back to what the state beside it counts.

use gstanomaly::methods::Level;
use gstanomaly::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const WORDS: usize = 5;
const BYTES: usize = WORDS * 8;
/// Stands for a time that is not known.
const NO_TIME: u64 = u64::MAX;

/// One inspected frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Its number in the video, from 0.
    pub frame: u64,
    /// Its time in the video in ns, if it has one.
    pub time: Option<u64>,
    /// Raw score.
    pub score: f64,
    /// Score from 0 to 1, with the threshold at 0.5.
    pub normalized: f64,
    /// By the frame's own decision.
    pub level: Level,
}

/// The word of a level. 0 and 1 are the decision of older versions, which knew no warn level.
const LEVELS: [(u64, Level); 3] = [(0, Level::Normal), (1, Level::Reject), (2, Level::Warn)];

impl Record {
    /// Whether the frame is anomalous by itself.
    pub fn anomalous(&self) -> bool {
        self.level == Level::Reject
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let words = [
            self.frame,
            self.time.unwrap_or(NO_TIME),
            self.score.to_bits(),
            self.normalized.to_bits(),
            LEVELS.iter().find(|(_, level)| *level == self.level).map_or(0, |(word, _)| *word),
        ];
        let mut bytes = [0; BYTES];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
        bytes
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Self {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [frame, time, score, normalized, level] = words;
        Self {
            frame,
            time: Some(time).filter(|&time| time != NO_TIME),
            score: f64::from_bits(score),
            normalized: f64::from_bits(normalized),
            level: LEVELS.iter().find(|(word, _)| *word == level).map_or(Level::Normal, |(_, level)| *level),
        }
    }
}

/// The file of one video, open to grow.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Opens the file and cuts it back to `count` records.
    ///
    /// # Errors
    /// If the file cannot be opened, or holds fewer.
    pub fn open(path: &Path, count: u64) -> Result<Self> {
        let failed = |e| Error::io(path, e);
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        check_length(path, &file, count)?;
        file.set_len(count * BYTES as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Adds a record.
    pub fn push(&mut self, record: Record) -> Result<()> {
        self.file.write_all(&record.to_bytes()).map_err(|e| Error::io(&self.path, e))
    }

    /// Returns when everything is on the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(|e| Error::io(&self.path, e))
    }
}

/// The first `count` records of a file, one after the other.
///
/// # Errors
/// If the file cannot be read, or holds fewer.
pub fn read(path: &Path, count: u64) -> Result<impl Iterator<Item = Result<Record>> + use<>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    check_length(path, &file, count)?;
    let (path, mut file) = (path.to_owned(), BufReader::new(file));
    Ok((0..count).map(move |_| {
        let mut bytes = [0; BYTES];
        file.read_exact(&mut bytes).map_err(|e| Error::io(&path, e))?;
        Ok(Record::from_bytes(&bytes))
    }))
}

fn check_length(path: &Path, file: &File, count: u64) -> Result<()> {
    let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
    if bytes / (BYTES as u64) < count {
        let problem =
            format!("expected {count} records, found {bytes} bytes; remove the folder to audit anew");
        return Err(Error::file(path, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(frame: u64) -> Record {
        let time = (frame != 1).then_some(frame * 40_000_000);
        let level = [Level::Normal, Level::Warn, Level::Reject][frame as usize % 3];
        Record { frame, time, score: 0.1 + frame as f64, normalized: 0.3, level }
    }

    #[test]
    fn records_come_back_bit_by_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let mut writer = Writer::open(&path, 0).unwrap();
        (0..3).for_each(|frame| writer.push(record(frame)).unwrap());
        writer.sync().unwrap();
        let read: Vec<Record> = read(&path, 3).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [0, 1, 2].map(record));
    }

    #[test]
    fn decisions_of_older_versions_are_levels() {
        let mut bytes = record(0).to_bytes();
        for (word, level) in [(0, Level::Normal), (1, Level::Reject)] {
            bytes[BYTES - 8] = word;
            assert_eq!(Record::from_bytes(&bytes).level, level);
        }
    }

    #[test]
    fn a_torn_file_is_cut_back_and_a_short_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let bytes: Vec<u8> = [record(0).to_bytes(), record(5).to_bytes()].concat();
        std::fs::write(&path, &bytes[..BYTES + 7]).unwrap();
        let mut writer = Writer::open(&path, 1).unwrap();
        writer.push(record(1)).unwrap();
        writer.sync().unwrap();
        assert_eq!(read(&path, 2).unwrap().map(|r| r.unwrap().frame).collect::<Vec<_>>(), [0, 1]);
        let problem = Writer::open(&path, 3).unwrap_err().to_string();
        assert!(problem.contains("expected 3 records"), "{problem}");
    }
}
