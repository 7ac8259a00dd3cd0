//! Which frames would come too late: they are left out before the network runs.
//!
//! Downstream reports how early or late each frame was. That of a frame is compared with when it left here, so that it is known how long
//! after its running time a frame may leave: the pipeline's latency less what the way down takes, with the queues. Whether another frame
//! can leave by then is known before the network runs.

use gst::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So often a frame is let in, however late: a stream that never catches up is still inspected.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Frames on their way that are remembered until they are reported.
const ON_THE_WAY: usize = 64;
/// Reports that count; of so few the middle one, which a single slow frame does not move.
const REPORTS: usize = 5;

/// What is known of the stream's timeliness. Times are nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Running times of frames, with how long after them they left.
    on_the_way: VecDeque<(gst::ClockTime, i64)>,
    /// How long after its running time a frame may have left, by each of the last reports.
    allowed: VecDeque<i64>,
    /// When a frame was let in last.
    last: Option<Instant>,
    admitted: u64,
    left_out: u64,
}

impl Admission {
    /// A frame leaves.
    pub(super) fn leave(&mut self, element: &gst::Element, running_time: Option<gst::ClockTime>) {
        let Some((running_time, delay)) = running_time.zip(delay(element, running_time)) else { return };
        if self.on_the_way.len() == ON_THE_WAY {
            self.on_the_way.pop_front();
        }
        self.on_the_way.push_back((running_time, delay));
    }

    /// Somebody downstream says how late the frame with this running time was; less than zero, how early.
    pub(super) fn report(&mut self, running_time: Option<gst::ClockTime>, late: i64) {
        let Some(at) = self.on_the_way.iter().position(|(of, _)| Some(*of) == running_time) else { return };
        let (_, delay) = self.on_the_way[at];
        self.on_the_way.drain(..=at);
        if self.allowed.len() == REPORTS {
            self.allowed.pop_front();
        }
        self.allowed.push_back(delay.saturating_sub(late));
    }

    /// The message about a frame that takes `cost` and cannot leave in time any more; `None` lets it in.
    pub(super) fn refuse(
        &mut self,
        element: &gst::Element,
        cost: gst::ClockTime,
        buffer: &gst::BufferRef,
        (running_time, stream_time): (Option<gst::ClockTime>, Option<gst::ClockTime>),
    ) -> Option<gst::Message> {
        let late = delay(element, running_time).and_then(|delay| self.lateness(delay, cost));
        let waits = self.last.is_some_and(|last| last.elapsed() < AT_LEAST);
        let Some(late) = late.filter(|_| waits) else {
            self.admitted += 1;
            self.last = Some(Instant::now());
            return None;
        };
        self.left_out += 1;
        let count = gst::format::Default::from_u64;
        let message = gst::message::Qos::builder(false)
            .src(element.upcast_ref::<gst::Object>())
            .running_time(running_time)
            .stream_time(stream_time)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(late, 1.0, 1_000_000)
            .stats(count(self.admitted), count(self.left_out));
        Some(message.build())
    }

    /// How much too late a frame would leave that is here `delay` after its running time; `None` where it comes in time, or nobody
    /// shows frames by the clock.
    fn lateness(&self, delay: i64, cost: gst::ClockTime) -> Option<i64> {
        if self.allowed.len() <= REPORTS / 2 {
            return None;
        }
        let mut allowed = [i64::MAX; REPORTS];
        allowed.iter_mut().zip(&self.allowed).for_each(|(place, &report)| *place = report);
        allowed.sort_unstable();
        let allowed = allowed[REPORTS / 2];
        let cost = i64::try_from(cost.nseconds()).unwrap_or(i64::MAX);
        let late = delay.saturating_add(cost).saturating_sub(allowed);
        (late > 0).then_some(late)
    }
}

/// How long after `running_time` it is now; before the pipeline plays no clock runs.
fn delay(element: &gst::Element, running_time: Option<gst::ClockTime>) -> Option<i64> {
    if element.current_state() != gst::State::Playing {
        return None;
    }
    let signed = |time: gst::ClockTime| i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
    Some(signed(element.current_running_time()?).saturating_sub(signed(running_time?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_frame_may_leave_as_late_as_those_that_came_in_time() {
        let mut admission = Admission::default();
        let time = gst::ClockTime::from_mseconds;
        let cost = time(20);
        assert_eq!(admission.lateness(500 * MS, cost), None, "nobody has reported");
        // They left 30 ms after their running times, and waited for 10 ms; one was held up.
        for (number, late) in (0..5).zip([-10, -10, 900, -10, -10]) {
            admission.on_the_way.push_back((time(40 * number), 30 * MS));
            admission.report(Some(time(40 * number)), late * MS);
        }
        admission.report(Some(time(7)), 5000 * MS);
        assert_eq!(admission.lateness(20 * MS, cost), None);
        assert_eq!(admission.lateness(21 * MS, cost), Some(MS));
        assert_eq!(
            admission.lateness(40 * MS, gst::ClockTime::ZERO),
            None,
            "one that is not inspected takes no time"
        );
        assert!(admission.on_the_way.is_empty());
    }
}
