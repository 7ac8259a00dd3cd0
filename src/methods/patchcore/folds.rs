//! What normal images are scored by a bank without them, which calibrates the bundle.
//!
//! To take an image's rows out of the bank would not do: the coreset was chosen with that image, so what other images have near
//! those rows was left out as known already, the more so the fewer rows the bank keeps, and the image would meet holes that no bank
//! has that never saw it. So the images are parted into folds; the rows of a fold are taken out, and the greedy selection goes on
//! among the patches of the other images until there are as many rows as before. That is a bank of the same size from the other
//! images, at a small part of the price of choosing it from nothing.

use super::coreset::{self, Points, Projection};
use super::judged::{Judge, Silent};
use super::params::{Index, IndexKind};
use super::patches::{Patches, project};
use super::rows::Rows;
use super::{Params, PatchCore};
use crate::bundle::{Bank, Staging};
use crate::error::{Error, Result};
use crate::frame::InputSpec;
use crate::kernels::nearest::{Found, Nearest, Space};
use crate::methods::fitting::{Progress, Twins};
use half::f16;
use std::collections::HashSet;
use std::sync::Arc;

/// Folds at most.
const FOLDS: usize = 5;
/// Images at most that calibrate the bundle; more would only make fitting slower.
const CALIBRATED: usize = 1_000;
/// Patches that are looked for in the bank before the user is asked again.
const AT_ONCE: usize = 1 << 13;

/// Images whose patches are at hand, with the bank that was made from them, and perhaps from others.
pub(super) struct Folds<'a> {
    pub params: &'a Params,
    pub input: &'a InputSpec,
    pub rows: &'a Rows,
    pub patches: &'a Patches,
    /// The number in the bank of the first of these images; those before it stay in every fold.
    pub first: usize,
    /// The distance to the bank below which a patch would not have become a row.
    pub radius: f64,
    /// Seed of the projection.
    pub seed: u64,
    /// Which of these images are near-twins.
    pub twins: &'a Twins,
}

/// What images were scored.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The image score, the mean and the largest value of the map.
    pub scores: Vec<[f32; 3]>,
    /// The number of each image in the bank; none where views of an image were scored.
    pub images: Vec<usize>,
}

impl Folds<'_> {
    /// The image score, the mean and the largest value of the map of each image (an even selection of very many, and one of near-twins), and the image's
    /// number in the bank; banks are written to `staging`, whose own one is to be written again.
    pub fn scores(&self, staging: &mut Staging<'_>, progress: &mut dyn Progress) -> Result<Judged> {
        let nearest = self.nearest(progress)?;
        let chosen = self.twins.chosen(CALIBRATED);
        let folds = FOLDS.min(chosen.len());
        progress.stage("calibrating", chosen.len());
        let mut judged = Judged::default();
        for fold in 0..folds {
            let out: Vec<usize> = chosen.iter().copied().skip(fold).step_by(folds).collect();
            let groups: Vec<usize> = out.iter().flat_map(|&first| self.twins.group(first)).copied().collect();
            let mut rows = self.without(&groups, &nearest, progress)?;
            if rows.images.is_empty() {
                // A bank of few rows may have none of other images: those say nothing.
                out.iter().for_each(|_| progress.advance());
                continue;
            }
            // A bank for one look at a few images is not worth an index.
            let index = Index { kind: IndexKind::Exact, ..self.params.index.clone() };
            let params = Params { rows: rows.images.len(), index, ..self.params.clone() };
            rows.relate(&params, &mut Silent(progress))?;
            rows.write(staging, &params, &[])?;
            let patchcore = Arc::new(PatchCore::open(params, self.input, &Bank::open(&staging.bank())?)?);
            let mut judge = Judge::new(&patchcore);
            for image in out {
                let number = self.first + image;
                judge.judge(&[self.patches.map(image)], Some(number), progress)?;
                judged.images.push(number);
            }
            judged.scores.extend(judge.finish());
        }
        Ok(judged)
    }

    /// The row of the bank that is nearest to each patch, in the projection.
    fn nearest(&self, progress: &mut dyn Progress) -> Result<Vec<Found>> {
        progress
            .stage("looking for the rows around each patch", self.patches.points().len().div_ceil(AT_ONCE));
        let all: Vec<usize> = (0..self.patches.points().len()).collect();
        self.find(&self.rows.values, &all, progress)
    }

    /// The nearest of `rows` to each of the patches `which`, in the projection.
    fn find(&self, rows: &[f16], which: &[usize], progress: &mut dyn Progress) -> Result<Vec<Found>> {
        let Points { values, dimension } = self.patches.points();
        let projection = Projection::new(self.patches.dimension, self.params.selection.projection, self.seed);
        let wide: Vec<f32> = rows.iter().map(|value| value.to_f32()).collect();
        let mut bank = Vec::new();
        project(projection.as_ref(), &wide, self.patches.dimension, &mut bank);
        drop(wide);
        let nearest = Nearest::new(&bank, dimension);
        let mut found = vec![Found::default(); which.len()];
        let (mut space, mut vectors) = (Space::default(), Vec::new());
        for (which, found) in which.chunks(AT_ONCE).zip(found.chunks_mut(AT_ONCE)) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            vectors.clear();
            which.iter().for_each(|&i| vectors.extend_from_slice(&values[i * dimension..][..dimension]));
            nearest.find(&bank, &vectors, None, &mut space, found)?;
            progress.advance();
        }
        Ok(found)
    }

    /// The bank without the images `out`, filled up with patches of the others; `nearest` is the whole bank's row of each patch.
    fn without(&self, out: &[usize], nearest: &[Found], progress: &mut dyn Progress) -> Result<Rows> {
        let out: HashSet<usize> = out.iter().copied().collect();
        let is_out = |image: usize| image >= self.first && out.contains(&(image - self.first));
        let dimension = self.patches.dimension;
        let mut rows = Rows::new(Vec::new(), Vec::new());
        for (row, &image) in self.rows.values.chunks_exact(dimension).zip(&self.rows.images) {
            if !is_out(image as usize) {
                rows.values.extend_from_slice(row);
                rows.images.push(image);
            }
        }
        let per_image = self.patches.per_image();
        let others = (0..nearest.len()).filter(|i| !out.contains(&(i / per_image)));
        let mut anchors = vec![0.0; nearest.len()];
        let mut lost = Vec::new();
        for i in others {
            match is_out(self.rows.images[nearest[i].row as usize] as usize) {
                true => lost.push(i),
                false => anchors[i] = nearest[i].distance,
            }
        }
        if rows.images.is_empty() {
            // Nothing is left to go on from: any patch is as good a start as another.
            lost.iter().for_each(|&i| anchors[i] = f32::MAX.sqrt());
        } else {
            let found = self.find(&rows.values, &lost, &mut Silent(progress))?;
            lost.iter().zip(found).for_each(|(&i, found)| anchors[i] = found.distance);
        }
        let missing = self.rows.images.len() - rows.images.len();
        let filled = coreset::greedy(self.patches.points(), &anchors, missing, self.radius as f32, || {
            if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
        })?;
        rows.take(self.patches.values(), &filled.chosen, dimension, per_image, self.first);
        Ok(rows)
    }
}
