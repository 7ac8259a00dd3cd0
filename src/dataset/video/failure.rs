//! Why a file cannot be decoded, in one line.

use super::tracks::Kind;
use super::watch::Watch;
use crate::error::Error;
use std::path::Path;

/// Characters of what elements say, at most.
const MOST: usize = 400;

/// What the elements of a pipeline said with an error, after so many frames.
pub fn describe(path: &Path, error: &gst::message::Error, frames: u64, watch: &Watch) -> Error {
    // The first line of the details is a place in the element's source code, the others may name what is missing.
    let debug = error.debug().unwrap_or_default();
    let lines = || debug.lines().skip(1).map(str::trim).filter(|line| !line.is_empty());
    let missing: Vec<Missing> = lines().filter_map(Missing::read).collect();
    let known = !missing.is_empty() || watch.has_streams();
    if frames == 0 && known && watch.tracks().is_empty() && !missing.iter().any(Missing::is_video) {
        return Error::NoVideo(path.to_owned());
    }
    if let Some(missing) = missing.iter().find(|missing| missing.is_video()) {
        let Missing { name, media } = missing;
        return Error::file(
            path,
            format!(
                "cannot be decoded: GStreamer has no decoder for {name} ({media}); install the plugin with it"
            ),
        );
    }
    let after = if frames > 0 { format!(" (after {frames} frames)") } else { String::new() };
    let details = shorten(&lines().map(|line| format!(" {line}")).collect::<String>());
    Error::file(path, format!("cannot be decoded: {}{details}{after}", error.error().message()))
}

/// A decoder that is missing.
#[derive(Debug, PartialEq, Eq)]
struct Missing<'a> {
    name: &'a str,
    media: &'a str,
}

impl<'a> Missing<'a> {
    /// Of a line such as `Missing decoder: Opus (audio/x-opus, channels=(int)1)`.
    fn read(line: &'a str) -> Option<Self> {
        let text = line.strip_prefix("Missing decoder: ")?;
        let (name, caps) = text.match_indices(" (").find_map(|(at, _)| {
            let caps = &text[at + 2..];
            let media = caps.split([',', ')', ' ']).next()?;
            media.contains('/').then_some((&text[..at], media))
        })?;
        Some(Self { name, media: caps })
    }

    fn is_video(&self) -> bool {
        Kind::of(self.media) != Kind::Other
    }
}

/// Details may have whole headers of streams in them.
fn shorten(details: &str) -> String {
    match details.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} ...", &details[..end]),
        None => details.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_decoders_are_named() {
        let of = |name, media| Some(Missing { name, media });
        let opus = "Missing decoder: Opus (audio/x-opus, rate=(int)48000, streamheader=(buffer)< 4f70 >)";
        assert_eq!(Missing::read(opus), of("Opus", "audio/x-opus"));
        let layers = "Missing decoder: MPEG-1 Layer 3 (MP3) (audio/mpeg, mpegversion=(int)1)";
        assert_eq!(Missing::read(layers), of("MPEG-1 Layer 3 (MP3)", "audio/mpeg"));
        assert_eq!(Missing::read("Missing decoder: H.266 (video/x-h266)"), of("H.266", "video/x-h266"));
        assert_eq!(Missing::read("no suitable plugins found"), None);
    }

    #[test]
    fn details_are_short() {
        assert_eq!(shorten(" as it is"), " as it is");
        let long = shorten(&"ü".repeat(9000));
        assert!(long.ends_with(" ...") && long.chars().count() == MOST + 4);
    }
}
