//! Mahalanobis distances to a Gaussian at each place of a map.
//!
//! `distance^2 = (x - mean)' S^-1 (x - mean) = |W (x - mean)|^2`, where `W` is the inverse of the Cholesky factor of the covariance S.
//! A map has thousands of factors, far more than any cache holds: the time is that of reading them, so that each is read once for all
//! vectors that are compared with it.

use super::parallel;
use super::simd::{prefetch_for_later, wide};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// Rows of a factor whose values lie side by side.
const BLOCK: usize = 8;
/// Values of the next factor that are asked for at a time.
const AHEAD: usize = 64;
/// Vectors that are compared with a Gaussian at a time.
const VECTORS: usize = 4;

/// Number of values of a packed factor of `channels` rows.
pub fn packed_len(channels: usize) -> usize {
    (0..channels.div_ceil(BLOCK)).map(|block| columns(block, channels) * BLOCK).sum()
}

/// Columns that the rows of a block reach.
fn columns(block: usize, channels: usize) -> usize {
    ((block + 1) * BLOCK).min(channels)
}

/// Packs a lower triangle, `[channels, channels]`: eight rows at a time, `[columns, 8]`, with zeros above the diagonal.
pub fn pack(lower: &[f64], channels: usize) -> Vec<f32> {
    let mut packed = Vec::with_capacity(packed_len(channels));
    for block in 0..channels.div_ceil(BLOCK) {
        for column in 0..columns(block, channels) {
            packed.extend((block * BLOCK..(block + 1) * BLOCK).map(|row| {
                if row < channels && column <= row { lower[row * channels + column] as f32 } else { 0.0 }
            }));
        }
    }
    packed
}

/// The diagonal of a packed factor.
pub fn diagonal(packed: &[f32], channels: usize) -> impl Iterator<Item = f32> {
    let mut start = 0;
    (0..channels.div_ceil(BLOCK)).flat_map(move |block| {
        let first = start;
        start += columns(block, channels) * BLOCK;
        (block * BLOCK..columns(block, channels)).map(move |row| packed[first + row * BLOCK + row % BLOCK])
    })
}

/// Gaussians at each place of a map, `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub struct Gaussians<'a> {
    means: &'a [f32],
    factors: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
}

impl<'a> Gaussians<'a> {
    /// Gaussians with `means`, `[height, width, channels]`, and packed `factors`, `[height, width, packed_len]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn new(
        means: &'a [f32],
        factors: &'a [f32],
        (height, width): (usize, usize),
        channels: usize,
    ) -> Self {
        assert_eq!(means.len(), height * width * channels, "means of {height}x{width}x{channels}");
        assert_eq!(factors.len(), height * width * packed_len(channels), "factors of {channels} channels");
        Self { means, factors, height, width, channels }
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
        let factor = &self.factors[other * packed_len(d)..][..packed_len(d)];
        let (vector, mean) = (&features[place * d..][..d], &self.means[other * d..][..d]);
        let (mut start, mut sum) = (0, 0f64);
        for row in 0..d {
            if row > 0 && row % BLOCK == 0 {
                start += columns(row / BLOCK - 1, d) * BLOCK;
            }
            let product = |c: usize| {
                f64::from(factor[start + c * BLOCK + row % BLOCK]) * f64::from(vector[c] - mean[c])
            };
            sum += (0..=row).map(product).sum::<f64>().powi(2);
        }
        sum.sqrt() as f32
    }

    fn place(&self, y: isize, x: isize) -> Option<usize> {
        let inside = (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        inside.then(|| y as usize * self.width + x as usize)
    }
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
        let mut buffer = parallel::Buffer::new(found_len + VECTORS * d);
        let (found, centred) = buffer.split_at_mut(found_len);
        found.fill(f32::INFINITY);
        let mut places = Vec::with_capacity(offsets.clone().count().pow(2));
        for other in rows.0 * width..rows.1 * width {
            let (y, x) = ((other / width) as isize, (other % width) as isize);
            places.clear();
            for dy in offsets.clone() {
                places.extend(offsets.clone().filter_map(|dx| gaussians.place(y - dy, x - dx)));
            }
            let (factor, later) = gaussians.factors[other * packed_len(d)..].split_at(packed_len(d));
            let later = &later[..later.len().min(packed_len(d))];
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
                    square(factor, later, centred, &mut squares);
                } else {
                    squares_of_four(factor, later, centred, &mut squares);
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

wide! {
    /// The squared lengths of the factor's products with four vectors, `[channels, 4]`. The factor `later` is asked for from memory
    /// meanwhile, bit by bit: the processor's own foresight ends with each page of 4 KB.
    fn squares_of_four(factor: &[f32], later: &[f32], centred: &[f32], squares: &mut [f32; VECTORS]) {
        let (vectors, _) = centred.as_chunks::<VECTORS>();
        let (columns, _) = factor.as_chunks::<BLOCK>();
        let mut later = later.chunks(AHEAD);
        let mut total = [[0f32; BLOCK]; VECTORS];
        let mut rest = columns;
        for block in 0..vectors.len().div_ceil(BLOCK) {
            let (columns, below) = rest.split_at(((block + 1) * BLOCK).min(vectors.len()));
            rest = below;
            // Two sums for each vector, of the columns with even and with odd numbers, so that none waits for the last.
            let mut sums = [[[0f32; BLOCK]; VECTORS]; 2];
            for (columns, vectors) in columns.chunks(AHEAD / BLOCK).zip(vectors.chunks(AHEAD / BLOCK)) {
                prefetch_for_later(later.next().unwrap_or_default());
                let ((columns, last), (vectors, last_vector)) = (columns.as_chunks::<2>(), vectors.as_chunks::<2>());
                for (columns, vectors) in columns.iter().zip(vectors) {
                    for ((sums, column), vector) in sums.iter_mut().zip(columns).zip(vectors) {
                        for (sums, value) in sums.iter_mut().zip(vector) {
                            for lane in 0..BLOCK {
                                sums[lane] += column[lane] * value;
                            }
                        }
                    }
                }
                for (column, vector) in last.iter().zip(last_vector) {
                    for (sums, value) in sums[0].iter_mut().zip(vector) {
                        for lane in 0..BLOCK {
                            sums[lane] += column[lane] * value;
                        }
                    }
                }
            }
            let [even, odd] = sums;
            for ((total, even), odd) in total.iter_mut().zip(even).zip(odd) {
                for ((total, even), odd) in total.iter_mut().zip(even).zip(odd) {
                    *total += (even + odd) * (even + odd);
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
    fn square(factor: &[f32], later: &[f32], centred: &[f32], squares: &mut [f32; VECTORS]) {
        let (vectors, _) = centred.as_chunks::<VECTORS>();
        let (columns, _) = factor.as_chunks::<BLOCK>();
        let mut later = later.chunks(VECTORS * BLOCK);
        let mut total = [0f32; BLOCK];
        let mut rest = columns;
        for block in 0..vectors.len().div_ceil(BLOCK) {
            let (columns, below) = rest.split_at(((block + 1) * BLOCK).min(vectors.len()));
            rest = below;
            // Four sums side by side, so that none waits for the last.
            let mut sums = [[0f32; BLOCK]; VECTORS];
            let ((columns, columns_rest), (vectors, vectors_rest)) =
                (columns.as_chunks::<VECTORS>(), vectors.as_chunks::<VECTORS>());
            for (columns, vectors) in columns.iter().zip(vectors) {
                prefetch_for_later(later.next().unwrap_or_default());
                for ((sum, column), vector) in sums.iter_mut().zip(columns).zip(vectors) {
                    for lane in 0..BLOCK {
                        sum[lane] += column[lane] * vector[0];
                    }
                }
            }
            if !columns_rest.is_empty() {
                let at = columns.len() * VECTORS;
                for (column, vector) in columns_rest.iter().zip(vectors.as_flattened()[at..].iter().chain(vectors_rest)) {
                    for lane in 0..BLOCK {
                        sums[0][lane] += column[lane] * vector[0];
                    }
                }
            }
            for lane in 0..BLOCK {
                let sum = sums[0][lane] + sums[1][lane] + sums[2][lane] + sums[3][lane];
                total[lane] += sum * sum;
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
            let lower: Vec<f64> = take(channels * channels).into_iter().map(f64::from).collect();
            let factor = pack(&lower, channels);
            prop_assert_eq!(factor.len(), packed_len(channels));
            let of_diagonal: Vec<f32> = (0..channels).map(|i| lower[i * channels + i] as f32).collect();
            prop_assert_eq!(diagonal(&factor, channels).collect::<Vec<_>>(), of_diagonal);
            let factors = factor.repeat(places);
            let gaussians = Gaussians::new(&means, &factors, (height, width), channels);
            let (mut found, mut expected) = (vec![0.0; places], vec![0.0; places]);
            gaussians.distances(&features, low..=high, &mut found);
            gaussians.distances_plain(&features, low..=high, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-4 * expected.max(1.0), "{found} != {expected}");
            }
        }
    }
}
