//! Which frames would come too late: they are left out before the network runs.
//!
//! What downstream reports says how late frames were that were let in long ago, with queues between even longer. Whether this one comes in
//! time can be known now: by the clock, by what the network takes, and by the latency that is announced to the pipeline.

use super::super::latency::Latency;
use gst::prelude::*;
use std::time::{Duration, Instant};

/// So often a frame is let in, however late: a stream that never catches up is still inspected.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What is known of the stream's timeliness.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Whether somebody downstream has ever reported on it: without that nobody shows frames by the clock.
    reported: bool,
    /// When a frame was let in last.
    last: Option<Instant>,
    admitted: u64,
    left_out: u64,
}

impl Admission {
    /// Somebody downstream has said whether a frame came in time.
    pub(super) fn report(&mut self) {
        self.reported = true;
    }

    /// The message about a frame that takes `cost` and cannot leave in time any more; `None` lets it in.
    pub(super) fn refuse(
        &mut self,
        element: &gst::Element,
        latency: &Latency,
        cost: gst::ClockTime,
        buffer: &gst::BufferRef,
        (running_time, stream_time): (Option<gst::ClockTime>, Option<gst::ClockTime>),
    ) -> Option<gst::Message> {
        let late = self.lateness(element, latency, cost, running_time);
        let waits = self.last.is_some_and(|last| last.elapsed() < AT_LEAST);
        let Some(late) = late.filter(|_| waits) else {
            self.admitted += 1;
            self.last = Some(Instant::now());
            return None;
        };
        self.left_out += 1;
        let count = gst::format::Default::from_u64;
        let message = gst::message::Qos::builder(latency.is_live())
            .src(element.upcast_ref::<gst::Object>())
            .running_time(running_time)
            .stream_time(stream_time)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(i64::try_from(late.nseconds()).unwrap_or(i64::MAX), 1.0, 1_000_000)
            .stats(count(self.admitted), count(self.left_out));
        Some(message.build())
    }

    /// How much later than is announced a frame would leave.
    fn lateness(
        &self,
        element: &gst::Element,
        latency: &Latency,
        cost: gst::ClockTime,
        running_time: Option<gst::ClockTime>,
    ) -> Option<gst::ClockTime> {
        // Before it plays no clock runs.
        if !self.reported || element.current_state() != gst::State::Playing {
            return None;
        }
        let (now, due) = (element.current_running_time()?, running_time? + latency.allowed());
        (now + cost).checked_sub(due).filter(|late| !late.is_zero())
    }
}
