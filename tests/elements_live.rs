//! Live pipelines: late frames, latency, seeks, pauses, and being started again and again.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::methods::fitting::Foreground;
use pipeline::{PATIENCE, chain, init, result, text, wait_until};
use product::square;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A pipeline that is torn down when the test ends.
struct Running(gst::Pipeline);

impl Running {
    fn new(description: &str) -> Self {
        init();
        Self(gst::parse::launch(description).unwrap().downcast().unwrap())
    }

    fn set(&self, state: gst::State) {
        self.0.set_state(state).unwrap_or_else(|e| panic!("{e}: {:?}", self.failure()));
        let (result, reached, _) = self.0.state(PATIENCE);
        result.unwrap_or_else(|e| panic!("{e}: {:?}", self.failure()));
        assert_eq!(reached, state);
    }

    fn failure(&self) -> Option<String> {
        self.0.bus().unwrap().pop_filtered(&[gst::MessageType::Error]).as_ref().map(text)
    }

    fn wait_for_end(&self) {
        let kinds = [gst::MessageType::Eos, gst::MessageType::Error];
        let message =
            self.0.bus().unwrap().timed_pop_filtered(PATIENCE, &kinds).expect("the stream does not end");
        assert_eq!(message.type_(), gst::MessageType::Eos, "{}", text(&message));
    }

    /// Calls `seen` with every buffer that reaches the sink.
    fn watch(&self, seen: impl Fn(&gst::BufferRef) + Send + Sync + 'static) {
        let pad = self.0.by_name("out").unwrap().static_pad("sink").unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            seen(info.buffer().unwrap());
            gst::PadProbeReturn::Ok
        });
    }

    fn count(&self) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = count.clone();
        self.watch(move |buffer| {
            assert!(result(buffer).is_some(), "a frame without a result");
            counted.fetch_add(1, Ordering::Relaxed);
        });
        count
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A pipeline that is dropped while it runs brings the process down.
        let _ = self.0.set_state(gst::State::Null);
    }
}

fn live(rate: u32, elements: &str, sink: &str) -> Running {
    Running::new(&format!(
        "videotestsrc name=camera is-live=true ! video/x-raw,format=I420,width=96,height=80,framerate={rate}/1 ! {elements} ! fakesink name=out {sink}"
    ))
}

#[test]
fn a_live_pipeline_can_be_paused_and_goes_on() {
    let pipeline = live(30, &chain(square()), "sync=true");
    let count = pipeline.count();
    for _ in 0..3 {
        pipeline.0.set_state(gst::State::Playing).unwrap();
        let before = count.load(Ordering::Relaxed);
        wait_until("frames", || count.load(Ordering::Relaxed) >= before + 5);
        pipeline.0.set_state(gst::State::Paused).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        let paused = count.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(count.load(Ordering::Relaxed), paused, "frames come while it is paused");
    }
    pipeline.0.set_state(gst::State::Playing).unwrap();
    pipeline.0.send_event(gst::event::Eos::new());
    pipeline.wait_for_end();
}

/// A film of 60 frames as a file that can be sought.
fn film() -> std::path::PathBuf {
    let path = product::FOLDER.join("film.mkv");
    let writer = Running::new(&format!(
        "videotestsrc num-buffers=60 pattern=ball ! video/x-raw,format=I420,width=96,height=80,framerate=20/1 ! jpegenc ! matroskamux ! filesink location={}",
        path.display()
    ));
    writer.0.set_state(gst::State::Playing).unwrap();
    writer.wait_for_end();
    path
}

#[test]
fn seeking_in_a_file_gives_fresh_results_at_the_new_place() {
    let description = chain(square()).replace("adfeatures", "adfeatures interval=1000");
    for description in [description.clone(), description.replace(" ! ", " ! queue ! ")] {
        let pipeline = Running::new(&format!(
            "filesrc location={} ! matroskademux ! jpegdec ! {description} ! fakesink name=out sync=false",
            film().display()
        ));
        let seen: Arc<Mutex<Vec<(u64, bool)>>> = Arc::default();
        let kept = seen.clone();
        pipeline.watch(move |buffer| {
            let fresh = result(buffer).expect("a frame without a result").get("fresh").unwrap();
            kept.lock().unwrap().push((buffer.pts().unwrap().mseconds(), fresh));
        });
        pipeline.set(gst::State::Paused);
        for target in [2000, 500, 1000, 0, 2500] {
            // A flushing seek brings the sink to another preroll: the first frame after it is there when this returns.
            seen.lock().unwrap().clear();
            let place = target * gst::ClockTime::MSECOND;
            pipeline.0.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, place).unwrap();
            pipeline.set(gst::State::Paused);
            let seen = seen.lock().unwrap();
            let (at, fresh) = seen[0];
            assert!(at >= target && at <= target + 100, "{seen:?} after a seek to {target}");
            assert!(fresh, "the frame at {at} carries a result from before the seek");
        }
        // Many seeks while it plays, some of which meet a frame on its way.
        pipeline.set(gst::State::Playing);
        for i in 0..30 {
            let place = (i * 37 % 25) * 100 * gst::ClockTime::MSECOND;
            pipeline.0.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, place).unwrap();
            std::thread::sleep(Duration::from_millis(i % 7));
        }
        pipeline.wait_for_end();
    }
}

#[test]
fn it_can_be_started_and_stopped_fifty_times() {
    let pipeline = Running::new(&format!(
        "videotestsrc ! video/x-raw,format=I420,width=96,height=80 ! {} ! fakesink name=out sync=false",
        chain(square()).replace(" ! ", " ! queue ! ")
    ));
    let count = pipeline.count();
    for cycle in 0..50 {
        let before = count.load(Ordering::Relaxed);
        pipeline.set(gst::State::Playing);
        if cycle % 2 == 0 {
            wait_until("a frame", || count.load(Ordering::Relaxed) > before);
        }
        pipeline.set(gst::State::Null);
        assert!(pipeline.failure().is_none());
    }
}

#[test]
fn the_latency_query_tells_the_time_that_inspection_takes() {
    let pipeline = live(10, &chain(square()), "sync=true");
    let count = pipeline.count();
    pipeline.0.set_state(gst::State::Playing).unwrap();
    wait_until("frames", || count.load(Ordering::Relaxed) >= 5);
    let latency_at = |element: &str| {
        let mut query = gst::query::Latency::new();
        let pad = pipeline.0.by_name(element).unwrap().static_pad("src").unwrap();
        assert!(pad.query(&mut query), "{element} does not answer");
        query.result()
    };
    let (live, camera, _) = latency_at("camera");
    assert!(live);
    let mut before = camera;
    for element in ["features", "retrieve", "score"] {
        let (live, min, max) = latency_at(element);
        println!("{element}: {min} to {max:?}");
        assert!(live && min > before, "{element}: {min} after {before}");
        assert!(max.is_none_or(|max| max >= min));
        before = min;
    }
    let mean = pipeline.0.by_name("features").unwrap().property::<f64>("inference-time");
    let whole = (before - camera).useconds() as f64 / 1000.0;
    assert!(whole > 0.3 * mean && whole < 2000.0, "{whole} ms for a network that takes {mean} ms");
}

#[test]
fn late_frames_are_skipped_and_the_delay_does_not_grow() {
    // One thread on a larger input is far slower than 200 frames a second.
    let slow = product::fit("slow", (512, 512), Foreground::Off);
    let elements = chain(&slow).replace("adfeatures", "adfeatures threads=1");
    for elements in [elements.clone(), elements.replace(" ! ", " ! queue max-size-buffers=2 ! ")] {
        let pipeline = live(200, &elements, "sync=true qos=true");
        let produced = Arc::new(AtomicU64::new(0));
        let counted = produced.clone();
        pipeline.0.by_name("camera").unwrap().static_pad("src").unwrap().add_probe(
            gst::PadProbeType::BUFFER,
            move |_, _| {
                counted.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            },
        );
        let delays: Arc<Mutex<Vec<f64>>> = Arc::default();
        let (kept, clocked) = (delays.clone(), pipeline.0.clone());
        pipeline.watch(move |buffer| {
            if let (Some(now), Some(pts)) = (clocked.current_running_time(), buffer.pts()) {
                kept.lock().unwrap().push(now.saturating_sub(pts).useconds() as f64 / 1000.0);
            }
        });
        pipeline.0.set_state(gst::State::Playing).unwrap();
        let end = Instant::now() + Duration::from_secs(6);
        let bus = pipeline.0.bus().unwrap();
        while Instant::now() < end {
            // As every application does for a live pipeline.
            let timeout = gst::ClockTime::from_mseconds(20);
            match bus.timed_pop_filtered(timeout, &[gst::MessageType::Latency, gst::MessageType::Error]) {
                Some(message) if message.type_() == gst::MessageType::Error => panic!("{}", text(&message)),
                Some(_) => pipeline.0.recalculate_latency().unwrap(),
                None => (),
            }
        }
        let delays = delays.lock().unwrap();
        let produced = produced.load(Ordering::Relaxed);
        assert!(delays.len() > 8, "only {} frames of {produced} came through", delays.len());
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let third = delays.len() / 3;
        let (middle, last) = (mean(&delays[third..2 * third]), mean(&delays[2 * third..]));
        println!("{} of {produced} frames inspected, delay {middle:.0} ms, then {last:.0} ms", delays.len());
        assert!(
            (delays.len() as u64) < produced / 2,
            "too few frames were skipped: {} of {produced}",
            delays.len()
        );
        assert!(last < 1.5 * middle + 100.0, "the delay grows: {delays:?}");
        assert!(last < 1500.0, "{delays:?}");
    }
}
