//! What is wrong with a recording, and what is worth knowing of it.

use super::clock::Jump;
use super::length::Length;
use super::matroska::Tear;
use super::rhythm::Gap;
use super::tracks::Track;
use crate::error::Error;

/// A video may end so many ns before the length that it declares.
const END_TOLERANCE: u64 = 1_000_000_000;
/// Lengths that containers declare are right up to one part in so many.
const DECLARED_PRECISION: u64 = 50;

/// What is said of a file that has none.
pub const NO_VIDEO: &str = "has no video";

/// Frames that may be lost at the beginning, since others before them are not in the file.
const LEAST_LOST: u64 = 2;

/// What was seen of a recording when its decoding ended.
#[derive(Debug, Default)]
pub struct Seen<'a> {
    /// What it ended with, if not with its end.
    pub failure: Option<&'a Error>,
    /// Its length by what its container says, in ns.
    pub declared: Option<u64>,
    /// Where its last frame ends, in ns.
    pub end: Option<u64>,
    /// Where its sound ends, if it has some, in ns.
    pub sound: u64,
    /// Frames that the decoder had to make up in parts.
    pub damaged_frames: u64,
    /// Stretches of the file that hold nothing.
    pub tears: Vec<Tear>,
    pub gaps: Vec<Gap>,
    pub jumps: Vec<Jump>,
    pub track: Option<Track>,
    /// Frames that the decoder was given, where that can be said, and those that it made of them.
    pub encoded: Option<u64>,
    pub frames: u64,
    /// Buffers of its track that were read.
    pub parts: u64,
    /// The size of the file and that which it declares; 0 where it declares none.
    pub bytes: (u64, u64),
    /// Places where packets of a transport stream are missing, bytes between its packets that are none, and its programs.
    pub missing_packets: u64,
    pub strange_bytes: u64,
    /// Whether it ends within a packet.
    pub is_cut: bool,
    pub programs: usize,
    /// Bytes at the end of the file that were not read, and its size.
    pub unread: Option<(u64, u64)>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong with it, in one line: not all of it could be seen as it was recorded.
    pub problem: Option<String>,
    /// What is no damage and worth knowing, in one line.
    pub note: Option<String>,
    /// Where it has no frames for longer than is usual for it.
    pub gaps: Vec<Gap>,
    /// Where its clock jumps.
    pub jumps: Vec<Jump>,
    /// Which of its video tracks was decoded.
    pub track: Option<Track>,
}

impl Findings {
    pub(super) fn of(seen: Seen<'_>) -> Self {
        let problems = [
            ending(&seen),
            unread(&seen),
            undecoded(&seen),
            tears(&seen.tears),
            packets(&seen),
            damaged_frames(seen.damaged_frames),
        ];
        let notes = [
            seen.track.and_then(other_tracks),
            programs(seen.programs),
            sound(&seen),
            gaps(&seen.gaps),
            jumps(&seen.jumps),
        ];
        let Seen { gaps, jumps, track, .. } = seen;
        Self { problem: line(problems), note: line(notes), gaps, jumps, track }
    }

    /// Of a recording that could not be opened.
    pub fn unopened(failure: &Error) -> Self {
        Self::of(Seen { failure: Some(failure), ..Seen::default() })
    }
}

fn line<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn ending(seen: &Seen<'_>) -> Option<String> {
    if let Some(failure) = seen.failure {
        // The path stands before it already.
        return Some(match failure {
            Error::File { problem, .. } => problem.clone(),
            Error::Io { source, .. } => source.to_string(),
            Error::NoVideo(_) => NO_VIDEO.into(),
            other => other.to_string(),
        });
    }
    let (declared, end) = (seen.declared.unwrap_or(0), seen.end.unwrap_or(u64::MAX));
    let short = declared.saturating_sub(end) > END_TOLERANCE.max(declared / DECLARED_PRECISION);
    let (bytes, all) = seen.bytes;
    if short {
        Some(format!("ends after {} of the {} that it declares", Length(end), Length(declared)))
    } else {
        (bytes < all).then(|| format!("ends after {} of the {} that it declares", size(bytes), size(all)))
    }
}

/// What lies behind the end that the container has.
fn unread(seen: &Seen<'_>) -> Option<String> {
    let (bytes, all) = seen.unread.filter(|_| seen.frames > 0)?;
    let percent = (100.0 * bytes as f64 / all as f64).round().max(1.0);
    Some(format!("the last {percent:.0} % of the file ({}) were not inspected", size(bytes)))
}

fn undecoded(seen: &Seen<'_>) -> Option<String> {
    if seen.failure.is_some() {
        let more = seen.parts.saturating_sub(seen.frames);
        let told = seen.frames > 0 && more > LEAST_LOST && seen.unread.is_none();
        return told.then(|| format!("at least {more} frames behind them were not inspected"));
    }
    let encoded = seen.encoded?;
    let lost = encoded.saturating_sub(seen.frames);
    (lost > LEAST_LOST).then(|| format!("{lost} of {encoded} frames could not be decoded"))
}

fn other_tracks(track: Track) -> Option<String> {
    let Track { number, of } = track;
    (of > 1).then(|| format!("video track {number} of {of} was inspected; --track N takes another"))
}

fn sound(seen: &Seen<'_>) -> Option<String> {
    let end = seen.end.filter(|_| seen.failure.is_none() && seen.jumps.is_empty())?;
    let longer = seen.sound.saturating_sub(end) > END_TOLERANCE.max(seen.sound / DECLARED_PRECISION);
    longer.then(|| format!("its video ends at {}, its sound at {}", Length(end), Length(seen.sound)))
}

fn programs(count: usize) -> Option<String> {
    (count > 1)
        .then(|| format!("one of {count} programs was inspected; split the file to inspect the others"))
}

fn packets(seen: &Seen<'_>) -> Option<String> {
    let missing = match seen.missing_packets {
        0 => None,
        1 => Some("packets are missing in 1 place".into()),
        count => Some(format!("packets are missing in {count} places")),
    };
    let strange = (seen.strange_bytes > 0).then(|| format!("{} are no packets", size(seen.strange_bytes)));
    let cut = seen.is_cut.then(|| "it is cut off within a packet".into());
    line([missing, strange, cut])
}

fn tears(tears: &[Tear]) -> Option<String> {
    let bytes: u64 = tears.iter().map(|tear| tear.bytes).sum();
    match tears {
        [] => None,
        [tear] => Some(format!("{} before {} hold nothing that can be read", size(bytes), Length(tear.at))),
        tears => Some(format!("{} in {} places hold nothing that can be read", size(bytes), tears.len())),
    }
}

fn damaged_frames(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 damaged frame".into()),
        count => Some(format!("{count} damaged frames")),
    }
}

fn gaps(gaps: &[Gap]) -> Option<String> {
    let missing: u64 = gaps.iter().map(|(from, to)| to - from).sum();
    match gaps {
        [] => None,
        [(from, to)] => Some(format!("no frames from {} to {}", Length(*from), Length(*to))),
        gaps => Some(format!("no frames in {} places, {} in all", gaps.len(), Length(missing))),
    }
}

fn jumps(jumps: &[Jump]) -> Option<String> {
    let way = |by: i64| if by < 0 { "back" } else { "ahead" };
    match jumps {
        [] => None,
        [Jump { at, by }] => {
            let length = Length(by.unsigned_abs());
            Some(format!(
                "its clock jumps {} by {length} at {}; times go on from there",
                way(*by),
                Length(*at)
            ))
        }
        jumps => Some(format!("its clock jumps in {} places; times go on from there", jumps.len())),
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        10_000_000.. => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn damage_is_told_apart_from_what_is_worth_knowing() {
        let seen = Seen {
            declared: Some(60 * SECOND),
            end: Some(30 * SECOND),
            damaged_frames: 1,
            tears: vec![Tear { at: 10 * SECOND, bytes: 35_000 }],
            gaps: vec![(9 * SECOND, 10 * SECOND), (20 * SECOND, 23 * SECOND)],
            jumps: vec![Jump { at: 5 * SECOND, by: -3600 * SECOND as i64 }],
            ..Seen::default()
        };
        let found = Findings::of(seen);
        assert_eq!(
            found.problem.as_deref(),
            Some(
                "ends after 0:00:30.0 of the 0:01:00.0 that it declares; 35 kB before 0:00:10.0 hold nothing that can be read; \
                 1 damaged frame"
            )
        );
        assert_eq!(
            found.note.as_deref(),
            Some(
                "no frames in 2 places, 0:00:04.0 in all; its clock jumps back by 1:00:00.0 at 0:00:05.0; times go on from there"
            )
        );
        assert_eq!(Findings::of(Seen::default()), Findings::default());
    }

    #[test]
    fn a_length_is_declared_about_right() {
        let at = |end| Findings::of(Seen { declared: Some(100 * SECOND), end: Some(end), ..Seen::default() });
        assert!(at(98 * SECOND).problem.is_none() && at(200 * SECOND).problem.is_none());
        assert!(at(97 * SECOND).problem.is_some());
    }
}
