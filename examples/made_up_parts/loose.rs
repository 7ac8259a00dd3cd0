//! Several loose nuts, scattered on a plain ground: as many as there happen to be, anywhere and turned anyhow.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, Pose, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use image::{GrayImage, Luma};
use rand::Rng;
use std::f32::consts::{FRAC_PI_3, TAU};

const SIDE: u32 = 440;
/// Half of the width across the flats, in pixels.
const FLATS: f32 = 38.0;
const BORE: f32 = 20.0;
/// From the centre to a corner.
const CORNER: f32 = FLATS * 1.1547;

/// Nuts and how they lie there.
pub struct Nuts {
    nuts: Vec<Nut>,
    ground: Mottle,
    dust: Vec<(f32, f32, f32)>,
}

struct Nut {
    pose: Pose,
    scale: f32,
    /// How bright its face is: it never lies quite flat.
    tilt: f32,
    finish: Mottle,
}

/// What can be wrong with one of the nuts.
#[derive(Clone, Copy)]
pub enum Defect {
    Chip,
    Crack,
    Contamination,
    WrongPart,
}

/// What is wrong, with the first of the nuts.
enum Flaw {
    Chip(Blob),
    Crack(Line, f32),
    Contamination(Blob, f32),
    /// A washer lies there.
    Washer,
    /// A nut of another thread lies there, with a bore of this radius.
    Bore(f32),
}

impl Nuts {
    fn new(random: &mut Random) -> Self {
        let count = random.gen_range(4..=9);
        let mut nuts: Vec<Nut> = Vec::new();
        // Where no place is found for one more, there are fewer.
        for _ in 0..200 {
            if nuts.len() == count {
                break;
            }
            // The first one, which may have a defect, is wholly in the image.
            let border = if nuts.is_empty() { CORNER + 4.0 } else { FLATS * 0.9 };
            let mut at = || random.gen_range(border..SIDE as f32 - border);
            let centre = (at(), at());
            let apart = |nut: &Nut| {
                (nut.pose.centre.0 - centre.0).hypot(nut.pose.centre.1 - centre.1) > 2.0 * CORNER + 3.0
            };
            if nuts.iter().all(apart) {
                nuts.push(Nut {
                    pose: Pose::new(centre, random.gen_range(0.0..TAU)),
                    scale: random.gen_range(0.985..1.015),
                    tilt: random.gen_range(-5.0..5.0),
                    finish: Mottle::new(7.0, random),
                });
            }
        }
        Self {
            nuts,
            ground: Mottle::new(90.0, random),
            dust: (0..random.gen_range(3..10))
                .map(|_| {
                    let mut at = || random.gen_range(0.0..SIDE as f32);
                    (at(), at(), random.gen_range(0.5..1.1))
                })
                .collect(),
        }
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new((SIDE, SIDE), |x, y| {
            let mut value = 198.0 + 5.0 * self.ground.at(x, y);
            for (dx, dy, radius) in &self.dust {
                value -= 18.0 * edge(radius - (x - dx).hypot(y - dy));
            }
            for (i, nut) in self.nuts.iter().enumerate() {
                let (dx, dy) = (x - nut.pose.centre.0, y - nut.pose.centre.1);
                if dx.abs().max(dy.abs()) < CORNER + 16.0 {
                    value = nut.over(value, x, y, flaw.filter(|_| i == 0));
                }
            }
            value
        })
    }

    /// The mask, and all of the first nut.
    fn with_first(&self, mask: GrayImage) -> GrayImage {
        let (x0, y0) = self.nuts.first().map_or((0.0, 0.0), |nut| nut.pose.centre);
        GrayImage::from_fn(SIDE, SIDE, |x, y| {
            let inside = (x as f32 - x0).hypot(y as f32 - y0) < FLATS + 2.0;
            if inside { Luma([255]) } else { *mask.get_pixel(x, y) }
        })
    }

    /// Draws what is wrong with the first nut, in its own directions.
    fn flaw(defect: Defect, random: &mut Random) -> Flaw {
        let around = random.gen_range(0.0..TAU);
        let at = |radius: f32| (radius * around.cos(), radius * around.sin());
        match defect {
            Defect::Chip => {
                // The flats are at multiples of 60 degrees, the corners between them.
                let corner = (f32::floor(around / FRAC_PI_3) + 0.5) * FRAC_PI_3;
                let centre = (CORNER * corner.cos(), CORNER * corner.sin());
                let radius = random.gen_range(10.0..15.0);
                Flaw::Chip(Blob::new(centre, radius, 0.4, random))
            }
            Defect::Crack => {
                let direction = around + random.gen_range(-0.4..0.4);
                let line = Line::new(at(BORE - 1.0), direction, random.gen_range(14.0..24.0), 0.3, random);
                Flaw::Crack(line, random.gen_range(2.0..3.0))
            }
            Defect::Contamination => {
                let blob =
                    Blob::new(at(random.gen_range(24.0..34.0)), random.gen_range(8.0..13.0), 0.6, random);
                Flaw::Contamination(blob, random.gen_range(0.6..0.9))
            }
            Defect::WrongPart if random.gen_bool(0.5) => Flaw::Washer,
            Defect::WrongPart => Flaw::Bore(BORE + if random.gen_bool(0.5) { 5.0 } else { -6.0 }),
        }
    }
}

impl Nut {
    /// The grey value of a position where the ground has this one.
    fn over(&self, ground: f32, x: f32, y: f32, flaw: Option<&Flaw>) -> f32 {
        let (s, t) = self.pose.local(x, y);
        let (s, t) = (s / self.scale, t / self.scale);
        let radius = s.hypot(t);
        let washer = matches!(flaw, Some(Flaw::Washer));
        let bore = if let Some(Flaw::Bore(radius)) = flaw { *radius } else { BORE };
        let flats = |s: f32, t: f32| {
            [(1.0, 0.0), (0.5, 0.866), (-0.5, 0.866)]
                .map(|(c, n)| (s * c + t * n).abs())
                .into_iter()
                .fold(0.0, f32::max)
        };
        // How deep a position is in the material, but for the bore.
        let body = |s: f32, t: f32| {
            let inside = if washer { FLATS + 1.0 - s.hypot(t) } else { FLATS - flats(s, t) };
            if let Some(Flaw::Chip(blob)) = flaw { inside.min(-blob.depth(s, t)) } else { inside }
        };
        // A soft shadow at the lower right; in the bore, it is dark but for where the light falls through.
        let (shadow_s, shadow_t) = self.pose.local(x - 4.0, y - 5.0);
        let through = 0.6 * smooth(2.0, -4.0, shadow_s.hypot(shadow_t) - bore);
        let shadow = smooth(-8.0, 5.0, body(shadow_s, shadow_t)) * (1.0 - through);
        let mut ground = ground * (1.0 - 0.42 * shadow);
        if radius < bore {
            // The thread, seen from above.
            ground = mix(ground, 70.0 + 14.0 * (radius * 2.4).sin(), 0.8 * edge(radius - bore + 4.5));
        }
        let depth = body(s, t).min(radius - bore);
        let cover = edge(depth * self.scale);
        if cover == 0.0 {
            return ground;
        }
        // Turned towards the light: the chamfers, around the face and in the bore.
        let towards = ((self.pose.centre.0 - x) * 0.6 + (self.pose.centre.1 - y) * 0.8) / radius.max(1.0);
        let mut value = 132.0 + self.tilt + 4.0 * self.finish.at(s, t) + 3.0 * (radius * 1.7).sin();
        let rim = if washer { FLATS - 4.0 } else { FLATS - 1.0 };
        value += 34.0 * towards * edge((radius - rim) * 0.7) - 26.0 * towards * edge(bore + 4.5 - radius);
        value -= 30.0 * edge(bore + 1.0 - radius);
        match flaw {
            Some(Flaw::Chip(blob)) => value = mix(value, 95.0, 0.8 * smooth(-5.0, -0.5, blob.depth(s, t))),
            Some(Flaw::Crack(line, width)) => value = mix(value, 48.0, 0.95 * line.coverage(s, t, *width)),
            Some(Flaw::Contamination(blob, strength)) => {
                value = mix(value, 58.0, strength * smooth(-1.0, 3.0, blob.depth(s, t)));
            }
            _ => {}
        }
        mix(ground, value, cover)
    }
}

impl Product for Nuts {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] = &[
        ("chip", Defect::Chip),
        ("crack", Defect::Crack),
        ("contamination", Defect::Contamination),
        ("wrong_part", Defect::WrongPart),
    ];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let nuts = Self::new(random);
        let camera = Camera::new(3.0, [0.97, 1.0, 1.02], random);
        let flaw = defect.map(|defect| Self::flaw(defect, random));
        let (image, mask) = inspect(&camera, |flaw| nuts.picture(flaw), flaw.as_ref(), 6.0);
        // A wrong part is wrong as a whole, also where it looks like a right one.
        let wrong = matches!(flaw, Some(Flaw::Washer | Flaw::Bore(_)));
        (image, mask.map(|mask| if wrong { nuts.with_first(mask) } else { mask }))
    }
}
