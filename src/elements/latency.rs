//! How much later a frame leaves an element than it came in, told to live pipelines.
//!
//! Without this a synchronising sink behind a live source would find every inspected frame too late and drop it.

use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_base::subclass::prelude::*;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Share of the past in the running mean.
const MEMORY: f64 = 0.8;
/// What is announced, over what was measured: inference time varies.
const MARGIN: f64 = 1.5;

/// The processing time of an element.
#[derive(Debug, Default)]
pub(super) struct Latency(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    mean_ns: f64,
    announced_ns: f64,
    frames: u64,
    total_ns: f64,
}

impl Latency {
    /// Takes in the time that one frame took; true if a longer latency must be announced to the pipeline.
    pub(super) fn record(&self, took: Duration) -> bool {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let took = took.as_nanos() as f64;
        measured.mean_ns =
            if measured.frames == 0 { took } else { MEMORY * measured.mean_ns + (1.0 - MEMORY) * took };
        measured.frames += 1;
        measured.total_ns += took;
        let grown = measured.mean_ns > measured.announced_ns;
        if grown {
            measured.announced_ns = MARGIN * measured.mean_ns;
        }
        grown
    }

    /// Mean time of a frame in milliseconds, 0 before the first.
    pub(super) fn mean_ms(&self) -> f64 {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.frames == 0 { 0.0 } else { measured.total_ns / measured.frames as f64 / 1e6 }
    }

    /// The running mean of a frame's time, in which the last ones count most.
    pub(super) fn mean(&self) -> gst::ClockTime {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gst::ClockTime::from_nseconds(measured.mean_ns as u64)
    }

    /// Forgets everything, for a new stream.
    pub(super) fn reset(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Measured::default();
    }

    fn announced(&self) -> gst::ClockTime {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gst::ClockTime::from_nseconds(measured.announced_ns as u64)
    }

    /// Answers a latency query with upstream's answer plus our own time.
    pub(super) fn answer(&self, sink: &gst::Pad, query: &mut gst::query::Latency) -> bool {
        let mut upstream = gst::query::Latency::new();
        if !sink.peer_query(&mut upstream) {
            return false;
        }
        let (live, min, max) = upstream.result();
        let own = self.announced();
        query.set(live, min + own, max.map(|max| max + own));
        true
    }
}

/// Measures `work` on behalf of `element` and has the pipeline recompute its latency when that has grown.
pub(super) fn timed<E, T>(element: &E, latency: &Latency, work: impl FnOnce() -> T) -> T
where
    E: BaseTransformImpl + ObjectSubclass<Type: IsA<gst::Element>>,
{
    let start = std::time::Instant::now();
    let result = work();
    if latency.record(start.elapsed()) {
        let object = element.obj();
        // Without a bus there is nobody who would redistribute the latency.
        let _ = object.post_message(gst::message::Latency::builder().src(&*object).build());
    }
    result
}
