//! The audit of one video.

use crate::common::interrupt;
use crate::crew::{Crew, Inspected};
use crate::event_log;
use crate::events::{Change, Mark};
use crate::jobs::Stopped;
use crate::progress::Report;
use crate::records::{self, Record, Writer};
use crate::settings;
use crate::sources::Source;
use crate::state::{EVENTS, Identity, Progress, RECORDS, State};
use crate::stills::{self, Peak};
use gstanomaly::Error;
use gstanomaly::dataset::{Findings, VideoFrame, VideoFrames};
use gstanomaly::methods::{Anomaly, Level};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A kill costs the work since the last checkpoint, which is so long ago at most.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// How a video of the command line fared.
#[derive(Debug)]
pub enum Outcome {
    /// It was audited, now or before.
    Done(Box<State>),
    /// Another process is at it.
    Busy,
    /// It was there when the audit began, or what runs before have left of it cannot be used; with what is wrong.
    Unread(Error),
}

/// What the audit of every video has in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Every so many-th frame is inspected.
    pub every: u64,
    /// Inspected frames that it takes to change the decision.
    pub hold: u32,
    /// The number of the video track, from 1, if it is not left to the file.
    pub track: Option<usize>,
}

/// Audits a video, or what a run before has left of it; its results lie in `folder`.
///
/// # Errors
/// If somebody wants to stop, nothing can be written, or the network fails. What is wrong with the video, or with the results of a run
/// before, is no error of the audit.
pub fn audit(
    source: &Source,
    folder: &Path,
    rules: Rules,
    crew: &mut Crew,
    report: &mut Report<'_>,
) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let Some(_lock) = settings::reserve(folder)? else { return Ok(Outcome::Busy) };
    let before = Identity::of(&source.path).and_then(|identity| Ok((State::load(folder)?, identity)));
    let (mut state, identity) = match before {
        Ok(before) => before,
        Err(error) => return Ok(unread(error, report)),
    };
    // It may be another video than at that time, or have grown.
    if state.as_ref().is_some_and(|state| state.identity != identity) {
        afresh(folder, source, identity.clone())?;
        state = None;
    }
    let state = state.unwrap_or_else(|| State::new(source.path.to_string_lossy().into_owned(), identity));
    if state.progress == Progress::Finished {
        report.known(&state);
        return Ok(Outcome::Done(Box::new(state)));
    }
    let mut audit = match Audit::resume(&source.path, folder, rules, state) {
        Ok(audit) => audit,
        Err(error @ Error::File { .. }) => return Ok(unread(error, report)),
        Err(error) => return Err(error.into()),
    };
    audit.run(crew, report)?;
    report.finished(&audit.state);
    Ok(Outcome::Done(Box::new(audit.state)))
}

fn unread(error: Error, report: &Report<'_>) -> Outcome {
    report.unread(&error);
    Outcome::Unread(error)
}

/// Removes what is left of another video.
fn afresh(folder: &Path, source: &Source, identity: Identity) -> gstanomaly::Result<()> {
    // First of all: from here on the old results count no more.
    State::new(source.path.to_string_lossy().into_owned(), identity).save(folder)?;
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            std::fs::remove_file(&path).map_err(|e| Error::io(path, e))?;
        }
    }
    Ok(())
}

/// A frame on its way through, whose turn has not come yet.
struct Passing {
    number: u64,
    /// In the video, in ns, if it has one.
    time: Option<u64>,
    /// When it ends.
    end: Option<u64>,
    /// Whether it was handed to the crew.
    inspected: bool,
}

impl Passing {
    /// Of a frame; runs before have seen the first `known` ones.
    fn of(frame: &VideoFrame, rules: Rules, known: u64) -> Self {
        Self {
            number: frame.number,
            time: frame.time.map(gst::ClockTime::nseconds),
            end: frame.time.map(|time| time.saturating_add(frame.duration.unwrap_or_default()).nseconds()),
            inspected: frame.number >= known && frame.number.is_multiple_of(rules.every),
        }
    }
}

struct Audit<'a> {
    path: &'a Path,
    folder: PathBuf,
    rules: Rules,
    state: State,
    records: Writer,
    events: event_log::Writer,
    /// The worst frame of the event that goes on; none if it was saved by a run before.
    peak: Option<Peak>,
    /// Whether it is not on the disk yet.
    unsaved: bool,
    /// Where the frame before ends, in ns.
    end: Option<u64>,
}

impl<'a> Audit<'a> {
    /// From where a run before has left it.
    fn resume(path: &'a Path, folder: &Path, rules: Rules, mut state: State) -> gstanomaly::Result<Self> {
        state.progress = Progress::Started;
        let records = folder.join(RECORDS);
        if let Some(peak) = state.tracker.peak() {
            let record = records::read(&records, state.inspected)?.nth(peak.record as usize).transpose()?;
            let missing =
                || Error::file(&records, "holds no record of an event; remove its folder to audit anew");
            state.tracker.resume(record.ok_or_else(missing)?.score);
        }
        let records = Writer::open(&records, state.inspected)?;
        let events = event_log::Writer::open(&folder.join(EVENTS), state.event_bytes)?;
        let folder = folder.to_owned();
        Ok(Self { path, folder, rules, state, records, events, peak: None, unsaved: false, end: None })
    }

    fn run(&mut self, crew: &mut Crew, report: &mut Report<'_>) -> anyhow::Result<()> {
        report.started(&self.state);
        let (failed, findings) = match VideoFrames::open(self.path, self.rules.track) {
            Ok(mut frames) => {
                let failure = self.watch(&mut frames, crew, report)?;
                self.state.without_video = matches!(failure, Some(Error::NoVideo(_)));
                (failure.is_some(), frames.findings(failure.as_ref()))
            }
            Err(failure) => (true, Findings::unopened(&failure)),
        };
        crew.discard()?;
        if !failed {
            let change = self.state.tracker.finish(self.state.end);
            self.follow(change, report)?;
        }
        self.state.progress = if failed { Progress::Failed } else { Progress::Finished };
        self.state.find(findings);
        self.checkpoint()
    }

    /// Takes in all frames that there are; returns what kept it from seeing more.
    fn watch(
        &mut self,
        frames: &mut VideoFrames,
        crew: &mut Crew,
        report: &mut Report<'_>,
    ) -> anyhow::Result<Option<Error>> {
        let known = self.state.frames;
        let mut checkpoint = Instant::now();
        let mut waiting = VecDeque::new();
        let failure = loop {
            if report.must_stop() {
                crew.discard()?;
                self.checkpoint()?;
                interrupt::check()?;
                return Err(Stopped.into());
            }
            let frame = match frames.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            };
            if frame.number == 0 {
                self.state.declared = frames.duration().map(gst::ClockTime::nseconds);
            }
            waiting.push_back(Passing::of(&frame, self.rules, known));
            if waiting.back().is_some_and(|passing| passing.inspected) {
                crew.send(frame)?;
            }
            while waiting.front().is_some_and(|next: &Passing| !next.inspected || crew.is_full())
                && let Some(passing) = waiting.pop_front()
            {
                if let Some(failure) = self.take(&passing, crew, report)? {
                    return Ok(Some(failure));
                }
            }
            if checkpoint.elapsed() >= CHECKPOINT {
                self.checkpoint()?;
                checkpoint = Instant::now();
            }
        };
        for passing in waiting {
            if let Some(failure) = self.take(&passing, crew, report)? {
                return Ok(Some(failure));
            }
        }
        Ok(failure)
    }

    /// Takes in the next frame; returns what is wrong where the network cannot be shown such frames.
    fn take(
        &mut self,
        passing: &Passing,
        crew: &mut Crew,
        report: &mut Report<'_>,
    ) -> anyhow::Result<Option<Error>> {
        self.end = passing.end.or(self.end);
        // A run before has seen it.
        if passing.number < self.state.frames {
            return Ok(None);
        }
        if passing.inspected {
            let Inspected { frame, anomaly } = crew.receive()?;
            match anomaly {
                Ok(anomaly) => self.judge(frame, anomaly, passing.time, report)?,
                Err(error @ Error::Frame(_)) => return Ok(Some(error)),
                Err(error) => return Err(error.into()),
            }
        }
        self.state.frames = passing.number + 1;
        self.state.end = self.end;
        report.advanced(&self.state);
        Ok(None)
    }

    fn judge(
        &mut self,
        frame: VideoFrame,
        anomaly: Anomaly,
        time: Option<u64>,
        report: &mut Report<'_>,
    ) -> anyhow::Result<()> {
        let mark = Mark { record: self.state.inspected, frame: frame.number, time };
        self.records.push(Record {
            frame: frame.number,
            time,
            score: anomaly.score,
            normalized: anomaly.normalized(),
            level: anomaly.level(),
        })?;
        self.state.warn_frames += u64::from(anomaly.level() == Level::Warn);
        self.state.inspected += 1;
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
                self.events.push(&event)?;
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
        self.state.event_bytes = self.events.sync()?;
        Ok(self.state.save(&self.folder)?)
    }
}
