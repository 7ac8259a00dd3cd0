//! Grained leather that fills the image.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::TAU;

const SIDE: u32 = 400;
/// From one pebble of the grain to the next, in pixels.
const PEBBLE: f32 = 9.5;
/// Pebbles in each direction; the image has fewer.
const PEBBLES: usize = 64;

/// A piece of leather.
pub struct Leather {
    /// The middle of each pebble in its cell, and its brightness.
    pebbles: Vec<(f32, f32, f32)>,
    scale: f32,
    /// Grain is coarser here and finer there.
    stretch: [Mottle; 2],
    /// Furrows are deeper here and shallower there.
    depth: Mottle,
    pores: Mottle,
    tan: Mottle,
}

/// What can be wrong with leather.
#[derive(Clone, Copy)]
pub enum Defect {
    Hole,
    Cut,
    Stain,
    Fibre,
}

enum Flaw {
    Hole(Blob),
    Cut(Line, f32),
    Stain(Blob, f32),
    Fibre { line: Line, width: f32, value: f32 },
}

impl Leather {
    fn new(random: &mut Random) -> Self {
        let pebble = |random: &mut Random| {
            let mut within = || random.gen_range(0.02..0.98);
            (within(), within(), random.gen_range(-1.0..1.0))
        };
        Self {
            pebbles: (0..PEBBLES * PEBBLES).map(|_| pebble(random)).collect(),
            scale: PEBBLE * random.gen_range(0.95..1.05),
            stretch: [Mottle::new(50.0, random), Mottle::new(50.0, random)],
            depth: Mottle::new(30.0, random),
            pores: Mottle::new(1.7, random),
            tan: Mottle::new(80.0, random),
        }
    }

    /// How far a position is from the furrow between two pebbles, in pixels, and the brightness of its pebble.
    fn grain(&self, x: f32, y: f32) -> (f32, f32) {
        let x = (x + 7.0 * self.stretch[0].at(x, y)) / self.scale + 2.0;
        let y = (y + 7.0 * self.stretch[1].at(x, y)) / self.scale + 2.0;
        let (column, row) = (x.floor() as i32, y.floor() as i32);
        let (mut nearest, mut second, mut brightness) = (f32::INFINITY, f32::INFINITY, 0.0);
        for r in row - 1..=row + 1 {
            for c in column - 1..=column + 1 {
                let (px, py, own) = self.pebbles[r as usize % PEBBLES * PEBBLES + c as usize % PEBBLES];
                let distance = (x - c as f32 - px).powi(2) + (y - r as f32 - py).powi(2);
                if distance < nearest {
                    (second, nearest, brightness) = (nearest, distance, own);
                } else if distance < second {
                    second = distance;
                }
            }
        }
        ((second.sqrt() - nearest.sqrt()) * self.scale * 0.5, brightness)
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new((SIDE, SIDE), |x, y| {
            let (furrow, brightness) = self.grain(x, y);
            let deep = 34.0 + 9.0 * self.depth.at(x, y);
            let pores = self.pores.at(x, y);
            let mut value = 136.0 - deep * smooth(2.6, 0.0, furrow) + 6.0 * brightness + 6.0 * pores;
            value += 8.0 * self.tan.at(x, y);
            match flaw {
                Some(Flaw::Hole(blob)) => {
                    let depth = blob.depth(x, y) + pores;
                    value += 26.0 * edge(1.6 - (depth + 1.6).abs());
                    value = mix(value, 34.0, edge(depth));
                }
                Some(Flaw::Cut(line, width)) => {
                    value += 34.0 * line.coverage(x - 1.4, y - 1.4, *width);
                    value = mix(value, 46.0, line.coverage(x, y, *width));
                }
                Some(Flaw::Stain(blob, strength)) => {
                    value *= 1.0 - strength * smooth(-2.0, 8.0, blob.depth(x, y) + 2.0 * pores);
                }
                Some(Flaw::Fibre { line, width, value: colour }) => {
                    value = mix(value, *colour, 0.9 * line.coverage(x, y, *width));
                }
                None => {}
            }
            value
        })
    }

    fn flaw(defect: Defect, random: &mut Random) -> Flaw {
        let mut at = || random.gen_range(40.0..SIDE as f32 - 40.0);
        let spot = (at(), at());
        let direction = random.gen_range(0.0..TAU);
        match defect {
            Defect::Hole => Flaw::Hole(Blob::new(spot, random.gen_range(4.0..9.0), 0.5, random)),
            Defect::Cut => {
                let line = Line::new(spot, direction, random.gen_range(30.0..60.0), 0.12, random);
                Flaw::Cut(line, random.gen_range(1.5..2.8))
            }
            Defect::Stain => {
                let blob = Blob::new(spot, random.gen_range(12.0..24.0), 0.6, random);
                let strength = random.gen_range(0.28..0.42);
                Flaw::Stain(blob, if random.gen_bool(0.7) { strength } else { -strength })
            }
            Defect::Fibre => Flaw::Fibre {
                line: Line::new(spot, direction, random.gen_range(40.0..90.0), 0.35, random),
                width: random.gen_range(1.3..2.2),
                value: if random.gen_bool(0.5) { 45.0 } else { 215.0 },
            },
        }
    }
}

impl Product for Leather {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] =
        &[("hole", Defect::Hole), ("cut", Defect::Cut), ("stain", Defect::Stain), ("fibre", Defect::Fibre)];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let leather = Self::new(random);
        let camera = Camera::new(3.0, [1.0, 0.72, 0.5], random);
        let flaw = defect.map(|defect| Self::flaw(defect, random));
        inspect(&camera, |flaw| leather.picture(flaw), flaw.as_ref(), 8.0)
    }
}
