//! What the bank says of normal images, which calibrates the bundle.
//!
//! A training image is scored without the rows of the bank that come from it. The coreset was chosen with that image, so
//! what other images had there may have been left out as too near to its rows: its scores are rather too high than
//! too low, the more so the fewer rows the bank keeps, and so is the threshold that they give.

use super::{Params, PatchCore};
use crate::bundle::Calibration;
use crate::error::{Error, Result};
use crate::evaluate::calibration::{FALSE_ALARMS, Scores, calibrate};
use crate::methods::fitting::Progress;
use crate::methods::{Method, Retrieve, Score};
use crate::network::FeatureMap;
use std::sync::Arc;

/// Normal images as they are scored.
pub(super) struct Judged {
    retrieve: Box<dyn Retrieve>,
    score: Box<dyn Score>,
    neighbours: usize,
    scores: Scores,
    /// The largest value of each image's map.
    peaks: Vec<f64>,
}

impl Judged {
    pub fn new(patchcore: &Arc<PatchCore>) -> Self {
        Self {
            retrieve: patchcore.clone().retrieve(),
            score: patchcore.clone().score(),
            neighbours: patchcore.neighbours(),
            scores: Scores::default(),
            peaks: Vec::new(),
        }
    }

    /// Scores a normal image, without the rows of image `exclude`.
    pub fn judge(
        &mut self,
        maps: &[FeatureMap],
        exclude: Option<usize>,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let found = self.retrieve.retrieve(maps, self.neighbours, exclude)?;
        let (map, value) = self.score.score(&found, None)?;
        self.scores.normal.push(value);
        self.scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
        self.peaks.push(f64::from(map.iter().copied().fold(0.0, f32::max)));
        progress.advance();
        Ok(())
    }

    /// The median of the maps' largest values as shares of the image scores.
    pub fn peak(&self) -> f64 {
        let shares = self.peaks.iter().zip(&self.scores.normal).filter(|(_, score)| **score > 0.0);
        let mut shares: Vec<f64> = shares.map(|(peak, score)| peak / score).collect();
        shares.sort_by(f64::total_cmp);
        shares.get(shares.len() / 2).copied().filter(|&peak| peak > 0.0).unwrap_or(1.0)
    }

    /// The threshold and the scale; `params` has the peak.
    pub fn calibrate(&self, params: &Params, source: &str) -> Result<Calibration> {
        calibrate(&self.scores, FALSE_ALARMS, source, |score| score * params.peak)
    }
}
