//! The report, from what was judged.

use super::Evaluation;
use super::judge::JudgedImage;
use crate::common::pictures::{jpeg, reduce};
use crate::overlay;
use gstanomaly::bundle::Manifest;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::read_masks;
use gstanomaly::evaluate::{LearningPoint, ModelFacts, Report, ReportImage, ReportParams, WarnLevel};
use gstanomaly::frame::{Picture, ValueRange};
use gstanomaly::methods::Anomaly;
use image::ImageFormat;
use image::imageops::{self, FilterType};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Longer side of a picture in the report.
const SIDE: u32 = 400;
/// Quality of its JPEG.
const QUALITY: u8 = 85;

/// What the report shows of an image, as the bytes of files.
#[derive(Default)]
pub struct Pictures {
    pub input: Vec<u8>,
    /// The image under its anomaly map.
    pub overlay: Vec<u8>,
    pub mask: Option<Vec<u8>>,
}

impl Pictures {
    /// The pictures of an image, small enough for a report.
    pub fn make(
        picture: &Picture,
        anomaly: &Anomaly,
        masks: &[PathBuf],
        range: Option<ValueRange>,
    ) -> anyhow::Result<Self> {
        let mut small = reduce(overlay::to_rgb(picture.info(), &picture.frame()?, range)?, SIDE);
        let input = jpeg(&small, QUALITY)?;
        overlay::draw(&mut small, anomaly)?;
        let mask = (!masks.is_empty()).then(|| mask_picture(masks, small.dimensions())).transpose()?;
        Ok(Self { input, overlay: jpeg(&small, QUALITY)?, mask })
    }
}

/// The mask as black and white, so that a mask of labels 1, 2, ... can be seen.
fn mask_picture(masks: &[PathBuf], (width, height): (u32, u32)) -> anyhow::Result<Vec<u8>> {
    let mask = read_masks(masks, &masks[0])?.to_image();
    let mask = imageops::resize(&mask, width, height, FilterType::Nearest);
    let mut bytes = Cursor::new(Vec::new());
    mask.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Writes the report of an evaluation, whose pictures it takes.
pub fn write(
    file: &Path,
    evaluation: &mut Evaluation,
    cascade: &Cascade,
    dataset: &str,
) -> anyhow::Result<()> {
    let manifest = cascade.bundle().manifest();
    let report = Report {
        title: manifest.name.clone(),
        dataset: dataset.to_owned(),
        date: crate::date::today()?,
        model: model_facts(manifest, cascade),
        image_metrics: Some(evaluation.images.clone()),
        pixel_metrics: evaluation.pixels.as_ref().ok().cloned(),
        timing: Some(evaluation.judged.times),
        learning: learning_curve(manifest),
        images: evaluation.judged.images.iter_mut().map(report_image).collect(),
    };
    Ok(report.write(file, &ReportParams::default())?)
}

fn learning_curve(manifest: &Manifest) -> Vec<LearningPoint> {
    let curve = manifest.training.branch.iter().flat_map(|branch| &branch.curve);
    curve
        .map(|point| LearningPoint { step: point.step, alike: point.positive, apart: point.negative })
        .collect()
}

fn model_facts(manifest: &Manifest, cascade: &Cascade) -> ModelFacts {
    let branch = manifest.training.branch.as_ref();
    let learned = branch.map(|branch| {
        let (steps, batch) = (manifest.training.steps, branch.batch);
        ("learned branch", format!("{} channels, {steps} steps of batch {batch}", branch.channels))
    });
    let textures = branch.map(|branch| ("synthetic defects", branch.textures.clone()));
    let others = [
        ("layers", manifest.backbone.layers.join(", ")),
        ("backbone licence", manifest.backbone.licence.clone()),
        ("calibration", manifest.calibration.obtained.clone()),
        ("fitted with", format!("gst-plugin-anomaly {}", manifest.training.version)),
    ];
    ModelFacts {
        name: manifest.name.clone(),
        method: manifest.title(),
        backbone: manifest.backbone.title(),
        size: (manifest.input.width as usize, manifest.input.height as usize),
        training_images: manifest.training.images,
        date: manifest.training.date.clone(),
        device: cascade.device().name().into(),
        threshold: manifest.calibration.threshold as f32,
        warn: manifest.calibration.warn.map(|warn| WarnLevel {
            score: warn as f32,
            normalized: manifest.calibration.score().normalise(warn) as f32,
        }),
        others: others
            .into_iter()
            .chain(learned)
            .chain(textures)
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

fn report_image(image: &mut JudgedImage) -> ReportImage {
    let pictures = image.pictures.take().unwrap_or_default();
    ReportImage {
        path: image.path.clone(),
        label: image.label.clone(),
        is_defective: image.is_defective,
        score: image.score as f32,
        normalized: image.normalized as f32,
        level: image.level,
        input: pictures.input,
        overlay: pictures.overlay,
        mask: pictures.mask,
    }
}
