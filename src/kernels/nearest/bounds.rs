//! From products of 8-bit values to bounds of distances.
//!
//! With the 8-bit forms q' and r' of a vector q and a row r, `|q - r|` is off from `|q' - r'|` by at most `|q - q'| + |r - r'|`: the
//! triangle inequality. The squares in use here are a little too small rather than too large.

use super::packed::{PANEL, PanelFacts};
use super::quantise::{ARITHMETIC, VectorFacts};
use crate::kernels::simd::wide;

/// Vectors that are multiplied together.
pub(super) const TOGETHER: usize = 12;

/// Products of vectors with the rows of a panel.
pub(super) type Sums = [[i32; PANEL]; TOGETHER];

/// Squared distances of 8-bit forms.
pub(super) type Squares = [[f32; PANEL]; TOGETHER];

/// For each vector a bit for each row that is within its reach.
pub(super) type Hits = [u32; TOGETHER];

wide! {
    /// The squared distances of the 8-bit forms of every pair, and which rows may be no further from a vector than its reach: the distance
    /// that is of interest and what rounding may have changed of the vector.
    pub(super) fn compare(
        sums: &Sums, vectors: &[VectorFacts], reaches: &[f32], rows: &PanelFacts, squares: &mut Squares, hits: &mut Hits,
    ) {
        for ((((sums, q), &reach), squares), hits) in sums.iter().zip(vectors).zip(reaches).zip(squares).zip(hits) {
            *hits = 0;
            for i in 0..PANEL {
                let product = sums[i].wrapping_sub(q.offset) as f32 * rows.scale[i] * q.scale;
                squares[i] = q.square + rows.square[i] - 2.0 * product;
                let reach = reach + rows.residual[i];
                *hits |= u32::from(squares[i] <= reach * reach) << i;
            }
        }
    }
}

/// A bound that the square of a distance is not below, if that of the 8-bit forms is `square` and rounding may have changed `error`.
pub(super) fn lower(square: f32, error: f32) -> f32 {
    let least = (square.max(0.0).sqrt() - error).max(0.0);
    least * least * (1.0 - ARITHMETIC)
}

/// A bound that it is not above; `lengths` are the squared lengths of both, which `square` may be too small by a share of.
pub(super) fn upper(square: f32, error: f32, lengths: f32) -> f32 {
    let most = (square + 4.0 * ARITHMETIC * lengths).max(0.0).sqrt() + error;
    most * most * (1.0 + ARITHMETIC)
}
