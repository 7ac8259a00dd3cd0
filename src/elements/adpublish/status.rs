//! What is known of the stream at this moment, for those who must tell a camera that sees good parts from one that sees none.
//!
//! Two kinds of messages come from here: the state, of which only the newest counts, and notices that inspection was interrupted and
//! has resumed, which stand among the messages about frames.

use super::super::lock;
use super::queue::{Message, Queue};
use super::record::iso_time;
use super::settings::Settings;
use crate::methods::Level;
use event_listener::{Event, EventListener};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Between two states at least: a level that flickers is not worth more.
const SPACING: Duration = Duration::from_millis(100);
/// When nothing is due.
const LATER: Duration = Duration::from_secs(3600);

/// What the stream brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Input {
    /// Nothing has come yet.
    #[default]
    Waiting,
    /// Frames that were inspected.
    Inspected,
    /// Frames without a result.
    NoResult,
    /// Nothing, for too long.
    NoFrames,
    /// Nothing: the source is being connected anew.
    Interrupted,
    /// The stream has ended.
    Ended,
}

impl Input {
    /// Whether nobody inspects although somebody should.
    fn fails(self) -> bool {
        matches!(self, Self::NoResult | Self::NoFrames | Self::Interrupted)
    }
}

/// A frame as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) level: Level,
    pub(super) fresh: bool,
    pub(super) score: f64,
    pub(super) skipped: u64,
}

/// What does not change between start and stop.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) camera: Option<String>,
    /// Between two states, if nothing changes.
    pub(super) heartbeat: Option<Duration>,
    /// After so long without a frame inspection is interrupted.
    pub(super) silence: Option<Duration>,
    /// Microseconds since 1970.
    pub(super) started: i64,
}

impl Terms {
    /// From now on.
    pub(super) fn new(settings: &Settings) -> Self {
        let seconds = |seconds: u32| Some(seconds).filter(|&s| s > 0).map(|s| Duration::from_secs(s.into()));
        Self {
            camera: settings.camera.clone(),
            heartbeat: seconds(settings.heartbeat),
            silence: seconds(settings.max_silence),
            started: glib::real_time(),
        }
    }

    /// What the broker says for us when we are lost; it does not know when that is.
    #[cfg(feature = "mqtt")]
    pub(super) fn last_will(&self) -> Vec<u8> {
        self.farewell("lost", None)
    }

    fn farewell(&self, reason: &'static str, at: Option<i64>) -> Vec<u8> {
        let farewell = Farewell {
            time: at.and_then(time),
            camera: self.camera.as_deref(),
            online: false,
            reason,
            level: UNKNOWN,
            since: at.and_then(time),
            started: time(self.started),
        };
        serde_json::to_vec(&farewell).unwrap_or_default()
    }
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Counts {
    frames: u64,
    inspected: u64,
    skipped: u64,
    warned: u64,
    rejected: u64,
    same_score: u64,
}

#[derive(Debug)]
struct Situation {
    input: Input,
    level: Option<Level>,
    /// Since when both are so; microseconds since 1970 here and below.
    since: i64,
    counts: Counts,
    score: Option<f64>,
    source: String,
    last_frame: Option<i64>,
    /// When the last frame came, or the stream began to be waited for.
    alive: Instant,
    /// Why and since when inspection is interrupted, once that was said.
    interrupted: Option<(Input, i64)>,
    /// When the last state was made.
    told: Option<Instant>,
    changed: bool,
    over: bool,
}

/// The state of a camera; see `docs/publish.schema.json`.
#[derive(Debug, Serialize)]
struct State<'a> {
    time: Option<String>,
    camera: Option<&'a str>,
    source: &'a str,
    online: bool,
    input: Input,
    level: &'static str,
    since: Option<String>,
    started: Option<String>,
    heartbeat: u64,
    last_frame: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    published: u64,
    dropped: u64,
}

/// The last state: nobody inspects any more.
#[derive(Debug, Serialize)]
struct Farewell<'a> {
    time: Option<String>,
    camera: Option<&'a str>,
    online: bool,
    reason: &'static str,
    level: &'static str,
    since: Option<String>,
    started: Option<String>,
}

/// That inspection is interrupted, or has resumed.
#[derive(Debug, Serialize)]
struct Notice<'a> {
    time: Option<String>,
    camera: Option<&'a str>,
    source: &'a str,
    /// Number of the next frame.
    frame: u64,
    state: &'static str,
    reason: Input,
    level: &'static str,
    since: Option<String>,
}

/// The level of which nothing is known.
const UNKNOWN: &str = "none";

fn time(microseconds: i64) -> Option<String> {
    iso_time(microseconds).ok()
}

/// Shared by the streaming thread, which tells what comes, and the one that sees to it that the time is noticed.
#[derive(Debug)]
pub(super) struct Status {
    terms: Terms,
    /// Whether somebody delivers states.
    states: bool,
    queue: Arc<Queue>,
    situation: Mutex<Situation>,
    changed: Event,
}

impl Status {
    /// The state before the first frame; messages go into `queue`.
    pub(super) fn new(terms: Terms, states: bool, queue: Arc<Queue>, source: String) -> Self {
        let situation = Situation {
            input: Input::Waiting,
            level: None,
            since: terms.started,
            counts: Counts::default(),
            score: None,
            source,
            last_frame: None,
            alive: Instant::now(),
            interrupted: None,
            told: None,
            changed: true,
            over: false,
        };
        Self { terms, states, queue, situation: Mutex::new(situation), changed: Event::new() }
    }

    /// Another stream comes.
    pub(super) fn source(&self, source: &str) {
        source.clone_into(&mut lock(&self.situation).source);
    }

    /// A frame has come; `look` is its result.
    pub(super) fn frame(&self, look: Option<Look>) {
        let mut situation = lock(&self.situation);
        let now = glib::real_time();
        (situation.alive, situation.last_frame) = (Instant::now(), Some(now));
        let (input, level) = match look {
            Some(look) => (Input::Inspected, Some(look.level)),
            None => (Input::NoResult, None),
        };
        self.enter(&mut situation, input, level, now);
        situation.counts.frames += 1;
        situation.counts.skipped += look.map_or(0, |look| look.skipped);
        if let Some(look) = look.filter(|look| look.fresh) {
            let counts = &mut situation.counts;
            counts.inspected += 1;
            counts.warned += u64::from(look.level == Level::Warn);
            counts.rejected += u64::from(look.level == Level::Reject);
            let same = situation.score.replace(look.score).map(f64::to_bits) == Some(look.score.to_bits());
            situation.counts.same_score = if same { situation.counts.same_score + 1 } else { 1 };
        }
    }

    /// The stream has ended, or its source is being connected anew.
    pub(super) fn enters(&self, input: Input) {
        self.enter(&mut lock(&self.situation), input, None, glib::real_time());
    }

    fn enter(&self, situation: &mut Situation, input: Input, level: Option<Level>, now: i64) {
        if (situation.input, situation.level) == (input, level) {
            return;
        }
        (situation.input, situation.level, situation.since, situation.changed) = (input, level, now, true);
        match situation.interrupted {
            None if input.fails() => {
                situation.interrupted = Some((input, now));
                self.notice(situation, "interrupted", (input, now), now);
            }
            Some(interruption) if input == Input::Inspected => {
                situation.interrupted = None;
                self.notice(situation, "resumed", interruption, now);
            }
            _ => (),
        }
        self.changed.notify(usize::MAX);
    }

    /// Puts a notice among the messages. The lock is held, so that they come in the order of what they tell.
    fn notice(&self, situation: &Situation, state: &'static str, (reason, since): (Input, i64), now: i64) {
        let notice = Notice {
            time: time(now),
            camera: self.terms.camera.as_deref(),
            source: &situation.source,
            frame: situation.counts.frames,
            state,
            reason,
            level: UNKNOWN,
            since: time(since),
        };
        // Text and numbers can always be written.
        if let Ok(json) = serde_json::to_vec(&notice) {
            self.queue.push(Message { json, time: now });
        }
    }

    /// Resolves at the next change; to be made before one looks.
    pub(super) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    /// Notices that no frame comes, and hands over the state where that is due; says when to look again, or that it is over.
    pub(super) fn look(&self) -> Option<Instant> {
        let mut situation = lock(&self.situation);
        if situation.over {
            return None;
        }
        let now = Instant::now();
        let mut next = now + LATER;
        let waits = matches!(situation.input, Input::Waiting | Input::Inspected | Input::NoResult);
        if let Some(silent) = self.terms.silence.filter(|_| waits).map(|silence| situation.alive + silence) {
            match silent <= now {
                true => self.enter(&mut situation, Input::NoFrames, None, glib::real_time()),
                false => next = silent,
            }
        }
        if self.states {
            next = next.min(self.tell(&mut situation, now));
        }
        Some(next)
    }

    /// Hands over the state where it has changed or the time has come; says when that will be next.
    fn tell(&self, situation: &mut Situation, now: Instant) -> Instant {
        let after = |pause: Duration| situation.told.map_or(now, |told| told + pause);
        let due = match situation.changed {
            true => after(SPACING),
            false => self.terms.heartbeat.map_or(now + LATER, after),
        };
        if due > now {
            return due;
        }
        (situation.told, situation.changed) = (Some(now), false);
        let (published, dropped) = self.queue.counts();
        let state = State {
            time: time(glib::real_time()),
            camera: self.terms.camera.as_deref(),
            source: &situation.source,
            online: true,
            input: situation.input,
            level: situation.level.map_or(UNKNOWN, Level::name),
            since: time(situation.since),
            started: time(self.terms.started),
            heartbeat: self.terms.heartbeat.unwrap_or_default().as_secs(),
            last_frame: situation.last_frame.and_then(time),
            counts: situation.counts,
            published,
            dropped,
        };
        if let Ok(json) = serde_json::to_vec(&state) {
            self.queue.announce(json);
        }
        now + self.terms.heartbeat.unwrap_or(LATER)
    }

    /// The element stops: the last state, and no more of them.
    pub(super) fn stop(&self) {
        let mut situation = lock(&self.situation);
        situation.over = true;
        if self.states {
            self.queue.announce(self.terms.farewell("stopped", Some(glib::real_time())));
        }
        drop(situation);
        self.changed.notify(usize::MAX);
    }
}
