//! The scales' distance maps fused into one anomaly map and one score.

use super::Cpr;
use crate::error::{Error, Result};
use crate::kernels::blur::Gaussian;
use crate::kernels::parallel;
use crate::kernels::resize::Bilinear;
use crate::kernels::simd::wide;
use crate::kernels::top::sum_of_largest;
use crate::methods::{Retrieved, Score};
use crate::pool::{Pool, Pooled};

/// One stream's state.
#[derive(Debug)]
pub(super) struct CprScore {
    shapes: Vec<(usize, usize)>,
    pixels: usize,
    width: usize,
    top: usize,
    /// Coarser scales to the finest.
    refine: Vec<Bilinear>,
    /// What each scale counts.
    weights: Vec<f32>,
    /// The finest scale to the input.
    widen: Bilinear,
    blur: Gaussian,
    sum: Vec<f32>,
    refined: Vec<f32>,
    /// The map blurred along its rows.
    rows: Vec<f32>,
    largest: Vec<f32>,
    maps: Pool<Vec<f32>>,
}

impl CprScore {
    pub(super) fn new(cpr: &Cpr) -> Self {
        let shapes: Vec<_> = cpr.scales.iter().map(|scale| (scale.shape.height, scale.shape.width)).collect();
        let places = cpr.finest().places();
        Self {
            pixels: cpr.input.0 * cpr.input.1,
            width: cpr.input.1,
            top: cpr.params.top,
            refine: shapes[1..].iter().map(|&shape| Bilinear::new(shape, shapes[0])).collect(),
            weights: cpr.params.scales.iter().map(|scale| scale.weight as f32).collect(),
            widen: Bilinear::new(shapes[0], cpr.input),
            blur: Gaussian::new(cpr.params.blur_side, cpr.params.blur_sigma),
            sum: vec![0.0; places],
            refined: vec![0.0; places],
            rows: vec![0.0; cpr.input.0 * cpr.input.1],
            largest: Vec::new(),
            maps: Pool::default(),
            shapes,
        }
    }
}

impl Score for CprScore {
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)> {
        let found = retrieved.distances.iter().map(|map| (map.height, map.width));
        if !found.eq(self.shapes.iter().copied()) {
            return Err(Error::Features("the distances are not those of this CPR bundle".into()));
        }
        self.sum.fill(0.0);
        add(self.weights[0], &retrieved.distances[0].values, &mut self.sum);
        for ((map, refine), &weight) in
            retrieved.distances[1..].iter().zip(&self.refine).zip(&self.weights[1..])
        {
            refine.fill_rows(&[&map.values], 0, &mut self.refined);
            add(weight, &self.refined, &mut self.sum);
        }
        let pixels = self.pixels;
        let mut map = self.maps.take(|| vec![0.0; pixels]);
        let weights: Vec<&[f32]> =
            retrieved.foreground.as_ref().map(|own| own.as_slice()).into_iter().chain(weight).collect();
        // Row by row as far as possible, while a row is in the cache; the blur across needs all rows.
        let Self { sum, widen, blur, rows, width, .. } = self;
        let band = ROWS * *width;
        parallel::each(rows.chunks_mut(band).enumerate(), |(i, rows)| {
            widen.fill_rows(&[sum], i * ROWS, rows);
            for weights in &weights {
                multiply(&weights[i * band..][..rows.len()], rows);
            }
            blur.along_rows(rows, *width);
        });
        parallel::each(map.chunks_mut(band).enumerate(), |(i, out)| {
            blur.across_rows(rows, *width, i * ROWS, out)
        });
        let score = sum_of_largest(&map, self.top, &mut self.largest);
        Ok((map, score))
    }
}

/// Rows of the map that a thread works on at a time.
const ROWS: usize = 20;

wide! {
    fn add(weight: f32, from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += weight * from;
        }
    }
}

wide! {
    fn multiply(from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to *= from;
        }
    }
}
