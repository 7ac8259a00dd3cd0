//! `adtrain predict`.

mod output;
mod sources;

use crate::arguments::Hardware;
use crate::console::{self, Console};
use crate::interrupt;
use anyhow::{Context, bail};
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::VideoFrames;
use gstanomaly::frame::load_picture;
use gstanomaly::methods::fitting::Progress;
use output::{Folder, Result as Judgement};
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
of a video is PATH#t=SECONDS. What cannot be read is reported and passed over, and the exit code is then 1.";

/// Judges images and frames.
pub fn run(arguments: &Arguments, console: &mut Console) -> anyhow::Result<()> {
    let mut cascade = arguments.hardware.open(&arguments.model)?;
    let mut folder = arguments.out.as_deref().map(Folder::create).transpose()?;
    let mut failures = 0;
    let mut failed = |error: anyhow::Error| {
        if interrupt::is_cause(&error) || console::is_broken_pipe(&error) {
            return Err(error);
        }
        eprintln!("adtrain: {}", console::describe(&error));
        failures += 1;
        Ok(())
    };
    let mut found = Vec::new();
    for path in &arguments.paths {
        match sources::find(path) {
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
            Kind::Image => image(&mut cascade, source, folder.as_mut(), arguments),
            Kind::Video => video(&mut cascade, source, folder.as_mut(), arguments, console),
        };
        if let Err(error) = done {
            failed(error)?;
        }
        console.advance();
    }
    match failures {
        0 => Ok(()),
        1 => bail!("1 of the paths could not be judged"),
        _ => bail!("{failures} paths could not be judged"),
    }
}

fn image(
    cascade: &mut Cascade,
    source: &Source,
    folder: Option<&mut Folder>,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    interrupt::check()?;
    let picture = load_picture(&source.path)?;
    let (anomaly, _) = cascade.inspect_picture(&picture)?;
    let overlay = match folder {
        Some(folder) => Some(folder.heatmap(&source.name, picture.info(), &picture.frame()?, &anomaly)?),
        None => None,
    };
    let judgement = Judgement { path: &source.path, frame: None, anomaly: &anomaly, overlay };
    console::print(&judgement.line(arguments.json))
}

fn video(
    cascade: &mut Cascade,
    source: &Source,
    mut folder: Option<&mut Folder>,
    arguments: &Arguments,
    console: &mut Console,
) -> anyhow::Result<()> {
    let mut frames = VideoFrames::open(&source.path)?;
    let mut log = folder.as_mut().map(|folder| folder.log(&source.name)).transpose()?;
    let mut anomalous = 0;
    while let Some(frame) = frames.next_frame()? {
        interrupt::check()?;
        let pixels = frame.frame()?;
        let (anomaly, _) =
            cascade.inspect(&frame.info, &pixels).with_context(|| source.path.display().to_string())?;
        anomalous += usize::from(anomaly.anomalous);
        let overlay = match &mut log {
            Some(log) if anomaly.anomalous && anomalous <= arguments.max_stills => {
                Some(log.still(frame.number, &frame.info, &pixels, &anomaly)?)
            }
            _ => None,
        };
        let judgement = Judgement {
            path: &source.path,
            frame: Some((frame.number, frame.time)),
            anomaly: &anomaly,
            overlay,
        };
        if let Some(log) = &mut log {
            log.write(&judgement)?;
        }
        console::print(&judgement.line(arguments.json))?;
    }
    if log.is_some() && anomalous > arguments.max_stills {
        console.note(&format!(
            "{}: {} of {anomalous} anomalous frames kept",
            source.path.display(),
            arguments.max_stills
        ));
    }
    log.map_or(Ok(()), output::Log::finish)
}
