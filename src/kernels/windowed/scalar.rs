//! The reference that anyone can read.

use super::{Element, Search, Shape, rows};

pub(super) fn band<E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    let Shape { height, width, channels } = search.shape;
    let at = |y: usize, x: usize| (y * width + x) * channels..(y * width + x + 1) * channels;
    for (i, best) in best.iter_mut().enumerate() {
        let (y, x) = (first + i / width, i % width);
        let query = &search.query[at(y, x)];
        *best = f32::NEG_INFINITY;
        for reference in search.references {
            for ry in rows(y, search.reach, height) {
                for rx in rows(x, search.reach, width) {
                    let reference = reference[search.row(ry)][rx..].iter().step_by(width);
                    let products = query.iter().zip(reference).map(|(q, r)| q * r.to_f32());
                    *best = best.max(products.sum());
                }
            }
        }
    }
}
