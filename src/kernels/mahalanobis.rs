//! Mahalanobis distances to a Gaussian at each place of a map.
//!
//! `distance^2 = (x - mean)' S^-1 (x - mean) = |W (x - mean)|^2`, where `W` is the inverse of the Cholesky factor of the covariance S.
//! A map has thousands of factors, far more than any cache holds: the time is that of reading them, so that each is read once for all
//! vectors that are compared with it, and kept in 16 bits but for its diagonal. What rounding changes of a distance is some
//! hundred thousandths of it.

use super::parallel;
use packed::{COLUMNS, ROWS, TILE, step};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
mod avx2;
mod packed;
mod plain;

pub use packed::{Factor, is_finite, pack, packed_len};

/// Vectors that are compared with a Gaussian at a time.
const VECTORS: usize = 4;

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
            let lane = row % ROWS;
            let block = &factor.packed[packed_len(row - lane)..];
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
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the plain code asks for nothing ahead")
    )]
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
        let length = d.next_multiple_of(ROWS);
        let mut buffer = parallel::Buffer::new(found_len + VECTORS * length);
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
                let count = if places.len() == 1 { 1 } else { VECTORS };
                for (v, centred) in centred.chunks_exact_mut(length).enumerate().take(count) {
                    let vector = &features[places[v.min(places.len() - 1)] * d..][..d];
                    for ((centred, x), mean) in centred.iter_mut().zip(vector).zip(mean) {
                        *centred = x - mean;
                    }
                }
                let squares = squares(factor, centred, count);
                for (&place, square) in places.iter().zip(squares) {
                    let value = &mut found[place - first * width];
                    *value = value.min(square.sqrt());
                }
            }
        }
        nearest.lower(first * width, found);
    }
}

/// The squared lengths of the factor's products with the first `count` vectors, 1 or all of `centred`, `[4, channels in whole blocks]`.
fn squares(factor: Triangle<'_>, centred: &[f32], count: usize) -> [f32; VECTORS] {
    #[cfg(target_arch = "x86_64")]
    if super::simd::has_avx2() {
        // SAFETY: the processor has the features.
        return unsafe {
            if count == 1 {
                avx2::squares::<1>(factor, centred)
            } else {
                avx2::squares::<VECTORS>(factor, centred)
            }
        };
    }
    plain::squares(factor, centred, count)
}

/// The values of a block's rows; 0 where there is no row.
fn of_block(values: &[f32], block: usize) -> [f32; ROWS] {
    let own = &values[block * ROWS..];
    std::array::from_fn(|lane| own.get(lane).copied().unwrap_or(0.0))
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
            let centred = take(VECTORS * channels.next_multiple_of(ROWS));
            let fast = squares(gaussians.factor(0), &centred, VECTORS);
            let plain = plain::squares(gaussians.factor(0), &centred, VECTORS);
            for (fast, plain) in fast.iter().zip(plain) {
                prop_assert!((fast - plain).abs() <= 1e-5 * plain.max(0.01), "{fast} != {plain}");
            }
            let (mut found, mut expected) = (vec![0.0; places], vec![0.0; places]);
            gaussians.distances(&features, low..=high, &mut found);
            gaussians.distances_plain(&features, low..=high, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-4 * expected.max(1.0), "{found} != {expected}");
            }
        }
    }
}
