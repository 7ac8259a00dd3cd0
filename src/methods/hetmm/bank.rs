//! From the features of images to the bank: templates of a place side by side.

use crate::bundle::{TensorData, Tensors};
use crate::error::{Error, Result};
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{Progress, Spool};
use crate::network::FeatureMap;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::Dtype;
use std::path::Path;

/// The features of all images on one layer, `[images, height, width, channels]`, of unit length.
#[derive(Debug)]
pub(super) struct LayerFeatures {
    pub shape: Shape,
    map: Mmap,
}

impl LayerFeatures {
    pub fn new(shape: Shape, spool: Spool) -> Result<Self> {
        Ok(Self { shape, map: spool.finish()? })
    }

    pub fn images(&self) -> usize {
        self.values().len() / self.shape.len()
    }

    fn values(&self) -> &[f16] {
        bytemuck::cast_slice(&self.map)
    }

    /// What the network said of `image`.
    pub fn image(&self, image: usize) -> FeatureMap {
        let Shape { height, width, channels } = self.shape;
        let mut floats = vec![0.0; self.shape.len()];
        self.values()[image * self.shape.len()..][..self.shape.len()].convert_to_f32_slice(&mut floats);
        FeatureMap::from_floats([1, height, width, channels], floats)
    }

    /// The vectors of all images at `place`, `[images, channels]`.
    pub fn at(&self, place: usize) -> Vec<f32> {
        let channels = self.shape.channels;
        let mut vectors = vec![0.0; self.images() * channels];
        let images = self.values().chunks_exact(self.shape.len());
        for (vector, image) in vectors.chunks_exact_mut(channels).zip(images) {
            image[place * channels..][..channels].convert_to_f32_slice(vector);
        }
        vectors
    }
}

/// Puts vectors, one of each template, side by side: `block`, `[channels, templates]`, from its column `first` on.
pub(super) fn set_columns<'a>(
    block: &mut [f32],
    templates: usize,
    first: usize,
    vectors: impl Iterator<Item = &'a [f32]>,
) {
    for (column, vector) in (first..).zip(vectors) {
        for (row, &value) in block.chunks_exact_mut(templates).zip(vector) {
            row[column] = value;
        }
    }
}

/// Templates of one layer on their way into the bank, `[height, width, channels, templates]`.
#[derive(Debug)]
pub(super) struct Packed {
    shape: Shape,
    templates: usize,
    map: Mmap,
}

impl Packed {
    /// Asks `fill` for the `[channels, templates]` values of every place. Places are filled in parallel, a row at a time.
    pub fn fill<T: Send>(
        shape: Shape,
        templates: usize,
        scratch: &Path,
        progress: &mut dyn Progress,
        fill: impl Fn(usize, &mut [f32]) -> T + Sync,
    ) -> Result<(Self, Vec<T>)> {
        let mut spool = Spool::new(scratch)?;
        let block = shape.channels * templates;
        let mut row = vec![0.0; shape.width * block];
        let mut all = Vec::with_capacity(shape.places());
        for y in 0..shape.height {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let places = row.par_chunks_exact_mut(block).enumerate();
            all.par_extend(places.map(|(x, values)| fill(y * shape.width + x, values)));
            spool.push_halves(&row)?;
            progress.advance();
        }
        Ok((Self { shape, templates, map: spool.finish()? }, all))
    }
}

/// The tensors of a bank, from its layers and the scores of the images that it was made from.
pub(super) fn tensors<'a>(layers: &'a [Packed], scores: &'a [f32], means: &'a [f32]) -> Tensors<'a> {
    let mut tensors = Tensors::new();
    for (i, layer) in layers.iter().enumerate() {
        let Shape { height, width, channels } = layer.shape;
        let shape = vec![height, width, channels, layer.templates];
        tensors.insert(super::templates_role(i), TensorData { dtype: Dtype::F16, shape, bytes: &layer.map });
    }
    for (name, values) in [(SCORES, scores), (MAP_MEANS, means)] {
        let bytes = bytemuck::cast_slice(values);
        tensors.insert(name.into(), TensorData { dtype: Dtype::F32, shape: vec![values.len()], bytes });
    }
    tensors
}

/// The score of each normal image against the others, from which an update calibrates anew.
pub(super) const SCORES: &str = "scores";
/// The means of their maps.
pub(super) const MAP_MEANS: &str = "map_means";
