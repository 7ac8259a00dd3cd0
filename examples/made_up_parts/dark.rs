//! Dark tyres on a dark, mottled ground: part and ground differ by few grey values.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, Pose, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::TAU;

const SIZE: (u32, u32) = (450, 600);

// Radii in pixels.
const OUTER: f32 = 158.0;
const TREAD: f32 = 132.0;
const INNER: f32 = 84.0;
/// Blocks of the tread around the tyre.
const BLOCKS: f32 = 36.0;
/// Marks moulded into the side wall, one bit for each of the places around it.
const MARKS: [u64; 2] = [0b1011_0111_0101_1101_0000, 0b1110_1011_0110_0000];
const PLACES: f32 = 64.0;

/// A tyre and how it lies there.
pub struct Tyre {
    pose: Pose,
    scale: f32,
    ground: [Mottle; 2],
    rubber: Mottle,
    wear: Mottle,
    dust: Vec<(f32, f32, f32)>,
}

/// What can be wrong with a tyre.
#[derive(Clone, Copy)]
pub enum Defect {
    Hole,
    Cut,
    Contamination,
}

enum Flaw {
    Hole(Blob),
    Cut(Line, f32),
    Contamination(Blob, Mottle, f32),
}

impl Tyre {
    fn new(random: &mut Random) -> Self {
        let mut off = || random.gen_range(-34.0..34.0);
        let centre = (SIZE.0 as f32 / 2.0 + off(), SIZE.1 as f32 / 2.0 + 1.8 * off());
        Self {
            pose: Pose::new(centre, random.gen_range(0.0..TAU)),
            scale: random.gen_range(0.985..1.015),
            ground: [Mottle::new(70.0, random), Mottle::new(14.0, random)],
            rubber: Mottle::new(5.0, random),
            wear: Mottle::new(45.0, random),
            dust: (0..random.gen_range(4..14))
                .map(|_| {
                    let x = random.gen_range(0.0..SIZE.0 as f32);
                    (x, random.gen_range(0.0..SIZE.1 as f32), random.gen_range(0.5..1.2))
                })
                .collect(),
        }
    }

    /// The tyre's grey value at a radius and an angle, both its own.
    fn rubber(&self, radius: f32, around: f32) -> f32 {
        let turn = around / TAU + 0.5;
        if radius > TREAD {
            // Blocks of two lengths in turn, staggered between the outer and the inner row.
            let row = if radius > (OUTER + TREAD) / 2.0 { 0.5 } else { 0.0 };
            let place = (turn * BLOCKS + row).fract();
            let groove = edge((3.0 - (place - 0.5).abs() * TAU * radius / BLOCKS).clamp(-1.0, 1.0));
            let rows = edge(1.5 - (radius - (OUTER + TREAD) / 2.0).abs());
            return 37.0 - 13.0 * groove.max(rows) + 4.0 * smooth(TREAD, TREAD + 4.0, radius);
        }
        let rib = |at: f32, width: f32| edge(width / 2.0 - (radius - at).abs());
        let ribs = 5.0 * rib(126.0, 2.5) + 5.0 * rib(96.0, 3.0) - 6.0 * rib(INNER + 4.0, 2.0);
        let mut marks = 0.0;
        for (i, bits) in MARKS.iter().enumerate() {
            let place = (turn + 0.5 * i as f32).fract() * PLACES;
            let bit = place as u32;
            if bit < 20 && bits >> bit & 1 == 1 {
                marks +=
                    6.0 * edge(6.0 - (radius - 111.0).abs()) * edge(3.4 - (place.fract() - 0.5).abs() * 10.5);
            }
        }
        31.0 + ribs + marks
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new(SIZE, |x, y| {
            let mut ground = 54.0
                + 6.0 * self.ground[0].at(0.8 * x + 0.6 * y + 600.0, 0.8 * y - 0.6 * x + 600.0)
                + 4.0 * self.ground[1].at(x, y);
            for (dx, dy, radius) in &self.dust {
                ground += 22.0 * edge(radius - (x - dx).hypot(y - dy));
            }
            let (dx, dy) = self.pose.local(x, y);
            let radius = dx.hypot(dy) / self.scale;
            if !(INNER - 14.0..=OUTER + 12.0).contains(&radius) {
                return ground;
            }
            let cover = edge(radius - INNER) * edge(OUTER - radius);
            let shadow =
                smooth(OUTER + 12.0, OUTER - 4.0, radius).min(smooth(INNER - 14.0, INNER + 2.0, radius));
            ground -= 9.0 * shadow;
            let mut value = self.rubber(radius, dy.atan2(dx));
            // The lamp is at the upper left, and the tyre's wall is round.
            let towards = ((self.pose.centre.0 - x) * 0.6 + (self.pose.centre.1 - y) * 0.8) / radius;
            let slope = (2.0 * radius - OUTER - INNER) / (OUTER - INNER);
            value += 5.0 * towards * slope + 2.5 * self.rubber.at(dx, dy) + 3.0 * self.wear.at(dx, dy);
            match flaw {
                Some(Flaw::Hole(blob)) => {
                    let depth = blob.depth(dx, dy);
                    value = mix(value, value + 11.0, edge(depth + 2.0) * edge(2.0 - depth));
                    value = mix(value, 9.0, edge(depth));
                }
                Some(Flaw::Cut(line, width)) => {
                    value += 13.0 * line.coverage(dx - 1.5, dy - 1.5, *width);
                    value = mix(value, 10.0, line.coverage(dx, dy, *width));
                }
                Some(Flaw::Contamination(blob, mottle, strength)) => {
                    let thick = smooth(0.0, 5.0, blob.depth(dx, dy)) * (1.0 + 0.5 * mottle.at(dx, dy));
                    value += strength * thick;
                }
                None => {}
            }
            mix(ground, value, cover)
        })
    }

    fn flaw(defect: Defect, random: &mut Random) -> Flaw {
        let place = |low: f32, high: f32, random: &mut Random| {
            let (radius, around) = (random.gen_range(low..high), random.gen_range(0.0..TAU));
            ((radius * around.cos(), radius * around.sin()), around)
        };
        match defect {
            Defect::Hole => {
                let (centre, _) = place(INNER + 10.0, OUTER - 8.0, random);
                let radius = random.gen_range(5.5..9.5);
                Flaw::Hole(Blob::new(centre, radius, 0.4, random))
            }
            Defect::Cut => {
                let (start, around) = place(INNER + 12.0, OUTER - 24.0, random);
                let direction = around + random.gen_range(-1.2..1.2);
                let line = Line::new(start, direction, random.gen_range(20.0..42.0), 0.15, random);
                Flaw::Cut(line, random.gen_range(1.8..3.0))
            }
            Defect::Contamination => {
                let (centre, _) = place(INNER + 14.0, OUTER - 12.0, random);
                let blob = Blob::new(centre, random.gen_range(8.0..15.0), 0.7, random);
                Flaw::Contamination(blob, Mottle::new(4.0, random), random.gen_range(15.0..25.0))
            }
        }
    }
}

impl Product for Tyre {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] =
        &[("hole", Defect::Hole), ("cut", Defect::Cut), ("contamination", Defect::Contamination)];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let tyre = Self::new(random);
        let camera = Camera::new(4.0, [1.0, 0.98, 0.95], random);
        let flaw = defect.map(|defect| Self::flaw(defect, random));
        inspect(&camera, |flaw| tyre.picture(flaw), flaw.as_ref(), 4.0)
    }
}
