//! The boxes of an MP4 file: how long each video track lasts by itself, and where something else begins behind the movie.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A movie's header may be so long.
const MOST: u64 = 256 << 20;

/// What the boxes of a file say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Boxes {
    /// The length of each video track in ns, where it says one.
    pub tracks: Vec<Option<u64>>,
    /// Where the movie ends and another one, or what is no box, begins.
    pub end: Option<u64>,
}

impl Boxes {
    /// Of a file; none if it is no MP4 file.
    pub fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let size = file.metadata().ok()?.len();
        let (mut found, mut at, mut movie) = (Self::default(), 0, None);
        while at < size {
            let Some((name, header, length)) = head(&mut file, at, size) else {
                found.end = Some(at);
                break;
            };
            match &name {
                b"ftyp" if at > 0 => found.end = Some(at),
                b"moov" if movie.is_some() => found.end = Some(at),
                b"moov" if length - header <= MOST => movie = Some((at + header, length - header)),
                _ => (),
            }
            if found.end.is_some() {
                break;
            }
            at += length;
        }
        let (from, length) = movie?;
        let mut header = Vec::new();
        file.seek(SeekFrom::Start(from)).ok()?;
        file.take(length).read_to_end(&mut header).ok()?;
        found.tracks = tracks(&header);
        Some(found)
    }
}

/// Name, length of its header and of all of a box; none where there is none.
fn head(file: &mut File, at: u64, size: u64) -> Option<([u8; 4], u64, u64)> {
    let mut head = [0; 16];
    file.seek(SeekFrom::Start(at)).ok()?;
    let bytes = (size - at).min(16) as usize;
    file.read_exact(&mut head[..bytes]).ok()?;
    let name: [u8; 4] = head[4..8].try_into().ok()?;
    let (header, length) = match number(&head, 0, 4)? {
        0 => (8, size - at),
        1 => (16, number(&head, 8, 8)?),
        length => (8, length),
    };
    // One that reaches beyond the end is cut off.
    let sound = length >= header
        && bytes >= 8
        && name.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == 0xa9);
    sound.then(|| (name, header, length.min(size - at)))
}

/// The boxes in a box.
fn children(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let length = number(rest, 0, 4)? as usize;
        let (this, next) = rest.split_at_checked(length).filter(|_| length >= 8)?;
        rest = next;
        Some((&this[4..8], &this[8..]))
    })
}

fn child<'a>(content: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    children(content).find(|(found, _)| *found == name).map(|(_, content)| content)
}

/// A number of so many bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The lengths of the video tracks of a movie, in their order.
fn tracks(movie: &[u8]) -> Vec<Option<u64>> {
    let scale = child(movie, b"mvhd").and_then(|header| match header.first()? {
        0 => number(header, 12, 4),
        _ => number(header, 20, 4),
    });
    let video = |track: &[u8]| {
        let kind =
            child(track, b"mdia").and_then(|media| child(media, b"hdlr")).and_then(|kind| kind.get(8..12));
        kind == Some(b"vide")
    };
    let length = |track: &[u8]| -> Option<u64> {
        let header = child(track, b"tkhd")?;
        let (ticks, unknown) = match header.first()? {
            0 => (number(header, 20, 4)?, u64::from(u32::MAX)),
            _ => (number(header, 28, 8)?, u64::MAX),
        };
        let scale = scale.filter(|scale| *scale > 0 && ticks > 0 && ticks != unknown)?;
        u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(scale)).ok()
    };
    let found = children(movie).filter(|(name, track)| *name == b"trak" && video(track));
    found.map(|(_, track)| length(track)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes(), &name[..], content].concat()
    }

    fn movie() -> Vec<u8> {
        let header = |name: &[u8; 4], at: usize, value: u32| {
            let mut content = vec![0; 84];
            content[at..at + 4].copy_from_slice(&value.to_be_bytes());
            boxed(name, &content)
        };
        let track = |kind: &[u8; 4], ticks| {
            let media = boxed(b"mdia", &boxed(b"hdlr", &[&[0; 8], &kind[..], &[0; 12]].concat()));
            boxed(b"trak", &[header(b"tkhd", 20, ticks), media].concat())
        };
        let tracks = [track(b"soun", 9000), track(b"vide", 4000), track(b"vide", 0)].concat();
        boxed(b"moov", &[header(b"mvhd", 12, 1000), tracks].concat())
    }

    fn read(content: &[u8]) -> Option<Boxes> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), content).unwrap();
        Boxes::read(&folder.path().join("file"))
    }

    #[test]
    fn tracks_have_lengths_of_their_own() {
        let whole = [boxed(b"ftyp", b"isom"), boxed(b"mdat", &[0x55; 5000]), movie()].concat();
        let tracks = || vec![Some(4_000_000_000), None];
        assert_eq!(read(&whole), Some(Boxes { tracks: tracks(), end: None }));
        let twice = [&whole[..], &whole].concat();
        assert_eq!(read(&twice), Some(Boxes { tracks: tracks(), end: Some(whole.len() as u64) }));
        let garbage = [&whole[..], &[0xff; 100]].concat();
        assert_eq!(read(&garbage).unwrap().end, Some(whole.len() as u64));
        assert_eq!(read(b"this is no box"), None);
        assert_eq!(read(&[]), None);
        (0..movie().len()).for_each(|cut| drop(read(&movie()[..cut])));
    }
}
