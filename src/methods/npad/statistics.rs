//! Means, covariances and the likeness of neighbouring distributions.

use crate::error::{Error, Result};
use crate::kernels::cholesky::quadratic_form;
use ndarray_linfa::ArrayView2;

/// Mean and covariance of a distribution.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[d]`.
    pub mean: Vec<f64>,
    /// `[d, d]`, with epsilon on its diagonal.
    pub covariance: Vec<f64>,
}

impl Moments {
    /// Of `vectors`, `[images, channels]`, two at least (eq. 2 and 3).
    ///
    /// # Panics
    /// If `channels` does not divide the number of values.
    pub fn of(vectors: &[f32], channels: usize, epsilon: f64) -> Self {
        let images = vectors.len() / channels;
        let mut mean = vec![0.0; channels];
        for vector in vectors.chunks_exact(channels) {
            mean.iter_mut().zip(vector).for_each(|(mean, &value)| *mean += f64::from(value) / images as f64);
        }
        let centred: Vec<f64> = vectors
            .chunks_exact(channels)
            .flat_map(|vector| vector.iter().zip(&mean).map(|(&value, mean)| f64::from(value) - mean))
            .collect();
        let centred = ArrayView2::from_shape((images, channels), &centred).expect("as many as were made");
        let scale = 1.0 / (images.max(2) - 1) as f64;
        let mut covariance: Vec<f64> =
            centred.t().dot(&centred).into_iter().map(|value| value * scale).collect();
        add_to_diagonal(&mut covariance, channels, epsilon);
        Self { mean, covariance }
    }

    /// `exp(-D / lambda)` with the Bhattacharyya distance `D = (m - m')' ((S + S') / 2)^-1 (m - m') / 8` without its determinants (eq. 4 and 5).
    ///
    /// # Errors
    /// If the covariances are not positive definite.
    pub fn similarity(&self, other: &Self, lambda: f64) -> Result<f64> {
        let difference: Vec<f64> = self.mean.iter().zip(&other.mean).map(|(a, b)| a - b).collect();
        let both = self.covariance.iter().zip(&other.covariance).map(|(a, b)| 0.5 * (a + b)).collect();
        let form = quadratic_form(both, &difference).ok_or_else(singular)?;
        Ok((-form / (8.0 * lambda)).exp())
    }

    /// Mean and covariance of the features of several places together, each with its weight; `neighbours` are their moments over `images`
    /// images (eq. 6).
    ///
    /// `sum over n of (x_n - m)(x_n - m)'` about another mean than their own is `(N - 1) S + N (mu - m)(mu - m)'`, so that no
    /// feature is needed again.
    pub fn weighted(neighbours: &[(&Self, f64)], images: usize) -> Self {
        let total: f64 = neighbours.iter().map(|(_, weight)| weight).sum();
        let channels = neighbours.first().map_or(0, |(first, _)| first.mean.len());
        let (mut mean, mut covariance) = (vec![0.0; channels], vec![0.0; channels * channels]);
        for (moments, weight) in neighbours {
            mean.iter_mut().zip(&moments.mean).for_each(|(sum, value)| *sum += weight / total * value);
        }
        let spread = images as f64 / (images.max(2) - 1) as f64;
        for (moments, weight) in neighbours {
            let away: Vec<f64> = moments.mean.iter().zip(&mean).map(|(a, b)| a - b).collect();
            let rows = covariance.chunks_exact_mut(channels).zip(moments.covariance.chunks_exact(channels));
            for ((row, own), a) in rows.zip(&away) {
                for ((sum, value), b) in row.iter_mut().zip(own).zip(&away) {
                    *sum += weight / total * (value + spread * a * b);
                }
            }
        }
        Self { mean, covariance }
    }
}

fn add_to_diagonal(matrix: &mut [f64], side: usize, value: f64) {
    matrix.iter_mut().step_by(side + 1).for_each(|diagonal| *diagonal += value);
}

/// What is said of a covariance without a factor.
pub(super) fn singular() -> Error {
    Error::Fit("a covariance is singular: a larger epsilon (--set epsilon=0.1) makes it regular".into())
}

/// The channels in order: those with the most non-zero values first, or those with the fewest; equal ones as they come.
pub fn order_channels(nonzero: &[u64], fewest_first: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..nonzero.len()).collect();
    order.sort_by_key(|&channel| if fewest_first { nonzero[channel] } else { u64::MAX - nonzero[channel] });
    order
}
