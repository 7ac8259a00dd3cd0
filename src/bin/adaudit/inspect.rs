//! The audit of one video.

use crate::common::interrupt;
use crate::events::{Change, Mark};
use crate::jobs::Stopped;
use crate::progress::Report;
use crate::records::{self, Record, Writer};
use crate::settings;
use crate::sources::Source;
use crate::state::{Identity, Progress, RECORDS, State};
use crate::stills::{self, Peak};
use crate::time::Length;
use gstanomaly::Error;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::{VideoFrame, VideoFrames};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A kill costs the work since the last checkpoint, which is so long ago at most.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// The next frame may be missing for so many ns, and for as long as two frames take, before that is a problem.
const GAP_TOLERANCE: u64 = 500_000_000;
/// A video may end so many ns before the length that it declares.
const END_TOLERANCE: u64 = 1_000_000_000;
/// Lengths that containers declare are right up to one part in so many.
const DECLARED_PRECISION: u64 = 50;

/// How a video of the command line fared.
#[derive(Debug)]
pub enum Outcome {
    /// It was audited, now or before.
    Done(Box<State>),
    /// Another process is at it.
    Busy,
    /// It was there when the audit began.
    Gone,
}

/// What the audit of every video has in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Every so many-th frame is inspected.
    pub every: u64,
    /// Inspected frames that it takes to change the decision.
    pub hold: u32,
}

/// Audits a video, or what a run before has left of it; its results lie in `folder`.
///
/// # Errors
/// If somebody wants to stop, nothing can be written, or the network fails. What is wrong with the video is no error of the audit.
pub fn audit(
    source: &Source,
    folder: &Path,
    rules: Rules,
    cascade: &mut Cascade,
    report: &mut Report<'_>,
) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let Some(_lock) = settings::reserve(folder)? else { return Ok(Outcome::Busy) };
    let identity = match Identity::of(&source.path) {
        Ok(identity) => identity,
        Err(error) => {
            report.gone(&error);
            return Ok(Outcome::Gone);
        }
    };
    let mut state = match State::load(folder)? {
        Some(state) if state.identity == identity => state,
        // It is another video than at that time, or has grown.
        Some(_) => afresh(folder, source, identity)?,
        None => State::new(source.path.to_string_lossy().into_owned(), identity),
    };
    if state.progress == Progress::Finished {
        report.known(&state);
        return Ok(Outcome::Done(Box::new(state)));
    }
    state.progress = Progress::Started;
    if let Some(peak) = state.tracker.peak() {
        let path = folder.join(RECORDS);
        let record = records::read(&path, state.inspected)?.nth(peak.record as usize).transpose()?;
        let missing = || Error::file(&path, "holds no record of an event; remove its folder to audit anew");
        state.tracker.resume(record.ok_or_else(missing)?.score);
    }
    let records = Writer::open(&folder.join(RECORDS), state.inspected)?;
    let folder = folder.to_owned();
    let mut audit =
        Audit { path: &source.path, folder, rules, state, records, peak: None, unsaved: false, end: None };
    audit.run(cascade, report)?;
    report.finished(&audit.state);
    Ok(Outcome::Done(Box::new(audit.state)))
}

/// Removes what is left of another video.
fn afresh(folder: &Path, source: &Source, identity: Identity) -> anyhow::Result<State> {
    let state = State::new(source.path.to_string_lossy().into_owned(), identity);
    // First of all: from here on the old results count no more.
    state.save(folder)?;
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            std::fs::remove_file(&path).map_err(|e| Error::io(path, e))?;
        }
    }
    Ok(state)
}

struct Audit<'a> {
    path: &'a Path,
    folder: PathBuf,
    rules: Rules,
    state: State,
    records: Writer,
    /// The worst frame of the event that goes on; none if it was saved by a run before.
    peak: Option<Peak>,
    /// Whether it is not on the disk yet.
    unsaved: bool,
    /// Where the frame before ends, in ns.
    end: Option<u64>,
}

impl Audit<'_> {
    fn run(&mut self, cascade: &mut Cascade, report: &mut Report<'_>) -> anyhow::Result<()> {
        report.started(&self.state);
        let mut checkpoint = Instant::now();
        let failure = match VideoFrames::open(self.path) {
            Err(failure) => Some(failure),
            Ok(mut frames) => loop {
                if report.must_stop() {
                    self.checkpoint()?;
                    interrupt::check()?;
                    return Err(Stopped.into());
                }
                match frames.next_frame() {
                    Ok(Some(frame)) => {
                        if frame.number == 0 {
                            self.state.declared = frames.duration().map(gst::ClockTime::nseconds);
                        }
                        match self.take(frame, cascade, report) {
                            Ok(()) => (),
                            // A format that the network cannot be shown.
                            Err(error) if error.downcast_ref().is_some_and(is_of_frame) => {
                                break error.downcast().ok();
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(None) => break None,
                    Err(failure) => break Some(failure),
                }
                if checkpoint.elapsed() >= CHECKPOINT {
                    self.checkpoint()?;
                    checkpoint = Instant::now();
                }
            },
        };
        self.finish(failure, report)
    }

    fn take(
        &mut self,
        frame: VideoFrame,
        cascade: &mut Cascade,
        report: &mut Report<'_>,
    ) -> anyhow::Result<()> {
        let time = frame.time.map(gst::ClockTime::nseconds);
        let before = self.end;
        self.end = time.map(|time| time + frame.duration.map_or(0, gst::ClockTime::nseconds)).or(before);
        // A run before has seen it.
        if frame.number < self.state.frames {
            return Ok(());
        }
        if let (Some(before), Some(time), Some(length)) = (before, time, frame.duration)
            && time.saturating_sub(before) > GAP_TOLERANCE.max(2 * length.nseconds())
        {
            self.state.gaps.push((before, time));
        }
        self.state.damaged_frames += u64::from(frame.damaged);
        if frame.number.is_multiple_of(self.rules.every) {
            self.inspect(frame, time, cascade, report)?;
        } else {
            self.state.frames = frame.number + 1;
        }
        self.state.end = self.end;
        report.advanced(&self.state);
        Ok(())
    }

    fn inspect(
        &mut self,
        frame: VideoFrame,
        time: Option<u64>,
        cascade: &mut Cascade,
        report: &mut Report<'_>,
    ) -> anyhow::Result<()> {
        let (anomaly, _) = cascade.inspect(&frame.info, &frame.frame()?)?;
        let mark = Mark { record: self.state.inspected, frame: frame.number, time };
        self.records.push(Record {
            frame: frame.number,
            time,
            score: anomaly.score,
            normalized: anomaly.normalized(),
            anomalous: anomaly.anomalous,
        })?;
        self.state.inspected += 1;
        self.state.frames = frame.number + 1;
        let change = self.state.tracker.update(mark, &anomaly, self.rules.hold);
        if change == Change::Peak {
            (self.peak, self.unsaved) = (Some(Peak { frame, anomaly }), true);
            return Ok(());
        }
        self.follow(change, report)
    }

    /// The number of the event that goes on.
    fn number(&self) -> usize {
        self.state.events.len() + 1
    }

    fn follow(&mut self, change: Change, report: &mut Report<'_>) -> anyhow::Result<()> {
        match change {
            Change::None | Change::Peak => (),
            Change::Ended(event) => {
                self.save_peak()?;
                self.peak = None;
                report.event(&self.state, self.number(), &event, &self.folder);
                self.state.events.push(event);
            }
            Change::Dropped => {
                stills::remove(&self.folder, self.number())?;
                (self.peak, self.unsaved) = (None, false);
            }
        }
        Ok(())
    }

    fn save_peak(&mut self) -> anyhow::Result<()> {
        if let Some(peak) = self.peak.as_ref().filter(|_| self.unsaved) {
            peak.save(&self.folder, self.number())?;
            self.unsaved = false;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> anyhow::Result<()> {
        self.save_peak()?;
        self.records.sync()?;
        Ok(self.state.save(&self.folder)?)
    }

    fn finish(&mut self, failure: Option<Error>, report: &mut Report<'_>) -> anyhow::Result<()> {
        if failure.is_none() {
            let change = self.state.tracker.finish(self.state.end);
            self.follow(change, report)?;
        }
        self.state.progress = if failure.is_some() { Progress::Failed } else { Progress::Finished };
        self.state.problem = problem(&self.state, failure);
        self.checkpoint()
    }
}

fn is_of_frame(error: &Error) -> bool {
    matches!(error, Error::Frame(_))
}

/// What is wrong with a video, in one line.
fn problem(state: &State, failure: Option<Error>) -> Option<String> {
    let mut problems = Vec::new();
    if let Some(failure) = &failure {
        // The path stands before it already.
        problems.push(match failure {
            Error::File { problem, .. } => problem.clone(),
            Error::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        });
    } else if let (Some(declared), Some(end)) = (state.declared, state.end)
        && declared.saturating_sub(end) > END_TOLERANCE.max(declared / DECLARED_PRECISION)
    {
        problems.push(format!("ends after {} of the {} that it declares", Length(end), Length(declared)));
    }
    let missing: u64 = state.gaps.iter().map(|(from, to)| to - from).sum();
    match state.gaps.as_slice() {
        [] => (),
        [(from, to)] => problems.push(format!("no frames from {} to {}", Length(*from), Length(*to))),
        gaps => problems.push(format!("no frames in {} places, {} in all", gaps.len(), Length(missing))),
    }
    match state.damaged_frames {
        0 => (),
        1 => problems.push("1 damaged frame".into()),
        count => problems.push(format!("{count} damaged frames")),
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}
