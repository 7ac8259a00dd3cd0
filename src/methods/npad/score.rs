//! The geometric mean of both maps, and the products of the largest distances.

use super::Npad;
use crate::error::{Error, Result};
use crate::kernels::blur::Gaussian;
use crate::kernels::parallel;
use crate::kernels::resize::Bilinear;
use crate::methods::{DistanceMap, Retrieved, Score};
use crate::pool::{Pool, Pooled};
use std::sync::Arc;

/// One stream's state.
#[derive(Debug)]
pub(super) struct NpadScore {
    npad: Arc<Npad>,
    widen: Bilinear,
    blur: Gaussian,
    /// The geometric mean at the positions.
    mean: Vec<f32>,
    /// The same at the pixels of a shifted frame.
    wide: Vec<f32>,
    /// The positions that the image score counts, with their averaged features and what these are from the centroids.
    order: Vec<usize>,
    top_features: Vec<f32>,
    top_distances: Vec<f32>,
    maps: Pool<Vec<f32>>,
}

impl NpadScore {
    pub(super) fn new(npad: Arc<Npad>) -> Self {
        let places = (npad.shape.height, npad.shape.width);
        Self {
            widen: Bilinear::new(places, npad.input),
            blur: Gaussian::new(npad.params.blur_side, npad.params.blur_sigma),
            mean: vec![0.0; npad.shape.places()],
            wide: vec![0.0; npad.input.0 * npad.input.1],
            order: Vec::new(),
            top_features: Vec::new(),
            top_distances: Vec::new(),
            maps: Pool::default(),
            npad,
        }
    }

    /// Adds `sqrt(A B)` (eq. 11) to `map`, both at the pixels of the frame: back by `shift` rows and columns. What the shift moved out of
    /// sight is taken from the edge.
    fn add_map(&mut self, a: &[f32], b: &[f32], shift: usize, map: &mut [f32]) {
        for ((mean, a), b) in self.mean.iter_mut().zip(a).zip(b) {
            *mean = (a * b).sqrt();
        }
        let (height, width) = self.npad.input;
        if shift == 0 {
            self.widen.run(&self.mean, map);
            return;
        }
        self.widen.run(&self.mean, &mut self.wide);
        let wide = &self.wide;
        parallel::each(map.chunks_mut(width).enumerate(), |(y, row)| {
            let shifted = &wide[(y + shift).min(height - 1) * width..][..width];
            for (x, value) in row.iter_mut().enumerate() {
                *value += shifted[(x + shift).min(width - 1)];
            }
        });
    }

    /// The sum of products of the k largest values of A and the distances E from the nearest centroids at the same positions, both in ascending
    /// order (eq. 12 to 14). Positions of weight 0 do not count. Only these positions' `averaged` features are compared with the centroids.
    fn image_score(&mut self, a: &[f32], averaged: &[f32], weight: Option<&[f32]>, shift: usize) -> f64 {
        let (input, stride, places) = (self.npad.input, self.npad.params.stride, self.npad.shape);
        let seen = |place: usize| {
            weight.is_none_or(|weight| {
                let pixel =
                    |at: usize, side: usize| (at * stride + stride / 2).saturating_sub(shift).min(side - 1);
                let (y, x) = (pixel(place / places.width, input.0), pixel(place % places.width, input.1));
                weight[y * input.1 + x] > 0.0
            })
        };
        self.order.clear();
        self.order.extend((0..a.len()).filter(|&place| seen(place)));
        let top = self.npad.params.top_places(places.places());
        if self.order.len() > top {
            let order = |x: &usize, y: &usize| a[*y].total_cmp(&a[*x]).then(x.cmp(y));
            self.order.select_nth_unstable_by(top - 1, order);
            self.order.truncate(top);
        }
        self.order.sort_unstable_by(|&x, &y| a[x].total_cmp(&a[y]));
        self.top_features.clear();
        for &place in &self.order {
            self.top_features.extend_from_slice(&averaged[place * places.channels..][..places.channels]);
        }
        self.top_distances.clear();
        self.top_distances.resize(self.order.len(), 0.0);
        self.npad.centroids.distances(&self.top_features, &mut self.top_distances);
        self.top_distances.sort_unstable_by(f32::total_cmp);
        let products = self.order.iter().zip(&self.top_distances);
        products.map(|(&place, &e)| f64::from(a[place]) * f64::from(e)).sum()
    }
}

impl Score for NpadScore {
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)> {
        let (height, width) = (self.npad.shape.height, self.npad.shape.width);
        let (shifts, rest) = retrieved.distances.as_chunks::<2>();
        let right = |map: &DistanceMap| (map.height, map.width) == (height, width);
        if [shifts.len(), retrieved.features.len()] != [self.npad.params.shifts + 1; 2]
            || !rest.is_empty()
            || !retrieved.distances.iter().all(right)
            || retrieved.features.iter().any(|features| features.len() != self.npad.shape.len())
        {
            return Err(Error::Features("the distances are not those of this N-pad bundle".into()));
        }
        let (input, count) = (self.npad.input, shifts.len());
        let mut map = self.maps.take(|| vec![0.0; input.0 * input.1]);
        let mut score = 0.0;
        for (shift, ([a, b], averaged)) in shifts.iter().zip(&retrieved.features).enumerate() {
            self.add_map(&a.values, &b.values, shift, &mut map);
            score += self.image_score(&a.values, averaged, weight, shift);
        }
        if count > 1 {
            map.iter_mut().for_each(|value| *value /= count as f32);
        }
        if let Some(weight) = weight {
            map.iter_mut().zip(weight).for_each(|(value, weight)| *value *= weight);
        }
        self.blur.run(&mut map, input.1);
        if !score.is_finite() {
            return Err(Error::Features(
                "the distance to the bundle's centroids is not a finite number".into(),
            ));
        }
        Ok((map, score / count as f64))
    }
}
