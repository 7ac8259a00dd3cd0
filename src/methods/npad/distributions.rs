//! From the features of images to a Gaussian at each position, a row of positions at a time.

use super::statistics::{Moments, Space, singular};
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

    /// Fills `vectors` with those of `images` at a place, `[images, channels]`.
    fn at(&self, place: usize, images: &[usize], vectors: &mut Vec<f32>) {
        let channels = self.shape.channels;
        vectors.resize(images.len() * channels, 0.0);
        for (vector, &image) in vectors.chunks_exact_mut(channels).zip(images) {
            self.image_values(image)[place * channels..][..channels].convert_to_f32_slice(vector);
        }
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

/// What is known of a position.
#[derive(Debug, Default)]
struct Position {
    /// `[images, channels]`.
    vectors: Vec<f32>,
    moments: Moments,
}

/// The positions of a row.
type Row = Vec<Position>;

/// Bytes that [`estimate`] works in: a neighbourhood's rows, with the vectors of `images` images and the covariances, and what each
/// [`Worker`] has.
pub(super) fn working_memory(shape: Shape, images: usize, neighbourhood: usize) -> u64 {
    let Shape { width, channels, .. } = shape;
    let vectors = images * channels * size_of::<f32>();
    let covariance = channels * channels * size_of::<f64>();
    let stored = 2 * packed_len(channels) * size_of::<i16>();
    let worker = Space::bytes(images, channels) + vectors + 2 * covariance;
    (width * (neighbourhood * (vectors + covariance) + stored) + workers(width) * worker) as u64
}

/// Workers that share a row: two for each thread, since one may be slower than another.
fn workers(width: usize) -> usize {
    (2 * rayon::current_num_threads()).min(width)
}

/// The likeness of each position to each of its neighbours inside the map, row by row of the neighbourhood.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Of all positions, one after the other.
    values: Vec<f64>,
    /// Where each position's end.
    ends: Vec<usize>,
}

impl Weights {
    fn push(&mut self, weights: &[f64]) {
        self.values.extend_from_slice(weights);
        self.ends.push(self.values.len());
    }

    fn of(&self, place: usize) -> &[f64] {
        let first = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.values[first..self.ends[place]]
    }
}

/// Estimates the distributions from `images`. The neighbours' weights are those given, which come from all images, or are computed
/// and returned.
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
    let mut computed = Weights::default();
    let mut rows: VecDeque<(usize, Row)> = VecDeque::new();
    let mut done: Vec<Row> = Vec::new();
    let mut workers: Vec<Worker> = (0..self::workers(width)).map(|_| Worker::default()).collect();
    let share = width.div_ceil(workers.len());
    for y in 0..height {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let (first, end) = (y.saturating_sub(reach), (y + reach + 1).min(height));
        while rows.front().is_some_and(|(row, _)| *row < first) {
            done.extend(rows.pop_front().map(|(_, row)| row));
        }
        for next in rows.back().map_or(first, |(row, _)| row + 1)..end {
            let mut row = done.pop().unwrap_or_default();
            read_row(features, images, params.epsilon, next, &mut row, &mut workers);
            rows.push_back((next, row));
        }
        let centre = &rows.iter().find(|(row, _)| *row == y).map_or(&rows[0], |row| row).1;
        let estimated = |(part, worker): (usize, &mut Worker)| -> Result<Vec<Place>> {
            let columns = (part * share).min(width)..((part + 1) * share).min(width);
            let one = |x: usize| {
                let columns = x.saturating_sub(reach)..(x + reach + 1).min(width);
                let around: Vec<_> = rows.iter().flat_map(|(_, row)| &row[columns.clone()]).collect();
                let weights = weights.map(|all| all.of(y * width + x));
                worker.place(&around, &centre[x].moments, images.len(), params, weights)
            };
            columns.map(one).collect()
        };
        let found: Vec<Vec<Place>> =
            workers.par_iter_mut().enumerate().map(estimated).collect::<Result<_>>()?;
        for Place { gaussians, weights } in found.into_iter().flatten() {
            for (field, gaussian) in fields.iter_mut().zip(&gaussians) {
                field.push(gaussian)?;
            }
            if let Some(weights) = weights {
                computed.push(&weights);
            }
        }
        progress.advance();
    }
    let [weighted, aggregated] = fields.map(|field| field.finish(features.shape));
    Ok((Distributions { weighted: weighted?, aggregated: aggregated? }, computed))
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

/// Fills `row` with what is known of row `y`, shared out among the workers.
fn read_row(
    features: &Features,
    images: &[usize],
    epsilon: f64,
    y: usize,
    row: &mut Row,
    workers: &mut [Worker],
) {
    let Shape { width, channels, .. } = features.shape;
    row.resize_with(width, Position::default);
    let share = width.div_ceil(workers.len());
    row.par_chunks_mut(share).zip(workers).enumerate().for_each(|(part, (row, worker))| {
        for (x, Position { vectors, moments }) in (part * share..).zip(row) {
            features.at(y * width + x, images, vectors);
            moments.set(vectors, channels, epsilon, &mut worker.space);
        }
    });
}

/// What is estimated for a position.
struct Place {
    /// The weighted distribution and the aggregated one.
    gaussians: [Gaussian; 2],
    /// Where they were computed.
    weights: Option<Vec<f64>>,
}

/// The memory of somebody who estimates positions one after the other.
#[derive(Debug, Default)]
struct Worker {
    space: Space,
    /// Vectors averaged over the neighbourhood, `[images, channels]`.
    averaged: Vec<f32>,
    /// Those of a distribution to be stored.
    moments: Moments,
    inverse: Vec<f64>,
}

impl Worker {
    /// Estimates a position from what is known `around` it, its own moments (`centre`) among them.
    fn place(
        &mut self,
        around: &[&Position],
        centre: &Moments,
        images: usize,
        params: &Params,
        weights: Option<&[f64]>,
    ) -> Result<Place> {
        let likeness = |Position { moments, .. }: &&Position| match std::ptr::eq(moments, centre) {
            true => Ok(1.0),
            false => centre.similarity(moments, params.lambda, &mut self.space),
        };
        let computed: Option<Vec<f64>> = match weights {
            Some(_) => None,
            None => Some(around.iter().map(likeness).collect::<Result<_>>()?),
        };
        let weights = weights.or(computed.as_deref()).unwrap_or_default();
        let neighbours: Vec<(&Moments, f64)> =
            around.iter().zip(weights).map(|(position, &weight)| (&position.moments, weight)).collect();
        self.moments.set_weighted(&neighbours, images);
        let weighted = self.gaussian()?;

        let channels = centre.mean.len();
        self.averaged.clear();
        self.averaged.resize(images * channels, 0.0);
        for Position { vectors, .. } in around {
            let sums = self.averaged.iter_mut().zip(vectors);
            sums.for_each(|(sum, value)| *sum += value / around.len() as f32);
        }
        self.moments.set(&self.averaged, channels, params.epsilon, &mut self.space);
        let aggregated = self.gaussian()?;
        Ok(Place { gaussians: [weighted, aggregated], weights: computed })
    }

    /// The Gaussian of the moments, whose covariance is then its factor.
    fn gaussian(&mut self) -> Result<Gaussian> {
        let Moments { mean, covariance } = &mut self.moments;
        let channels = mean.len();
        if !inverse_factor(covariance, channels, &mut self.inverse) {
            return Err(singular());
        }
        let mean = mean.iter().map(|&value| value as f32).collect();
        Ok(Gaussian { mean, factor: pack(&self.inverse, channels) })
    }
}
