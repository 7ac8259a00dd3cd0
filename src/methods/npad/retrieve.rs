//! The frame's features against the distributions of every position.

use super::{Npad, aggregate};
use crate::error::{Error, Result};
use crate::kernels::mahalanobis::{Nearest, Part};
use crate::kernels::parallel;
use crate::methods::{DistanceMap, Retrieve, Retrieved};
use crate::network::FeatureMap;
use crate::pool::{Pool, Pooled};
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct NpadRetrieve {
    npad: Arc<Npad>,
    averaged: Pool<Vec<f32>>,
    maps: Pool<Vec<f32>>,
}

impl NpadRetrieve {
    pub(super) fn new(npad: Arc<Npad>) -> Self {
        Self { npad, averaged: Pool::default(), maps: Pool::default() }
    }

    fn empty(&self) -> DistanceMap {
        let (height, width) = (self.npad.shape.height, self.npad.shape.width);
        let mut values = self.maps.take(|| vec![0.0; height * width]);
        values.fill(f32::INFINITY);
        DistanceMap { height, width, values }
    }

    /// Map A and map B (eq. 8 to 10), and the averaged features.
    fn compare(&self, features: &[f32]) -> ([DistanceMap; 2], Pooled<Vec<f32>>) {
        let npad = &self.npad;
        let mut averaged = self.averaged.take(|| vec![0.0; npad.shape.len()]);
        aggregate(features, npad.shape, npad.params.neighbourhood, &mut averaged);
        let [mut weighted, mut aggregated] = [self.empty(), self.empty()];
        let (a, b) = (npad.weighted.gaussians(), npad.aggregated.gaussians());
        {
            let (near_a, near_b) = (Nearest::new(&mut weighted.values), Nearest::new(&mut aggregated.values));
            let mut parts: Vec<Part<'_>> = a.parts(features, npad.params.offsets(), &near_a).collect();
            parts.extend(b.parts(&averaged, 0..=0, &near_b));
            parallel::each(parts.into_iter(), Part::run);
        }
        ([weighted, aggregated], averaged)
    }
}

impl Retrieve for NpadRetrieve {
    /// Distributions stand for all normals together: there is none to choose, and none that could be left out of them again.
    fn retrieve(
        &mut self,
        maps: &[FeatureMap],
        _neighbours: usize,
        _exclude: Option<usize>,
    ) -> Result<Retrieved> {
        let expected = self.npad.params.shifts + 1;
        if maps.len() != expected || maps.iter().any(|map| map.floats().len() != self.npad.shape.len()) {
            return Err(Error::Features("they are not of the shapes that this N-pad bundle expects".into()));
        }
        let (mut distances, mut features) = (Vec::new(), Vec::new());
        for map in maps {
            let (found, averaged) = self.compare(map.floats());
            if !found.iter().flat_map(|map| map.values.iter()).all(|distance| distance.is_finite()) {
                return Err(Error::Features(
                    "they are too far from the bundle's distributions for a distance: fit it again".into(),
                ));
            }
            distances.extend(found);
            features.push(averaged);
        }
        Ok(Retrieved { distances, neighbours: Vec::new(), features, foreground: None })
    }
}
