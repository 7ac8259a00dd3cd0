//! The reference that anyone can read.

use super::{Shape, rows};
use half::f16;

pub(super) fn row(
    query: &[f32],
    references: &[&[f16]],
    shape: Shape,
    reach: usize,
    y: usize,
    best: &mut [f32],
) {
    let Shape { height, width, channels } = shape;
    let at = |y: usize, x: usize| (y * width + x) * channels..(y * width + x + 1) * channels;
    for reference in references {
        for ry in rows(y, reach, height) {
            for (x, best) in best.iter_mut().enumerate() {
                for rx in rows(x, reach, width) {
                    let similarity: f32 =
                        query[at(y, x)].iter().zip(&reference[at(ry, rx)]).map(|(q, r)| q * r.to_f32()).sum();
                    *best = best.max(similarity);
                }
            }
        }
    }
}
