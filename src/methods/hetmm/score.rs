//! The layers' distances in both directions fused into one anomaly map and one score.

use super::Hetmm;
use crate::error::{Error, Result};
use crate::kernels::blur::Gaussian;
use crate::kernels::parallel;
use crate::kernels::resize::Bilinear;
use crate::methods::{Retrieved, Score};
use crate::pool::{Pool, Pooled};

/// One stream's state.
#[derive(Debug)]
pub(super) struct HetmmScore {
    /// Rows and columns of each layer.
    shapes: Vec<(usize, usize)>,
    alpha: f32,
    weights: Vec<f32>,
    /// Rows and columns of the input.
    input: (usize, usize),
    /// Each layer to the input.
    widen: Vec<Bilinear>,
    blur: Gaussian,
    /// Each layer's weighted mix of forward and backward distances.
    mixed: Vec<Vec<f32>>,
    blurred: Vec<f32>,
    maps: Pool<Vec<f32>>,
}

impl HetmmScore {
    pub(super) fn new(hetmm: &Hetmm) -> Self {
        let params = &hetmm.params;
        let shapes: Vec<_> =
            hetmm.layers.iter().map(|layer| (layer.shape.height, layer.shape.width)).collect();
        Self {
            alpha: params.alpha as f32,
            weights: params.weights.iter().map(|&weight| weight as f32).collect(),
            input: hetmm.input,
            widen: shapes.iter().map(|&shape| Bilinear::corners(shape, hetmm.input)).collect(),
            blur: Gaussian::new(params.blur_side, params.blur_sigma),
            mixed: shapes.iter().map(|&(height, width)| vec![0.0; height * width]).collect(),
            blurred: vec![0.0; hetmm.input.0 * hetmm.input.1],
            maps: Pool::default(),
            shapes,
        }
    }
}

impl Score for HetmmScore {
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)> {
        let found = retrieved.distances.iter().map(|map| (map.height, map.width));
        if !found.eq(self.shapes.iter().flat_map(|&shape| [shape, shape])) {
            return Err(Error::Features("the distances are not those of this HETMM bundle".into()));
        }
        let (pairs, _) = retrieved.distances.as_chunks::<2>();
        for (([forward, backward], mixed), weight) in pairs.iter().zip(&mut self.mixed).zip(&self.weights) {
            let both = forward.values.iter().zip(backward.values.iter());
            for (mixed, (forward, backward)) in mixed.iter_mut().zip(both) {
                *mixed = weight * (self.alpha * forward + (1.0 - self.alpha) * backward);
            }
        }
        let (height, width) = self.input;
        let mut map = self.maps.take(|| vec![0.0; height * width]);
        let Self { widen, blur, mixed, blurred, .. } = self;
        let band = ROWS * width;
        parallel::each(map.chunks_mut(band).zip(blurred.chunks_mut(band)).enumerate(), |(i, (out, rows))| {
            widen[0].fill_rows(&[&mixed[0]], i * ROWS, out);
            for (widen, mixed) in widen.iter().zip(mixed.iter()).skip(1) {
                widen.fill_rows(&[mixed], i * ROWS, rows);
                out.iter_mut().zip(rows.iter()).for_each(|(sum, value)| *sum += value);
            }
            if let Some(weight) = weight {
                out.iter_mut().zip(&weight[i * band..]).for_each(|(value, weight)| *value *= weight);
            }
        });
        // The paper's map is not smoothed, but the one that its largest value is taken from.
        blurred.copy_from_slice(&map);
        blur.run(blurred, width);
        // By rounding a patch can be a little nearer than no distance.
        let score = blurred.iter().copied().fold(0.0, f32::max);
        Ok((map, f64::from(score)))
    }
}

/// Rows of the map that a thread works on at a time.
const ROWS: usize = 20;
