//! From products of 8-bit values to bounds of distances.
//!
//! With the 8-bit forms q' and r' of a vector q and a row r: `q.r = q'.r' + (q - q').r + q'.(r - r')`, so that `q.r` is off by at
//! most `|q - q'| |r| + |q'| |r - r'|`, and `|q - r|^2 - |q|^2 = |r|^2 - 2 q.r` by twice that.

use super::packed::{PANEL, PanelFacts};
use super::quantise::{ARITHMETIC, VectorFacts};
use crate::kernels::simd::wide;

/// Vectors that are multiplied together.
pub(super) const TOGETHER: usize = 12;

/// Products of vectors with the rows of a panel.
pub(super) type Sums = [[i32; PANEL]; TOGETHER];

/// Lower bounds of `|q - r|^2 - |q|^2`.
pub(super) type Lower = [[f32; PANEL]; TOGETHER];

wide! {
    /// The lower bounds of every pair, and for each vector whether one is not above its limit.
    pub(super) fn lower_bounds(
        sums: &Sums, vectors: &[VectorFacts], limits: &[f32], rows: &PanelFacts, lower: &mut Lower, hits: &mut [bool; TOGETHER],
    ) {
        for ((((sums, q), &limit), lower), hit) in sums.iter().zip(vectors).zip(limits).zip(lower).zip(hits) {
            let mut any = 0;
            for i in 0..PANEL {
                let product = sums[i].wrapping_sub(q.offset) as f32 * rows.scale[i] * q.scale;
                let error = q.residual * rows.length[i] + q.length * rows.residual[i];
                lower[i] = rows.square[i] - 2.0 * (product + error);
                any |= i32::from(lower[i] <= limit);
            }
            *hit = any != 0;
        }
    }
}

/// What an upper bound is above the lower one.
pub(super) fn gap(q: &VectorFacts, rows: &PanelFacts, i: usize) -> f32 {
    let error = q.residual * rows.length[i] + q.length * rows.residual[i];
    4.0 * error + 3.0 * ARITHMETIC * rows.square[i]
}
