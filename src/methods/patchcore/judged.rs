//! What a bank says of normal images that it was made without, which calibrates the bundle.

use super::{Params, PatchCore};
use crate::bundle::Calibration;
use crate::error::{Error, Result};
use crate::evaluate::calibration::{FALSE_ALARMS, Scores, calibrate};
use crate::methods::fitting::Progress;
use crate::methods::{Method, Retrieve, Score};
use crate::network::FeatureMap;
use std::sync::Arc;

/// Scores normal images.
pub(super) struct Judge {
    retrieve: Box<dyn Retrieve>,
    score: Box<dyn Score>,
    neighbours: usize,
    scores: Vec<[f32; 3]>,
}

impl Judge {
    pub fn new(patchcore: &Arc<PatchCore>) -> Self {
        let (retrieve, score) = (patchcore.clone().retrieve(), patchcore.clone().score());
        Self { retrieve, score, neighbours: patchcore.neighbours(), scores: Vec::new() }
    }

    /// Scores a normal image, that of the number `image` in the bank if it is one of the bank's.
    pub fn judge(
        &mut self,
        maps: &[FeatureMap],
        image: Option<usize>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        progress.advance();
        let found = self.retrieve.retrieve(maps, self.neighbours, None)?;
        let (map, value) = self.score.score(&found, None)?;
        if let Some(image) = image {
            progress.scored(image, &map);
        }
        let mean = map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64;
        self.scores.push([value as f32, mean as f32, map.iter().copied().fold(0.0, f32::max)]);
        Ok(())
    }

    /// The image score, the mean and the largest value of the map of each image.
    pub fn finish(self) -> Vec<[f32; 3]> {
        self.scores
    }
}

/// The median of the maps' largest values as shares of the image scores.
pub(super) fn peak(scores: &[[f32; 3]]) -> f64 {
    let known = scores.iter().filter(|[score, _, peak]| *score > 0.0 && *peak > 0.0);
    let mut shares: Vec<f64> = known.map(|[score, _, peak]| f64::from(peak / score)).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(1.0)
}

/// The threshold and the scale; `params` has the peak.
pub(super) fn calibration(scores: &[[f32; 3]], params: &Params, source: &str) -> Result<Calibration> {
    calibrate(&of_images(scores, Vec::new()), &FALSE_ALARMS, source, |score| score * params.peak)
}

/// The scores, which are those of the training `images` where these are named.
pub(super) fn of_images(scores: &[[f32; 3]], images: Vec<usize>) -> Scores {
    let column = |i: usize| scores.iter().map(|image| f64::from(image[i])).collect();
    Scores { normal: column(0), map_means: column(1), defective: Vec::new(), images }
}

/// A part of a stage that is shown as a whole: it can be interrupted, and says nothing.
pub(super) struct Silent<'a>(pub &'a mut dyn Progress);

impl Progress for Silent<'_> {
    fn stage(&mut self, _name: &str, _steps: usize) {}
    fn advance(&mut self) {}
    fn note(&mut self, _message: &str) {}
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
