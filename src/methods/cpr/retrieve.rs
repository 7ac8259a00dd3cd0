//! Global retrieval of the K nearest normals, then local retrieval among them.

use super::{Cpr, LocalBank};
use crate::error::{Error, Result};
use crate::kernels::histogram::Query;
use crate::kernels::resize::Bilinear;
use crate::kernels::windowed;
use crate::methods::{DistanceMap, Neighbour, Retrieve, Retrieved};
use crate::network::FeatureMap;
use crate::pool::{Pool, Pooled};
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct CprRetrieve {
    cpr: Arc<Cpr>,
    histograms: Vec<f32>,
    query: Query,
    distances: Vec<f32>,
    widen: Bilinear,
    maps: Vec<Pool<Vec<f32>>>,
    foregrounds: Pool<Vec<f32>>,
}

impl CprRetrieve {
    pub(super) fn new(cpr: Arc<Cpr>) -> Self {
        let finest = cpr.finest();
        Self {
            histograms: vec![0.0; cpr.blocks.len()],
            query: Query::default(),
            distances: Vec::new(),
            widen: Bilinear::new((finest.height, finest.width), cpr.input),
            maps: cpr.scales.iter().map(|_| Pool::default()).collect(),
            foregrounds: Pool::default(),
            cpr,
        }
    }

    /// The K references whose code histograms are nearest, nearest first; equal ones in the bank's order.
    fn nearest(&mut self, codes: &[u8], count: usize, exclude: Option<usize>) -> Vec<Neighbour> {
        self.cpr.blocks.histograms(codes, &mut self.histograms);
        self.cpr.comparison.distances(&self.histograms, &mut self.query, &mut self.distances);
        let all = self.distances.iter().enumerate().filter(|(index, _)| Some(*index) != exclude);
        let mut found: Vec<Neighbour> = all.map(|(index, &distance)| Neighbour { index, distance }).collect();
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
        found.truncate(count);
        found
    }

    /// F*: the largest foreground weight of the query and its neighbours at each pixel of the input.
    fn foreground(&mut self, query: &[f32], neighbours: &[Neighbour]) -> Option<Pooled<Vec<f32>>> {
        let bank = self.cpr.foreground.as_ref()?;
        let size = self.cpr.finest().places();
        let mut maps = vec![query];
        maps.extend(neighbours.iter().map(|neighbour| &bank[neighbour.index * size..][..size]));
        let pixels = self.cpr.input.0 * self.cpr.input.1;
        let mut weights = self.foregrounds.take(|| vec![0.0; pixels]);
        self.widen.run_max(&maps, &mut weights);
        Some(weights)
    }
}

impl Retrieve for CprRetrieve {
    fn retrieve(
        &mut self,
        maps: &[FeatureMap],
        neighbours: usize,
        exclude: Option<usize>,
    ) -> Result<Retrieved> {
        let cpr = self.cpr.clone();
        let (local, rest) = maps.split_at_checked(cpr.scales.len()).unwrap_or((maps, &[]));
        let fits = local.len() == cpr.scales.len()
            && local.iter().zip(&cpr.scales).all(|(map, scale)| map.floats().len() == scale.shape.len())
            && rest.first().is_some_and(|codes| codes.bytes().len() == cpr.finest().places())
            && (!cpr.params.foreground
                || rest.get(1).is_some_and(|map| map.floats().len() == cpr.finest().places()));
        if !fits {
            return Err(Error::Features("they are not of the shapes that this CPR bundle expects".into()));
        }
        let neighbours = self.nearest(rest[0].bytes(), neighbours, exclude);
        if neighbours.is_empty() {
            return Err(Error::Features("there is no normal image to compare with".into()));
        }
        let distances = local
            .iter()
            .zip(&cpr.scales)
            .zip(&self.maps)
            .map(|((map, scale), pool)| scale.distances(map.floats(), &neighbours, pool))
            .collect();
        let foreground =
            if cpr.params.foreground { self.foreground(rest[1].floats(), &neighbours) } else { None };
        Ok(Retrieved { distances, neighbours, foreground })
    }
}

impl LocalBank {
    fn distances(&self, query: &[f32], neighbours: &[Neighbour], pool: &Pool<Vec<f32>>) -> DistanceMap {
        let shape = self.shape;
        let patches = self.patches.values();
        let references: Vec<_> =
            neighbours.iter().map(|n| &patches[n.index * shape.len()..][..shape.len()]).collect();
        let mut values = pool.take(|| vec![0.0; shape.places()]);
        windowed::distances(query, &references, shape, self.window, &mut values);
        DistanceMap { height: shape.height, width: shape.width, values }
    }
}
