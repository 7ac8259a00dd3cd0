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
    order: Vec<usize>,
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

    /// The sum of products of the k largest values of A and the centroid distances E at the same positions, both in ascending order
    /// (eq. 12 to 14). Positions of weight 0 do not count.
    fn image_score(&mut self, a: &[f32], e: &[f32], weight: Option<&[f32]>, shift: usize) -> f64 {
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
        let sorted = |values: &[f32]| {
            let mut values: Vec<f32> = self.order.iter().map(|&place| values[place]).collect();
            values.sort_by(f32::total_cmp);
            values
        };
        sorted(a).into_iter().zip(sorted(e)).map(|(m, e)| f64::from(m) * f64::from(e)).sum()
    }
}

impl Score for NpadScore {
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)> {
        let (height, width) = (self.npad.shape.height, self.npad.shape.width);
        let (shifts, rest) = retrieved.distances.as_chunks::<3>();
        let right = |map: &DistanceMap| (map.height, map.width) == (height, width);
        if shifts.len() != self.npad.params.shifts + 1
            || !rest.is_empty()
            || !retrieved.distances.iter().all(right)
        {
            return Err(Error::Features("the distances are not those of this N-pad bundle".into()));
        }
        let (input, count) = (self.npad.input, shifts.len());
        let mut map = self.maps.take(|| vec![0.0; input.0 * input.1]);
        let mut score = 0.0;
        for (shift, [a, b, e]) in shifts.iter().enumerate() {
            self.add_map(&a.values, &b.values, shift, &mut map);
            score += self.image_score(&a.values, &e.values, weight, shift);
        }
        if count > 1 {
            map.iter_mut().for_each(|value| *value /= count as f32);
        }
        if let Some(weight) = weight {
            map.iter_mut().zip(weight).for_each(|(value, weight)| *value *= weight);
        }
        self.blur.run(&mut map, input.1);
        Ok((map, score / count as f64))
    }
}
