//! Streams that are cut while an anomaly is on, and frames that are repeated.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;
#[path = "common/results.rs"]
mod results;

use gst::prelude::*;
use gst_check::Harness;
use pipeline::{chain, frame, info_of, init, stamp};
use product::{defective, good, scratch, square};
use serde_json::Value;
use std::path::Path;

/// An element or several, with a bus of their own and events by hand.
struct Bench {
    harness: Harness,
    bus: gst::Bus,
}

impl Bench {
    fn new(description: &str, caps: &gst::Caps) -> Self {
        init();
        let harness = Harness::new_parse(description);
        let bus = gst::Bus::new();
        harness.element().unwrap().set_bus(Some(&bus));
        let mut bench = Self { harness, bus };
        bench.harness.set_src_caps(caps.clone());
        bench
    }

    fn pass(&mut self, buffer: gst::Buffer) -> gst::Buffer {
        self.harness.push_and_pull(buffer).unwrap()
    }

    /// A flushing seek to `seconds`, as a demuxer answers it.
    fn seek(&mut self, seconds: u64) {
        assert!(self.harness.push_event(gst::event::FlushStart::new()));
        assert!(self.harness.push_event(gst::event::FlushStop::new(true)));
        self.segment(seconds);
    }

    fn segment(&mut self, seconds: u64) {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        let place = seconds * gst::ClockTime::SECOND;
        segment.set_start(place);
        segment.set_time(place);
        assert!(self.harness.push_event(gst::event::Segment::new(&segment)));
    }

    fn stream(&mut self, id: &str, seconds: u64, caps: &gst::Caps) {
        assert!(self.harness.push_event(gst::event::StreamStart::new(id)));
        assert!(self.harness.push_event(gst::event::Caps::new(caps)));
        self.segment(seconds);
    }

    /// State and reason of the anomaly messages so far.
    fn told(&self) -> Vec<String> {
        std::iter::from_fn(|| self.bus.pop())
            .filter_map(|message| message.structure().map(ToOwned::to_owned))
            .filter(|structure| structure.name() == "anomaly")
            .map(|structure| {
                let state = structure.get::<String>("state").unwrap();
                let reason = structure.get::<String>("reason").map(|reason| format!(" {reason}"));
                format!("{state}{}", reason.unwrap_or_default())
            })
            .collect()
    }
}

fn caps() -> gst::Caps {
    info_of(&good(1)).to_caps().unwrap()
}

#[test]
fn an_anomaly_ends_where_the_stream_is_cut() {
    let caps = caps();
    let mut bench = Bench::new(&chain(square()).replace("adscore", "adscore hold=2"), &caps);
    let bad = |number| frame(&defective(70), number);
    for number in 0..3 {
        bench.pass(bad(number));
    }
    assert_eq!(bench.told(), ["enter"]);
    bench.seek(0);
    assert_eq!(bench.told(), ["end seek"]);
    // A new anomaly, which must last as long as any.
    bench.pass(bad(0));
    assert!(bench.told().is_empty());
    bench.pass(bad(1));
    assert_eq!(bench.told(), ["enter"]);
    bench.stream("another camera", 0, &caps);
    assert_eq!(bench.told(), ["end new-stream"]);
    (0..2).for_each(|number| drop(bench.pass(bad(number))));
    // Without a flush, to another place, and on from where it was.
    bench.segment(0);
    assert_eq!(bench.told(), ["enter"]);
    bench.segment(100);
    assert_eq!(bench.told(), ["end seek"]);
    (1000..1002).for_each(|number| drop(bench.pass(bad(number))));
    assert_eq!(bench.told(), ["enter"]);
    bench.harness.push_event(gst::event::Eos::new());
    assert_eq!(bench.told(), ["end end-of-stream"]);
    drop(bench.harness);
}

#[test]
fn nothing_ends_that_has_not_begun() {
    let caps = caps();
    let mut bench = Bench::new(&chain(square()), &caps);
    for (number, image) in [(0, good(70)), (1, defective(70)), (2, good(70))] {
        bench.pass(frame(&image, number));
    }
    assert_eq!(bench.told(), ["enter", "leave"]);
    bench.seek(0);
    bench.stream("another", 0, &caps);
    bench.harness.push_event(gst::event::Eos::new());
    assert!(bench.told().is_empty());
    // Whoever wants no messages gets none.
    let mut quiet = Bench::new(&chain(square()).replace("adscore", "adscore messages=none"), &caps);
    quiet.pass(frame(&defective(70), 0));
    quiet.seek(0);
    assert!(quiet.told().is_empty());
}

#[test]
fn evidence_of_an_anomaly_ends_with_it() {
    let folder = scratch();
    let line =
        chain(square()).replace("adscore", &format!("adscore evidence-folder={}", folder.path().display()));
    let mut bench = Bench::new(&line, &caps());
    for _ in 0..3 {
        (0..2).for_each(|number| drop(bench.pass(frame(&defective(70), number))));
        bench.seek(0);
    }
    drop(bench);
    let mut events: Vec<u64> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| {
            serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap()["event"].as_u64().unwrap()
        })
        .collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events, [1, 2, 3]);
}

fn publishing(path: &Path) -> (Bench, gst::Caps) {
    let caps = results::info().to_caps().unwrap();
    let description = format!("adpublish events=transitions file-path={}", path.display());
    (Bench::new(&description, &caps), caps)
}

#[test]
fn what_is_published_ends_where_the_stream_is_cut() {
    let folder = scratch();
    let path = folder.path().join("events.jsonl");
    let (mut bench, caps) = publishing(&path);
    let bad = |number| results::bad(number, 15.0);
    bench.pass(bad(300));
    bench.pass(bad(301));
    bench.seek(2);
    bench.pass(bad(20));
    bench.stream("another camera", 0, &caps);
    bench.pass(bad(1));
    bench.segment(500);
    bench.pass(bad(5000));
    bench.pass(results::good(5001));
    bench.pass(bad(5002));
    drop(bench);
    let messages = results::read(&path);
    let told: Vec<(&str, &str, u64, u64)> = messages
        .iter()
        .map(|m| {
            let event = &m["event"];
            let frames = event["frames"].as_u64().unwrap();
            (
                m["state"].as_str().unwrap(),
                m["reason"].as_str().unwrap_or(""),
                event["id"].as_u64().unwrap(),
                frames,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("enter", "", 1, 1),
            ("end", "seek", 1, 2),
            ("enter", "", 2, 1),
            ("end", "new-stream", 2, 1),
            ("enter", "", 3, 1),
            ("end", "seek", 3, 1),
            ("enter", "", 4, 1),
            ("leave", "", 4, 1),
            ("enter", "", 5, 1),
            ("end", "stop", 5, 1),
        ]
    );
    // No anomaly ends before it begins.
    for message in messages {
        let (start, at) = (message["event"]["start_stream_time"].as_u64(), message["stream_time"].as_u64());
        assert!(start <= at, "{message}");
    }
}

/// The same frame once more, as videorate makes it.
fn again(buffer: &gst::Buffer, number: u64) -> gst::Buffer {
    let mut copy = buffer.copy();
    stamp(&mut copy, number);
    copy.get_mut().unwrap().set_flags(gst::BufferFlags::GAP);
    copy
}

fn fresh(buffer: &gst::BufferRef) -> bool {
    pipeline::result(buffer).expect("a frame without a result").get("fresh").unwrap()
}

#[test]
fn a_repeated_frame_has_the_result_that_it_had() {
    for interval in [1, 2] {
        let line = chain(square()).replace("adfeatures", &format!("adfeatures interval={interval}"));
        let mut bench = Bench::new(&line, &caps());
        let mut number = 0;
        for (index, image) in [good(60), defective(61), defective(62), good(63)].iter().enumerate() {
            let original = frame(image, number);
            let first = bench.pass(original.clone());
            assert_eq!(fresh(&first), index % interval == 0, "the {index}th of every {interval}");
            for _ in 0..3 {
                number += 1;
                let copy = bench.pass(again(&original, number));
                assert!(!fresh(&copy));
                let get =
                    |buffer: &gst::BufferRef| pipeline::result(buffer).unwrap().get::<f64>("score").unwrap();
                assert_eq!(get(&copy), get(&first));
            }
            number += 1;
        }
    }
}

#[test]
fn a_frame_that_is_not_the_one_before_is_inspected() {
    let mut bench = Bench::new(&chain(square()), &caps());
    let original = frame(&defective(61), 0);
    // What fills a gap may be the first frame, or another picture.
    assert!(fresh(&bench.pass(again(&original, 0))));
    assert!(fresh(&bench.pass(again(&frame(&good(61), 0), 1))));
    // The same memory without the flag may have been written to meanwhile.
    assert!(fresh(&bench.pass(original.copy())));
    assert!(fresh(&bench.pass(original.copy())));
    assert!(!fresh(&bench.pass(again(&original, 2))));
    // After a cut there is nothing before.
    bench.seek(0);
    assert!(fresh(&bench.pass(again(&original, 0))));
}

#[test]
fn repeated_frames_of_videorate_count_once() {
    let folder = scratch();
    let path = folder.path().join("events.jsonl");
    let line = pipeline::Line::playing(
        &format!(
            "videorate ! video/x-raw,framerate=60/1 ! queue ! {} ! adpublish events=transitions file-path={}",
            chain(square()),
            path.display()
        ),
        &info_of(&good(1)),
    );
    for number in 0..10 {
        let image = if (3..7).contains(&number) { defective(70 + number) } else { good(70 + number) };
        line.push(frame(&image, number));
    }
    let samples = line.drain();
    let inspected = samples.iter().filter(|sample| fresh(sample.buffer().unwrap())).count();
    assert!(samples.len() >= 50 && inspected == 10, "{inspected} of {}", samples.len());
    let messages = results::read(&path);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1]["event"]["frames"], 4);
}
