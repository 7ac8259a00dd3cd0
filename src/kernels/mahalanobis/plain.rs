//! The reference that anyone can read, for processors without AVX2.

use super::packed::{COLUMNS, ROWS, TILE, step, tiles};
use super::{Triangle, VECTORS, of_block};

pub(super) fn squares(factor: Triangle<'_>, centred: &[f32], count: usize) -> [f32; VECTORS] {
    let mut squares = [0.0; VECTORS];
    for (square, vector) in squares.iter_mut().zip(centred.chunks_exact(centred.len() / VECTORS)).take(count)
    {
        let mut all = factor.packed.chunks_exact(TILE);
        for block in 0..vector.len() / ROWS {
            let (diagonal, own) = (of_block(factor.diagonal, block), &vector[block * ROWS..][..ROWS]);
            let mut sums: [f32; ROWS] = std::array::from_fn(|lane| diagonal[lane] * own[lane]);
            for (tile, values) in all.by_ref().take(tiles(block)).zip(vector.chunks_exact(COLUMNS)) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let levels = tile[lane..].iter().step_by(ROWS);
                    let part: f32 = levels.zip(values).map(|(&level, value)| f32::from(level) * value).sum();
                    *sum += step(tile[COLUMNS * ROWS + lane]) * part;
                }
            }
            *square += sums.iter().map(|sum| sum * sum).sum::<f32>();
        }
    }
    squares
}
