//! The embedded patches of images, kept on disk, with a projection in memory to choose from.

use super::Params;
use super::coreset::{Points, Projection};
use crate::error::Result;
use crate::methods::fitting::{ImageSet, Progress, Spool};
use crate::network::{FeatureMap, Network};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use std::path::Path;

/// The patches of some images.
pub(super) struct Patches {
    pub images: usize,
    pub dimension: usize,
    /// f16 values of all images.
    values: Mmap,
    /// The same in fewer dimensions.
    projected: Vec<f32>,
    projected_dimension: usize,
}

impl Patches {
    /// Runs the network on all images; `seed` makes the projection.
    pub fn embed(
        images: &mut ImageSet,
        network: &mut Network,
        params: &Params,
        seed: u64,
        scratch: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let dimension = params.embedding.aggregated;
        let projection = Projection::new(dimension, params.selection.projection, seed);
        let mut spool = Spool::new(scratch)?;
        let mut projected = Vec::new();
        let mut rounded: Vec<f32> = Vec::new();
        let mut count = 0;
        images.each(network, "embedding the patches", progress, |maps| {
            let values = maps[0].floats();
            spool.push_halves(values)?;
            // What is stored is what distances are compared of, now and when images are added later.
            rounded.clear();
            rounded.extend(values.iter().map(|&value| f16::from_f32(value).to_f32()));
            project(projection.as_ref(), &rounded, dimension, &mut projected);
            count += 1;
            Ok(())
        })?;
        let projected_dimension = projection.as_ref().map_or(dimension, Projection::dimension);
        Ok(Self { images: count, dimension, values: spool.finish()?, projected, projected_dimension })
    }

    pub fn values(&self) -> &[f16] {
        bytemuck::cast_slice(&self.values)
    }

    /// The projected patches.
    pub fn points(&self) -> Points<'_> {
        Points { values: &self.projected, dimension: self.projected_dimension }
    }

    /// Patches of an image.
    pub fn per_image(&self) -> usize {
        self.points().len() / self.images
    }

    /// The patches of image `index` as the network gives them, but for their rounding to f16.
    pub fn map(&self, index: usize) -> FeatureMap {
        let size = self.per_image() * self.dimension;
        let mut values = vec![0.0; size];
        self.values()[index * size..][..size].convert_to_f32_slice(&mut values);
        FeatureMap::from_floats([1, self.per_image(), self.dimension], values)
    }
}

/// Appends the projection of `vectors`, `[n, dimension]`, or the vectors themselves.
pub(super) fn project(
    projection: Option<&Projection>,
    vectors: &[f32],
    dimension: usize,
    projected: &mut Vec<f32>,
) {
    match projection {
        Some(projection) => {
            let from = projected.len();
            projected.resize(from + vectors.len() / dimension * projection.dimension(), 0.0);
            projection.run(vectors, &mut projected[from..]);
        }
        None => projected.extend_from_slice(vectors),
    }
}
