//! The scores of a video over time, small enough for a page that shows many.

use crate::records::Record;
use crate::results::Video;
use crate::time::Length;
use std::fmt::Write;

/// Width of a timeline in its own units.
pub const WIDTH: f64 = 1000.0;
/// Height of the scores' part.
pub const HEIGHT: f64 = 60.0;
/// An event is at least so wide that it can be hit.
const LEAST_WIDTH: f64 = 3.0;
/// Lines along a timeline.
const TICKS: u32 = 4;

/// A stretch of a timeline in its own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub from: f64,
    pub width: f64,
}

/// What a page shows of a video's course.
#[derive(Debug)]
pub struct Timeline {
    /// The highest normalised scores of equal stretches of time, as the outline of an area.
    pub path: String,
    /// One for each event.
    pub events: Vec<Stretch>,
    /// Where frames are missing.
    pub gaps: Vec<Stretch>,
    /// Places and texts of its ticks.
    pub ticks: Vec<(f64, String)>,
}

impl Timeline {
    /// Of a video, in so many stretches at most.
    ///
    /// # Errors
    /// If its records cannot be read.
    pub fn new(video: &Video, stretches: usize) -> gstanomaly::Result<Self> {
        let scale = Scale::of(video);
        let mut highest = vec![None; stretches];
        for record in video.records()? {
            let record = record?;
            let at = (scale.place(&record) / WIDTH * stretches as f64) as usize;
            let bar: &mut Option<f64> = &mut highest[at.min(stretches - 1)];
            *bar = Some(bar.map_or(record.normalized, |score| score.max(record.normalized)));
        }
        let stretch = |from: f64, to: f64| {
            let width = (to - from).max(LEAST_WIDTH);
            Stretch { from: from.min(WIDTH - width), width }
        };
        let events = video.events.iter().map(|event| {
            let frame = |frame: u64, time: Option<u64>| scale.at(frame, time);
            stretch(frame(event.first.frame, event.first.time), frame(event.last.frame + 1, event.end))
        });
        let gaps = video
            .state
            .gaps
            .iter()
            .map(|(from, to)| stretch(scale.at(0, Some(*from)), scale.at(0, Some(*to))));
        Ok(Self {
            path: outline(&highest),
            events: events.collect(),
            gaps: gaps.collect(),
            ticks: scale.ticks(),
        })
    }
}

/// From times, or from frame numbers where the video has no times, to places.
struct Scale {
    end: u64,
    frames: u64,
}

impl Scale {
    fn of(video: &Video) -> Self {
        let end = video.state.end.unwrap_or(0).max(video.state.declared.unwrap_or(0));
        Self { end, frames: video.state.frames.max(1) }
    }

    fn place(&self, record: &Record) -> f64 {
        self.at(record.frame, record.time)
    }

    fn at(&self, frame: u64, time: Option<u64>) -> f64 {
        let part = match time {
            Some(time) if self.end > 0 => time as f64 / self.end as f64,
            _ => frame as f64 / self.frames as f64,
        };
        WIDTH * part.min(1.0)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let text = |i: u32| match self.end {
            0 => format!("frame {}", self.frames * u64::from(i) / u64::from(TICKS)),
            end => Length(end / u64::from(TICKS) * u64::from(i)).to_string(),
        };
        (0..=TICKS).map(|i| (WIDTH * f64::from(i) / f64::from(TICKS), text(i))).collect()
    }
}

/// The area below the bars; a stretch without a frame has the score of the one before it, but for those after the last.
fn outline(bars: &[Option<f64>]) -> String {
    let known = bars.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let width = WIDTH / bars.len() as f64;
    let mut path = format!("M0 {HEIGHT}");
    let mut before = 0.0;
    for (i, bar) in bars[..known].iter().enumerate() {
        let score = bar.unwrap_or(before);
        before = score;
        // Writing to a string cannot fail.
        let _ = write!(path, "V{:.1}H{:.1}", HEIGHT * (1.0 - score), width * (i + 1) as f64);
    }
    let _ = write!(path, "V{HEIGHT}Z");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outline_bridges_stretches_without_a_frame() {
        assert_eq!(outline(&[Some(0.5), None, Some(1.0), None]), "M0 60V30.0H250.0V30.0H500.0V0.0H750.0V60Z");
        assert_eq!(outline(&[None, None]), "M0 60V60Z");
    }

    #[test]
    fn places_follow_the_time_or_else_the_frames() {
        let scale = Scale { end: 4_000_000_000, frames: 8 };
        assert_eq!((scale.at(1, Some(1_000_000_000)), scale.at(4, None)), (250.0, 500.0));
        assert_eq!(scale.ticks()[2], (500.0, "0:00:02.0".into()));
        assert_eq!(Scale { end: 0, frames: 8 }.ticks()[4].1, "frame 8");
    }
}
