//! Foreground estimation (FEB): how much each position of an image belongs to the object.
//!
//! Linear discriminant analysis of features of the background against features of the object ([`super::background`] tells them apart) gives a
//! 1x1 convolution whose values, cut to their 1 % .. 99 % range, become weights 0..1.

use super::heads::ForegroundHead;
use crate::error::{Error, Result};
use linfa_linalg::cholesky::SolveCInplace;
use ndarray_linfa::{Array1, Array2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;

/// The numbers of the discriminant; the values of the authors' code.
#[derive(Clone, Debug)]
pub struct ForegroundParams {
    /// Samples of either class at most.
    pub samples: usize,
    /// Share of the decision values cut off at either end.
    pub trim: f64,
}

impl Default for ForegroundParams {
    fn default() -> Self {
        Self { samples: 15_000, trim: 0.01 }
    }
}

/// Cuts both classes to the same number of positions, at most `most`, drawn at random.
pub fn balance(classes: [&mut Vec<usize>; 2], most: usize, seed: u64) {
    let count = most.min(classes[0].len()).min(classes[1].len());
    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    for positions in classes {
        positions.shuffle(&mut random);
        positions.truncate(count);
    }
}

/// The foreground weight as a 1x1 convolution: two-class LDA with equal priors of `background` against `foreground`
/// samples, scaled so that `trim` of the decision values of `all` lie below 0 and above 1.
///
/// # Errors
/// If a class is empty or the classes cannot be told apart.
pub fn discriminant(
    background: &[f32],
    foreground: &[f32],
    all: &[f32],
    channels: usize,
    trim: f64,
) -> Result<ForegroundHead> {
    let unusable =
        |why: &str| Error::Fit(format!("no foreground can be estimated: {why}; use --foreground off"));
    let count = (background.len() + foreground.len()) / channels;
    if background.is_empty() || foreground.is_empty() {
        return Err(unusable("nothing in the images differs from what lies along their border"));
    }
    let (mean_b, mean_f) = (mean(background, channels), mean(foreground, channels));
    let mut scatter = Array2::<f64>::zeros((channels, channels));
    add_scatter(&mut scatter, background, &mean_b);
    add_scatter(&mut scatter, foreground, &mean_f);
    scatter /= count as f64;
    // Channels that never vary (or vary together) leave the scatter singular; a trace of the diagonal mends that.
    let ridge = 1e-9 * scatter.diag().sum().max(f64::MIN_POSITIVE) / channels as f64;
    scatter.diag_mut().mapv_inplace(|v| v + ridge);
    let weight = scatter
        .solvec_into((&mean_f - &mean_b).insert_axis(ndarray_linfa::Axis(1)))
        .map_err(|e| unusable(&e.to_string()))?
        .remove_axis(ndarray_linfa::Axis(1));
    let bias = -0.5 * (&mean_f + &mean_b).dot(&weight);

    let decision = |v: &[f32]| v.iter().zip(&weight).map(|(&v, w)| f64::from(v) * w).sum::<f64>() + bias;
    let mut values: Vec<f64> = all.chunks_exact(channels).map(decision).collect();
    values.sort_by(f64::total_cmp);
    let cut = ((trim * values.len() as f64) as usize).max(1);
    let (low, high) = (values[cut - 1], values[values.len() - cut]);
    if !(high > low && low.is_finite() && high.is_finite()) {
        return Err(unusable("the features do not vary"));
    }
    Ok(ForegroundHead {
        weight: weight.iter().map(|w| (w / (high - low)) as f32).collect(),
        bias: ((bias - low) / (high - low)) as f32,
    })
}

fn mean(vectors: &[f32], channels: usize) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(channels);
    for vector in vectors.chunks_exact(channels) {
        sum.iter_mut().zip(vector).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    sum / (vectors.len() / channels) as f64
}

fn add_scatter(scatter: &mut Array2<f64>, vectors: &[f32], mean: &Array1<f64>) {
    let channels = mean.len();
    let rows = vectors.len() / channels;
    let centred =
        Array2::from_shape_fn((rows, channels), |(i, c)| f64::from(vectors[i * channels + c]) - mean[c]);
    *scatter += &centred.t().dot(&centred);
}
