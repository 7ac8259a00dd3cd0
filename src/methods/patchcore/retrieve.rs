//! The distance of every patch to the bank, and what the image score is re-weighted with.

use super::search::SearchSpace;
use super::{PatchCore, foreign};
use crate::error::Result;
use crate::kernels::nearest::{Found, Skip, distance};
use crate::kernels::parallel;
use crate::methods::{DistanceMap, Neighbour, Retrieve, Retrieved};
use crate::network::FeatureMap;
use crate::pool::Pool;
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct PatchCoreRetrieve {
    patchcore: Arc<PatchCore>,
    found: Vec<Found>,
    space: SearchSpace,
    maps: Pool<Vec<f32>>,
}

impl PatchCoreRetrieve {
    pub(super) fn new(patchcore: Arc<PatchCore>) -> Self {
        let found = vec![Found::default(); patchcore.map.0 * patchcore.map.1];
        Self { found, space: SearchSpace::default(), maps: Pool::default(), patchcore }
    }

    fn map(&self, fill: impl FnOnce(&mut [f32])) -> DistanceMap {
        let (height, width) = self.patchcore.map;
        let mut values = self.maps.take(|| vec![0.0; height * width]);
        fill(&mut values);
        DistanceMap { height, width, values }
    }

    /// The distances of a patch to the rows around its nearest one, `count` with that one, the nearest to it first; without rows of the
    /// image `exclude`.
    fn others<'a>(
        &'a self,
        patch: &'a [f32],
        found: Found,
        count: usize,
        exclude: Option<usize>,
    ) -> impl DoubleEndedIterator<Item = Neighbour> + 'a {
        let PatchCore { patches, images, .. } = &*self.patchcore;
        let rows = self.patchcore.neighbourhood(found.row as usize).iter().take(count);
        let others = rows.map(|&row| row as usize).filter(move |&row| row != found.row as usize);
        let others = others.filter(move |&row| exclude.is_none_or(|image| images[row] as usize != image));
        let row = |index: usize| &patches.values()[index * patch.len()..][..patch.len()];
        others.map(move |index| Neighbour { index, distance: distance(patch, row(index)) })
    }

    /// The same with the nearest row before them.
    fn neighbourhood(
        &self,
        patch: &[f32],
        found: Found,
        count: usize,
        exclude: Option<usize>,
    ) -> Vec<Neighbour> {
        std::iter::once(nearest(found)).chain(self.others(patch, found, count, exclude)).collect()
    }
}

fn nearest(found: Found) -> Neighbour {
    Neighbour { index: found.row as usize, distance: found.distance }
}

/// The [`weight`] of a patch by its nearest row m* and the `others` around that, the nearest to it first. The last is often so far that
/// no other need be looked at.
fn quick_weight(nearest: Neighbour, mut others: impl DoubleEndedIterator<Item = Neighbour>) -> f32 {
    match others.next_back() {
        Some(last) if last.distance - nearest.distance > FAR => 1.0,
        last => weight(&std::iter::once(nearest).chain(others).chain(last).collect::<Vec<_>>()),
    }
}

/// `exp(-FAR)` is less than half of what f32 can take off 1: 2^-25.
const FAR: f32 = 17.4;

/// Patches that a thread re-weights at a time.
const TOGETHER: usize = 64;

/// The factor of the paper's equation 7, from the distances of a patch to N_b(m*), m* first:
/// `1 - exp(|p - m*|) / sum over m in N_b of exp(|p - m|)`.
pub fn weight(neighbourhood: &[Neighbour]) -> f32 {
    let Some(nearest) = neighbourhood.first() else { return 1.0 };
    // Relative to the largest one, so that none overflows.
    let largest = neighbourhood.iter().map(|n| f64::from(n.distance)).fold(0.0, f64::max);
    let part = |n: &Neighbour| (f64::from(n.distance) - largest).exp();
    let sum: f64 = neighbourhood.iter().map(part).sum();
    // A row that is alone says nothing of how rare it is.
    if neighbourhood.len() == 1 { 1.0 } else { (1.0 - part(nearest) / sum) as f32 }
}

impl Retrieve for PatchCoreRetrieve {
    /// The maps: the distances, and, where the image score is re-weighted, the same re-weighted.
    /// The neighbours: rows of the bank around the one nearest to the worst patch, with their distances from that patch.
    fn retrieve(
        &mut self,
        maps: &[FeatureMap],
        neighbours: usize,
        exclude: Option<usize>,
    ) -> Result<Retrieved> {
        let patchcore = self.patchcore.clone();
        let dimension = patchcore.params.embedding.aggregated;
        let patches = match maps {
            [map] if map.floats().len() == self.found.len() * dimension => map.floats(),
            _ => return Err(foreign("the features")),
        };
        let skip = exclude.map(|image| Skip { owners: &patchcore.images, owner: image as u32 });
        patchcore.search.find(patchcore.patches.values(), patches, skip, &mut self.space, &mut self.found)?;

        let distances = self.map(|values| {
            values.iter_mut().zip(&self.found).for_each(|(value, found)| *value = found.distance)
        });
        let patch = |i: usize| &patches[i * dimension..(i + 1) * dimension];
        let worst = self.found.iter().enumerate().fold((0, f32::NEG_INFINITY), |worst, (i, found)| {
            if found.distance > worst.1 { (i, found.distance) } else { worst }
        });
        let mut result = vec![distances];
        if patchcore.params.reweighting {
            result.push(self.map(|values| {
                parallel::each(values.chunks_mut(TOGETHER).enumerate(), |(part, values)| {
                    for (i, value) in (part * TOGETHER..).zip(values) {
                        let found = self.found[i];
                        let others = self.others(patch(i), found, neighbours, exclude);
                        *value = quick_weight(nearest(found), others) * found.distance;
                    }
                });
            }));
        }
        Ok(Retrieved {
            distances: result,
            neighbours: self.neighbourhood(patch(worst.0), self.found[worst.0], neighbours, exclude),
            features: Vec::new(),
            foreground: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(distances: &[f32]) -> Vec<Neighbour> {
        distances.iter().enumerate().map(|(index, &distance)| Neighbour { index, distance }).collect()
    }

    #[test]
    fn the_weight_is_one_minus_a_softmax() {
        assert!((weight(&rows(&[2.0; 9])) - 8.0 / 9.0).abs() < 1e-6);
        assert!((weight(&rows(&[1.0, 1.0 + 3f32.ln()])) - 0.75).abs() < 1e-6);
        assert!(weight(&rows(&[1000.0, 2000.0])) == 1.0, "neither overflow nor nothing");
        assert!(weight(&rows(&[5.0])) == 1.0);
        for nearest in [0.0, 3.0, 500.0] {
            assert!(weight(&rows(&[nearest, nearest + FAR])) == 1.0, "no other row need be looked at");
            assert!(weight(&rows(&[nearest, nearest + FAR - 0.5])) < 1.0, "but not without need");
        }
    }

    proptest! {
        #[test]
        fn a_short_cut_leads_to_the_same_weight(
            nearest in 0f32..300.0, away in proptest::collection::vec(0f32..40.0, 0..9),
        ) {
            let distances: Vec<f32> = std::iter::once(0.0).chain(away).map(|away| nearest + away).collect();
            let rows = rows(&distances);
            prop_assert_eq!(quick_weight(rows[0], rows[1..].iter().copied()), weight(&rows));
        }
    }
}
