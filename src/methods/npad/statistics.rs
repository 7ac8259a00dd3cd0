//! Means, covariances and the likeness of neighbouring distributions.

use crate::error::{Error, Result};
use crate::kernels::cholesky::quadratic_form;
use ndarray_linfa::linalg::general_mat_mul;
use ndarray_linfa::{ArrayView2, ArrayViewMut2};

/// Memory that is used again from one distribution to the next: thousands of matrices that come and go would leave holes in it.
#[derive(Debug, Default)]
pub struct Space {
    centred: Vec<f64>,
    matrix: Vec<f64>,
}

impl Space {
    /// Bytes that it comes to for so many images and channels.
    pub fn bytes(images: usize, channels: usize) -> usize {
        (images * channels + channels * channels) * size_of::<f64>()
    }
}

/// Mean and covariance of a distribution.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// `[d]`.
    pub mean: Vec<f64>,
    /// `[d, d]`, with epsilon on its diagonal.
    pub covariance: Vec<f64>,
}

impl Moments {
    /// Becomes those of `vectors`, `[images, channels]`, two at least (eq. 2 and 3).
    ///
    /// # Panics
    /// If `channels` does not divide the number of values.
    pub fn set(&mut self, vectors: &[f32], channels: usize, epsilon: f64, space: &mut Space) {
        let images = vectors.len() / channels;
        let Self { mean, covariance } = self;
        mean.clear();
        mean.resize(channels, 0.0);
        for vector in vectors.chunks_exact(channels) {
            mean.iter_mut().zip(vector).for_each(|(mean, &value)| *mean += f64::from(value) / images as f64);
        }
        space.centred.clear();
        for vector in vectors.chunks_exact(channels) {
            space.centred.extend(vector.iter().zip(&*mean).map(|(&value, mean)| f64::from(value) - mean));
        }
        let centred =
            ArrayView2::from_shape((images, channels), &space.centred).expect("as many as were made");
        covariance.resize(channels * channels, 0.0);
        let product = ArrayViewMut2::from_shape((channels, channels), covariance);
        general_mat_mul(1.0, &centred.t(), &centred, 0.0, &mut product.expect("as many as there are"));
        let scale = 1.0 / (images.max(2) - 1) as f64;
        covariance.iter_mut().for_each(|value| *value *= scale);
        add_to_diagonal(covariance, channels, epsilon);
    }

    /// `exp(-D / lambda)` with the Bhattacharyya distance `D = (m - m')' ((S + S') / 2)^-1 (m - m') / 8` without its determinants (eq. 4 and 5).
    ///
    /// # Errors
    /// If the covariances are not positive definite.
    pub fn similarity(&self, other: &Self, lambda: f64, space: &mut Space) -> Result<f64> {
        let difference: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(a, b)| a - b).collect();
        let both = &mut space.matrix;
        both.clear();
        both.extend(self.covariance.iter().zip(&other.covariance).map(|(a, b)| 0.5 * (a + b)));
        let form = quadratic_form(both, &difference).ok_or_else(singular)?;
        Ok((-form / (8.0 * lambda)).exp())
    }

    /// Becomes mean and covariance of the features of several places together, each with its weight; `neighbours` are their moments over
    /// `images` images (eq. 6).
    ///
    /// `sum over n of (x_n - m)(x_n - m)'` about another mean than their own is `(N - 1) S + N (mu - m)(mu - m)'`, so that no
    /// feature is needed again.
    pub fn set_weighted(&mut self, neighbours: &[(&Self, f64)], images: usize) {
        let total: f64 = neighbours.iter().map(|(_, weight)| weight).sum();
        let channels = neighbours.first().map_or(0, |(first, _)| first.mean.len());
        let Self { mean, covariance } = self;
        for (values, length) in [(&mut *mean, channels), (&mut *covariance, channels * channels)] {
            values.clear();
            values.resize(length, 0.0);
        }
        for (moments, weight) in neighbours {
            mean.iter_mut().zip(&moments.mean).for_each(|(sum, value)| *sum += weight / total * value);
        }
        let spread = images as f64 / (images.max(2) - 1) as f64;
        for (moments, weight) in neighbours {
            let away: Vec<f64> = moments.mean.iter().zip(&*mean).map(|(a, b)| a - b).collect();
            let rows = covariance.chunks_exact_mut(channels).zip(moments.covariance.chunks_exact(channels));
            for ((row, own), a) in rows.zip(&away) {
                for ((sum, value), b) in row.iter_mut().zip(own).zip(&away) {
                    *sum += weight / total * (value + spread * a * b);
                }
            }
        }
    }
}

/// How much features vary over images: the mean variance of their values, each at its place.
#[derive(Clone, Debug)]
pub struct Spread {
    images: usize,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    /// Of images with so many values.
    pub fn new(values: usize) -> Self {
        Self { images: 0, sums: vec![0.0; values], squares: vec![0.0; values] }
    }

    /// Adds an image.
    pub fn add(&mut self, values: &[f32]) {
        self.images += 1;
        for ((sum, square), &value) in self.sums.iter_mut().zip(&mut self.squares).zip(values) {
            *sum += f64::from(value);
            *square += f64::from(value) * f64::from(value);
        }
    }

    /// The mean variance; 0 of a single image.
    pub fn variance(&self) -> f64 {
        let images = self.images.max(1) as f64;
        let of_value = |(sum, square): (&f64, &f64)| (square - sum * sum / images).max(0.0);
        let total: f64 = self.sums.iter().zip(&self.squares).map(of_value).sum();
        total / (images.max(2.0) - 1.0) / self.sums.len().max(1) as f64
    }
}

fn add_to_diagonal(matrix: &mut [f64], side: usize, value: f64) {
    matrix.iter_mut().step_by(side + 1).for_each(|diagonal| *diagonal += value);
}

/// What is said of a covariance without a factor.
pub(super) fn singular() -> Error {
    Error::Fit("a covariance is singular: a larger epsilon (--set epsilon=0.1) makes it regular".into())
}

/// The channels in order: those with the most non-zero values first, or those with the fewest. Of a network whose layers do not end in zeros all
/// have equally many: such channels come in an order of which every beginning is spread evenly over them, and so over the layers.
pub fn order_channels(nonzero: &[u64], fewest_first: bool) -> Vec<usize> {
    // Multiples of the golden ratio modulo 1: those below any bound lie at nearly equal distances.
    let spread = |channel: usize| (channel as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let count = |channel: usize| if fewest_first { nonzero[channel] } else { u64::MAX - nonzero[channel] };
    let mut order: Vec<usize> = (0..nonzero.len()).collect();
    order.sort_by_key(|&channel| (count(channel), spread(channel)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_are_alike_are_taken_from_everywhere() {
        let mut nonzero = vec![7; 176];
        nonzero[5] = 9;
        nonzero[100] = 3;
        for count in [10, 40, 150] {
            let mut chosen = order_channels(&nonzero, false);
            chosen.truncate(count);
            assert!(chosen.contains(&5) && !chosen.contains(&100), "{chosen:?}");
            chosen.sort_unstable();
            let widest = chosen.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(widest <= 3 * 176 / count + 1, "{count}: {chosen:?}");
        }
        assert_eq!(order_channels(&nonzero, true)[0], 100);
    }

    #[test]
    fn the_spread_is_the_mean_variance() {
        let mut spread = Spread::new(2);
        assert_eq!(spread.variance(), 0.0);
        for image in [[1.0, 10.0], [2.0, 10.0], [6.0, 13.0]] {
            spread.add(&image);
        }
        // Variances of 7 and 3.
        assert!((spread.variance() - 5.0).abs() < 1e-12);
    }
}
