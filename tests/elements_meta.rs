//! The public metadata: what it says, in which form, and how it fares on the way downstream.

#![cfg(any(feature = "train", feature = "analytics"))]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::frame::load_picture;
use gstanomaly::methods::ScoreOptions;
use gstanomaly::{bundle::open_shared, methods::Anomaly};
use pipeline::{Line, chain, info_of, result};
use product::{DEFECT, HEIGHT, WIDTH, defective, file, good, judge, square, wide};

fn structures(result: &gst::StructureRef) -> Vec<gst::Structure> {
    let regions = result.get::<gst::ArrayRef>("regions").unwrap();
    regions.iter().map(|region| region.get::<gst::Structure>().unwrap()).collect()
}

/// x, y, width, height of a structure.
fn place(structure: &gst::StructureRef, prefix: &str) -> (u32, u32, u32, u32) {
    let get = |name: &str| structure.get::<u32>(format!("{prefix}{name}").as_str()).unwrap();
    (get("x"), get("y"), get("width"), get("height"))
}

/// The regions of interest of our type.
fn rois(buffer: &gst::BufferRef) -> Vec<(u32, u32, u32, u32)> {
    buffer
        .iter_meta::<gst_video::VideoRegionOfInterestMeta>()
        .filter(|roi| roi.roi_type() == "anomaly")
        .map(|roi| roi.rect())
        .collect()
}

fn overlaps(a: (u32, u32, u32, u32), b: (u32, u32, u32, u32)) -> bool {
    a.0 < b.0 + b.2 && b.0 < a.0 + a.2 && a.1 < b.1 + b.3 && b.1 < a.1 + a.3
}

/// The values of the map, row by row without padding.
fn map_values(result: &gst::StructureRef) -> (u32, u32, Vec<u16>) {
    let sample = result.get::<gst::Sample>("map").unwrap();
    let caps = sample.caps().unwrap();
    assert_eq!(caps.structure(0).unwrap().get::<&str>("format").unwrap(), "GRAY16_LE");
    let info = gst_video::VideoInfo::from_caps(caps).unwrap();
    let buffer = sample.buffer().unwrap();
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    let stride = info.stride()[0] as usize;
    let rows = frame.plane_data(0).unwrap().chunks(stride).take(info.height() as usize);
    let row = |row: &[u8]| -> Vec<u16> {
        row[..info.width() as usize * 2].chunks_exact(2).map(|v| u16::from_le_bytes([v[0], v[1]])).collect()
    };
    let values = rows.flat_map(row).collect();
    (info.width(), info.height(), values)
}

fn core(bundle: &std::path::Path, image: &image::RgbImage, name: &str) -> Anomaly {
    let path = file(image, name);
    judge(open_shared(bundle).unwrap(), &load_picture(&path).unwrap(), &ScoreOptions::default()).unwrap()
}

#[test]
fn every_documented_field_says_what_the_core_says() {
    for (bundle, name, size) in [(square(), "square", (64, 64)), (wide(), "wide", (128, 96))] {
        let line = Line::playing(&chain(bundle), &info_of(&good(50)));
        for (number, image) in [(0, good(50)), (1, defective(51))] {
            let expected = core(bundle, &image, &format!("fields-{name}-{number}.png"));
            let sample = line.pass(&image, number);
            let buffer = sample.buffer().unwrap();
            let found = result(buffer).unwrap();
            assert_eq!(found.get::<f64>("score").unwrap(), expected.score);
            assert_eq!(found.get::<f64>("normalized").unwrap(), expected.normalized());
            assert_eq!(found.get::<f64>("threshold").unwrap(), expected.range.threshold);
            assert_eq!(found.get::<f64>("warn").ok(), expected.warn);
            assert!(expected.warn.is_some_and(|warn| warn <= expected.range.threshold));
            assert_eq!(found.get::<bool>("anomalous").unwrap(), number == 1);
            assert_eq!(found.get::<&str>("level").unwrap(), expected.level().name());
            assert_eq!(found.get::<&str>("level").unwrap() == "reject", number == 1);
            assert!(found.get::<bool>("fresh").unwrap());
            assert_eq!(found.get::<String>("model").unwrap(), name);
            assert_eq!(found.get::<String>("method").unwrap(), "cpr");

            let regions = structures(&found);
            assert_eq!(regions.len(), expected.regions.len());
            assert_eq!(regions.is_empty(), number == 0);
            for (region, expected) in regions.iter().zip(&expected.regions) {
                let rect = expected.rect;
                assert_eq!(place(region, ""), (rect.x, rect.y, rect.width, rect.height));
                assert_eq!(region.get::<f64>("score").unwrap(), expected.score);
                assert_eq!(region.get::<f64>("area").unwrap(), expected.area);
                assert!(rect.x + rect.width <= WIDTH && rect.y + rect.height <= HEIGHT);
            }
            assert_eq!(rois(buffer), regions.iter().map(|r| place(r, "")).collect::<Vec<_>>());
            if number == 1 {
                assert!(overlaps(place(&regions[0], ""), DEFECT), "{regions:?}");
            }

            let (width, height, values) = map_values(&found);
            assert_eq!((width, height), size);
            assert_eq!(place(&found, "map-"), (0, 0, WIDTH, HEIGHT));
            let (min, max) = (found.get::<f64>("map-min").unwrap(), found.get::<f64>("map-max").unwrap());
            assert_eq!((min, max), (expected.map_range.min, expected.map_range.max));
            for (&value, &raw) in values.iter().zip(expected.map.iter()) {
                let back = min + f64::from(value) / 65535.0 * (max - min);
                let raw = f64::from(raw).clamp(min, max);
                assert!((back - raw).abs() <= 1e-4 * (max - min), "{back} instead of {raw}");
            }
        }
    }
}

#[test]
fn map_and_regions_can_be_left_out_while_playing() {
    let image = defective(52);
    let line = Line::playing(&chain(square()), &info_of(&image));
    let score = line.element("score");
    let all = line.pass(&image, 0);
    assert!(
        result(all.buffer().unwrap()).unwrap().has_field("map") && !rois(all.buffer().unwrap()).is_empty()
    );
    score.set_property("attach-map", false);
    score.set_property("regions", false);
    let sample = line.pass(&image, 1);
    let found = result(sample.buffer().unwrap()).unwrap();
    for field in ["map", "map-min", "map-max", "map-x", "map-y", "map-width", "map-height"] {
        assert!(!found.has_field(field), "{field}");
    }
    assert!(rois(sample.buffer().unwrap()).is_empty());
    assert!(!structures(&found).is_empty(), "the regions themselves always are part of the result");
}

/// The result after `elements`, and before them.
fn after(elements: &str, image: &image::RgbImage) -> (gst::Structure, Option<gst::Structure>, gst::Sample) {
    let plain = Line::playing(&chain(wide()), &info_of(image)).pass(image, 0);
    let line = Line::playing(&format!("{} ! {elements}", chain(wide())), &info_of(image));
    line.push(pipeline::frame(image, 0));
    let sample = line.drain().remove(0);
    let found = result(sample.buffer().unwrap());
    (result(plain.buffer().unwrap()).unwrap(), found, sample)
}

#[test]
fn it_survives_copies() {
    let image = defective(53);
    let copies = [
        "identity",
        "queue",
        "videoconvert ! video/x-raw,format=I420",
        "videoconvert ! video/x-raw,format=BGRA",
        "tee name=t ! queue ! fakesink async=false t. ! queue ! identity drop-allocation=true",
        "videorate ! video/x-raw,framerate=10/1",
    ];
    for elements in copies {
        let (before, found, sample) = after(elements, &image);
        let found = found.unwrap_or_else(|| panic!("{elements}: the result is lost"));
        for field in ["score", "normalized", "threshold", "map-min", "map-max"] {
            assert_eq!(found.get::<f64>(field), before.get::<f64>(field), "{elements}");
        }
        assert_eq!(place(&found, "map-"), place(&before, "map-"), "{elements}");
        assert_eq!(map_values(&found), map_values(&before), "{elements}");
        let places = |s: &gst::StructureRef| structures(s).iter().map(|r| place(r, "")).collect::<Vec<_>>();
        assert_eq!(places(&found), places(&before), "{elements}");
        assert_eq!(rois(sample.buffer().unwrap()), places(&before), "{elements}");
    }
}

#[test]
fn scaling_moves_regions_and_the_place_of_the_map() {
    let image = defective(54);
    for (width, height) in [(2 * WIDTH, 3 * HEIGHT), (WIDTH / 2, HEIGHT / 2)] {
        let (before, found, _) =
            after(&format!("videoscale ! video/x-raw,width={width},height={height}"), &image);
        let found = found.expect("the result is lost");
        assert_eq!(place(&found, "map-"), (0, 0, width, height));
        let (across, down) = (f64::from(width) / f64::from(WIDTH), f64::from(height) / f64::from(HEIGHT));
        assert_eq!(structures(&found).len(), structures(&before).len());
        for (new, old) in structures(&found).iter().zip(structures(&before)) {
            let ((x, y, w, h), (ox, oy, ow, oh)) = (place(new, ""), place(&old, ""));
            let near =
                |new: u32, old: u32, ratio: f64| (f64::from(new) - f64::from(old) * ratio).abs() <= 1.0;
            assert!(near(x, ox, across) && near(y, oy, down), "{new:?} from {old:?}");
            assert!(near(x + w, ox + ow, across) && near(y + h, oy + oh, down), "{new:?} from {old:?}");
            let area = old.get::<f64>("area").unwrap() * across * down;
            assert!((new.get::<f64>("area").unwrap() - area).abs() < 1e-6 * area);
        }
    }
}

#[test]
fn turning_and_cropping_never_leave_wrong_places() {
    let image = defective(55);
    for elements in [
        "videoflip video-direction=90r",
        "videoflip video-direction=horiz",
        "videocrop left=40 top=6",
        "videobox left=-20",
    ] {
        let (before, found, _) = after(elements, &image);
        // Rectangles that nobody has adapted would point at the wrong part: no result is better.
        if let Some(found) = found {
            assert_ne!(place(&structures(&found)[0], ""), place(&structures(&before)[0], ""), "{elements}");
        }
    }
}

#[test]
fn only_every_nth_frame_is_computed_and_the_others_carry_its_result() {
    let line =
        Line::playing(&chain(square()).replace("adfeatures", "adfeatures interval=4"), &info_of(&good(60)));
    let mut seen = Vec::new();
    for number in 0..9 {
        let image = if number < 4 { good(60) } else { defective(61 + number) };
        let sample = line.pass(&image, number);
        let found = result(sample.buffer().unwrap()).unwrap();
        assert!(found.has_field("map"));
        seen.push((found.get::<bool>("fresh").unwrap(), found.get::<f64>("score").unwrap()));
        assert_eq!(found.get::<bool>("anomalous").unwrap(), number >= 4, "frame {number}");
        assert_eq!(rois(sample.buffer().unwrap()).is_empty(), number < 4, "frame {number}");
    }
    let fresh: Vec<bool> = seen.iter().map(|s| s.0).collect();
    assert_eq!(fresh, [true, false, false, false, true, false, false, false, true]);
    assert!(seen[1..4].iter().all(|s| s.1 == seen[0].1) && seen[5..8].iter().all(|s| s.1 == seen[4].1));
    assert_ne!(seen[8].1, seen[4].1);
    line.element("features").set_property("interval", 1u32);
    for number in 9..12 {
        let sample = line.pass(&good(60), number);
        assert!(result(sample.buffer().unwrap()).unwrap().get::<bool>("fresh").unwrap());
    }
}
