//! The second pass of a fit: the bank, and the scores of its own images.

use super::{CODES, Cpr, FOREGROUND, HISTOGRAMS, local_role};
use crate::bundle::{self, Staging};
use crate::error::{Error, Result};
use crate::evaluate::calibration::Scores;
use crate::kernels::histogram::Blocks;
use crate::kernels::windowed::{Shape, channel_last, planes};
use crate::methods::Method;
use crate::methods::fitting::{FitOptions, ImageSet, Progress, Spool};
use crate::network::{FeatureMap, Network, OutputSpec};
use half::f16;
use safetensors::Dtype;
use std::sync::Arc;

/// Images at most that calibrate the bundle; more would only make fitting slower.
const CALIBRATED: usize = 1_000;

/// The bank as it comes out of the second pass, on disk.
pub(super) struct Filled {
    pub images: usize,
    local: Vec<Spool>,
    histograms: Vec<f32>,
    foreground: Vec<f32>,
    codes: Vec<u8>,
}

/// Second pass: the outputs of the final graph for every image.
pub(super) fn fill(
    graph: &[u8],
    options: &FitOptions,
    images: &mut ImageSet,
    shapes: &[Shape],
    blocks: Blocks,
    with_foreground: bool,
    progress: &mut dyn Progress,
) -> Result<Filled> {
    let finest = shapes[0];
    let local = shapes.iter().enumerate();
    let mut outputs: Vec<OutputSpec> =
        local.map(|(i, s)| OutputSpec::floats(local_role(i), [1, s.height, s.width, s.channels])).collect();
    outputs.push(OutputSpec::bytes(CODES, [1, finest.height, finest.width]));
    if with_foreground {
        outputs.push(OutputSpec::floats(FOREGROUND, [1, 1, finest.height, finest.width]));
    }
    let size = (images.input().width, images.input().height);
    let mut network = Network::load(graph, size, outputs, options.device, options.threads)?;
    let mut filled = Filled {
        images: 0,
        local: shapes.iter().map(|_| Spool::new(&options.scratch)).collect::<Result<_>>()?,
        histograms: Vec::new(),
        foreground: Vec::new(),
        codes: Vec::new(),
    };
    let mut histograms = vec![0.0; blocks.len()];
    images.each(&mut network, "filling the bank", progress, |maps| {
        let (local, rest) = maps.split_at(shapes.len());
        for ((map, spool), &shape) in local.iter().zip(&mut filled.local).zip(shapes) {
            spool.push_halves(&planes(map.floats(), shape))?;
        }
        blocks.histograms(rest[0].bytes(), &mut histograms);
        filled.histograms.extend_from_slice(&histograms);
        filled.codes.extend_from_slice(rest[0].bytes());
        if with_foreground {
            filled.foreground.extend_from_slice(rest[1].floats());
        }
        filled.images += 1;
        Ok(())
    })?;
    Ok(filled)
}

impl Filled {
    /// Writes the bank and returns the code maps, which only calibration needs.
    pub fn write(
        self,
        staging: &mut Staging,
        shapes: &[Shape],
        blocks: Blocks,
        with_foreground: bool,
    ) -> Result<Vec<u8>> {
        let n = self.images;
        let finest = shapes[0];
        let local = self.local.into_iter().map(Spool::finish).collect::<Result<Vec<_>>>()?;
        let mut tensors = bundle::Tensors::new();
        for (i, (map, s)) in local.iter().zip(shapes).enumerate() {
            tensors.insert(
                local_role(i),
                bundle::TensorData {
                    dtype: Dtype::F16,
                    shape: vec![n, s.height, s.channels, s.width],
                    bytes: map,
                },
            );
        }
        tensors.insert(
            HISTOGRAMS.into(),
            bundle::TensorData {
                dtype: Dtype::F32,
                shape: vec![n, blocks.count(), blocks.bins()],
                bytes: bytemuck::cast_slice(&self.histograms),
            },
        );
        if with_foreground {
            tensors.insert(
                FOREGROUND.into(),
                bundle::TensorData {
                    dtype: Dtype::F32,
                    shape: vec![n, finest.height, finest.width],
                    bytes: bytemuck::cast_slice(&self.foreground),
                },
            );
        }
        staging.write_bank(&tensors)?;
        Ok(self.codes)
    }
}

/// The score of every image of the bank (an even selection of very many) against the others.
pub(super) fn leave_one_out(
    cpr: &Arc<Cpr>,
    shapes: &[Shape],
    codes: &[u8],
    progress: &mut dyn Progress,
) -> Result<Scores> {
    let finest = cpr.finest();
    let step = cpr.references.div_ceil(CALIBRATED);
    let chosen: Vec<usize> = (0..cpr.references).step_by(step).collect();
    progress.stage("calibrating", chosen.len());
    let (mut retrieve, mut score) = (cpr.clone().retrieve(), cpr.clone().score());
    let mut scores = Scores::default();
    for index in chosen {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut maps: Vec<FeatureMap> = Vec::with_capacity(shapes.len() + 2);
        for (bank, &s) in cpr.scales.iter().zip(shapes) {
            let patches: Vec<f32> = channel_last(bank.map(index), s).into_iter().map(f16::to_f32).collect();
            maps.push(FeatureMap::from_floats([1, s.height, s.width, s.channels], patches));
        }
        let code = codes[index * finest.places()..][..finest.places()].to_vec();
        maps.push(FeatureMap::from_bytes([1, finest.height, finest.width], code));
        if let Some(foreground) = &cpr.foreground {
            let own = foreground[index * finest.places()..][..finest.places()].to_vec();
            maps.push(FeatureMap::from_floats([1, 1, finest.height, finest.width], own));
        }
        let found = retrieve.retrieve(&maps, cpr.neighbours().min(cpr.references - 1), Some(index))?;
        let (map, value) = score.score(&found, None)?;
        scores.normal.push(value);
        scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
        progress.advance();
    }
    Ok(scores)
}
