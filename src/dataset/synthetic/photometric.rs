//! Changes of colour and brightness that make a piece of an image foreign to it.

use super::colour::change_hls;
use super::{Random, uniform};
use image::RgbImage;
use rand::Rng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

/// Ranges of the changes, those of the authors' code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhotometricParams {
    /// Exponent of the gamma curve, drawn for each channel.
    pub gamma: [f64; 2],
    /// Factor of the brightness.
    pub brightness_factor: [f64; 2],
    /// Offset of the brightness in grey levels.
    pub brightness_offset: [f64; 2],
    /// Sharpness: 0 is blurred, 1 unchanged, above is sharpened.
    pub sharpness: [f64; 2],
    /// Shift of hue (255 is a whole turn) and of saturation (255 is all of it), either way.
    pub hue_saturation: f64,
    /// Probability that values above the solarization threshold are really inverted.
    pub solarize_probability: f64,
    /// Values from here on are inverted by solarization.
    pub solarize_threshold: [f64; 2],
    /// Bits that posterizing keeps, the largest included.
    pub posterize_bits: [u32; 2],
    /// Percent of the values at either end that stretching the contrast ignores.
    pub contrast_cutoff: [f64; 2],
}

impl Default for PhotometricParams {
    fn default() -> Self {
        Self {
            gamma: [0.5, 2.0],
            brightness_factor: [0.8, 1.2],
            brightness_offset: [-30.0, 30.0],
            sharpness: [0.0, 3.0],
            hue_saturation: 50.0,
            solarize_probability: 0.5,
            solarize_threshold: [32.0, 128.0],
            posterize_bits: [1, 8],
            contrast_cutoff: [0.0, 20.0],
        }
    }
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A gamma curve for each channel.
    Gamma,
    /// Factor and offset of the brightness.
    Brightness,
    /// Blurred or sharpened.
    Sharpness,
    /// Hue and saturation shifted.
    HueSaturation,
    /// Bright values inverted.
    Solarize,
    /// Fewer bits.
    Posterize,
    /// Negative.
    Invert,
    /// Contrast stretched, each channel on its own.
    Autocontrast,
    /// Histogram equalised, each channel on its own.
    Equalize,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Gamma,
        Self::Brightness,
        Self::Sharpness,
        Self::HueSaturation,
        Self::Solarize,
        Self::Posterize,
        Self::Invert,
        Self::Autocontrast,
        Self::Equalize,
    ];

    /// `count` different ones in random order.
    pub fn draw(count: usize, random: &mut Random) -> Vec<Self> {
        let count = count.min(Self::ALL.len());
        index::sample(random, Self::ALL.len(), count).into_iter().map(|i| Self::ALL[i]).collect()
    }

    /// Changes the image by an amount drawn from `params`.
    pub fn apply(self, image: &mut RgbImage, params: &PhotometricParams, random: &mut Random) {
        match self {
            Self::Gamma => {
                let gammas: [f64; 3] = std::array::from_fn(|_| uniform(params.gamma, random));
                map(image, &gammas.map(|gamma| table(|v| 255.0 * (v / 255.0).powf(gamma))));
            }
            Self::Brightness => {
                let factor = uniform(params.brightness_factor, random);
                let offset = uniform(params.brightness_offset, random);
                map(image, &[table(|v| v * factor + offset); 3]);
            }
            Self::Sharpness => sharpen(image, uniform(params.sharpness, random) as f32),
            Self::HueSaturation => {
                let reach = params.hue_saturation / 255.0;
                let hue = uniform([-reach, reach], random) as f32;
                let saturation = uniform([-reach, reach], random) as f32;
                change_hls(image, |[h, l, s]| [h + hue, l, s + saturation]);
            }
            Self::Solarize => {
                let threshold = uniform(params.solarize_threshold, random);
                if random.gen_bool(params.solarize_probability) {
                    map(image, &[table(|v| if v >= threshold { 255.0 - v } else { v }); 3]);
                }
            }
            Self::Posterize => {
                let bits = random.gen_range(params.posterize_bits[0]..=params.posterize_bits[1]).clamp(1, 8);
                let kept = !(0xffu32 >> bits) as u8;
                map(image, &[std::array::from_fn(|v| v as u8 & kept); 3]);
            }
            Self::Invert => map(image, &[table(|v| 255.0 - v); 3]),
            Self::Autocontrast => {
                let cutoff = uniform(params.contrast_cutoff, random) / 100.0;
                let tables = histograms(image).map(|counts| stretched(&counts, cutoff));
                map(image, &tables);
            }
            Self::Equalize => {
                let tables = histograms(image).map(|counts| equalized(&counts));
                map(image, &tables);
            }
        }
    }
}

/// Applies `count` different random changes.
pub fn change(image: &mut RgbImage, count: usize, params: &PhotometricParams, random: &mut Random) {
    for change in Change::draw(count, random) {
        change.apply(image, params, random);
    }
}

type Table = [u8; 256];

fn table(value: impl Fn(f64) -> f64) -> Table {
    std::array::from_fn(|v| value(v as f64).round() as u8)
}

fn map(image: &mut RgbImage, tables: &[Table; 3]) {
    for pixel in image.chunks_exact_mut(3) {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[*value as usize];
        }
    }
}

fn histograms(image: &RgbImage) -> [[u32; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.chunks_exact(3) {
        for (&value, counts) in pixel.iter().zip(&mut counts) {
            counts[value as usize] += 1;
        }
    }
    counts
}

/// Spreads the values over the whole range, after `cutoff` of them are ignored at either end.
fn stretched(counts: &[u32; 256], cutoff: f64) -> Table {
    let ignored = (f64::from(counts.iter().sum::<u32>()) * cutoff) as u32;
    let end = |mut values: Box<dyn Iterator<Item = usize>>| {
        let mut seen = 0;
        values.find(|&v| {
            seen += counts[v];
            seen > ignored
        })
    };
    match (end(Box::new(0..256)), end(Box::new((0..256).rev()))) {
        (Some(low), Some(high)) if low < high => table(|v| (v - low as f64) * 255.0 / (high - low) as f64),
        _ => table(|v| v),
    }
}

/// Spreads the values so that each is about as frequent as any other.
fn equalized(counts: &[u32; 256]) -> Table {
    let total: u32 = counts.iter().sum();
    let first = counts.iter().copied().find(|&count| count > 0).unwrap_or(0);
    if total == first {
        return table(|v| v);
    }
    let mut below = 0;
    counts.map(|count| {
        below += count;
        (f64::from(below.saturating_sub(first)) * 255.0 / f64::from(total - first)).round() as u8
    })
}

/// Moves every value away from (or, below 1, towards) the mean of its neighbourhood; the border stays.
fn sharpen(image: &mut RgbImage, factor: f32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let before = image.as_raw().clone();
    let after: &mut [u8] = image;
    let row = width * 3;
    for y in 1..height.saturating_sub(1) {
        for at in y * row + 3..(y + 1) * row - 3 {
            // The smoothing kernel of Pillow: the centre counts five times.
            let around =
                |at: usize| u32::from(before[at - 3]) + u32::from(before[at]) + u32::from(before[at + 3]);
            let sum = around(at - row) + around(at) + around(at + row) + 4 * u32::from(before[at]);
            let smooth = sum as f32 / 13.0;
            after[at] = (smooth + factor * (f32::from(before[at]) - smooth) + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use rand::SeedableRng;

    fn ramp() -> RgbImage {
        RgbImage::from_fn(16, 16, |x, y| Rgb([(60 + x * 4) as u8, (40 + y * 6) as u8, (100 + x + y) as u8]))
    }

    #[test]
    fn known_changes() {
        let apply = |change: Change, params: &PhotometricParams| {
            let mut image = ramp();
            change.apply(&mut image, params, &mut Random::seed_from_u64(0));
            image
        };
        let params = PhotometricParams::default();
        assert_eq!(apply(Change::Invert, &params).get_pixel(2, 3).0, [255 - 68, 255 - 58, 255 - 105]);
        let exact = PhotometricParams { posterize_bits: [2, 2], sharpness: [1.0, 1.0], ..params.clone() };
        assert_eq!(apply(Change::Posterize, &exact).get_pixel(2, 3).0, [64, 0, 64]);
        assert_eq!(apply(Change::Sharpness, &exact), ramp());
        let stretched =
            apply(Change::Autocontrast, &PhotometricParams { contrast_cutoff: [0.0, 0.0], ..params });
        for channel in 0..3 {
            let values = || stretched.pixels().map(|pixel| pixel.0[channel]);
            assert_eq!((values().min(), values().max()), (Some(0), Some(255)));
        }
    }

    #[test]
    fn degenerate_images_survive_every_change() {
        for size in [(0, 0), (1, 1), (2, 1), (3, 3)] {
            for change in Change::ALL {
                let mut image = RgbImage::from_pixel(size.0, size.1, Rgb([7, 7, 7]));
                change.apply(&mut image, &PhotometricParams::default(), &mut Random::seed_from_u64(3));
                assert_eq!(image.dimensions(), size);
            }
        }
    }
}
