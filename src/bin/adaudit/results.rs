//! What is made of all the videos in the folder: tables and the page.

use crate::page;
use crate::records::{self, Record};
use crate::settings::{Folder, Levels, Settings};
use crate::state::{Progress, RECORDS, State};
use crate::stills;
use crate::{parquet, table};
use gstanomaly::evaluate::write_atomically;
use gstanomaly::{Error, Result};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// The page's file name.
pub const PAGE: &str = "index.html";

/// An audited video.
#[derive(Debug)]
pub struct Video {
    /// Its folder, relative to that of the results.
    pub folder: String,
    /// The same from here.
    path: PathBuf,
    pub state: State,
    pub events: Vec<crate::events::Event>,
    /// The records of the events' peaks.
    pub peaks: Vec<Record>,
}

impl Video {
    fn load(folder: &Folder, key: &str) -> Result<Option<Self>> {
        let path = folder.videos().join(key);
        let state = State::load(&path)?.filter(|state| state.progress != Progress::Started);
        let Some(state) = state else { return Ok(None) };
        let events = state.events.iter().cloned().chain(state.last_event()).collect();
        let mut video = Self { folder: format!("videos/{key}"), path, state, events, peaks: Vec::new() };
        // Events come in the order of time, and so do their peaks.
        let mut wanted = video.events.iter().map(|event| event.peak.record).peekable();
        let mut peaks = Vec::new();
        for (at, record) in video.records()?.enumerate() {
            let record = record?;
            if wanted.next_if_eq(&(at as u64)).is_some() {
                peaks.push(record);
            }
        }
        video.peaks = peaks;
        Ok(Some(video))
    }

    /// Its inspected frames.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn records(&self) -> Result<impl Iterator<Item = Result<Record>> + use<>> {
        records::read(&self.path.join(RECORDS), self.state.inspected)
    }

    /// The files of the event of this number, as it was and with overlay, relative to the folder of the results; empty if it has none.
    pub fn stills(&self, event: usize) -> [String; 2] {
        let names = stills::names(event).map(|(still, overlay)| [still, overlay]);
        names.map_or_else(Default::default, |names| names.map(|name| format!("{}/{name}", self.folder)))
    }

    /// A file in its folder, from here.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub videos: usize,
    /// Length of all videos together in ns.
    pub length: u64,
    pub events: usize,
    /// Inspected frames in warn.
    pub warn_frames: u64,
    /// Videos with a problem.
    pub damaged: usize,
    /// Files that have none.
    pub without_video: usize,
}

impl Totals {
    /// Of these videos.
    pub fn of<'a>(videos: impl Iterator<Item = &'a State>) -> Self {
        videos.fold(Self::default(), |sum, state| Self {
            videos: sum.videos + 1,
            length: sum.length + state.end.unwrap_or(0),
            events: sum.events + state.count_events(),
            warn_frames: sum.warn_frames + state.warn_frames,
            damaged: sum.damaged + usize::from(state.problem.is_some() && !state.without_video),
            without_video: sum.without_video + usize::from(state.without_video),
        })
    }
}

/// Writes tables and page of all the videos in the folder that are done with; returns also what is wrong with the results of others,
/// which are left out.
///
/// The last of several processes to come here sees what all have done, since each has finished its videos before.
///
/// # Errors
/// If the folder cannot be read, or something cannot be written.
pub fn write(folder: &Folder, settings: &Settings, levels: Levels) -> anyhow::Result<(Totals, Vec<Error>)> {
    let _lock = folder.lock()?;
    let (videos, errors) = load(folder)?;
    let file = |name: &str, content: &dyn Fn(&mut dyn Sink) -> anyhow::Result<()>| -> anyhow::Result<()> {
        let path = folder.join(name);
        write_atomically(&path, |file| content(file).map_err(std::io::Error::other))
            .map_err(|e| Error::io(path, e).into())
    };
    file("events.csv", &|out| table::events(&videos, out))?;
    file("videos.csv", &|out| table::videos(&videos, out))?;
    file("events.parquet", &|out| parquet::events(&videos, out))?;
    file("frames.parquet", &|out| parquet::frames(&videos, out))?;
    file(PAGE, &|out| page::write(&videos, settings, levels, out))?;
    Ok((Totals::of(videos.iter().map(|video| &video.state)), errors))
}

/// What tables are written to.
pub trait Sink: Write + Send {}
impl<W: Write + Send> Sink for W {}

/// All videos that are done with, by name, and what is wrong with the results of others.
fn load(folder: &Folder) -> Result<(Vec<Video>, Vec<Error>)> {
    let path = folder.videos();
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Default::default()),
        Err(e) => return Err(Error::io(path, e)),
    };
    let (mut videos, mut errors) = (Vec::new(), Vec::new());
    for entry in entries {
        let key = entry.map_err(|e| Error::io(&path, e))?.file_name();
        match Video::load(folder, &key.to_string_lossy()) {
            Ok(video) => videos.extend(video),
            Err(error) => errors.push(error),
        }
    }
    videos.sort_by(|a, b| (&a.state.video, &a.folder).cmp(&(&b.state.video, &b.folder)));
    Ok((videos, errors))
}
