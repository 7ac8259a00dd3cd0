//! Memory stays flat, however many frames pass. Alone in its process, since that is what is measured.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use pipeline::{PATIENCE, chain, init, text};
use product::square;
use std::sync::{Arc, Mutex};

/// Growth that is no leak: the allocator's own doing.
const SLACK_KB: u64 = 4 * 1024;

/// Resident memory of this process in kB.
fn resident_kb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

fn run(frames: u64) {
    init();
    let elements =
        chain(square()).replace("adscore", "adscore messages=all threshold=1").replace(" ! ", " ! queue ! ");
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,format=I420,width=96,height=80 ! {elements} ! fakesink name=out sync=false"
    ))
    .unwrap()
    .downcast::<gst::Pipeline>()
    .unwrap();
    let sampled: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (kept, mut count) = (sampled.clone(), 0);
    let every = frames / 20;
    let count_frame = Mutex::new(move || {
        count += 1;
        if count % every == 0 {
            kept.lock().unwrap().push(resident_kb());
        }
    });
    pipeline.by_name("out").unwrap().static_pad("sink").unwrap().add_probe(
        gst::PadProbeType::BUFFER,
        move |_, _| {
            count_frame.lock().unwrap()();
            gst::PadProbeReturn::Ok
        },
    );
    pipeline.set_state(gst::State::Playing).unwrap();
    let start = std::time::Instant::now();
    // Messages are taken as they come: a bus that nobody reads grows.
    loop {
        let message = pipeline.bus().unwrap().timed_pop(PATIENCE).expect("nothing happens");
        match message.type_() {
            gst::MessageType::Eos => break,
            gst::MessageType::Error => panic!("{}", text(&message)),
            _ => (),
        }
    }
    pipeline.set_state(gst::State::Null).unwrap();
    let sampled = sampled.lock().unwrap();
    println!("{frames} frames in {:.1} s, resident kB: {sampled:?}", start.elapsed().as_secs_f64());
    assert_eq!(sampled.len(), 20);
    let (warm, end) = (sampled[4], sampled[19]);
    assert!(end <= warm + SLACK_KB, "resident memory has grown from {warm} kB to {end} kB: {sampled:?}");
}

#[test]
fn memory_stays_flat_over_ten_thousand_frames() {
    run(10_000);
}
