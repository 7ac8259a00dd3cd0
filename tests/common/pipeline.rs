//! Pipelines under test: frames in by hand, frames and messages out, nothing that can wait for ever.
//!
//! Included by `#[path]` into the tests that need it; each uses a part of it.

#![allow(dead_code, reason = "no test needs all of it")]

use gst::prelude::*;
use gst_video::prelude::*;
use std::cell::RefCell;
use std::sync::Once;
use std::time::{Duration, Instant};

/// Longer than anything takes, even on a busy machine.
pub const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// GStreamer with our plugin.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gst::init().unwrap();
        gstanomaly::plugin_register_static().unwrap();
    });
}

/// The three elements in a row for `bundle`.
pub fn chain(bundle: &std::path::Path) -> String {
    format!(
        "adfeatures name=features model={} ! adretrieve name=retrieve ! adscore name=score",
        bundle.display()
    )
}

/// A video format at 10 frames a second.
pub fn info(format: gst_video::VideoFormat, width: u32, height: u32) -> gst_video::VideoInfo {
    init();
    gst_video::VideoInfo::builder(format, width, height).fps((10, 1)).build().unwrap()
}

/// The RGB format of an image.
pub fn info_of(image: &image::RgbImage) -> gst_video::VideoInfo {
    info(gst_video::VideoFormat::Rgb, image.width(), image.height())
}

/// Frame `number` with the pixels of an image.
pub fn frame(image: &image::RgbImage, number: u64) -> gst::Buffer {
    let info = info_of(image);
    let mut buffer = gst::Buffer::with_size(info.size()).unwrap();
    let mut video = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
    let stride = video.plane_stride()[0] as usize;
    for (to, from) in video.plane_data_mut(0).unwrap().chunks_mut(stride).zip(image.rows()) {
        for (to, from) in to.chunks_exact_mut(3).zip(from) {
            to.copy_from_slice(&from.0);
        }
    }
    buffer = video.into_buffer();
    stamp(&mut buffer, number);
    buffer
}

/// Makes a buffer frame `number` of a stream of 10 frames a second.
pub fn stamp(buffer: &mut gst::Buffer, number: u64) {
    let buffer = buffer.get_mut().unwrap();
    buffer.set_pts(number * 100 * gst::ClockTime::MSECOND);
    buffer.set_duration(100 * gst::ClockTime::MSECOND);
}

/// The bytes of a buffer.
pub fn bytes(buffer: &gst::BufferRef) -> Vec<u8> {
    buffer.map_readable().unwrap().to_vec()
}

/// The public result on a buffer, read as any application would.
pub fn result(buffer: &gst::BufferRef) -> Option<gst::Structure> {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, "GstAnomalyMeta").ok()?;
    Some(meta.structure().to_owned())
}

/// The raw score on a sample.
pub fn score(sample: &gst::Sample) -> f64 {
    result(sample.buffer().unwrap()).expect("no result on the frame").get("score").unwrap()
}

/// `appsrc ! what is tested ! appsink`.
pub struct Line {
    pub pipeline: gst::Pipeline,
    pub src: gst_app::AppSrc,
    pub sink: gst_app::AppSink,
    bus: gst::Bus,
    /// Messages that nobody has asked for yet: a filtered look at the bus would throw them away.
    waiting: RefCell<Vec<gst::Message>>,
}

impl Line {
    /// A line that is not started yet.
    pub fn new(description: &str, info: &gst_video::VideoInfo) -> Self {
        init();
        let text = format!(
            "appsrc name=in format=time block=false max-bytes=0 ! {description} ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let src: gst_app::AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
        src.set_caps(Some(&info.to_caps().unwrap()));
        let sink = pipeline.by_name("out").unwrap().downcast().unwrap();
        let bus = pipeline.bus().unwrap();
        Self { pipeline, src, sink, bus, waiting: RefCell::default() }
    }

    /// A line that is playing.
    pub fn playing(description: &str, info: &gst_video::VideoInfo) -> Self {
        let line = Self::new(description, info);
        if line.pipeline.set_state(gst::State::Playing).is_err() {
            panic!("does not start: {:?}", line.error());
        }
        line
    }

    /// The element of that name.
    pub fn element(&self, name: &str) -> gst::Element {
        self.pipeline.by_name(name).unwrap_or_else(|| panic!("no element {name}"))
    }

    pub fn push(&self, buffer: gst::Buffer) {
        self.src.push_buffer(buffer).unwrap();
    }

    /// The next frame.
    pub fn pull(&self) -> gst::Sample {
        self.sink.try_pull_sample(PATIENCE).unwrap_or_else(|| panic!("no frame comes: {:?}", self.error()))
    }

    /// One image in, one frame out.
    pub fn pass(&self, image: &image::RgbImage, number: u64) -> gst::Sample {
        self.push(frame(image, number));
        self.pull()
    }

    /// The messages of one of `kinds` that have been posted, without waiting.
    pub fn messages(&self, kinds: &[gst::MessageType]) -> Vec<gst::Message> {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend(std::iter::from_fn(|| self.bus.pop()));
        waiting.extract_if(.., |message| kinds.contains(&message.type_())).collect()
    }

    /// Waits for messages of one of `kinds`.
    fn expect(&self, kinds: &[gst::MessageType]) -> gst::Message {
        let mut found = Vec::new();
        wait_until(&format!("{kinds:?}"), || {
            found = self.messages(kinds);
            !found.is_empty()
        });
        let first = found.remove(0);
        self.waiting.borrow_mut().extend(found);
        first
    }

    /// The error that has been posted, without waiting.
    pub fn error(&self) -> Option<String> {
        self.messages(&[gst::MessageType::Error]).first().map(text)
    }

    /// Waits for an error.
    pub fn expect_error(&self) -> String {
        text(&self.expect(&[gst::MessageType::Error]))
    }

    /// Waits for a warning.
    pub fn expect_warning(&self) -> String {
        let message = self.expect(&[gst::MessageType::Warning, gst::MessageType::Error]);
        assert_eq!(message.type_(), gst::MessageType::Warning, "{}", text(&message));
        text(&message)
    }

    /// Waits for an element's message.
    pub fn expect_element(&self) -> gst::Message {
        self.expect(&[gst::MessageType::Element])
    }

    /// Ends the stream and takes what is still to come.
    pub fn drain(&self) -> Vec<gst::Sample> {
        self.src.end_of_stream().unwrap();
        let mut samples = Vec::new();
        while let Some(sample) = self.sink.try_pull_sample(PATIENCE) {
            samples.push(sample);
        }
        assert!(self.sink.is_eos(), "the stream does not end: {:?}", self.error());
        samples
    }

    /// The anomaly messages that have been posted, without waiting.
    pub fn anomalies(&self) -> Vec<gst::Structure> {
        self.messages(&[gst::MessageType::Element])
            .iter()
            .filter_map(|message| message.structure().map(ToOwned::to_owned))
            .filter(|structure| structure.name() == "anomaly")
            .collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A pipeline that is dropped while it runs brings the process down.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// The text of a warning or an error.
pub fn text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(e) => format!("{}: {}", e.error(), e.debug().unwrap_or_default()),
        gst::MessageView::Warning(w) => format!("{}: {}", w.error(), w.debug().unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

/// Starts `description` after an appsrc and returns the error that this ends in.
pub fn failure_at_start(description: &str, info: &gst_video::VideoInfo) -> String {
    let line = Line::new(description, info);
    assert!(line.pipeline.set_state(gst::State::Playing).is_err(), "it starts: {description}");
    line.expect_error()
}

/// Waits until `done`.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(PATIENCE.seconds()), "{what}: not in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}
