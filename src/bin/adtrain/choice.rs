//! Choosing a method without defective images: candidates are tried on good images that they have not learned from, and on small defects
//! drawn into these.

use crate::arguments::Method;
use crate::console::Console;
use crate::eval::judge::shown_part;
use crate::learning::Settings;
use crate::overlay;
use anyhow::Context;
use clap::ValueEnum;
use gstanomaly::bundle::Bundle;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::at_input;
use gstanomaly::dataset::synthetic::Random;
use gstanomaly::dataset::synthetic::probe::Probe;
use gstanomaly::evaluate::{MetricParams, PixelSamples, image_metrics};
use gstanomaly::frame::{Picture, load_picture};
use gstanomaly::methods::fitting::{FitOptions, ImageSet, Progress};
use image::RgbImage;
use ndarray::Array2;
use rand::SeedableRng;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Good images at least: a quarter of fewer says nothing.
const LEAST_IMAGES: usize = 32;
/// One image of so many is held out, ...
const HELD_OUT: usize = 4;
/// ... and so many at most.
const MOST_HELD_OUT: usize = 24;
/// How much better in image AUROC than the first candidate another one must be to be taken, with maps that are no worse. So few images leave an
/// uncertainty of 0.03 to 0.05, and the first candidate is the one that costs the least time a frame.
const MARGIN: f64 = 0.1;

/// The candidates with their settings; the first is taken unless another is clearly better.
fn candidates() -> Vec<(Method, Settings)> {
    let settings = |method: &Method| {
        let set = method.training.candidate?.iter().map(|&(name, value)| (name.into(), value.into()));
        Some((*method, set.collect()))
    };
    Method::value_variants().iter().filter_map(settings).collect()
}

/// What was found of a candidate.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// The method's name.
    pub method: String,
    /// Image AUROC of good images against those with defects drawn into them, the mean over the kinds of defects.
    pub auroc: f64,
    /// Pixel AP of the anomaly maps of all of these images.
    pub average_precision: f64,
    /// How long fitting and judging took.
    pub seconds: f64,
}

/// The choice.
#[derive(Debug)]
pub struct Choice {
    /// The method.
    pub method: Method,
    /// Its settings.
    pub set: Settings,
    /// What was tried; nothing where there are too few images.
    pub trials: Vec<Trial>,
}

impl Choice {
    fn first() -> Self {
        let (method, set) = candidates().swap_remove(0);
        Self { method, set, trials: Vec::new() }
    }
}

/// Chooses the method for the images of `options`, whose own settings are those that every method has.
pub fn choose(options: &FitOptions, console: &mut Console) -> anyhow::Result<Choice> {
    let images = ImageSet::open(options, &mut ())?;
    if images.len() < LEAST_IMAGES {
        let choice = Choice::first();
        console.note(&format!(
            "method: {} ({} good images are too few to try others on them, which takes {LEAST_IMAGES}; --method says which)",
            choice.method.name,
            images.len()
        ));
        return Ok(choice);
    }
    let held_out = HeldOut { paths: held_out(images.paths()), seed: options.seed };
    // A copy of an image that is held out must not be learned in its place.
    let excluded =
        held_out.paths.iter().chain(images.copies()).map(|path| path.to_string_lossy().into_owned());
    let exclude = options.exclude.iter().cloned().chain(excluded).collect();
    let options = FitOptions { exclude, ..options.clone() };
    let scratch = tempfile::Builder::new().prefix(".choosing-").tempdir_in(&options.scratch)?;
    let mut trials = Vec::new();
    let candidates = candidates();
    for (method, set) in &candidates {
        let start = Instant::now();
        let options = FitOptions { set: set.clone(), scratch: scratch.path().into(), ..options.clone() };
        let out = scratch.path().join(method.name);
        let mut quiet = Quiet { console, method: method.name.into() };
        let manifest = (method.training.fit)(&options, &out, &mut quiet);
        manifest
            .with_context(|| format!("trying {} to choose a method (--method says which)", method.name))?;
        let bundle = Arc::new(Bundle::open(&out)?);
        let mut cascade = Cascade::new(bundle, options.device, options.threads)?;
        let (auroc, average_precision) = held_out.judge(&mut cascade, method.name, console)?;
        drop(cascade);
        std::fs::remove_dir_all(&out)?;
        trials.push(Trial {
            method: method.name.into(),
            auroc,
            average_precision,
            seconds: start.elapsed().as_secs_f64(),
        });
    }
    let best = best(&trials.iter().map(|trial| (trial.auroc, trial.average_precision)).collect::<Vec<_>>());
    let (method, set) = candidates[best].clone();
    let figures: Vec<String> = trials
        .iter()
        .map(|trial| format!("{} {:.3} / {:.3}", trial.method, trial.auroc, trial.average_precision))
        .collect();
    let why = match best {
        0 => "no other is clearly better",
        _ => "clearly better than the default",
    };
    console.note(&format!(
        "method: {} ({why} on {} good images held out and small defects drawn into them: image AUROC / pixel AP {}; --method says which)",
        method.name,
        held_out.paths.len(),
        figures.join(", ")
    ));
    Ok(Choice { method, set, trials })
}

/// The candidate to take, by image AUROC and pixel AP: the first unless another is better by more than the margin.
fn best(found: &[(f64, f64)]) -> usize {
    let better = |at: &usize| found[*at].0 > found[0].0 + MARGIN && found[*at].1 >= found[0].1;
    // Of equal ones the first.
    (0..found.len()).rev().filter(better).max_by(|&a, &b| found[a].0.total_cmp(&found[b].0)).unwrap_or(0)
}

/// Every fourth image, evenly thinned out.
fn held_out(paths: &[PathBuf]) -> Vec<PathBuf> {
    let every: Vec<&PathBuf> = paths.iter().skip(HELD_OUT / 2).step_by(HELD_OUT).collect();
    let step = every.len().div_ceil(MOST_HELD_OUT).max(1);
    every.into_iter().step_by(step).cloned().collect()
}

/// Good images that were held out. They are read and drawn into anew for each candidate: a camera's images would not all fit in memory.
struct HeldOut {
    paths: Vec<PathBuf>,
    seed: u64,
}

impl HeldOut {
    /// The mean image AUROC over the kinds of defects, and the pixel AP.
    fn judge(&self, cascade: &mut Cascade, name: &str, console: &mut Console) -> anyhow::Result<(f64, f64)> {
        console.stage(&format!("trying {name} on small defects"), self.paths.len());
        let mut good = Vec::new();
        let mut defective = Probe::ALL.map(|_| Vec::new());
        let mut pixels = PixelSamples::default();
        let range = cascade.bundle().manifest().input.range;
        let mut score = |image: &RgbImage, mask: Option<&Array2<bool>>| -> anyhow::Result<f32> {
            let picture = Picture::from_rgb(image.width(), image.height(), image.as_raw())?;
            let anomaly = cascade.inspect_picture(&picture)?.0;
            let mask = mask.map(|mask| at_input(&anomaly.geometry, |x, y| mask[[y as usize, x as usize]]));
            pixels.push(shown_part(&anomaly)?, mask.as_ref().map(|mask| mask.view()))?;
            Ok(anomaly.score as f32)
        };
        for (i, path) in self.paths.iter().enumerate() {
            crate::interrupt::check()?;
            // Fitting says what cannot be read.
            let Ok(picture) = load_picture(path) else { continue };
            let image = overlay::to_rgb(picture.info(), &picture.frame()?, range)?;
            good.push(score(&image, None)?);
            for (kind, (probe, scores)) in Probe::ALL.into_iter().zip(&mut defective).enumerate() {
                // The same defects for every candidate.
                let number = (i * Probe::ALL.len() + kind) as u64;
                let mut random = Random::seed_from_u64(self.seed.wrapping_add(number));
                let (drawn, mask) = probe.draw(&image, &mut random);
                scores.push(score(&drawn, Some(&mask))?);
            }
            console.advance();
        }
        anyhow::ensure!(!good.is_empty(), "none of the images held out to choose a method by can be read");
        let params = MetricParams::default();
        let mut sum = 0.0;
        for scores in &defective {
            let labels: Vec<bool> = good.iter().map(|_| false).chain(scores.iter().map(|_| true)).collect();
            let all: Vec<f32> = good.iter().chain(scores).copied().collect();
            sum += image_metrics(&labels, &all, &params)?.auroc;
        }
        let ranking = pixels.finish(&params)?.ranking;
        Ok((sum / defective.len() as f64, ranking.average_precision))
    }
}

/// Shows how far a trial is, without what is noted of the images: the fit that follows notes it again.
struct Quiet<'a> {
    console: &'a mut Console,
    method: String,
}

impl Progress for Quiet<'_> {
    fn stage(&mut self, name: &str, steps: usize) {
        self.console.stage(&format!("trying {}: {name}", self.method), steps);
    }
    fn advance(&mut self) {
        self.console.advance();
    }
    fn note(&mut self, _message: &str) {}
    fn interrupted(&self) -> bool {
        self.console.interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_than_the_first_must_be_clearly_better() {
        assert_eq!(best(&[(0.80, 0.2), (0.85, 0.3), (0.89, 0.3)]), 0);
        assert_eq!(best(&[(0.70, 0.2), (0.85, 0.3), (0.89, 0.3)]), 2);
        assert_eq!(best(&[(0.52, 0.2), (0.95, 0.2), (0.95, 0.3)]), 1);
        assert_eq!(best(&[(0.9, 0.2)]), 0);
        // It finds more images, and shows less well where the defect is.
        assert_eq!(best(&[(0.70, 0.2), (0.95, 0.1), (0.85, 0.3)]), 2);
    }

    #[test]
    fn a_quarter_is_held_out_and_no_more_than_enough() {
        let paths =
            |count: usize| (0..count).map(|i| PathBuf::from(format!("{i:03}.png"))).collect::<Vec<_>>();
        assert_eq!(held_out(&paths(32)).len(), 8);
        let many = held_out(&paths(1000));
        assert!((12..=MOST_HELD_OUT).contains(&many.len()), "{}", many.len());
    }
}
