//! What is kept of a frame, and what its JSON file says.

use super::moments::Moment;
use crate::error::{Error, Result};
use crate::frame::ValueRange;
use crate::meta::AnomalyMeta;
use serde_json::{Value, json};

/// A frame with what was said about it.
#[derive(Debug)]
pub(super) struct Shot {
    /// A copy of the frame: who holds on to the frame itself takes a buffer from the camera and forbids drawing on it.
    pub(super) frame: gst::Buffer,
    pub(super) info: gst_video::VideoInfo,
    /// What is black and white in 16 bits a channel.
    pub(super) range: Option<ValueRange>,
    pub(super) meta: AnomalyMeta,
    pub(super) times: Times,
    /// The stream that the frame came from.
    pub(super) source: String,
}

/// When a frame was, on every clock.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// In UTC.
    pub(super) wall: glib::DateTime,
    pub(super) pts: Option<gst::ClockTime>,
    pub(super) running: Option<gst::ClockTime>,
    pub(super) stream: Option<gst::ClockTime>,
}

impl Moment<Shot> {
    /// Time and reason, for the files' names.
    pub(super) fn title(&self) -> Result<String> {
        let time = self.frame.times.wall.format("%Y%m%dT%H%M%SZ").map_err(no_time)?;
        Ok(format!("{time}-{}", self.reason.name()))
    }

    /// The record; `image` and `overlay` are the names of the stills.
    pub(super) fn json(&self, [image, overlay]: [String; 2]) -> Result<Value> {
        let Shot { info, meta, times, source, .. } = &self.frame;
        let second = times.wall.format("%Y-%m-%dT%H:%M:%S").map_err(no_time)?;
        let nanoseconds = |time: Option<gst::ClockTime>| time.map(gst::ClockTime::nseconds);
        let regions: Vec<Value> = meta
            .regions
            .iter()
            .map(|region| {
                json!({
                    "x": region.x, "y": region.y, "width": region.width, "height": region.height,
                    "score": region.score, "area": region.area,
                })
            })
            .collect();
        Ok(json!({
            "time": format!("{second}.{:03}Z", times.wall.microsecond() / 1000),
            "pts": nanoseconds(times.pts),
            "running_time": nanoseconds(times.running),
            "stream_time": nanoseconds(times.stream),
            "source": source,
            "event": self.event,
            "reason": self.reason.name(),
            "score": meta.score,
            "normalized": meta.normalized,
            "threshold": meta.threshold,
            "warn": meta.warn,
            "anomalous": meta.anomalous,
            "level": meta.level(),
            "model": meta.model,
            "method": meta.method,
            "regions": regions,
            "width": info.width(),
            "height": info.height(),
            "format": info.format().to_str().as_str(),
            "image": image,
            "overlay": overlay,
        }))
    }
}

fn no_time(error: glib::BoolError) -> Error {
    Error::Frame(format!("its time cannot be written: {error}"))
}
