//! Code books: k-means on patch vectors.

use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use rayon::prelude::*;

/// How k-means is run; the values of the authors' code.
#[derive(Clone, Debug)]
pub struct KMeansParams {
    /// Starts, of which the best is kept.
    pub restarts: usize,
    /// Iterations of one start at most.
    pub iterations: u64,
    /// Movement of the centres at which a start has converged: its square as a share of the mean variance of a channel.
    pub tolerance: f64,
}

impl Default for KMeansParams {
    fn default() -> Self {
        Self { restarts: 10, iterations: 300, tolerance: 1e-4 }
    }
}

/// `count` centres, `[count, channels]`, of `vectors`, `[n, channels]`: Lloyd's iterations from k-means++ starts.
///
/// Where there are fewer different vectors than centres (a blank image, say), the centres repeat some of them.
/// The result does not depend on the number of threads.
///
/// # Errors
/// If there are no vectors, or one is not finite.
pub fn kmeans(
    vectors: &[f32],
    channels: usize,
    count: usize,
    seed: u64,
    params: &KMeansParams,
) -> Result<Vec<f32>> {
    if vectors.is_empty() {
        return Err(Error::Fit("there are no features to cluster".into()));
    }
    if vectors.iter().any(|value| !value.is_finite()) {
        return Err(Error::Fit("the network's features are not finite".into()));
    }
    if let Some(few) = fewer_than(vectors, channels, count) {
        return Ok((0..count).flat_map(|i| few[i % few.len()].iter().copied()).collect());
    }
    let points = ArrayView2::from_shape((vectors.len() / channels, channels), vectors)
        .map_err(|e| Error::Fit(format!("features to cluster: {e}")))?;
    let tolerance = params.tolerance * f64::from(points.var_axis(Axis(0), 0.0).mean().unwrap_or(0.0));
    let mut random = Xoshiro256Plus::seed_from_u64(seed);
    let mut best: Option<Start> = None;
    for _ in 0..params.restarts.max(1) {
        let mut start = Start { centres: spread(points, count, &mut random), inertia: f64::INFINITY };
        for _ in 0..params.iterations {
            if start.improve(points) <= tolerance {
                break;
            }
        }
        if best.as_ref().is_none_or(|best| start.inertia < best.inertia) {
            best = Some(start);
        }
    }
    Ok(best.map(|best| best.centres.into_raw_vec_and_offset().0).unwrap_or_default())
}

/// The different vectors, if there are fewer than `count`.
fn fewer_than(vectors: &[f32], channels: usize, count: usize) -> Option<Vec<&[f32]>> {
    let mut different: Vec<&[f32]> = Vec::new();
    for vector in vectors.chunks_exact(channels) {
        if !different.contains(&vector) {
            different.push(vector);
            if different.len() >= count {
                return None;
            }
        }
    }
    Some(different)
}

/// Points that one thread takes at a time; fixed, so that sums are added up in the same order on every machine.
const CHUNK: usize = 1024;

/// Centres chosen one after the other, a point the likelier the farther it is from those chosen (k-means++).
fn spread(points: ArrayView2<f32>, count: usize, random: &mut impl Rng) -> Array2<f32> {
    let mut centres = Array2::zeros((count, points.ncols()));
    let mut distances = vec![f32::INFINITY; points.nrows()];
    let mut chosen = random.gen_range(0..points.nrows());
    for mut centre in centres.rows_mut() {
        centre.assign(&points.row(chosen));
        let centre = centre.view();
        let chunks: Vec<_> = points.axis_chunks_iter(Axis(0), CHUNK).collect();
        distances.par_chunks_mut(CHUNK).zip(chunks).for_each(|(distances, points)| {
            for (distance, point) in distances.iter_mut().zip(points.rows()) {
                let new = point.iter().zip(&centre).map(|(p, c)| (p - c).powi(2)).sum::<f32>();
                *distance = distance.min(new);
            }
        });
        let total: f64 = distances.iter().map(|&distance| f64::from(distance)).sum();
        let mut left = random.gen_range(0.0..1.0) * total;
        let beyond = |distance: &f32| {
            left -= f64::from(*distance);
            left < 0.0
        };
        chosen = distances.iter().position(beyond).unwrap_or(chosen);
    }
    centres
}

struct Start {
    /// `[count, channels]`.
    centres: Array2<f32>,
    /// Sum of the squared distances of the points from their nearest centres.
    inertia: f64,
}

/// The points of each centre: their sum, `[count, channels]`, their number, and their squared distances.
struct Assigned {
    sums: Array2<f64>,
    counts: Vec<usize>,
    inertia: f64,
}

impl Start {
    /// Moves every centre to the mean of its points; the sum of the squared movements.
    fn improve(&mut self, points: ArrayView2<f32>) -> f64 {
        let halves: Array1<f32> = self.centres.rows().into_iter().map(|c| 0.5 * c.dot(&c)).collect();
        let chunks: Vec<_> = points.axis_chunks_iter(Axis(0), CHUNK).collect();
        let parts: Vec<Assigned> =
            chunks.into_par_iter().map(|points| self.assign(points, &halves)).collect();
        let mut movement = 0.0;
        self.inertia = parts.iter().map(|part| part.inertia).sum();
        for (i, mut centre) in self.centres.rows_mut().into_iter().enumerate() {
            let count: usize = parts.iter().map(|part| part.counts[i]).sum();
            // A centre without points stays where it is.
            if count == 0 {
                continue;
            }
            for (channel, value) in centre.iter_mut().enumerate() {
                let mean = parts.iter().map(|part| part.sums[(i, channel)]).sum::<f64>() / count as f64;
                movement += (mean - f64::from(*value)).powi(2);
                *value = mean as f32;
            }
        }
        movement
    }

    /// Nearest is where `x.c - c.c / 2` is largest.
    fn assign(&self, points: ArrayView2<f32>, halves: &Array1<f32>) -> Assigned {
        let closeness = points.dot(&self.centres.t()) - halves;
        let mut assigned = Assigned {
            sums: Array2::zeros(self.centres.dim()),
            counts: vec![0; self.centres.nrows()],
            inertia: 0.0,
        };
        for (point, closeness) in points.rows().into_iter().zip(closeness.rows()) {
            let best = closeness
                .iter()
                .enumerate()
                .fold(0, |best, (i, c)| if *c > closeness[best] { i } else { best });
            assigned.counts[best] += 1;
            assigned.inertia += f64::from(point.dot(&point)) - 2.0 * f64::from(closeness[best]);
            assigned.sums.row_mut(best).zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
        }
        assigned
    }
}

/// The nearest of `centres` to `vector`, the first on ties.
pub fn nearest(centres: &[f32], vector: &[f32]) -> usize {
    let distance = |centre: &[f32]| centre.iter().zip(vector).map(|(c, v)| (c - v).powi(2)).sum::<f32>();
    let all = centres.chunks_exact(vector.len()).map(distance).enumerate();
    all.fold((0, f32::INFINITY), |best, (i, d)| if d < best.1 { (i, d) } else { best }).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clouds of 2,000 points each around (0, 0), (10, 0), (0, 10).
    fn clouds() -> Vec<f32> {
        let mut random = Xoshiro256Plus::seed_from_u64(1);
        (0..6000)
            .flat_map(|i| {
                let [x, y] = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]][i % 3];
                [x + random.gen_range(-1.0..1.0), y + random.gen_range(-1.0..1.0)]
            })
            .collect()
    }

    #[test]
    fn clouds_are_found() {
        let centres = kmeans(&clouds(), 2, 3, 0, &KMeansParams::default()).unwrap();
        let mut found: Vec<[i32; 2]> =
            centres.chunks_exact(2).map(|c| [c[0].round() as i32, c[1].round() as i32]).collect();
        found.sort_unstable();
        assert_eq!(found, [[0, 0], [0, 10], [10, 0]]);
    }

    #[test]
    fn the_same_seed_gives_the_same_centres_on_any_number_of_threads() {
        let vectors = clouds();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| kmeans(&vectors, 2, 7, 5, &KMeansParams::default()).unwrap())
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn few_or_broken_vectors() {
        let params = KMeansParams::default();
        assert_eq!(kmeans(&[1.0, 2.0, 1.0, 2.0], 2, 3, 0, &params).unwrap(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        assert!(kmeans(&[], 2, 3, 0, &params).is_err());
        assert!(kmeans(&[1.0, f32::NAN], 1, 2, 0, &params).is_err());
    }
}
