//! Records made-up machined rings that pass a camera one after the other, some of them damaged:
//!
//! ```text
//! cargo run --release --example made_up_recording -- line.mkv 10
//! ```
//!
//! The recording lasts ten minutes, and `line.mkv.csv` has the times at which damaged rings are in it, in seconds. The rings are those of
//! `made_up_parts`. The same command always records the same.

#[path = "made_up_parts/main.rs"]
#[allow(dead_code, reason = "the example's own folder is not wanted here")]
pub(crate) mod made_up_parts;

use gst::prelude::*;
use image::RgbImage;
use made_up_parts::rings::{Defect, Part};
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

/// The good rings, which come again and again.
pub fn good_parts() -> Vec<RgbImage> {
    let mut random = Xoshiro256Plus::seed_from_u64(2);
    (0..GOOD_PARTS).map(|_| Part::new(&mut random).draw(&mut random)).collect()
}

/// Writes a video of each of these images for as long as a ring lies under the camera.
pub fn record<'a>(path: &Path, mut images: impl Iterator<Item = &'a RgbImage>) -> Result<(), Error> {
    gst::init()?;
    let first = images.next().ok_or("no image")?;
    let recorder = Recorder::start(path, first.dimensions())?;
    for (part, image) in (0..).zip(std::iter::once(first).chain(images)) {
        let start = part * FRAMES_PER_PART;
        (start..start + FRAMES_PER_PART).try_for_each(|frame| recorder.push(image, frame))?;
    }
    recorder.finish()
}

/// Writes `minutes` of video as Motion JPEG in Matroska, each frame by itself as industrial cameras send them; returns from when to when damaged rings are in it, in seconds.
pub fn write(path: &Path, minutes: f64) -> Result<Vec<(f64, f64)>, Error> {
    let mut random = Xoshiro256Plus::seed_from_u64(3);
    let good = good_parts();
    let parts = ((minutes * 60.0) as u64 * RATE / FRAMES_PER_PART).max(1);
    // The number of each damaged ring, and what it looks like. Never two in a row: they would be one event.
    let mut damaged: Vec<(u64, RgbImage)> = Vec::new();
    let mut next = PARTS_PER_DEFECT / 2;
    while next < parts {
        let ring = Part::new(&mut random);
        let mut image = ring.draw(&mut random);
        // Everything that can be wrong with it: this is about when it is seen, not about how little of it.
        for defect in [Defect::Stain, Defect::Scratch, Defect::Stain, Defect::Chip] {
            let _mask = defect.apply(&ring, &mut image, &mut random);
        }
        damaged.push((next, image));
        next += random.gen_range(2..=PARTS_PER_DEFECT);
    }
    let mut bad = damaged.iter().peekable();
    record(
        path,
        (0..parts).map(|part| match bad.next_if(|(number, _)| *number == part) {
            Some((_, image)) => image,
            None => &good[random.gen_range(0..GOOD_PARTS)],
        }),
    )?;
    let seconds = |part: u64| (part * FRAMES_PER_PART) as f64 / RATE as f64;
    Ok(damaged.iter().map(|(part, _)| (seconds(*part), seconds(part + 1))).collect())
}

struct Recorder {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
}

impl Recorder {
    fn start(path: &Path, (width, height): (u32, u32)) -> Result<Self, Error> {
        let description = "appsrc name=in format=time block=true max-buffers=8 ! videoconvert \
            ! jpegenc quality=90 ! matroskamux ! filesink name=out";
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
