//! Plain-woven cloth that fills the image.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, Pose, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::{PI, TAU};

const SIDE: u32 = 400;
/// From thread to thread, in pixels.
const PITCH: f32 = 9.0;
/// Threads of each direction whose thickness and colour are kept; the image has fewer.
const THREADS: usize = 80;

/// A piece of cloth.
pub struct Weave {
    pose: Pose,
    pitch: f32,
    /// What each thread's brightness differs by, of warp and weft.
    threads: [Vec<f32>; 2],
    wobble: [Mottle; 2],
    hairs: Mottle,
    folds: Mottle,
}

/// What can be wrong with cloth.
#[derive(Clone, Copy)]
pub enum Defect {
    Hole,
    Thread,
    Stain,
    Fibre,
}

enum Flaw {
    Hole(Blob),
    /// A thread of this direction and number, which is missing between two positions along it.
    Thread {
        weft: bool,
        number: i32,
        from: f32,
        to: f32,
    },
    Stain(Blob, f32),
    Fibre {
        line: Line,
        width: f32,
        value: f32,
    },
}

impl Weave {
    fn new(random: &mut Random) -> Self {
        let middle = SIDE as f32 / 2.0;
        let centre = (middle + random.gen_range(0.0..20.0), middle + random.gen_range(0.0..20.0));
        let mut threads = || (0..THREADS).map(|_| random.gen_range(-9.0..9.0)).collect();
        Self {
            threads: [threads(), threads()],
            pose: Pose::new(centre, random.gen_range(-0.03..0.03)),
            pitch: PITCH * random.gen_range(0.985..1.015),
            wobble: [Mottle::new(40.0, random), Mottle::new(40.0, random)],
            hairs: Mottle::new(1.8, random),
            folds: Mottle::new(120.0, random),
        }
    }

    /// Of a thread of this direction: its number, how far the position is from its middle (-0.5 to 0.5), and how high it lies there.
    fn thread(&self, across: f32, along: f32, weft: bool) -> (i32, f32, f32) {
        let number = across.round() as i32;
        let over = if (number + weft as i32).rem_euclid(2) == 0 { 0.0 } else { 1.0 };
        (number, across - across.round(), (PI * (along + over)).cos())
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        Picture::new((SIDE, SIDE), |x, y| {
            let (s, t) = self.pose.local(x, y);
            let u = s / self.pitch + 0.18 * self.wobble[0].at(s, t);
            let v = t / self.pitch + 0.18 * self.wobble[1].at(s, t);
            let hairs = self.hairs.at(x, y);
            let yarn = |across: f32, along: f32, weft: bool| {
                let (number, off, height) = self.thread(across, along, weft);
                let missing = match flaw {
                    Some(Flaw::Thread { weft: w, number: n, from, to }) if *w == weft && *n == number => {
                        (*from..*to).contains(&along)
                    }
                    _ => false,
                };
                let base = self.threads[weft as usize]
                    [(number + THREADS as i32 / 2).clamp(0, THREADS as i32 - 1) as usize];
                let round = (1.0 - (off / 0.46).powi(2)).max(0.0).sqrt();
                // Twisted: fine oblique lines.
                let twist = 6.0 * (TAU * (along * 1.5 + off * 1.2)).sin();
                let value =
                    96.0 + 58.0 * round + 22.0 * height + base + twist + if weft { -8.0 } else { 0.0 };
                if missing || off.abs() > 0.46 { (-2.0, 0.0) } else { (height * 0.5 + round * 0.5, value) }
            };
            let (warp, weft) = (yarn(u, v, false), yarn(v, u, true));
            let top = if warp.0 >= weft.0 { warp } else { weft };
            let gap = 62.0;
            let mut value = if top.0 <= -2.0 { gap } else { top.1 };
            value += 9.0 * hairs + 5.0 * self.folds.at(x, y);
            match flaw {
                Some(Flaw::Hole(blob)) => {
                    let depth = blob.depth(x, y) + 2.5 * hairs;
                    value = mix(value, 40.0 + 4.0 * hairs, edge(depth * 0.8));
                    value += 22.0 * edge(2.5 - (depth + 2.5).abs());
                }
                Some(Flaw::Stain(blob, strength)) => {
                    value *= 1.0 - strength * smooth(-2.0, 7.0, blob.depth(x, y) + 2.0 * hairs);
                }
                Some(Flaw::Fibre { line, width, value: colour }) => {
                    value = mix(value, *colour, 0.9 * line.coverage(x, y, *width));
                }
                _ => {}
            }
            value
        })
    }

    fn flaw(&self, defect: Defect, random: &mut Random) -> Flaw {
        let mut at = || random.gen_range(40.0..SIDE as f32 - 40.0);
        let spot = (at(), at());
        match defect {
            Defect::Hole => Flaw::Hole(Blob::new(spot, random.gen_range(6.0..14.0), 0.7, random)),
            Defect::Thread => {
                let weft = random.gen_bool(0.5);
                let (s, t) = self.pose.local(spot.0, spot.1);
                let (across, along) = if weft { (t, s) } else { (s, t) };
                let from = along / self.pitch - 4.0;
                let to = from + random.gen_range(6.0..14.0);
                Flaw::Thread { weft, number: (across / self.pitch).round() as i32, from, to }
            }
            Defect::Stain => {
                let blob = Blob::new(spot, random.gen_range(12.0..24.0), 0.6, random);
                Flaw::Stain(blob, random.gen_range(0.1..0.2))
            }
            Defect::Fibre => {
                let direction = random.gen_range(0.0..TAU);
                Flaw::Fibre {
                    line: Line::new(spot, direction, random.gen_range(40.0..90.0), 0.35, random),
                    width: random.gen_range(1.0..1.8),
                    value: if random.gen_bool(0.5) { 70.0 } else { 190.0 },
                }
            }
        }
    }
}

impl Product for Weave {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] = &[
        ("hole", Defect::Hole),
        ("thread", Defect::Thread),
        ("stain", Defect::Stain),
        ("fibre", Defect::Fibre),
    ];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let cloth = Self::new(random);
        let camera = Camera::new(3.0, [1.0, 0.95, 0.86], random);
        let flaw = defect.map(|defect| cloth.flaw(defect, random));
        inspect(&camera, |flaw| cloth.picture(flaw), flaw.as_ref(), 9.0)
    }
}
