//! How features vary, and how far others are in units of that.

use crate::error::{Error, Result};
use crate::kernels::cholesky::inverse_factor;

/// `sum x x' / n` of `vectors`, `[n, channels]`.
pub(super) fn second_moment(vectors: &[f64], channels: usize) -> Vec<f64> {
    let rows = vectors.len() / channels;
    let vectors = ndarray::ArrayView2::from_shape((rows, channels), vectors)
        .unwrap_or_else(|_| ndarray::ArrayView2::from_shape((0, channels), &[]).expect("no rows"));
    (vectors.t().dot(&vectors) / rows.max(1) as f64).into_iter().collect()
}

/// The inverse Cholesky factor of a covariance, after `ridge` times its mean variance was added to each variance.
pub(super) fn whitening(mut covariance: Vec<f64>, channels: usize, ridge: f64) -> Result<Vec<f64>> {
    let trace: f64 = covariance.iter().step_by(channels + 1).sum();
    let added = (ridge * trace / channels as f64).max(1e-30);
    covariance.iter_mut().step_by(channels + 1).for_each(|variance| *variance += added);
    let mut inverse = Vec::new();
    match inverse_factor(&mut covariance, channels, &mut inverse) {
        true => Ok(inverse),
        false => Err(Error::Fit(
            "no foreground can be estimated: the features along the border are not finite; use --foreground off".into(),
        )),
    }
}

/// How much `vectors` vary, as a share of how much `all` do: the mean over all directions in which the latter vary alike.
pub(super) fn variation(vectors: &[f32], all: &[f32], channels: usize) -> Result<f64> {
    let centred = |vectors: &[f32]| -> Vec<f64> {
        let count = (vectors.len() / channels).max(1) as f64;
        let mut mean = vec![0.0; channels];
        for vector in vectors.chunks_exact(channels) {
            mean.iter_mut().zip(vector).for_each(|(mean, &value)| *mean += f64::from(value) / count);
        }
        let values = vectors.chunks_exact(channels).flat_map(|vector| vector.iter().zip(&mean));
        values.map(|(&value, mean)| f64::from(value) - mean).collect()
    };
    let whitening = whitening(second_moment(&centred(all), channels), channels, 1e-6)?;
    let covariance = second_moment(&centred(vectors), channels);
    // The trace of W C W'.
    let trace: f64 = whitening
        .chunks_exact(channels)
        .map(|row| {
            let product = |column: usize| -> f64 {
                row.iter().zip(&covariance[column * channels..]).map(|(w, c)| w * c).sum()
            };
            row.iter().enumerate().map(|(i, w)| w * product(i)).sum::<f64>()
        })
        .sum();
    Ok(trace / channels as f64)
}

/// Squared distance from the nearest centre of the background, per channel, where its covariance is the unit.
pub(super) struct Distance<'a> {
    whitening: &'a [f64],
    centres: Vec<f64>,
    channels: usize,
}

impl<'a> Distance<'a> {
    pub fn new(whitening: &'a [f64], centres: &[f32], channels: usize) -> Self {
        let mut whitened = Vec::with_capacity(centres.len());
        for centre in centres.chunks_exact(channels) {
            let centre: Vec<f64> = centre.iter().map(|&value| f64::from(value)).collect();
            whitened.extend(whiten(whitening, &centre));
        }
        Self { whitening, centres: whitened, channels }
    }

    pub fn of(&self, feature: impl Iterator<Item = f32>) -> f32 {
        let feature: Vec<f64> = feature.map(f64::from).collect();
        let whitened: Vec<f64> = whiten(self.whitening, &feature).collect();
        let squares = self.centres.chunks_exact(self.channels).map(|centre| {
            centre.iter().zip(&whitened).map(|(centre, value)| (centre - value).powi(2)).sum::<f64>()
        });
        (squares.fold(f64::INFINITY, f64::min) / self.channels as f64) as f32
    }
}

/// `W x` for a lower triangular `W`.
fn whiten<'a>(whitening: &'a [f64], vector: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let rows = whitening.chunks_exact(vector.len()).enumerate();
    rows.map(move |(i, row)| row[..=i].iter().zip(vector).map(|(w, x)| w * x).sum())
}
