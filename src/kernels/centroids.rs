//! Euclidean distance from each vector to the nearest of some centroids.

use super::parallel;
use super::simd::wide;

/// Centroids side by side in a vector, and vectors that are compared with them together.
const LANES: usize = 32;
const TOGETHER: usize = 4;
/// Vectors of a part of the work.
const PART: usize = 4 * TOGETHER;

/// Centroids, laid out for the search.
#[derive(Clone, Debug)]
pub struct Centroids {
    channels: usize,
    values: Vec<f32>,
    /// Groups of [`LANES`] centroids: `-|c|^2 / 2` of each, then `[channels, LANES]`.
    groups: Vec<f32>,
}

impl Centroids {
    /// Takes `[count, channels]` values.
    ///
    /// # Panics
    /// If there is no centroid, or a number of values that `channels` does not divide.
    pub fn new(values: Vec<f32>, channels: usize) -> Self {
        assert!(
            !values.is_empty() && values.len().is_multiple_of(channels),
            "centroids of {channels} channels"
        );
        let count = values.len() / channels;
        let mut groups = Vec::new();
        for first in (0..count).step_by(LANES) {
            // The last group repeats its last centroid.
            let all = (first..first + LANES).map(|i| &values[i.min(count - 1) * channels..][..channels]);
            groups.extend(all.clone().map(|c| -0.5 * c.iter().map(|v| v * v).sum::<f32>()));
            for channel in 0..channels {
                groups.extend(all.clone().map(|centroid| centroid[channel]));
            }
        }
        Self { channels, values, groups }
    }

    /// Fills `distances` with the distance of each of `vectors`, `[n, channels]`, to its nearest centroid.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn distances(&self, vectors: &[f32], distances: &mut [f32]) {
        assert_eq!(vectors.len(), distances.len() * self.channels, "vectors of {} channels", self.channels);
        let parts = vectors.chunks(PART * self.channels).zip(distances.chunks_mut(PART));
        parallel::each(parts, |(vectors, distances)| {
            let all = distances.iter_mut().zip(vectors.chunks_exact(self.channels)).zip(self.search(vectors));
            for ((distance, vector), index) in all {
                let centroid = &self.values[index * self.channels..][..self.channels];
                // From the difference itself: that of large numbers would leave little of a small distance.
                *distance = vector.iter().zip(centroid).map(|(x, c)| (x - c).powi(2)).sum::<f32>().sqrt();
            }
        });
    }

    /// Fills `indices` with the number of the centroid nearest to each of `vectors`, `[n, channels]`.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn nearest(&self, vectors: &[f32], indices: &mut [usize]) {
        assert_eq!(vectors.len(), indices.len() * self.channels, "vectors of {} channels", self.channels);
        let parts = vectors.chunks(PART * self.channels).zip(indices.chunks_mut(PART));
        parallel::each(parts, |(vectors, indices)| {
            indices.iter_mut().zip(self.search(vectors)).for_each(|(index, found)| *index = found);
        });
    }

    /// The number of the centroid nearest to each vector of a part; what follows for a short one is repeated.
    fn search(&self, vectors: &[f32]) -> [usize; PART] {
        let (d, count) = (self.channels, vectors.len() / self.channels);
        let mut best = [(f32::NEG_INFINITY, 0); PART];
        // Many centroids do not fit into a core's own memory, the vectors do: each group of centroids is read once.
        for (number, group) in self.groups.chunks_exact((d + 1) * LANES).enumerate() {
            let (fours, _) = best.as_chunks_mut::<TOGETHER>();
            for (four, best) in fours.iter_mut().enumerate().take(count.div_ceil(TOGETHER)) {
                // A short group repeats its last vector.
                let vector = |i: usize| &vectors[(four * TOGETHER + i).min(count - 1) * d..][..d];
                nearest(group, number * LANES, &std::array::from_fn(vector), best);
            }
        }
        // The last group repeats its last centroid.
        let last = self.values.len() / d - 1;
        best.map(|(_, index)| index.min(last))
    }
}

wide! {
    /// The largest `<x, c> - |c|^2 / 2`, which belongs to the smallest `|x - c|`, and its centroid, if one of this group, whose first has the number
    /// `first`, has a larger one.
    fn nearest(group: &[f32], first: usize, vectors: &[&[f32]; TOGETHER], best: &mut [(f32, usize); TOGETHER]) {
        let (rows, _) = group.as_chunks::<LANES>();
        let Some((start, rows)) = rows.split_first() else { return };
        let [mut a, mut b, mut c, mut d] = [*start; TOGETHER];
        let all = rows.iter().zip(vectors[0]).zip(vectors[1]).zip(vectors[2]).zip(vectors[3]);
        for ((((row, x0), x1), x2), x3) in all {
            for lane in 0..LANES {
                a[lane] += row[lane] * x0;
                b[lane] += row[lane] * x1;
                c[lane] += row[lane] * x2;
                d[lane] += row[lane] * x3;
            }
        }
        for (best, sums) in best.iter_mut().zip([a, b, c, d]) {
            for (lane, sum) in sums.into_iter().enumerate() {
                if sum > best.0 {
                    *best = (sum, first + lane);
                }
            }
        }
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
            count in 1usize..90, vectors in 1usize..300, channels in 1usize..20,
            values in proptest::collection::vec(-2f32..2.0, 7919),
        ) {
            let mut next = values.iter().copied().cycle();
            let centroids: Vec<f32> = next.by_ref().take(count * channels).collect();
            let vectors: Vec<f32> = next.take(vectors * channels).collect();
            let (mut found, mut nearest) = (vec![0.0; vectors.len() / channels], vec![0; vectors.len() / channels]);
            let search = Centroids::new(centroids.clone(), channels);
            search.distances(&vectors, &mut found);
            search.nearest(&vectors, &mut nearest);
            for ((vector, found), nearest) in vectors.chunks_exact(channels).zip(found).zip(nearest) {
                let distance =
                    |c: &[f32]| c.iter().zip(vector).map(|(c, x)| (c - x).powi(2)).sum::<f32>().sqrt();
                let expected = centroids.chunks_exact(channels).map(distance).fold(f32::INFINITY, f32::min);
                prop_assert!((found - expected).abs() < 1e-4, "{found} != {expected}");
                let of_nearest = distance(&centroids[nearest * channels..][..channels]);
                prop_assert!((of_nearest - expected).abs() < 1e-4, "{of_nearest} != {expected}");
            }
        }
    }
}
