//! Adding normal images to a bundle without fitting it anew.
//!
//! The selection goes on where it ended: of the new patches, the ones furthest from the bank are taken in one by one until none is
//! further away than the patches were that the bank was made from. What the bank knows already adds nothing to it.

use super::coreset::{self, Projection};
use super::folds::Folds;
use super::index;
use super::judged;
use super::patches::{Patches, project};
use super::rows::Rows;
use super::{IMAGES, PATCHES, Params, SCORES};
use crate::bundle::{BANK, Bank, Bundle, Manifest, Staging};
use crate::error::{Error, Result};
use crate::kernels::nearest::{Found, Nearest, Space};
use crate::methods::fitting::{ImageSet, Progress, UpdateOptions};
use crate::network::lock;
use std::path::Path;

/// Adds the images of `options` to the bundle in `path`, which is replaced in one step; returns the new manifest.
///
/// # Errors
/// If the images cannot be used, or the bundle cannot be written; then the old one stays.
pub fn update(
    path: &Path,
    bundle: &Bundle,
    options: &UpdateOptions,
    progress: &mut dyn Progress,
) -> Result<Manifest> {
    let mut staging = Staging::new(path)?;
    let mut manifest = bundle.manifest().clone();
    let mut params: Params = serde_json::from_value(manifest.params.clone())
        .map_err(|e| Error::file(path.join(crate::bundle::MANIFEST), format!("params: {e}")))?;
    let bank = Bank::open(&path.join(BANK))?;
    let dimension = params.embedding.aggregated;
    let mut rows = Rows::new(
        bank.halves(PATCHES, &[params.rows, dimension])?.values().to_vec(),
        bank.numbers(IMAGES, &[params.rows], params.references)?,
    );
    let known = known_scores(&bank, &params)?;

    let mut images = ImageSet::listed(&options.add, manifest.input.clone(), options.strict)?;
    let network = bundle.network(options.device, options.threads)?;
    let seed = manifest.training.seed;
    let patches =
        Patches::embed(&mut images, &mut lock(&network), &params, seed, &options.scratch, progress)?;
    let chosen = choose(&patches, &rows, &params, seed, progress)?;
    rows.take(patches.values(), &chosen, dimension, patches.per_image(), params.references);
    progress.note(&format!(
        "{} of {} new patches were unlike the bank's",
        chosen.len(),
        patches.points().len()
    ));

    let before = params.references;
    params.references += patches.images;
    params.rows += chosen.len();
    params.check(&manifest.input).map_err(Error::Setting)?;
    rows.relate(&params, progress)?;
    index::build(&mut rows, &patches, before, &mut params, seed, progress)?;
    staging.write_graph(bundle.graph())?;
    let folds = Folds {
        params: &params,
        input: &manifest.input,
        rows: &rows,
        patches: &patches,
        first: before,
        radius: params.selection.radius,
        seed,
    };
    let mut scores = known;
    scores.extend(folds.scores(&mut staging, progress)?);
    params.peak = judged::peak(&scores);
    rows.write(&mut staging, &params, &scores)?;

    manifest.calibration = judged::calibration(
        &scores,
        &params,
        &format!("training images, each against a bank of others, the last {} added later", patches.images),
    )?;
    manifest.params = serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?;
    manifest.training.images = params.references;
    manifest.training.skipped += images.skipped();
    manifest.training.date.clone_from(&options.date);
    staging.commit(manifest)
}

/// What the images before were scored; the bank has only grown since, so that they would not score more now. A single image is
/// no more than a guess at how images differ, which is not needed any longer.
fn known_scores(bank: &Bank, params: &Params) -> Result<Vec<[f32; 3]>> {
    if params.references == 1 {
        return Ok(Vec::new());
    }
    let count = bank.shape(SCORES).and_then(|shape| shape.first().copied()).unwrap_or(0);
    let values = bank.floats(SCORES, &[count, 3])?;
    Ok(values.as_chunks::<3>().0.to_vec())
}

/// The new patches that the bank takes in.
fn choose(
    patches: &Patches,
    rows: &Rows,
    params: &Params,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<usize>> {
    let projection = Projection::new(patches.dimension, params.selection.projection, seed);
    let wide: Vec<f32> = rows.values.iter().map(|value| value.to_f32()).collect();
    let mut bank = Vec::new();
    project(projection.as_ref(), &wide, patches.dimension, &mut bank);
    let points = patches.points();
    let mut found = vec![Found::default(); points.len()];
    Nearest::new(&bank, points.dimension).find(
        &bank,
        points.values,
        None,
        &mut Space::default(),
        &mut found,
    )?;
    let anchors: Vec<f32> = found.iter().map(|found| found.distance).collect();
    let radius = params.selection.radius as f32;
    // As many as there are at most; how many there will be nobody knows.
    progress.stage("choosing new patches", anchors.iter().filter(|&&anchor| anchor > radius).count());
    let coreset = coreset::greedy(points, &anchors, points.len(), radius, || {
        progress.advance();
        if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    Ok(coreset.chosen)
}
