//! Code books: k-means on patch vectors.

use crate::error::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans;
use ndarray_linfa::Array2;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256Plus;

/// How k-means is run; the values of the authors' code.
#[derive(Clone, Debug)]
pub struct KMeansParams {
    /// Starts, of which the best is kept.
    pub restarts: usize,
    /// Iterations of one start at most.
    pub iterations: u64,
    /// Movement of the centres at which a start has converged: its square as a share of the mean variance of a channel.
    pub tolerance: f64,
}

impl Default for KMeansParams {
    fn default() -> Self {
        Self { restarts: 10, iterations: 300, tolerance: 1e-4 }
    }
}

/// `count` centres, `[count, channels]`, of `vectors`, `[n, channels]`.
///
/// Where there are fewer different vectors than centres (a blank image, say), the centres repeat some of them.
///
/// # Errors
/// If there are no vectors or the clustering fails.
pub fn kmeans(
    vectors: &[f32],
    channels: usize,
    count: usize,
    seed: u64,
    params: &KMeansParams,
) -> Result<Vec<f32>> {
    if vectors.is_empty() {
        return Err(Error::Fit("there are no features to cluster".into()));
    }
    if let Some(few) = fewer_than(vectors, channels, count) {
        return Ok((0..count).flat_map(|i| few[i % few.len()].iter().copied()).collect());
    }
    let rows = vectors.len() / channels;
    let observations = Array2::from_shape_vec((rows, channels), vectors.to_vec())
        .map_err(|e| Error::Fit(format!("features to cluster: {e}")))?;
    let model = KMeans::params_with_rng(count, Xoshiro256Plus::seed_from_u64(seed))
        .n_runs(params.restarts)
        .max_n_iterations(params.iterations)
        .tolerance(
            (params.tolerance * mean_variance(&observations)).sqrt().max(f32::MIN_POSITIVE.into()) as f32
        )
        .fit(&DatasetBase::from(observations))
        .map_err(|e| Error::Fit(format!("k-means of {rows} features: {e}")))?;
    Ok(model.centroids().iter().copied().collect())
}

/// Mean of the channels' variances, so that what counts as converged does not depend on the backbone's scale.
fn mean_variance(observations: &Array2<f32>) -> f64 {
    let variance = |channel: ndarray_linfa::ArrayView1<f32>| {
        let count = channel.len() as f64;
        let mean = channel.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        channel.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count
    };
    observations.columns().into_iter().map(variance).sum::<f64>() / observations.ncols() as f64
}

/// The different vectors, if there are fewer than `count`.
fn fewer_than(vectors: &[f32], channels: usize, count: usize) -> Option<Vec<&[f32]>> {
    let mut different: Vec<&[f32]> = Vec::new();
    for vector in vectors.chunks_exact(channels) {
        if !different.contains(&vector) {
            different.push(vector);
            if different.len() >= count {
                return None;
            }
        }
    }
    Some(different)
}

/// The nearest of `centres` to `vector`, the first on ties.
pub fn nearest(centres: &[f32], vector: &[f32]) -> usize {
    let distance = |centre: &[f32]| centre.iter().zip(vector).map(|(c, v)| (c - v).powi(2)).sum::<f32>();
    let all = centres.chunks_exact(vector.len()).map(distance).enumerate();
    all.fold((0, f32::INFINITY), |best, (i, d)| if d < best.1 { (i, d) } else { best }).0
}
