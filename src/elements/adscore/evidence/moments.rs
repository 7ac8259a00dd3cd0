//! Which frames of an event are kept: its first, and then its worst so far, no more often than the interval allows.
//!
//! The worst frame of an interval waits until the interval is over or the event ends, so that the peak is always among those
//! that are kept.

use std::time::Duration;

/// Why a frame was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The event began with it.
    First,
    /// Its score was the highest of the event so far.
    Peak,
}

impl Reason {
    /// In names of files and in records.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Peak => "peak",
        }
    }
}

/// A frame to keep.
#[derive(Debug, PartialEq)]
pub(super) struct Moment<T> {
    pub(super) frame: T,
    pub(super) reason: Reason,
    /// Number of the event, the stream's first is 1.
    pub(super) event: u64,
}

/// Follows a stream from event to event; `T` is what there is to keep of a frame.
#[derive(Debug)]
pub(super) struct Moments<T> {
    interval: Duration,
    events: u64,
    current: Option<Event<T>>,
}

#[derive(Debug)]
struct Event<T> {
    /// Highest score of the event so far.
    worst: f64,
    /// Time of the frame that was kept last.
    kept: Duration,
    /// The frame with that score, where it has not been kept yet.
    waiting: Option<T>,
}

impl<T> Moments<T> {
    /// Keeps a frame every `interval` of an event at most, besides its first and its peak.
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, events: 0, current: None }
    }

    /// Takes in a frame of time `now`, copied by `copy` where it may be worth keeping; returns the one that is to be kept now.
    pub(super) fn observe<E>(
        &mut self,
        (anomalous, score, now): (bool, f64, Duration),
        copy: impl FnOnce() -> Result<T, E>,
    ) -> Result<Option<Moment<T>>, E> {
        if !anomalous {
            return Ok(self.end());
        }
        let Some(event) = &mut self.current else {
            self.events += 1;
            self.current = Some(Event { worst: score, kept: now, waiting: None });
            return Ok(Some(Moment { frame: copy()?, reason: Reason::First, event: self.events }));
        };
        if score > event.worst {
            event.worst = score;
            event.waiting = Some(copy()?);
        }
        // After a seek time may start anew.
        if now.checked_sub(event.kept).is_some_and(|passed| passed < self.interval) {
            return Ok(None);
        }
        let moment =
            event.waiting.take().map(|frame| Moment { frame, reason: Reason::Peak, event: self.events });
        if moment.is_some() {
            event.kept = now;
        }
        Ok(moment)
    }

    /// Ends the event, if there is one; returns its peak where that has not been kept yet.
    pub(super) fn end(&mut self) -> Option<Moment<T>> {
        let frame = self.current.take()?.waiting?;
        Some(Moment { frame, reason: Reason::Peak, event: self.events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Frames of 100 ms with these scores, 0 being normal; returns frame, reason and event of what is kept.
    fn kept(interval_ms: u64, scores: &[f64]) -> Vec<(usize, Reason, u64)> {
        let mut moments = Moments::new(Duration::from_millis(interval_ms));
        let mut found = Vec::new();
        for (index, &score) in scores.iter().enumerate() {
            let now = Duration::from_millis(100 * index as u64);
            let moment = moments.observe((score > 0.0, score, now), || Ok::<_, Infallible>(index));
            found.extend(moment.unwrap());
        }
        found.extend(moments.end());
        found.into_iter().map(|moment| (moment.frame, moment.reason, moment.event)).collect()
    }

    #[test]
    fn an_event_is_kept_with_its_first_frame_and_its_peak() {
        use Reason::{First, Peak};
        assert_eq!(kept(1000, &[0.0, 0.0]), []);
        assert_eq!(kept(1000, &[0.0, 2.0, 1.0, 1.0, 0.0]), [(1, First, 1)]);
        assert_eq!(kept(1000, &[2.0, 3.0, 5.0, 4.0, 0.0, 1.0]), [(0, First, 1), (2, Peak, 1), (5, First, 2)]);
        // The stream ends in the middle of it.
        assert_eq!(kept(1000, &[2.0, 3.0]), [(0, First, 1), (1, Peak, 1)]);
    }

    #[test]
    fn a_growing_event_is_kept_once_an_interval() {
        let scores: Vec<f64> = (1..=35).map(f64::from).collect();
        let frames: Vec<usize> = kept(1000, &scores).iter().map(|moment| moment.0).collect();
        assert_eq!(frames, [0, 10, 20, 30, 34]);
        let flat = [5.0; 100];
        assert_eq!(kept(1000, &flat).len(), 1, "nothing new to see");
        assert_eq!(kept(0, &[1.0, 2.0, 3.0]).len(), 3);
    }

    #[test]
    fn time_that_runs_backwards_does_not_stop_it() {
        let mut moments = Moments::new(Duration::from_secs(1));
        let mut observe = |score, seconds| {
            let copy = || Ok::<_, Infallible>(());
            moments.observe((true, score, Duration::from_secs(seconds)), copy).unwrap().is_some()
        };
        assert!(observe(1.0, 100));
        assert!(observe(2.0, 3));
    }
}
