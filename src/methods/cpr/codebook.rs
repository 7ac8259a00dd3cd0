//! Code books: k-means on patch vectors.

use crate::error::{Error, Result};
use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
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
/// Large sets take a while: `after_start` is called after every start, and may put an end to it.
///
/// # Errors
/// If there are no vectors, the clustering fails or `after_start` does.
pub fn kmeans(
    vectors: &[f32],
    channels: usize,
    count: usize,
    seed: u64,
    params: &KMeansParams,
    mut after_start: impl FnMut() -> Result<()>,
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
    let tolerance = (params.tolerance * mean_variance(&observations)).sqrt().max(f32::MIN_POSITIVE.into());
    let observations = DatasetBase::from(observations);
    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    let mut best: Option<(f32, Vec<f32>)> = None;
    for _ in 0..params.restarts.max(1) {
        let model = KMeans::params_with_rng(count, random.clone())
            .init_method(KMeansInit::KMeansPlusPlus)
            .n_runs(1)
            .max_n_iterations(params.iterations)
            .tolerance(tolerance as f32)
            .fit(&observations)
            .map_err(|e| Error::Fit(format!("k-means of {rows} features: {e}")))?;
        if best.as_ref().is_none_or(|(inertia, _)| model.inertia() < *inertia) {
            best = Some((model.inertia(), model.centroids().iter().copied().collect()));
        }
        // Far enough that the starts share no numbers.
        random.jump();
        after_start()?;
    }
    Ok(best.map(|(_, centres)| centres).unwrap_or_default())
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
