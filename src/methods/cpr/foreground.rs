//! Foreground estimation (FEB): which part of the image is the object.
//!
//! Two clusters of finest-scale features; the one that prevails along the border is background. Linear discriminant analysis
//! of border against centre gives a 1x1 convolution whose values, cut to their 1 % .. 99 % range, become weights 0..1.

use super::codebook::nearest;
use super::heads::ForegroundHead;
use crate::error::{Error, Result};
use linfa_linalg::cholesky::SolveCInplace;
use ndarray_linfa::{Array1, Array2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;

/// The numbers of the estimate; the values of the authors' code.
#[derive(Clone, Debug)]
pub struct ForegroundParams {
    /// Width of the border band as a share of the side.
    pub border: f64,
    /// Half the side of the centre window as a share of the side.
    pub centre: f64,
    /// Samples of either class at most.
    pub samples: usize,
    /// Share of the decision values cut off at either end.
    pub trim: f64,
    /// Difference between the background's share of the border and of the centre from which `auto` takes a foreground to exist.
    pub contrast: f64,
    /// Stride of the coarsest layer that tells border from centre where the finest one cannot. Coarser ones see the edge of the
    /// image from everywhere in the border, and would take a texture for an object.
    pub coarsest: usize,
}

impl Default for ForegroundParams {
    fn default() -> Self {
        Self {
            border: 3.0 / 80.0,
            centre: 1.0 / 5.0,
            samples: 15_000,
            trim: 0.01,
            contrast: 0.8,
            coarsest: 8,
        }
    }
}

/// Where a place of a feature map lies, as far as the estimate is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// In the band along the border.
    Border,
    /// In the window around the middle.
    Centre,
    /// In neither.
    Between,
}

impl ForegroundParams {
    /// The zone of place (y, x) of a map of `height` x `width`.
    pub fn zone(&self, (y, x): (usize, usize), (height, width): (usize, usize)) -> Zone {
        let band = |side: usize| ((self.border * side as f64) as usize).max(1);
        let edge = |i: usize, side: usize| i < band(side) || i >= side - band(side).min(side);
        let inner = |i: usize, side: usize| {
            let (half, reach) = (side as f64 / 2.0, side as f64 * self.centre);
            (((half - reach) as usize)..((half + reach) as usize)).contains(&i)
        };
        if edge(y, height) || edge(x, width) {
            Zone::Border
        } else if inner(y, height) && inner(x, width) {
            Zone::Centre
        } else {
            Zone::Between
        }
    }
}

/// Feature vectors of a layer drawn from the training images, `[n, channels]` each.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Channels of the layer.
    pub channels: usize,
    /// From the whole images.
    pub all: Vec<f32>,
    /// From the border band.
    pub border: Vec<f32>,
    /// From the centre window.
    pub centre: Vec<f32>,
}

/// The border and the centre told apart by two clusters.
#[derive(Debug)]
pub struct Split {
    /// Border vectors of the border's prevailing cluster.
    pub background: Vec<f32>,
    /// Centre vectors of the other cluster.
    pub foreground: Vec<f32>,
    /// The background cluster's share of the border minus its share of the centre: near 1 for an object on a
    /// plain ground, near 0 for a texture.
    pub contrast: f64,
}

/// Tells background from foreground samples by two `centres`, `[2, channels]`, of the layer `telling`, drawn at the same places.
///
/// # Panics
/// If the layers have not as many vectors as each other.
pub fn split(samples: &Samples, telling: &Samples, centres: &[f32]) -> Split {
    let ids = |vectors: &[f32]| {
        vectors.chunks_exact(telling.channels).map(|v| nearest(centres, v)).collect::<Vec<_>>()
    };
    let (border, centre) = (ids(&telling.border), ids(&telling.centre));
    let ones = border.iter().filter(|&&id| id == 1).count();
    let background_id = usize::from(2 * ones > border.len());
    let pick = |vectors: &[f32], ids: &[usize], background: bool| {
        let vectors = vectors.chunks_exact(samples.channels);
        assert_eq!(vectors.len(), ids.len(), "layers drawn at the same places");
        let chosen = vectors.zip(ids).filter(|(_, id)| (**id == background_id) == background);
        chosen.flat_map(|(vector, _)| vector.iter().copied()).collect::<Vec<_>>()
    };
    let share = |ids: &[usize]| {
        ids.iter().filter(|&&id| id == background_id).count() as f64 / ids.len().max(1) as f64
    };
    Split {
        background: pick(&samples.border, &border, true),
        foreground: pick(&samples.centre, &centre, false),
        contrast: share(&border) - share(&centre),
    }
}

/// Cuts both classes of a split to the same number of samples, drawn at random.
pub fn balance(split: &mut Split, channels: usize, most: usize, seed: u64) {
    let count = most.min(split.background.len() / channels).min(split.foreground.len() / channels);
    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    for vectors in [&mut split.background, &mut split.foreground] {
        let mut order: Vec<usize> = (0..vectors.len() / channels).collect();
        order.shuffle(&mut random);
        *vectors =
            order[..count].iter().flat_map(|&i| vectors[i * channels..(i + 1) * channels].to_vec()).collect();
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
        return Err(unusable("border and centre of the images look alike"));
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
