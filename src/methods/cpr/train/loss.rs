//! The contrastive loss over pairs of places (the paper's eq. 10 to 12 as the authors' code has them).

use super::branch::vector;
use super::{MapShape, RawMaps};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The numbers of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossParams {
    /// Positive pairs should have at least this cosine.
    pub positive_margin: f32,
    /// Negative pairs should have a cosine of at most minus this.
    pub negative_margin: f32,
    /// Power of what a pair misses its margin by.
    pub power: usize,
    /// Whether remote pairs weigh more the farther apart their raw features are; otherwise all weigh the same.
    pub weighted: bool,
}

impl Default for LossParams {
    fn default() -> Self {
        Self { positive_margin: 0.8, negative_margin: 0.2, power: 3, weighted: true }
    }
}

/// A place of an image: x and y, -1 the middle of the first pixel and 1 that of the last.
pub type Point = [f32; 2];

/// The pairs of places of a query and its reference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// The same place in both, without a defect.
    pub positive: Vec<Point>,
    /// Different places: of the query and of the reference.
    pub remote: Vec<[Point; 2]>,
    /// The same place in both, defective in the query.
    pub anomalous: Vec<Point>,
}

/// The loss of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Of the positive pairs.
    pub positive: f64,
    /// Of the remote and the anomalous pairs.
    pub negative: f64,
}

impl Losses {
    /// Both parts together.
    pub fn total(&self) -> f64 {
        self.positive + self.negative
    }
}

/// Keeps the root of a length of 0 differentiable, far below any length that occurs.
const TINY: f32 = 1e-30;
/// Least product of two lengths that a cosine is divided by.
const LEAST_LENGTHS: f32 = 1e-8;
/// Added to the sum of distances that remote pairs' weights are divided by.
const WEIGHT_EPSILON: f64 = 1e-7;

/// A place between the patches of a map: their numbers and shares. Beyond the border there is nothing to share.
fn corners([x, y]: Point, shape: MapShape) -> [(usize, f32); 4] {
    let position = |p: f32, size: usize| ((p + 1.0) * size as f32 - 1.0) / 2.0;
    let (x, y) = (position(x, shape.width), position(y, shape.height));
    let (left, top) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - top);
    let corner = |dy: f32, dx: f32, share: f32| {
        let (row, column) = (top + dy, left + dx);
        let inside = (0.0..shape.height as f32).contains(&row) && (0.0..shape.width as f32).contains(&column);
        if inside { (row as usize * shape.width + column as usize, share) } else { (0, 0.0) }
    };
    [
        corner(0.0, 0.0, (1.0 - fy) * (1.0 - fx)),
        corner(0.0, 1.0, (1.0 - fy) * fx),
        corner(1.0, 0.0, fy * (1.0 - fx)),
        corner(1.0, 1.0, fy * fx),
    ]
}

/// The weights of the remote pairs of each query: the squared distance of the raw features, scaled so that they sum to the number
/// of pairs (eq. 11; the more two places look alike, the less they must be told apart).
pub fn remote_weights(maps: &RawMaps, pairs: &[Pairs]) -> Vec<Vec<f32>> {
    let shape = maps.shape;
    let (places, map) = (shape.places(), shape.height * shape.width);
    let weights = |(query, pairs): (usize, &Pairs)| {
        let of = |image: usize| {
            move |plane: &[f32], corners: &[(usize, f32); 4]| -> f32 {
                corners.iter().map(|&(at, share)| plane[image * map + at] * share).sum()
            }
        };
        let (of_query, of_reference) = (of(query), of(query + shape.images / 2));
        let at: Vec<_> = pairs.remote.iter().map(|pair| pair.map(|point| corners(point, shape))).collect();
        let mut distances = vec![0.0f64; at.len()];
        for plane in maps.values.chunks_exact(places) {
            for (distance, [query, reference]) in distances.iter_mut().zip(&at) {
                *distance += f64::from(of_query(plane, query) - of_reference(plane, reference)).powi(2);
            }
        }
        let scale = at.len() as f64 / (distances.iter().sum::<f64>() + WEIGHT_EPSILON);
        distances.iter().map(|distance| (distance * scale) as f32).collect()
    };
    pairs.par_iter().enumerate().map(weights).collect()
}

/// Which places of a batch's maps the loss compares.
pub(super) struct Selection {
    query: Sampling,
    reference: Sampling,
    /// Of each pair, if it is positive.
    positive: Weighting,
    /// Of each pair, if it is negative.
    negative: Weighting,
}

#[derive(Default)]
struct Sampling {
    places: Vec<i64>,
    shares: Vec<f32>,
}

#[derive(Default)]
struct Weighting(Vec<f32>);

impl Selection {
    /// The places of the pairs of all queries of a batch.
    pub fn new(maps: &RawMaps, pairs: &[Pairs], params: &LossParams) -> Self {
        let weights = match params.weighted {
            true => remote_weights(maps, pairs),
            false => pairs.iter().map(|pairs| vec![1.0; pairs.remote.len()]).collect(),
        };
        let mut selection = Self {
            query: Sampling::default(),
            reference: Sampling::default(),
            positive: Weighting::default(),
            negative: Weighting::default(),
        };
        for (image, (pairs, weights)) in pairs.iter().zip(&weights).enumerate() {
            for &point in &pairs.positive {
                selection.push([point, point], image, maps.shape, 1.0, 0.0);
            }
            for (&points, &weight) in pairs.remote.iter().zip(weights) {
                selection.push(points, image, maps.shape, 0.0, weight);
            }
            for &point in &pairs.anomalous {
                selection.push([point, point], image, maps.shape, 0.0, 1.0);
            }
        }
        selection
    }

    fn push(&mut self, points: [Point; 2], image: usize, shape: MapShape, positive: f32, negative: f32) {
        let map = shape.height * shape.width;
        let images = [image, image + shape.images / 2];
        for ((sampling, point), image) in
            [&mut self.query, &mut self.reference].into_iter().zip(points).zip(images)
        {
            for (place, share) in corners(point, shape) {
                sampling.places.push((image * map + place) as i64);
                sampling.shares.push(share);
            }
        }
        self.positive.0.push(positive);
        self.negative.0.push(negative);
    }

    /// The positive and the negative part of the loss. `last` makes learned features of what is read from `maps`, `[channels, places]`, given
    /// the sums of the shares with which that was read, `[1, pairs]`: only the places that are compared need any.
    pub fn loss(
        &self,
        maps: Tensor<2>,
        last: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>,
        params: &LossParams,
        device: &Device,
    ) -> [Tensor<1>; 2] {
        let pairs = self.positive.0.len();
        if pairs == 0 {
            // Everything has a gradient, of 0.
            let nothing = last(maps.narrow(1, 0, 1), Tensor::ones([1, 1], device)).sum().mul_scalar(0.0);
            return [nothing.clone(), nothing];
        }
        let features = |sampling: &Sampling| last(sampling.read(maps.clone(), device), sampling.sums(device));
        let (query, reference) = (features(&self.query), features(&self.reference));
        let length = |x: &Tensor<2>| (x.clone() * x.clone()).sum_dim(0).add_scalar(TINY).sqrt();
        let lengths = (length(&query) * length(&reference)).clamp_min(LEAST_LENGTHS);
        let cosine = ((query * reference).sum_dim(0) / lengths).reshape([pairs]);
        let missed_below = relu(cosine.clone().neg().add_scalar(params.positive_margin));
        let missed_above = relu(cosine.add_scalar(params.negative_margin));
        [
            self.positive.mean(missed_below, params.power, device),
            self.negative.mean(missed_above, params.power, device),
        ]
    }
}

impl Sampling {
    /// The features at the places: `[channels, places]` to `[channels, pairs]`.
    fn read(&self, features: Tensor<2>, device: &Device) -> Tensor<2> {
        let (channels, count) = (features.dims()[0], self.places.len());
        let places: Tensor<1, Int> = Tensor::from_data(TensorData::new(self.places.clone(), [count]), device);
        let shares = vector(&self.shares, device).reshape([1, count]);
        let corners = features.select(1, places) * shares;
        corners.reshape([channels, count / 4, 4]).sum_dim(2).reshape([channels, count / 4])
    }

    /// What the shares of each place add up to, `[1, pairs]`: less than 1 beyond the border.
    fn sums(&self, device: &Device) -> Tensor<2> {
        let sums: Vec<f32> = self.shares.chunks_exact(4).map(|shares| shares.iter().sum()).collect();
        vector(&sums, device).reshape([1, sums.len()])
    }
}

impl Weighting {
    /// The mean over the pairs that have a weight of what they miss, weighted before it is raised to its power.
    fn mean(&self, missed: Tensor<1>, power: usize, device: &Device) -> Tensor<1> {
        let count = self.0.iter().filter(|&&weight| weight > 0.0).count().max(1);
        let weighted = missed * vector(&self.0, device);
        let raised = (1..power).fold(weighted.clone(), |product, _| product * weighted.clone());
        raised.sum().div_scalar(count as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: MapShape = MapShape { images: 2, height: 4, width: 6 };

    #[test]
    fn corners_share_out_what_is_inside() {
        let middle = corners([0.0, 0.0], SHAPE);
        assert_eq!(middle.map(|(place, _)| place), [8, 9, 14, 15]);
        assert!(middle.iter().all(|&(_, share)| (share - 0.25).abs() < 1e-6));
        // The corner of the image is half a patch beyond the middle of the first one.
        let corner = corners([-1.0, -1.0], SHAPE);
        assert!((corner.iter().map(|&(_, share)| share).sum::<f32>() - 0.25).abs() < 1e-6);
    }

    #[test]
    fn equal_places_need_not_be_told_apart() {
        let mut values = vec![1.0; 2 * SHAPE.places()];
        values[0] = 5.0;
        let maps = RawMaps { values, shape: SHAPE };
        let place = |x: usize, y: usize| [(2 * x + 1) as f32 / 6.0 - 1.0, (2 * y + 1) as f32 / 4.0 - 1.0];
        let pairs = Pairs {
            remote: vec![[place(0, 0), place(3, 3)], [place(2, 2), place(5, 0)]],
            ..Pairs::default()
        };
        let weights = remote_weights(&maps, &[pairs]);
        assert!((weights[0][0] - 2.0).abs() < 1e-5 && weights[0][1] < 1e-5, "{weights:?}");
    }

    #[test]
    fn without_pairs_there_is_no_loss() {
        let maps = RawMaps { values: vec![1.0; SHAPE.places()], shape: SHAPE };
        let device = Device::flex();
        let features = Tensor::ones([3, SHAPE.places()], &device);
        let params = LossParams::default();
        let selection = Selection::new(&maps, &[Pairs::default()], &params);
        for part in selection.loss(features, |read, _| read, &params, &device) {
            assert_eq!(part.into_scalar::<f32>(), 0.0);
        }
    }
}
