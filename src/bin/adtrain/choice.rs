//! Choosing a method without defective images: candidates are tried on good images that they have not learned from, and on small defects
//! drawn into these.

use crate::arguments::Method;
use crate::console::Console;
use crate::learning::Settings;
use crate::overlay;
use anyhow::Context;
use gstanomaly::bundle::Bundle;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::synthetic::Random;
use gstanomaly::dataset::synthetic::probe::Probe;
use gstanomaly::evaluate::{MetricParams, image_metrics};
use gstanomaly::frame::{Picture, load_picture};
use gstanomaly::methods::fitting::{FitOptions, ImageSet, Progress};
use image::RgbImage;
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
/// How much better than the first candidate another one must be to be taken. So few images leave an uncertainty of 0.03 to 0.05, and the
/// first candidate is the one whose maps are sharpest and that costs the least time a frame.
const MARGIN: f64 = 0.1;

/// The candidates with their settings; the first is taken unless another is clearly better.
fn candidates() -> [(Method, Settings); 3] {
    [
        (Method::Cpr, Settings::new()),
        (Method::Patchcore, vec![("coreset".into(), "0.01".into())]),
        (Method::Hetmm, Settings::new()),
    ]
}

/// What was found of a candidate.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// The method's name.
    pub method: String,
    /// Image AUROC of good images against those with defects drawn into them, the mean over the kinds of defects.
    pub auroc: f64,
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
        let [(method, set), ..] = candidates();
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
            choice.method.name(),
            images.len()
        ));
        return Ok(choice);
    }
    let held_out = HeldOut { paths: held_out(images.paths()), seed: options.seed };
    let excluded = held_out.paths.iter().map(|path| path.to_string_lossy().into_owned());
    let exclude = options.exclude.iter().cloned().chain(excluded).collect();
    let options = FitOptions { exclude, ..options.clone() };
    let scratch = tempfile::Builder::new().prefix(".choosing-").tempdir_in(&options.scratch)?;
    let mut trials = Vec::new();
    let candidates = candidates();
    for (method, set) in &candidates {
        let start = Instant::now();
        let options = FitOptions { set: set.clone(), scratch: scratch.path().into(), ..options.clone() };
        let out = scratch.path().join(method.name());
        let mut quiet = Quiet { console, method: method.name() };
        let manifest = method.fit(&options, &out, &mut quiet);
        manifest
            .with_context(|| format!("trying {} to choose a method (--method says which)", method.name()))?;
        let bundle = Arc::new(Bundle::open(&out)?);
        let mut cascade = Cascade::new(bundle, options.device, options.threads)?;
        let auroc = held_out.judge(&mut cascade, &method.name(), console)?;
        drop(cascade);
        std::fs::remove_dir_all(&out)?;
        trials.push(Trial { method: method.name(), auroc, seconds: start.elapsed().as_secs_f64() });
    }
    let best = best(&trials.iter().map(|trial| trial.auroc).collect::<Vec<_>>());
    let (method, set) = candidates[best].clone();
    let figures: Vec<String> =
        trials.iter().map(|trial| format!("{} {:.3}", trial.method, trial.auroc)).collect();
    let why = match best {
        0 => "no other is clearly better",
        _ => "clearly better than the default",
    };
    console.note(&format!(
        "method: {} ({why} on {} good images held out and small defects drawn into them: image AUROC {}; --method says which)",
        method.name(),
        held_out.paths.len(),
        figures.join(", ")
    ));
    Ok(Choice { method, set, trials })
}

/// The candidate to take: the first unless another is better by more than the margin.
fn best(found: &[f64]) -> usize {
    let highest = (0..found.len()).rev().max_by(|&a, &b| found[a].total_cmp(&found[b])).unwrap_or(0);
    if found[highest] > found[0] + MARGIN { highest } else { 0 }
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
    /// The mean image AUROC over the kinds of defects.
    fn judge(&self, cascade: &mut Cascade, name: &str, console: &mut Console) -> anyhow::Result<f64> {
        console.stage(&format!("trying {name} on small defects"), self.paths.len());
        let mut good = Vec::new();
        let mut defective = Probe::ALL.map(|_| Vec::new());
        for (i, path) in self.paths.iter().enumerate() {
            crate::interrupt::check()?;
            // Fitting says what cannot be read.
            let Ok(picture) = load_picture(path) else { continue };
            let image = overlay::to_rgb(picture.info(), &picture.frame()?)?;
            let mut score = |image: &RgbImage| -> anyhow::Result<f32> {
                let picture = Picture::from_rgb(image.width(), image.height(), image.as_raw())?;
                Ok(cascade.inspect_picture(&picture)?.0.score as f32)
            };
            good.push(score(&image)?);
            for (kind, (probe, scores)) in Probe::ALL.into_iter().zip(&mut defective).enumerate() {
                // The same defects for every candidate.
                let number = (i * Probe::ALL.len() + kind) as u64;
                let mut random = Random::seed_from_u64(self.seed.wrapping_add(number));
                scores.push(score(&probe.draw(&image, &mut random))?);
            }
            console.advance();
        }
        anyhow::ensure!(!good.is_empty(), "none of the images held out to choose a method by can be read");
        let mut sum = 0.0;
        for scores in &defective {
            let labels: Vec<bool> = good.iter().map(|_| false).chain(scores.iter().map(|_| true)).collect();
            let all: Vec<f32> = good.iter().chain(scores).copied().collect();
            sum += image_metrics(&labels, &all, &MetricParams::default())?.auroc;
        }
        Ok(sum / defective.len() as f64)
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
        assert_eq!(best(&[0.80, 0.85, 0.89]), 0);
        assert_eq!(best(&[0.70, 0.85, 0.89]), 2);
        assert_eq!(best(&[0.52, 0.95, 0.95]), 1);
        assert_eq!(best(&[0.9]), 0);
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
