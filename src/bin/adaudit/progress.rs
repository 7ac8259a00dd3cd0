//! What is told while the work goes on: a bar on a terminal, now and then a line elsewhere, lines of JSON for machines.

use crate::common::interrupt;
use crate::events::Event;
use crate::sources::Source;
use crate::state::State;
use crate::stills;
use crate::time::{estimate, seconds};
use gstanomaly::text::{shown, shown_name};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines for people.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two lines for machines.
const JSON_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks of a job at what it has to tell.
const UPDATE_INTERVAL: Duration = Duration::from_millis(200);
/// An estimate of the time left needs to have seen so much.
const LEAST_SEEN: Duration = Duration::from_secs(2);

/// How the progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// On stderr, as a bar or as lines.
    People,
    /// On stdout, one JSON object a line.
    Machines,
    /// Not at all.
    Quiet,
}

/// The progress of all jobs.
#[derive(Debug)]
pub struct Board {
    style: Style,
    bar: Option<ProgressBar>,
    stop: AtomicBool,
    work: Mutex<Work>,
}

/// Amounts are bytes of the files, which are known before anything is decoded.
#[derive(Debug)]
struct Work {
    videos: usize,
    total: f64,
    /// What runs before this one did.
    before: f64,
    /// What this run did, in videos that are finished.
    done: f64,
    running: BTreeMap<usize, Running>,
    finished: usize,
    events: usize,
    frames: u64,
    /// When the first frame could be looked at.
    started: Option<Instant>,
    told: Instant,
}

#[derive(Debug)]
struct Running {
    video: String,
    bytes: f64,
    /// How much of it was done before, and is done now, 0 to 1.
    from: f64,
    fraction: f64,
}

impl Work {
    fn session(&self) -> f64 {
        let running = |job: &Running| job.bytes * (job.fraction - job.from).max(0.0);
        self.done + self.running.values().map(running).sum::<f64>()
    }

    fn fraction(&self) -> f64 {
        if self.total > 0.0 { ((self.before + self.session()) / self.total).min(1.0) } else { 0.0 }
    }

    /// Seconds left, when that can be said.
    fn left(&self) -> Option<f64> {
        let (session, elapsed) = (self.session(), self.elapsed());
        let rate = session / elapsed.as_secs_f64();
        let left = (self.total - self.before - session).max(0.0) / rate;
        (elapsed >= LEAST_SEEN && left.is_finite()).then_some(left)
    }

    fn elapsed(&self) -> Duration {
        self.started.map(|started| started.elapsed()).unwrap_or_default()
    }

    /// Inspected frames a second.
    fn rate(&self) -> f64 {
        self.frames as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn text(&self) -> String {
        let left = self.left().map(|left| format!(", {} left", estimate(left))).unwrap_or_default();
        let events = match self.events {
            1 => "1 event".into(),
            events => format!("{events} events"),
        };
        let (finished, videos) = (self.finished, self.videos);
        format!("{finished} of {videos} videos, {events}, {:.0} frames/s{left}", self.rate())
    }

    fn json(&self) -> Value {
        let running: Vec<Value> =
            self.running.values().map(|job| json!({"video": job.video, "done": job.fraction})).collect();
        json!({
            "type": "progress",
            "done": self.fraction(),
            "seconds_left": self.left(),
            "videos": self.videos,
            "videos_finished": self.finished,
            "events": self.events,
            "frames_per_second": self.rate(),
            "running": running,
        })
    }
}

impl Board {
    /// Before anything was done for `sources`.
    pub fn new(style: Style, sources: &[Source]) -> Self {
        let bar = (style == Style::People && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(1000);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % {msg}") {
                bar.set_style(style);
            }
            bar
        });
        let work = Work {
            videos: sources.len(),
            total: sources.iter().map(|source| source.bytes as f64).sum(),
            before: 0.0,
            done: 0.0,
            running: BTreeMap::new(),
            finished: 0,
            events: 0,
            frames: 0,
            started: None,
            told: Instant::now(),
        };
        Self { style, bar, stop: AtomicBool::new(false), work: Mutex::new(work) }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the other jobs end at their next frame.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Whether jobs are to end, because one has failed or somebody wants to stop.
    pub fn must_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || interrupt::requested()
    }

    /// Ends the bar.
    pub fn finish(&self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
    }

    /// Frames that were inspected, and the seconds that it took.
    pub fn speed(&self) -> (u64, f64) {
        let work = self.work();
        (work.frames, work.elapsed().as_secs_f64())
    }

    /// Complains on stderr.
    pub fn complain(&self, text: &str) {
        let say = || eprintln!("adaudit: {}", shown(text));
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Says on stderr what is no complaint.
    fn remark(&self, text: &str) {
        if self.style != Style::Quiet {
            self.complain(text);
        }
    }

    /// A line for machines. Where nobody reads it the audit goes on all the same: its results are in the folder.
    pub fn emit(&self, line: &Value) {
        if self.style == Style::Machines {
            let _ = writeln!(std::io::stdout().lock(), "{}", shown(&line.to_string()));
        }
    }

    fn tell(&self, work: &mut Work) {
        if let Some(bar) = &self.bar {
            bar.set_position((1000.0 * work.fraction()) as u64);
            bar.set_message(work.text());
            return;
        }
        let interval = if self.style == Style::Machines { JSON_INTERVAL } else { LINE_INTERVAL };
        if work.told.elapsed() < interval {
            return;
        }
        work.told = Instant::now();
        match self.style {
            Style::Machines => self.emit(&work.json()),
            Style::People => eprintln!("{:.0} %: {}", 100.0 * work.fraction(), work.text()),
            Style::Quiet => (),
        }
    }
}

/// What a job tells of the video that it is at.
#[derive(Debug)]
pub struct Report<'a> {
    board: &'a Board,
    job: usize,
    source: &'a Source,
    /// Frames inspected that the board does not know of yet are those since this number.
    told: u64,
    updated: Instant,
}

impl<'a> Report<'a> {
    /// Of `source`, by the job of this number.
    pub fn new(board: &'a Board, job: usize, source: &'a Source) -> Self {
        Self { board, job, source, told: 0, updated: Instant::now() }
    }

    /// Whether the job is to end.
    pub fn must_stop(&self) -> bool {
        self.board.must_stop()
    }

    /// A run before has finished it.
    pub fn known(&self, state: &State) {
        let mut work = self.board.work();
        work.before += self.source.bytes as f64;
        work.finished += 1;
        work.events += state.events.len();
        drop(work);
        self.tell_video(state);
    }

    /// It cannot be read any more, or what runs before have left of it cannot.
    pub fn unread(&self, error: &gstanomaly::Error) {
        let mut work = self.board.work();
        work.before += self.source.bytes as f64;
        work.finished += 1;
        drop(work);
        self.board.complain(&error.to_string());
    }

    /// It begins, or goes on.
    pub fn started(&mut self, state: &State) {
        self.told = state.inspected;
        let (bytes, from) = (self.source.bytes as f64, state.fraction());
        let mut work = self.board.work();
        work.started.get_or_insert_with(Instant::now);
        work.before += bytes * from;
        work.events += state.events.len();
        let video = self.source.path.to_string_lossy().into_owned();
        work.running.insert(self.job, Running { video, bytes, from, fraction: from });
    }

    /// It has got further.
    pub fn advanced(&mut self, state: &State) {
        if self.updated.elapsed() >= UPDATE_INTERVAL {
            self.updated = Instant::now();
            let mut work = self.board.work();
            self.update(&mut work, state);
            self.board.tell(&mut work);
        }
    }

    fn update(&mut self, work: &mut Work, state: &State) {
        work.frames += state.inspected - self.told;
        self.told = state.inspected;
        if let Some(job) = work.running.get_mut(&self.job) {
            job.fraction = state.fraction();
        }
    }

    /// An event has ended; its number counts from 1.
    pub fn event(&self, state: &State, number: usize, event: &Event, folder: &Path) {
        self.board.work().events += 1;
        let (still, overlay) = stills::names(number).unzip();
        self.board.emit(&json!({
            "type": "event",
            "video": state.video,
            "event": number,
            "start": event.first.time.map(seconds),
            "end": event.end.map(seconds),
            "peak": event.peak.time.map(seconds),
            "frames": event.frames(),
            "regions": event.regions,
            "still": still.map(|name| folder.join(name)),
            "overlay": overlay.map(|name| folder.join(name)),
        }));
    }

    /// It is done with.
    pub fn finished(&mut self, state: &State) {
        let mut work = self.board.work();
        self.update(&mut work, state);
        if let Some(job) = work.running.remove(&self.job) {
            work.done += job.bytes * (1.0 - job.from);
        }
        work.finished += 1;
        self.board.tell(&mut work);
        drop(work);
        self.tell_video(state);
    }

    fn tell_video(&self, state: &State) {
        self.board.emit(&json!({
            "type": "video",
            "video": state.video,
            "frames": state.frames,
            "inspected": state.inspected,
            "seconds": state.end.map(seconds),
            "events": state.count_events(),
            "warn_frames": state.warn_frames,
            "problem": state.problem,
            "gaps": state.gaps.len(),
            "gap_seconds": seconds(state.missing()),
            "clock_jumps": state.jumps,
            "track": state.track,
            "tracks": state.tracks,
            "note": state.note,
        }));
        if let Some(problem) = &state.problem {
            self.board.complain(&format!("{}: {problem}", shown_name(&state.video)));
        }
        if let Some(note) = &state.note {
            self.board.remark(&format!("{}: {note}", state.video));
        }
        if state.count_events() > stills::MOST {
            self.board.complain(&format!(
                "{}: {} events, of which the first {} have stills; if most are no defects, the threshold is too low, or --hold or \
                 --min-area would help",
                shown_name(&state.video),
                state.count_events(),
                stills::MOST,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_runs_before_have_done_does_not_make_this_one_look_fast() {
        let source =
            |name: &str, bytes| Source { path: PathBuf::from(name), key: name.into(), number: 0, bytes };
        let board = Board::new(Style::Quiet, &[source("a", 60), source("b", 40)]);
        let mut work = board.work();
        work.started = Some(Instant::now() - Duration::from_secs(10));
        work.before = 60.0 + 40.0 * 0.25;
        work.running.insert(0, Running { video: "b".into(), bytes: 40.0, from: 0.25, fraction: 0.5 });
        assert!((work.fraction() - 0.8).abs() < 1e-9);
        let left = work.left().unwrap();
        assert!((left - 20.0).abs() < 0.5, "10 bytes in 10 s, 20 to go: {left}");
    }
}
