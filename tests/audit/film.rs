//! Recordings as cameras, phones and recorders leave them: made of rings at times of the test's own.

use crate::recording;
use gst::prelude::*;
use image::{Rgb, RgbImage};
use std::ops::Range;
use std::path::Path;

/// Milliseconds from one frame to the next.
pub const STEP: u64 = 200;

/// A video track.
pub struct Track {
    /// Times in ms, and what is to be seen.
    pub frames: Vec<(u64, RgbImage)>,
    pub encoder: &'static str,
}

/// Every frame by itself.
pub const JPEG: &str = "jpegenc quality=90";
pub const H264: &str = "openh264enc bitrate=8000000 gop-size=5 ! h264parse";

/// So many good rings, one after the other; those of the range are damaged.
pub fn rings(count: u64, damaged: Range<u64>) -> Vec<(u64, RgbImage)> {
    let good = recording::good_parts();
    let ring = |i: u64| {
        let mut image = good[i as usize / 4 % good.len()].clone();
        if damaged.contains(&i) {
            (150..250).for_each(|y| (150..250).for_each(|x| image.put_pixel(x, y, Rgb([250, 20, 20]))));
        }
        (i * STEP, image)
    };
    (0..count).map(ring).collect()
}

/// Writes tracks into a file.
pub fn film(path: &Path, muxer: &str, tracks: &[Track]) {
    gst::init().unwrap();
    let inputs = tracks.iter().enumerate().map(|(i, track)| {
        format!(" appsrc name=in{i} format=time ! videoconvert ! {} ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.", track.encoder)
    });
    let inputs: String = inputs.collect();
    let pipeline = format!("{muxer} name=mux ! filesink location={}{inputs}", path.display());
    let pipeline = gst::parse::launch(&pipeline).unwrap().downcast::<gst::Pipeline>().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    for (i, track) in tracks.iter().enumerate() {
        let source = pipeline.by_name(&format!("in{i}")).and_downcast::<gst_app::AppSrc>().unwrap();
        let (width, height) = track.frames[0].1.dimensions();
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height);
        // The rate is none that the times follow.
        source.set_caps(Some(&info.fps(gst::Fraction::new(5, 1)).build().unwrap().to_caps().unwrap()));
        for (time, image) in &track.frames {
            let mut buffer = gst::Buffer::from_slice(image.as_raw().clone());
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(*time));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
    }
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(60), &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(end.as_ref().map(|end| end.type_()), Some(gst::MessageType::Eos), "{end:?}");
}

/// Runs a pipeline to its end.
pub fn play(pipeline: &str) {
    crate::line::play(pipeline);
}

/// Length of a packet of a transport stream.
const PACKET: usize = 188;

/// Which clock values of a transport stream are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Those that the demuxer goes by alone.
    Reference,
    All,
}

/// Adds seconds to clock values of a transport stream, from a part of it on.
pub fn shift_clock(stream: &mut [u8], from: f64, seconds: f64, values: Values) {
    let (packets, ticks) = (stream.len() / PACKET, (seconds * 90_000.0) as i64);
    let first = (packets as f64 * from) as usize;
    for packet in stream.chunks_exact_mut(PACKET).skip(first) {
        let (starts, control) = (packet[1] & 0x40 != 0, packet[3] >> 4);
        let mut at = 4;
        if control & 2 != 0 {
            let length = usize::from(packet[4]);
            if length > 0 && packet[5] & 0x10 != 0 {
                shift_reference(&mut packet[6..12], ticks);
            }
            at += 1 + length;
        }
        if values == Values::All && control & 1 != 0 && starts && packet[at..].starts_with(&[0, 0, 1, 0xe0]) {
            let stamps = packet[at + 7] >> 6;
            (0..stamps.count_ones() as usize).for_each(|i| {
                shift_stamp(&mut packet[at + 9 + 5 * i..][..5], ticks);
            });
        }
    }
}

fn shift_reference(bytes: &mut [u8], ticks: i64) {
    let value = bytes[..4].iter().fold(0, |value, &byte| value << 8 | u64::from(byte)) << 1
        | u64::from(bytes[4] >> 7);
    let value = shifted(value, ticks);
    bytes[..4].copy_from_slice(&((value >> 1) as u32).to_be_bytes());
    bytes[4] = bytes[4] & 0x7f | (value as u8 & 1) << 7;
}

fn shift_stamp(bytes: &mut [u8], ticks: i64) {
    let value = u64::from(bytes[0] >> 1 & 7) << 30
        | u64::from(bytes[1]) << 22
        | u64::from(bytes[2] >> 1) << 15
        | u64::from(bytes[3]) << 7
        | u64::from(bytes[4] >> 1);
    let value = shifted(value, ticks);
    bytes[0] = bytes[0] & 0xf1 | (value >> 29) as u8 & 0x0e;
    bytes[1] = (value >> 22) as u8;
    bytes[2] = (value >> 14) as u8 | 1;
    bytes[3] = (value >> 7) as u8;
    bytes[4] = (value << 1) as u8 | 1;
}

/// A value of 33 bits.
fn shifted(value: u64, ticks: i64) -> u64 {
    value.wrapping_add_signed(ticks) & ((1 << 33) - 1)
}

/// Turns the only track of an MP4 file as its header says: rows of a matrix, as a phone writes them.
pub fn turn(file: &mut [u8], matrix: [[i32; 2]; 2]) {
    let header = file.windows(4).position(|name| name == b"tkhd").unwrap();
    // Behind version, times, number and layer of the track.
    let to = &mut file[header + 44..][..36];
    let [[a, b], [c, d]] = matrix.map(|row| row.map(|value| value << 16));
    let values = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
    to.as_chunks_mut::<4>().0.iter_mut().zip(values).for_each(|(to, value)| *to = value.to_be_bytes());
}

/// Marks a track of a Matroska file, counted from 0, as none that is shown where nobody has chosen.
pub fn unmark(file: &mut [u8], track: usize) {
    // The default duration makes room: as many bytes of the flag and of nothing.
    let named = |window: &[u8]| window.starts_with(&[0x23, 0xe3, 0x83, 0x84]);
    let at = file.windows(8).enumerate().filter(|(_, window)| named(window)).nth(track).unwrap().0;
    file[at..at + 8].copy_from_slice(&[0x88, 0x81, 0x00, 0xec, 0x83, 0, 0, 0]);
}
