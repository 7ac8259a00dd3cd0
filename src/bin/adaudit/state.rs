//! How far the audit of one video is.
//!
//! One small file, replaced atomically; everything that it counts is on the disk before. A kill at any moment leaves the state before
//! or the state after, and what was written since the one before is written again.

use crate::event_log;
use crate::events::{Change, Event, Tracker};
use gstanomaly::dataset::{Findings, Gap};
use gstanomaly::evaluate::write_atomically;
use gstanomaly::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The state's file name in the video's folder.
pub const STATE: &str = "state.json";
/// The records' file name in the video's folder.
pub const RECORDS: &str = "frames.bin";
/// The file name of the events that have ended in the video's folder.
pub const EVENTS: &str = "events.jsonl";

/// What tells a file from what was there before under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its size.
    pub bytes: u64,
    /// When it was last written to, in ns since 1970.
    pub modified: u64,
}

impl Identity {
    /// Of the file as it is now.
    pub fn of(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(|e| Error::io(path, e))?;
        let modified = metadata.modified().map_err(|e| Error::io(path, e))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { bytes: metadata.len(), modified: since.as_nanos() as u64 })
    }
}

/// Whether a video is done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// It goes on from here.
    #[default]
    Started,
    /// It ended with an error: what could be read is kept, and the next run tries again from there.
    Failed,
    /// All of it was seen.
    Finished,
}

/// Everything about a video but its records and stills; the events are in a file of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The video, as it was named.
    pub video: String,
    pub identity: Identity,
    pub progress: Progress,
    /// What was wrong with it.
    pub problem: Option<String>,
    /// Frames decoded.
    pub frames: u64,
    /// Frames inspected, which is the number of records.
    pub inspected: u64,
    /// Inspected frames that are in warn; older versions did not count them.
    #[serde(default)]
    pub warn_frames: u64,
    /// What is worth knowing of it and no problem.
    #[serde(default)]
    pub note: Option<String>,
    /// Where it has no frames for longer than is usual for it, in ns.
    pub gaps: Vec<Gap>,
    /// How often its clock jumps.
    #[serde(default)]
    pub jumps: usize,
    /// The number of the video track that was inspected, from 1, and how many there are.
    #[serde(default)]
    pub track: Option<usize>,
    #[serde(default)]
    pub tracks: Option<usize>,
    /// Whether the file has other streams and no video.
    #[serde(default)]
    pub without_video: bool,
    /// Its length by what its container says, in ns.
    pub declared: Option<u64>,
    /// Where its last frame ends, in ns.
    pub end: Option<u64>,
    /// The events that have ended.
    #[serde(skip)]
    pub events: Vec<Event>,
    /// The bytes that they have in their file.
    pub event_bytes: u64,
    pub tracker: Tracker,
}

impl State {
    /// Of a video that nobody has looked at.
    pub fn new(video: String, identity: Identity) -> Self {
        Self {
            video,
            identity,
            progress: Progress::Started,
            problem: None,
            frames: 0,
            inspected: 0,
            warn_frames: 0,
            note: None,
            gaps: Vec::new(),
            jumps: 0,
            track: None,
            tracks: None,
            without_video: false,
            declared: None,
            end: None,
            events: Vec::new(),
            event_bytes: 0,
            tracker: Tracker::default(),
        }
    }

    /// Keeps what was found out about the recording.
    pub fn find(&mut self, findings: Findings) {
        let Findings { problem, note, gaps, jumps, track } = findings;
        (self.track, self.tracks) = (track.map(|track| track.number), track.map(|track| track.of));
        (self.problem, self.note, self.gaps, self.jumps) = (problem, note, gaps, jumps.len());
        if self.jumps > 0 {
            // The clock that it is told by jumps, too.
            self.declared = None;
        }
    }

    /// The length of its gaps together, in ns.
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|(from, to)| to - from).sum()
    }

    /// The event that went on where the video ended with an error.
    pub fn last_event(&self) -> Option<Event> {
        match self.tracker.clone().finish(self.end) {
            Change::Ended(event) => Some(event),
            Change::None | Change::Peak | Change::Dropped => None,
        }
    }

    /// Events, with one that went on where the video ended with an error.
    pub fn count_events(&self) -> usize {
        self.events.len() + usize::from(self.last_event().is_some())
    }

    /// How much of the video was seen, 0 to 1, by its declared length.
    pub fn fraction(&self) -> f64 {
        match (self.declared, self.end) {
            (Some(declared @ 1..), Some(end)) => (end as f64 / declared as f64).min(1.0),
            _ => 0.0,
        }
    }

    /// The state in a video's folder; none if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(STATE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let damaged = |e| Error::file(&path, format!("{e}; remove its folder to audit the video anew"));
        let mut state: Self = serde_json::from_slice(&text).map_err(damaged)?;
        state.events = event_log::read(&folder.join(EVENTS), state.event_bytes)?;
        Ok(Some(state))
    }

    /// Replaces the state in a video's folder.
    ///
    /// # Errors
    /// If it cannot be written; the state before is then still there.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(STATE);
        write_atomically(&path, |file| serde_json::to_writer(file, self).map_err(Into::into))
            .map_err(|e| Error::io(&path, e))
    }
}
