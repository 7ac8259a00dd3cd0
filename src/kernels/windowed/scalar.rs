//! The reference that anyone can read.

use super::{Element, Shape, rows};

pub(super) fn band<E: Element>(
    query: &[f32],
    references: &[&[E]],
    shape: Shape,
    reach: usize,
    first: usize,
    best: &mut [f32],
) {
    let Shape { height, width, channels } = shape;
    let at = |y: usize, x: usize| (y * width + x) * channels..(y * width + x + 1) * channels;
    for (i, best) in best.iter_mut().enumerate() {
        let (y, x) = (first + i / width, i % width);
        let query = &query[at(y, x)];
        *best = f32::NEG_INFINITY;
        for reference in references {
            for ry in rows(y, reach, height) {
                for rx in rows(x, reach, width) {
                    let products = query.iter().zip(&reference[at(ry, rx)]).map(|(q, r)| q * r.to_f32());
                    *best = best.max(products.sum());
                }
            }
        }
    }
}
