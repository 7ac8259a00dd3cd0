//! What lies in a file behind the place that its last frame came from.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// So many bytes, and one in so many of the file, may be an index that nobody needs.
const LEAST: u64 = 16 * 1024;
const ONE_IN: u64 = 100;
/// Bytes that are looked at: recorders fill files with zeros.
const PROBED: u64 = 1 << 20;
/// Stretches of a file that are kept apart.
const MOST: usize = 256;

/// How far into a file its frames lie.
#[derive(Debug, Default)]
pub struct Reading {
    /// The end of what was read last.
    asked: u64,
    /// The end of what frames came from.
    framed: u64,
    /// What was read beyond that: an index, mostly.
    ahead: Vec<(u64, u64)>,
}

impl Reading {
    /// These bytes were read.
    pub fn ask(&mut self, from: u64, bytes: u64) {
        self.asked = from.saturating_add(bytes);
        if self.asked > self.framed {
            let framed = self.framed;
            self.ahead.retain(|(_, to)| *to > framed);
            if self.ahead.len() < MOST {
                self.ahead.push((from, self.asked));
            }
        }
    }

    /// A frame came of what was read last.
    pub fn frame(&mut self) {
        self.framed = self.framed.max(self.asked);
    }

    /// The bytes of a file of this size that were not read, behind those that frames came from.
    fn unread(&self, size: u64) -> u64 {
        let mut ahead = self.ahead.clone();
        ahead.sort_unstable();
        let (mut at, mut unread) = (self.framed, 0);
        for (from, to) in ahead {
            unread += from.saturating_sub(at);
            at = at.max(to);
        }
        unread + size.saturating_sub(at)
    }

    /// The bytes at the end of a file that were not read, and its size; none if they may well be there.
    pub fn tail(&self, path: &Path, size: u64) -> Option<(u64, u64)> {
        // Nothing is known of what has no frames, or is not a file.
        let unread = Some(self.unread(size)).filter(|_| self.framed > 0)?;
        judge(path, size, unread)
    }
}

/// The bytes at the end of a file that are no part of its movie, and its size; none if they may well be there.
pub fn behind(path: &Path, size: u64, end: u64) -> Option<(u64, u64)> {
    judge(path, size, size.checked_sub(end)?)
}

fn judge(path: &Path, size: u64, unread: u64) -> Option<(u64, u64)> {
    let much = unread > LEAST.max(size / ONE_IN);
    (much && !ends_with_zeros(path, size, PROBED.min(unread / 2))).then_some((unread, size))
}

fn ends_with_zeros(path: &Path, size: u64, bytes: u64) -> bool {
    let probe = || -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
        let mut end = Vec::new();
        file.take(bytes).read_to_end(&mut end)?;
        Ok(end.iter().all(|byte| *byte == 0))
    };
    probe().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(asks: &[(u64, u64)]) -> Reading {
        let mut reading = Reading::default();
        asks.iter().for_each(|(from, bytes)| reading.ask(*from, *bytes));
        reading
    }

    #[test]
    fn an_index_is_read_before_the_frames() {
        let mut read = reading(&[(0, 100), (900, 100), (100, 200)]);
        read.frame();
        assert_eq!(read.unread(1000), 600);
        read.ask(300, 500);
        read.frame();
        assert_eq!((read.unread(1000), read.unread(2000)), (100, 1100));
        read.ask(800, 100);
        assert_eq!(read.unread(1000), 0);
        // What overlaps counts once.
        assert_eq!(reading(&[(0, 600), (500, 300), (100, 100)]).unread(1000), 200);
        let mut many = Reading::default();
        (0..100_000).for_each(|i| {
            many.ask(10 * i, 5);
            many.frame();
        });
        assert!(many.ahead.len() <= 2, "{}", many.ahead.len());
    }

    #[test]
    fn zeros_may_lie_behind_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut bytes = vec![7; 100_000];
        bytes.extend(vec![0; 200_000]);
        std::fs::write(&path, &bytes).unwrap();
        let mut read = reading(&[(0, 90_000)]);
        assert_eq!(read.tail(&path, 300_000), None, "no frame came of it");
        read.frame();
        assert_eq!(read.tail(&path, 300_000), None, "zeros");
        assert_eq!(read.tail(&path, 100_000), None, "as little as that is an index");
        bytes.push(1);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read.tail(&path, 300_001), Some((210_001, 300_001)));
    }
}
