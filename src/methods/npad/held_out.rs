//! What distributions say of images that were held out of them, which calibrates the bundle.
//!
//! The images are left out part by part, and the others' distributions know fewer images than the bundle's: a good part lies
//! farther from them. How much the scores fall with the number of images is seen from a second round, which leaves out half of the
//! images at a time, and carried on to all of them.

use super::Npad;
use super::centroids::Clusters;
use super::distributions::{Distributions, Features, Weights, estimate};
use super::params::Params;
use crate::error::Result;
use crate::evaluate::calibration::Scores;
use crate::evaluate::tail::quantile;
use crate::frame::InputSpec;
use crate::methods::Method;
use crate::methods::fitting::Progress;
use std::path::Path;
use std::sync::Arc;

/// The training images as a fit keeps them.
pub(super) struct HeldOut<'a> {
    pub features: &'a Features,
    pub weights: &'a Weights,
    pub clusters: &'a Clusters<'a>,
    /// Features that each image has among those of the clusters.
    pub per_image: usize,
    /// The numbers of the images.
    pub images: &'a [usize],
    pub scratch: &'a Path,
}

/// What was found.
pub(super) struct Judged {
    pub scores: Scores,
    /// Sums over the images: the map's largest value, and the root of the score.
    tops: f64,
    roots: f64,
}

impl Judged {
    /// What the root of a score is multiplied by for the map's largest value.
    pub fn map_scale(&self) -> f64 {
        if self.roots > 0.0 && self.tops > 0.0 { self.tops / self.roots } else { 1.0 }
    }
}

impl HeldOut<'_> {
    /// The scores of the images, left out in `parts` parts in turn.
    ///
    /// # Errors
    /// If the distributions cannot be estimated or the user interrupts.
    pub fn judge(
        &self,
        parts: usize,
        params: &Params,
        input: &InputSpec,
        progress: &mut dyn Progress,
    ) -> Result<Judged> {
        // Only what the frame as it is says: training images are not shifted.
        let params = Params { shifts: 0, ..params.clone() };
        let mut judged = Judged { scores: Scores::default(), tops: 0.0, roots: 0.0 };
        for part in 0..parts {
            let of_part = self.images.iter().skip(part).step_by(parts);
            let left_out: Vec<usize> = of_part.copied().collect();
            let others: Vec<usize> =
                self.images.iter().copied().filter(|image| !left_out.contains(image)).collect();
            let weights = Some(self.weights);
            let (Distributions { weighted, aggregated }, _) =
                estimate(self.features, &others, &params, weights, self.scratch, progress)?;
            // An image would be found among centroids that its own features made.
            let centroids = self.clusters.with(|feature| feature / self.per_image % parts != part);
            let npad = Arc::new(Npad::new(params.clone(), input, weighted, aggregated, centroids));
            let (mut retrieve, mut score) = (npad.clone().retrieve(), npad.score());
            for image in left_out {
                let found = retrieve.retrieve(&[self.features.image(image)], 0, None)?;
                let (map, value) = score.score(&found, None)?;
                judged.tops += f64::from(map.iter().copied().fold(0.0, f32::max));
                judged.roots += value.sqrt();
                progress.scored(image, &map);
                let scores = &mut judged.scores;
                scores.images.push(image);
                scores.normal.push(value);
                scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
            }
        }
        Ok(judged)
    }
}

/// Brings `scores`, of images left out in `parts` parts, to what a bundle of all of them would say. `fewer` are those of the same images
/// left out in fewer parts: as a power of the number of images, which is what lies between the two, scores go on falling.
pub(super) fn carry_on(scores: &mut Scores, parts: usize, fewer: &Scores, fewer_parts: usize) {
    let learned = |parts: usize| 1.0 - 1.0 / parts as f64;
    // How often the step from fewer images to more fits into the step from more to all.
    let steps = -learned(parts).ln() / (learned(parts) / learned(fewer_parts)).ln();
    let factor = |more: &[f64], less: &[f64]| {
        let (more, less) = (median(more), median(less));
        // Scores that do not fall leave nothing to carry on.
        if more > 0.0 && less > more { (more / less).powf(steps) } else { 1.0 }
    };
    let of_scores = factor(&scores.normal, &fewer.normal);
    let of_means = factor(&scores.map_means, &fewer.map_means);
    scores.normal.iter_mut().for_each(|score| *score *= of_scores);
    scores.map_means.iter_mut().for_each(|mean| *mean *= of_means);
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.is_empty() { 0.0 } else { quantile(&sorted, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_fall_as_a_power_of_the_images_are_carried_on_to_all_of_them() {
        let at = |share: f64| -> Scores {
            let normal = (1..=9).map(|i| f64::from(i) * share.powf(-0.7)).collect();
            Scores { normal, map_means: vec![3.0 * share.powf(-0.2); 9], ..Scores::default() }
        };
        let mut scores = at(0.8);
        carry_on(&mut scores, 5, &at(0.5), 2);
        let whole = at(1.0);
        let pairs =
            scores.normal.iter().zip(&whole.normal).chain(scores.map_means.iter().zip(&whole.map_means));
        pairs.for_each(|(found, expected)| {
            assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}")
        });
    }

    #[test]
    fn scores_that_do_not_fall_stay() {
        let of = |normal: &[f64]| Scores {
            normal: normal.to_vec(),
            map_means: normal.to_vec(),
            ..Scores::default()
        };
        let mut scores = of(&[1.0, 2.0, 3.0]);
        carry_on(&mut scores, 5, &of(&[1.0, 1.5, 3.0]), 2);
        assert_eq!(scores.normal, [1.0, 2.0, 3.0]);
        carry_on(&mut scores, 5, &of(&[0.0; 3]), 2);
        assert_eq!(scores.normal, [1.0, 2.0, 3.0]);
    }
}
