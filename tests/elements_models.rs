//! Changing the model while playing, and sharing it between streams.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::bundle::open_shared;
use gstanomaly::methods::fitting::Foreground;
use pipeline::{Line, chain, info_of, result, wait_until};
use product::{copy, defective, good, scratch, square, wide};
use std::sync::Arc;

fn model_of(sample: &gst::Sample) -> String {
    result(sample.buffer().unwrap()).unwrap().get("model").unwrap()
}

/// Sends frames until one is judged by the model called `name`; every frame comes out.
fn until_model(line: &Line, number: &mut u64, name: &str) {
    wait_until(&format!("model {name}"), || {
        *number += 1;
        model_of(&line.pass(&defective(80), *number)) == name
    });
}

#[test]
fn a_new_model_takes_over_between_two_frames() {
    for bin in [false, true] {
        let description = if bin {
            format!("addetect name=features model={}", square().display())
        } else {
            chain(square())
        };
        let line = Line::playing(&description, &info_of(&good(1)));
        let features = line.element("features");
        let mut number = 0;
        until_model(&line, &mut number, "square");
        for (bundle, name) in [(wide(), "wide"), (square(), "square"), (wide(), "wide")] {
            features.set_property("model", bundle.to_str().unwrap());
            until_model(&line, &mut number, name);
            let score = pipeline::score(&line.pass(&good(81), number + 1));
            number += 1;
            let path = product::file(&good(81), &format!("model-{bin}-{name}.png"));
            assert_eq!(score, product::judge_file(bundle, &path).score);
        }
        assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());
    }
}

#[test]
fn a_model_that_cannot_be_opened_leaves_the_old_one_in_use() {
    let line = Line::playing(&chain(square()), &info_of(&good(1)));
    let features = line.element("features");
    let mut number = 0;
    for bad in [Some("/nonexistent/part.bundle"), Some("/dev/null"), Some(""), None] {
        features.set_property("model", bad);
        let warning = line.expect_warning();
        assert!(
            warning.contains("the old model stays") && warning.contains(bad.unwrap_or("model")),
            "{warning}"
        );
        until_model(&line, &mut number, "square");
        assert_eq!(features.property::<String>("model"), square().to_str().unwrap());
    }
    assert!(line.error().is_none());
}

#[test]
fn of_several_rapid_changes_the_last_one_wins() {
    let line = Line::playing(&chain(square()), &info_of(&good(1)));
    let features = line.element("features");
    let (square_path, wide_path) = (square().to_str().unwrap(), wide().to_str().unwrap());
    let mut number = 0;
    for path in [wide_path, "/nonexistent", square_path, wide_path, square_path, "/nonexistent", wide_path] {
        features.set_property("model", path);
    }
    until_model(&line, &mut number, "wide");
    for _ in 0..20 {
        number += 1;
        assert_eq!(model_of(&line.pass(&good(2), number)), "wide");
    }
    assert_eq!(features.property::<String>("model"), wide_path);

    // Where the last one is bad, what runs stays, and the property names it.
    line.messages(&[gst::MessageType::Warning]);
    for path in [square_path, "/nonexistent/one", "/nonexistent/two"] {
        features.set_property("model", path);
    }
    wait_until("the property", || features.property::<String>("model") == wide_path);
    number += 1;
    assert_eq!(model_of(&line.pass(&good(2), number)), "wide");
    assert!(line.expect_warning().contains("the old model stays"));
}

#[test]
fn a_bundle_replaced_on_disk_is_opened_anew() {
    let folder = scratch();
    let path = folder.path().join("part.bundle");
    copy(square(), &path);
    let line = Line::playing(&chain(&path), &info_of(&good(1)));
    let old = open_shared(&path).unwrap();
    assert!(Arc::ptr_eq(&old, &open_shared(&path).unwrap()));
    let mut number = 0;
    until_model(&line, &mut number, "square");

    let new = folder.path().join("new.bundle");
    copy(wide(), &new);
    std::fs::rename(&path, folder.path().join("old.bundle")).unwrap();
    std::fs::rename(&new, &path).unwrap();
    assert!(!Arc::ptr_eq(&old, &open_shared(&path).unwrap()));
    number += 1;
    assert_eq!(model_of(&line.pass(&good(1), number)), "square", "what runs is not disturbed");
    line.element("features").set_property("model", path.to_str().unwrap());
    until_model(&line, &mut number, "wide");
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn four_streams_hold_one_copy_of_the_bundle() {
    // Of a size that shows: the network's weights and buffers are much larger than what a stream needs.
    let path = product::fit("large", (256, 256), Foreground::Off);
    let image = image::imageops::resize(&good(1), 64, 64, image::imageops::FilterType::Nearest);
    let bundle = open_shared(&path).unwrap();
    let alone = Arc::strong_count(&bundle);
    let mut lines = Vec::new();
    let mut grown = Vec::new();
    for stream in 0..4 {
        let before = resident();
        let line = Line::playing(&chain(&path), &info_of(&image));
        line.pass(&image, 0);
        grown.push(resident().saturating_sub(before));
        lines.push(line);
        assert!(Arc::strong_count(&bundle) > alone + stream, "stream {stream} has a copy of its own");
    }
    println!("resident memory grown by stream: {grown:?}");
    drop(lines);
    assert_eq!(Arc::strong_count(&bundle), alone, "a stream that has stopped still holds the bundle");
    let held = Arc::downgrade(&bundle);
    drop(bundle);
    assert!(held.upgrade().is_none(), "the registry keeps a bundle that nobody uses");
}
