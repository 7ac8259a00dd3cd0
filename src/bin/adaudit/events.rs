//! Events: when anomalous frames begin and end.

use gstanomaly::methods::{Anomaly, Decision, Region};
use serde::{Deserialize, Serialize};

/// An inspected frame of a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number among the inspected frames, from 0.
    pub record: u64,
    /// Its number in the video, from 0.
    pub frame: u64,
    /// Its time in the video in ns, if it has one.
    pub time: Option<u64>,
}

/// A region of the worst frame of an event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRegion {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
    pub score: f64,
    pub area: f64,
}

impl From<&Region> for EventRegion {
    fn from(region: &Region) -> Self {
        // Short enough to be the same number after any number of ways through a JSON file.
        let short = |value: f64| (value * 1e4).round() / 1e4;
        let gstanomaly::frame::Rect { x, y, width, height } = region.rect;
        Self { x, y, width, height, score: short(region.score), area: short(region.area) }
    }
}

/// Anomalous frames in a row, but for disturbances shorter than `--hold`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The first anomalous frame.
    pub first: Mark,
    /// The last anomalous frame.
    pub last: Mark,
    /// The frame with the highest score.
    pub peak: Mark,
    /// Time of the first good frame after it, or of the end of the video, in ns.
    pub end: Option<u64>,
    /// The regions of the frame with the highest score, worst first.
    pub regions: Vec<EventRegion>,
}

impl Event {
    /// Inspected frames from the first to the last anomalous one.
    pub fn frames(&self) -> u64 {
        self.last.record - self.first.record + 1
    }

    /// How long it lasts in ns, if that is known.
    pub fn duration(&self) -> Option<u64> {
        Some(self.end?.saturating_sub(self.first.time?))
    }
}

/// Finds the events of one video, frame by frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    decision: Decision,
    /// The event that goes on, or that may become one.
    current: Option<Event>,
    /// Time of the first good frame after its last anomalous one.
    good: Option<Option<u64>>,
    /// Its highest score; on resuming it is read from the records, which have it to the last bit.
    #[serde(skip)]
    highest: f64,
}

/// What a frame means for the events.
#[derive(Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is the worst frame so far of the event that goes on or may begin.
    Peak,
    /// The event has ended.
    Ended(Event),
    /// What looked like the beginning of an event was too short for one.
    Dropped,
}

impl Tracker {
    /// The worst frame of the event that goes on, if one does.
    pub fn peak(&self) -> Option<Mark> {
        self.current.as_ref().map(|event| event.peak)
    }

    /// After loading: the score of that frame.
    pub fn resume(&mut self, highest: f64) {
        self.highest = highest;
    }

    /// Takes in the next inspected frame.
    pub fn update(&mut self, mark: Mark, anomaly: &Anomaly, hold: u32) -> Change {
        self.advance(mark, anomaly.anomalous, anomaly.score, hold, || {
            anomaly.regions.iter().map(EventRegion::from).collect()
        })
    }

    fn advance(
        &mut self,
        mark: Mark,
        anomalous: bool,
        score: f64,
        hold: u32,
        regions: impl FnOnce() -> Vec<EventRegion>,
    ) -> Change {
        let (inside, changed) = self.decision.update(anomalous, hold);
        if anomalous {
            self.good = None;
            return match &mut self.current {
                Some(event) => {
                    event.last = mark;
                    if score <= self.highest {
                        return Change::None;
                    }
                    (event.peak, event.regions, self.highest) = (mark, regions(), score);
                    Change::Peak
                }
                None => {
                    let event = Event { first: mark, last: mark, peak: mark, end: None, regions: regions() };
                    (self.current, self.highest) = (Some(event), score);
                    Change::Peak
                }
            };
        }
        let good = *self.good.get_or_insert(mark.time);
        if inside {
            return Change::None;
        }
        match self.current.take() {
            Some(event) if changed => Change::Ended(Event { end: good, ..event }),
            Some(_) => Change::Dropped,
            None => Change::None,
        }
    }

    /// The event that still goes on when the video ends at `end`.
    pub fn finish(&mut self, end: Option<u64>) -> Change {
        let good = self.good.take().unwrap_or(end);
        match (self.current.take(), self.decision.anomalous()) {
            (Some(event), true) => Change::Ended(Event { end: good, ..event }),
            (Some(_), false) => Change::Dropped,
            (None, _) => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(record: u64) -> Mark {
        Mark { record, frame: 2 * record, time: Some(100 * record) }
    }

    /// The events of frames with these scores, anomalous from 5 on: first, last, peak, end.
    fn events(scores: &[u8], hold: u32) -> Vec<(u64, u64, u64, Option<u64>)> {
        let mut tracker = Tracker::default();
        let mut found = Vec::new();
        let mut take = |change| {
            if let Change::Ended(event) = change {
                found.push((event.first.record, event.last.record, event.peak.record, event.end));
            }
        };
        for (record, &score) in scores.iter().enumerate() {
            let mark = mark(record as u64);
            take(tracker.advance(mark, score >= 5, score.into(), hold, Vec::new));
            // As after a kill.
            let peak = tracker.peak();
            tracker = serde_json::from_slice(&serde_json::to_vec(&tracker).unwrap()).unwrap();
            peak.into_iter().for_each(|peak| tracker.resume(scores[peak.record as usize].into()));
        }
        take(tracker.finish(Some(100 * scores.len() as u64)));
        found
    }

    #[test]
    fn an_event_lasts_from_the_first_anomalous_frame_to_the_next_good_one() {
        assert_eq!(events(&[0, 6, 9, 7, 0, 0, 5], 0), [(1, 3, 2, Some(400)), (6, 6, 6, Some(700))]);
        assert!(events(&[0, 0, 4], 1).is_empty());
        assert!(events(&[], 0).is_empty());
    }

    #[test]
    fn hold_bridges_and_drops_what_is_shorter() {
        assert!(events(&[0, 6, 0, 6, 0, 0], 2).is_empty());
        assert_eq!(events(&[6, 7, 0, 9, 0, 0, 0], 2), [(0, 3, 3, Some(400))]);
        assert_eq!(events(&[6, 7, 7, 0], 2), [(0, 2, 1, Some(300))], "it ends with the first good frame");
        assert!(events(&[0, 0, 7], 2).is_empty(), "too short at the end of the video, too");
    }

    #[test]
    fn numbers_of_regions_survive_json() {
        let rect = gstanomaly::frame::Rect { x: 1, y: 2, width: 3, height: 4 };
        for i in 0..1000 {
            let value = f64::from(i) * 0.123_456_789_012_345;
            let region = EventRegion::from(&Region { rect, score: value, area: value * 1e3 });
            let text = serde_json::to_string(&region).unwrap();
            assert_eq!(serde_json::from_str::<EventRegion>(&text).unwrap(), region);
        }
    }
}
