//! Light augmentation of both images of a training pair.

use super::colour::change_hls;
use super::{Random, uniform};
use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// How strong, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LightParams {
    /// Probability of each of the two changes.
    pub probability: f64,
    /// Largest share of pixels that become black or white.
    pub salt_and_pepper: f64,
    /// Largest relative change of the lightness, either way.
    pub lightness: f64,
}

impl Default for LightParams {
    fn default() -> Self {
        // The share of the authors' code; the paper does not say it.
        Self { probability: 0.3, salt_and_pepper: 0.03, lightness: 0.1 }
    }
}

impl LightParams {
    /// Perhaps puts black and white pixels into the image, perhaps makes it lighter or darker.
    pub fn apply(&self, image: &mut RgbImage, random: &mut Random) {
        if random.gen_bool(self.probability) {
            salt_and_pepper(image, uniform([0.0, self.salt_and_pepper], random), random);
        }
        if random.gen_bool(self.probability) {
            let factor = uniform([1.0 - self.lightness, 1.0 + self.lightness], random) as f32;
            change_hls(image, |[hue, lightness, saturation]| [hue, lightness * factor, saturation]);
        }
    }
}

/// Makes the given share of pixels white or black, as many of each.
fn salt_and_pepper(image: &mut RgbImage, share: f64, random: &mut Random) {
    for pixel in image.chunks_exact_mut(3) {
        let drawn = random.gen_range(0.0..1.0);
        if drawn < share {
            pixel.fill(if drawn < share / 2.0 { 255 } else { 0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use rand::SeedableRng;

    #[test]
    fn each_change_comes_as_often_as_asked_for_and_stays_small() {
        let params = LightParams::default();
        let mut random = Random::seed_from_u64(1);
        let plain = RgbImage::from_pixel(32, 32, Rgb([100, 120, 140]));
        let (mut salted, mut lit) = (0, 0);
        for _ in 0..1000 {
            let mut image = plain.clone();
            params.apply(&mut image, &mut random);
            let ends = image.pixels().filter(|p| p.0[0] == p.0[2]).count();
            assert!(ends as f64 <= 0.06 * 32.0 * 32.0, "{ends}");
            salted += usize::from(ends > 0);
            // Salt is white, or what the change of lightness made of white: grey, which the plain pixels never are.
            let other = image.pixels().find(|p| p.0[0] != p.0[2]).unwrap();
            assert!((108..=132).contains(&other.0[1]), "{other:?}");
            lit += usize::from(other.0 != [100, 120, 140]);
        }
        assert!((230..340).contains(&salted), "{salted}");
        assert!((230..340).contains(&lit), "{lit}");
    }
}
