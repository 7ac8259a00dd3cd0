//! The patches' distances as a smooth map of the input's size, and the worst patch's as the image score.

use super::{PatchCore, foreign};
use crate::error::Result;
use crate::kernels::blur::Gaussian;
use crate::kernels::parallel;
use crate::kernels::resize::Bilinear;
use crate::methods::{Retrieved, Score};
use crate::pool::{Pool, Pooled};

/// One stream's state.
#[derive(Debug)]
pub(super) struct PatchCoreScore {
    /// Rows and columns of the map of patches.
    map: (usize, usize),
    stride: usize,
    width: usize,
    pixels: usize,
    reweighting: bool,
    smooth_squares: bool,
    widen: Bilinear,
    blur: Gaussian,
    /// The squared distances, where they are smoothed.
    squares: Vec<f32>,
    /// The map blurred along its rows.
    rows: Vec<f32>,
    maps: Pool<Vec<f32>>,
}

impl PatchCoreScore {
    pub(super) fn new(patchcore: &PatchCore) -> Self {
        let pixels = patchcore.input.0 * patchcore.input.1;
        Self {
            map: patchcore.map,
            stride: patchcore.params.stride,
            width: patchcore.input.1,
            pixels,
            reweighting: patchcore.params.reweighting,
            smooth_squares: patchcore.params.smooth_squares,
            squares: Vec::new(),
            widen: Bilinear::new(patchcore.map, patchcore.input),
            blur: patchcore.params.blur(),
            rows: vec![0.0; pixels],
            maps: Pool::default(),
        }
    }

    /// The mean of `weight`, `[height, width]` of the input, over the pixels of patch `i`.
    fn share(&self, weight: Option<&[f32]>, i: usize) -> f32 {
        let Some(weight) = weight else { return 1.0 };
        let (y, x) = (i / self.map.1 * self.stride, i % self.map.1 * self.stride);
        let row = |y: usize| weight[y * self.width + x..][..self.stride].iter().sum::<f32>();
        (y..y + self.stride).map(row).sum::<f32>() / (self.stride * self.stride) as f32
    }
}

impl Score for PatchCoreScore {
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)> {
        let maps = &retrieved.distances[..];
        let fits = maps.len() == 1 + usize::from(self.reweighting)
            && maps.iter().all(|map| (map.height, map.width) == self.map);
        if !fits {
            return Err(foreign("the distances"));
        }
        let distances = &maps[0].values;
        // The worst patch is the one furthest from the bank; only its score is re-weighted.
        let mut worst = (0, f32::NEG_INFINITY);
        for (i, &distance) in distances.iter().enumerate() {
            let weighted = self.share(weight, i) * distance;
            if weighted > worst.1 {
                worst = (i, weighted);
            }
        }
        let score = f64::from(self.share(weight, worst.0) * maps[maps.len() - 1].values[worst.0]);

        let pixels = self.pixels;
        let mut map = self.maps.take(|| vec![0.0; pixels]);
        // Row by row as far as possible, while a row is in the cache; the blur across needs all rows.
        let Self { widen, blur, rows, width, squares, smooth_squares, .. } = self;
        squares.clear();
        let smoothed: &[f32] = if *smooth_squares {
            squares.extend(distances.iter().map(|distance| distance * distance));
            squares
        } else {
            distances
        };
        let band = ROWS * *width;
        parallel::each(rows.chunks_mut(band).enumerate(), |(i, rows)| {
            widen.fill_rows(&[smoothed], i * ROWS, rows);
            if let Some(weight) = weight {
                rows.iter_mut().zip(&weight[i * band..]).for_each(|(value, weight)| *value *= weight);
            }
            blur.along_rows(rows, *width);
        });
        parallel::each(map.chunks_mut(band).enumerate(), |(i, out)| {
            blur.across_rows(rows, *width, i * ROWS, out);
            if *smooth_squares {
                out.iter_mut().for_each(|value| *value = value.sqrt());
            }
        });
        Ok((map, score))
    }
}

/// Rows of the map that a thread works on at a time.
const ROWS: usize = 16;
