//! Features averaged over the neighbourhood.

use crate::kernels::parallel;
use crate::kernels::simd::wide;
use crate::kernels::windowed::Shape;

/// Fills `averaged` with the mean of `features`, both `[height, width, channels]`, over the places inside the map of windows of the odd
/// side `neighbourhood` (eq. 7).
///
/// # Panics
/// If a length does not fit.
pub fn aggregate(features: &[f32], shape: Shape, neighbourhood: usize, averaged: &mut [f32]) {
    assert!(features.len() == shape.len() && averaged.len() == shape.len(), "features of {shape:?}");
    let (reach, row) = (neighbourhood / 2, shape.width * shape.channels);
    parallel::each(averaged.chunks_mut(row).enumerate(), |(y, averaged)| {
        let rows = y.saturating_sub(reach)..(y + reach + 1).min(shape.height);
        let mut sums = parallel::Buffer::new(row);
        sums.fill(0.0);
        let count = rows.len();
        for y in rows {
            add(&features[y * row..][..row], &mut sums);
        }
        for (x, out) in averaged.chunks_exact_mut(shape.channels).enumerate() {
            let columns = x.saturating_sub(reach)..(x + reach + 1).min(shape.width);
            let scale = 1.0 / (count * columns.len()) as f32;
            out.fill(0.0);
            for column in columns {
                add(&sums[column * shape.channels..][..shape.channels], out);
            }
            out.iter_mut().for_each(|value| *value *= scale);
        }
    });
}

wide! {
    fn add(from: &[f32], to: &mut [f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }
}
