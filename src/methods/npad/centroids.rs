//! The centroids of the averaged features: k-means.

use crate::error::{Error, Result};
use crate::kernels::centroids::Centroids;
use crate::methods::fitting::Progress;
use rand::SeedableRng;
use rand::seq::index;
use rand_xoshiro::Xoshiro256Plus;

/// Rounds of k-means: there are many centroids, and they need only cover the features.
const ROUNDS: usize = 5;

/// Features, `[n, channels]`, in groups around centroids.
pub(super) struct Clusters<'a> {
    features: &'a [f32],
    channels: usize,
    /// `[count, channels]`: the mean of each group.
    pub centroids: Vec<f32>,
    /// The group of each feature.
    group: Vec<usize>,
}

/// Groups `features`, `[n, channels]`, that are not empty, around `count` centroids. They start from features drawn at random.
///
/// This is not `codebook::kmeans`, whose library compares one pair after the other: thousands of centroids take it minutes.
///
/// # Errors
/// If the user interrupts.
pub(super) fn cluster<'a>(
    features: &'a [f32],
    channels: usize,
    count: usize,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Clusters<'a>> {
    progress.stage("grouping the features", ROUNDS);
    let feature = |i: usize| &features[i * channels..][..channels];
    let available = features.len() / channels;
    let random = &mut Xoshiro256Plus::seed_from_u64(seed);
    let drawn = index::sample(random, available, count.min(available)).into_vec();
    // Where there are fewer features than centroids, some are there more than once.
    let centroids = drawn.iter().cycle().take(count).flat_map(|&i| feature(i)).copied().collect();
    let mut clusters = Clusters { features, channels, centroids, group: vec![0; available] };
    for _ in 0..ROUNDS {
        Centroids::new(clusters.centroids.clone(), channels).nearest(features, &mut clusters.group);
        let (means, members) = clusters.means(|_| true);
        let groups =
            clusters.centroids.chunks_exact_mut(channels).zip(means.chunks_exact(channels)).zip(members);
        // A centroid that is nearest to nothing stays where it is.
        for ((centroid, mean), _) in groups.filter(|(_, members)| *members > 0) {
            centroid.copy_from_slice(mean);
        }
        progress.advance();
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    Ok(clusters)
}

impl Clusters<'_> {
    /// The centroids as they would be in the same groups without the features that are not `kept`; a group of which nothing is left has none.
    pub fn with(&self, kept: impl Fn(usize) -> bool) -> Vec<f32> {
        let (means, members) = self.means(kept);
        let groups = means.chunks_exact(self.channels).zip(members);
        groups.filter(|(_, members)| *members > 0).flat_map(|(mean, _)| mean).copied().collect()
    }

    /// The means of the `kept` features of each group, and how many they are.
    fn means(&self, kept: impl Fn(usize) -> bool) -> (Vec<f32>, Vec<u32>) {
        let channels = self.channels;
        let (mut sums, mut members) =
            (vec![0.0; self.centroids.len()], vec![0_u32; self.centroids.len() / channels]);
        for (i, feature) in self.features.chunks_exact(channels).enumerate().filter(|(i, _)| kept(*i)) {
            let group = self.group[i];
            members[group] += 1;
            let sums: &mut [f64] = &mut sums[group * channels..][..channels];
            sums.iter_mut().zip(feature).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let of = |(sums, members): (&[f64], &u32)| -> Vec<f32> {
            sums.iter().map(|sum| (sum / f64::from(*members)) as f32).collect()
        };
        let means = sums.chunks_exact(channels).zip(&members).flat_map(of).collect();
        (means, members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_features_are_these_and_one_is_their_mean() {
        // Not much longer than they are apart, which the search could not tell then.
        let features: Vec<f32> = (0..40).flat_map(|i| [(i % 4) as f32 * 2.0, (i / 4) as f32 * 0.1]).collect();
        let found = cluster(&features, 2, 40, 7, &mut ()).unwrap().centroids;
        assert!(found.chunks_exact(2).all(|c| features.chunks_exact(2).any(|f| f == c)), "{found:?}");
        let [x, y] = cluster(&features, 2, 1, 7, &mut ()).unwrap().centroids[..] else {
            panic!("one centroid")
        };
        assert!((x - 3.0).abs() < 1e-4 && (y - 0.45).abs() < 1e-6, "{x} {y}");
    }

    #[test]
    fn more_centroids_than_features_repeat_some() {
        let found = cluster(&[1.0, 2.0, 5.0, 6.0], 2, 5, 7, &mut ()).unwrap().centroids;
        assert_eq!(found.len(), 10);
        assert!(found.chunks_exact(2).all(|c| c == [1.0, 2.0] || c == [5.0, 6.0]), "{found:?}");
    }

    #[test]
    fn what_is_left_out_moves_no_centroid() {
        let features = [0.0, 1.0, 10.0, 11.0, 40.0];
        // Three groups, whichever features they start from.
        let clusters = Clusters {
            features: &features,
            channels: 1,
            centroids: vec![0.5, 10.5, 40.0],
            group: vec![0, 0, 1, 1, 2],
        };
        assert_eq!(clusters.with(|_| true), [0.5, 10.5, 40.0]);
        assert_eq!(clusters.with(|i| i != 1 && i != 4), [0.0, 10.5]);
    }
}
