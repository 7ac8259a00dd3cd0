//! Every test image through the cascade.

use super::report::Pictures;
use crate::console::Console;
use crate::interrupt;
use anyhow::bail;
use gstanomaly::bundle::{Bundle, LearnedImages, hash_file};
use gstanomaly::cascade::{Cascade, StepTimes};
use gstanomaly::dataset::{TestImage, expect_good_and_defective, load_mask, test_images};
use gstanomaly::evaluate::{PixelSamples, Timing};
use gstanomaly::frame::{TraitCounts, load_picture};
use gstanomaly::methods::fitting::Progress;
use gstanomaly::methods::{Anomaly, Level};
use ndarray::{ArrayView2, s};
use std::collections::HashMap;
use std::path::Path;

/// The test images and what the bundle made of them.
pub struct Judged {
    pub images: Vec<JudgedImage>,
    /// Pixels of the good and the masked images; none if there is no mask.
    pub pixels: Option<PixelSamples>,
    /// Images that cannot be read: path and reason.
    pub skipped: Vec<(String, String)>,
    /// Defective images without a mask, if others have one.
    pub without_mask: usize,
    /// Defective images whose mask marks no pixel.
    pub empty_masks: usize,
    /// Images that the bundle has learned from.
    pub learned: usize,
    /// Mean per image.
    pub times: Timing,
}

/// A test image and what the bundle made of it.
pub struct JudgedImage {
    /// Relative to the data set.
    pub path: String,
    pub label: String,
    pub is_defective: bool,
    pub score: f64,
    pub normalized: f64,
    pub level: Level,
    /// Only where a report was asked for.
    pub pictures: Option<Pictures>,
}

impl JudgedImage {
    /// Whether it is called defective.
    pub fn is_anomalous(&self) -> bool {
        self.level == Level::Reject
    }
}

/// How to judge.
#[derive(Clone, Copy)]
pub struct Options {
    /// What would be left out is an error.
    pub strict: bool,
    /// Pictures for a report are wanted.
    pub pictures: bool,
}

/// Masks at most that a message names.
const NAMED: usize = 3;

/// Judges the test images of `data`.
pub fn judge(
    cascade: &mut Cascade,
    data: &Path,
    options: Options,
    console: &mut Console,
) -> anyhow::Result<Judged> {
    let tests = test_images(data)?.settle(options.strict, |text| console.note(text))?;
    expect_good_and_defective(&tests, data)?;
    let learned = check_unseen(&tests, cascade.bundle(), console)?;
    let range = cascade.bundle().manifest().input.range;
    let mut pixels = tests.iter().any(|test| !test.masks.is_empty()).then(PixelSamples::default);
    let mut judged = Judged {
        images: Vec::new(),
        pixels: None,
        skipped: Vec::new(),
        without_mask: 0,
        empty_masks: 0,
        learned,
        times: Timing::default(),
    };
    let mut times = StepTimes::default();
    let mut traits = TraitCounts::default();
    let mut empty: Vec<String> = Vec::new();
    console.stage("judging the images", tests.len());
    for test in &tests {
        interrupt::check()?;
        let shown = test.path.strip_prefix(data).unwrap_or(&test.path).display().to_string();
        let picture = match load_picture(&test.path) {
            Ok(picture) => picture,
            Err(e) if options.strict => return Err(e.into()),
            Err(e) => {
                console.note(&format!("left out: {e}"));
                console.advance();
                judged.skipped.push((shown, e.to_string()));
                continue;
            }
        };
        traits.add(&test.path, picture.traits());
        let (anomaly, took) = cascade.inspect_picture(&picture)?;
        times += took;
        let pushed = match &mut pixels {
            Some(pixels) => push_pixels(pixels, test, &anomaly)?,
            None => Pushed::Yes,
        };
        match pushed {
            Pushed::Yes => {}
            Pushed::WithoutMask if options.strict => {
                bail!("{}: has no mask in ground_truth, others have", test.path.display());
            }
            Pushed::WithoutMask => judged.without_mask += 1,
            Pushed::EmptyMask => {
                let mask = test.masks.first().unwrap_or(&test.path).display().to_string();
                if options.strict {
                    bail!("{mask}: is black all over, though its image is defective");
                }
                empty.push(mask);
            }
        }
        let pictures = match options.pictures {
            true => Some(Pictures::make(&picture, &anomaly, &test.masks, range)?),
            false => None,
        };
        judged.images.push(JudgedImage {
            path: shown,
            label: test.label.clone(),
            is_defective: test.is_defective(),
            score: anomaly.score,
            normalized: anomaly.normalized(),
            level: anomaly.level(),
            pictures,
        });
        console.advance();
    }
    if judged.without_mask > 0 {
        console.note(&format!(
            "{} defective images have no mask and do not count for the pixel metrics",
            judged.without_mask
        ));
    }
    if !empty.is_empty() {
        let first = empty.iter().take(NAMED).map(|name| name.replace(char::is_control, "?"));
        console.note(&format!(
            "{} count for the pixel metrics: {}{}",
            match empty.len() {
                1 => "the mask of 1 defective image is black all over and does not".into(),
                count => format!("the masks of {count} defective images are black all over and do not"),
            },
            first.collect::<Vec<_>>().join(", "),
            if empty.len() > NAMED { ", ..." } else { "" }
        ));
    }
    traits.notes().iter().for_each(|note| console.note(note));
    judged.empty_masks = empty.len();
    // Where no mask marks anything there is nothing to measure.
    judged.pixels = pixels.filter(|_| marked(&judged, &tests));
    judged.times = mean(&times, judged.images.len());
    Ok(judged)
}

/// An error if the bundle learned from a defective test image, a note if from a good one: what it knows already says little of what
/// it would find. The number of these.
fn check_unseen(tests: &[TestImage], bundle: &Bundle, console: &mut Console) -> anyhow::Result<usize> {
    let defects = bundle.manifest().training.branch.iter().flat_map(|branch| &branch.defects);
    let defects: HashMap<&str, &str> = defects.map(|d| (d.sha256.as_str(), d.name.as_str())).collect();
    // The figures are right without it, too.
    let learned = LearnedImages::read(bundle.path(), &bundle.manifest().files).unwrap_or_else(|e| {
        console.note(&format!("whether it has learned from test images cannot be said: {e}"));
        None
    });
    let learned = learned.unwrap_or_default();
    let learned = learned.hashes();
    if defects.is_empty() && learned.is_empty() {
        return Ok(0);
    }
    let mut known = 0;
    console.stage("looking for images that it knows", tests.len());
    for test in tests {
        interrupt::check()?;
        console.advance();
        // One that cannot be read is told when it is judged.
        let Ok(hash) = hash_file(&test.path) else { continue };
        if let Some(name) = defects.get(hash.as_str()) {
            bail!(
                "{}: the bundle has learned from this image (as {name}), so that it cannot be a test image; take it and the \
                 other {} out of the test set, or fit without --defects",
                test.path.display(),
                defects.len() - 1
            );
        }
        known += usize::from(learned.contains(hash.as_str()));
    }
    if known > 0 {
        console.note(&format!(
            "the bundle has learned from {known} of {} test images, whose scores say little",
            tests.len()
        ));
    }
    Ok(known)
}

/// What became of the pixels of an image.
enum Pushed {
    Yes,
    /// It is defective.
    WithoutMask,
    /// It is defective.
    EmptyMask,
}

/// Adds the pixels that show the image, unless it is defective and nothing says where.
fn push_pixels(pixels: &mut PixelSamples, test: &TestImage, anomaly: &Anomaly) -> anyhow::Result<Pushed> {
    let mask = match test.masks.is_empty() {
        true if test.is_defective() => return Ok(Pushed::WithoutMask),
        true => None,
        false => match load_mask(&test.masks, &test.path, &anomaly.geometry)? {
            None => return Ok(Pushed::EmptyMask),
            mask => mask,
        },
    };
    pixels.push(shown_part(anomaly)?, mask.as_ref().map(|mask| mask.view()))?;
    Ok(Pushed::Yes)
}

/// Whether one of the images that were judged has a mask that marks something.
fn marked(judged: &Judged, tests: &[TestImage]) -> bool {
    let with_mask = tests.iter().filter(|test| !test.masks.is_empty()).count();
    with_mask > judged.empty_masks
}

/// The part of the map that shows the image; what padding adds is not there to be judged.
pub fn shown_part(anomaly: &Anomaly) -> anyhow::Result<ArrayView2<'_, f32>> {
    let (width, height) = anomaly.geometry.input;
    let map = ArrayView2::from_shape((height as usize, width as usize), anomaly.map.as_slice())?;
    let target = anomaly.geometry.target;
    let (x, y) = (target.x as usize, target.y as usize);
    Ok(map.slice_move(s![y..y + target.height as usize, x..x + target.width as usize]))
}

fn mean(times: &StepTimes, images: usize) -> Timing {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3 / images.max(1) as f64;
    Timing {
        features: ms(times.features),
        retrieve: ms(times.retrieve),
        score: ms(times.score),
        total: ms(times.total()),
    }
}
