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
use crate::bundle::{BANK, Bank, Bundle, Exclusive, Manifest, Staging};
use crate::error::{Error, Result};
use crate::kernels::nearest::{Found, Nearest, Space};
use crate::methods::fitting::{ImageSet, Progress, UpdateOptions};
use crate::methods::registry::BundleParams;
use crate::network::lock;

/// Fewer scores of images say less of how good ones differ than views of a single one do.
const ENOUGH: usize = 5;

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
    let dimension = params.embedding.aggregated;
    let mut rows = Rows::new(
        bank.halves(PATCHES, &[params.rows, dimension])?.values().to_vec(),
        bank.numbers(IMAGES, &[params.rows], params.references)?,
    );
    let known = known_scores(&bank, &params)?;

    let network = bundle.network(options.device, options.threads)?;
    let seed = manifest.training.seed;
    let patches = Patches::embed(images, &mut lock(&network), &params, seed, &options.scratch, progress)?;
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
        twins: images.twins(),
    };
    let new = folds.scores(&mut staging, progress)?;
    let mut scores = known;
    let scored = images.scored_beyond(&judged::of_images(&new.scores, new.images));
    let new = new.scores;
    forget_views(&mut scores, before, new.len());
    let whose = if scores.len() > before {
        "views of the first training image and others"
    } else {
        "training images"
    };
    scores.extend(new);
    params.peak = judged::peak(&scores);
    rows.write(&mut staging, &params, &scores)?;

    manifest.calibration = judged::calibration(
        &scores,
        &params,
        &format!("{whose}, each against a bank of others, the last {} added later", patches.images),
    )?;
    options.record(&mut manifest, &params, images)?;
    staging.commit(manifest, images.learned().as_ref(), scored.as_ref())
}

/// What the images before were scored; the bank has only grown since, so that they would not score more now.
fn known_scores(bank: &Bank, params: &Params) -> Result<Vec<[f32; 3]>> {
    let count = bank.shape(SCORES).and_then(|shape| shape.first().copied()).unwrap_or(0);
    let most = params.references + ImageSet::VIEWS;
    if count > most {
        return Err(
            bank.wrong(SCORES, &format!("expected the scores of {most} images at most, found {count}"))
        );
    }
    let values = bank.floats(SCORES, &[count, 3])?;
    if let Some(value) = values.iter().find(|&&value| value < 0.0) {
        return Err(bank.wrong(SCORES, &format!("expected no score below 0, found {value}")));
    }
    Ok(values.as_chunks::<3>().0.to_vec())
}

/// Takes views of the only image out of `known`, the scores of a bundle of `references` images, if there are enough real ones with `new`.
fn forget_views(known: &mut Vec<[f32; 3]>, references: usize, new: usize) {
    // Where the first image was alone it has no score of its own, but its views have.
    let views = if known.len() > references { ImageSet::VIEWS.min(known.len()) } else { 0 };
    if known.len() - views + new >= ENOUGH {
        known.drain(..views);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_the_only_image_count_until_there_are_enough_others() {
        // Four views, and one image in each update.
        let mut scores = vec![[1.0; 3]; ImageSet::VIEWS];
        for (references, left) in [(1, 5), (2, 6), (3, 7), (4, 8), (5, 5), (6, 6)] {
            forget_views(&mut scores, references, 1);
            scores.push([2.0; 3]);
            assert_eq!(scores.len(), left, "{references}");
        }
        assert!(scores.iter().all(|score| score[0] == 2.0));
        // Images that each have their own.
        let mut scores = vec![[1.0; 3]; 9];
        forget_views(&mut scores, 9, 3);
        assert_eq!(scores.len(), 9);
    }
}
