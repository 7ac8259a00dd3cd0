//! Perlin noise: random gradients on a lattice, blended between its points.

use super::Random;
use ndarray::{Array2, ArrayView2};
use rand::Rng;
use std::f64::consts::{SQRT_2, TAU};

/// A lattice of random directions, `cells` + 1 in each axis.
#[derive(Clone, Debug)]
pub struct Perlin {
    /// Unit vectors (along rows, along columns).
    gradients: Vec<[f64; 2]>,
    /// Points of the lattice.
    points: (usize, usize),
}

impl Perlin {
    /// From the directions in radians, `[cells + 1, cells + 1]`, at least 2x2; 0 points along rows.
    ///
    /// # Panics
    /// If there is no whole cell.
    pub fn from_angles(angles: ArrayView2<f64>) -> Self {
        assert!(angles.nrows() >= 2 && angles.ncols() >= 2, "a lattice of {:?} has no cell", angles.dim());
        let gradients = angles.iter().map(|angle| [angle.cos(), angle.sin()]).collect();
        Self { gradients, points: angles.dim() }
    }

    /// Random directions for `cells` (along rows, along columns), at least 1 each.
    pub fn random((rows, columns): (usize, usize), random: &mut Random) -> Self {
        let angles = Array2::from_shape_simple_fn((rows.max(1) + 1, columns.max(1) + 1), || {
            random.gen_range(0.0..TAU)
        });
        Self::from_angles(angles.view())
    }

    /// The noise at a place in cells, about -1 to 1; outside the lattice its outermost cells go on.
    #[inline]
    pub fn at(&self, y: f64, x: f64) -> f64 {
        let (rows, columns) = self.points;
        let row = (y.max(0.0) as usize).min(rows - 2);
        let column = (x.max(0.0) as usize).min(columns - 2);
        let (fy, fx) = (y - row as f64, x - column as f64);
        let first = row * columns + column;
        let (above, below) =
            (&self.gradients[first..first + 2], &self.gradients[first + columns..first + columns + 2]);
        let dot = |a: usize, b: usize| {
            let [gy, gx] = if a == 0 { above[b] } else { below[b] };
            gy * (fy - a as f64) + gx * (fx - b as f64)
        };
        let (wy, wx) = (fade(fy), fade(fx));
        let (left, right) = (lerp(dot(0, 0), dot(1, 0), wy), lerp(dot(0, 1), dot(1, 1), wy));
        SQRT_2 * lerp(left, right, wx)
    }

    /// The whole lattice as an image of `(height, width)`.
    ///
    /// A cell is `ceil(side / cells)` pixels, so that where the side is no multiple the last cells are cut off. Every side that
    /// is a multiple of 32 is one of each power of two up to 32: there nothing is cut, and the result is the published one.
    pub fn noise(&self, (height, width): (usize, usize)) -> Array2<f64> {
        let (rows, columns) = self.points;
        let cell = (cell_side(height, rows - 1), cell_side(width, columns - 1));
        Array2::from_shape_fn((height, width), |(y, x)| self.at(y as f64 / cell.0, x as f64 / cell.1))
    }
}

/// Pixels of a cell when `cells` cover `side`.
pub(super) fn cell_side(side: usize, cells: usize) -> f64 {
    side.div_ceil(cells).max(1) as f64
}

fn fade(t: f64) -> f64 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

fn lerp(from: f64, to: f64, weight: f64) -> f64 {
    from + weight * (to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    #[test]
    fn every_input_size_works_at_every_scale() {
        let mut random = Random::seed_from_u64(1);
        for size in [(32, 32), (352, 96), (320, 224), (33, 47)] {
            for cells in (0..=5).map(|k| 1 << k) {
                let noise = Perlin::random((cells, 32 / cells), &mut random).noise(size);
                assert_eq!(noise.dim(), size);
                assert!(noise.iter().all(|value| value.abs() <= 1.5), "{size:?} {cells}");
            }
        }
    }

    proptest! {
        #[test]
        fn is_zero_on_the_lattice_and_continuous(seed in 0u64..1000, y in 0.0..3.0, x in 0.0..5.0) {
            let noise = Perlin::random((3, 5), &mut Random::seed_from_u64(seed));
            prop_assert!(noise.at(f64::trunc(y), f64::trunc(x)).abs() < 1e-12);
            prop_assert!((noise.at(y, x) - noise.at(y + 1e-7, x + 1e-7)).abs() < 1e-5);
        }
    }
}
