//! Mahalanobis distances to a Gaussian at each place of a map.
//!
//! `distance^2 = (x - mean)' S^-1 (x - mean) = |W (x - mean)|^2`, where `W` is the inverse of the Cholesky factor of the covariance S.
//! A map has thousands of factors, far more than any cache holds: the time is that of reading them, so that each is read once for all
//! vectors that are compared with it, and kept in 16 bits but for its diagonal. What rounding changes of a distance is some
//! millionths of it.

use super::parallel;
use super::simd::wide;
use std::ops::{Range, RangeInclusive};
use std::sync::{Mutex, PoisonError};

/// Rows of a factor whose values lie side by side, and columns that share a step.
const BLOCK: usize = 8;
/// Eight columns of eight rows, and the size of a step in each row.
const SQUARE: usize = (BLOCK + 1) * BLOCK;
/// Vectors that are compared with a Gaussian at a time.
const VECTORS: usize = 4;
/// The largest number of steps.
const LEVELS: f64 = 32_767.0;

/// Number of levels of a packed factor of `channels` rows.
pub fn packed_len(channels: usize) -> usize {
    let blocks = channels.div_ceil(BLOCK);
    blocks * (blocks + 1) / 2 * SQUARE
}

/// A lower triangle in 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// Eight rows after the other, eight columns after the other up to the diagonal, `[9, 8]`: whole steps of each column's rows, then the
    /// size of a step in each row, itself in whole steps of the row. Zeros on the diagonal, above it and where there is no row.
    pub levels: Vec<i16>,
    /// The size of a step of the size of a step in each row.
    pub steps: Vec<f32>,
    /// The diagonal as it is.
    pub diagonal: Vec<f32>,
}

/// Packs a lower triangle, `[channels, channels]`.
pub fn pack(lower: &[f64], channels: usize) -> Factor {
    let largest = |row: usize, columns: Range<usize>| {
        let values = &lower[row * channels..][columns.start.min(row)..columns.end.min(row)];
        values.iter().fold(0.0, |most: f64, value| most.max(value.abs()))
    };
    let steps: Vec<f32> =
        (0..channels).map(|row| (largest(row, 0..row) / (LEVELS * LEVELS)) as f32).collect();
    let mut levels = vec![0; packed_len(channels)];
    let mut squares = levels.chunks_exact_mut(SQUARE);
    for block in 0..channels.div_ceil(BLOCK) {
        for (first, square) in (0..=block).map(|chunk| chunk * BLOCK).zip(&mut squares) {
            for row in block * BLOCK..channels.min((block + 1) * BLOCK) {
                let (lane, step) = (row % BLOCK, f64::from(steps[row]));
                let size = (largest(row, first..first + BLOCK) / LEVELS / step).ceil().clamp(1.0, LEVELS);
                if step == 0.0 {
                    continue;
                }
                square[BLOCK * BLOCK + lane] = size as i16;
                for column in first..row.min(first + BLOCK) {
                    let level = (lower[row * channels + column] / (size * step)).round();
                    square[(column - first) * BLOCK + lane] = level.clamp(-LEVELS, LEVELS) as i16;
                }
            }
        }
    }
    let diagonal = (0..channels).map(|row| lower[row * channels + row] as f32).collect();
    Factor { levels, steps, diagonal }
}

/// Gaussians at each place of a map, `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Gaussians<'a> {
    means: &'a [f32],
    levels: &'a [i16],
    steps: &'a [f32],
    diagonals: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Gaussians<'a> {
    /// Gaussians with `means`, `[height, width, channels]`, and factors (see [`Factor`]) of `levels`, `[height, width, packed_len]`, and
    /// `steps` and `diagonals`, `[height, width, channels]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn new(
        means: &'a [f32],
        (levels, steps, diagonals): (&'a [i16], &'a [f32], &'a [f32]),
        (height, width): (usize, usize),
        channels: usize,
    ) -> Self {
        let places = height * width;
        for (name, values) in [("means", means), ("steps", steps), ("diagonals", diagonals)] {
            assert_eq!(values.len(), places * channels, "{name} of {height}x{width}x{channels}");
        }
        assert_eq!(levels.len(), places * packed_len(channels), "factors of {channels} channels");
        Self { means, levels, steps, diagonals, height, width, channels }
    }

    /// The parts that lower `nearest` to the distances between `features`, `[height, width, channels]`, and the Gaussians whose rows and
    /// columns are off by one of `offsets`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn parts<'b>(
        &'b self,
        features: &'b [f32],
        offsets: RangeInclusive<isize>,
        nearest: &'b Nearest<'b>,
    ) -> impl ExactSizeIterator<Item = Part<'b>> + Send {
        assert_eq!(features.len(), self.means.len(), "features of the Gaussians' shape");
        assert_eq!(nearest.len, self.height * self.width, "a distance for each place");
        (0..self.height.div_ceil(ROWS)).map(move |band| Part {
            gaussians: self,
            features,
            offsets: offsets.clone(),
            rows: (band * ROWS, ((band + 1) * ROWS).min(self.height)),
            nearest,
        })
    }

    /// Fills `distances`, `[height, width]`; see [`Gaussians::parts`].
    ///
    /// # Panics
    /// As [`Gaussians::parts`].
    pub fn distances(&self, features: &[f32], offsets: RangeInclusive<isize>, distances: &mut [f32]) {
        distances.fill(f32::INFINITY);
        let nearest = Nearest::new(distances);
        parallel::each(self.parts(features, offsets, &nearest), Part::run);
    }

    /// The same by the definition, one place at a time; what the other is tested against.
    pub fn distances_plain(&self, features: &[f32], offsets: RangeInclusive<isize>, distances: &mut [f32]) {
        for (place, distance) in distances.iter_mut().enumerate() {
            let (y, x) = ((place / self.width) as isize, (place % self.width) as isize);
            let others = offsets.clone().flat_map(|dy| offsets.clone().map(move |dx| (y + dy, x + dx)));
            let inside = others.filter_map(|(y, x)| self.place(y, x));
            *distance =
                inside.map(|other| self.distance(features, place, other)).fold(f32::INFINITY, f32::min);
        }
    }

    fn distance(&self, features: &[f32], place: usize, other: usize) -> f32 {
        let d = self.channels;
        let Triangle { levels, steps, diagonal } = self.factor(other);
        let (vector, mean) = (&features[place * d..][..d], &self.means[other * d..][..d]);
        let centred = |c: usize| f64::from(vector[c] - mean[c]);
        let mut sum = 0f64;
        for row in 0..d {
            let (block, lane) = (row / BLOCK, row % BLOCK);
            let value = |column: usize| {
                let square = &levels[(block * (block + 1) / 2 + column / BLOCK) * SQUARE..];
                let [level, size] = [column % BLOCK, BLOCK].map(|at| f64::from(square[at * BLOCK + lane]));
                level * size * f64::from(steps[row])
            };
            let others: f64 = (0..row).map(|column| value(column) * centred(column)).sum();
            sum += (others + f64::from(diagonal[row]) * centred(row)).powi(2);
        }
        sum.sqrt() as f32
    }

    fn factor(&self, place: usize) -> Triangle<'a> {
        let (d, length) = (self.channels, packed_len(self.channels));
        Triangle {
            levels: &self.levels[place * length..][..length],
            steps: &self.steps[place * d..][..d],
            diagonal: &self.diagonals[place * d..][..d],
        }
    }

    fn place(&self, y: isize, x: isize) -> Option<usize> {
        let inside = (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        inside.then(|| y as usize * self.width + x as usize)
    }
}

/// A place's factor.
#[derive(Clone, Copy)]
struct Triangle<'a> {
    levels: &'a [i16],
    steps: &'a [f32],
    diagonal: &'a [f32],
}

/// Distances that several parts lower.
#[derive(Debug)]
pub struct Nearest<'a> {
    len: usize,
    values: Mutex<&'a mut [f32]>,
}

impl<'a> Nearest<'a> {
    /// Lowers `distances`, `[height, width]`, which begin at infinity.
    pub fn new(distances: &'a mut [f32]) -> Self {
        Self { len: distances.len(), values: Mutex::new(distances) }
    }

    /// The smallest is the same in whatever order parts come.
    fn lower(&self, first: usize, found: &[f32]) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        for (value, &found) in values[first..].iter_mut().zip(found) {
            *value = value.min(found);
        }
    }
}

/// Rows of Gaussians of a part.
const ROWS: usize = 2;

/// The Gaussians of some rows.
#[derive(Debug)]
pub struct Part<'a> {
    gaussians: &'a Gaussians<'a>,
    features: &'a [f32],
    offsets: RangeInclusive<isize>,
    rows: (usize, usize),
    nearest: &'a Nearest<'a>,
}

impl Part<'_> {
    /// Compares its Gaussians with the features around them.
    pub fn run(self) {
        let Self { gaussians, features, offsets, rows, nearest } = self;
        let (width, d) = (gaussians.width, gaussians.channels);
        // The features' rows that are off by one of the offsets from the Gaussians' rows.
        let first = (rows.0 as isize - offsets.end()).max(0) as usize;
        let end = ((rows.1 as isize - offsets.start()).max(0) as usize).min(gaussians.height);
        let found_len = end.saturating_sub(first) * width;
        let mut buffer = parallel::Buffer::new(found_len + VECTORS * d.next_multiple_of(BLOCK));
        let (found, centred) = buffer.split_at_mut(found_len);
        found.fill(f32::INFINITY);
        // Where there is no channel, it stays 0.
        centred.fill(0.0);
        let mut places = Vec::with_capacity(offsets.clone().count().pow(2));
        for other in rows.0 * width..rows.1 * width {
            let (y, x) = ((other / width) as isize, (other % width) as isize);
            places.clear();
            for dy in offsets.clone() {
                places.extend(offsets.clone().filter_map(|dx| gaussians.place(y - dy, x - dx)));
            }
            let factor = gaussians.factor(other);
            let mean = &gaussians.means[other * d..][..d];
            for places in places.chunks(VECTORS) {
                // A short group repeats its last vector.
                for v in 0..VECTORS {
                    let vector = &features[places[v.min(places.len() - 1)] * d..][..d];
                    for (c, (x, mean)) in vector.iter().zip(mean).enumerate() {
                        centred[c * VECTORS + v] = x - mean;
                    }
                }
                let mut squares = [0.0; VECTORS];
                if places.len() == 1 {
                    square(factor, centred, &mut squares);
                } else {
                    squares_of_four(factor, centred, &mut squares);
                }
                for (&place, square) in places.iter().zip(squares) {
                    let value = &mut found[place - first * width];
                    *value = value.min(square.sqrt());
                }
            }
        }
        nearest.lower(first * width, found);
    }
}

/// The values of a block's rows; 0 where there is no row.
#[inline(always)]
fn of_block(values: &[f32], block: usize) -> [f32; BLOCK] {
    let own = &values[block * BLOCK..];
    std::array::from_fn(|lane| own.get(lane).copied().unwrap_or(0.0))
}

wide! {
    /// The squared lengths of the factor's products with four vectors, `[channels in whole blocks, 4]`.
    fn squares_of_four(factor: Triangle<'_>, centred: &[f32], squares: &mut [f32; VECTORS]) {
        let (blocks, _) = centred.as_chunks::<VECTORS>().0.as_chunks::<BLOCK>();
        let (mut rest, _) = factor.levels.as_chunks::<BLOCK>().0.as_chunks::<{ BLOCK + 1 }>();
        let mut total = [[0f32; BLOCK]; VECTORS];
        for (block, own) in blocks.iter().enumerate() {
            let (row, below) = rest.split_at(block + 1);
            rest = below;
            let mut sums = [[0f32; BLOCK]; VECTORS];
            for (square, vectors) in row.iter().zip(blocks) {
                let [mut a, mut b, mut c, mut d] = [[0f32; BLOCK]; VECTORS];
                for (column, vector) in square.iter().zip(vectors) {
                    for lane in 0..BLOCK {
                        let level = f32::from(column[lane]);
                        a[lane] += level * vector[0];
                        b[lane] += level * vector[1];
                        c[lane] += level * vector[2];
                        d[lane] += level * vector[3];
                    }
                }
                for (sums, part) in sums.iter_mut().zip([a, b, c, d]) {
                    for lane in 0..BLOCK {
                        sums[lane] += f32::from(square[BLOCK][lane]) * part[lane];
                    }
                }
            }
            let (steps, diagonal) = (of_block(factor.steps, block), of_block(factor.diagonal, block));
            for (v, (total, sums)) in total.iter_mut().zip(sums).enumerate() {
                for lane in 0..BLOCK {
                    total[lane] += (steps[lane] * sums[lane] + diagonal[lane] * own[lane][v]).powi(2);
                }
            }
        }
        for (square, total) in squares.iter_mut().zip(total) {
            *square = total.iter().sum();
        }
    }
}

wide! {
    /// The same for the first of the vectors alone.
    fn square(factor: Triangle<'_>, centred: &[f32], squares: &mut [f32; VECTORS]) {
        let (blocks, _) = centred.as_chunks::<VECTORS>().0.as_chunks::<BLOCK>();
        let (mut rest, _) = factor.levels.as_chunks::<BLOCK>().0.as_chunks::<{ BLOCK + 1 }>();
        let mut total = [0f32; BLOCK];
        for (block, own) in blocks.iter().enumerate() {
            let (row, below) = rest.split_at(block + 1);
            rest = below;
            let mut sums = [0f32; BLOCK];
            for (square, vectors) in row.iter().zip(blocks) {
                // Two sums side by side, so that none waits for the last.
                let mut parts = [[0f32; BLOCK]; 2];
                for i in 0..BLOCK {
                    for lane in 0..BLOCK {
                        parts[i % 2][lane] += f32::from(square[i][lane]) * vectors[i][0];
                    }
                }
                for lane in 0..BLOCK {
                    sums[lane] += f32::from(square[BLOCK][lane]) * (parts[0][lane] + parts[1][lane]);
                }
            }
            let (steps, diagonal) = (of_block(factor.steps, block), of_block(factor.diagonal, block));
            for lane in 0..BLOCK {
                total[lane] += (steps[lane] * sums[lane] + diagonal[lane] * own[lane][0]).powi(2);
            }
        }
        squares[0] = total.iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn agrees_with_the_definition(
            height in 1usize..7, width in 1usize..7, channels in 1usize..45, low in -2isize..1, high in 0isize..3,
            values in proptest::collection::vec(-1f32..1.0, 4096),
        ) {
            let mut next = values.iter().copied().cycle();
            let mut take = |count: usize| -> Vec<f32> { next.by_ref().take(count).collect() };
            let places = height * width;
            let features = take(places * channels);
            let means = take(places * channels);
            let mut lower = vec![0.0; channels * channels];
            for (row, values) in lower.chunks_exact_mut(channels).enumerate() {
                let drawn = take(row + 1).into_iter().map(f64::from);
                values.iter_mut().zip(drawn).for_each(|(value, drawn)| *value = drawn);
                values[row] = 0.01 + values[row].abs();
            }
            let factor = pack(&lower, channels);
            prop_assert_eq!((factor.levels.len(), factor.steps.len()), (packed_len(channels), channels));
            let [steps, diagonals] = [&factor.steps, &factor.diagonal].map(|values| values.repeat(places));
            let levels = factor.levels.repeat(places);
            let gaussians = Gaussians::new(&means, (&levels, &steps, &diagonals), (height, width), channels);
            // What is packed is the triangle, but for rounding.
            let exact: f64 = (0..channels)
                .map(|row| {
                    let product = |c: usize| lower[row * channels + c] * f64::from(features[c] - means[c]);
                    (0..=row).map(product).sum::<f64>().powi(2)
                })
                .sum::<f64>()
                .sqrt();
            let packed = f64::from(gaussians.distance(&features, 0, 0));
            prop_assert!((packed - exact).abs() <= 2e-5 * exact.max(1.0), "{packed} {exact}");
            let (mut found, mut expected) = (vec![0.0; places], vec![0.0; places]);
            gaussians.distances(&features, low..=high, &mut found);
            gaussians.distances_plain(&features, low..=high, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-4 * expected.max(1.0), "{found} != {expected}");
            }
        }
    }
}
