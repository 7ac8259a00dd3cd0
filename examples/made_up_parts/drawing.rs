//! What the drawings share: shapes with smooth edges, natural unevenness, and the camera.

use super::Random;
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use std::f32::consts::TAU;

/// How much of a pixel is covered, from the distance in pixels of its centre to the edge of a shape, positive inside: 0 outside, 1 inside,
/// one pixel of transition.
pub fn edge(distance: f32) -> f32 {
    (distance + 0.5).clamp(0.0, 1.0)
}

/// How far `value` has come on its way from `start` to `end`: 0 to 1, beginning and ending gently.
pub fn smooth(start: f32, end: f32, value: f32) -> f32 {
    let t = ((value - start) / (end - start)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// `from` where `share` is 0, `to` where it is 1.
pub fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// Where a part lies and how it is turned.
#[derive(Clone, Copy)]
pub struct Pose {
    /// The part's origin in the image, in pixels.
    pub centre: (f32, f32),
    axis: (f32, f32),
}

impl Pose {
    /// The part's first axis is at `angle` (radians) to the image's rows.
    pub fn new(centre: (f32, f32), angle: f32) -> Self {
        Self { centre, axis: (angle.cos(), angle.sin()) }
    }

    /// A position of the image, along the part's axis and across it.
    pub fn local(&self, x: f32, y: f32) -> (f32, f32) {
        self.turn_back(x - self.centre.0, y - self.centre.1)
    }

    /// A position of the part, in the image.
    pub fn global(&self, along: f32, across: f32) -> (f32, f32) {
        let (c, s) = self.axis;
        (self.centre.0 + along * c - across * s, self.centre.1 + along * s + across * c)
    }

    /// A direction of the image, along the part's axis and across it.
    pub fn turn_back(&self, dx: f32, dy: f32) -> (f32, f32) {
        let (c, s) = self.axis;
        (dx * c + dy * s, dy * c - dx * s)
    }
}

/// Nodes of the lattice of [`Mottle`] in each direction; it repeats after them.
const NODES: usize = 64;

/// Unevenness that changes smoothly from place to place: value noise, between -1 and 1.
pub struct Mottle {
    period: f32,
    nodes: Vec<f32>,
}

impl Mottle {
    /// Light and dark places follow each other at about `period` pixels.
    pub fn new(period: f32, random: &mut Random) -> Self {
        Self { period, nodes: (0..NODES * NODES).map(|_| random.gen_range(-1.0..1.0)).collect() }
    }

    /// The unevenness of a position.
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x / self.period, y / self.period);
        let (left, top) = (x.floor(), y.floor());
        let (right, bottom) = (smooth(0.0, 1.0, x - left), smooth(0.0, 1.0, y - top));
        let node = |dx: i32, dy: i32| {
            let wrap = |i: f32, d: i32| (i as i32 + d) as usize % NODES;
            self.nodes[wrap(top, dy) * NODES + wrap(left, dx)]
        };
        mix(mix(node(0, 0), node(1, 0), right), mix(node(0, 1), node(1, 1), right), bottom)
    }
}

/// A thin line that wanders: a crack, a scratch, a fibre.
pub struct Line {
    points: Vec<(f32, f32)>,
    low: (f32, f32),
    high: (f32, f32),
}

impl Line {
    /// Distances to a line are exact up to this many pixels.
    pub const REACH: f32 = 12.0;

    /// A line of `length` pixels, which sets out in `direction` (radians). At each step of about four pixels it turns by up to `wander` radians.
    pub fn new(start: (f32, f32), direction: f32, length: f32, wander: f32, random: &mut Random) -> Self {
        let steps = (length / 4.0).ceil().max(1.0);
        let step = length / steps;
        let (mut x, mut y) = start;
        let mut heading = direction;
        let mut points = vec![start];
        for _ in 0..steps as usize {
            heading += random.gen_range(-1.0..1.0) * wander;
            (x, y) = (x + heading.cos() * step, y + heading.sin() * step);
            points.push((x, y));
        }
        let bound = |pick: fn(f32, f32) -> f32, at: f32| {
            points.iter().fold((at, at), |b, p| (pick(b.0, p.0), pick(b.1, p.1)))
        };
        Self { low: bound(f32::min, f32::INFINITY), high: bound(f32::max, f32::NEG_INFINITY), points }
    }

    /// The distance in pixels to the nearest point of the line; infinite beyond [`Line::REACH`].
    pub fn distance(&self, x: f32, y: f32) -> f32 {
        let outside = |low: f32, high: f32, at: f32| at < low - Self::REACH || at > high + Self::REACH;
        if outside(self.low.0, self.high.0, x) || outside(self.low.1, self.high.1, y) {
            return f32::INFINITY;
        }
        let to_segment = |pair: &[(f32, f32)]| {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            let (dx, dy) = (x1 - x0, y1 - y0);
            let t = (((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
            (x - x0 - t * dx).hypot(y - y0 - t * dy)
        };
        self.points.windows(2).map(to_segment).fold(f32::INFINITY, f32::min)
    }

    /// How much of a pixel a line of this width covers, 0 to 1.
    pub fn coverage(&self, x: f32, y: f32, width: f32) -> f32 {
        (width / 2.0 + 0.5 - self.distance(x, y)).clamp(0.0, 1.0) * width.min(1.0)
    }
}

/// A patch with a ragged outline.
pub struct Blob {
    /// Its middle, in pixels.
    pub centre: (f32, f32),
    /// Its mean radius, in pixels.
    pub radius: f32,
    lobes: [(f32, f32); 3],
}

impl Blob {
    /// `raggedness` is how far the outline leaves the circle, as a share of the radius.
    pub fn new(centre: (f32, f32), radius: f32, raggedness: f32, random: &mut Random) -> Self {
        let lobes = [0.5, 0.35, 0.25]
            .map(|share| (random.gen_range(0.5..1.0) * share * raggedness, random.gen_range(0.0..TAU)));
        Self { centre, radius, lobes }
    }

    /// How deep a position is in the patch, in pixels; negative outside.
    pub fn depth(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.centre.0, y - self.centre.1);
        let distance = dx.hypot(dy);
        if distance > 2.5 * self.radius {
            return self.radius - distance;
        }
        let bearing = dy.atan2(dx);
        let lobes = self.lobes.iter().zip([2.0, 3.0, 5.0]).map(|((a, p), n)| a * (n * bearing + p).sin());
        self.radius * (1.0 + lobes.sum::<f32>()) - distance
    }
}

/// A scene without noise, in grey values of 0 to 255.
pub struct Picture {
    width: u32,
    height: u32,
    /// Row by row.
    pub values: Vec<f32>,
}

impl Picture {
    /// Evaluates the scene at each pixel.
    pub fn new((width, height): (u32, u32), at: impl Fn(f32, f32) -> f32) -> Self {
        let values = (0..height).flat_map(|y| (0..width).map(move |x| (x as f32, y as f32)));
        Self { width, height, values: values.map(|(x, y)| at(x, y)).collect() }
    }

    /// Where this scene differs from the good one by more than `level` grey values, and the pixels next to those: white on black.
    pub fn changes(&self, good: &Self, level: f32) -> GrayImage {
        let mut mask = GrayImage::new(self.width, self.height);
        for (i, (a, b)) in self.values.iter().zip(&good.values).enumerate() {
            if (a - b).abs() > level {
                let (x, y) = (i as u32 % self.width, i as u32 / self.width);
                for y in y.saturating_sub(1)..(y + 2).min(self.height) {
                    for x in x.saturating_sub(1)..(x + 2).min(self.width) {
                        mask.put_pixel(x, y, Luma([255]));
                    }
                }
            }
        }
        mask
    }
}

/// A camera and the light above the scene.
pub struct Camera {
    level: f32,
    slope: (f32, f32),
    noise: f32,
    tint: [f32; 3],
    /// Where the sensor's random numbers begin.
    exposure: u64,
}

impl Camera {
    /// Light that differs by up to 5 % from image to image, and by as little from side to side. `noise` is the sensor's standard deviation in
    /// grey values, `tint` what each of red, green and blue has of the grey value.
    pub fn new(noise: f32, tint: [f32; 3], random: &mut Random) -> Self {
        let mut slope = || random.gen_range(-0.025..0.025);
        let slope = (slope(), slope());
        Self { slope, level: random.gen_range(0.95..1.05), noise, tint, exposure: random.r#gen() }
    }

    /// The image that it takes. The same camera has the same noise in each, so that a defect is all that two images of a part differ by.
    pub fn photograph(&self, picture: &Picture) -> RgbImage {
        let mut random = Random::seed_from_u64(self.exposure);
        let (width, height) = (picture.width as f32, picture.height as f32);
        let mut values = picture.values.iter();
        RgbImage::from_fn(picture.width, picture.height, |x, y| {
            let side = self.slope.0 * (2.0 * x as f32 / width - 1.0)
                + self.slope.1 * (2.0 * y as f32 / height - 1.0);
            let value = values.next().copied().unwrap_or_default() * self.level * (1.0 + side);
            let value = value + self.noise * normal(&mut random);
            Rgb(self.tint.map(|share| (value * share + 0.5).clamp(0.0, 255.0) as u8))
        })
    }
}

/// A random number of about the standard normal distribution: the sum of four uniform ones.
fn normal(random: &mut Random) -> f32 {
    let bits: u64 = random.r#gen();
    let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
    (sum as f32 / 65536.0 - 2.0) * 1.732
}

/// Photographs a good part or, with a flaw, a defective one. `picture` draws the same part with and without the flaw: where they differ by
/// more than `level` grey values is the mask.
pub fn inspect<F>(
    camera: &Camera,
    picture: impl Fn(Option<&F>) -> Picture,
    flaw: Option<&F>,
    level: f32,
) -> super::Sample {
    let good = picture(None);
    let Some(flaw) = flaw else { return (camera.photograph(&good), None) };
    let bad = picture(Some(flaw));
    (camera.photograph(&bad), Some(bad.changes(&good, level)))
}
