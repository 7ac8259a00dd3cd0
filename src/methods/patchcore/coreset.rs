//! The coreset: points chosen one by one, each the furthest from those before, so that no point is far from a chosen one.
//!
//! The distance of a point to the chosen ones, its anchor, only shrinks. So a point whose anchor of some rounds ago is below the
//! largest one of this round cannot be chosen, whatever has been chosen since, and need not be looked at: the result is
//! the same as that of looking at all points in every round, at a fraction of the work.

use crate::error::{Error, Result};
use crate::kernels::nearest::squared_difference;
use crate::kernels::parallel;
use crate::kernels::simd::wide;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use std::sync::atomic::{AtomicU64, Ordering};

/// Points to choose from, `[n, dimension]`.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// Values.
    pub values: &'a [f32],
    /// Values of a point.
    pub dimension: usize,
}

impl<'a> Points<'a> {
    /// Number of points.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn get(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dimension..][..self.dimension]
    }

    /// The start of the exact variant: the Euclidean norm of each point's distances to all points.
    ///
    /// `sum over j of |x_i - x_j|^2 = n |x_i - m|^2 + sum over j of |x_j - m|^2` with the mean m: no distance of pairs is needed.
    pub fn exact_start(&self) -> Vec<f32> {
        let count = self.len() as f64;
        let mut mean = vec![0f64; self.dimension];
        for point in self.values.chunks_exact(self.dimension) {
            mean.iter_mut().zip(point).for_each(|(mean, &value)| *mean += f64::from(value));
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        let square = |point: &[f32]| -> f64 {
            point.iter().zip(&mean).map(|(&value, mean)| (f64::from(value) - mean).powi(2)).sum()
        };
        let squares: Vec<f64> = self.values.chunks_exact(self.dimension).map(square).collect();
        let all: f64 = squares.iter().sum();
        squares.iter().map(|square| (count * square + all).sqrt() as f32).collect()
    }

    /// The start of the approximate variant: the mean distance to the points `starts`.
    pub fn approximate_start(&self, starts: &[usize]) -> Vec<f32> {
        let mut anchors = vec![0f32; self.len()];
        const BAND: usize = 1 << 12;
        parallel::each(anchors.chunks_mut(BAND).enumerate(), |(band, anchors)| {
            for (i, anchor) in anchors.iter_mut().enumerate() {
                let point = self.get(band * BAND + i);
                let distances = starts.iter().map(|&start| {
                    let mut square = f32::INFINITY;
                    approach(point, self.get(start), &mut square);
                    f64::from(square.sqrt())
                });
                *anchor = (distances.sum::<f64>() / starts.len() as f64) as f32;
            }
        });
        anchors
    }

    /// The distances to one point, which is the first chosen one then.
    pub fn distances(&self, point: usize) -> Vec<f32> {
        self.approximate_start(&[point])
    }
}

/// `count` different numbers below `limit` (all, if there are fewer).
pub fn draw(limit: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    rand::seq::index::sample(&mut random, limit, count.min(limit)).into_vec()
}

/// What has been chosen.
#[derive(Debug, PartialEq)]
pub struct Coreset {
    /// The chosen points, in the order of their choice.
    pub chosen: Vec<usize>,
    /// The largest anchor that is left.
    pub radius: f32,
}

/// Chooses points until there are `count`, or all anchors are `radius` or less.
///
/// `anchors` are the points' distances to what was chosen before, or another start. Of equal anchors the first point is chosen.
/// `after_each` is called after every choice, and may put an end to it.
///
/// # Errors
/// If an anchor is not a finite number, or `after_each` fails.
///
/// # Panics
/// If there is not one anchor a point.
pub fn greedy(
    points: Points<'_>,
    anchors: &[f32],
    count: usize,
    radius: f32,
    mut after_each: impl FnMut() -> Result<()>,
) -> Result<Coreset> {
    assert_eq!(anchors.len(), points.len(), "one anchor a point");
    if !anchors.iter().all(|anchor| anchor.is_finite())
        || !points.values.iter().all(|value| value.is_finite())
    {
        return Err(Error::Fit("a patch holds values that are not finite".into()));
    }
    let mut blocks: Vec<Block> =
        anchors.chunks(BLOCK).enumerate().map(|(i, anchors)| Block::new(i * BLOCK, anchors)).collect();
    let mut chosen = Vec::with_capacity(count);
    let mut centres: Vec<f32> = Vec::with_capacity(count * points.dimension);
    loop {
        let best = furthest(&mut blocks, points, &centres);
        let Some(best) = best.filter(|best| chosen.len() < count && best.anchor() > radius) else {
            let radius = best.map_or(0.0, Candidate::anchor);
            return Ok(Coreset { chosen, radius });
        };
        chosen.push(best.point());
        centres.extend_from_slice(points.get(best.point()));
        after_each()?;
    }
}

/// Points of a block.
const BLOCK: usize = 512;
/// Centres after which a point is looked at again whether it is still in the running.
const BATCH: usize = 16;

/// An anchor with its point, of which the larger is to be chosen: anchors are not negative, so that their bits are in
/// their order, and of equal ones the first point wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate(u64);

impl Candidate {
    fn new(square: f32, point: usize) -> Self {
        Self(u64::from(square.to_bits()) << 32 | u64::from(!(point as u32)))
    }

    fn point(self) -> usize {
        !(self.0 as u32) as usize
    }

    fn anchor(self) -> f32 {
        f32::from_bits((self.0 >> 32) as u32).sqrt()
    }
}

/// Some points in a row with their anchors.
struct Block {
    first: usize,
    /// Squares of the anchors as far as they are known.
    squares: Vec<f32>,
    /// The number of centres that each has been compared with.
    compared: Vec<u32>,
    /// Not less than any point of the block.
    bound: Candidate,
}

impl Block {
    fn new(first: usize, anchors: &[f32]) -> Self {
        let squares: Vec<f32> = anchors.iter().map(|anchor| anchor * anchor).collect();
        let mut block = Self { first, compared: vec![0; squares.len()], squares, bound: Candidate(0) };
        block.bound = block.largest();
        block
    }

    fn largest(&self) -> Candidate {
        let candidates = self.squares.iter().enumerate();
        candidates.map(|(i, &square)| Candidate::new(square, self.first + i)).max().unwrap_or(Candidate(0))
    }

    /// Brings the points up to date that may still be larger than `best`, and raises `best` to the largest one.
    fn refresh(&mut self, points: Points<'_>, centres: &[f32], best: &AtomicU64) {
        let count = centres.len() / points.dimension;
        for (i, (square, compared)) in self.squares.iter_mut().zip(&mut self.compared).enumerate() {
            let point = self.first + i;
            let mut floor = best.load(Ordering::Relaxed);
            while Candidate::new(*square, point).0 > floor {
                let from = *compared as usize;
                if from == count {
                    best.fetch_max(Candidate::new(*square, point).0, Ordering::Relaxed);
                    break;
                }
                let to = (from + BATCH).min(count);
                approach(points.get(point), &centres[from * points.dimension..to * points.dimension], square);
                *compared = to as u32;
                floor = best.load(Ordering::Relaxed);
            }
        }
        self.bound = self.largest();
    }
}

/// The point with the largest anchor, and its true anchor.
fn furthest(blocks: &mut [Block], points: Points<'_>, centres: &[f32]) -> Option<Candidate> {
    let best = AtomicU64::new(0);
    // The block that promises most alone first: what it holds spares most others.
    let first = blocks.iter_mut().max_by_key(|block| block.bound)?;
    first.refresh(points, centres, &best);
    let floor = best.load(Ordering::Relaxed);
    let mut others: Vec<&mut Block> = blocks.iter_mut().filter(|block| block.bound.0 > floor).collect();
    others.sort_unstable_by_key(|block| std::cmp::Reverse(block.bound));
    parallel::each(others.into_iter(), |block| {
        if block.bound.0 > best.load(Ordering::Relaxed) {
            block.refresh(points, centres, &best);
        }
    });
    Some(Candidate(best.into_inner()))
}

wide! {
    /// Lowers `square` to the smallest squared distance of `point` to one of `centres`.
    fn approach(point: &[f32], centres: &[f32], square: &mut f32) {
        for centre in centres.chunks_exact(point.len()) {
            let found = squared_difference(point, centre);
            *square = if found < *square { found } else { *square };
        }
    }
}

/// A random linear map to fewer dimensions, which nearly keeps the ratios of distances.
#[derive(Debug)]
pub struct Projection {
    from: usize,
    to: usize,
    /// `[from, to]`.
    matrix: Vec<f32>,
}

/// Columns of the result that are summed up together.
const COLUMNS: usize = 64;

impl Projection {
    /// From `from` to `to` dimensions, rounded up to whole registers; `None` if that would not be fewer, or `to` is 0.
    pub fn new(from: usize, to: usize, seed: u64) -> Option<Self> {
        if to == 0 || to >= from {
            return None;
        }
        let mut random = Xoshiro256Plus::seed_from_u64(seed);
        // Independent values of mean 0 and variance 1 / to.
        let limit = (3.0 / to as f32).sqrt();
        let matrix = (0..from * to).map(|_| random.gen_range(-limit..limit)).collect();
        Some(Self { from, to, matrix })
    }

    /// Dimension of the result.
    pub fn dimension(&self) -> usize {
        self.to
    }

    /// Projects `vectors`, `[n, from]`, into `out`, `[n, to]`.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn run(&self, vectors: &[f32], out: &mut [f32]) {
        assert_eq!(vectors.len() / self.from, out.len() / self.to, "as many vectors in as out");
        parallel::each(vectors.chunks(self.from * 32).zip(out.chunks_mut(self.to * 32)), |(vectors, out)| {
            for (vector, out) in vectors.chunks_exact(self.from).zip(out.chunks_exact_mut(self.to)) {
                multiply(vector, &self.matrix, out);
            }
        });
    }
}

wide! {
    fn multiply(vector: &[f32], matrix: &[f32], out: &mut [f32]) {
        let to = out.len();
        let mut first = 0;
        for out in out.chunks_mut(COLUMNS) {
            let mut sums = [0f32; COLUMNS];
            for (&value, row) in vector.iter().zip(matrix.chunks_exact(to)) {
                if let Some(row) = row[first..].first_chunk::<COLUMNS>() {
                    sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += value * weight);
                } else {
                    sums.iter_mut().zip(&row[first..]).for_each(|(sum, weight)| *sum += value * weight);
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
            first += COLUMNS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every point in every round.
    fn plain(points: Points<'_>, anchors: &[f32], count: usize) -> Vec<usize> {
        let mut squares: Vec<f32> = anchors.iter().map(|a| a * a).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count {
            let mut best = 0;
            for i in 1..squares.len() {
                if squares[i] > squares[best] {
                    best = i;
                }
            }
            if squares[best] == 0.0 {
                break;
            }
            chosen.push(best);
            for (i, square) in squares.iter_mut().enumerate() {
                approach(points.get(i), points.get(best), square);
            }
        }
        chosen
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn laziness_changes_nothing(
            values in proptest::collection::vec(-8i8..8, 3000..9000), dimension in 1usize..5, count in 1usize..200,
        ) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let values = &values[..values.len() / dimension * dimension];
            let points = Points { values, dimension };
            for anchors in [points.exact_start(), points.approximate_start(&[0, 5, 17]), points.distances(3)] {
                let found = greedy(points, &anchors, count, 0.0, || Ok(())).unwrap();
                prop_assert_eq!(&found.chosen, &plain(points, &anchors, count));
            }
        }
    }

    #[test]
    fn ends_at_the_radius_and_with_equal_points() {
        let line: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let points = Points { values: &line, dimension: 1 };
        let found = greedy(points, &points.distances(0), 100, 4.0, || Ok(())).unwrap();
        assert!(found.radius <= 4.0 && found.chosen.len() < 30, "{found:?}");
        assert_eq!(found.chosen[..2], [99, 49]);
        let same = vec![1.0; 3 * 700];
        let points = Points { values: &same, dimension: 3 };
        assert_eq!(
            greedy(points, &points.distances(5), 9, 0.0, || Ok(())).unwrap(),
            Coreset { chosen: vec![], radius: 0.0 }
        );
        assert!(greedy(points, &vec![f32::NAN; 700], 9, 0.0, || Ok(())).is_err());
    }

    #[test]
    fn the_exact_start_is_the_norm_of_the_distances() {
        let values: Vec<f32> = (0..60).map(|i| ((i * 37) % 23) as f32 * 0.3).collect();
        let points = Points { values: &values, dimension: 3 };
        for (i, found) in points.exact_start().into_iter().enumerate() {
            let norm = points.distances(i).iter().map(|d| d * d).sum::<f32>().sqrt();
            assert!((found - norm).abs() < 1e-4 * norm, "{found} {norm}");
        }
    }

    #[test]
    fn a_projection_nearly_keeps_distances() {
        let values: Vec<f32> = (0..20 * 1024).map(|i| ((i * 7919) % 1013) as f32 / 1013.0).collect();
        let projection = Projection::new(1024, 100, 1).unwrap();
        let mut out = vec![0.0; 20 * 100];
        projection.run(&values, &mut out);
        let (before, after) =
            (Points { values: &values, dimension: 1024 }, Points { values: &out, dimension: 100 });
        for (before, after) in before.distances(0).into_iter().zip(after.distances(0)).skip(1) {
            assert!((after / before - 1.0).abs() < 0.35, "{before} {after}");
        }
        assert!(Projection::new(16, 16, 0).is_none() && Projection::new(16, 0, 0).is_none());
    }
}
