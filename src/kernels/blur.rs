//! Separable Gaussian blur. What lies beyond the border is the map mirrored, with its edge or without: [`Border`].

use super::parallel::{self, Buffer};
use super::simd::wide;

/// Columns whose sums along a row are computed together, so that they stay in registers.
const LANES: usize = 64;
/// The same across rows, for as many rows together: a value that is read once counts for each of them.
const ACROSS: usize = 16;
const TOGETHER: usize = 4;
/// Rows of a part of the work, to be shared out evenly.
const ROWS: usize = 20;

/// What a blur sees beyond the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Border {
    /// `c b | a b c`: mirrored at the edge pixel, which is not repeated.
    #[default]
    Reflect,
    /// `c b a | a b c`: mirrored behind the edge pixel, which is repeated.
    Symmetric,
}

/// A Gaussian kernel of odd side with its buffers.
#[derive(Clone, Debug)]
pub struct Gaussian {
    weights: Vec<f32>,
    /// The weights between zeros, for rows that are computed together.
    padded: Vec<f32>,
    rows: Vec<f32>,
    border: Border,
}

impl Gaussian {
    /// Weights `exp(-0.5 (i / sigma)^2)` for `i = -side/2 ..= side/2`, normalised to sum 1; the border is reflected.
    ///
    /// # Panics
    /// If `side` is even or `sigma` not positive.
    pub fn new(side: usize, sigma: f64) -> Self {
        Self::with_border(side, sigma, Border::Reflect)
    }

    /// The same with another border.
    ///
    /// # Panics
    /// As [`Gaussian::new`].
    pub fn with_border(side: usize, sigma: f64, border: Border) -> Self {
        assert!(
            side % 2 == 1 && sigma > 0.0,
            "a Gaussian needs an odd side and a positive sigma, not {side} and {sigma}"
        );
        let reach = (side / 2) as f64;
        let weights: Vec<f64> =
            (0..side).map(|i| (-0.5 * ((i as f64 - reach) / sigma).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let weights: Vec<f32> = weights.iter().map(|w| (w / sum) as f32).collect();
        let mut padded = vec![0.0; weights.len() + 2 * (TOGETHER - 1)];
        padded[TOGETHER - 1..][..weights.len()].copy_from_slice(&weights);
        Self { weights, padded, rows: Vec::new(), border }
    }

    /// Blurs `map`, `[height, width]`, in place.
    ///
    /// # Panics
    /// If the length of `map` is not a multiple of `width`.
    pub fn run(&mut self, map: &mut [f32], width: usize) {
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        rows.extend_from_slice(map);
        parallel::each(rows.chunks_mut(ROWS * width), |rows| self.along_rows(rows, width));
        parallel::each(map.chunks_mut(ROWS * width).enumerate(), |(band, out)| {
            self.across_rows(&rows, width, band * ROWS, out);
        });
        self.rows = rows;
    }

    /// The first half of a blur: blurs every one of `rows`, `[n, width]`, along itself.
    ///
    /// # Panics
    /// If the length of `rows` is not a multiple of `width`.
    pub fn along_rows(&self, rows: &mut [f32], width: usize) {
        check(rows, width);
        let reach = self.weights.len() / 2;
        let mut padded = Buffer::new(width + 2 * reach);
        for row in rows.chunks_exact_mut(width) {
            padded[reach..reach + width].copy_from_slice(row);
            for i in 1..=reach {
                padded[reach - i] = row[self.border.place(-(i as isize), width)];
                padded[reach + width - 1 + i] = row[self.border.place((width - 1 + i) as isize, width)];
            }
            along(&padded, &self.weights, row);
        }
    }

    /// The second half: blurs `rows`, `[height, width]`, across, and fills `out` with the rows of the result from `first` on, as
    /// many as it holds.
    ///
    /// # Panics
    /// If a length is not a multiple of `width`.
    pub fn across_rows(&self, rows: &[f32], width: usize, first: usize, out: &mut [f32]) {
        check(rows, width);
        check(out, width);
        let (height, reach) = (rows.len() / width, self.weights.len() / 2);
        let mut places = vec![0; self.weights.len() + TOGETHER - 1];
        for (group, out) in out.chunks_mut(TOGETHER * width).enumerate() {
            let top = (first + group * TOGETHER) as isize - reach as isize;
            for (place, y) in places.iter_mut().zip(top..) {
                *place = self.border.place(y, height) * width;
            }
            across(rows, width, &places, &self.padded, out);
        }
    }
}

fn check(map: &[f32], width: usize) {
    assert!(
        width > 0 && map.len().is_multiple_of(width),
        "a map of width {width} cannot have {} values",
        map.len()
    );
}

impl Border {
    /// The place inside `0..length` that is seen at `i`.
    fn place(self, i: isize, length: usize) -> usize {
        if length == 1 {
            return 0;
        }
        let repeated = isize::from(self == Self::Symmetric);
        let period = 2 * (length as isize - 1 + repeated);
        let i = i.rem_euclid(period);
        i.min(period - repeated - i) as usize
    }
}

wide! {
    fn along(padded: &[f32], weights: &[f32], out: &mut [f32]) {
        let mut groups = out.chunks_exact_mut(LANES);
        let mut x = 0;
        for group in &mut groups {
            let mut sums = [0f32; LANES];
            for (k, &weight) in weights.iter().enumerate() {
                let source = &padded[x + k..x + k + LANES];
                for (sum, &value) in sums.iter_mut().zip(source) {
                    *sum += weight * value;
                }
            }
            group.copy_from_slice(&sums);
            x += LANES;
        }
        for (i, out) in groups.into_remainder().iter_mut().enumerate() {
            *out = weights.iter().zip(&padded[x + i..]).map(|(w, v)| w * v).sum();
        }
    }
}

wide! {
    /// One group of rows of the result, `[up to TOGETHER, width]`, from the rows that begin at `places`.
    fn across(rows: &[f32], width: usize, places: &[usize], weights: &[f32], out: &mut [f32]) {
        let whole = width / ACROSS * ACROSS;
        for x in (0..whole).step_by(ACROSS) {
            let [mut first, mut second, mut third, mut fourth] = [[0f32; ACROSS]; TOGETHER];
            // The second row of the group begins one row further down: it has the weight of the row before.
            for (&place, weights) in places.iter().zip(weights.windows(TOGETHER)) {
                let source = &rows[place + x..place + x + ACROSS];
                add(weights[3], source, &mut first);
                add(weights[2], source, &mut second);
                add(weights[1], source, &mut third);
                add(weights[0], source, &mut fourth);
            }
            for (out, sums) in out.chunks_exact_mut(width).zip([&first, &second, &third, &fourth]) {
                out[x..x + ACROSS].copy_from_slice(sums);
            }
        }
        let weights = &weights[TOGETHER - 1..];
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            for (x, out) in out.iter_mut().enumerate().skip(whole) {
                *out = places[i..].iter().zip(weights).map(|(&place, weight)| weight * rows[place + x]).sum();
            }
        }
    }
}

#[inline(always)]
fn add(weight: f32, source: &[f32], sums: &mut [f32; ACROSS]) {
    for (sum, &value) in sums.iter_mut().zip(source) {
        *sum += weight * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, one place at a time.
    fn plain(map: &[f32], width: usize, weights: &[f32], border: Border) -> Vec<f32> {
        let (height, reach) = (map.len() / width, (weights.len() / 2) as isize);
        let at = |y: isize, x: isize| map[border.place(y, height) * width + border.place(x, width)];
        (0..map.len())
            .map(|i| {
                let (y, x) = ((i / width) as isize, (i % width) as isize);
                let mut sum = 0.0;
                for (dy, wy) in (-reach..=reach).zip(weights) {
                    for (dx, wx) in (-reach..=reach).zip(weights) {
                        sum += wy * wx * at(y + dy, x + dx);
                    }
                }
                sum
            })
            .collect()
    }

    #[test]
    fn borders_mirror_as_they_say() {
        let seen = |border: Border, places: std::ops::Range<isize>| -> Vec<usize> {
            places.map(|i| border.place(i, 3)).collect()
        };
        assert_eq!(seen(Border::Reflect, -3..6), [1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(seen(Border::Symmetric, -4..7), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]);
        assert!([Border::Reflect, Border::Symmetric].iter().all(|border| border.place(-5, 1) == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn agrees_with_the_definition(
            height in 1usize..12, width in 1usize..140, reach in 0usize..9,
            seed in proptest::collection::vec(0f32..4.0, 12 * 140),
        ) {
            for border in [Border::Reflect, Border::Symmetric] {
                let mut map = seed[..height * width].to_vec();
                let mut blur = Gaussian::with_border(2 * reach + 1, 2.0, border);
                let expected = plain(&map, width, &blur.weights, border);
                blur.run(&mut map, width);
                for (found, expected) in map.iter().zip(&expected) {
                    prop_assert!((found - expected).abs() < 1e-4, "{found} != {expected}");
                }
            }
        }

        #[test]
        fn keeps_constants_and_the_range(
            height in 1usize..40, width in 1usize..90, sigma in 0.3f64..6.0,
            values in proptest::collection::vec(0f32..1.0, 40 * 90),
        ) {
            let mut blur = Gaussian::new(33, sigma);
            let mut constant = vec![0.5; height * width];
            blur.run(&mut constant, width);
            prop_assert!(constant.iter().all(|v| (v - 0.5).abs() < 1e-6));
            let mut map = values[..height * width].to_vec();
            let (low, high) = map.iter().fold((1f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
            blur.run(&mut map, width);
            prop_assert!(map.iter().all(|&v| v >= low - 1e-6 && v <= high + 1e-6));
        }
    }
}
