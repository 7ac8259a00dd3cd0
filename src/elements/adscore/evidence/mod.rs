//! Evidence: stills and data of anomalous frames, kept in a folder of limited size.
//!
//! The streaming thread decides which frames are worth it ([`moments`]) and copies those; everything else happens on a thread
//! of its own. What that thread has no time for is counted and left out: the video never waits.

mod folder;
mod moments;
mod record;
mod still;
mod worker;

use super::super::timeline::Timeline;
use super::super::{guard, lock};
use super::AdScore;
use crate::error::{Error, Result};
use crate::frame::ValueRange;
use crate::meta::AnomalyMeta;
use folder::Folder;
use gst::prelude::*;
use moments::{Moment, Moments};
use record::{Shot, Times};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use still::Stills;
use worker::{Work, Worker};

/// Frames that may wait to be written.
const WAITING: usize = 8;
/// How long the end of the stream waits for them.
const PATIENCE: Duration = Duration::from_millis(1500);
/// From one warning to the next: what goes wrong may do so many times a second.
const CALM: Duration = Duration::from_secs(10);
/// What the names of a record's files may end with.
const ENDS: [&str; 5] = [".png", ".jpg", "-overlay.png", "-overlay.jpg", ".json"];

/// The file format of stills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAnomalyEvidenceFormat")]
#[repr(i32)]
pub enum Format {
    /// Lossless: the still has the pixels that were inspected.
    #[default]
    #[enum_value(name = "PNG, lossless", nick = "png")]
    Png,
    /// A fifth of the size or less.
    #[enum_value(name = "JPEG, smaller", nick = "jpeg")]
    Jpeg,
}

impl Format {
    /// Ends of the names of the still and of the still with the overlay.
    fn ends(self) -> [&'static str; 2] {
        match self {
            Self::Png => [".png", "-overlay.png"],
            Self::Jpeg => [".jpg", "-overlay.jpg"],
        }
    }
}

/// What the user has set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    folder: Option<PathBuf>,
    /// In MiB.
    limit: u32,
    format: Format,
    /// In milliseconds.
    interval: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folder: None, limit: 1024, format: Format::default(), interval: 1000 }
    }
}

/// The properties' common beginning.
pub(super) const PROPERTIES: &str = "evidence-";

pub(super) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("evidence-folder")
            .nick("Evidence folder")
            .blurb("Folder that stills and data of anomalous frames are stored in, of this element alone (empty = none are)")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("evidence-limit")
            .nick("Evidence limit")
            .blurb("MiB that the stored evidence may take: the oldest makes room for the new")
            .minimum(1)
            .default_value(default.limit)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("evidence-format", default.format)
            .nick("Evidence format")
            .blurb("File format of the stills")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("evidence-interval")
            .nick("Evidence interval")
            .blurb("Milliseconds from still to still of one anomaly at least, apart from its first and its worst frame")
            .default_value(default.interval)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("evidence-stored")
            .nick("Evidence stored")
            .blurb("Frames that were stored since the start")
            .read_only()
            .build(),
        glib::ParamSpecUInt64::builder("evidence-dropped")
            .nick("Evidence dropped")
            .blurb("Frames that could not be stored since the start: there was no time, or no room")
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// Sets a property.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "evidence-folder" => self.folder = guard::file_name(value),
            "evidence-limit" => self.limit = value.get().expect("checked by GObject"),
            "evidence-format" => self.format = value.get().expect("checked by GObject"),
            "evidence-interval" => self.interval = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
    }

    /// Reads a property.
    pub(super) fn get(&self, name: &str, counters: &Counters) -> glib::Value {
        match name {
            "evidence-folder" => self.folder.to_value(),
            "evidence-limit" => self.limit.to_value(),
            "evidence-format" => self.format.to_value(),
            "evidence-interval" => self.interval.to_value(),
            "evidence-stored" => counters.stored.load(Ordering::Relaxed).to_value(),
            "evidence-dropped" => counters.dropped.load(Ordering::Relaxed).to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }
}

/// What became of the frames that were to be stored.
#[derive(Debug, Default)]
pub(super) struct Counters {
    stored: AtomicU64,
    dropped: AtomicU64,
    /// When the last warning was posted.
    warned: Mutex<Option<Instant>>,
}

/// The evidence of one stream, from start to stop.
pub(super) struct Evidence {
    moments: Moments<Shot>,
    worker: Worker<Moment<Shot>>,
    /// For frames without time stamps.
    start: Instant,
    reporter: Reporter,
    /// The format of the frames, once it is known.
    pub(super) info: Option<gst_video::VideoInfo>,
}

impl Evidence {
    /// Opens the folder and starts the thread; `None` where the user wants no evidence.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(super) fn start(
        element: &AdScore,
        settings: &Settings,
        counters: &Arc<Counters>,
    ) -> Result<Option<Self>> {
        let Some(path) = settings.folder.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(None);
        };
        let folder = Folder::open(path, u64::from(settings.limit) << 20)?;
        counters.stored.store(0, Ordering::Relaxed);
        counters.dropped.store(0, Ordering::Relaxed);
        *lock(&counters.warned) = None;
        let reporter = Reporter { element: element.downgrade(), counters: counters.clone() };
        let writer = Writer {
            folder,
            stills: Stills::new(settings.format),
            format: settings.format,
            reporter: reporter.clone(),
        };
        let worker = Worker::start("adscore evidence", WAITING, writer).map_err(|e| Error::io(path, e))?;
        Ok(Some(Self {
            moments: Moments::new(Duration::from_millis(settings.interval.into())),
            worker,
            start: Instant::now(),
            reporter,
            info: None,
        }))
    }

    /// Takes in a frame with its final result; `range` is what its bundle takes for black and white in 16 bits.
    pub(super) fn observe(
        &mut self,
        buffer: &gst::BufferRef,
        meta: &AnomalyMeta,
        range: Option<ValueRange>,
        timeline: &Timeline,
        source: &str,
    ) {
        let running = timeline.running_time(buffer);
        let now = running.map_or_else(|| self.start.elapsed(), Into::into);
        let info = &self.info;
        let shoot = || {
            Ok::<_, glib::BoolError>(Shot {
                frame: buffer.copy_deep()?,
                info: info.clone().ok_or_else(|| glib::bool_error!("it came before its caps"))?,
                range,
                meta: meta.clone(),
                times: Times {
                    wall: glib::DateTime::now_utc()?,
                    pts: buffer.pts(),
                    running,
                    stream: timeline.stream_time(buffer),
                },
                source: source.into(),
            })
        };
        match self.moments.observe((meta.anomalous, meta.score, now), shoot) {
            Ok(moment) => self.keep(moment),
            Err(e) => self.reporter.dropped(&Error::Frame(format!("cannot be copied: {e}"))),
        }
    }

    /// Ends the event that may be going on: its peak is stored.
    pub(super) fn end(&mut self) {
        let moment = self.moments.end();
        self.keep(moment);
    }

    /// Waits a little until everything is stored.
    pub(super) fn stop(mut self) {
        self.end();
        if !self.worker.finish(PATIENCE) {
            let problem = format!("evidence was not all stored {} ms after the end", PATIENCE.as_millis());
            self.reporter.warn(gst::ResourceError::Write, &problem);
        }
    }

    fn keep(&self, moment: Option<Moment<Shot>>) {
        if let Some(moment) = moment
            && self.worker.offer(moment).is_err()
        {
            self.reporter.dropped(&Error::Frame(format!(
                "{WAITING} are waiting to be stored: the folder or the processor is too slow"
            )));
        }
    }
}

/// Counts, and tells the application.
#[derive(Clone)]
struct Reporter {
    element: glib::WeakRef<AdScore>,
    counters: Arc<Counters>,
}

impl Reporter {
    fn stored(&self) {
        self.counters.stored.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts each one, and warns now and then.
    fn dropped(&self, error: &Error) {
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        let mut warned = lock(&self.counters.warned);
        if warned.is_some_and(|last| last.elapsed() < CALM) {
            return;
        }
        *warned = Some(Instant::now());
        drop(warned);
        let full =
            matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
        let kind = if full { gst::ResourceError::NoSpaceLeft } else { gst::ResourceError::Write };
        self.warn(
            kind,
            &format!("a frame was not stored as evidence: {error} (evidence-dropped counts them)"),
        );
    }

    fn warn(&self, kind: gst::ResourceError, problem: &str) {
        if let Some(element) = self.element.upgrade() {
            gst::element_warning!(element, kind, ("{problem}"));
        }
    }
}

/// The thread's work.
struct Writer {
    folder: Folder,
    stills: Stills,
    format: Format,
    reporter: Reporter,
}

impl Writer {
    fn store(&mut self, moment: &Moment<Shot>) -> Result<()> {
        let title = moment.title()?;
        let [plain, overlay] = self.stills.make(&moment.frame)?;
        self.folder.store(&title, |stem| {
            let ends = self.format.ends();
            let json = moment.json(ends.map(|end| format!("{stem}{end}")))?;
            Ok(vec![(ends[0], plain), (ends[1], overlay), (".json", format!("{json:#}\n").into_bytes())])
        })
    }
}

impl Work<Moment<Shot>> for Writer {
    fn work(&mut self, moment: Moment<Shot>) {
        match self.store(&moment) {
            Ok(()) => self.reporter.stored(),
            Err(e) => self.reporter.dropped(&e),
        }
    }

    fn abandon(&mut self, _moment: Moment<Shot>) {
        self.reporter.counters.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
