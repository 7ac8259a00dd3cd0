//! Where a stream's frames stand in time, and what cuts the stream: an anomaly does not go on across that.

use serde::Serialize;

/// What a stream may leave out without being cut, as files with edit lists do.
const GAP: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// What the frames after it have nothing to do with those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// The stream has ended.
    EndOfStream,
    /// It goes on at another place.
    Seek,
    /// Another stream comes in its place, such as another camera or file.
    NewStream,
    /// The source is being connected anew: whoever does that has said so with the event [`INTERRUPTED`].
    Interrupted,
    /// The element was stopped.
    Stop,
}

/// Name of the structure in a custom downstream event that says that no frames come until the source is back.
pub const INTERRUPTED: &str = "anomaly-interrupted";

impl Cut {
    /// The value of the field `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfStream => "end-of-stream",
            Self::Seek => "seek",
            Self::NewStream => "new-stream",
            Self::Interrupted => "interrupted",
            Self::Stop => "stop",
        }
    }
}

/// Follows a stream by its events and frames.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    segment: gst::FormattedSegment<gst::ClockTime>,
    /// Stream time of the last frame, and where the next is to be expected.
    last: Option<(gst::ClockTime, gst::ClockTime)>,
}

impl Timeline {
    /// Takes in an event; says so if it cuts the stream.
    pub(super) fn event(&mut self, event: &gst::EventRef) -> Option<Cut> {
        match event.view() {
            gst::EventView::StreamStart(_) => self.cut(Cut::NewStream),
            gst::EventView::FlushStop(_) => self.cut(Cut::Seek),
            gst::EventView::Eos(_) => self.cut(Cut::EndOfStream),
            gst::EventView::CustomDownstream(event) if event.structure()?.name() == INTERRUPTED => {
                self.cut(Cut::Interrupted)
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref::<gst::ClockTime>()?.clone();
                let jumps = self.jumps_to(&segment);
                self.segment = segment;
                jumps.then(|| self.cut(Cut::Seek)).flatten()
            }
            _ => None,
        }
    }

    /// Takes in a frame.
    pub(super) fn frame(&mut self, buffer: &gst::BufferRef) {
        self.last = self.stream_time(buffer).map(|at| (at, at + buffer.duration().unwrap_or_default()));
    }

    pub(super) fn running_time(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        buffer.pts().and_then(|pts| self.segment.to_running_time(pts))
    }

    pub(super) fn stream_time(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        buffer.pts().and_then(|pts| self.segment.to_stream_time(pts))
    }

    fn cut(&mut self, cut: Cut) -> Option<Cut> {
        self.last = None;
        Some(cut)
    }

    /// Whether `segment` goes on elsewhere than where the frames so far have led to.
    fn jumps_to(&self, segment: &gst::FormattedSegment<gst::ClockTime>) -> bool {
        let Some((last, next)) = self.last else { return false };
        if segment.rate() < 0.0 || self.segment.rate() < 0.0 {
            return *segment != self.segment;
        }
        // The first frame of the segment may come a little before where it starts.
        segment.time().is_some_and(|time| time + GAP < last || time > next + GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(time: u64) -> gst::Event {
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_start(gst::ClockTime::from_seconds(time));
        segment.set_time(gst::ClockTime::from_seconds(time));
        gst::event::Segment::new(&segment)
    }

    fn custom(name: &str) -> gst::Event {
        gst::event::CustomDownstream::new(gst::Structure::new_empty(name))
    }

    #[test]
    fn what_goes_on_elsewhere_is_cut() {
        gst::init().unwrap();
        let mut timeline = Timeline::default();
        let mut frame = gst::Buffer::new();
        let buffer = frame.get_mut().unwrap();
        buffer.set_pts(10 * gst::ClockTime::SECOND);
        buffer.set_duration(gst::ClockTime::SECOND);
        assert_eq!(timeline.event(&segment(10)), None, "nothing has come yet");
        for (event, cut) in [
            (segment(10), None),
            (segment(11), None),
            (segment(20), Some(Cut::Seek)),
            (segment(3), Some(Cut::Seek)),
            (gst::event::StreamStart::new("other"), Some(Cut::NewStream)),
            (gst::event::FlushStop::new(true), Some(Cut::Seek)),
            (gst::event::Eos::new(), Some(Cut::EndOfStream)),
            (custom(INTERRUPTED), Some(Cut::Interrupted)),
            (custom("of-somebody-else"), None),
            (gst::event::Gap::builder(gst::ClockTime::SECOND).build(), None),
        ] {
            timeline.event(&segment(10));
            timeline.frame(&frame);
            assert_eq!(timeline.stream_time(&frame), frame.pts());
            assert_eq!(timeline.event(&event), cut, "{event:?}");
        }
    }
}
