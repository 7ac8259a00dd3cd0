//! How far the place in the image decides what is to be seen there.

use super::background::LayerMaps;

/// The places at the border tell of the network's padding, too, which lies the same in all images: one of so many is left out at each side.
const BORDER: usize = 8;

/// The share of the features' variance that their place explains, the mean over the channels: near 0 for a texture that lies anywhere, near
/// 1 for parts that look and lie the same in all images. Fewer than two images explain nothing, and the border does not count.
///
/// It is the intraclass correlation: the variance of the places' means, less what the spread within a place adds to that of so many images.
pub(super) fn alignment(maps: &LayerMaps<'_>) -> f64 {
    let (images, channels) = (maps.images(), maps.channels);
    let inner = |side: usize| side / BORDER..side - side / BORDER;
    let inside: Vec<usize> =
        inner(maps.height).flat_map(|y| inner(maps.width).map(move |x| y * maps.width + x)).collect();
    let places = inside.len();
    if images < 2 || places < 2 {
        return 0.0;
    }
    let mut within = vec![0.0; channels];
    let mut means = vec![0.0; places * channels];
    for (&place, mean) in inside.iter().zip(means.chunks_exact_mut(channels)) {
        let of_all = || (0..images).map(|image| maps.feature(image * maps.height * maps.width + place));
        for feature in of_all() {
            mean.iter_mut().zip(feature).for_each(|(mean, value)| *mean += f64::from(value) / images as f64);
        }
        for feature in of_all() {
            let deviations = feature.zip(&*mean).map(|(value, mean)| f64::from(value) - mean);
            within.iter_mut().zip(deviations).for_each(|(sum, deviation)| *sum += deviation * deviation);
        }
    }
    let mut centre = vec![0.0; channels];
    for mean in means.chunks_exact(channels) {
        centre.iter_mut().zip(mean).for_each(|(centre, mean)| *centre += mean / places as f64);
    }
    let mut explained = 0.0;
    for channel in 0..channels {
        let of_means = means.iter().skip(channel).step_by(channels);
        let between: f64 =
            of_means.map(|mean| (mean - centre[channel]).powi(2)).sum::<f64>() / (places - 1) as f64;
        let within = within[channel] / (places * (images - 1)) as f64;
        let of_places = (between - within / images as f64).max(0.0);
        // A channel that is the same everywhere says nothing.
        explained += if of_places + within > 0.0 { of_places / (of_places + within) } else { 0.0 };
    }
    explained / channels as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    const SIDE: usize = 16;
    const CHANNELS: usize = 3;

    /// What the place explains of `images` maps of noise with this spread, whose means differ from place to place by `of_place`.
    fn alignment_of(images: usize, of_place: f32, noise: f32) -> f64 {
        let mut random = Xoshiro256Plus::seed_from_u64(5);
        let mut draw =
            |spread: f32| spread * (random.gen_range(-1.0f32..1.0) + random.gen_range(-1.0f32..1.0));
        let means: Vec<f32> = (0..SIDE * SIDE * CHANNELS).map(|_| draw(of_place)).collect();
        alignment_around(&means, images, |mean| mean + draw(noise))
    }

    fn alignment_around(means: &[f32], images: usize, mut value: impl FnMut(f32) -> f32) -> f64 {
        let values: Vec<f16> = (0..images)
            .flat_map(|_| means.iter().map(|&mean| f16::from_f32(value(mean))).collect::<Vec<_>>())
            .collect();
        alignment(&LayerMaps { height: SIDE, width: SIDE, channels: CHANNELS, values: &values })
    }

    #[test]
    fn it_is_the_share_of_the_variance_between_places() {
        for images in [2, 5, 40] {
            assert!(alignment_of(images, 0.0, 1.0) < 0.08, "{images} textures");
            let half = alignment_of(images, 1.0, 1.0);
            assert!((half - 0.5).abs() < 0.08, "{images}: {half}");
            assert!(alignment_of(images, 1.0, 0.1) > 0.97, "{images} parts in their places");
        }
    }

    #[test]
    fn the_border_does_not_count() {
        let mut random = Xoshiro256Plus::seed_from_u64(6);
        let at_border = |i: usize| {
            let (y, x) = (i / CHANNELS / SIDE, i / CHANNELS % SIDE);
            [y, x].iter().any(|&at| !(2..SIDE - 2).contains(&at))
        };
        let means: Vec<f32> =
            (0..SIDE * SIDE * CHANNELS).map(|i| if at_border(i) { 9.0 } else { 0.0 }).collect();
        let found = alignment_around(&means, 20, |mean| mean + random.gen_range(-1.0f32..1.0));
        assert!(found < 0.08, "{found}");
    }

    #[test]
    fn nothing_to_tell_is_no_alignment() {
        assert_eq!(alignment_of(1, 1.0, 1.0), 0.0);
        assert_eq!(alignment_of(3, 0.0, 0.0), 0.0);
    }
}
