//! Global retrieval of the K nearest normals, then local retrieval among them.

use super::{Cpr, LocalBank};
use crate::error::{Error, Result};
use crate::kernels::histogram::Query;
use crate::kernels::parallel;
use crate::kernels::resize::{self, Bilinear};
use crate::kernels::windowed::{self, Search, Shape};
use crate::methods::{DistanceMap, Neighbour, Retrieve, Retrieved, check_finite};
use crate::network::FeatureMap;
use crate::pool::{Pool, Pooled};
use half::f16;
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

    /// Compares a frame's local features with the nearest references that its histograms, `[blocks, bins]`, find, those of `exclude` left
    /// out.
    pub(super) fn retrieve_by(
        &mut self,
        histograms: &[f32],
        local: &[FeatureMap],
        foreground: Option<&FeatureMap>,
        neighbours: usize,
        exclude: &[usize],
    ) -> Result<Retrieved> {
        check_finite(local)?;
        let neighbours = self.nearest(histograms, neighbours, exclude);
        if neighbours.is_empty() {
            return Err(Error::Features("there is no normal image to compare with".into()));
        }
        let (distances, foreground) = self.compare(local, foreground, &neighbours);
        Ok(Retrieved { distances, neighbours, features: Vec::new(), foreground })
    }

    /// The K references whose code histograms are nearest, nearest first; equal ones in the bank's order, and of near-twins
    /// only the first.
    fn nearest(&mut self, histograms: &[f32], count: usize, exclude: &[usize]) -> Vec<Neighbour> {
        self.cpr.comparison.distances(histograms, &mut self.query, &mut self.distances);
        let all = self
            .distances
            .iter()
            .enumerate()
            .filter(|(index, _)| !exclude.contains(index) && self.cpr.counts(*index));
        let mut found: Vec<Neighbour> = all.map(|(index, &distance)| Neighbour { index, distance }).collect();
        let order =
            |a: &Neighbour, b: &Neighbour| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index));
        if count < found.len() {
            found.select_nth_unstable_by(count, order);
            found.truncate(count);
        }
        found.sort_unstable_by(order);
        found
    }

    /// The distance maps of the scales, and F*: the largest foreground weight of the frame and its neighbours at each pixel of the
    /// input. All of it is shared out at once, so that threads wake up once a frame.
    fn compare(
        &self,
        local: &[FeatureMap],
        foreground: Option<&FeatureMap>,
        neighbours: &[Neighbour],
    ) -> Compared {
        let references: Vec<Vec<&[f16]>> = self
            .cpr
            .scales
            .iter()
            .map(|scale| neighbours.iter().map(|n| scale.map(n.index)).collect())
            .collect();
        let searches: Vec<Search<'_, f16>> = local
            .iter()
            .zip(&references)
            .zip(&self.cpr.scales)
            .map(|((query, references), scale)| {
                Search::new(query.floats(), references, scale.shape, scale.window)
            })
            .collect();
        let mut distances: Vec<DistanceMap> =
            self.cpr.scales.iter().zip(&self.maps).map(|(scale, pool)| scale.empty_distances(pool)).collect();
        let own = foreground.zip(self.cpr.foreground.as_ref());
        let sources: Vec<&[f32]> = own.map_or_else(Vec::new, |(query, bank)| {
            let size = self.cpr.finest().places();
            let others = neighbours.iter().map(|neighbour| &bank[neighbour.index * size..][..size]);
            std::iter::once(query.floats()).chain(others).collect()
        });
        let pixels = self.cpr.input.0 * self.cpr.input.1;
        let mut weights = own.map(|_| self.foregrounds.take(|| vec![0.0; pixels]));

        let mut parts: Vec<Part<'_>> = Vec::new();
        for (search, map) in searches.iter().zip(&mut distances) {
            parts.extend(search.parts(&mut map.values).map(Part::Search));
        }
        if let Some(weights) = &mut weights {
            parts.extend(self.widen.parts(&sources, weights).map(Part::Foreground));
        }
        parallel::each(parts.into_iter(), |part| match part {
            Part::Search(part) => part.run(),
            Part::Foreground(part) => part.run(),
        });
        (distances, weights)
    }
}

/// Distance maps and foreground weights.
type Compared = (Vec<DistanceMap>, Option<Pooled<Vec<f32>>>);

/// What one thread does at a time.
enum Part<'a> {
    Search(windowed::Part<'a, f16>),
    Foreground(resize::Part<'a>),
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
        let mut histograms = std::mem::take(&mut self.histograms);
        cpr.blocks.histograms(rest[0].bytes(), &mut histograms);
        let exclude = exclude.as_slice();
        let retrieved = self.retrieve_by(&histograms, local, rest.get(1), neighbours, exclude);
        self.histograms = histograms;
        retrieved
    }
}

impl LocalBank {
    /// The patches of reference `index`, `[height, channels, width]`.
    pub(super) fn map(&self, index: usize) -> &[f16] {
        &self.patches.values()[index * self.shape.len()..][..self.shape.len()]
    }

    fn empty_distances(&self, pool: &Pool<Vec<f32>>) -> DistanceMap {
        let Shape { height, width, .. } = self.shape;
        DistanceMap { height, width, values: pool.take(|| vec![0.0; height * width]) }
    }
}
