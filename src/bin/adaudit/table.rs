//! Events and videos as CSV.

use crate::results::{Sink, Video};
use crate::time::seconds;
use gstanomaly::text::cell;

/// A cell of a time that may not be known.
fn time(time: Option<u64>) -> String {
    time.map(|time| format!("{:.3}", seconds(time))).unwrap_or_default()
}

/// A cell of a number that may not be known.
fn number(number: Option<usize>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// One line for each event.
pub fn events(videos: &[Video], out: &mut dyn Sink) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record([
        "video",
        "event",
        "start",
        "end",
        "peak",
        "peak_score",
        "peak_normalized",
        "first_frame",
        "last_frame",
        "peak_frame",
        "frames",
        "regions",
        "still",
        "overlay",
    ])?;
    for video in videos {
        for (i, (event, peak)) in video.events.iter().zip(&video.peaks).enumerate() {
            let [still, overlay] = video.stills(i + 1);
            table.write_record([
                cell(&video.state.video).as_ref(),
                &(i + 1).to_string(),
                &time(event.first.time),
                &time(event.end),
                &time(event.peak.time),
                &peak.score.to_string(),
                &peak.normalized.to_string(),
                &event.first.frame.to_string(),
                &event.last.frame.to_string(),
                &event.peak.frame.to_string(),
                &event.frames().to_string(),
                &serde_json::to_string(&event.regions)?,
                &cell(&still),
                &cell(&overlay),
            ])?;
        }
    }
    Ok(table.flush()?)
}

/// One line for each video.
pub fn videos(videos: &[Video], out: &mut dyn Sink) -> anyhow::Result<()> {
    let mut table = csv::Writer::from_writer(out);
    table.write_record([
        "video",
        "seconds",
        "frames",
        "inspected",
        "events",
        "problem",
        "warn_frames",
        "gaps",
        "gap_seconds",
        "clock_jumps",
        "track",
        "tracks",
        "note",
    ])?;
    for video in videos {
        table.write_record([
            cell(&video.state.video).as_ref(),
            &time(video.state.end),
            &video.state.frames.to_string(),
            &video.state.inspected.to_string(),
            &video.events.len().to_string(),
            &cell(video.state.problem.as_deref().unwrap_or_default()),
            &video.state.warn_frames.to_string(),
            &video.state.gaps.len().to_string(),
            &time(Some(video.state.missing())),
            &video.state.jumps.to_string(),
            &number(video.state.track),
            &number(video.state.tracks),
            video.state.note.as_deref().unwrap_or_default(),
        ])?;
    }
    Ok(table.flush()?)
}
