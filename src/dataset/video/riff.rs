//! The chunks of an AVI file: whether it is cut off, and where something else begins behind it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What the outermost chunks of a file say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Riff {
    /// Where the file should end, which lies behind its end if it is cut off.
    pub declared: u64,
    /// Where something else begins.
    pub end: Option<u64>,
}

impl Riff {
    /// Of a file; none if it is no AVI file, or was never finished.
    pub fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        let mut at = chunk(&mut file, 0, *b"AVI ")?;
        // Long ones go on in further chunks.
        while at < size {
            let Some(next) = chunk(&mut file, at, *b"AVIX") else {
                return Some(Self { declared: at, end: Some(at) });
            };
            at = next;
        }
        Some(Self { declared: at, end: None })
    }
}

/// The end of the outermost chunk of this kind at a place.
fn chunk(file: &mut File, at: u64, kind: [u8; 4]) -> Option<u64> {
    let mut head = [0; 12];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut head).ok()?;
    let length = u64::from(u32::from_le_bytes(head[4..8].try_into().ok()?));
    // Chunks end at even places.
    let end = at + 8 + length + length % 2;
    (head.starts_with(b"RIFF") && head[8..] == kind && length > 4).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Option<Riff> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), content).unwrap();
        Riff::read(&folder.path().join("file"))
    }

    fn chunk(kind: &[u8; 4], bytes: usize) -> Vec<u8> {
        [b"RIFF", &(bytes as u32 + 4).to_le_bytes()[..], kind, &vec![7; bytes]].concat()
    }

    #[test]
    fn the_outermost_chunks_say_where_a_file_ends() {
        let whole = [chunk(b"AVI ", 1000), chunk(b"AVIX", 500)].concat();
        let riff = |declared, end| Some(Riff { declared, end });
        assert_eq!(read(&whole), riff(1524, None));
        assert_eq!(read(&whole[..1400]), riff(1524, None));
        assert_eq!(read(&whole[..700]), riff(1012, None));
        let twice = [chunk(b"AVI ", 1000), chunk(b"AVI ", 1000)].concat();
        assert_eq!(read(&twice), riff(1012, Some(1012)));
        assert_eq!(read(&chunk(b"WAVE", 1000)), None);
        assert_eq!(read(b"RIFF\0\0\0\0AVI "), None, "it was never finished");
        assert_eq!(read(b""), None);
    }
}
