//! Records made-up machined rings that pass a camera one after the other, some of them damaged:
//!
//! ```text
//! cargo run --release --example made_up_recording -- line.mkv 10
//! ```
//!
//! The recording lasts ten minutes, and `line.mkv.csv` has the times at which damaged rings are in it, in seconds. The rings are those of
//! `made_up_parts`. The same command always records the same.

#[path = "made_up_parts.rs"]
#[allow(dead_code, reason = "the example's own folder is not wanted here")]
pub mod made_up_parts;

use gst::prelude::*;
use image::RgbImage;
use made_up_parts::{Defect, Part};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use std::path::Path;

/// Frames a second.
pub const RATE: u64 = 2;
/// Frames in which a ring lies under the camera.
pub const FRAMES_PER_PART: u64 = 4;
/// Every so many-th ring is damaged, at most.
const PARTS_PER_DEFECT: u64 = 23;
/// Rings that come again and again.
const GOOD_PARTS: usize = 40;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: made_up_recording FILE MINUTES";
    let file = arguments.next().ok_or(usage)?;
    let minutes = arguments.next().ok_or(usage)?.parse()?;
    let damaged = write(Path::new(&file), minutes)?;
    let lines = damaged.iter().map(|(start, end)| format!("{start},{end}\n")).collect::<String>();
    Ok(std::fs::write(format!("{file}.csv"), format!("start,end\n{lines}"))?)
}

/// Writes `minutes` of video as H.264 in Matroska; returns from when to when damaged rings are in it, in seconds.
pub fn write(path: &Path, minutes: f64) -> Result<Vec<(f64, f64)>, Error> {
    gst::init()?;
    let mut random = Xoshiro256Plus::seed_from_u64(2);
    let good: Vec<RgbImage> = (0..GOOD_PARTS).map(|_| Part::new(&mut random).draw(&mut random)).collect();
    let recorder = Recorder::start(path, good[0].dimensions())?;
    let parts = ((minutes * 60.0) as u64 * RATE / FRAMES_PER_PART).max(1);
    let mut damaged = Vec::new();
    // Never two in a row: they would be one event.
    let mut next = PARTS_PER_DEFECT / 2;
    for part in 0..parts {
        let first = part * FRAMES_PER_PART;
        let drawn;
        let image = if part == next {
            let ring = Part::new(&mut random);
            let mut image = ring.draw(&mut random);
            let defect = [Defect::Scratch, Defect::Stain, Defect::Chip][random.gen_range(0..3)];
            let _mask = defect.apply(&ring, &mut image, &mut random);
            let seconds = |frame: u64| frame as f64 / RATE as f64;
            damaged.push((seconds(first), seconds(first + FRAMES_PER_PART)));
            next += random.gen_range(2..=PARTS_PER_DEFECT);
            drawn = image;
            &drawn
        } else {
            &good[random.gen_range(0..GOOD_PARTS)]
        };
        for frame in first..first + FRAMES_PER_PART {
            recorder.push(image, frame)?;
        }
    }
    recorder.finish()?;
    Ok(damaged)
}

struct Recorder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
}

impl Recorder {
    fn start(path: &Path, (width, height): (u32, u32)) -> Result<Self, Error> {
        let description = "appsrc name=in format=time block=true max-buffers=8 ! videoconvert \
            ! openh264enc bitrate=3000000 complexity=low ! h264parse ! matroskamux ! filesink name=out";
        let pipeline =
            gst::parse::launch(description)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
        let source = pipeline.by_name("in").and_downcast::<gst_app::AppSrc>().ok_or("no appsrc")?;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height);
        source.set_caps(Some(&info.fps(gst::Fraction::new(RATE as i32, 1)).build()?.to_caps()?));
        pipeline.by_name("out").ok_or("no filesink")?.set_property("location", path.to_str().ok_or("path")?);
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self { pipeline, source })
    }

    fn push(&self, image: &RgbImage, frame: u64) -> Result<(), Error> {
        // Rows of RGB with a multiple of four bytes are packed.
        let mut buffer = gst::Buffer::from_slice(image.as_raw().clone());
        let length = gst::ClockTime::SECOND / RATE;
        let writable = buffer.get_mut().ok_or("the new buffer is shared")?;
        writable.set_pts(frame * length);
        writable.set_duration(length);
        Ok(self.source.push_buffer(buffer).map(|_| ())?)
    }

    fn finish(self) -> Result<(), Error> {
        self.source.end_of_stream()?;
        let bus = self.pipeline.bus().ok_or("no bus")?;
        let end = bus.timed_pop_filtered(None, &[gst::MessageType::Eos, gst::MessageType::Error]);
        match end.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => Ok(()),
            other => Err(format!("the recording failed: {other:?}").into()),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A pipeline that does not stop cannot be helped from here.
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}
