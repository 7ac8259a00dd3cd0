//! The frames of a video file, in the format that its decoder makes.

mod boxes;
mod clock;
mod failure;
mod findings;
mod length;
mod matroska;
mod packets;
mod pipeline;
mod rhythm;
mod riff;
mod stamps;
mod tracks;
mod unread;
mod watch;

pub use clock::Jump;
pub use findings::Findings;
pub use length::Length;
pub use rhythm::Gap;
pub use tracks::Track;

use crate::error::{Error, Result};
use boxes::Boxes;
use findings::Seen;
use gst::prelude::*;
use pipeline::{Decoding, Outcome};
use rhythm::Rhythm;
use riff::Riff;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use watch::{Container, Watch};

/// Endings of the files that are taken for videos, lower case.
pub const VIDEO_EXTENSIONS: [&str; 20] = [
    "mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "ts", "m2ts", "mts", "ogv", "wmv", "asf",
    "mxf", "flv", "3gp", "dv", "h264", "h265",
];

/// A file that gives no frame for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Sound may end so many ns before the length of all.
const SOUND_TOLERANCE: u64 = 1_000_000_000;
/// How often errors and the patience are looked at while waiting for a frame.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// Whether a file is a video by its ending.
pub fn is_video(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| VIDEO_EXTENSIONS.contains(&extension.as_str()))
}

/// A video being decoded, as fast as its frames are taken.
#[derive(Debug)]
pub struct VideoFrames {
    path: PathBuf,
    /// The size of the file.
    bytes: u64,
    decoding: Decoding,
    /// The format of the last frame, and the capabilities that say so.
    format: Option<(gst::Caps, gst_video::VideoInfo)>,
    frames: u64,
    /// The time of the first frame, where times count from there.
    origin: gst::ClockTime,
    /// What the container says when the first frame is there.
    declared: Option<gst::ClockTime>,
    /// What an MP4 file says of its tracks.
    boxes: Option<Boxes>,
    /// What an AVI file says of its length.
    riff: Option<Riff>,
    /// The second frame, which shows that the first one is no cover.
    held: Option<gst::Sample>,
    rhythm: Rhythm,
    /// Where the last frame ends.
    end: Option<gst::ClockTime>,
    /// Frames that the decoder had to make up in parts.
    damaged: u64,
}

/// A decoded frame.
#[derive(Debug)]
pub struct VideoFrame {
    /// Its number, from 0.
    pub number: u64,
    /// Its time in the video, if it has one; it goes on where the clock of the recording jumps.
    pub time: Option<gst::ClockTime>,
    /// How long it is shown, if that is known.
    pub duration: Option<gst::ClockTime>,
    /// Whether the decoder had to make up parts of it, because the file is damaged there.
    pub damaged: bool,
    /// Its format.
    pub info: gst_video::VideoInfo,
    buffer: gst::Buffer,
}

impl VideoFrame {
    /// The pixels.
    ///
    /// # Errors
    /// If the buffer cannot be mapped.
    pub fn frame(&self) -> Result<gst_video::VideoFrameRef<&gst::BufferRef>> {
        gst_video::VideoFrameRef::from_buffer_ref_readable(self.buffer.as_ref(), &self.info)
            .map_err(|e| Error::Frame(e.to_string()))
    }
}

impl VideoFrames {
    /// Starts to decode a file; GStreamer must be initialised. Of several video tracks that is the one of the number `track`, from 1, or
    /// else the one that the file marks as its default, or the first.
    ///
    /// # Errors
    /// If the file cannot be read, or GStreamer lacks the elements to decode with.
    pub fn open(path: &Path, track: Option<usize>) -> Result<Self> {
        // Opened here, so that what is wrong is said in the words of the operating system.
        let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
        let whole = std::fs::canonicalize(path).map_err(|e| Error::io(path, e))?;
        let uri = glib::filename_to_uri(&whole, None).map_err(|e| Error::file(path, e.to_string()))?;
        let decoding = Decoding::new(&uri, track)
            .map_err(|e: glib::BoolError| Error::file(path, format!("cannot be decoded: {e}")))?;
        let video = Self {
            path: path.to_owned(),
            bytes,
            decoding,
            format: None,
            frames: 0,
            origin: gst::ClockTime::ZERO,
            declared: None,
            boxes: None,
            riff: None,
            held: None,
            rhythm: Rhythm::default(),
            end: None,
            damaged: 0,
        };
        // What goes wrong here is on the bus, in more words.
        if video.decoding.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(video.failure().unwrap_or_else(|| Error::file(path, "GStreamer cannot play it")));
        }
        Ok(video)
    }

    /// How long the whole video lasts by what its container says; known once there was a frame, if at all.
    ///
    /// A transport stream says it by the clock values in it, which say nothing where the clock jumps.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        if !self.jumps().is_empty() {
            return None;
        }
        // Its sound may be longer.
        let number = self.track().map_or(0, |track| track.number - 1);
        let own = self
            .boxes
            .as_ref()
            .and_then(|boxes| *boxes.tracks.get(number)?)
            .map(gst::ClockTime::from_nseconds);
        let declared = own.or(self.declared).or_else(|| self.decoding.pipeline.query_duration())?;
        Some(declared.saturating_sub(self.origin))
    }

    /// Whether other streams last as long as the container says that all of it does, so that nothing is missing.
    fn sound_reaches(&self, declared: u64) -> bool {
        self.decoding.watch.sound().saturating_add(SOUND_TOLERANCE) >= declared
    }

    /// How many frames there were so far.
    pub fn number(&self) -> u64 {
        self.frames
    }

    /// What is wrong with the recording and what is worth knowing of it, so far as it was decoded: until it ended, or `failure` ended it.
    pub fn findings(&self, failure: Option<&Error>) -> Findings {
        let ns = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        let (watch, stream) = (&self.decoding.watch, self.stream());
        let (missing_packets, strange_bytes) =
            stream.as_ref().map_or((0, 0), |stream| watch.lost_packets(stream));
        let mut tears = self.of_stream(Watch::tears);
        tears.iter_mut().for_each(|tear| tear.at = tear.at.saturating_sub(self.origin.nseconds()));
        Findings::of(Seen {
            failure,
            declared: ns(self.duration()).filter(|declared| !self.sound_reaches(*declared)),
            sound: watch.sound(),
            end: ns(self.end),
            damaged_frames: self.damaged,
            tears,
            gaps: self.rhythm.gaps(),
            jumps: self.jumps(),
            track: self.track(),
            encoded: self.encoded(),
            parts: stream.as_ref().map_or(0, |stream| watch.parts(stream)),
            frames: self.frames,
            unread: self.unread(failure.is_some()),
            bytes: self.riff.map_or((0, 0), |riff| (self.bytes, riff.declared)),
            missing_packets,
            strange_bytes,
            is_cut: watch.is_cut(self.bytes),
            programs: watch.programs(),
        })
    }

    /// The bytes at the end of the file that are no part of the video or were not read, and its size.
    fn unread(&self, failed: bool) -> Option<(u64, u64)> {
        let end = match (&self.boxes, self.riff) {
            (Some(boxes), _) => boxes.end,
            (None, Some(riff)) => riff.end,
            (None, None) => return self.decoding.watch.unread(&self.path, self.bytes, failed),
        };
        unread::behind(&self.path, self.bytes, end?)
    }

    /// Where the clock of the recording jumps.
    fn jumps(&self) -> Vec<Jump> {
        let mut jumps = self.of_stream(Watch::jumps);
        jumps.iter_mut().for_each(|jump| jump.at = jump.at.saturating_sub(self.origin.nseconds()));
        jumps
    }

    /// The video track that is decoded; known once there was a frame.
    pub fn track(&self) -> Option<Track> {
        match self.decoding.outcome()? {
            Outcome::Chosen { track, .. } => Some(track),
            Outcome::Refused { .. } | Outcome::NoVideo => None,
        }
    }

    /// Frames that were to be decoded. Of fields there are more.
    fn encoded(&self) -> Option<u64> {
        self.format.as_ref().filter(|(_, info)| !info.is_interlaced())?;
        let Some(Outcome::Chosen { decoder: Some(decoder), .. }) = self.decoding.outcome() else {
            return None;
        };
        self.decoding.watch.encoded(&decoder)
    }

    /// What was seen of the stream that is decoded.
    fn of_stream<T>(&self, seen: fn(&Watch, &str) -> Vec<T>) -> Vec<T> {
        self.stream().map_or_else(Vec::new, |stream| seen(&self.decoding.watch, &stream))
    }

    /// The name of the stream that is decoded.
    fn stream(&self) -> Option<glib::GString> {
        self.decoding.sink.static_pad("sink")?.stream_id()
    }

    /// The next frame; none after the last.
    ///
    /// # Errors
    /// If the file is damaged, has no video, needs a decoder that is not installed, or gives no frame for half a minute.
    pub fn next_frame(&mut self) -> Result<Option<VideoFrame>> {
        let Some(sample) = self.held.take().map_or_else(|| self.next_sample(), |held| Ok(Some(held)))? else {
            return match self.frames {
                0 => Err(self.problem("holds no frame that can be decoded")),
                _ => Ok(None),
            };
        };
        if self.frames == 0 && self.may_be_a_cover() {
            self.held = self.next_sample()?;
            if self.held.is_none() {
                return Err(Error::NoVideo(self.path.clone()));
            }
        }
        self.frame(&sample).map(Some)
    }

    /// Whether the track is one of image files, beside others that are no video.
    fn may_be_a_cover(&self) -> bool {
        self.stream().is_some_and(|stream| self.decoding.watch.may_be_a_cover(&stream))
    }

    fn next_sample(&self) -> Result<Option<gst::Sample>> {
        let start = Instant::now();
        loop {
            if let Some(sample) = self.decoding.sink.try_pull_sample(POLL) {
                return Ok(Some(sample));
            }
            if let Some(Outcome::Refused { tracks }) = self.decoding.outcome() {
                return Err(self.problem(&no_such_track(tracks)));
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if self.decoding.sink.is_eos() {
                return Ok(None);
            }
            if let Some(Outcome::NoVideo) = self.decoding.outcome() {
                return Err(Error::NoVideo(self.path.clone()));
            }
            if start.elapsed() > PATIENCE {
                let frames = self.frames;
                return Err(self.problem(&format!("gave no frame for {PATIENCE:?}, after {frames} frames")));
            }
        }
    }

    fn frame(&mut self, sample: &gst::Sample) -> Result<VideoFrame> {
        let caps = sample.caps().ok_or_else(|| self.problem("gave a frame without a format"))?;
        let info = match &self.format {
            Some((known, info)) if *known == *caps => info.clone(),
            _ => {
                let info = gst_video::VideoInfo::from_caps(caps)
                    .map_err(|e| self.problem(&format!("{caps}: {e}")))?;
                self.format = Some((caps.to_owned(), info.clone()));
                info
            }
        };
        let buffer = sample.buffer_owned().ok_or_else(|| self.problem("gave an empty frame"))?;
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let time = segment.and_then(|segment| segment.to_stream_time(buffer.pts()));
        if self.frames == 0 {
            (self.boxes, self.riff) = match self.decoding.watch.container() {
                Some(Container::Boxes) => (Boxes::read(&self.path), None),
                Some(Container::Riff) => (None, Riff::read(&self.path)),
                None => (None, None),
            };
            self.declared = self.decoding.pipeline.query_duration();
            if self.decoding.watch.counts_from_first_frame() {
                self.origin = time.unwrap_or_default();
            }
        }
        let time = time.map(|time| time.saturating_sub(self.origin));
        time.into_iter().for_each(|time| self.rhythm.add(time.nseconds()));
        let usual =
            || Some(self.rhythm.usual()).filter(|usual| *usual > 0).map(gst::ClockTime::from_nseconds);
        let duration = buffer.duration().or_else(|| frame_length(&info)).or_else(usual);
        self.end = time.map(|time| time.saturating_add(duration.unwrap_or_default())).or(self.end);
        let number = self.frames;
        self.frames += 1;
        let damaged = buffer.flags().contains(gst::BufferFlags::CORRUPTED);
        self.damaged += u64::from(damaged);
        Ok(VideoFrame { number, time, duration, damaged, info, buffer })
    }

    /// The first error that an element has posted.
    fn failure(&self) -> Option<Error> {
        let message = self.decoding.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(error) = message.view() else { return None };
        Some(failure::describe(&self.path, error, self.frames, &self.decoding.watch))
    }

    fn problem(&self, problem: &str) -> Error {
        Error::file(&self.path, problem)
    }
}

impl Drop for VideoFrames {
    fn drop(&mut self) {
        // A pipeline that does not stop cannot be helped from here.
        let _ = self.decoding.pipeline.set_state(gst::State::Null);
    }
}

/// How long a frame is shown at the rate that the format names.
fn frame_length(info: &gst_video::VideoInfo) -> Option<gst::ClockTime> {
    let fps = info.fps();
    let (frames, seconds) = (u64::try_from(fps.numer()).ok()?, u64::try_from(fps.denom()).ok()?);
    if frames > 0 { gst::ClockTime::SECOND.mul_div_round(seconds, frames) } else { None }
}

fn no_such_track(tracks: usize) -> String {
    match tracks {
        1 => "has one video track; leave --track out".into(),
        tracks => format!("has {tracks} video tracks; --track takes one that is there and can be decoded"),
    }
}
