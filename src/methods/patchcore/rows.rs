//! The rows of a bank on their way to disk.

use super::{IMAGES, LINKS, NEIGHBOURHOODS, PATCHES, Params, SCORES};
use crate::bundle::{Staging, TensorData, Tensors};
use crate::error::{Error, Result};
use crate::kernels::nearest::Nearest;
use crate::methods::fitting::Progress;
use half::f16;
use safetensors::Dtype;

/// Rows with the images that they come from.
pub(super) struct Rows {
    /// `[rows, dimension]`.
    pub values: Vec<f16>,
    pub images: Vec<u32>,
    /// The rows nearest to each row, itself first: `[rows, neighbourhood]`.
    neighbourhoods: Vec<u32>,
    /// The rows that each row leads to, where there is an index: `[rows, degree]`.
    pub links: Vec<u32>,
}

impl Rows {
    pub fn new(values: Vec<f16>, images: Vec<u32>) -> Self {
        Self { values, images, neighbourhoods: Vec::new(), links: Vec::new() }
    }

    /// Adds the patches `chosen` of `values`, `[n, dimension]`, of which every image, numbered from `first` on, has `per_image`.
    pub fn take(
        &mut self,
        values: &[f16],
        chosen: &[usize],
        dimension: usize,
        per_image: usize,
        first: usize,
    ) {
        for &i in chosen {
            self.values.extend_from_slice(&values[i * dimension..(i + 1) * dimension]);
            self.images.push((first + i / per_image) as u32);
        }
    }

    /// Finds out which rows are near each other.
    pub fn relate(&mut self, params: &Params, progress: &mut dyn Progress) -> Result<()> {
        let (dimension, size) = (params.embedding.aggregated, params.neighbourhood());
        let nearest = Nearest::new(&self.values, dimension);
        self.neighbourhoods = vec![0; self.images.len() * size];
        progress.stage("relating the bank's rows", self.images.len().div_ceil(AT_ONCE));
        for (band, found) in self.neighbourhoods.chunks_mut(AT_ONCE * size).enumerate() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            nearest.neighbourhoods(&self.values, band * AT_ONCE, size, found);
            progress.advance();
        }
        Ok(())
    }

    /// Writes the bank, with what normal images were scored, `[n, 3]`.
    pub fn write(&self, staging: &mut Staging<'_>, params: &Params, scores: &[[f32; 3]]) -> Result<()> {
        let rows = self.images.len();
        let mut tensors = Tensors::new();
        let mut insert = |name: &str, dtype, shape: &[usize], bytes| {
            tensors.insert(name.to_owned(), TensorData { dtype, shape: shape.to_vec(), bytes });
        };
        let (dimension, size) = (params.embedding.aggregated, params.neighbourhood());
        insert(PATCHES, Dtype::F16, &[rows, dimension], bytemuck::cast_slice(&self.values));
        insert(IMAGES, Dtype::U32, &[rows], bytemuck::cast_slice(&self.images));
        insert(NEIGHBOURHOODS, Dtype::U32, &[rows, size], bytemuck::cast_slice(&self.neighbourhoods));
        if let Some(degree) = params.index.degree() {
            insert(LINKS, Dtype::U32, &[rows, degree], bytemuck::cast_slice(&self.links));
        }
        insert(SCORES, Dtype::F32, &[scores.len(), 3], bytemuck::cast_slice(scores));
        staging.write_bank(&tensors)
    }
}

/// Rows whose neighbours are looked for before the user is asked again.
const AT_ONCE: usize = 1024;
