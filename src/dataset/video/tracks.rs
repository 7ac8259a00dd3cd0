//! The streams of a file, and which of its video tracks is decoded.

/// What a demuxer found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What GStreamer calls it.
    pub id: String,
    pub kind: Kind,
    /// Whether the file says that it is to be shown where nobody has chosen.
    pub default: bool,
}

/// Kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Video,
    /// A track of image files, which may be a cover with nothing after it.
    Images,
    Other,
}

impl Kind {
    /// By the media type.
    pub fn of(media: &str) -> Self {
        match media.split('/').next() {
            Some("video") => Self::Video,
            Some("image") => Self::Images,
            _ => Self::Other,
        }
    }
}

/// One of the video tracks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

/// The number of the track to decode, from 0, and how many there are: the one that is `wanted`, or that the file has for people who have
/// not chosen. None if there is none.
pub fn choose(tracks: &[Stream], wanted: Option<usize>) -> (Option<usize>, usize) {
    let marked = || tracks.iter().position(|track| track.default).unwrap_or(0);
    let chosen = wanted.map_or_else(marked, |number| number.saturating_sub(1));
    (Some(chosen).filter(|chosen| *chosen < tracks.len()), tracks.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_track_that_is_wanted_or_marked_or_the_first() {
        let tracks = |marked: &[bool]| -> Vec<Stream> {
            let stream =
                |(i, &default): (usize, &bool)| Stream { id: i.to_string(), kind: Kind::Video, default };
            marked.iter().enumerate().map(stream).collect()
        };
        assert_eq!(choose(&tracks(&[false, true]), None), (Some(1), 2));
        assert_eq!(choose(&tracks(&[true, true]), None), (Some(0), 2));
        assert_eq!(choose(&tracks(&[false, false]), None), (Some(0), 2));
        assert_eq!(choose(&tracks(&[false, true]), Some(1)), (Some(0), 2));
        assert_eq!(choose(&tracks(&[false, true]), Some(3)), (None, 2));
        assert_eq!(choose(&[], None), (None, 0));
    }

    #[test]
    fn kinds_go_by_the_media_type() {
        assert_eq!(
            ["video/x-h264", "image/jpeg", "audio/mpeg", "", "text/x-raw"].map(Kind::of),
            [Kind::Video, Kind::Images, Kind::Other, Kind::Other, Kind::Other]
        );
    }
}
