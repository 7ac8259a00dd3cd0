//! What the bank says of its own images, which calibrates the bundle.

use super::Cpr;
use super::retrieve::CprRetrieve;
use crate::bundle::Calibration;
use crate::error::{Error, Result};
use crate::evaluate::calibration::{FALSE_ALARMS, Scores, calibrate};
use crate::kernels::windowed::channel_last;
use crate::methods::Method;
use crate::methods::fitting::{Progress, Twins};
use crate::network::FeatureMap;
use half::f16;
use std::sync::Arc;

/// Images at most that calibrate the bundle; more would only make fitting slower.
const CALIBRATED: usize = 1_000;

/// The threshold and the scale, from the score of each image of the bank against the others, with these scores. `histograms` are the
/// bank's, `[N, blocks, bins]`.
pub(super) fn calibration(
    cpr: &Arc<Cpr>,
    histograms: &[f32],
    twins: &Twins,
    progress: &mut dyn Progress,
) -> Result<(Calibration, Scores)> {
    let scores = leave_one_out(cpr, histograms, twins, progress)?;
    let source = "training images, each against the others";
    let calibration = calibrate(&scores, &FALSE_ALARMS, source, |score| cpr.map_level(score))?;
    Ok((calibration, scores))
}

/// The score of every image of the bank (an even selection of very many, and one of near-twins) against the others.
fn leave_one_out(
    cpr: &Arc<Cpr>,
    histograms: &[f32],
    twins: &Twins,
    progress: &mut dyn Progress,
) -> Result<Scores> {
    let finest = cpr.finest();
    let chosen = twins.chosen(CALIBRATED);
    progress.stage("calibrating", chosen.len());
    let (mut retrieve, mut score) = (CprRetrieve::new(cpr.clone()), cpr.clone().score());
    let mut scores = Scores::default();
    for index in chosen {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let local = cpr.scales.iter().map(|bank| {
            let s = bank.shape;
            let patches: Vec<f32> = channel_last(bank.map(index), s).into_iter().map(f16::to_f32).collect();
            FeatureMap::from_floats([1, s.height, s.width, s.channels], patches)
        });
        let local: Vec<FeatureMap> = local.collect();
        let foreground = cpr.foreground.as_ref().map(|foreground| {
            let own = foreground[index * finest.places()..][..finest.places()].to_vec();
            FeatureMap::from_floats([1, 1, finest.height, finest.width], own)
        });
        let group = twins.group(index);
        let neighbours = cpr.neighbours().min(cpr.references - group.len());
        let own = &histograms[index * cpr.blocks.len()..][..cpr.blocks.len()];
        let found = retrieve.retrieve_by(own, &local, foreground.as_ref(), neighbours, group)?;
        let (map, value) = score.score(&found, None)?;
        progress.scored(index, &map);
        scores.images.push(index);
        scores.normal.push(value);
        scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
        progress.advance();
    }
    Ok(scores)
}
