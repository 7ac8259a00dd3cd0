//! The rows of a bank on their way to disk.

use super::{IMAGES, NEIGHBOURHOODS, PATCHES, Params};
use crate::bundle::{Staging, TensorData, Tensors};
use crate::error::{Error, Result};
use crate::kernels::nearest::Nearest;
use crate::methods::fitting::Progress;
use half::f16;
use safetensors::Dtype;

/// Rows with the images that they come from.
#[derive(Default)]
pub(super) struct Rows {
    /// `[rows, dimension]`.
    pub values: Vec<f16>,
    pub images: Vec<u32>,
}

impl Rows {
    /// Takes the patches `chosen` of `values`, `[n, dimension]`, of which every image has `per_image`.
    pub fn take(values: &[f16], dimension: usize, per_image: usize, chosen: &[usize]) -> Self {
        let patch = |&i: &usize| values[i * dimension..(i + 1) * dimension].iter().copied();
        Self {
            values: chosen.iter().flat_map(patch).collect(),
            images: chosen.iter().map(|i| (i / per_image) as u32).collect(),
        }
    }

    /// Writes the bank.
    pub fn write(&self, staging: &mut Staging, params: &Params, progress: &mut dyn Progress) -> Result<()> {
        let neighbourhoods = self.neighbourhoods(params, progress)?;
        let rows = self.images.len();
        let tensor = |dtype, columns: &[usize], bytes| TensorData {
            dtype,
            shape: std::iter::once(rows).chain(columns.iter().copied()).collect(),
            bytes,
        };
        let mut tensors = Tensors::new();
        let dimension = params.embedding.aggregated;
        tensors.insert(PATCHES.into(), tensor(Dtype::F16, &[dimension], bytemuck::cast_slice(&self.values)));
        tensors.insert(IMAGES.into(), tensor(Dtype::U32, &[], bytemuck::cast_slice(&self.images)));
        tensors.insert(
            NEIGHBOURHOODS.into(),
            tensor(Dtype::U32, &[params.neighbourhood()], bytemuck::cast_slice(&neighbourhoods)),
        );
        staging.write_bank(&tensors)
    }

    /// The rows nearest to each row, itself first: `[rows, neighbourhood]`.
    fn neighbourhoods(&self, params: &Params, progress: &mut dyn Progress) -> Result<Vec<u32>> {
        let (dimension, size) = (params.embedding.aggregated, params.neighbourhood());
        let nearest = Nearest::new(&self.values, dimension);
        let mut found = vec![0; self.images.len() * size];
        const AT_ONCE: usize = 1024;
        progress.stage("relating the bank's rows", self.images.len().div_ceil(AT_ONCE));
        for (band, found) in found.chunks_mut(AT_ONCE * size).enumerate() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            nearest.neighbourhoods(&self.values, band * AT_ONCE, size, found);
            progress.advance();
        }
        Ok(found)
    }
}
