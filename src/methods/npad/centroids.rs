//! The centroids of the averaged features: k-means.

use crate::error::{Error, Result};
use crate::kernels::centroids::Centroids;
use crate::methods::fitting::Progress;
use rand::SeedableRng;
use rand::seq::index;
use rand_xoshiro::Xoshiro256Plus;

/// Rounds of k-means: there are many centroids, and they need only cover the features.
const ROUNDS: usize = 5;

/// `count` centroids, `[count, channels]`, of `features`, `[n, channels]`, that are not empty. They start from features drawn at random.
///
/// This is not `codebook::kmeans`, whose library compares one pair after the other: thousands of centroids take it minutes.
///
/// # Errors
/// If the user interrupts.
pub(super) fn cluster(
    features: &[f32],
    channels: usize,
    count: usize,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<f32>> {
    progress.stage("grouping the features", ROUNDS);
    let feature = |i: usize| &features[i * channels..][..channels];
    let available = features.len() / channels;
    let random = &mut Xoshiro256Plus::seed_from_u64(seed);
    let drawn = index::sample(random, available, count.min(available)).into_vec();
    // Where there are fewer features than centroids, some are there more than once.
    let mut centroids: Vec<f32> =
        drawn.iter().cycle().take(count).flat_map(|&i| feature(i)).copied().collect();
    let mut nearest = vec![0; available];
    for _ in 0..ROUNDS {
        Centroids::new(centroids.clone(), channels).nearest(features, &mut nearest);
        let (mut sums, mut members) = (vec![0.0; centroids.len()], vec![0_u32; count]);
        for (i, &centroid) in nearest.iter().enumerate() {
            members[centroid] += 1;
            let sums: &mut [f64] = &mut sums[centroid * channels..][..channels];
            sums.iter_mut().zip(feature(i)).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let means = sums.chunks_exact(channels).zip(members);
        // A centroid that is nearest to nothing stays where it is.
        for (centroid, (sums, members)) in
            centroids.chunks_exact_mut(channels).zip(means).filter(|(_, (_, n))| *n > 0)
        {
            centroid.iter_mut().zip(sums).for_each(|(value, sum)| *value = (sum / f64::from(members)) as f32);
        }
        progress.advance();
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    Ok(centroids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_features_are_these_and_one_is_their_mean() {
        // Not much longer than they are apart, which the search could not tell then.
        let features: Vec<f32> = (0..40).flat_map(|i| [(i % 4) as f32 * 2.0, (i / 4) as f32 * 0.1]).collect();
        let found = cluster(&features, 2, 40, 7, &mut ()).unwrap();
        assert!(found.chunks_exact(2).all(|c| features.chunks_exact(2).any(|f| f == c)), "{found:?}");
        let [x, y] = cluster(&features, 2, 1, 7, &mut ()).unwrap()[..] else { panic!("one centroid") };
        assert!((x - 3.0).abs() < 1e-4 && (y - 0.45).abs() < 1e-6, "{x} {y}");
    }

    #[test]
    fn more_centroids_than_features_repeat_some() {
        let found = cluster(&[1.0, 2.0, 5.0, 6.0], 2, 5, 7, &mut ()).unwrap();
        assert_eq!(found.len(), 10);
        assert!(found.chunks_exact(2).all(|c| c == [1.0, 2.0] || c == [5.0, 6.0]), "{found:?}");
    }
}
