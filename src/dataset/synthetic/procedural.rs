//! Procedural textures that stand in for a collection of photographed ones.
//!
//! Each family is a pattern with values of 0 to 1 on a turned and warped plane; random colours and a random relief are
//! the same for all. The patterns are computed at half of the resolution and enlarged; a fine grain hides that.

use super::colour::from_hls;
use super::perlin::Perlin;
use super::{Random, uniform};
use crate::kernels::resize::Bilinear;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use rand::Rng;
use std::f64::consts::TAU;

/// A kind of pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Fractal noise: stains, rust, stone.
    Clouds,
    /// Thin bright lines between dark areas: marble, cracks, leather.
    Veins,
    /// Wavy bands: wood, agate.
    Bands,
    /// Parallel stripes.
    Stripes,
    /// Squares of two colours, or a weave.
    Checks,
    /// Courses of bricks or tiles with joints.
    Bricks,
    /// Cells around random points, each in its own shade: pebbles, scales.
    Cells,
    /// Round dots on a grid that is not quite regular.
    Dots,
    /// Fractal noise cut at a threshold: blotches, peeling paint.
    Blotches,
    /// Straight scratches and fibres on a plain ground.
    Scratches,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Clouds,
        Self::Veins,
        Self::Bands,
        Self::Stripes,
        Self::Checks,
        Self::Bricks,
        Self::Cells,
        Self::Dots,
        Self::Blotches,
        Self::Scratches,
    ];
}

/// Octaves of fractal noise, each twice as fine and half as strong.
const OCTAVES: u32 = 4;
/// Strength of the relief and of the grain, as shares of the brightness.
const RELIEF: [f64; 2] = [0.0, 0.35];
const GRAIN: [f64; 2] = [0.0, 0.08];

/// A texture of a family, `size` (width, height), in random colours.
pub fn paint(family: Family, size: (u32, u32), random: &mut Random) -> RgbImage {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let half = (height.div_ceil(2).max(1), width.div_ceil(2).max(1));
    let enlarge = |field: Array2<f32>| {
        let mut full = vec![0.0; width * height];
        Bilinear::new(half, (height, width)).run(field.as_slice().unwrap_or_default(), &mut full);
        full
    };
    let pattern = enlarge(pattern(family, half, random));
    let relief = enlarge(fractal(half, uniform([4.0, 24.0], random), random));
    let palette = Palette::random(random);
    let depth = uniform(RELIEF, random) as f32;
    let grain = uniform(GRAIN, random) as f32;
    let mut texture = RgbImage::new(size.0, size.1);
    for ((pixel, &pattern), &relief) in texture.pixels_mut().zip(&pattern).zip(&relief) {
        let shade = 1.0 + depth * (2.0 * relief - 1.0) + grain * random.gen_range(-1.0f32..1.0);
        *pixel = Rgb(palette.at(pattern).map(|value| (value * shade * 255.0) as u8));
    }
    texture
}

/// Colours for values from 0 to 1.
struct Palette {
    colours: Vec<[f32; 3]>,
}

impl Palette {
    /// Two to four colours that go together: mostly near one hue and of low saturation, as those of real surfaces are.
    fn random(random: &mut Random) -> Self {
        let hue = uniform([0.0, 1.0], random);
        let vivid = random.gen_bool(0.3);
        let (spread, saturation) = if vivid { (0.5, [0.4, 1.0]) } else { (0.06, [0.0, 0.45]) };
        let count = random.gen_range(2..=4);
        let mut colours: Vec<[f32; 3]> = (0..count)
            .map(|_| {
                let hue = hue + uniform([-spread, spread], random);
                let lightness = uniform([0.05, 0.95], random);
                from_hls([hue.rem_euclid(1.0) as f32, lightness as f32, uniform(saturation, random) as f32])
            })
            .collect();
        // Two ends alike would show no pattern.
        let (first, last) = (colours[0], colours[count - 1]);
        let apart: f32 = first.iter().zip(last).map(|(a, b)| (a - b).abs()).sum();
        if apart < 0.4 {
            colours[0] = first.map(|value| if value > 0.5 { value * 0.4 } else { 0.6 + value * 0.4 });
        }
        Self { colours }
    }

    fn at(&self, value: f32) -> [f32; 3] {
        let place = value.clamp(0.0, 1.0) * (self.colours.len() - 1) as f32;
        let first = (place as usize).min(self.colours.len() - 2);
        let weight = place - first as f32;
        std::array::from_fn(|c| {
            let (from, to) = (self.colours[first][c], self.colours[first + 1][c]);
            from + (to - from) * weight
        })
    }
}

/// Fractal noise of 0 to 1 with about `cells` cells over the longer side; each octave is turned, so that no axis shows.
fn fractal((height, width): (usize, usize), cells: f64, random: &mut Random) -> Array2<f32> {
    // Finer than three pixels it would be mere grain.
    let finest = 1.0 / 3.0;
    let mut step = (cells / height.max(width) as f64).min(finest);
    let mut strength = 1.0;
    let mut sum = Array2::zeros((height, width));
    let centre = (height as f64 / 2.0, width as f64 / 2.0);
    for _ in 0..OCTAVES {
        let across = (2.0 * centre.0.hypot(centre.1) * step).ceil() as usize + 1;
        let noise = Perlin::random((across, across), random);
        let (sin, cos) = uniform([0.0, TAU], random).sin_cos();
        let middle = across as f64 / 2.0;
        for ((y, x), value) in sum.indexed_iter_mut() {
            let (dy, dx) = ((y as f64 - centre.0) * step, (x as f64 - centre.1) * step);
            *value +=
                (strength * noise.at(middle + cos * dy - sin * dx, middle + sin * dy + cos * dx)) as f32;
        }
        (step, strength) = (2.0 * step, strength / 2.0);
        if step > finest {
            break;
        }
    }
    sum.mapv_into(|value: f32| (0.5 + 0.45 * value).clamp(0.0, 1.0))
}

/// A turned plane with a warp: places in units of a pattern's period.
struct Plane {
    sin: f64,
    cos: f64,
    step: f64,
    warp: Array2<f32>,
    strength: f64,
}

impl Plane {
    /// `periods` over the longer side, displaced by up to about `strength` periods.
    fn new(size: (usize, usize), periods: f64, strength: f64, random: &mut Random) -> Self {
        let (sin, cos) = uniform([0.0, TAU], random).sin_cos();
        let warp = match strength > 0.0 {
            true => fractal(size, uniform([2.0, 6.0], random), random),
            false => Array2::zeros(size),
        };
        Self { sin, cos, step: periods / size.0.max(size.1) as f64, warp, strength }
    }

    fn at(&self, (y, x): (usize, usize)) -> (f64, f64) {
        let warp = self.strength * f64::from(self.warp[[y, x]]);
        let (y, x) = (y as f64 * self.step, x as f64 * self.step);
        (self.cos * x - self.sin * y + warp, self.sin * x + self.cos * y - warp)
    }
}

fn pattern(family: Family, size: (usize, usize), random: &mut Random) -> Array2<f32> {
    match family {
        Family::Clouds => contrasted(fractal(size, uniform([2.0, 16.0], random), random), 1.8),
        Family::Veins => {
            let sharpness = uniform([4.0, 14.0], random) as f32;
            fractal(size, uniform([3.0, 14.0], random), random)
                .mapv_into(|value| (1.0 - sharpness * (value - 0.5).abs()).max(0.0))
        }
        Family::Bands => {
            let plane = Plane::new(size, uniform([1.0, 6.0], random), uniform([1.0, 4.0], random), random);
            Array2::from_shape_fn(size, |place| (0.5 + 0.5 * (TAU * plane.at(place).0).sin()) as f32)
        }
        Family::Stripes => {
            let plane = Plane::new(size, uniform([6.0, 40.0], random), uniform([0.0, 0.6], random), random);
            let (duty, edge) = (uniform([0.25, 0.75], random), uniform([0.05, 0.25], random));
            Array2::from_shape_fn(size, |place| pulse(plane.at(place).0, duty, edge) as f32)
        }
        Family::Checks => {
            let plane = Plane::new(size, uniform([4.0, 24.0], random), uniform([0.0, 0.3], random), random);
            let (edge, weave) = (uniform([0.05, 0.3], random), random.gen_bool(0.5));
            Array2::from_shape_fn(size, |place| {
                let (u, v) = plane.at(place);
                let (a, b) = (pulse(u, 0.5, edge), pulse(v, 0.5, edge));
                (if weave { (a + b) / 2.0 } else { a + b - 2.0 * a * b }) as f32
            })
        }
        Family::Bricks => {
            let plane = Plane::new(size, uniform([4.0, 16.0], random), uniform([0.0, 0.15], random), random);
            let (aspect, joint) = (uniform([1.0, 3.0], random), uniform([0.06, 0.15], random));
            let shift = if random.gen_bool(0.5) { 0.5 } else { 0.0 };
            let shades = Shades::random(random);
            Array2::from_shape_fn(size, |place| {
                let (u, v) = plane.at(place);
                let u = u / aspect + shift * (v.floor().rem_euclid(2.0));
                let (du, dv) = (u - u.floor(), v - v.floor());
                let inside = du * aspect > joint && dv > joint;
                if inside { 0.3 + 0.7 * shades.at(u.floor(), v.floor()) as f32 } else { 0.0 }
            })
        }
        Family::Cells => {
            let plane = Plane::new(size, uniform([4.0, 20.0], random), uniform([0.0, 0.5], random), random);
            let shades = Shades::random(random);
            let flat = random.gen_bool(0.5);
            Array2::from_shape_fn(size, |place| {
                let (shade, nearest, second) = shades.cell(plane.at(place));
                let border = ((second - nearest) * 4.0).min(1.0);
                (if flat { border * (0.3 + 0.7 * shade) } else { 1.0 - nearest.min(1.0) }) as f32
            })
        }
        Family::Dots => {
            let plane = Plane::new(size, uniform([6.0, 24.0], random), uniform([0.0, 0.5], random), random);
            let radius = uniform([0.18, 0.42], random);
            Array2::from_shape_fn(size, |place| {
                let (u, v) = plane.at(place);
                let (du, dv) = (u - u.floor() - 0.5, v - v.floor() - 0.5);
                ((radius - du.hypot(dv)) * 6.0 + 0.5).clamp(0.0, 1.0) as f32
            })
        }
        Family::Blotches => {
            let level = uniform([0.42, 0.58], random) as f32;
            let steepness = uniform([6.0, 25.0], random) as f32;
            fractal(size, uniform([4.0, 20.0], random), random)
                .mapv_into(|value| (0.5 + steepness * (value - level)).clamp(0.0, 1.0))
        }
        Family::Scratches => scratches(size, random),
    }
}

fn contrasted(field: Array2<f32>, factor: f32) -> Array2<f32> {
    field.mapv_into(|value| (0.5 + factor * (value - 0.5)).clamp(0.0, 1.0))
}

/// A wave of period 1 that is 1 for the part `duty` of it, with soft edges.
fn pulse(at: f64, duty: f64, edge: f64) -> f64 {
    let from_middle = (at - at.floor() - 0.5).abs();
    ((duty / 2.0 - from_middle) / edge + 0.5).clamp(0.0, 1.0)
}

/// Random numbers that belong to the cells of an endless grid.
struct Shades {
    table: Vec<f64>,
}

impl Shades {
    const SIDE: usize = 64;

    fn random(random: &mut Random) -> Self {
        Self { table: (0..Self::SIDE * Self::SIDE).map(|_| random.gen_range(0.0..1.0)).collect() }
    }

    fn at(&self, u: f64, v: f64) -> f64 {
        let wrap = |at: f64| at.rem_euclid(Self::SIDE as f64) as usize % Self::SIDE;
        self.table[wrap(v) * Self::SIDE + wrap(u)]
    }

    /// The shade of the nearest of random points, one in each cell, its distance, and that of the second nearest.
    fn cell(&self, (u, v): (f64, f64)) -> (f64, f64, f64) {
        let (mut shade, mut nearest, mut second) = (0.0, f64::MAX, f64::MAX);
        for dv in -1..=1 {
            for du in -1..=1 {
                let (cu, cv) = (u.floor() + f64::from(du), v.floor() + f64::from(dv));
                // Two more numbers of the same table, from places that are far away.
                let point = (cu + self.at(cu + 17.0, cv + 31.0), cv + self.at(cu + 41.0, cv + 7.0));
                let distance = (u - point.0).hypot(v - point.1);
                if distance < nearest {
                    (second, nearest, shade) = (nearest, distance, self.at(cu, cv));
                } else if distance < second {
                    second = distance;
                }
            }
        }
        (shade, nearest, second)
    }
}

/// Lines of random length and strength, mostly in one direction or in any.
fn scratches((height, width): (usize, usize), random: &mut Random) -> Array2<f32> {
    let ground = uniform([0.1, 0.4], random) as f32;
    let mut field = Array2::from_elem((height, width), ground);
    let direction = uniform([0.0, TAU], random);
    let disorder = if random.gen_bool(0.5) { 0.15 } else { TAU };
    let longer = height.max(width) as f64;
    for _ in 0..random.gen_range(40..200) {
        let (dy, dx) = (direction + uniform([-disorder, disorder], random)).sin_cos();
        let (mut y, mut x) = (uniform([0.0, height as f64], random), uniform([0.0, width as f64], random));
        let strength = uniform([0.2, 1.0], random) as f32;
        let bend = uniform([-0.01, 0.01], random);
        for step in 0..(uniform([0.05, 0.6], random) * longer) as usize {
            let turn = bend * step as f64;
            (y, x) = (y + dy + turn * dx, x + dx - turn * dy);
            if y < 0.0 || x < 0.0 || y >= height as f64 || x >= width as f64 {
                break;
            }
            let value = &mut field[[y as usize, x as usize]];
            *value = value.max(ground + (1.0 - ground) * strength);
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_family_shows_a_pattern_at_every_size() {
        for family in Family::ALL {
            for size in [(64, 64), (96, 32), (33, 1), (1, 1)] {
                let mut random = Random::seed_from_u64(11);
                let texture = paint(family, size, &mut random);
                assert_eq!(texture.dimensions(), size);
                let levels = texture.pixels().map(|pixel| pixel.0[1]);
                let range = levels.clone().max().unwrap() - levels.min().unwrap();
                assert!(size.1 == 1 || range > 10, "{family:?} {size:?}: {range}");
            }
        }
    }
}
