//! Whatever keeps a frame from being inspected, nothing says that its part is good: the table of docs/failures.md, row by row.
//!
//! Rows about brokers and processes are in publish_mqtt.rs and publish_kafka.rs, those of adaudit in audit.rs, that of a camera that is
//! connected anew in supervised.rs.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;
#[path = "common/results.rs"]
mod results;

use gst::prelude::*;
use gstanomaly::bundle::{BANK, GRAPH};
use gstanomaly::meta::AnomalyMeta;
use gstanomaly::network::onnx::{
    AttributeProto, AttributeType, DataType, ModelProto, NodeProto, TensorProto,
};
use image::{Rgb, RgbImage};
use pipeline::{Line, chain, failure_at_start, frame, info, info_of, wait_until};
use product::{HEIGHT, WIDTH, change_manifest, copy, defective, good, scratch, square};
use prost::Message;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A line that inspects and publishes, with evidence.
struct Inspection {
    line: Line,
    folder: tempfile::TempDir,
}

impl Inspection {
    /// `change` changes what stands before adpublish.
    fn of(bundle: &Path, change: impl FnOnce(String) -> String) -> Self {
        let folder = scratch();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let evidence = format!("adscore evidence-folder={}", place("evidence"));
        let description = change(chain(bundle).replace("adscore", &evidence));
        let publish = format!("adpublish name=publish file-path={}", place("results.jsonl"));
        let line = Line::playing(&format!("{description} ! {publish}"), &info_of(&good(1)));
        Self { line, folder }
    }

    fn judged(&self, image: &RgbImage, number: u64) -> AnomalyMeta {
        AnomalyMeta::get(self.line.pass(image, number).buffer().unwrap()).expect("it was inspected")
    }

    /// Ends it; what was published, and how many records of evidence there are.
    fn end(self) -> (Vec<Value>, usize) {
        self.line.pipeline.set_state(gst::State::Null).unwrap();
        let published = results::read(&self.folder.path().join("results.jsonl"));
        let evidence = std::fs::read_dir(self.folder.path().join("evidence")).unwrap();
        let complete = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().path().extension() == Some("json".as_ref())
        };
        (published, evidence.filter_map(|entry| complete(entry).then_some(())).count())
    }

    /// Pushes a frame that fails: none comes out, and an error says why; then nothing of it is anywhere.
    fn fails(self, image: gst::Buffer, words: &[&str]) {
        assert!(self.judged(&defective(1), 0).anomalous);
        self.line.push(image);
        let error = self.line.expect_error();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(
            self.line.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)).is_none(),
            "a frame came out"
        );
        let (published, evidence) = self.end();
        // The anomaly that was on has ended with the stop, not with a good part.
        assert_eq!((published.len(), &published[0]["level"]), (1, &"reject".into()));
        assert_eq!(evidence, 1);
    }
}

/// The states of messages, one after the other.
fn states(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["state"].as_str().unwrap()).collect()
}

fn white(number: u64) -> gst::Buffer {
    frame(&RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([255; 3])), number)
}

/// A copy of a bundle whose network fails in ONNX Runtime on a frame with a white pixel: it then looks for what a list of one does not have.
fn failing(folder: &Path) -> PathBuf {
    copy(square(), folder);
    let file = folder.join(GRAPH);
    let mut model = ModelProto::decode(std::fs::read(&file).unwrap().as_slice()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let float = |name: &str, dims: &[i64], value: f32| TensorProto {
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        name: Some(name.into()),
        raw_data: Some(value.to_le_bytes().to_vec()),
        ..Default::default()
    };
    graph.initializer.extend([float("fail_list", &[1], 0.0), float("fail_more", &[], 0.01)]);
    let int = |name: &str, value: i64| AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..Default::default()
    };
    let node = |op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
        op_type: Some(op.into()),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    };
    let picture = graph.input[0].name.clone().unwrap();
    let result = graph.output[0].name.clone().unwrap();
    for node in &mut graph.node {
        node.output
            .iter_mut()
            .chain(&mut node.input)
            .filter(|name| **name == result)
            .for_each(|name| *name = "fail_before".into());
    }
    // White is 1 in what the network sees, and other pixels are less.
    graph.node.extend([
        node("ReduceMax", &[&picture], "fail_largest", vec![int("keepdims", 0)]),
        node("Add", &["fail_largest", "fail_more"], "fail_rounded", vec![]),
        node("Cast", &["fail_rounded"], "fail_index", vec![int("to", DataType::Int64 as i64)]),
        node("Gather", &["fail_list", "fail_index"], "fail_zero", vec![]),
        node("Add", &["fail_before", "fail_zero"], &result, vec![]),
    ]);
    let bytes = model.encode_to_vec();
    std::fs::write(&file, &bytes).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    change_manifest(folder, |manifest| {
        manifest["files"][GRAPH] = serde_json::json!({"sha256": sha256, "bytes": bytes.len()});
    });
    folder.into()
}

#[test]
fn a_network_that_fails_or_a_device_that_is_lost() {
    let folder = scratch();
    Inspection::of(&failing(folder.path()), |chain| chain).fails(white(1), &[GRAPH, "Gather"]);
    let error = failure_at_start(
        &chain(square()).replace("adfeatures", "adfeatures device=cuda"),
        &info_of(&good(1)),
    );
    assert!(error.contains("device 'cuda' is not available"), "{error}");
}

#[test]
fn values_that_are_not_finite() {
    let folder = scratch();
    copy(square(), folder.path());
    change_manifest(folder.path(), |manifest| {
        manifest["input"]["std"] = serde_json::json!([1e-36, 1e-36, 1e-36])
    });
    let line = Line::playing(&chain(folder.path()), &info_of(&good(1)));
    line.push(frame(&good(1), 0));
    assert!(line.expect_error().contains("not finite"), "no score is made of them");
    assert!(line.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)).is_none());
    // A result of somebody else that has no score is none.
    for (score, normalized, threshold) in [(f64::NAN, 0.1, 10.0), (1.0, f64::NAN, 10.0), (1.0, 0.1, f64::NAN)]
    {
        let meta = AnomalyMeta { score, normalized, threshold, ..results::result(false, 4.0) };
        let buffer = results::judged(0, &meta);
        assert!(AnomalyMeta::get(&buffer).is_none());
    }
}

#[test]
fn a_bank_that_is_overwritten_or_cut_short_or_cannot_be_read() {
    let folder = scratch();
    let bundle = folder.path().join("b");
    copy(square(), &bundle);
    let inspection = Inspection::of(&bundle, |chain| chain);
    let before = inspection.judged(&defective(1), 0);
    let bytes = std::fs::read(bundle.join(BANK)).unwrap();
    for damaged in [vec![0xff; bytes.len()], bytes[..bytes.len() / 2].to_vec(), Vec::new()] {
        // In place, as cp does.
        std::fs::write(bundle.join(BANK), &damaged).unwrap();
        let after = inspection.judged(&defective(1), 1);
        assert_eq!((after.score, after.anomalous), (before.score, true));
        assert!(failure_at_start(&chain(&bundle), &info_of(&good(1))).contains(BANK));
    }
    std::fs::remove_file(bundle.join(BANK)).unwrap();
    assert!(failure_at_start(&chain(&bundle), &info_of(&good(1))).contains(BANK));
    let (published, _) = inspection.end();
    assert!(published.iter().all(|message| message["level"] == "reject"), "{published:?}");
}

#[test]
fn a_bundle_that_is_swapped_for_a_broken_one() {
    let folder = scratch();
    let broken = folder.path().join("broken");
    copy(square(), &broken);
    std::fs::write(broken.join(BANK), "nonsense").unwrap();
    let inspection = Inspection::of(square(), |chain| chain);
    let before = inspection.judged(&defective(1), 0);
    inspection.line.element("features").set_property("model", broken.to_str().unwrap());
    let warning = inspection.line.expect_warning();
    assert!(warning.contains("the old model stays") && warning.contains(BANK), "{warning}");
    let after = inspection.judged(&defective(1), 1);
    assert_eq!((after.score, after.anomalous, after.fresh), (before.score, true, true));
    assert_eq!(states(&inspection.end().0), ["enter", "update"]);
}

#[test]
fn a_part_of_the_frame_that_is_not_there_or_masked() {
    let inspection =
        Inspection::of(square(), |chain| chain.replace("adfeatures", "adfeatures roi=50,40,40,40"));
    inspection.line.pass(&defective(1), 0);
    inspection.line.src.set_caps(Some(&info(gst_video::VideoFormat::Rgb, 48, 40).to_caps().unwrap()));
    inspection.line.push(frame(&RgbImage::from_pixel(48, 40, Rgb([90; 3])), 1));
    let error = inspection.line.expect_error();
    assert!(error.contains("roi 50,40,40,40") && error.contains("48x40"), "{error}");
    assert_eq!(inspection.end().0.len(), 1);

    // A mask that leaves something of the frame, and nothing of the roi.
    let folder = scratch();
    let mask = folder.path().join("mask.png");
    image::GrayImage::from_fn(WIDTH, HEIGHT, |x, _| image::Luma([if x < WIDTH / 2 { 255 } else { 0 }]))
        .save(&mask)
        .unwrap();
    let masked = chain(square())
        .replace("adfeatures", "adfeatures roi=60,10,30,40")
        .replace("adscore", &format!("adscore ignore-mask={}", mask.display()));
    let line = Line::playing(&masked, &info_of(&good(1)));
    line.push(frame(&defective(1), 0));
    let error = line.expect_error();
    assert!(error.contains("ignore-mask") && error.contains("nothing would be inspected"), "{error}");
    assert!(line.sink.try_pull_sample(gst::ClockTime::from_mseconds(200)).is_none());
}

#[test]
fn a_frame_that_cannot_be_converted() {
    let mut short = gst::Buffer::with_size(100).unwrap();
    pipeline::stamp(&mut short, 1);
    Inspection::of(square(), |chain| chain).fails(short, &["cannot be read"]);
}

#[test]
fn frames_that_come_too_late_are_counted() {
    let folder = scratch();
    let path = folder.path().join("results.jsonl");
    let line = Line::playing(
        &format!("{} ! adpublish file-path={}", chain(square()), path.display()),
        &info_of(&good(1)),
    );
    let sink = line.sink.static_pad("sink").unwrap();
    let mut pushed = 1;
    line.pass(&good(1), 0);
    line.pipeline.state(pipeline::PATIENCE).0.unwrap();
    let clock = || line.pipeline.current_running_time().unwrap();
    let push = || {
        let mut buffer = frame(&good(1), 0);
        let now = clock();
        buffer.get_mut().unwrap().set_pts(now);
        line.push(buffer);
        now
    };
    // Somebody downstream says that all of them came too late.
    let times: Vec<gst::ClockTime> = (0..3).map(|_| push()).collect();
    times.iter().for_each(|_| drop(line.pull()));
    pushed += times.len();
    for at in times {
        sink.push_event(gst::event::Qos::new(gst::QOSType::Underflow, 1.0, 300_000_000, Some(at)));
    }
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(1500) {
        push();
        pushed += 1;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let last = line.drain();
    let skipped: u64 = last.iter().map(|sample| AnomalyMeta::skipped(sample.buffer().unwrap())).sum();
    let qos = line.messages(&[gst::MessageType::Qos]).len();
    line.pipeline.set_state(gst::State::Null).unwrap();
    let messages = results::read(&path);
    let told: u64 = messages.iter().filter_map(|message| message["skipped"].as_u64()).sum();
    assert!(qos > 10 && skipped > 10, "{qos} left out, {skipped} said");
    assert_eq!(skipped, told);
    // Every frame was inspected, is counted by one that was, or has come after the last that was and has its message on the bus.
    assert_eq!(messages.len() + qos, pushed);
    assert!(told <= qos as u64);
}

#[test]
fn a_result_that_is_lost_on_the_way() {
    for lost in ["videocrop left=8", "videoflip video-direction=180"] {
        let inspection = Inspection::of(square(), |chain| format!("{chain} ! {lost}"));
        for number in 0..3 {
            let sample = inspection.line.pass(&defective(1), number);
            assert!(AnomalyMeta::get(sample.buffer().unwrap()).is_none());
        }
        let warning = inspection.line.expect_warning();
        assert!(warning.contains("no result on the frame"), "{warning}");
        let (published, evidence) = inspection.end();
        assert_eq!((states(&published), &published[0]["level"]), (vec!["interrupted"], &"none".into()));
        assert_eq!(evidence, 1, "adscore has seen it");
    }
}

#[test]
fn a_source_that_is_connected_anew() {
    let inspection = Inspection::of(square(), |chain| chain);
    assert!(inspection.judged(&defective(1), 0).anomalous);
    let event =
        gst::event::CustomDownstream::new(gst::Structure::new_empty(gstanomaly::elements::INTERRUPTED));
    assert!(inspection.line.src.send_event(event));
    let mut ended = None;
    wait_until("the anomaly ends", || {
        ended = ended.take().or_else(|| {
            inspection.line.anomalies().into_iter().find(|a| a.get::<&str>("state") == Ok("end"))
        });
        ended.is_some()
    });
    assert_eq!(ended.unwrap().get::<&str>("reason"), Ok("interrupted"));
    assert!(inspection.judged(&defective(2), 1).anomalous);
    let (published, evidence) = inspection.end();
    assert_eq!(states(&published), ["enter", "interrupted", "resumed", "enter"]);
    assert_eq!((&published[1]["reason"], &published[3]["event"]["id"]), (&"interrupted".into(), &2.into()));
    assert_eq!(evidence, 2, "each anomaly has its own");
}

#[test]
fn a_frame_without_a_picture() {
    let inspection = Inspection::of(square(), |chain| chain);
    inspection.judged(&defective(1), 0);
    let mut empty = gst::Buffer::new();
    pipeline::stamp(&mut empty, 1);
    inspection.line.push(empty);
    assert!(AnomalyMeta::get(inspection.line.pull().buffer().unwrap()).is_none());
    assert_eq!(states(&inspection.end().0), ["enter"], "it says nothing, and ends nothing");
}

/// Every row of the table names a test that there is.
#[test]
fn the_table_names_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/failures.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && line.contains("tests/")).collect();
    assert!(rows.len() >= 12, "{page}");
    for row in rows {
        let named = row.rsplit('|').nth(1).unwrap();
        for test in named.split(", ") {
            let (file, name) =
                test.trim().trim_matches('`').split_once("::").unwrap_or_else(|| panic!("{row}"));
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(text.contains(&format!("fn {name}(")), "{file} has no test {name}");
        }
    }
}
