//! Anomalies as events with a begin, a peak and an end.

use serde::Serialize;

/// Where a frame stands in the course of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// An anomaly begins.
    Enter,
    /// It has ended.
    Leave,
    /// The decision is as before.
    Update,
    /// The stream was cut, and the anomaly has ended with it.
    End,
}

/// What is known of an anomaly so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Event {
    /// Number since the start, from 1.
    pub(super) id: u64,
    /// Wall-clock time of its first frame.
    pub(super) start_time: String,
    /// Stream time of its first frame in nanoseconds.
    pub(super) start_stream_time: Option<u64>,
    /// Number of its first frame.
    pub(super) start_frame: u64,
    /// Frames that were inspected and anomalous.
    pub(super) frames: u64,
    /// The largest score, raw.
    pub(super) peak_score: f64,
    /// The largest score from 0 to 1.
    pub(super) peak_normalized: f64,
    /// Number of the frame that had it.
    pub(super) peak_frame: u64,
}

/// One frame as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) time: &'a str,
    pub(super) stream_time: Option<u64>,
    pub(super) frame: u64,
    pub(super) anomalous: bool,
    /// Inspected itself, not one that carries the result of another.
    pub(super) fresh: bool,
    pub(super) score: f64,
    pub(super) normalized: f64,
}

/// The anomalies of a stream, one after the other.
#[derive(Debug, Default)]
pub(super) struct Course {
    count: u64,
    current: Option<Event>,
}

impl Course {
    /// Takes in a frame; returns its state, and the event that it belongs to or ends.
    pub(super) fn update(&mut self, seen: Seen) -> (State, Option<Event>) {
        match (&mut self.current, seen.anomalous) {
            (None, false) => (State::Update, None),
            (None, true) => {
                self.count += 1;
                self.current = Some(Event {
                    id: self.count,
                    start_time: seen.time.into(),
                    start_stream_time: seen.stream_time,
                    start_frame: seen.frame,
                    frames: 1,
                    peak_score: seen.score,
                    peak_normalized: seen.normalized,
                    peak_frame: seen.frame,
                });
                (State::Enter, self.current.clone())
            }
            (Some(event), true) => {
                event.frames += u64::from(seen.fresh);
                if seen.score > event.peak_score {
                    event.peak_score = seen.score;
                    event.peak_normalized = seen.normalized;
                    event.peak_frame = seen.frame;
                }
                (State::Update, self.current.clone())
            }
            (Some(_), false) => (State::Leave, self.current.take()),
        }
    }

    /// Ends the anomaly that may be on.
    pub(super) fn end(&mut self) -> Option<Event> {
        self.current.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(frame: u64, anomalous: bool, score: f64) -> Seen<'static> {
        Seen {
            time: "now",
            stream_time: Some(frame),
            frame,
            anomalous,
            fresh: true,
            score,
            normalized: score / 10.0,
        }
    }

    #[test]
    fn an_anomaly_has_a_begin_a_peak_and_an_end() {
        let mut course = Course::default();
        assert_eq!(course.update(seen(0, false, 1.0)), (State::Update, None));
        let (state, event) = course.update(seen(1, true, 6.0));
        assert_eq!((state, event.unwrap().id), (State::Enter, 1));
        assert_eq!(course.update(seen(2, true, 9.0)).0, State::Update);
        assert_eq!(course.update(seen(3, true, 7.0)).0, State::Update);
        let (state, event) = course.update(seen(4, false, 2.0));
        let event = event.unwrap();
        assert_eq!(state, State::Leave);
        assert_eq!((event.start_frame, event.frames, event.peak_frame), (1, 3, 2));
        assert_eq!((event.peak_score, event.peak_normalized), (9.0, 0.9));
        assert_eq!(course.update(seen(5, true, 6.0)).1.unwrap().id, 2);
        assert_eq!(course.end().unwrap().start_frame, 5);
        assert_eq!(course.end(), None);
    }
}
