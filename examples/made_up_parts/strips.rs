//! Printed metal strips, two and a half times as long as high, with holes, a scale and print along them.
//!
//! Their hairline cracks are one or two pixels wide: squeezed to a square of 256, they lose two thirds of that.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::PI;

const SIZE: (u32, u32) = (800, 320);
const TOP: f32 = 26.0;
const BOTTOM: f32 = 294.0;
/// After so many pixels the pattern repeats.
const REPEAT: f32 = 200.0;
/// The print: a digit's three columns of five rows, a bit each, from the upper left.
const DIGITS: [u16; 5] =
    [0b111_001_111_100_111, 0b111_101_101_101_111, 0b101_101_111_001_001, 0, 0b111_001_010_010_010];
/// Pixels of a digit's column or row.
const CELL: f32 = 6.0;
const PRINT: (f32, f32) = (42.0, 134.0);

/// A piece of the strip.
pub struct Strip {
    /// Where along the strip the image begins, and how it lies.
    start: f32,
    shift: f32,
    slope: f32,
    scale: f32,
    ink: f32,
    brushed: Mottle,
    grain: Mottle,
    wear: Mottle,
    scuffs: Vec<Line>,
}

/// What can be wrong with a strip.
#[derive(Clone, Copy)]
pub enum Defect {
    Crack,
    Dent,
    MissingPrint,
}

enum Flaw {
    Crack {
        line: Line,
        width: f32,
        contrast: f32,
    },
    Dent(Blob, f32),
    /// Between these positions along the strip, the print is faint.
    MissingPrint {
        from: f32,
        to: f32,
        left: f32,
    },
}

impl Strip {
    fn new(random: &mut Random) -> Self {
        Self {
            start: random.gen_range(0.0..REPEAT),
            shift: random.gen_range(-5.0..5.0),
            slope: random.gen_range(-0.006..0.006),
            scale: random.gen_range(0.992..1.008),
            ink: random.gen_range(0.88..1.0),
            brushed: Mottle::new(1.6, random),
            grain: Mottle::new(5.0, random),
            wear: Mottle::new(60.0, random),
            // Faint marks of handling, along the strip as it was drawn.
            scuffs: (0..random.gen_range(1..5))
                .map(|_| {
                    let start =
                        (random.gen_range(0.0..SIZE.0 as f32), random.gen_range(TOP + 8.0..BOTTOM - 8.0));
                    let direction = random.gen_range(-0.08..0.08);
                    Line::new(start, direction, random.gen_range(20.0..80.0), 0.02, random)
                })
                .collect(),
        }
    }

    /// A position of the image on the strip: from its beginning, and from the image's upper border where the strip lies in its place.
    fn on_strip(&self, x: f32, y: f32) -> (f32, f32) {
        let (dx, dy) = (x - SIZE.0 as f32 / 2.0, y - SIZE.1 as f32 / 2.0);
        let across = (dy - self.shift - self.slope * dx) / self.scale;
        ((dx + self.slope * dy) / self.scale + self.start + 2.0 * REPEAT, across + SIZE.1 as f32 / 2.0)
    }

    /// How much ink a position of the strip has.
    fn print(along: f32, across: f32) -> f32 {
        let place = along.rem_euclid(REPEAT);
        // The scale: a long mark, then nine short ones.
        let mark = (place / 20.0).round();
        let length = if mark as i32 % 10 == 0 {
            34.0
        } else if mark as i32 % 5 == 0 {
            25.0
        } else {
            15.0
        };
        let bottom = 262.0;
        let marks =
            edge(1.4 - (place - mark * 20.0).abs()) * edge(bottom - across) * edge(across - bottom + length);
        let (column, row) = ((place - PRINT.0) / CELL, (across - PRINT.1) / CELL);
        let digit = (column / 4.0).floor();
        if !(0.0..DIGITS.len() as f32).contains(&digit) || !(-1.0..6.0).contains(&row) {
            return marks;
        }
        // The cell and its neighbours, of which the position may have a share.
        let cell = |c: f32, r: f32| {
            let (c, r) = (c as i32, r as i32);
            ((0..3).contains(&c)
                && (0..5).contains(&r)
                && DIGITS[digit as usize] >> (14 - 3 * r - c) & 1 == 1) as u8 as f32
        };
        let (c, r) = (column - 4.0 * digit - 0.5, row - 0.5);
        let soft = |t: f32| ((t - t.floor() - 0.5) * CELL + 0.5).clamp(0.0, 1.0);
        let (c0, r0) = (c.floor(), r.floor());
        let upper = mix(cell(c0, r0), cell(c0 + 1.0, r0), soft(c));
        let lower = mix(cell(c0, r0 + 1.0), cell(c0 + 1.0, r0 + 1.0), soft(c));
        marks.max(mix(upper, lower, soft(r)))
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new(SIZE, |x, y| {
            let (along, across) = self.on_strip(x, y);
            let table = 58.0 + 4.0 * self.grain.at(x, y);
            let mut depth = (across - TOP).min(BOTTOM - across);
            // Holes for the sprocket, two in each repeat.
            let hole = (along.rem_euclid(REPEAT / 2.0) - REPEAT / 4.0).hypot(across - 76.0) - 17.0;
            depth = depth.min(hole);
            let cover = edge(depth * self.scale);
            if cover == 0.0 {
                return table - 16.0 * smooth(-6.0, 0.0, depth);
            }
            // Rolled: two shallow beads along the strip, and a bevel at its edges.
            let rolled = |at: f32| ((across - at) / 11.0).clamp(-1.0, 1.0);
            let mut value = 148.0
                + 17.0 * (PI * rolled(108.0)).sin()
                + 17.0 * (PI * rolled(206.0)).sin()
                + 16.0 * edge(TOP + 5.0 - across)
                - 20.0 * edge(across - BOTTOM + 5.0)
                - 24.0 * edge(2.5 - hole);
            // Brushed along the strip.
            value += 6.0 * self.brushed.at(x * 0.03, across)
                + 3.0 * self.grain.at(x, y)
                + 5.0 * self.wear.at(x, y);
            for scuff in &self.scuffs {
                value += 9.0 * scuff.coverage(x, y, 1.3);
            }
            let mut ink = self.ink * Self::print(along, across);
            if let Some(Flaw::MissingPrint { from, to, left }) = flaw
                && across < PRINT.1 + 6.0 * CELL
            {
                ink *= mix(1.0, *left, smooth(*from, from + 3.0, x) * smooth(*to, to - 3.0, x));
            }
            value = mix(value, 52.0, ink);
            match flaw {
                Some(Flaw::Crack { line, width, contrast }) => {
                    value -= contrast * line.coverage(x, y, *width)
                }
                Some(Flaw::Dent(blob, strength)) => {
                    // A hollow: dark where it falls away from the light, bright where it rises again.
                    let inside = (blob.depth(x, y) / blob.radius).clamp(0.0, 1.0);
                    let (dx, dy) = (x - blob.centre.0, y - blob.centre.1);
                    value += strength * (PI * inside).sin() * (0.6 * dx + 0.8 * dy) / dx.hypot(dy).max(1.0);
                }
                _ => {}
            }
            mix(table, value, cover)
        })
    }

    fn flaw(&self, defect: Defect, random: &mut Random) -> Flaw {
        let spot = |random: &mut Random| {
            loop {
                let at = (
                    random.gen_range(60.0..SIZE.0 as f32 - 60.0),
                    random.gen_range(TOP + 24.0..BOTTOM - 24.0),
                );
                let (along, across) = self.on_strip(at.0, at.1);
                let hole = (along.rem_euclid(REPEAT / 2.0) - REPEAT / 4.0).hypot(across - 76.0);
                // Nothing can be wrong where nothing is.
                if hole > 34.0 {
                    return at;
                }
            }
        };
        match defect {
            Defect::Crack => {
                let start = spot(random);
                // Cracks run across the strip or obliquely; along it, they would be hidden by the brushing.
                let direction =
                    PI / 2.0 + random.gen_range(-0.4..0.4) + if start.1 > 160.0 { PI } else { 0.0 };
                Flaw::Crack {
                    line: Line::new(start, direction, random.gen_range(25.0..60.0), 0.35, random),
                    width: random.gen_range(1.0..2.0),
                    contrast: random.gen_range(45.0..70.0),
                }
            }
            Defect::Dent => {
                let blob = Blob::new(spot(random), random.gen_range(8.0..14.0), 0.4, random);
                Flaw::Dent(blob, random.gen_range(26.0..42.0))
            }
            Defect::MissingPrint => {
                // Two digits of one of the prints that are wholly in the image.
                let first = (self.start + REPEAT) % REPEAT;
                let print =
                    random.gen_range(1..3) as f32 * REPEAT - first + SIZE.0 as f32 / 2.0 - 2.0 * REPEAT;
                let from = print + PRINT.0 + CELL * 1.5 + CELL * 4.0 * random.gen_range(0..2) as f32;
                let wide = CELL * if random.gen_bool(0.5) { 4.0 } else { 7.0 };
                Flaw::MissingPrint { from: from - 3.0, to: from + wide, left: random.gen_range(0.05..0.25) }
            }
        }
    }
}

impl Product for Strip {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] =
        &[("crack", Defect::Crack), ("dent", Defect::Dent), ("missing_print", Defect::MissingPrint)];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let strip = Self::new(random);
        let camera = Camera::new(3.0, [1.0, 1.0, 0.98], random);
        let flaw = defect.map(|defect| strip.flaw(defect, random));
        inspect(&camera, |flaw| strip.picture(flaw), flaw.as_ref(), 6.0)
    }
}
