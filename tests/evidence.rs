//! Evidence: which frames are kept, what is in the files, and that nothing about them disturbs the video.

#![cfg(any(feature = "train", feature = "analytics"))]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::meta::AnomalyMeta;
use image::RgbImage;
use pipeline::{Line, chain, failure_at_start, frame, info, info_of, wait_until};
use product::{DEFECT, HEIGHT, WIDTH, defective, good, judge_file, scratch, square, wide};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A record as it lies in the folder.
#[derive(Debug)]
struct Record {
    json: Value,
    image: PathBuf,
    overlay: PathBuf,
}

impl Record {
    fn pixels(&self) -> RgbImage {
        image::open(&self.image).unwrap().into_rgb8()
    }

    fn drawn(&self) -> RgbImage {
        image::open(&self.overlay).unwrap().into_rgb8()
    }
}

/// The complete records, oldest first, and that nothing else of ours lies there.
fn records(folder: &Path) -> Vec<Record> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".anomaly-lock");
    names.sort();
    let records: Vec<_> = names
        .iter()
        .filter(|name| name.ends_with(".json"))
        .map(|name| {
            let json: Value = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
            let place = |field: &str| folder.join(json[field].as_str().unwrap());
            let (image, overlay) = (place("image"), place("overlay"));
            let stem = name.strip_suffix(".json").unwrap();
            for file in [&image, &overlay] {
                assert!(file.file_name().unwrap().to_str().unwrap().starts_with(stem), "{file:?} of {name}");
            }
            Record { json, image, overlay }
        })
        .collect();
    assert_eq!(names.len(), 3 * records.len(), "{names:?}");
    records
}

/// The three elements with evidence in `folder`.
fn description(folder: &Path, properties: &str) -> String {
    let score = format!("adscore evidence-folder={} {properties}", folder.display());
    chain(square()).replace("adscore", &score)
}

/// Sends good (`.`) and defective (`x`) frames of 100 ms and returns the records in the end.
fn run(frames: &str, properties: &str) -> Vec<Record> {
    let folder = scratch();
    let line = Line::playing(&description(folder.path(), properties), &info_of(&good(1)));
    for (number, kind) in (0..).zip(frames.chars()) {
        line.pass(&if kind == 'x' { defective(40) } else { good(40) }, number);
    }
    line.pipeline.set_state(gst::State::Null).unwrap();
    let found = records(folder.path());
    let count = |name: &str| line.element("score").property::<u64>(name);
    assert_eq!((count("evidence-stored"), count("evidence-dropped")), (found.len() as u64, 0));
    // The folder goes with this function.
    for record in &found {
        assert_eq!(record.pixels().dimensions(), record.drawn().dimensions());
    }
    found
}

/// An image enlarged, with noise that does not compress.
fn noisy(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let mut state = 1u32;
    let mut large = image::imageops::resize(image, width, height, image::imageops::FilterType::Nearest);
    for value in large.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = value.saturating_add((state >> 29) as u8);
    }
    large
}

/// Event, reason and frame number of records.
fn summary(records: &[Record]) -> Vec<(u64, &str, u64)> {
    let of = |json: &Value| json["pts"].as_u64().unwrap() / 100_000_000;
    records
        .iter()
        .map(|r| (r.json["event"].as_u64().unwrap(), r.json["reason"].as_str().unwrap(), of(&r.json)))
        .collect()
}

#[test]
fn every_event_is_stored_once_and_good_frames_never() {
    assert!(run("....", "").is_empty());
    // The same frame again and again is nothing new.
    assert_eq!(summary(&run("..xx.xxxx..", "")), [(1, "first", 2), (2, "first", 5)]);
    assert_eq!(summary(&run(".x.x..xxxx..", "hold=3")), [(1, "first", 8)]);
}

#[test]
fn a_still_of_twelve_bits_in_sixteen_is_as_bright_as_what_was_inspected() {
    let folder = scratch();
    let bundle = folder.path().join("twelve");
    product::copy(square(), &bundle);
    product::change_manifest(&bundle, |manifest| manifest["input"]["range"] = serde_json::json!([0, 4095]));
    let evidence = folder.path().join("evidence");
    let score = format!("adscore threshold=0.001 evidence-folder={}", evidence.display());
    let info = info(gst_video::VideoFormat::Gray16Le, WIDTH, HEIGHT);
    let line = Line::playing(&chain(&bundle).replace("adscore", &score), &info);
    let grey = image::DynamicImage::from(good(42)).into_luma8();
    let bytes: Vec<u8> = grey.pixels().flat_map(|pixel| (u16::from(pixel.0[0]) << 4).to_le_bytes()).collect();
    let mut buffer = gst::Buffer::from_slice(bytes);
    pipeline::stamp(&mut buffer, 0);
    line.push(buffer);
    line.pull();
    line.pipeline.set_state(gst::State::Null).unwrap();
    let [record] = &records(&evidence)[..] else { panic!("one record") };
    for (still, expected) in record.pixels().pixels().zip(grey.pixels()) {
        // Rounding in 16 bits, of which a sixteenth is shown.
        assert!(still.0.iter().all(|value| value.abs_diff(expected.0[0]) <= 4), "{still:?} {expected:?}");
    }
}

#[test]
fn an_event_that_grows_is_stored_with_its_peak() {
    // Each defect stands out more than the one before, seconds apart and then within one interval.
    let fading = |part: u32| {
        let (mut image, whole) = (good(41), defective(41));
        let (left, top, width, height) = DEFECT;
        for y in top..top + height {
            for x in left..left + width {
                let (from, to) = (image[(x, y)].0, whole[(x, y)].0);
                let mix =
                    |c: usize| ((u32::from(from[c]) * (10 - part) + u32::from(to[c]) * part) / 10) as u8;
                image[(x, y)].0 = std::array::from_fn(mix);
            }
        }
        image
    };
    let folder = scratch();
    let line = Line::playing(&description(folder.path(), ""), &info_of(&good(1)));
    let frames = [(0, 6), (1, 7), (12, 8), (13, 9), (14, 10), (15, 9), (16, 8)];
    let scores: Vec<f64> =
        frames.iter().map(|&(number, part)| pipeline::score(&line.pass(&fading(part), number))).collect();
    assert!(scores[..5].is_sorted() && scores[4] > scores[5], "the defects do not grow: {scores:?}");
    line.pass(&good(41), 17);
    line.pipeline.set_state(gst::State::Null).unwrap();
    let found = records(folder.path());
    assert_eq!(summary(&found), [(1, "first", 0), (1, "peak", 12), (1, "peak", 14)]);
    assert_eq!(found[2].json["score"].as_f64().unwrap(), scores[4]);
}

#[test]
fn a_record_says_what_the_metadata_says() {
    let folder = scratch();
    let image = defective(42);
    let line = Line::playing(&description(folder.path(), ""), &info_of(&image));
    // The stream starts at a second, so that the three times differ.
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::SECOND);
    segment.set_time(5 * gst::ClockTime::SECOND);
    let caps = info_of(&image).to_caps().unwrap();
    let sample = gst::Sample::builder().buffer(&frame(&image, 14)).segment(&segment).caps(&caps).build();
    line.src.set_property("handle-segment-change", true);
    line.src.push_sample(&sample).unwrap();
    let passed = line.pull();
    let meta = AnomalyMeta::get(passed.buffer().unwrap()).unwrap();
    let source = line.src.static_pad("src").unwrap().stream_id().unwrap();
    line.pipeline.set_state(gst::State::Null).unwrap();

    let found = records(folder.path());
    let json = &found[0].json;
    let regions: Vec<Value> = meta
        .regions
        .iter()
        .map(|r| {
            serde_json::json!({
                "x": r.x, "y": r.y, "width": r.width, "height": r.height, "score": r.score, "area": r.area
            })
        })
        .collect();
    assert!(!regions.is_empty());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let expected = serde_json::json!({
        "time": json["time"], "pts": 1_400_000_000u64, "running_time": 400_000_000u64, "stream_time": 5_400_000_000u64,
        "source": source.as_str(), "event": 1, "reason": "first",
        "score": meta.score, "normalized": meta.normalized, "threshold": meta.threshold, "warn": meta.warn,
        "anomalous": true, "level": "reject",
        "model": "square", "method": "cpr", "regions": regions,
        "width": WIDTH, "height": HEIGHT, "format": "RGB",
        "image": name(&found[0].image), "overlay": name(&found[0].overlay),
    });
    assert_eq!(*json, expected);
    let written = glib::DateTime::from_iso8601(json["time"].as_str().unwrap(), None).unwrap();
    let age = glib::DateTime::now_utc().unwrap().difference(&written);
    assert!((0..120).contains(&age.as_seconds()), "{json}");
}

#[test]
fn a_still_has_the_pixels_that_were_inspected_and_the_overlay_shows_the_defect() {
    let image = defective(43);
    let folder = scratch();
    // What is drawn or changed after adscore must not show.
    let spoilt = format!("{} ! adoverlay ! videobalance brightness=0.5", description(folder.path(), ""));
    let line = Line::playing(&spoilt, &info_of(&image));
    line.pass(&image, 0);
    line.pipeline.set_state(gst::State::Null).unwrap();
    let found = &records(folder.path())[0];
    assert!(found.pixels() == image, "the still is not the frame");
    assert_eq!(judge_file(square(), &found.image).score, found.json["score"].as_f64().unwrap());
    let drawn = found.drawn();
    let changed = |x: u32, y: u32| drawn[(x, y)] != image[(x, y)];
    let (left, top, width, height) = DEFECT;
    assert!(changed(left + width / 2, top + height / 2), "no heat map on the defect");
    let all = image.enumerate_pixels().filter(|(x, y, _)| changed(*x, *y)).count() as u32;
    assert!(all > width * height / 2 && all < WIDTH * HEIGHT, "{all} pixels");
}

#[test]
fn stills_of_every_format_of_cameras_look_alike() {
    let large =
        |image: RgbImage| image::imageops::resize(&image, 480, 400, image::imageops::FilterType::CatmullRom);
    let image = large(defective(44));
    let difference = |a: &RgbImage, b: &RgbImage| {
        let all = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        all.sum::<f64>() / a.as_raw().len() as f64
    };
    for (format, compression) in [
        ("NV12", "png"),
        ("I420", "jpeg"),
        ("YUY2", "png"),
        ("GRAY8", "jpeg"),
        ("BGRA", "png"),
        ("I420_10LE", "jpeg"),
    ] {
        let folder = scratch();
        let properties = format!("evidence-format={compression}");
        let score = format!("adscore evidence-folder={} {properties}", folder.path().display());
        let elements = chain(wide()).replace("adscore", &score);
        let line = Line::playing(
            &format!("videoconvert ! video/x-raw,format={format} ! {elements}"),
            &info_of(&image),
        );
        line.pass(&image, 0);
        line.pipeline.set_state(gst::State::Null).unwrap();
        let found = records(folder.path());
        assert_eq!(found.len(), 1, "{format}: not anomalous");
        assert_eq!(found[0].json["format"].as_str().unwrap(), format);
        let end = if compression == "png" { "png" } else { "jpg" };
        assert!(found[0].image.extension().unwrap() == end && found[0].overlay.extension().unwrap() == end);
        let expected = match format {
            "GRAY8" => image::DynamicImage::from(image.clone()).grayscale().into_rgb8(),
            _ => image.clone(),
        };
        let off = difference(&found[0].pixels(), &expected);
        println!("{format} {compression}: {off:.2} on average");
        assert!(off < 6.0, "{format} {compression}: the still is off by {off}");
        assert!(difference(&found[0].drawn(), &found[0].pixels()) > 1.0, "{format}: nothing is drawn");
    }
}

#[test]
fn the_oldest_makes_room_and_foreign_files_stay() {
    let folder = scratch();
    let foreign = folder.path().join("anomaly-notes.json");
    std::fs::write(&foreign, "mine").unwrap();
    // About a third of a MiB a record.
    let [event, pause] = [defective(49), good(49)].map(|image| noisy(&image, 400, 320));
    let size = || -> u64 {
        let entries = folder.path().read_dir().unwrap().map(|entry| entry.unwrap());
        entries.filter(|entry| entry.path() != foreign).map(|entry| entry.metadata().unwrap().len()).sum()
    };
    let line = Line::playing(&description(folder.path(), "evidence-limit=1"), &info_of(&event));
    let element = line.element("score");
    for number in 0..8 {
        line.pass(&event, 2 * number);
        line.pass(&pause, 2 * number + 1);
        wait_until("the record", || element.property::<u64>("evidence-stored") == number + 1);
        assert!(size() <= 1 << 20, "{} bytes", size());
    }
    line.pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "mine");
    std::fs::remove_file(foreign).unwrap();
    let found = records(folder.path());
    let events: Vec<u64> = summary(&found).iter().map(|record| record.0).collect();
    assert!(events.len() < 8 && events.last() == Some(&8), "{events:?}");
    assert!(events.windows(2).all(|pair| pair[1] == pair[0] + 1), "{events:?}");
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_at_start() {
    let folder = scratch();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, problem) in
        [(file.join("below"), "evidence-folder"), ("/proc/nowhere".into(), "/proc/nowhere")]
    {
        let message = failure_at_start(&description(&path, ""), &info_of(&good(1)));
        assert!(message.contains(problem) && message.contains(path.to_str().unwrap()), "{message}");
    }
    let line = Line::playing(&description(folder.path(), ""), &info_of(&good(1)));
    line.pass(&good(1), 0);
    let message = failure_at_start(&description(folder.path(), ""), &info_of(&good(1)));
    assert!(message.contains("another adscore writes here"), "{message}");
    drop(line);
    // Free again, for the next start at once.
    Line::playing(&description(folder.path(), ""), &info_of(&good(1))).pass(&good(1), 0);
}

#[test]
fn a_folder_that_vanishes_is_a_warning_and_the_video_goes_on() {
    let folder = scratch();
    let place = folder.path().join("evidence");
    let line = Line::playing(&description(&place, "evidence-interval=0"), &info_of(&good(1)));
    line.pass(&good(45), 0);
    std::fs::remove_dir_all(&place).unwrap();
    let element = line.element("score");
    for number in 0..3 {
        line.pass(&defective(46), 2 * number + 1);
        line.pass(&good(46), 2 * number + 2);
        wait_until("the count", || element.property::<u64>("evidence-dropped") == number + 1);
    }
    let warning = line.expect_warning();
    assert!(
        warning.contains("not stored as evidence") && warning.contains(place.to_str().unwrap()),
        "{warning}"
    );
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty(), "one warning for all of them");
    std::fs::create_dir(&place).unwrap();
    line.pass(&defective(46), 7);
    wait_until("a record", || element.property::<u64>("evidence-stored") == 1);
    assert_eq!(records(&place).len(), 1);
}

#[test]
fn more_than_can_be_written_is_counted_and_neither_blocks_the_video_nor_the_end() {
    let folder = scratch();
    // Large frames that take long to compress, every one of them an event of its own.
    let (width, height) = (1920, 1080);
    let images = [defective(47), good(47)].map(|image| noisy(&image, width, height));
    let format = info(gst_video::VideoFormat::Rgb, width, height);
    let line = Line::playing(&description(folder.path(), ""), &format);
    let buffers = images.each_ref().map(|image| frame(image, 0));
    let element = line.element("score");
    for number in 0..60 {
        let mut buffer = buffers[number % 2].copy();
        pipeline::stamp(&mut buffer, number as u64);
        let start = Instant::now();
        line.push(buffer);
        line.pull();
        assert!(start.elapsed() < Duration::from_secs(2), "frame {number} took {:?}", start.elapsed());
    }
    let start = Instant::now();
    line.pipeline.set_state(gst::State::Null).unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "the end took {took:?}");
    // A thread that was not ready abandons the rest once it is.
    let count = |name: &str| element.property::<u64>(name);
    wait_until("all thirty", || count("evidence-stored") + count("evidence-dropped") == 30);
    println!(
        "{} stored, {} dropped, stopped in {took:?}",
        count("evidence-stored"),
        count("evidence-dropped")
    );
    assert_eq!(records(folder.path()).len() as u64, count("evidence-stored"));
}

#[test]
fn the_end_of_the_stream_stores_what_the_event_has_shown() {
    let folder = scratch();
    let bin =
        format!("addetect name=bin model={} evidence-folder={}", square().display(), folder.path().display());
    let line = Line::playing(&bin, &info_of(&good(1)));
    line.push(frame(&defective(48), 0));
    assert_eq!(line.drain().len(), 1);
    // Without a change of state: an application may go on with another stream.
    wait_until("the record", || line.element("bin").property::<u64>("evidence-stored") == 1);
    assert_eq!(records(folder.path()).len(), 1);
}
