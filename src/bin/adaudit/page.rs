//! The page: one HTML file that needs nothing else, neither network nor other files.
//!
//! File names come from whoever recorded the videos and are untrusted: the template escapes them, and the page's content security
//! policy lets no script run but its own.

use crate::common::pictures;
use crate::events::Event;
use crate::records::Record;
use crate::results::{Sink, Totals, Video};
use crate::settings::{Levels, Settings};
use crate::stills;
use crate::time::{Length, seconds};
use crate::timeline::{HEIGHT, Stretch, Timeline, WIDTH};
use anyhow::Context;
use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::path::Path;

const SCRIPT: &str = include_str!("../../../templates/audit.js");
const STYLE: &str =
    concat!(include_str!("../../../templates/report.css"), include_str!("../../../templates/audit.css"));

/// Longer side of a picture in the page.
const SIDE: u32 = 640;
/// Quality of its JPEG.
const QUALITY: u8 = 80;
/// Events on the page; there is room for the worst. All of them are in the tables.
const MOST_CARDS: usize = 2000;
/// Limit of all pictures together, in bytes of the page; the worst events have theirs first.
const MOST_PICTURE_BYTES: usize = 24_000_000;
/// Stretches of all timelines together, and of one at most and at least.
const STRETCHES: (usize, usize, usize) = (400_000, 1000, 50);

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    version: &'static str,
    style: &'static str,
    script: &'static str,
    script_hash: String,
    title: String,
    totals: Totals,
    length: Length,
    facts: Vec<(&'static str, String)>,
    lanes: Vec<Lane<'a>>,
    cards: Vec<Card<'a>>,
    with_pictures: bool,
    width: f64,
    height: f64,
    /// Where the warn level lies in a timeline, from its top.
    warn: Option<f64>,
}

/// A video.
struct Lane<'a> {
    video: &'a Video,
    name: String,
    /// Which of several tracks it is.
    track: Option<String>,
    length: String,
    timeline: Timeline,
    /// Its events that have a card, with the card's place in the gallery.
    marks: Vec<(Stretch, usize)>,
}

/// An event.
struct Card<'a> {
    video: &'a Video,
    name: String,
    event: &'a Event,
    number: usize,
    start: String,
    start_seconds: f64,
    duration: String,
    duration_seconds: f64,
    score: String,
    normalized: String,
    raw: f64,
    /// Normalised score in percent, for the gauge.
    percent: f64,
    /// Files beside the page, if it has some.
    stills: Option<[String; 2]>,
    /// Data URLs of them.
    pictures: Option<[String; 2]>,
}

impl<'a> Card<'a> {
    fn new(video: &'a Video, number: usize, event: &'a Event, peak: &'a Record) -> Self {
        let time = |time: Option<u64>, frame: u64| match time {
            Some(time) => Length(time).to_string(),
            None => format!("frame {frame}"),
        };
        Self {
            video,
            name: name(video),
            event,
            number,
            start: time(event.first.time, event.first.frame),
            start_seconds: event.first.time.map_or(event.first.frame as f64, seconds),
            duration: event.duration().map_or_else(String::new, |length| format!("{:.1} s", seconds(length))),
            duration_seconds: event.duration().map_or(0.0, seconds),
            score: format!("{:.4}", peak.score),
            normalized: format!("{:.3}", peak.normalized),
            raw: peak.score,
            percent: 100.0 * peak.normalized,
            stills: Some(video.stills(number)).filter(|[still, _]| !still.is_empty()),
            pictures: None,
        }
    }

    /// Puts the pictures in; returns their bytes in the page. Somebody may have removed them.
    fn illustrate(&mut self) -> usize {
        let url = |name: String| data_url(&self.video.file(&name)).ok();
        let pictures =
            stills::names(self.number).and_then(|(still, overlay)| Some([url(still)?, url(overlay)?]));
        self.pictures = pictures;
        self.pictures.iter().flatten().map(String::len).sum()
    }
}

fn name(video: &Video) -> String {
    let path = Path::new(&video.state.video);
    path.file_name().map_or_else(|| video.state.video.clone(), |name| name.to_string_lossy().into_owned())
}

fn data_url(path: &Path) -> anyhow::Result<String> {
    let image = image::open(path).with_context(|| path.display().to_string())?.into_rgb8();
    let bytes = pictures::jpeg(&pictures::reduce(image, SIDE), QUALITY)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

/// Writes the page.
pub fn write(
    videos: &[Video],
    settings: &Settings,
    levels: Levels,
    out: &mut dyn Sink,
) -> anyhow::Result<()> {
    let mut cards: Vec<Card> = videos
        .iter()
        .flat_map(|video| {
            let events = video.events.iter().zip(&video.peaks).enumerate();
            events.map(move |(i, (event, peak))| Card::new(video, i + 1, event, peak))
        })
        .collect();
    // The worst first; what has the same score stays in the order of time.
    cards.sort_by(|a, b| b.raw.total_cmp(&a.raw));
    cards.truncate(MOST_CARDS);
    let mut bytes = 0;
    for card in &mut cards {
        if bytes >= MOST_PICTURE_BYTES {
            break;
        }
        bytes += card.illustrate();
    }
    let with_pictures = cards.iter().all(|card| card.pictures.is_some());
    let (all, most, least) = STRETCHES;
    let stretches = (all / videos.len().max(1)).clamp(least, most);
    let lanes = videos.iter().map(|video| Lane::new(video, stretches, &cards)).collect::<Result<_, _>>()?;
    let totals = Totals::of(videos.iter().map(|video| &video.state));
    let mut page = Page {
        version: env!("CARGO_PKG_VERSION"),
        style: STYLE,
        script: SCRIPT,
        script_hash: STANDARD.encode(Sha256::digest(SCRIPT)),
        title: settings.model.clone(),
        totals,
        length: Length(totals.length),
        facts: facts(&totals, videos, settings, levels),
        lanes,
        cards,
        with_pictures,
        width: WIDTH,
        height: HEIGHT,
        warn: levels.warn.map(|warn| HEIGHT * (1.0 - levels.range.normalise(warn))),
    };
    // Lanes with something to see come first.
    page.lanes.sort_by_key(|lane| std::cmp::Reverse(lane.video.events.len().min(1)));
    Ok(page.write_into(out)?)
}

impl<'a> Lane<'a> {
    fn new(video: &'a Video, stretches: usize, cards: &[Card<'_>]) -> gstanomaly::Result<Self> {
        let own = cards.iter().enumerate().filter(|(_, card)| std::ptr::eq(card.video, video));
        let mut places: Vec<(usize, usize)> = own.map(|(place, card)| (card.number, place)).collect();
        places.sort_unstable();
        let timeline = Timeline::new(video, stretches)?;
        let mark = |(number, place): (usize, usize)| Some((*timeline.events.get(number - 1)?, place));
        let marks = places.into_iter().filter_map(mark).collect();
        Ok(Self {
            video,
            name: name(video),
            track: video
                .state
                .track
                .zip(video.state.tracks)
                .and_then(|(track, tracks)| (tracks > 1).then(|| format!("track {track} of {tracks}"))),
            length: video.state.end.map_or_else(|| "length unknown".into(), |end| Length(end).to_string()),
            timeline,
            marks,
        })
    }
}

fn facts(
    totals: &Totals,
    videos: &[Video],
    settings: &Settings,
    levels: Levels,
) -> Vec<(&'static str, String)> {
    let inspected: u64 = videos.iter().map(|video| video.state.inspected).sum();
    let mut facts = vec![
        ("Model", settings.model.clone()),
        (
            "Threshold",
            match &settings.threshold {
                Some(threshold) => threshold.clone(),
                None => format!("{:.4}, the bundle's", levels.range.threshold),
            },
        ),
        (
            "Frames inspected",
            match settings.every {
                1 => inspected.to_string(),
                every => format!("{inspected}, one in {every}"),
            },
        ),
    ];
    if let Some(warn) = levels.warn {
        let whose = match (&settings.warn, &settings.threshold) {
            (Some(_), _) => "",
            (None, None) => ", the bundle's",
            (None, Some(_)) => ", the bundle's in proportion",
        };
        facts.push(("Warn level", format!("{warn:.4}{whose}")));
        facts.push(("Frames in warn", totals.warn_frames.to_string()));
    }
    if settings.hold > 1 {
        facts.push(("Frames to begin or end an event", settings.hold.to_string()));
    }
    if settings.min_area != "0" {
        facts.push(("Smallest region", format!("{} pixels", settings.min_area)));
    }
    if settings.ignore_mask_sha256.is_some() {
        facts.push(("Ignore mask", "in use".into()));
    }
    facts
}
