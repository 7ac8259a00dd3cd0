//! From the features of images to a Gaussian at each position, a row of positions at a time.

use super::statistics::{Moments, singular};
use super::{AGGREGATED, Field, Params, WEIGHTED, roles};
use crate::bundle::{TensorData, Tensors};
use crate::error::{Error, Result};
use crate::kernels::cholesky::inverse_factor;
use crate::kernels::mahalanobis::{Factor, pack, packed_len};
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{Progress, Spool};
use crate::network::FeatureMap;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::Dtype;
use std::collections::VecDeque;
use std::path::Path;

/// The features of all images, `[images, height, width, channels]`.
#[derive(Debug)]
pub(super) struct Features {
    pub shape: Shape,
    pub map: Mmap,
}

impl Features {
    fn image_values(&self, image: usize) -> &[f16] {
        let values: &[f16] = bytemuck::cast_slice(&self.map);
        &values[image * self.shape.len()..][..self.shape.len()]
    }

    /// What the network said of `image`.
    pub fn image(&self, image: usize) -> FeatureMap {
        let Shape { height, width, channels } = self.shape;
        let mut floats = vec![0.0; self.shape.len()];
        self.image_values(image).convert_to_f32_slice(&mut floats);
        FeatureMap::from_floats([1, height, width, channels], floats)
    }

    /// The vectors of `images` at a place, `[images, channels]`.
    fn at(&self, place: usize, images: &[usize]) -> Vec<f32> {
        let channels = self.shape.channels;
        let mut vectors = vec![0.0; images.len() * channels];
        for (vector, &image) in vectors.chunks_exact_mut(channels).zip(images) {
            self.image_values(image)[place * channels..][..channels].convert_to_f32_slice(vector);
        }
        vectors
    }
}

/// The distributions of all positions.
#[derive(Clone, Debug)]
pub(super) struct Distributions {
    pub weighted: Field,
    pub aggregated: Field,
}

impl Distributions {
    /// The tensors of a bank, with `centroids` of `[n, channels]`.
    pub fn tensors<'a>(&'a self, centroids: &'a [f32]) -> Tensors<'a> {
        let mut tensors = Tensors::new();
        for (name, field) in [(WEIGHTED, &self.weighted), (AGGREGATED, &self.aggregated)] {
            let Shape { height, width, channels } = field.shape;
            let [means, factors, diagonals] = roles(name);
            let mut insert = |role, dtype, length, bytes| {
                tensors.insert(role, TensorData { dtype, shape: vec![height, width, length], bytes });
            };
            insert(means, Dtype::F32, channels, bytemuck::cast_slice(field.means.values()));
            insert(factors, Dtype::I16, packed_len(channels), bytemuck::cast_slice(field.factors.values()));
            insert(diagonals, Dtype::F32, channels, bytemuck::cast_slice(field.diagonals.values()));
        }
        let channels = self.weighted.shape.channels;
        let (shape, bytes) = (vec![centroids.len() / channels, channels], bytemuck::cast_slice(centroids));
        tensors.insert(super::CENTROIDS.into(), TensorData { dtype: Dtype::F32, shape, bytes });
        tensors
    }
}

/// A row of positions: of each its vectors, `[images, channels]`, and their moments.
type Row = Vec<(Vec<f32>, Moments)>;

/// Bytes that [`estimate`] works in at a time: a neighbourhood's rows, with the vectors of `images` images and the covariances, and what
/// each thread makes of them.
pub(super) fn working_memory(shape: Shape, images: usize, neighbourhood: usize) -> u64 {
    let Shape { width, channels, .. } = shape;
    let covariance = channels * channels * size_of::<f64>();
    let position = images * channels * size_of::<f32>() + covariance;
    let stored = 2 * packed_len(channels) * size_of::<i16>();
    // The averaged vectors, once more centred on their mean, and a covariance that is added up, factored and inverted.
    let thread = images * channels * (size_of::<f32>() + size_of::<f64>()) + 3 * covariance;
    (width * (neighbourhood * position + stored) + rayon::current_num_threads() * thread) as u64
}

/// The likeness of each position to each of its neighbours inside the map, row by row of the neighbourhood.
pub(super) type Weights = Vec<Vec<f64>>;

/// Estimates the distributions from `images`. The neighbours' weights are those given, which come from all images, or are computed.
pub(super) fn estimate(
    features: &Features,
    images: &[usize],
    params: &Params,
    weights: Option<&Weights>,
    scratch: &Path,
    progress: &mut dyn Progress,
) -> Result<(Distributions, Weights)> {
    let Shape { height, width, .. } = features.shape;
    let reach = params.neighbourhood / 2;
    let mut fields = [FieldSpool::new(scratch)?, FieldSpool::new(scratch)?];
    let mut all_weights = Weights::with_capacity(features.shape.places());
    let mut rows: VecDeque<(usize, Row)> = VecDeque::new();
    for y in 0..height {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let (first, end) = (y.saturating_sub(reach), (y + reach + 1).min(height));
        while rows.front().is_some_and(|(row, _)| *row < first) {
            rows.pop_front();
        }
        for next in rows.back().map_or(first, |(row, _)| row + 1)..end {
            rows.push_back((next, read_row(features, images, params, next)));
        }
        let found: Vec<Place> = (0..width)
            .into_par_iter()
            .map(|x| {
                let columns = x.saturating_sub(reach)..(x + reach + 1).min(width);
                let around: Vec<_> = rows.iter().flat_map(|(_, row)| &row[columns.clone()]).collect();
                let centre = &rows.iter().find(|(row, _)| *row == y).map_or(&rows[0], |row| row).1[x].1;
                place(&around, centre, images.len(), params, weights.map(|all| &all[y * width + x][..]))
            })
            .collect::<Result<_>>()?;
        for Place { gaussians, weights } in found {
            for (field, gaussian) in fields.iter_mut().zip(&gaussians) {
                field.push(gaussian)?;
            }
            all_weights.push(weights);
        }
        progress.advance();
    }
    let [weighted, aggregated] = fields.map(|field| field.finish(features.shape));
    Ok((Distributions { weighted: weighted?, aggregated: aggregated? }, all_weights))
}

/// A distribution as it is stored.
struct Gaussian {
    mean: Vec<f32>,
    factor: Factor,
}

/// The distributions of all positions on their way to disk.
struct FieldSpool {
    means: Spool,
    factors: Spool,
    diagonals: Spool,
}

impl FieldSpool {
    fn new(scratch: &Path) -> Result<Self> {
        let spool = || Spool::new(scratch);
        Ok(Self { means: spool()?, factors: spool()?, diagonals: spool()? })
    }

    fn push(&mut self, Gaussian { mean, factor }: &Gaussian) -> Result<()> {
        self.means.push(mean)?;
        self.factors.push(&factor.packed)?;
        self.diagonals.push(&factor.diagonal)
    }

    fn finish(self, shape: Shape) -> Result<Field> {
        Ok(Field {
            shape,
            means: self.means.finish()?.into(),
            factors: self.factors.finish()?.into(),
            diagonals: self.diagonals.finish()?.into(),
        })
    }
}

fn read_row(features: &Features, images: &[usize], params: &Params, y: usize) -> Row {
    let width = features.shape.width;
    let one = |x: usize| {
        let vectors = features.at(y * width + x, images);
        let moments = Moments::of(&vectors, features.shape.channels, params.epsilon);
        (vectors, moments)
    };
    (0..width).into_par_iter().map(one).collect()
}

/// What is estimated for a position.
struct Place {
    /// The weighted distribution and the aggregated one.
    gaussians: [Gaussian; 2],
    weights: Vec<f64>,
}

/// Estimates a position from the vectors and moments `around` it, its own (`centre`) among them.
fn place(
    around: &[&(Vec<f32>, Moments)],
    centre: &Moments,
    images: usize,
    params: &Params,
    weights: Option<&[f64]>,
) -> Result<Place> {
    let weights = match weights {
        Some(weights) => weights.to_vec(),
        None => around
            .iter()
            .map(|(_, moments)| match std::ptr::eq(moments, centre) {
                true => Ok(1.0),
                false => centre.similarity(moments, params.lambda),
            })
            .collect::<Result<_>>()?,
    };
    let neighbours: Vec<(&Moments, f64)> =
        around.iter().zip(&weights).map(|((_, moments), &weight)| (moments, weight)).collect();
    let weighted = gaussian(Moments::weighted(&neighbours, images))?;

    let channels = centre.mean.len();
    let mut averaged = vec![0.0; images * channels];
    for (vectors, _) in around {
        averaged.iter_mut().zip(vectors).for_each(|(sum, value)| *sum += value / around.len() as f32);
    }
    let aggregated = gaussian(Moments::of(&averaged, channels, params.epsilon))?;
    Ok(Place { gaussians: [weighted, aggregated], weights })
}

fn gaussian(moments: Moments) -> Result<Gaussian> {
    let channels = moments.mean.len();
    let inverse = inverse_factor(moments.covariance, channels).ok_or_else(singular)?;
    let mean = moments.mean.iter().map(|&value| value as f32).collect();
    Ok(Gaussian { mean, factor: pack(&inverse, channels) })
}
