//! Mahalanobis distances to a Gaussian at each place of a map.
//!
//! `distance^2 = (x - mean)' S^-1 (x - mean) = |W (x - mean)|^2`, where `W` is the inverse of the Cholesky factor of the covariance S.
//! A map has thousands of factors, far more than any cache holds: the time is that of reading them, so that each is read once for all
//! vectors that are compared with it, and kept in 16 bits but for its diagonal. What rounding changes of a distance is some
//! hundred thousandths of it.

use super::parallel;
use super::simd::{prefetch_for_later, wide};
use half::bf16;
use std::ops::{Range, RangeInclusive};
use std::sync::{Mutex, PoisonError};

/// Rows of a factor whose values lie side by side.
const ROWS: usize = 8;
/// Columns whose values have a common step in each row.
const COLUMNS: usize = 4;
/// Values of a tile: its columns, `[4, 8]`, in whole steps, and the size of a step in each of the eight rows.
const TILE: usize = (COLUMNS + 1) * ROWS;
/// Vectors that are compared with a Gaussian at a time.
const VECTORS: usize = 4;
/// The largest number of steps.
const LEVELS: f64 = 32_767.0;

/// Number of values of a packed factor of `channels` rows.
pub fn packed_len(channels: usize) -> usize {
    (0..channels.div_ceil(ROWS)).map(|block| tiles(block) * TILE).sum()
}

/// Tiles of a block of rows: those up to the diagonal.
fn tiles(block: usize) -> usize {
    (block + 1) * ROWS / COLUMNS
}

/// A lower triangle in 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Factor {
    /// The triangle without its diagonal: eight rows after the other, tiles of four columns after the other up to the diagonal. Zeros on the
    /// diagonal, above it and where there is no row. The size of a step is the upper half of an f32.
    pub packed: Vec<i16>,
    /// The diagonal.
    pub diagonal: Vec<f32>,
}

/// Packs a lower triangle, `[channels, channels]`.
pub fn pack(lower: &[f64], channels: usize) -> Factor {
    let mut packed = vec![0; packed_len(channels)];
    let mut all = packed.chunks_exact_mut(TILE);
    for block in 0..channels.div_ceil(ROWS) {
        for (tile, packed) in (0..tiles(block)).zip(&mut all) {
            for row in block * ROWS..channels.min((block + 1) * ROWS) {
                pack_row(
                    lower,
                    channels,
                    row,
                    tile * COLUMNS..row.min((tile + 1) * COLUMNS),
                    row % ROWS,
                    packed,
                );
            }
        }
    }
    let diagonal = (0..channels).map(|row| lower[row * channels + row] as f32).collect();
    Factor { packed, diagonal }
}

/// Packs some columns of a row into the `lane` of its tile.
fn pack_row(
    lower: &[f64],
    channels: usize,
    row: usize,
    columns: Range<usize>,
    lane: usize,
    tile: &mut [i16],
) {
    let value = |column: usize| lower[row * channels + column];
    let largest = columns.clone().map(value).fold(0.0, |most: f64, value| most.max(value.abs()));
    let step = round_up(largest / LEVELS);
    if step == bf16::ZERO {
        return;
    }
    for (place, column) in columns.enumerate() {
        let level = (value(column) / step.to_f64()).round();
        tile[place * ROWS + lane] = level.clamp(-LEVELS, LEVELS) as i16;
    }
    tile[COLUMNS * ROWS + lane] = step.to_bits() as i16;
}

/// The smallest bf16 that is not less.
fn round_up(value: f64) -> bf16 {
    let near = bf16::from_f64(value);
    if near.to_f64() < value { bf16::from_bits(near.to_bits() + 1) } else { near }
}

/// The size of a step.
#[inline(always)]
fn step(bits: i16) -> f32 {
    f32::from_bits(u32::from(bits as u16) << 16)
}

/// Whether all steps of packed factors are finite.
pub fn is_finite(packed: &[i16]) -> bool {
    packed.chunks_exact(TILE).all(|tile| tile[COLUMNS * ROWS..].iter().all(|&bits| step(bits).is_finite()))
}

/// Gaussians at each place of a map, `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Gaussians<'a> {
    means: &'a [f32],
    factors: &'a [i16],
    diagonals: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Gaussians<'a> {
    /// Gaussians with `means`, `[height, width, channels]`, and packed `factors`, `[height, width, packed_len]`, with their `diagonals`,
    /// `[height, width, channels]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn new(
        means: &'a [f32],
        (factors, diagonals): (&'a [i16], &'a [f32]),
        (height, width): (usize, usize),
        channels: usize,
    ) -> Self {
        for (name, values) in [("means", means), ("diagonals", diagonals)] {
            assert_eq!(values.len(), height * width * channels, "{name} of {height}x{width}x{channels}");
        }
        assert_eq!(factors.len(), height * width * packed_len(channels), "factors of {channels} channels");
        Self { means, factors, diagonals, height, width, channels }
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
        (0..self.height.div_ceil(BAND)).map(move |band| Part {
            gaussians: self,
            features,
            offsets: offsets.clone(),
            rows: (band * BAND, ((band + 1) * BAND).min(self.height)),
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
        let factor = self.factor(other);
        let (vector, mean) = (&features[place * d..][..d], &self.means[other * d..][..d]);
        let centred = |c: usize| f64::from(vector[c] - mean[c]);
        let mut sum = 0f64;
        for row in 0..d {
            let (block, lane) = (row / ROWS, row % ROWS);
            let block = &factor.packed[(0..block).map(|block| tiles(block) * TILE).sum()..];
            let value = |column: usize| {
                let tile = &block[column / COLUMNS * TILE..];
                let level = tile[column % COLUMNS * ROWS + lane];
                f64::from(level) * f64::from(step(tile[COLUMNS * ROWS + lane]))
            };
            let others: f64 = (0..row).map(|column| value(column) * centred(column)).sum();
            sum += (others + f64::from(factor.diagonal[row]) * centred(row)).powi(2);
        }
        sum.sqrt() as f32
    }

    fn factor(&self, place: usize) -> Triangle<'a> {
        let (d, length) = (self.channels, packed_len(self.channels));
        let (packed, later) = self.factors[place * length..].split_at(length);
        Triangle {
            packed,
            diagonal: &self.diagonals[place * d..][..d],
            later: &later[..later.len().min(length)],
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
    packed: &'a [i16],
    diagonal: &'a [f32],
    /// The factor of the next place, which is asked for from memory while this one is in use: the processor's own foresight ends with
    /// each page of 4 KB.
    later: &'a [i16],
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

/// Rows of the map in a part.
const BAND: usize = 2;

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
        let mut buffer = parallel::Buffer::new(found_len + VECTORS * d.next_multiple_of(ROWS));
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
                // A short group repeats its last vector, unless it is one alone.
                for v in 0..if places.len() == 1 { 1 } else { VECTORS } {
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
fn of_block(values: &[f32], block: usize) -> [f32; ROWS] {
    let own = &values[block * ROWS..];
    std::array::from_fn(|lane| own.get(lane).copied().unwrap_or(0.0))
}

wide! {
    /// The squared lengths of the factor's products with four vectors, `[channels in whole blocks, 4]`.
    fn squares_of_four(factor: Triangle<'_>, centred: &[f32], squares: &mut [f32; VECTORS]) {
        lengths::<VECTORS>(factor, centred, squares);
    }
}

wide! {
    /// The same for the first of the vectors alone.
    fn square(factor: Triangle<'_>, centred: &[f32], squares: &mut [f32; VECTORS]) {
        lengths::<1>(factor, centred, squares);
    }
}

/// The squared lengths of the factor's products with the first `COUNT` vectors of `centred`, `[channels in whole blocks, 4]`.
#[inline(always)]
fn lengths<const COUNT: usize>(factor: Triangle<'_>, centred: &[f32], squares: &mut [f32; VECTORS]) {
    let (vectors, _) = centred.as_chunks::<VECTORS>();
    let (columns, own) = (vectors.as_chunks::<COLUMNS>().0, vectors.as_chunks::<ROWS>().0);
    let (mut rest, _) = factor.packed.as_chunks::<ROWS>().0.as_chunks::<{ COLUMNS + 1 }>();
    let mut later = factor.later.chunks(TILE);
    let mut total = [[0f32; ROWS]; COUNT];
    for (block, own) in own.iter().enumerate() {
        let (row, below) = rest.split_at(tiles(block));
        rest = below;
        let mut sums = [[0f32; ROWS]; COUNT];
        for (tile, vectors) in row.iter().zip(columns) {
            prefetch_for_later(later.next().unwrap_or_default());
            // Sums of a tile wait for none before them.
            let mut parts = [[0f32; ROWS]; COUNT];
            for (column, vector) in tile.iter().zip(vectors) {
                for (part, value) in parts.iter_mut().zip(vector) {
                    for lane in 0..ROWS {
                        part[lane] += f32::from(column[lane]) * value;
                    }
                }
            }
            for (sums, part) in sums.iter_mut().zip(parts) {
                for lane in 0..ROWS {
                    sums[lane] += step(tile[COLUMNS][lane]) * part[lane];
                }
            }
        }
        let diagonal = of_block(factor.diagonal, block);
        for (v, (total, sums)) in total.iter_mut().zip(sums).enumerate() {
            for lane in 0..ROWS {
                let sum = sums[lane] + diagonal[lane] * own[lane][v];
                total[lane] += sum * sum;
            }
        }
    }
    for (square, total) in squares.iter_mut().zip(total) {
        *square = total.iter().sum();
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
            prop_assert!(factor.packed.len() == packed_len(channels) && is_finite(&factor.packed));
            let (factors, diagonals) = (factor.packed.repeat(places), factor.diagonal.repeat(places));
            let gaussians = Gaussians::new(&means, (&factors, &diagonals), (height, width), channels);
            // What is packed is the triangle, but for rounding.
            let exact: f64 = (0..channels)
                .map(|row| {
                    let product = |c: usize| lower[row * channels + c] * f64::from(features[c] - means[c]);
                    (0..=row).map(product).sum::<f64>().powi(2)
                })
                .sum::<f64>()
                .sqrt();
            let packed = f64::from(gaussians.distance(&features, 0, 0));
            prop_assert!((packed - exact).abs() <= 3e-5 * exact.max(1.0), "{packed} {exact}");
            let (mut found, mut expected) = (vec![0.0; places], vec![0.0; places]);
            gaussians.distances(&features, low..=high, &mut found);
            gaussians.distances_plain(&features, low..=high, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-4 * expected.max(1.0), "{found} != {expected}");
            }
        }
    }

    #[test]
    fn steps_are_as_small_as_they_can_be_and_never_too_small() {
        for value in [1e-30, 3.1e-5, 1.0, 1.001, 2.0, 77.7] {
            let step = round_up(value).to_f64();
            assert!(step >= value && step <= value * (1.0 + 1.0 / 128.0), "{step} for {value}");
        }
        let (zero, mut spoilt) = (pack(&[2.0, 0.0, 0.0, 2.0], 2), vec![0; TILE]);
        assert!(zero.packed.iter().all(|&level| level == 0) && zero.diagonal == [2.0, 2.0]);
        spoilt[COLUMNS * ROWS] = bf16::INFINITY.to_bits() as i16;
        assert!(!is_finite(&spoilt) && is_finite(&zero.packed));
    }
}
