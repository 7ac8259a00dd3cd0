//! The score on a frame is the number that the core gives for the file, and the frame passes untouched.

#![cfg(any(feature = "train", feature = "analytics"))]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::bundle::open_shared;
use pipeline::{Line, bytes, chain, failure_at_start, frame, info, info_of, result, score, stamp};
use product::{defective, file, good, judge_file, square, wide};
use std::path::Path;

/// The scores of images, each a frame, through `description`.
fn scores(description: &str, images: &[image::RgbImage]) -> Vec<f64> {
    let line = Line::playing(description, &info_of(&images[0]));
    let found = (0..).zip(images).map(|(number, image)| score(&line.pass(image, number))).collect();
    assert!(line.drain().is_empty());
    found
}

fn images() -> Vec<image::RgbImage> {
    vec![good(100), defective(101), good(102), defective(103)]
}

fn expected(bundle: &Path, images: &[image::RgbImage]) -> Vec<f64> {
    let save = |(number, image)| judge_file(bundle, &file(image, &format!("{:p}-{number}.png", image))).score;
    images.iter().enumerate().map(|(number, image)| save((number, image))).collect()
}

#[test]
fn a_frame_has_exactly_the_score_of_its_file() {
    for bundle in [square(), wide()] {
        let images = images();
        let expected = expected(bundle, &images);
        assert_eq!(scores(&chain(bundle), &images), expected);
        let queued = chain(bundle).replace(" ! ", " ! queue ! ");
        assert_eq!(scores(&queued, &images), expected, "with queues");
        let bin = format!("addetect model={}", bundle.display());
        assert_eq!(scores(&bin, &images), expected, "in the bin");
        assert!(expected[1] > 1.5 * expected[0], "the product's defects must show: {expected:?}");
    }
}

#[test]
fn formats_of_cameras_and_decoders_agree_within_two_percent() {
    // As large as cameras' frames: half the resolution in colour is no loss then.
    let enlarge = |image: image::RgbImage| {
        image::imageops::resize(&image, 960, 800, image::imageops::FilterType::CatmullRom)
    };
    let images: Vec<_> = images().into_iter().map(enlarge).collect();
    let expected = expected(wide(), &images);
    let threshold = open_shared(wide()).unwrap().manifest().calibration.threshold;
    for format in ["NV12", "I420"] {
        let description = format!("videoconvert ! video/x-raw,format={format} ! {}", chain(wide()));
        for (found, expected) in scores(&description, &images).iter().zip(&expected) {
            println!("{format}: {found} for {expected}, threshold {threshold}");
            // Far below the threshold, what remains of a score is rounding.
            let off = (found - expected).abs() / expected.max(threshold);
            assert!(off < 0.02, "{format}: {found} instead of {expected}");
        }
    }
}

/// A frame of any format with bytes that are different everywhere.
fn noise(info: &gst_video::VideoInfo) -> gst::Buffer {
    let mut state = 88172645463325252u64;
    let values = (0..info.size()).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    let mut buffer = gst::Buffer::from_slice(values.collect::<Vec<u8>>());
    stamp(&mut buffer, 0);
    buffer
}

fn passes_untouched(info: &gst_video::VideoInfo) {
    let line = Line::playing(&chain(square()), info);
    let buffer = noise(info);
    let before = bytes(&buffer);
    line.push(buffer);
    let sample = line.pull();
    assert!(sample.caps().unwrap() == info.to_caps().unwrap().as_ref(), "{info:?}");
    assert!(bytes(sample.buffer().unwrap()) == before, "{info:?}: the pixels have changed");
    assert!(score(&sample).is_finite(), "{info:?}");
}

#[test]
fn frames_of_every_raw_format_pass_untouched() {
    gst::init().unwrap();
    let formats: Vec<_> = gst_video::VideoFormat::iter_raw().collect();
    assert!(formats.len() > 90, "{}", formats.len());
    for format in formats {
        passes_untouched(&info(format, 98, 70));
    }
}

#[test]
fn interlaced_frames_pass_untouched() {
    gst::init().unwrap();
    for mode in [gst_video::VideoInterlaceMode::Interleaved, gst_video::VideoInterlaceMode::Mixed] {
        for format in
            [gst_video::VideoFormat::I420, gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Uyvy]
        {
            for (width, height) in [(96, 80), (97, 71)] {
                let builder = gst_video::VideoInfo::builder(format, width, height).fps((25, 1));
                passes_untouched(&builder.interlace_mode(mode).build().unwrap());
            }
        }
    }
}

#[test]
fn frames_of_extreme_sizes_are_inspected() {
    gst::init().unwrap();
    for (width, height) in [(1, 1), (16384, 1), (1, 16384), (3, 7), (7, 3), (2, 2)] {
        for format in
            [gst_video::VideoFormat::Rgb, gst_video::VideoFormat::I420, gst_video::VideoFormat::Yuy2]
        {
            passes_untouched(&info(format, width, height));
        }
    }
}

#[test]
fn rows_with_padding_do_not_change_the_score() {
    let image = defective(7);
    let info = info_of(&image);
    let stride = 512;
    let mut padded = vec![77u8; stride * image.height() as usize];
    for (to, from) in padded.chunks_mut(stride).zip(image.as_raw().chunks(image.width() as usize * 3)) {
        to[..from.len()].copy_from_slice(from);
    }
    let mut buffer = gst::Buffer::from_slice(padded);
    stamp(&mut buffer, 0);
    gst_video::VideoMeta::add_full(
        buffer.get_mut().unwrap(),
        gst_video::VideoFrameFlags::empty(),
        info.format(),
        info.width(),
        info.height(),
        &[0],
        &[stride as i32],
    )
    .unwrap();
    let line = Line::playing(&chain(square()), &info);
    line.push(buffer);
    assert_eq!(score(&line.pull()), expected(square(), &[image])[0]);
}

#[test]
fn empty_gap_buffers_pass() {
    let image = good(1);
    let line = Line::playing(&chain(square()), &info_of(&image));
    let mut gap = gst::Buffer::new();
    stamp(&mut gap, 0);
    gap.get_mut().unwrap().set_flags(gst::BufferFlags::GAP | gst::BufferFlags::DROPPABLE);
    line.push(gap);
    let sample = line.pull();
    assert!(result(sample.buffer().unwrap()).is_none(), "nothing was there to inspect");
    score(&line.pass(&image, 1));
}

#[test]
fn size_and_format_may_change_in_mid_stream() {
    let image = defective(5);
    let line = Line::playing(&chain(square()), &info_of(&image));
    let before = score(&line.pass(&image, 0));
    let mut number = 1;
    for (format, width, height) in [
        (gst_video::VideoFormat::Gray8, 33, 47),
        (gst_video::VideoFormat::I420, 640, 360),
        (gst_video::VideoFormat::Bgra, 1, 5),
    ] {
        let info = info(format, width, height);
        let mut buffer = noise(&info);
        stamp(&mut buffer, number);
        number += 1;
        line.src.set_caps(Some(&info.to_caps().unwrap()));
        line.push(buffer);
        let sample = line.pull();
        let result = result(sample.buffer().unwrap()).unwrap();
        assert_eq!(result.get::<u32>("map-width").unwrap(), width);
        assert_eq!(result.get::<u32>("map-height").unwrap(), height);
    }
    line.src.set_caps(Some(&info_of(&image).to_caps().unwrap()));
    assert_eq!(score(&line.pass(&image, number)), before);
}

#[test]
fn still_images_without_a_frame_rate_are_inspected() {
    let image = defective(5);
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, image.width(), image.height())
        .fps((0, 1))
        .build()
        .unwrap();
    let line = Line::playing(&chain(square()), &info);
    let mut buffer = frame(&image, 0);
    buffer.get_mut().unwrap().set_duration(gst::ClockTime::NONE);
    line.push(buffer);
    assert_eq!(score(&line.pull()), expected(square(), &[image])[0]);
    assert!(line.drain().is_empty());
}

#[test]
fn a_file_through_a_decoder_has_the_score_of_the_file() {
    let image = defective(9);
    let path = file(&image, "decoded.png");
    pipeline::init();
    let text = format!(
        "filesrc location={} ! pngdec ! {} ! appsink name=out sync=false",
        path.display(),
        chain(square())
    );
    let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
    let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let found = score(&sink.try_pull_sample(pipeline::PATIENCE).unwrap());
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(found, judge_file(square(), &path).score);
}

#[test]
fn elements_without_their_predecessor_say_what_is_missing() {
    let image = good(1);
    for (description, needed) in [("adretrieve", "adfeatures"), ("adscore", "adretrieve")] {
        let line = Line::playing(description, &info_of(&image));
        line.push(frame(&image, 0));
        let message = line.expect_error();
        assert!(message.contains(&format!("needs {needed} before it")), "{message}");
        assert!(message.contains("adfeatures model=BUNDLE ! adretrieve ! adscore"), "{message}");
    }
    let message = failure_at_start("adfeatures ! adretrieve ! adscore", &info_of(&image));
    assert!(message.contains("'model'") && message.contains("adtrain fit"), "{message}");
}
