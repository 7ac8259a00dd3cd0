//! `adtrain predict`.

mod output;
mod sources;

use crate::arguments::Hardware;
use crate::console::{self, Console};
use crate::interrupt;
use anyhow::Context;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::{Findings, VideoFrames};
use gstanomaly::frame::{TraitCounts, load_picture};
use gstanomaly::methods::fitting::Progress;
use output::{Folder, Log, Result as Judgement, Unwritten};
use sources::{Kind, Source};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Try a bundle on images and videos
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_negative_numbers = true)]
pub struct Arguments {
    /// The bundle to try
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Folder for heatmaps of images, and for a log and the anomalous frames of videos
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Anomalous frames to keep of each video, the first ones
    #[arg(long, default_value_t = 100, value_name = "N", requires = "out")]
    max_stills: usize,
    /// Judge the N-th video track of each video, from 1 [default: the one that the file marks as its default, or the first]
    #[arg(long, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    track: Option<usize>,
    /// Print a line of JSON for each image or frame
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hardware: Hardware,
    /// Images, videos, and folders of images (with the folders in them)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  adtrain predict --model bottle.bundle photo.png
  adtrain predict --model bottle.bundle --out heatmaps bottle/test
  adtrain predict --model bottle.bundle --json line.mp4 > frames.jsonl

A line has the path, the score, the score from 0 to 1 (0.5 is the threshold), the decision and the level (normal, warn or reject), \
separated by tabs; a frame \
of a video is PATH#t=SECONDS, and tabs, line ends and backslashes in a path are escaped as \\t, \\n and \\\\. What cannot be read is reported and passed over, what can be read of a damaged video is judged, and the exit code is then 1.";

/// Judges images and frames.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let mut cascade = arguments.hardware.open(&arguments.model)?;
    let range = cascade.bundle().manifest().input.range;
    let mut folder = arguments.out.as_deref().map(|out| Folder::create(out, range)).transpose()?;
    let mut unwritten = Unwritten::default();
    let mut traits = TraitCounts::default();
    let (mut failures, mut damaged) = (0, 0);
    let mut failed = |error: anyhow::Error| {
        if interrupt::is_cause(&error) || console::is_output(&error) {
            return Err(error);
        }
        eprintln!("adtrain: {}", console::describe(&error));
        match error.is::<Damaged>() {
            true => damaged += 1,
            false => failures += 1,
        }
        Ok(())
    };
    let mut found = Vec::new();
    for path in &arguments.paths {
        match sources::find(path, console) {
            Ok(sources) => found.extend(sources),
            Err(error) => failed(error)?,
        }
    }
    // The lines of the result show how far it is.
    if !std::io::stdout().is_terminal() {
        console.stage("judging", found.len());
    }
    for source in &found {
        let done = match source.kind {
            Kind::Image => {
                image(&mut cascade, source, folder.as_mut(), &mut unwritten, &mut traits, arguments)
            }
            Kind::Video => video(&mut cascade, source, folder.as_mut(), &mut unwritten, arguments, console),
        };
        if let Err(error) = done {
            failed(error)?;
        }
        console.advance();
    }
    traits.notes().iter().for_each(|note| console.note(note));
    let failures = match failures {
        0 => None,
        1 => Some("1 of the paths could not be judged".into()),
        _ => Some(format!("{failures} paths could not be judged")),
    };
    let damaged = match damaged {
        0 => None,
        1 => Some("1 video is damaged".into()),
        _ => Some(format!("{damaged} videos are damaged")),
    };
    let problems: Vec<String> = failures.into_iter().chain(damaged).chain(unwritten.describe()).collect();
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(())
}

fn image(
    cascade: &mut Cascade,
    source: &Source,
    folder: Option<&mut Folder>,
    unwritten: &mut Unwritten,
    traits: &mut TraitCounts,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    interrupt::check()?;
    let picture = load_picture(&source.path)?;
    traits.add(&source.path, picture.traits());
    let (anomaly, _) = cascade.inspect_picture(&picture)?;
    let frame = picture.frame()?;
    let heatmap = folder.map(|folder| folder.heatmap(&source.name, picture.info(), &frame, &anomaly));
    let overlay = heatmap.and_then(|written| unwritten.unless(written));
    let judgement = Judgement { path: &source.path, frame: None, anomaly: &anomaly, overlay };
    console::print(&judgement.line(arguments.json))
}

fn video(
    cascade: &mut Cascade,
    source: &Source,
    folder: Option<&mut Folder>,
    unwritten: &mut Unwritten,
    arguments: &Arguments,
    console: &mut Console,
) -> anyhow::Result<()> {
    let frames = VideoFrames::open(&source.path, arguments.track)?;
    let mut log = folder.and_then(|folder| unwritten.unless(folder.log(&source.name)));
    let judged = each_frame(cascade, source, frames, &mut log, unwritten, arguments, console);
    if let Ok(Some(note)) = judged.as_ref().map(|findings| &findings.note) {
        console.note(&format!("{}: {note}", source.path.display()));
    }
    // What was judged is told, wherever it ended.
    if let Some(log) = log {
        unwritten.unless(log.finish());
    }
    match judged?.problem {
        Some(problem) => Err(Damaged { path: source.path.clone(), problem }.into()),
        None => Ok(()),
    }
}

/// A video of which not all could be judged.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
struct Damaged {
    path: PathBuf,
    problem: String,
}

fn each_frame(
    cascade: &mut Cascade,
    source: &Source,
    mut frames: VideoFrames,
    log: &mut Option<Log>,
    unwritten: &mut Unwritten,
    arguments: &Arguments,
    console: &mut Console,
) -> anyhow::Result<Findings> {
    let mut anomalous = 0;
    let failure = loop {
        let frame = match frames.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break None,
            Err(failure) => break Some(failure),
        };
        interrupt::check()?;
        let pixels = frame.frame()?;
        let (anomaly, _) =
            cascade.inspect(&frame.info, &pixels).with_context(|| source.path.display().to_string())?;
        anomalous += usize::from(anomaly.anomalous);
        let overlay = match log {
            Some(log) if anomaly.anomalous && anomalous <= arguments.max_stills => {
                unwritten.unless(log.still(frame.number, &frame.info, &pixels, &anomaly))
            }
            _ => None,
        };
        let judgement = Judgement {
            path: &source.path,
            frame: Some((frame.number, frame.time)),
            anomaly: &anomaly,
            overlay,
        };
        // Half a log would be taken for a whole one.
        if let Some(open) = log
            && unwritten.unless(open.write(&judgement)).is_none()
        {
            *log = None;
        }
        console::print(&judgement.line(arguments.json))?;
    };
    if log.is_some() && anomalous > arguments.max_stills {
        console.note(&format!(
            "{}: {} of {anomalous} anomalous frames kept",
            source.path.display(),
            arguments.max_stills
        ));
    }
    match failure {
        Some(failure) if frames.number() == 0 => Err(failure.into()),
        failure => Ok(frames.findings(failure.as_ref())),
    }
}
