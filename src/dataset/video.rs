//! The frames of a video file, in the format that its decoder makes.

use crate::error::{Error, Result};
use gst::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Endings of the files that are taken for videos, lower case.
pub const VIDEO_EXTENSIONS: [&str; 20] = [
    "mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "ts", "m2ts", "mts", "ogv", "wmv", "asf",
    "mxf", "flv", "3gp", "dv", "h264", "h265",
];

/// A file that gives no frame for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often errors and the patience are looked at while waiting for a frame.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// Decoded frames that wait at most.
const WAITING: u32 = 4;

/// Whether a file is a video by its ending.
pub fn is_video(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| VIDEO_EXTENSIONS.contains(&extension.as_str()))
}

/// A video being decoded, as fast as its frames are taken.
#[derive(Debug)]
pub struct VideoFrames {
    path: PathBuf,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    /// The format of the last frame, and the capabilities that say so.
    format: Option<(gst::Caps, gst_video::VideoInfo)>,
    /// The decoder has named all its streams, none of them a video.
    without_video: Arc<AtomicBool>,
    frames: u64,
}

/// A decoded frame.
#[derive(Debug)]
pub struct VideoFrame {
    /// Its number, from 0.
    pub number: u64,
    /// Its time in the video, if it has one.
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
    /// Starts to decode a file; GStreamer must be initialised.
    ///
    /// # Errors
    /// If the file cannot be read, or GStreamer lacks the elements to decode with.
    pub fn open(path: &Path) -> Result<Self> {
        // Opened here, so that what is wrong is said in the words of the operating system.
        std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
        let whole = std::fs::canonicalize(path).map_err(|e| Error::io(path, e))?;
        let failed = |e: glib::Error| Error::file(path, e.to_string());
        let uri = glib::filename_to_uri(&whole, None).map_err(failed)?;
        let any_video = gst::Caps::builder("video/x-raw").any_features().build();
        let element = |e: glib::BoolError| Error::file(path, format!("cannot be decoded: {e}"));
        let decoder = gst::ElementFactory::make("uridecodebin")
            .property("uri", uri.as_str())
            .property("caps", &any_video)
            .property("expose-all-streams", false)
            .build()
            .map_err(element)?;
        let sink = gst_app::AppSink::builder()
            .caps(&gst::Caps::new_empty_simple("video/x-raw"))
            .sync(false)
            .max_buffers(WAITING)
            .build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&decoder, sink.upcast_ref()]).map_err(element)?;
        let without_video = Arc::new(AtomicBool::new(false));
        let bin = decoder.downcast_ref::<gst::Bin>();
        bin.into_iter().for_each(|bin| {
            bin.connect_deep_element_added(|_, _, element| be_patient(element));
        });
        connect(&decoder, &sink, &without_video);
        let video = Self { path: path.to_owned(), pipeline, sink, format: None, without_video, frames: 0 };
        // What goes wrong here is on the bus, in more words.
        if video.pipeline.set_state(gst::State::Playing).is_err() {
            return Err(video.failure().unwrap_or_else(|| Error::file(path, "GStreamer cannot play it")));
        }
        Ok(video)
    }

    /// How long the whole video lasts by what its container says; known once there was a frame, if at all.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        self.pipeline.query_duration()
    }

    /// The next frame; none after the last.
    ///
    /// # Errors
    /// If the file is damaged, has no video, needs a decoder that is not installed, or gives no frame for half a minute.
    pub fn next_frame(&mut self) -> Result<Option<VideoFrame>> {
        let start = Instant::now();
        loop {
            if let Some(sample) = self.sink.try_pull_sample(POLL) {
                return self.frame(&sample).map(Some);
            }
            if let Some(failure) = self.failure() {
                return Err(failure);
            }
            if self.sink.is_eos() {
                return match self.frames {
                    0 => Err(self.problem("holds no frame that can be decoded")),
                    _ => Ok(None),
                };
            }
            if self.without_video.load(Ordering::SeqCst) {
                return Err(self.problem("holds no video"));
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
        let number = self.frames;
        self.frames += 1;
        let (duration, damaged) = (buffer.duration(), buffer.flags().contains(gst::BufferFlags::CORRUPTED));
        Ok(VideoFrame { number, time, duration, damaged, info, buffer })
    }

    /// The first error that an element has posted.
    fn failure(&self) -> Option<Error> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        let gst::MessageView::Error(error) = message.view() else { return None };
        let after = if self.frames > 0 { format!(" (after {} frames)", self.frames) } else { String::new() };
        // The first line of the details is a place in the element's source code, the others may name what is missing.
        let debug = error.debug().unwrap_or_default();
        let details: String = debug
            .lines()
            .skip(1)
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!(" {}", line.trim()))
            .collect();
        Some(self.problem(&format!("cannot be decoded: {}{details}{after}", error.error().message())))
    }

    fn problem(&self, problem: &str) -> Error {
        Error::file(&self.path, problem)
    }
}

impl Drop for VideoFrames {
    fn drop(&mut self) {
        // A pipeline that does not stop cannot be helped from here.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Lets a decoder go on after any number of errors: what lies behind a damaged place is worth reading, too.
fn be_patient(element: &gst::Element) {
    if element.has_property_with_type("max-errors", i32::static_type()) {
        element.set_property("max-errors", -1);
    }
}

/// Links the decoder's first video stream to the sink; the others find nobody who wants them.
fn connect(decoder: &gst::Element, sink: &gst_app::AppSink, without_video: &Arc<AtomicBool>) {
    let target = sink.clone();
    decoder.connect_pad_added(move |_, pad| {
        let Some(input) = target.static_pad("sink") else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let video = caps.structure(0).is_some_and(|structure| structure.name() == "video/x-raw");
        if video && !input.is_linked() {
            // Formats that do not fit come back as an error on the bus.
            let _ = pad.link(&input);
        }
    });
    let (target, without_video) = (sink.clone(), without_video.clone());
    decoder.connect_no_more_pads(move |_| {
        let linked = target.static_pad("sink").is_some_and(|input| input.is_linked());
        without_video.store(!linked, Ordering::SeqCst);
    });
}
