//! `adaudit`: finds out when and where defects passed in hours of recorded video.

#[path = "../common/mod.rs"]
mod common;
mod crew;
mod event_log;
mod events;
mod inspect;
mod jobs;
mod page;
mod parquet;
mod progress;
mod records;
mod results;
mod settings;
mod sources;
mod state;
mod stills;
mod table;
mod time;
mod timeline;

use anyhow::{Context, bail};
use clap::Parser;
use common::failure::{self, INTERRUPTED};
use common::hardware::Hardware;
use common::interrupt;
use gstanomaly::bundle::{Bundle, MANIFEST, open_shared};
use gstanomaly::methods::{IgnoreMask, ScoreOptions};
use gstanomaly::text::shown;
use inspect::{Outcome, Rules};
use jobs::Plan;
use progress::{Board, Style};
use results::Totals;
use serde_json::json;
use settings::{Folder, Levels, Settings};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use time::Length;

/// Find out when and where defects passed in recorded video
#[derive(Debug, Parser)]
#[command(name = "adaudit", version, after_help = EXAMPLES)]
struct Arguments {
    /// The bundle that knows what good parts look like
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Folder for the results; run again with the same one, the audit goes on where it was
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Inspect only every N-th frame
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Frames with at least this score are anomalous [default: the bundle's threshold]
    #[arg(long, value_name = "SCORE", value_parser = finite, allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Frames with at least this score are in warn where they are not anomalous; never more than the threshold [default: the bundle's warn
    /// level, which moves in proportion with --threshold]
    #[arg(long, value_name = "SCORE", value_parser = finite, allow_negative_numbers = true)]
    warn: Option<f64>,
    /// Regions of fewer pixels of the frame do not count, nor do frames without one that counts
    #[arg(long, default_value_t = 0.0, value_name = "PIXELS", value_parser = area, allow_negative_numbers = true)]
    min_area: f64,
    /// Inspected frames in a row that it takes to begin an event, and to end it
    #[arg(long, default_value_t = 1, value_name = "FRAMES")]
    hold: u32,
    /// Inspect the N-th video track of each file, from 1 [default: the one that the file marks as its default, or the first]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    track: Option<usize>,
    /// Image that covers the frame: where it is black, nothing is inspected
    #[arg(long, value_name = "FILE")]
    ignore_mask: Option<PathBuf>,
    /// Videos at a time; they share the threads
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = jobs_argument)]
    jobs: usize,
    /// Take only the I-th of N parts of the videos, counted from 0, and leave the others to other machines
    #[arg(long, value_name = "I/N", value_parser = part)]
    part: Option<(usize, usize)>,
    /// Leave tables and page to a later run
    #[arg(long)]
    no_report: bool,
    /// Exit with 0 although videos are damaged or files have none; they are reported all the same
    #[arg(long)]
    accept_damaged: bool,
    /// Print progress, events and videos as lines of JSON
    #[arg(long)]
    json: bool,
    /// Say nothing but results and errors
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    hardware: Hardware,
    /// Videos, and folders of videos (with the folders in them); none: tables and page are made anew of what is in DIR
    #[arg(value_name = "VIDEO")]
    videos: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  adaudit --model bottle.bundle --out monday recordings/monday
  adaudit --model bottle.bundle --out monday --every 5 --hold 2 --jobs 4 cam1.mkv cam2.mp4
  xdg-open monday/index.html

DIR gets index.html (all there is to see), events.csv and events.parquet, frames.parquet (score and level of every inspected frame), \
videos.csv, and two stills of each event. After a kill or Ctrl-C the same command goes on; other settings need another DIR. A \
damaged video is reported, and what could be read of it counts.

Exit code: 0 done, 1 failed, a video was damaged or a file has none, 2 wrong command line, 130 stopped with Ctrl-C.";

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| "expected a number".into())
}

fn area(text: &str) -> Result<f64, String> {
    finite(text).ok().filter(|value| *value >= 0.0).ok_or_else(|| "expected a number from 0".into())
}

fn jobs_argument(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|value| *value > 0).ok_or_else(|| "expected a number from 1".into())
}

/// Reads `I/N`.
fn part(text: &str) -> Result<(usize, usize), String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(i, n)| i < n).ok_or_else(|| "expected I/N with I from 0 to N-1, such as 0/8".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interrupt::install().and_then(|()| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if interrupt::is_cause(&error) {
                eprintln!("adaudit: interrupted; the same command goes on from here");
                return ExitCode::from(INTERRUPTED);
            }
            eprintln!("adaudit: {}", failure::describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.hardware.prepare()?;
    let bundle = open_shared(&arguments.model)?;
    let (settings, options) = settings(arguments, &bundle)?;
    let (range, warn) = options.scale(&bundle.manifest().calibration);
    let levels = Levels { range, warn };
    let (mut sources, errors) = sources::find(&arguments.videos);
    if sources.is_empty() && !arguments.videos.is_empty() {
        complain(&errors);
        bail!("nothing to audit");
    }
    if sources.is_empty() && !arguments.out.is_dir() {
        bail!("{}: no such folder; name videos to be audited", arguments.out.display());
    }
    if let Some((part, parts)) = arguments.part {
        // Not by its place among the others: a recording that is added while parts are started would shift them all.
        sources.retain(|source| source.number % parts as u64 == part as u64);
    }
    let folder = Folder::open(&arguments.out, &settings)?;
    complain(&errors);
    let style = match (arguments.json, arguments.quiet) {
        (true, _) => Style::Machines,
        (false, true) => Style::Quiet,
        (false, false) => Style::People,
    };
    let board = Board::new(style, &sources);
    let plan = Plan {
        bundle,
        device: arguments.hardware.device,
        threads: arguments.hardware.threads,
        jobs: arguments.jobs,
        rules: Rules { every: arguments.every, hold: arguments.hold, track: arguments.track },
        options,
    };
    let outcomes = plan.run(&sources, &folder.videos(), &board);
    board.finish();
    conclude(arguments, &folder, &settings, levels, &board, &outcomes?, errors.len())
}

fn settings(arguments: &Arguments, bundle: &Bundle) -> anyhow::Result<(Settings, ScoreOptions)> {
    let manifest = bundle.path().join(MANIFEST);
    let mask = arguments.ignore_mask.as_deref();
    let settings = Settings {
        format: Settings::FORMAT,
        model: bundle.manifest().name.clone(),
        model_sha256: hash(&manifest)?,
        every: arguments.every,
        threshold: arguments.threshold.map(|threshold| threshold.to_string()),
        warn: arguments.warn.map(|warn| warn.to_string()),
        min_area: arguments.min_area.to_string(),
        hold: arguments.hold,
        track: arguments.track,
        ignore_mask_sha256: mask.map(hash).transpose()?,
    };
    let ignore = mask.map(IgnoreMask::load).transpose()?.map(Arc::new);
    let Arguments { threshold, warn, min_area, .. } = *arguments;
    Ok((settings, ScoreOptions { threshold, warn, min_area, ignore }))
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn complain(errors: &[gstanomaly::Error]) {
    errors.iter().for_each(|error| eprintln!("adaudit: {error}"));
}

/// Writes tables and page, and says what came of it all.
fn conclude(
    arguments: &Arguments,
    folder: &Folder,
    settings: &Settings,
    levels: Levels,
    board: &Board,
    outcomes: &[Outcome],
    missing: usize,
) -> anyhow::Result<()> {
    let done = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Done(state) => Some(&**state),
        Outcome::Busy | Outcome::Unread(_) => None,
    });
    let named = Totals::of(done);
    let busy = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Busy)).count();
    let mut missing = missing + outcomes.len() - busy - named.videos;
    let total = if arguments.no_report {
        named
    } else {
        let (total, errors) = results::write(folder, settings, levels)?;
        // Of the videos that were named it is said already.
        let said = |error: &gstanomaly::Error| {
            let same = |outcome: &Outcome| matches!(outcome, Outcome::Unread(e) if e.to_string() == error.to_string());
            outcomes.iter().any(same)
        };
        let errors: Vec<gstanomaly::Error> = errors.into_iter().filter(|error| !said(error)).collect();
        complain(&errors);
        missing += errors.len();
        total
    };
    let told = if arguments.videos.is_empty() { total } else { named };
    let (damaged, without_video) = (told.damaged, told.without_video);
    let page = (!arguments.no_report).then(|| folder.join(results::PAGE));
    let (frames, seconds) = board.speed();
    board.emit(&json!({
        "type": "done",
        "videos": total.videos,
        "video_seconds": time::seconds(total.length),
        "events": total.events,
        "warn_frames": total.warn_frames,
        "damaged": damaged,
        "without_video": without_video,
        "missing": missing,
        "left_to_others": busy,
        "inspected": frames,
        "seconds": seconds,
        "frames_per_second": if seconds > 0.0 { frames as f64 / seconds } else { 0.0 },
        "page": page,
    }));
    if !arguments.json {
        let counted = |count: usize, unit: &str| match count {
            1 => format!("1 {unit}"),
            count => format!("{count} {unit}s"),
        };
        let (videos, events) = (counted(total.videos, "video"), counted(total.events, "event"));
        let page = page.map(|page| format!("\n{}", shown(&page.to_string_lossy()))).unwrap_or_default();
        let warn = match total.warn_frames {
            0 => String::new(),
            1 => "; 1 frame in warn".into(),
            frames => format!("; {frames} frames in warn"),
        };
        // Where nobody reads it, the results are in the folder all the same.
        let _ = writeln!(std::io::stdout(), "{events} in {} of {videos}{warn}{page}", Length(total.length));
    }
    let problems = [
        (missing, "path could not be read", "paths could not be read"),
        (if arguments.accept_damaged { 0 } else { damaged }, "video is damaged", "videos are damaged"),
        (
            if arguments.accept_damaged { 0 } else { without_video },
            "file has no video",
            "files have no video",
        ),
        (
            busy,
            "video is left to another adaudit that works on it",
            "videos are left to another adaudit that works on them",
        ),
    ];
    let told: Vec<String> = problems
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    if told.is_empty() { Ok(()) } else { bail!("{}", told.join(", ")) }
}
