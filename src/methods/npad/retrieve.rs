//! The frame's features against the distributions of every position and against the centroids.

use super::{Npad, aggregate};
use crate::error::{Error, Result};
use crate::kernels::mahalanobis::{Nearest, Part};
use crate::kernels::parallel;
use crate::methods::{DistanceMap, Retrieve, Retrieved};
use crate::network::FeatureMap;
use crate::pool::Pool;
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct NpadRetrieve {
    npad: Arc<Npad>,
    averaged: Vec<f32>,
    maps: Pool<Vec<f32>>,
}

impl NpadRetrieve {
    pub(super) fn new(npad: Arc<Npad>) -> Self {
        Self { averaged: vec![0.0; npad.shape.len()], npad, maps: Pool::default() }
    }

    fn empty(&self) -> DistanceMap {
        let (height, width) = (self.npad.shape.height, self.npad.shape.width);
        let mut values = self.maps.take(|| vec![0.0; height * width]);
        values.fill(f32::INFINITY);
        DistanceMap { height, width, values }
    }

    /// Map A, map B and the distances to the nearest centroids (eq. 8 to 10 and 13).
    fn compare(&mut self, features: &[f32]) -> [DistanceMap; 3] {
        let npad = self.npad.clone();
        aggregate(features, npad.shape, npad.params.neighbourhood, &mut self.averaged);
        let [mut weighted, mut aggregated, mut centroids] = [self.empty(), self.empty(), self.empty()];
        let (a, b) = (npad.weighted.gaussians(), npad.aggregated.gaussians());
        {
            let (near_a, near_b) = (Nearest::new(&mut weighted.values), Nearest::new(&mut aggregated.values));
            let mut parts: Vec<Part<'_>> = a.parts(features, npad.params.offsets(), &near_a).collect();
            parts.extend(b.parts(&self.averaged, 0..=0, &near_b));
            parallel::each(parts.into_iter(), Part::run);
        }
        npad.centroids.distances(&self.averaged, &mut centroids.values);
        [weighted, aggregated, centroids]
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
        let distances = maps.iter().flat_map(|map| self.compare(map.floats())).collect();
        Ok(Retrieved { distances, neighbours: Vec::new(), foreground: None })
    }
}
