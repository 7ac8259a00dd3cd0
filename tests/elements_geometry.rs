//! Frames that are cropped, scaled or change their size on the way: what is found lies where it is said to lie, or nothing is said.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gst_video::{VideoCropMeta, VideoFormat, VideoMeta};
use gstanomaly::meta::AnomalyMeta;
use image::RgbImage;
use pipeline::{Line, chain, frame, info, info_of, result, score, stamp};
use product::{HEIGHT, WIDTH, defective, good, square, wide};
use std::sync::atomic::{AtomicU32, Ordering};

/// An adpublish with a file of its own.
fn publishing() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let file = product::FOLDER.join(format!("results-{}.jsonl", COUNT.fetch_add(1, Ordering::Relaxed)));
    format!("adpublish file-path={}", file.display())
}

/// Makes the sink say that it understands cropping in metadata, as ximagesink does.
fn takes_crop_meta(line: &Line) {
    let pad = line.sink.static_pad("sink").unwrap();
    pad.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, |_, probe| {
        if let Some(query) = probe.query_mut()
            && let gst::QueryViewMut::Allocation(allocation) = query.view_mut()
        {
            allocation.add_allocation_meta::<VideoMeta>(None);
            allocation.add_allocation_meta::<VideoCropMeta>(None);
            return gst::PadProbeReturn::Handled;
        }
        gst::PadProbeReturn::Ok
    });
}

/// A picture in the middle of a larger one.
fn surrounded(image: &RgbImage, (left, top): (u32, u32)) -> RgbImage {
    let mut large = RgbImage::from_pixel(WIDTH + 32, HEIGHT + 24, image::Rgb([250, 0, 250]));
    image::imageops::replace(&mut large, image, left.into(), top.into());
    large
}

/// The pixels of an image in another format.
fn converted(image: &RgbImage, format: VideoFormat) -> (gst::Buffer, gst_video::VideoInfo) {
    let (from, to) = (info_of(image), info(format, image.width(), image.height()));
    let source = frame(image, 0);
    let mut target = gst::Buffer::with_size(to.size()).unwrap();
    {
        let source = gst_video::VideoFrameRef::from_buffer_ref_readable(&source, &from).unwrap();
        let mut target =
            gst_video::VideoFrameRef::from_buffer_ref_writable(target.get_mut().unwrap(), &to).unwrap();
        gst_video::VideoConverter::new(&from, &to, None).unwrap().frame_ref(&source, &mut target);
    }
    stamp(&mut target, 0);
    (target, to)
}

#[test]
fn cropping_before_the_elements_gives_the_score_of_the_cropped_picture() {
    let image = defective(80);
    let expected = Line::playing(&chain(wide()), &info_of(&image)).pass(&image, 0);
    let large = surrounded(&image, (20, 10));
    for elements in [
        chain(wide()),
        format!("{} ! adoverlay", chain(wide())),
        format!("queue ! addetect model={} ! queue ! adoverlay ! {}", wide().display(), publishing()),
        format!("{} ! queue ! {}", chain(wide()), publishing()),
    ] {
        let line =
            Line::new(&format!("videocrop left=20 right=12 top=10 bottom=14 ! {elements}"), &info_of(&large));
        takes_crop_meta(&line);
        line.pipeline.set_state(gst::State::Playing).unwrap();
        for number in 0..3 {
            let sample = line.pass(&large, number);
            assert_eq!(score(&sample), score(&expected), "{elements}");
            let found = result(sample.buffer().unwrap()).unwrap();
            assert_eq!(found.get::<u32>("map-width").unwrap(), WIDTH);
            assert!(sample.buffer().unwrap().meta::<VideoCropMeta>().is_none());
        }
    }
}

#[test]
fn adoverlay_alone_takes_no_cropping_in_metadata() {
    let image = good(1);
    let line = Line::new(
        "videocrop left=20 right=12 top=10 bottom=14 ! adoverlay",
        &info_of(&surrounded(&image, (20, 10))),
    );
    takes_crop_meta(&line);
    line.pipeline.set_state(gst::State::Playing).unwrap();
    let sample = line.pass(&surrounded(&image, (20, 10)), 0);
    assert!(sample.buffer().unwrap().meta::<VideoCropMeta>().is_none());
}

#[test]
fn frames_that_come_with_crop_metadata_are_cut_out() {
    let image = defective(81);
    for format in [
        VideoFormat::Rgb,
        VideoFormat::Bgrx,
        VideoFormat::I420,
        VideoFormat::Nv12,
        VideoFormat::Yuy2,
        VideoFormat::Gray8,
    ] {
        let (plain, plain_info) = converted(&image, format);
        let reference = Line::playing(&chain(wide()), &plain_info);
        reference.push(plain);
        let expected = score(&reference.pull());
        // Cut out of the larger picture by GStreamer itself, so that edges are converted in the same way.
        let (whole, whole_info) = converted(&surrounded(&image, (16, 8)), format);
        let cropped = Line::playing(
            &format!("videocrop left=16 right=16 top=8 bottom=16 ! {}", chain(wide())),
            &whole_info,
        );
        cropped.push(whole.clone());
        let cut = cropped.pull();
        assert!((score(&cut) / expected - 1.0).abs() < 0.05, "{format}: {} and {expected}", score(&cut));

        let line = Line::playing(&format!("{} ! adoverlay", chain(wide())), &plain_info);
        for number in 0..2 {
            let mut buffer = whole.copy();
            let inner = buffer.get_mut().unwrap();
            inner.set_pts(number * 100 * gst::ClockTime::MSECOND);
            VideoMeta::add(inner, gst_video::VideoFrameFlags::empty(), format, WIDTH + 32, HEIGHT + 24)
                .unwrap();
            VideoCropMeta::add(inner, (16, 8, WIDTH, HEIGHT));
            line.push(buffer);
            let sample = line.pull();
            assert_eq!(score(&sample), score(&cut), "{format}");
            let buffer = sample.buffer().unwrap();
            assert_eq!(buffer.pts(), Some(number * 100 * gst::ClockTime::MSECOND));
            assert_eq!(buffer.size(), plain_info.size());
            assert!(buffer.meta::<VideoCropMeta>().is_none());
        }
        assert!(line.error().is_none());
    }
}

#[test]
fn crop_metadata_on_a_frame_of_its_caps_size_says_what_is_inspected() {
    let image = defective(82);
    let crop = (16, 8, 64, 56);
    let (x, y, width, height) = crop;
    let part = Line::playing(
        &chain(wide()).replace("adfeatures", &format!("adfeatures roi={x},{y},{width},{height}")),
        &info_of(&image),
    );
    let expected = part.pass(&image, 0);
    let line = Line::playing(&chain(wide()), &info_of(&image));
    let whole = score(&line.pass(&image, 0));
    let shown = |number: u64, crop: (u32, u32, u32, u32)| {
        let mut buffer = frame(&image, number);
        VideoCropMeta::add(buffer.get_mut().unwrap(), crop);
        buffer
    };
    line.push(shown(1, crop));
    let sample = line.pull();
    assert_eq!(score(&sample), score(&expected));
    let found = result(sample.buffer().unwrap()).unwrap();
    let place =
        ["x", "y", "width", "height"].map(|side| found.get::<u32>(format!("map-{side}").as_str()).unwrap());
    assert_eq!(place, [x, y, width, height]);
    // All of it, then none of it.
    line.push(shown(2, (0, 0, WIDTH, HEIGHT)));
    assert_eq!(score(&line.pull()), whole);
    assert_eq!(score(&line.pass(&image, 3)), whole);
    // A roi that the user has set is looked at where both agree.
    line.element("features").set_property("roi", "0,0,40,40");
    line.push(shown(4, crop));
    let found = result(line.pull().buffer().unwrap()).unwrap();
    let place =
        ["x", "y", "width", "height"].map(|side| found.get::<u32>(format!("map-{side}").as_str()).unwrap());
    assert_eq!(place, [16, 8, 24, 32]);
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());
}

#[test]
fn crop_metadata_that_makes_no_sense_is_an_error() {
    let image = good(1);
    for (memory, crop) in [
        ((WIDTH + 32, HEIGHT + 24), (16, 8, WIDTH - 2, HEIGHT)),
        ((WIDTH + 32, HEIGHT + 24), (60, 8, WIDTH, HEIGHT)),
        ((WIDTH + 32, HEIGHT + 24), (u32::MAX, 8, WIDTH, HEIGHT)),
        ((WIDTH, HEIGHT), (90, 70, 20, 20)),
        ((WIDTH, HEIGHT), (0, 0, 0, 0)),
    ] {
        let line = Line::playing(&chain(wide()), &info_of(&image));
        let mut buffer = gst::Buffer::with_size(info(VideoFormat::Rgb, memory.0, memory.1).size()).unwrap();
        let inner = buffer.get_mut().unwrap();
        VideoMeta::add(inner, gst_video::VideoFrameFlags::empty(), VideoFormat::Rgb, memory.0, memory.1)
            .unwrap();
        VideoCropMeta::add(inner, crop);
        line.push(buffer);
        let message = line.expect_error();
        assert!(message.contains("crop"), "{memory:?} {crop:?}: {message}");
    }
}

/// The result behind `elements`, with what has been warned of.
fn behind(elements: &str, image: &RgbImage) -> (AnomalyMeta, bool, Vec<String>) {
    let line = Line::playing(
        &format!("{} ! {elements} ! adoverlay ! {}", chain(wide()), publishing()),
        &info_of(image),
    );
    let samples: Vec<gst::Sample> = (0..3).map(|number| line.pass(image, number)).collect();
    let last = samples[2].buffer().unwrap();
    let warnings = line.messages(&[gst::MessageType::Warning]).iter().map(pipeline::text).collect();
    assert!(line.error().is_none());
    (AnomalyMeta::get(last).expect("the result is lost"), AnomalyMeta::has_lost_places(last), warnings)
}

#[test]
fn a_frame_that_may_have_got_borders_has_a_decision_and_no_places() {
    let image = defective(83);
    let plain =
        AnomalyMeta::get(Line::playing(&chain(wide()), &info_of(&image)).pass(&image, 0).buffer().unwrap())
            .unwrap();
    assert!(plain.anomalous && !plain.regions.is_empty() && plain.map.is_some());
    let (width, height) = (2 * WIDTH, HEIGHT);
    for element in [
        "videoscale",
        "videoscale add-borders=false",
        "videoconvertscale",
        "videoscale ! queue ! videoconvert",
    ] {
        for (width, height) in
            [(width, height), (WIDTH, 2 * HEIGHT), (width, 3 * HEIGHT), (WIDTH / 2, HEIGHT)]
        {
            let (found, lost, warnings) = behind(
                &format!("{element} ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1"),
                &image,
            );
            assert_eq!((found.score, found.anomalous, found.level()), (plain.score, true, plain.level()));
            assert!(found.regions.is_empty() && found.map.is_none() && lost, "{element}: {found:?}");
            assert_eq!(warnings.len(), 2, "one of each element that misses them: {warnings:?}");
            assert!(
                warnings.iter().all(|w| w.contains("scaled") && w.contains("before addetect")),
                "{warnings:?}"
            );
        }
    }
}

#[test]
fn a_frame_that_keeps_its_shape_keeps_its_places() {
    let image = defective(84);
    for caps in [
        format!("width={},height={},pixel-aspect-ratio=1/1", 2 * WIDTH, 2 * HEIGHT),
        format!("width={},height={}", 3 * WIDTH, HEIGHT),
        // A pixel of rounding.
        "width=50,height=42,pixel-aspect-ratio=1/1".into(),
    ] {
        let (found, lost, warnings) = behind(&format!("videoscale ! video/x-raw,{caps}"), &image);
        assert!(!found.regions.is_empty() && found.map.is_some() && !lost, "{caps}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

#[test]
fn elements_that_find_no_result_say_so_once() {
    let image = good(1);
    for (before, expected) in [
        ("identity".to_owned(), 2),
        (format!("{} ! videocrop left=8", chain(square())), 2),
        (format!("{} ! videoflip video-direction=180", chain(square())), 2),
        (chain(square()), 0),
    ] {
        let line = Line::playing(&format!("{before} ! adoverlay ! {}", publishing()), &info_of(&image));
        (0..4).for_each(|number| drop(line.pass(&image, number)));
        let warnings: Vec<String> =
            line.messages(&[gst::MessageType::Warning]).iter().map(pipeline::text).collect();
        assert_eq!(warnings.len(), expected, "{before}: {warnings:?}");
        for warning in warnings {
            assert!(
                ["no result", "addetect", "videocrop", "videoflip"].iter().all(|word| warning.contains(word)),
                "{warning}"
            );
        }
    }
}

/// A frame of one colour.
fn grey(width: u32, height: u32, number: u64) -> gst::Buffer {
    frame(&RgbImage::from_pixel(width, height, image::Rgb([90; 3])), number)
}

fn resize(line: &Line, width: u32, height: u32) {
    line.src.set_caps(Some(&info(VideoFormat::Rgb, width, height).to_caps().unwrap()));
}

#[test]
fn a_roi_in_per_cent_fits_frames_of_all_sizes() {
    let line = Line::playing(
        &chain(square()).replace("adfeatures", "adfeatures roi=25%,10%,50%,80%"),
        &info_of(&good(1)),
    );
    assert_eq!(line.element("features").property::<String>("roi"), "25%,10%,50%,80%");
    for (number, (width, height)) in (0..).zip([(WIDTH, HEIGHT), (40, 30), (333, 77), (1, 1)]) {
        resize(&line, width, height);
        line.push(grey(width, height, number));
        let found = AnomalyMeta::get(line.pull().buffer().unwrap()).unwrap().map_place;
        assert!(found.x + found.width <= width && found.y + found.height <= height, "{found:?}");
        let near =
            |found: u32, share: f64, side: u32| (f64::from(found) - share * f64::from(side)).abs() <= 1.0;
        assert!(near(found.x, 0.25, width) && near(found.width, 0.5, width), "{found:?} of {width}x{height}");
        assert!(
            near(found.y, 0.1, height) && near(found.height, 0.8, height),
            "{found:?} of {width}x{height}"
        );
    }
}

#[test]
fn a_roi_that_no_longer_fits_is_one_error_with_a_way_out() {
    let line = Line::playing(
        &chain(square()).replace("adfeatures", "adfeatures roi=50,40,40,40"),
        &info_of(&good(1)),
    );
    line.pass(&good(1), 0);
    resize(&line, 48, 40);
    (1..6).for_each(|number| line.push(grey(48, 40, number)));
    let message = line.expect_error();
    assert!(
        message.contains("roi 50,40,40,40") && message.contains("48x40") && message.contains('%'),
        "{message}"
    );
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ours: Vec<String> = line
        .messages(&[gst::MessageType::Error])
        .iter()
        .filter(|message| message.src().is_some_and(|source| source.name() == "features"))
        .map(pipeline::text)
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}
