//! Nonwoven that fills the image: random fibres, bonded at a regular pattern of points.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::TAU;

const SIDE: u32 = 400;
const FIBRES: usize = 5200;
/// From one bond point to the next in a row, and between rows, in pixels.
const BONDS: (f32, f32) = (24.0, 14.0);

/// A piece of nonwoven.
pub struct Nonwoven {
    /// How much fibre lies on each pixel, row by row.
    web: Vec<f32>,
    bonds: (f32, f32),
    clouds: [Mottle; 2],
}

/// What can be wrong with nonwoven.
#[derive(Clone, Copy)]
pub enum Defect {
    Hole,
    Stain,
    Fibre,
}

enum Flaw {
    /// The web is torn, and its fibres are pushed aside.
    Hole(Blob),
    Stain(Blob, f32),
    Fibre {
        line: Line,
        width: f32,
        value: f32,
    },
}

impl Nonwoven {
    fn new(random: &mut Random) -> Self {
        let mut web = vec![0.0; (SIDE * SIDE) as usize];
        for _ in 0..FIBRES {
            lay(&mut web, random);
        }
        Self {
            web,
            bonds: (random.gen_range(0.0..BONDS.0), random.gen_range(0.0..2.0 * BONDS.1)),
            clouds: [Mottle::new(45.0, random), Mottle::new(16.0, random)],
        }
    }

    /// How much of a position is a bond point: fibres are pressed flat there.
    fn bond(&self, x: f32, y: f32) -> f32 {
        let row = ((y + self.bonds.1) / BONDS.1).round();
        let stagger = if row as i32 % 2 == 0 { 0.0 } else { BONDS.0 / 2.0 };
        let dx = (x + self.bonds.0 + stagger).rem_euclid(BONDS.0) - BONDS.0 / 2.0;
        let dy = y + self.bonds.1 - row * BONDS.1;
        edge(3.2 - (dx / 1.3).hypot(dy))
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new((SIDE, SIDE), |x, y| {
            let mut web = self.web[y as usize * SIDE as usize + x as usize];
            web *= 1.0 + 0.08 * self.clouds[0].at(x, y) + 0.08 * self.clouds[1].at(x, y);
            let mut pushed = 0.0;
            if let Some(Flaw::Hole(blob)) = flaw {
                let depth = blob.depth(x, y);
                web *= 1.0 - 0.85 * smooth(-1.0, 3.0, depth);
                pushed = 24.0 * smooth(-5.0, -1.0, depth) * smooth(2.0, -1.0, depth);
            }
            // The more fibres, the less of the dark ground is to be seen.
            let value = 222.0 - 128.0 * (-0.9 * web).exp() + pushed;
            let mut value = mix(value, 168.0 + 0.2 * value, 0.8 * self.bond(x, y) * web.min(1.0));
            match flaw {
                Some(Flaw::Stain(blob, strength)) => {
                    value *=
                        1.0 - strength * smooth(-2.0, 7.0, blob.depth(x, y) + 3.0 * self.clouds[1].at(x, y));
                }
                Some(Flaw::Fibre { line, width, value: colour }) => {
                    value = mix(value, *colour, 0.85 * line.coverage(x, y, *width));
                }
                _ => {}
            }
            value
        })
    }

    fn flaw(defect: Defect, random: &mut Random) -> Flaw {
        let mut at = || random.gen_range(40.0..SIDE as f32 - 40.0);
        let spot = (at(), at());
        match defect {
            Defect::Hole => Flaw::Hole(Blob::new(spot, random.gen_range(11.0..19.0), 0.6, random)),
            Defect::Stain => {
                let blob = Blob::new(spot, random.gen_range(14.0..26.0), 0.6, random);
                Flaw::Stain(blob, random.gen_range(0.24..0.38))
            }
            Defect::Fibre => {
                let direction = random.gen_range(0.0..TAU);
                Flaw::Fibre {
                    line: Line::new(spot, direction, random.gen_range(35.0..80.0), 0.3, random),
                    width: random.gen_range(2.2..3.2),
                    value: random.gen_range(40.0..75.0),
                }
            }
        }
    }
}

/// Lays one more fibre on the web.
fn lay(web: &mut [f32], random: &mut Random) {
    let side = SIDE as f32;
    let (mut x, mut y) = (random.gen_range(-30.0..side + 30.0), random.gen_range(-30.0..side + 30.0));
    let mut heading: f32 = random.gen_range(0.0..TAU);
    let bend = random.gen_range(-0.03..0.03);
    let weight = random.gen_range(0.1..0.4);
    for _ in 0..random.gen_range(40..110) {
        heading += bend;
        (x, y) = (x + heading.cos(), y + heading.sin());
        let (left, top) = (x.floor(), y.floor());
        for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let (px, py) = (left + dx, top + dy);
            if (0.0..side).contains(&px) && (0.0..side).contains(&py) {
                let share = (1.0 - (x - px).abs()) * (1.0 - (y - py).abs());
                web[py as usize * SIDE as usize + px as usize] += weight * share;
            }
        }
    }
}

impl Product for Nonwoven {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] =
        &[("hole", Defect::Hole), ("stain", Defect::Stain), ("fibre", Defect::Fibre)];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let web = Self::new(random);
        let camera = Camera::new(3.0, [1.0, 1.0, 1.0], random);
        let flaw = defect.map(|defect| Self::flaw(defect, random));
        inspect(&camera, |flaw| web.picture(flaw), flaw.as_ref(), 8.0)
    }
}
