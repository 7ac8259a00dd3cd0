//! Hot update: new normal images become templates, without looking at the old ones again.
//!
//! Every new image adds one template to each place, beside the sheets or images that are there. More templates can only lower a
//! distance, so that the old images' scores, which the bank keeps, stay upper bounds; the new images are scored against all
//! templates but their own. Both together calibrate the bundle anew.

use super::bank::{MAP_MEANS, Packed, SCORES, set_columns, tensors};
use super::fit::{extract, score_without, to_floats};
use super::{Hetmm, Params};
use crate::bundle::{BANK, Bank, Bundle, Exclusive, Manifest, Staging};
use crate::error::{Error, Result};
use crate::evaluate::calibration::{self, Scores, calibrate};
use crate::methods::Method;
use crate::methods::fitting::{ImageSet, Progress, UpdateOptions};
use crate::methods::registry::BundleParams;
use crate::network::Network;
use half::slice::HalfFloatSliceExt;
use std::sync::Arc;

/// Adds `images` to `bundle`, which is replaced in one step; returns the new manifest.
///
/// # Errors
/// If the images cannot be used, or the bundle cannot be written; then the old one stays.
pub fn update(
    alone: &Exclusive,
    bundle: &Bundle,
    images: &mut ImageSet,
    options: &UpdateOptions,
    progress: &mut dyn Progress,
) -> Result<Manifest> {
    let mut staging = Staging::instead_of(alone)?;
    let path = bundle.path();
    let mut manifest = bundle.manifest().clone();
    let mut params: Params = BundleParams::new(&manifest, path).read(Params::check)?;
    let bank = Bank::open(&path.join(BANK))?;
    let old = Hetmm::open(params.clone(), &manifest.input, &bank)?;
    let mut scores = old_scores(&bank, manifest.training.images)?;

    let size = (manifest.input.width, manifest.input.height);
    let mut network = Network::load(bundle.graph(), size, old.outputs(), options.device, options.threads)?;
    let shapes: Vec<_> = old.layers.iter().map(|layer| layer.shape).collect();
    let features = extract(images, &shapes, &options.scratch, progress, |images, progress, keep| {
        images.each(&mut network, "looking at the new images", progress, keep)
    })?;

    let before = params.templates;
    params.templates += images.len();
    params.check(&manifest.input).map_err(Error::Setting)?;
    progress.stage("adding templates", shapes.iter().map(|shape| shape.height).sum());
    let mut packed = Vec::new();
    for (layer, new) in old.layers.iter().zip(&features) {
        let channels = layer.shape.channels;
        let templates = layer.values.values();
        let fill = |place: usize, block: &mut [f32]| {
            let rows = templates[place * channels * before..].chunks_exact(before);
            for (row, old) in block.chunks_exact_mut(params.templates).zip(rows) {
                old.convert_to_f32_slice(&mut row[..before]);
            }
            set_columns(block, params.templates, before, new.at(place).chunks_exact(channels));
        };
        let (values, _) = Packed::fill(layer.shape, params.templates, &options.scratch, progress, fill)?;
        packed.push(values);
    }
    drop(old);
    staging.write_graph(bundle.graph())?;
    staging.write_bank(&tensors(&packed, &[], &[]))?;
    let hetmm = Arc::new(Hetmm::open(params.clone(), &manifest.input, &Bank::open(&staging.bank())?)?);
    let chosen = images.twins().firsts();
    progress.stage("calibrating", chosen.len());
    let mut new = Scores::default();
    for image in chosen {
        let group = images.twins().group(image).iter().map(|image| (before + image) as u32);
        let group: Vec<u32> = group.collect();
        let skipped: Vec<Vec<u32>> = shapes.iter().map(|shape| group.repeat(shape.places())).collect();
        score_without(&hetmm, &features, image, &skipped, &mut new)?;
        new.images.push(manifest.training.images + image);
        progress.advance();
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    drop(hetmm);
    let scored = images.scored_beyond(&new);
    scores.normal.extend(new.normal);
    scores.map_means.extend(new.map_means);
    let (normal, means) = (to_floats(&scores.normal), to_floats(&scores.map_means));
    staging.write_bank(&tensors(&packed, &normal, &means))?;
    let obtained =
        "training images, each against the templates from the others as they were when it was added";
    manifest.calibration = calibrate(&scores, &calibration::FALSE_ALARMS, obtained, |score| score)?;
    options.record(&mut manifest, &params, images)?;
    staging.commit(manifest, images.learned().as_ref(), scored.as_ref())
}

/// The scores with which the bundle was calibrated, of no more images than it has learned from.
fn old_scores(bank: &Bank, images: usize) -> Result<Scores> {
    let count = bank.shape(SCORES).and_then(|shape| shape.first().copied()).unwrap_or(0);
    if count > images {
        return Err(
            bank.wrong(SCORES, &format!("expected the scores of {images} images at most, found {count}"))
        );
    }
    let read = |name: &str| -> Result<Vec<f64>> {
        let values = bank.floats(name, &[count])?;
        if let Some(value) = values.iter().find(|&&value| value < BY_ROUNDING) {
            return Err(bank.wrong(name, &format!("expected no value below 0, found {value}")));
        }
        Ok(values.into_iter().map(f64::from).collect())
    };
    Ok(Scores { normal: read(SCORES)?, map_means: read(MAP_MEANS)?, ..Scores::default() })
}

/// What a distance can be by rounding at least.
const BY_ROUNDING: f32 = -1e-3;
