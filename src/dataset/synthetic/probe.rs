//! Defects that are drawn into good images to try a method on: small, of several kinds, where the image has structure.
//!
//! They are no training samples: those of the learned branch are large and strong, and every method finds all of them. These are as small as
//! what is missed in practice, so that methods differ in how many they find.

use image::{Rgb, RgbImage};
use ndarray::Array2;
use rand::Rng;

/// A kind of small defect. Lengths are pixels of an image of 320x320, and scaled with the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Probe {
    /// A round piece of the same image, turned, that lies where it does not belong; its diameter.
    Piece(f32),
    /// A thin line that is lighter or darker by so many grey levels.
    Line(f32),
    /// A soft spot that is lighter or darker by so many grey levels.
    Spot(f32),
}

impl Probe {
    /// Those that methods are compared by: two sizes of pieces, a line and a spot.
    pub const ALL: [Self; 4] = [Self::Piece(12.0), Self::Piece(20.0), Self::Line(40.0), Self::Spot(35.0)];

    /// `image` with one such defect, and where it is: rows x columns, true where the image has changed by at least a quarter of the most
    /// that it has changed anywhere. Nothing is true if nothing could be drawn.
    pub fn draw(self, image: &RgbImage, random: &mut impl Rng) -> (RgbImage, Array2<bool>) {
        let drawn = self.draw_into(image, random);
        let change = |(before, after): (&Rgb<u8>, &Rgb<u8>)| {
            before.0.iter().zip(&after.0).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
        };
        let changes: Vec<u8> = image.pixels().zip(drawn.pixels()).map(change).collect();
        let most = changes.iter().copied().max().unwrap_or(0);
        let mask = Array2::from_shape_fn((image.height() as usize, image.width() as usize), |(y, x)| {
            let change = changes[y * image.width() as usize + x];
            change > 0 && u16::from(change) * VISIBLE >= u16::from(most)
        });
        (drawn, mask)
    }

    fn draw_into(self, image: &RgbImage, random: &mut impl Rng) -> RgbImage {
        let scale = ((image.width() as f32 * image.height() as f32).sqrt() / 320.0).max(0.1);
        let structure = Structure::of(image, (9.0 * scale).max(3.0) as usize);
        match self {
            Self::Piece(diameter) => piece(image, &structure, 0.5 * (diameter * scale).max(6.0), random),
            Self::Line(amplitude) => {
                let (length, turn) = (random.gen_range(12.0..30.0) * scale, Turn::random(random));
                let drawn = |dx: f32, dy: f32| {
                    let (along, across) = turn.apply(dx, dy);
                    (1.2 * scale - across.abs() + 0.5).clamp(0.0, 1.0)
                        * (0.5 * length - along.abs()).clamp(0.0, 1.0)
                };
                shade(image, &structure, amplitude, 16.0 * scale, random, drawn)
            }
            Self::Spot(amplitude) => {
                let (sigma, turn) = (random.gen_range(4.0..8.0) * scale, Turn::random(random));
                let drawn = |dx: f32, dy: f32| {
                    let (along, across) = turn.apply(dx, dy);
                    (-0.5 * (along.powi(2) + (1.5 * across).powi(2)) / sigma.powi(2)).exp()
                };
                shade(image, &structure, amplitude, 24.0 * scale, random, drawn)
            }
        }
    }
}

/// A pixel is defective if it has changed by one part in so many of the most that any has changed.
const VISIBLE: u16 = 4;

/// A rotation.
#[derive(Clone, Copy)]
struct Turn {
    cos: f32,
    sin: f32,
}

impl Turn {
    fn random(random: &mut impl Rng) -> Self {
        // Not too near to no turn at all, which would leave a piece of a texture as it was.
        let angle = random.gen_range(0.5..5.78f32);
        Self { cos: angle.cos(), sin: angle.sin() }
    }

    fn apply(self, dx: f32, dy: f32) -> (f32, f32) {
        (dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin)
    }
}

/// How much the grey values around each pixel vary.
struct Structure {
    width: usize,
    height: usize,
    deviation: Vec<f32>,
    /// From here on a pixel has structure.
    least: f32,
}

/// Share of the pixels without structure, at least.
const PLAIN: f64 = 0.6;
/// Pixels with less than this share of the largest deviation have none.
const LEAST: f32 = 0.25;
/// Positions that are tried before any will do.
const ATTEMPTS: usize = 200;

impl Structure {
    fn of(image: &RgbImage, side: usize) -> Self {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let grey: Vec<f32> = image
            .pixels()
            .map(|Rgb([r, g, b])| (f32::from(*r) + f32::from(*g) + f32::from(*b)) / 3.0)
            .collect();
        let squares: Vec<f32> = grey.iter().map(|value| value * value).collect();
        let (mean, square) = (box_mean(&grey, width, side / 2), box_mean(&squares, width, side / 2));
        let deviation: Vec<f32> =
            mean.iter().zip(&square).map(|(mean, square)| (square - mean * mean).max(0.0).sqrt()).collect();
        let mut sorted = deviation.clone();
        let at = ((sorted.len() - 1) as f64 * PLAIN) as usize;
        let plain = *sorted.select_nth_unstable_by(at, f32::total_cmp).1;
        let largest = deviation.iter().copied().fold(0.0, f32::max);
        Self { width, height, deviation, least: plain.max(LEAST * largest) }
    }

    /// A position with structure, as far from the border as `margin` where the image is large enough.
    fn draw(&self, margin: f32, random: &mut impl Rng) -> (usize, usize) {
        let within = |side: usize, random: &mut _| {
            let margin = (margin.ceil() as usize).min((side - 1) / 2);
            Rng::gen_range(random, margin..side - margin)
        };
        let mut position = (0, 0);
        for _ in 0..ATTEMPTS {
            position = (within(self.width, random), within(self.height, random));
            if self.deviation[position.1 * self.width + position.0] >= self.least {
                break;
            }
        }
        position
    }
}

/// The mean over a square of `2 * reach + 1` pixels, of as much of it as lies inside.
fn box_mean(values: &[f32], width: usize, reach: usize) -> Vec<f32> {
    let height = values.len() / width;
    let line = |get: &dyn Fn(usize) -> f32, length: usize, put: &mut dyn FnMut(usize, f32)| {
        let mut sum: f64 = (0..reach.min(length)).map(|i| f64::from(get(i))).sum();
        for i in 0..length {
            if i + reach < length {
                sum += f64::from(get(i + reach));
            }
            if i > reach {
                sum -= f64::from(get(i - reach - 1));
            }
            let count = (i + reach).min(length - 1) - i.saturating_sub(reach) + 1;
            put(i, (sum / count as f64) as f32);
        }
    };
    let mut rows = vec![0.0; values.len()];
    for y in 0..height {
        line(&|x| values[y * width + x], width, &mut |x, mean| rows[y * width + x] = mean);
    }
    let mut means = vec![0.0; values.len()];
    for x in 0..width {
        line(&|y| rows[y * width + x], height, &mut |y, mean| means[y * width + x] = mean);
    }
    means
}

/// Puts a turned piece of `image` with this radius somewhere else.
fn piece(image: &RgbImage, structure: &Structure, radius: f32, random: &mut impl Rng) -> RgbImage {
    let margin = 1.5 * radius;
    let (to_x, to_y) = structure.draw(margin, random);
    let mut from = (to_x, to_y);
    for _ in 0..ATTEMPTS {
        from = structure.draw(margin, random);
        if from.0.abs_diff(to_x) + from.1.abs_diff(to_y) > (4.0 * radius) as usize {
            break;
        }
    }
    let turn = Turn::random(random);
    let mut drawn = image.clone();
    each_around(&mut drawn, (to_x, to_y), radius + 1.0, |dx, dy, pixel| {
        let opacity = ((radius - dx.hypot(dy)) / 2.0).clamp(0.0, 1.0);
        let (along, across) = turn.apply(dx, dy);
        let other = bilinear(image, from.0 as f32 + along, from.1 as f32 + across);
        for (value, other) in pixel.0.iter_mut().zip(other) {
            *value = (f32::from(*value) + (other - f32::from(*value)) * opacity).round() as u8;
        }
    });
    drawn
}

/// Makes what `drawn` covers (0 to 1, by the distance from its middle) lighter or darker.
fn shade(
    image: &RgbImage,
    structure: &Structure,
    amplitude: f32,
    reach: f32,
    random: &mut impl Rng,
    drawn: impl Fn(f32, f32) -> f32,
) -> RgbImage {
    let at = structure.draw(0.6 * reach, random);
    let change = if random.gen_bool(0.5) { amplitude } else { -amplitude };
    let mut image = image.clone();
    each_around(&mut image, at, reach, |dx, dy, pixel| {
        let change = change * drawn(dx, dy);
        pixel.0 = pixel.0.map(|value| (f32::from(value) + change).round().clamp(0.0, 255.0) as u8);
    });
    image
}

/// Calls `change` for the pixels of a square around (x, y), with their distance from it.
fn each_around(
    image: &mut RgbImage,
    (x, y): (usize, usize),
    reach: f32,
    mut change: impl FnMut(f32, f32, &mut Rgb<u8>),
) {
    let reach = reach.ceil() as usize;
    let (width, height) = (image.width() as usize, image.height() as usize);
    for row in y.saturating_sub(reach)..(y + reach + 1).min(height) {
        for column in x.saturating_sub(reach)..(x + reach + 1).min(width) {
            let (dx, dy) = (column as f32 - x as f32, row as f32 - y as f32);
            change(dx, dy, image.get_pixel_mut(column as u32, row as u32));
        }
    }
}

/// The value between pixels; beyond the border that of the nearest one.
fn bilinear(image: &RgbImage, x: f32, y: f32) -> [f32; 3] {
    let inside = |at: f32, side: u32| at.clamp(0.0, (side - 1) as f32);
    let (x, y) = (inside(x, image.width()), inside(y, image.height()));
    let (left, top) = (x.floor() as u32, y.floor() as u32);
    let (right, bottom) = ((left + 1).min(image.width() - 1), (top + 1).min(image.height() - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    std::array::from_fn(|channel| {
        let at = |x: u32, y: u32| f32::from(image.get_pixel(x, y).0[channel]);
        let upper = at(left, top) + (at(right, top) - at(left, top)) * fx;
        let lower = at(left, bottom) + (at(right, bottom) - at(left, bottom)) * fx;
        upper + (lower - upper) * fy
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::synthetic::Random;
    use rand::SeedableRng;

    /// A plain ground with a striped part in the middle.
    fn part() -> RgbImage {
        RgbImage::from_fn(160, 120, |x, y| {
            let inside = (40..120).contains(&x) && (40..80).contains(&y);
            Rgb([if inside { if x / 6 % 2 == 0 { 60 } else { 160 } } else { 200 }; 3])
        })
    }

    #[test]
    fn each_kind_changes_a_small_place_of_the_part() {
        let image = part();
        for (seed, probe) in Probe::ALL.into_iter().enumerate() {
            let draw = || probe.draw(&image, &mut Random::seed_from_u64(seed as u64));
            let (drawn, mask) = draw();
            let changed: Vec<(u32, u32)> = drawn
                .enumerate_pixels()
                .filter(|(x, y, pixel)| *pixel != image.get_pixel(*x, *y))
                .map(|(x, y, _)| (x, y))
                .collect();
            assert!(!changed.is_empty() && changed.len() < 1_500, "{probe:?}: {}", changed.len());
            let near = |&&(x, y): &&(u32, u32)| (15..145).contains(&x) && (15..105).contains(&y);
            assert!(2 * changed.iter().filter(near).count() > changed.len(), "{probe:?}: off the part");
            let marked = mask.indexed_iter().filter(|(_, defective)| **defective);
            let marked: Vec<(u32, u32)> = marked.map(|((y, x), _)| (x as u32, y as u32)).collect();
            assert!(!marked.is_empty() && marked.iter().all(|place| changed.contains(place)), "{probe:?}");
            assert!(drawn == draw().0, "{probe:?}: drawn from a seed");
        }
    }

    #[test]
    fn tiny_and_blank_images_are_drawn_into() {
        for (width, height) in [(1, 1), (3, 40), (32, 32)] {
            let blank = RgbImage::from_pixel(width, height, Rgb([90; 3]));
            for probe in Probe::ALL {
                let (drawn, mask) = probe.draw(&blank, &mut Random::seed_from_u64(3));
                assert_eq!(drawn.dimensions(), (width, height));
                assert_eq!(mask.dim(), (height as usize, width as usize));
            }
        }
    }

    #[test]
    fn a_box_mean_is_the_mean_of_what_lies_inside() {
        let values: Vec<f32> = (0..35).map(|i| ((i * 13) % 17) as f32).collect();
        for reach in [0, 1, 2, 9] {
            let means = box_mean(&values, 7, reach);
            for (i, &mean) in means.iter().enumerate() {
                let (y, x) = (i / 7, i % 7);
                let near: Vec<f32> = (0..35usize)
                    .filter(|j| (j / 7).abs_diff(y) <= reach && (j % 7).abs_diff(x) <= reach)
                    .map(|j| values[j])
                    .collect();
                let expected = near.iter().sum::<f32>() / near.len() as f32;
                assert!((mean - expected).abs() < 1e-4, "reach {reach}, {i}: {mean} {expected}");
            }
        }
    }
}
