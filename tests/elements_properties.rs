//! The elements' properties, and what the application is told.

#![cfg(any(feature = "train", feature = "analytics"))]

#[path = "elements_properties/levels.rs"]
mod levels;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::elements::adscore::{AnomalyMessage, Transition};
use pipeline::{Line, chain, failure_at_start, frame, info_of, init, result, score};
use product::{DEFECT, GOOD_IMAGES, HEIGHT, WIDTH, defective, file, good, square, wide};

/// Sends good (`.`) and defective (`x`) frames and returns the messages' states.
fn states(line: &Line, frames: &str, first: u64) -> Vec<String> {
    let mut seen = Vec::new();
    for (number, kind) in (first..).zip(frames.chars()) {
        line.pass(&if kind == 'x' { defective(70) } else { good(70) }, number);
        seen.extend(line.anomalies().iter().map(|m| format!("{}{number}", m.get::<&str>("state").unwrap())));
    }
    seen
}

fn scored(properties: &str) -> Line {
    let description = chain(square()).replace("adscore", &format!("adscore {properties}"));
    Line::playing(&description, &info_of(&good(70)))
}

#[test]
fn an_anomaly_is_announced_when_it_begins_and_when_it_ends() {
    assert_eq!(states(&scored(""), "..xx.x", 0), ["enter2", "leave4", "enter5"]);
    assert_eq!(states(&scored("hold=3"), "..xx.xxxx..x...", 0), ["enter7", "leave14"]);
    assert!(states(&scored("messages=none"), "..xx.x", 0).is_empty());
    assert_eq!(states(&scored("messages=all"), ".xx.", 0), ["update0", "enter1", "update2", "leave3"]);
}

#[test]
fn a_held_decision_shows_on_the_frame() {
    let line = scored("hold=2");
    let decisions: Vec<(bool, bool)> = (0..)
        .zip([good(1), defective(2), defective(3), good(4), good(5)])
        .map(|(number, image)| {
            let passed = line.pass(&image, number);
            let buffer = passed.buffer().unwrap();
            let regions = buffer.iter_meta::<gst_video::VideoRegionOfInterestMeta>().count();
            let result = result(buffer).unwrap();
            assert_eq!(result.get::<gst::ArrayRef>("regions").unwrap().as_slice().len(), regions);
            (result.get("anomalous").unwrap(), regions > 0)
        })
        .collect();
    // The first defective frame may be a disturbance; the good frame that is held has nothing to show.
    assert_eq!(decisions, [(false, false), (false, false), (true, true), (true, false), (false, false)]);
}

#[test]
fn a_message_has_every_documented_field() {
    let line = scored("");
    // The stream starts at a second, so that the three times differ.
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_start(gst::ClockTime::SECOND);
    segment.set_time(5 * gst::ClockTime::SECOND);
    let sample = gst::Sample::builder()
        .buffer(&frame(&defective(71), 14))
        .segment(&segment)
        .caps(&info_of(&good(70)).to_caps().unwrap())
        .build();
    line.src.set_property("handle-segment-change", true);
    line.src.push_sample(&sample).unwrap();
    let passed = line.pull();
    let on_frame = result(passed.buffer().unwrap()).unwrap();
    let message = line.expect_element();
    assert_eq!(message.src().unwrap(), line.element("score").upcast_ref::<gst::Object>());
    let structure = message.structure().unwrap();
    assert_eq!(structure.name(), "anomaly");
    let time = |name: &str| structure.get::<gst::ClockTime>(name).unwrap();
    assert_eq!(time("pts"), 1400 * gst::ClockTime::MSECOND);
    assert_eq!(time("running-time"), 400 * gst::ClockTime::MSECOND);
    assert_eq!(time("stream-time"), 5400 * gst::ClockTime::MSECOND);
    for field in ["score", "normalized"] {
        assert_eq!(structure.get::<f64>(field).unwrap(), on_frame.get::<f64>(field).unwrap());
    }
    assert!(structure.get::<bool>("anomalous").unwrap());
    assert_eq!(structure.get::<&str>("state").unwrap(), "enter");
    assert_eq!(
        structure.get::<String>("source").unwrap(),
        line.src.static_pad("src").unwrap().stream_id().unwrap()
    );
    let parsed = AnomalyMessage::from_structure(structure).unwrap();
    assert_eq!(parsed.state, Transition::Enter);
    let region = parsed.regions[0];
    assert!(region.x <= DEFECT.0 + DEFECT.2 && region.x + region.width >= DEFECT.0, "{region:?}");
    assert!(region.area > 0.0 && (0.5..=1.0).contains(&region.score));
}

#[test]
fn a_new_threshold_takes_effect_while_playing() {
    let line = scored("");
    let element = line.element("score");
    assert!(element.property::<f64>("threshold").is_nan());
    let see = |image: &image::RgbImage, number| {
        let sample = line.pass(image, number);
        let found = result(sample.buffer().unwrap()).unwrap();
        let get = |name: &str| found.get::<f64>(name).unwrap();
        (get("score"), get("threshold"), get("normalized"), found.get::<bool>("anomalous").unwrap())
    };
    let (score, own, _, anomalous) = see(&defective(72), 0);
    assert!(anomalous && score > own);
    element.set_property("threshold", 2.0 * score);
    let (_, threshold, normalized, anomalous) = see(&defective(72), 1);
    assert!(!anomalous && threshold == 2.0 * score && normalized < 0.5);
    element.set_property("threshold", score);
    let (_, _, normalized, anomalous) = see(&defective(72), 2);
    assert!(anomalous && (normalized - 0.5).abs() < 1e-9, "the threshold itself is anomalous, and 0.5");
    element.set_property("threshold", f64::NAN);
    assert_eq!(see(&defective(72), 3).1, own);
    // Absurd values decide one way or the other, and break nothing.
    for (number, (threshold, expected)) in
        (4..).zip([(f64::MAX, false), (f64::MIN, true), (0.0, true), (f64::MIN_POSITIVE, true)])
    {
        element.set_property("threshold", threshold);
        let (_, _, normalized, anomalous) = see(&defective(72), number);
        assert_eq!(anomalous, expected, "{threshold}");
        assert!((0.0..=1.0).contains(&normalized), "{threshold}: {normalized}");
    }
}

#[test]
fn regions_that_are_too_small_do_not_count() {
    let line = scored("");
    let element = line.element("score");
    let areas = |number| -> (Vec<f64>, bool) {
        let sample = line.pass(&defective(73), number);
        let found = result(sample.buffer().unwrap()).unwrap();
        let regions = found.get::<gst::ArrayRef>("regions").unwrap();
        let area =
            |region: &glib::SendValue| region.get::<gst::Structure>().unwrap().get::<f64>("area").unwrap();
        (regions.iter().map(area).collect(), found.get("anomalous").unwrap())
    };
    let (all, _) = areas(0);
    let largest = all.iter().copied().fold(0.0, f64::max);
    element.set_property("min-area", largest);
    assert_eq!(areas(1), (vec![largest], true));
    element.set_property("min-area", largest + 1.0);
    assert_eq!(areas(2), (vec![], false));
    element.set_property("min-area", 0.0);
    assert_eq!(areas(3), (all, true));
}

/// A mask that is black over the defect and around it.
fn mask_over_the_defect() -> std::path::PathBuf {
    let (left, top, width, height) = DEFECT;
    // As far as a patch of the coarser layer sees.
    let margin = 32;
    let inside = |at: u32, start: u32, length: u32| at + margin >= start && at < start + length + margin;
    let mask = image::RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        image::Rgb(if inside(x, left, width) && inside(y, top, height) { [0; 3] } else { [255; 3] })
    });
    file(&mask, "mask.png")
}

#[test]
fn what_the_mask_covers_is_not_inspected() {
    let mask = mask_over_the_defect();
    let line = scored(&format!("ignore-mask={}", mask.display()));
    assert!(states(&line, ".xx.", 0).is_empty());
    let element = line.element("score");
    element.set_property("ignore-mask", None::<String>);
    assert_eq!(states(&line, ".x", 4), ["enter5"]);
    element.set_property("ignore-mask", mask.to_str().unwrap());
    assert_eq!(states(&line, "x", 6), ["leave6"]);

    // A bad one leaves the one before in use.
    let black = file(&image::RgbImage::new(WIDTH, HEIGHT), "black.png");
    for (number, bad, reason) in
        [(7, black.to_str().unwrap(), "all black"), (8, "/nonexistent/mask.png", "No such file")]
    {
        element.set_property("ignore-mask", bad);
        assert!(states(&line, "x", number).is_empty());
        let warning = line.expect_warning();
        assert!(
            warning.contains(bad) && warning.contains(reason) && warning.contains("old ignore-mask stays"),
            "{warning}"
        );
        assert_eq!(element.property::<String>("ignore-mask"), mask.to_str().unwrap());
    }
    // Labels of 0 and 1 say the same, and can be seen by nobody.
    let white = image::open(&mask).unwrap().into_luma16();
    let labels: image::ImageBuffer<image::Luma<u16>, Vec<u16>> =
        image::ImageBuffer::from_fn(WIDTH, HEIGHT, |x, y| image::Luma([white.get_pixel(x, y).0[0].min(1)]));
    let path = product::FOLDER.join("labels.png");
    labels.save(&path).unwrap();
    element.set_property("ignore-mask", None::<String>);
    assert_eq!(states(&line, "x", 9), ["enter9"]);
    element.set_property("ignore-mask", path.to_str().unwrap());
    assert_eq!(states(&line, "x", 10), ["leave10"]);
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());
    assert!(line.error().is_none());
}

#[test]
fn an_unusable_mask_is_an_error_at_start() {
    init();
    let black = file(&image::RgbImage::new(WIDTH, HEIGHT), "all-black.png");
    let not_an_image = product::FOLDER.join("mask.txt");
    std::fs::write(&not_an_image, "no image").unwrap();
    let missing = product::FOLDER.join("missing.png");
    for (path, reason) in [(&black, "all black"), (&not_an_image, "image"), (&missing, "No such file")] {
        let description =
            chain(square()).replace("adscore", &format!("adscore ignore-mask={}", path.display()));
        let message = failure_at_start(&description, &info_of(&good(1)));
        assert!(message.contains("ignore-mask") && message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn a_part_of_the_frame_is_inspected_and_regions_are_in_frame_coordinates() {
    let description = chain(wide()).replace("adfeatures", "adfeatures roi=40,4,52,64");
    let line = Line::playing(&description, &info_of(&good(1)));
    let features = line.element("features");
    assert_eq!(features.property::<String>("roi"), "40,4,52,64");
    let place = |number| {
        let sample = line.pass(&defective(74), number);
        let found = result(sample.buffer().unwrap()).unwrap();
        let get = |name: &str| found.get::<u32>(name).unwrap();
        let regions = found.get::<gst::ArrayRef>("regions").unwrap();
        let region = regions.first().map(|region| {
            let region = region.get::<gst::Structure>().unwrap();
            let get = |name: &str| region.get::<u32>(name).unwrap();
            (get("x"), get("y"), get("width"), get("height"))
        });
        ((get("map-x"), get("map-y"), get("map-width"), get("map-height")), region)
    };
    let (map, region) = place(0);
    assert_eq!(map, (40, 4, 52, 64));
    let (x, y, width, height) = region.expect("the defect is inside");
    assert!(x >= 40 && y >= 4 && x + width <= 92 && y + height <= 68, "{region:?}");

    // Malformed, then outside: a warning, and everything stays.
    for (number, bad) in
        [(1, "1,2,3"), (2, "0,0,0,5"), (3, "-1,0,5,5"), (4, "99999999999,0,1,1"), (5, "90,70,20,20")]
    {
        features.set_property("roi", bad);
        let sample = place(number);
        let warning = line.expect_warning();
        assert!(warning.contains("roi") && warning.contains("as it was"), "{warning}");
        assert_eq!(sample.0, map, "{bad}");
        assert_eq!(features.property::<String>("roi"), "40,4,52,64", "{bad}");
    }
    features.set_property("roi", "0,0,30,30");
    assert_eq!(place(6).0, (0, 0, 30, 30));
    features.set_property("roi", "");
    assert_eq!(place(7).0, (0, 0, WIDTH, HEIGHT));
    assert!(line.error().is_none());
}

#[test]
fn a_part_outside_the_frame_is_an_error_with_both_sizes() {
    let description = chain(square()).replace("adfeatures", "adfeatures roi=90,70,20,20");
    let line = Line::playing(&description, &info_of(&good(1)));
    line.push(frame(&good(1), 0));
    let message = line.expect_error();
    assert!(message.contains("90,70,20,20") && message.contains("96x80"), "{message}");
}

#[test]
fn a_device_that_is_missing_is_an_error_at_start() {
    init();
    for device in ["cuda", "tensorrt", "openvino"] {
        for description in [
            chain(square()).replace("adfeatures", &format!("adfeatures device={device}")),
            format!("addetect device={device} model={}", square().display()),
            format!("adretrieve device={device} ! adscore"),
        ] {
            let message = failure_at_start(&description, &info_of(&good(1)));
            assert!(message.contains(&format!("'{device}'")) && message.contains("device=cpu"), "{message}");
        }
    }
}

#[test]
fn the_device_and_the_time_that_it_takes_can_be_read() {
    let line = Line::new(&chain(square()), &info_of(&good(1)));
    let features = line.element("features");
    assert_eq!(features.property::<Option<String>>("active-device"), None);
    assert_eq!(features.property::<f64>("inference-time"), 0.0);
    line.pipeline.set_state(gst::State::Playing).unwrap();
    for number in 0..3 {
        line.pass(&good(1), number);
    }
    assert_eq!(features.property::<String>("active-device"), "cpu");
    let time = features.property::<f64>("inference-time");
    assert!(time > 0.01 && time < 10_000.0, "{time}");
}

#[test]
fn a_card_by_its_number_needs_a_card() {
    let message = failure_at_start(
        &chain(square()).replace("adfeatures", "adfeatures device-id=1"),
        &info_of(&good(1)),
    );
    assert!(message.contains("'auto 1' is not available") && message.contains("device-id"), "{message}");
}

#[test]
fn more_neighbours_than_there_are_is_an_error_at_the_start() {
    let line =
        Line::playing(&chain(square()).replace("adretrieve", "adretrieve neighbours=17"), &info_of(&good(1)));
    line.push(frame(&good(1), 0));
    let message = line.expect_error();
    assert!(
        message.contains("17 neighbours") && message.contains(&format!("{GOOD_IMAGES} normal")),
        "{message}"
    );
}

/// A slip of the finger does not end an inspection that runs.
#[test]
fn more_neighbours_than_there_are_is_a_warning_while_frames_flow() {
    let line =
        Line::playing(&chain(square()).replace("adretrieve", "adretrieve neighbours=1"), &info_of(&good(1)));
    let scores = |number: u64, neighbours: u32| {
        line.element("retrieve").set_property("neighbours", neighbours);
        score(&line.pass(&good(100), number))
    };
    let (one, own) = (scores(0, 1), scores(1, 0));
    assert_ne!(one, own);
    assert_eq!(scores(2, 17), own, "as many as the bundle says");
    let message = line.expect_warning();
    assert!(message.contains("17 neighbours") && message.contains("as many as the bundle says"), "{message}");
    assert_eq!(scores(3, 17), own);
    assert_eq!(scores(4, 1), one);
    assert!(
        line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty(),
        "it is said once, and the stream goes on"
    );
}

#[test]
fn every_property_has_the_documented_default_and_the_bin_passes_all_on() {
    init();
    let make = |name: &str| gst::ElementFactory::make(name).build().unwrap();
    let (bin, score, features) = (make("addetect"), make("adscore"), make("adfeatures"));
    for element in [&bin, &score] {
        assert!(element.property::<f64>("threshold").is_nan() && element.property::<f64>("warn").is_nan());
        assert!(element.property::<bool>("attach-map") && element.property::<bool>("regions"));
        assert_eq!(element.property::<u32>("hold"), 0);
        assert_eq!(
            element.property_value("messages").transform::<String>().unwrap().get::<String>().unwrap(),
            "When an anomaly begins and ends"
        );
    }
    for element in [&bin, &features] {
        assert!(!element.property::<bool>("follow"));
        assert_eq!(element.property::<u32>("interval"), 1);
        assert_eq!(element.property::<u32>("threads"), 0);
        assert_eq!(element.property::<Option<String>>("model"), None);
        assert_eq!(element.property::<Option<String>>("roi"), None);
    }
    bin.set_property_from_str("device", "cpu");
    bin.set_property("model", "somewhere");
    bin.set_property("neighbours", 3u32);
    bin.set_property("min-area", 12.0);
    bin.set_property("warn", 7.5);
    let child = |name: &str| bin.downcast_ref::<gst::Bin>().unwrap().by_name(name).unwrap();
    assert_eq!(child("features").property::<String>("model"), "somewhere");
    assert_eq!(child("retrieve").property::<u32>("neighbours"), 3);
    assert_eq!(child("score").property::<f64>("min-area"), 12.0);
    assert_eq!(child("score").property::<f64>("warn"), 7.5);
}
