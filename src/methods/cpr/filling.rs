//! The bank on its way to disk: what the network says of every image.

use super::{Cpr, FOREGROUND, HISTOGRAMS, TWINS, local_role};
use crate::bundle::{Bank, Staging, TensorData, Tensors};
use crate::error::Result;
use crate::kernels::histogram::Blocks;
use crate::kernels::windowed::{Shape, planes};
use crate::methods::fitting::{ImageSet, Progress, Spool, Twins};
use crate::network::Network;
use safetensors::Dtype;
use std::path::Path;

/// A bank that grows image by image; its large part is in temporary files.
pub(super) struct Filling {
    images: usize,
    shapes: Vec<Shape>,
    blocks: Blocks,
    local: Vec<Spool>,
    histograms: Vec<f32>,
    /// Where a foreground is estimated.
    foreground: Option<Vec<f32>>,
}

impl Filling {
    /// An empty bank for scales of these `shapes`, finest first, with its files in `scratch`.
    pub fn new(shapes: &[Shape], blocks: Blocks, with_foreground: bool, scratch: &Path) -> Result<Self> {
        Ok(Self {
            images: 0,
            shapes: shapes.to_vec(),
            blocks,
            local: shapes.iter().map(|_| Spool::new(scratch)).collect::<Result<_>>()?,
            histograms: Vec::new(),
            foreground: with_foreground.then(Vec::new),
        })
    }

    /// A bank that holds what `bank` does, that of `cpr`.
    pub fn from_bank(cpr: &Cpr, bank: &Bank, scratch: &Path) -> Result<Self> {
        let shapes: Vec<Shape> = cpr.scales.iter().map(|scale| scale.shape).collect();
        let mut filling = Self::new(&shapes, cpr.blocks, false, scratch)?;
        for (spool, scale) in filling.local.iter_mut().zip(&cpr.scales) {
            spool.push(scale.patches.values())?;
        }
        filling.images = cpr.references;
        filling.histograms =
            bank.floats(HISTOGRAMS, &[cpr.references, cpr.blocks.count(), cpr.blocks.bins()])?;
        filling.foreground.clone_from(&cpr.foreground);
        Ok(filling)
    }

    /// Adds what `network`, the final graph's, says of every image.
    pub fn add(
        &mut self,
        images: &mut ImageSet,
        network: &mut Network,
        stage: &str,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut histograms = vec![0.0; self.blocks.len()];
        images.each(network, stage, progress, |maps| {
            let (local, rest) = maps.split_at(self.shapes.len());
            for ((map, spool), &shape) in local.iter().zip(&mut self.local).zip(&self.shapes) {
                spool.push_halves(&planes(map.floats(), shape))?;
            }
            self.blocks.histograms(rest[0].bytes(), &mut histograms);
            self.histograms.extend_from_slice(&histograms);
            if let Some(foreground) = &mut self.foreground {
                foreground.extend_from_slice(rest[1].floats());
            }
            self.images += 1;
            Ok(())
        })
    }

    /// Number of images so far.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Writes the bank, in which these images are `twins`, and returns its histograms, `[N, blocks, bins]`, which calibration needs.
    pub fn write(self, staging: &mut Staging<'_>, twins: &Twins) -> Result<Vec<f32>> {
        let n = self.images;
        let local = self.local.into_iter().map(Spool::finish).collect::<Result<Vec<_>>>()?;
        let mut tensors = Tensors::new();
        let mut insert = |name: String, dtype, shape: &[usize], bytes| {
            tensors.insert(name, TensorData { dtype, shape: shape.to_vec(), bytes });
        };
        for (i, (map, s)) in local.iter().zip(&self.shapes).enumerate() {
            insert(local_role(i), Dtype::F16, &[n, s.height, s.channels, s.width], map);
        }
        let histograms = bytemuck::cast_slice(&self.histograms);
        insert(HISTOGRAMS.into(), Dtype::F32, &[n, self.blocks.count(), self.blocks.bins()], histograms);
        if let Some(foreground) = &self.foreground {
            let finest = self.shapes[0];
            let shape = [n, finest.height, finest.width];
            insert(FOREGROUND.into(), Dtype::F32, &shape, bytemuck::cast_slice(foreground));
        }
        let groups = twins.to_groups();
        if twins.count() > 0 {
            insert(TWINS.into(), Dtype::U32, &[n], bytemuck::cast_slice(&groups));
        }
        staging.write_bank(&tensors)?;
        Ok(self.histograms)
    }
}
