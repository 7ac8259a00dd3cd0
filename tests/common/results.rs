//! Frames with results on them as adscore attaches them, made by hand, and the lines that publish them.

#![allow(dead_code, reason = "no test needs all of it")]

use crate::pipeline::{self, Line};
use gst::prelude::*;
use gstanomaly::meta::{AnomalyMeta, RegionInfo};
use serde_json::Value;
use std::path::Path;

pub const WIDTH: u32 = 32;
pub const HEIGHT: u32 = 24;

/// The format of the frames.
pub fn info() -> gst_video::VideoInfo {
    pipeline::info(gst_video::VideoFormat::Gray8, WIDTH, HEIGHT)
}

/// The result of a frame; the score of an anomalous one is above the threshold of 10, and from 6 on others are in warn.
pub fn result(anomalous: bool, score: f64) -> AnomalyMeta {
    let region = RegionInfo { x: 1, y: 2, width: 3, height: 4, score: 0.75, area: 9.5 };
    AnomalyMeta {
        score,
        normalized: (score / 20.0).clamp(0.0, 1.0),
        threshold: 10.0,
        warn: Some(6.0),
        anomalous,
        fresh: true,
        model: "bottle".into(),
        method: "cpr".into(),
        regions: if anomalous { vec![region] } else { Vec::new() },
        ..AnomalyMeta::default()
    }
}

/// Frame `number` without a result.
pub fn plain(number: u64) -> gst::Buffer {
    let mut buffer = gst::Buffer::with_size(info().size()).unwrap();
    pipeline::stamp(&mut buffer, number);
    buffer
}

/// Frame `number` with a result.
pub fn judged(number: u64, result: &AnomalyMeta) -> gst::Buffer {
    let mut buffer = plain(number);
    result.attach(buffer.get_mut().unwrap()).unwrap();
    buffer
}

/// Frame `number`, a good one.
pub fn good(number: u64) -> gst::Buffer {
    judged(number, &result(false, 4.0))
}

/// Frame `number`, a bad one.
pub fn bad(number: u64, score: f64) -> gst::Buffer {
    judged(number, &result(true, score))
}

/// A running line with an `adpublish` of these properties.
pub fn publishing(properties: &str) -> Line {
    Line::playing(&format!("adpublish name=publish {properties}"), &info())
}

/// Messages that were published and dropped.
pub fn counts(line: &Line) -> (u64, u64) {
    let publish = line.element("publish");
    (publish.property("published"), publish.property("dropped"))
}

/// What stopping takes.
pub fn stop(line: &Line) -> std::time::Duration {
    let start = std::time::Instant::now();
    line.pipeline.set_state(gst::State::Null).unwrap();
    start.elapsed()
}

/// The objects of JSON lines, each one as the schema wants it.
pub fn messages(text: &str) -> Vec<Value> {
    let messages: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    messages.iter().for_each(check);
    messages
}

/// The objects in a file of JSON lines.
pub fn read(path: &Path) -> Vec<Value> {
    messages(&std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// Checks a message against `docs/publish.schema.json`, and that the schema names all that is in it.
pub fn check(message: &Value) {
    static SCHEMA: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| {
        serde_json::from_str(include_str!("../../docs/publish.schema.json")).unwrap()
    });
    let validator = jsonschema::options().should_validate_formats(true).build(&SCHEMA).unwrap();
    if let Err(e) = validator.validate(message) {
        panic!("{e} at {}: {message}", e.instance_path());
    }
    let known = |value: &Value, schema: &Value| {
        for key in value.as_object().unwrap().keys() {
            assert!(schema["properties"].get(key).is_some(), "{key} is not in the schema");
        }
    };
    known(message, &SCHEMA);
    let regions = message.get("regions").and_then(Value::as_array);
    regions.into_iter().flatten().for_each(|region| known(region, &SCHEMA["$defs"]["region"]));
    if let Some(event) = message.get("event").filter(|event| !event.is_null()) {
        known(event, &SCHEMA["$defs"]["event"]);
    }
}

/// The frame numbers of messages.
pub fn frames(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["frame"].as_u64().unwrap()).collect()
}
