//! Which frames are too late to be worth drawing.

use gst::prelude::*;

/// What downstream said about its lateness.
#[derive(Debug, Default)]
pub(super) struct Qos {
    segment: gst::FormattedSegment<gst::ClockTime>,
    proportion: f64,
    /// Running time before which frames come too late.
    earliest: Option<gst::ClockTime>,
    processed: u64,
    dropped: u64,
}

/// A frame that is left out.
#[derive(Debug)]
pub(super) struct Late {
    running_time: gst::ClockTime,
    stream_time: Option<gst::ClockTime>,
    jitter: i64,
    proportion: f64,
    processed: gst::format::Default,
    dropped: gst::format::Default,
}

impl Qos {
    /// Forgets everything, as after a flush.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn set_segment(&mut self, segment: &gst::Segment) {
        // Frames of other formats have no running time and are never late.
        self.segment = segment.downcast_ref().cloned().unwrap_or_default();
    }

    pub(super) fn update(&mut self, event: &gst::event::Qos) {
        let (_, proportion, diff, timestamp) = event.get();
        self.proportion = proportion;
        let distance = gst::ClockTime::from_nseconds(diff.unsigned_abs());
        self.earliest = timestamp.map(|timestamp| match diff > 0 {
            true => timestamp.saturating_add(distance),
            false => timestamp.saturating_sub(distance),
        });
    }

    /// Whether a frame is late; counts it.
    pub(super) fn check(&mut self, buffer: &gst::BufferRef) -> Option<Late> {
        let late = self.lateness(buffer);
        match late {
            Some(_) => self.dropped += 1,
            None => self.processed += 1,
        }
        let (running_time, stream_time, jitter) = late?;
        Some(Late {
            running_time,
            stream_time,
            jitter,
            proportion: self.proportion,
            processed: gst::format::Default::from_u64(self.processed),
            dropped: gst::format::Default::from_u64(self.dropped),
        })
    }

    fn lateness(&self, buffer: &gst::BufferRef) -> Option<(gst::ClockTime, Option<gst::ClockTime>, i64)> {
        let running_time = self.segment.to_running_time(buffer.pts()?)?;
        let jitter = self.earliest?.checked_sub(running_time)?;
        let stream_time = self.segment.to_stream_time(buffer.pts()?);
        Some((running_time, stream_time, i64::try_from(jitter.nseconds()).unwrap_or(i64::MAX)))
    }
}

impl Late {
    /// The message that tells the application.
    pub(super) fn message(&self, source: &impl IsA<gst::Object>, buffer: &gst::BufferRef) -> gst::Message {
        gst::message::Qos::builder(false)
            .src(source)
            .running_time(self.running_time)
            .stream_time(self.stream_time)
            .timestamp(buffer.pts())
            .duration(buffer.duration())
            .values(self.jitter, self.proportion, 1_000_000)
            .stats(self.processed, self.dropped)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::ClockTime;

    #[test]
    fn frames_before_the_earliest_useful_one_are_late() {
        gst::init().unwrap();
        let frame = |seconds: u64| {
            let mut buffer = gst::Buffer::new();
            buffer.make_mut().set_pts(ClockTime::from_seconds(seconds));
            buffer
        };
        let mut qos = Qos::default();
        assert!(qos.check(&frame(0)).is_none());
        let event =
            |diff: i64| gst::event::Qos::new(gst::QOSType::Underflow, 1.5, diff, ClockTime::from_seconds(2));
        let second = ClockTime::SECOND.nseconds() as i64;
        for (diff, late) in [(second, [true, true, false]), (-second, [false, false, false])] {
            let event = event(diff);
            let gst::EventView::Qos(event) = event.view() else { unreachable!() };
            qos.update(event);
            assert_eq!([2, 3, 4].map(|seconds| qos.check(&frame(seconds)).is_some()), late);
        }
        qos.reset();
        assert!(qos.check(&frame(0)).is_none());
        assert!(qos.check(&gst::Buffer::new()).is_none());
    }
}
