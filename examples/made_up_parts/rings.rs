//! Machined rings with a ring of holes.

use super::drawing::edge;
use super::{Product, Random, Sample};
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::Rng;

const SIDE: u32 = 400;
const OUTER: f32 = 150.0;
const INNER: f32 = 62.0;

/// Where and how a ring lies under the camera.
pub struct Part {
    centre: (f32, f32),
    angle: f32,
    light: f32,
    grain: f32,
}

impl Part {
    /// A ring somewhere near the middle, under somewhat different light.
    pub fn new(random: &mut impl Rng) -> Self {
        let middle = SIDE as f32 / 2.0;
        Self {
            centre: (middle + random.gen_range(-6.0..6.0), middle + random.gen_range(-6.0..6.0)),
            angle: random.gen_range(0.0..std::f32::consts::TAU),
            light: random.gen_range(0.94..1.06),
            grain: random.gen_range(0.0..100.0),
        }
    }

    /// Distance from the centre and angle around it.
    fn polar(&self, x: u32, y: u32) -> (f32, f32) {
        let (dx, dy) = (x as f32 - self.centre.0, y as f32 - self.centre.1);
        (dx.hypot(dy), dy.atan2(dx) + self.angle)
    }

    /// What the camera sees of it.
    pub fn draw(&self, random: &mut impl Rng) -> RgbImage {
        RgbImage::from_fn(SIDE, SIDE, |x, y| {
            let (radius, around) = self.polar(x, y);
            let metal = edge(radius - INNER) * edge(OUTER - radius);
            // Turned metal: fine concentric grooves and two soft reflections that do not turn with the part.
            let grooves = 7.0 * (radius * 1.9 + (self.grain + radius * 0.13).sin() * 2.0).sin();
            let shine = 34.0 * (2.0 * (around - self.angle) - 0.8).cos();
            let bevel = 40.0 * (edge(INNER + 10.0 - radius) - edge(radius - OUTER + 10.0));
            let holes = (0..6).map(|i| i as f32 / 6.0 * std::f32::consts::TAU).any(|hole| {
                let (hx, hy) = ((around - hole).cos() * radius - 106.0, (around - hole).sin() * radius);
                hx.hypot(hy) < 13.0
            });
            let surface = if holes { 44.0 } else { 158.0 + grooves + shine + bevel };
            let table = 74.0 + 6.0 * ((x + y) as f32 * 0.01).sin();
            let noise: f32 = random.gen_range(-5.0..5.0);
            let value = (table + (surface - table) * metal) * self.light + noise;
            Rgb([value, value + 2.0, value + 6.0].map(|v| v.clamp(0.0, 255.0) as u8))
        })
    }
}

impl Product for Part {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] =
        &[("scratch", Defect::Scratch), ("stain", Defect::Stain), ("chip", Defect::Chip)];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let part = Self::new(random);
        let mut image = part.draw(random);
        let mask = defect.map(|defect| defect.apply(&part, &mut image, random));
        (image, mask)
    }
}

/// What can be wrong with a ring.
#[derive(Clone, Copy)]
pub enum Defect {
    /// A bright line.
    Scratch,
    /// A dark patch.
    Stain,
    /// A piece that is missing at the edge.
    Chip,
}

impl Defect {
    /// Damages the image and returns what was damaged, white on black.
    pub fn apply(self, part: &Part, image: &mut RgbImage, random: &mut impl Rng) -> GrayImage {
        let around = random.gen_range(0.0..std::f32::consts::TAU);
        let on_ring =
            |radius: f32| (part.centre.0 + around.cos() * radius, part.centre.1 + around.sin() * radius);
        let (x0, y0) =
            on_ring(if matches!(self, Self::Chip) { OUTER } else { 84.0 + random.gen_range(0.0..44.0) });
        let size: f32 = random.gen_range(9.0..17.0);
        let direction: f32 = random.gen_range(0.0..std::f32::consts::TAU);
        let bend: f32 = random.gen_range(-0.012..0.012);
        let mut mask = GrayImage::new(SIDE, SIDE);
        for (x, y, pixel) in image.enumerate_pixels_mut() {
            let (dx, dy) = (x as f32 - x0, y as f32 - y0);
            let (along, across) =
                (dx * direction.cos() + dy * direction.sin(), dy * direction.cos() - dx * direction.sin());
            let bearing = dy.atan2(dx);
            let ragged =
                1.0 + 0.14 * (2.0 * bearing + direction).sin() + 0.08 * (5.0 * bearing - direction).sin();
            let (strength, colour) = match self {
                Self::Scratch => {
                    let near = 1.6 - (across - bend * along * along).abs();
                    (near.clamp(0.0, 1.0) * edge(size * 2.2 - along.abs()), 232.0)
                }
                Self::Stain => (0.55 * ((size * ragged - dx.hypot(dy)) / 4.0).clamp(0.0, 1.0), 52.0),
                Self::Chip => (edge(size * ragged - dx.hypot(dy)), 70.0),
            };
            let on_metal = part.polar(x, y).0 < OUTER + 1.0 && part.polar(x, y).0 > INNER;
            if strength > 0.1 && on_metal {
                pixel.0 = pixel.0.map(|v| (f32::from(v) + (colour - f32::from(v)) * strength) as u8);
                mask.put_pixel(x, y, Luma([255]));
            }
        }
        mask
    }
}
