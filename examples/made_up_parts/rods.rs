//! Screws on a light ground: a countersunk head, a shaft, a thread of regular pitch and a pointed tip.
//!
//! Most of the image is ground, and the screw is turned otherwise in each.

use super::drawing::{Blob, Camera, Line, Mottle, Picture, Pose, edge, inspect, mix, smooth};
use super::{Product, Random, Sample};
use rand::Rng;
use std::f32::consts::TAU;

const SIDE: u32 = 400;

// Measures of the screw in pixels, along its axis from the head.
const HEAD: f32 = 30.0;
const THREAD: f32 = 88.0;
const POINT: f32 = 214.0;
const LENGTH: f32 = 246.0;
const PITCH: f32 = 10.5;
// Half widths.
const HEAD_RADIUS: f32 = 20.0;
const SHAFT_RADIUS: f32 = 10.0;
const ROOT: f32 = 9.0;
const CREST: f32 = 13.5;

/// Towards the light, in the image's directions and towards the camera.
const LIGHT: [f32; 3] = [-0.26, -0.34, 0.904];

/// A screw and how it lies there.
pub struct Rod {
    pose: Pose,
    /// Dimensional tolerance and the distance to the camera.
    scale: f32,
    /// Where the thread begins: the screw is turned around its own axis, too.
    roll: f32,
    finish: Mottle,
    ground: Mottle,
    dust: Vec<(f32, f32, f32)>,
    light: (f32, f32),
    gloss: f32,
}

/// What can be wrong with a screw.
#[derive(Clone, Copy)]
pub enum Defect {
    Thread,
    Scratch,
    Tip,
    Nick,
}

enum Flaw {
    /// Crests that are flattened on one side, between two positions along the axis.
    Thread {
        from: f32,
        to: f32,
        side: f32,
        left: f32,
    },
    Scratch(Vec<Line>),
    /// The tip is broken off so far from its end, obliquely.
    Blunt {
        missing: f32,
        slant: f32,
    },
    /// The tip is bent by so much at its end.
    Bent(f32),
    /// A piece that is missing at the side.
    Nick(Blob),
}

impl Rod {
    fn new(random: &mut Random) -> Self {
        let scale = random.gen_range(1.105..1.135);
        let angle: f32 = random.gen_range(0.0..TAU);
        // A fixture puts it down near the middle, turned anyhow.
        let place = |random: &mut Random| SIDE as f32 / 2.0 + random.gen_range(-8.0..8.0);
        let middle = (place(random), place(random));
        let head = Pose::new(middle, angle).global(-LENGTH * scale / 2.0, 0.0);
        let pose = Pose::new(head, angle);
        Self {
            pose,
            scale,
            roll: random.gen_range(0.0..1.0),
            finish: Mottle::new(3.0, random),
            ground: Mottle::new(110.0, random),
            dust: (0..random.gen_range(3..14))
                .map(|_| {
                    let mut at = || random.gen_range(0.0..SIDE as f32);
                    (at(), at(), random.gen_range(0.6..1.9))
                })
                .collect(),
            light: pose.turn_back(LIGHT[0], LIGHT[1]),
            gloss: random.gen_range(60.0..75.0),
        }
    }

    /// A position of the image, along the screw's axis and across it.
    fn on_screw(&self, x: f32, y: f32) -> (f32, f32) {
        let (s, t) = self.pose.local(x, y);
        (s / self.scale, t / self.scale)
    }

    /// How far the thread stands out, 0 to 1. Its ridges climb by half a pitch from one side to the other.
    fn ridge(&self, s: f32, u: f32) -> f32 {
        let phase = s / PITCH + self.roll + 0.25 * u;
        1.0 - (2.0 * (phase - phase.floor()) - 1.0).abs()
    }

    /// Half of the width at a position along the axis, on one of the sides (-1, 1).
    fn half_width(&self, s: f32, side: f32, flaw: Option<&Flaw>) -> f32 {
        if s < HEAD {
            let rim = HEAD_RADIUS - 2.5 * smooth(4.0, 0.0, s);
            return mix(rim, SHAFT_RADIUS, ((s - 8.0) / (HEAD - 8.0)).clamp(0.0, 1.0));
        }
        if s < THREAD {
            return SHAFT_RADIUS;
        }
        let begin = smooth(THREAD, THREAD + 8.0, s);
        let mut crest = ROOT + (CREST - ROOT) * self.ridge(s, side) * begin;
        if let Some(Flaw::Thread { from, to, side: damaged, left }) = flaw
            && side == *damaged
            && (*from..*to).contains(&s)
        {
            crest = crest.min(ROOT + (CREST - ROOT) * left);
        }
        let point = ((s - POINT) / (LENGTH - POINT)).clamp(0.0, 1.0);
        crest * (1.0 - point) + 0.8 * point
    }

    /// How much of a pixel the screw covers, and its grey value there.
    fn surface(&self, s: f32, t: f32, flaw: Option<&Flaw>) -> (f32, f32) {
        let mut t = t;
        if let Some(Flaw::Bent(by)) = flaw {
            t -= by * ((s - POINT + 10.0) / (LENGTH - POINT + 10.0)).max(0.0).powi(2);
        }
        let width = self.half_width(s, t.signum(), flaw);
        let mut depth = (width - t.abs()).min(s).min(LENGTH - s);
        match flaw {
            Some(Flaw::Blunt { missing, slant }) => depth = depth.min(LENGTH - missing + slant * t - s),
            Some(Flaw::Nick(blob)) => depth = depth.min(-blob.depth(s, t)),
            _ => {}
        }
        let cover = edge(depth * self.scale);
        if cover == 0.0 {
            return (0.0, 0.0);
        }
        let u = (t / width.max(1.0)).clamp(-1.0, 1.0);
        // How much the surface rises along the axis: the flanks of the thread, and the cone of head and tip.
        let rise = if s < HEAD {
            if s > 8.0 { 0.45 } else { 0.0 }
        } else if s < THREAD {
            0.0
        } else {
            let flank = (self.ridge(s + 0.5, u) - self.ridge(s - 0.5, u)) * 3.2;
            let worn = match flaw {
                Some(Flaw::Thread { from, to, side, .. }) if (*from..*to).contains(&s) => {
                    1.0 - 0.8 * smooth(0.1, 0.6, u * side)
                }
                _ => 1.0,
            };
            -flank * worn * smooth(LENGTH, POINT, s).max(0.3) + if s > POINT { 0.35 } else { 0.0 }
        };
        let up = (1.0 - u * u).max(0.0).sqrt();
        let length = (rise * rise + 1.0).sqrt();
        let towards = |along: f32, across: f32, camera: f32| {
            ((rise * along + u * across + up * camera) / length).max(0.0)
        };
        let (along, across) = self.light;
        let diffuse = towards(along, across, LIGHT[2]);
        // Halfway between the light and the camera.
        let half = (2.0 + 2.0 * LIGHT[2]).sqrt();
        let specular = towards(along / half, across / half, (LIGHT[2] + 1.0) / half).powi(14);
        let mut value =
            38.0 + 72.0 * diffuse + self.gloss * specular + 7.0 * self.finish.at(s * 0.4, t * 2.0);
        // Where the cone meets the shaft, and the edge of the head.
        value -= 22.0 * edge(1.2 - (s - HEAD).abs()) + 16.0 * edge(0.8 - (s - 8.0).abs());
        match flaw {
            Some(Flaw::Scratch(lines)) => {
                for line in lines {
                    value = mix(value, 205.0 - value * 0.35, 0.85 * line.coverage(s, t, 3.0));
                }
            }
            Some(Flaw::Nick(blob)) => value = mix(value, 150.0, 0.6 * edge(2.0 + blob.depth(s, t))),
            _ => {}
        }
        (cover, value)
    }

    fn picture(&self, flaw: Option<&Flaw>) -> Picture {
        let middle = SIDE as f32 / 2.0;
        Picture::new((SIDE, SIDE), |x, y| {
            let away = ((x - middle).powi(2) + (y - middle).powi(2)) / (2.0 * middle * middle);
            let mut ground = 203.0 - 26.0 * away + 4.0 * self.ground.at(x, y);
            for (dx, dy, radius) in &self.dust {
                ground -= 48.0 * edge(radius - (x - dx).hypot(y - dy));
            }
            let (s, t) = self.on_screw(x, y);
            if t.abs() > 50.0 || !(-30.0..LENGTH + 30.0).contains(&s) {
                return ground;
            }
            // The light comes from the upper left, from a large lamp: the shadow is soft and lies lower right.
            let (shadow_s, shadow_t) = self.on_screw(x - 5.0, y - 6.0);
            let body = if shadow_s < HEAD { HEAD_RADIUS - 4.0 } else { SHAFT_RADIUS };
            let inside = (body - shadow_t.abs()).min(shadow_s).min(LENGTH - 14.0 - shadow_s);
            ground -= 46.0 * smooth(-10.0, 8.0, inside);
            let (cover, value) = self.surface(s, t, flaw);
            mix(ground, value, cover)
        })
    }

    fn flaw(defect: Defect, random: &mut Random) -> Flaw {
        let side = if random.gen_bool(0.5) { 1.0 } else { -1.0 };
        match defect {
            Defect::Thread => {
                let from = random.gen_range(THREAD + 12.0..POINT - 48.0);
                let to = from + PITCH * random.gen_range(3.0..5.0);
                Flaw::Thread { from, to, side, left: random.gen_range(0.0..0.15) }
            }
            Defect::Scratch => {
                let (s, reach) = if random.gen_bool(0.4) {
                    (random.gen_range(10.0..16.0), 7.0)
                } else {
                    (random.gen_range(HEAD + 6.0..THREAD - 22.0), 4.0)
                };
                let start = (s, random.gen_range(-reach..reach));
                let direction = random.gen_range(-0.5..0.5);
                let scratch = |i: i32, random: &mut Random| {
                    let start = (start.0 + 2.0 * i as f32, start.1 + 3.0 * i as f32 * side);
                    Line::new(start, direction, random.gen_range(22.0..36.0), 0.12, random)
                };
                Flaw::Scratch((0..random.gen_range(1..3)).map(|i| scratch(i, random)).collect())
            }
            Defect::Tip if random.gen_bool(0.5) => {
                Flaw::Blunt { missing: random.gen_range(20.0..32.0), slant: random.gen_range(-0.5..0.5) }
            }
            Defect::Tip => Flaw::Bent(side * random.gen_range(11.0..17.0)),
            Defect::Nick => {
                let s = random.gen_range(HEAD + 8.0..POINT - 8.0);
                let width = if s < THREAD { SHAFT_RADIUS } else { CREST };
                let radius = random.gen_range(7.5..10.5);
                Flaw::Nick(Blob::new((s, side * (width + 1.0)), radius, 0.3, random))
            }
        }
    }
}

impl Product for Rod {
    type Defect = Defect;
    const DEFECTS: &'static [(&'static str, Defect)] = &[
        ("thread", Defect::Thread),
        ("scratch", Defect::Scratch),
        ("tip", Defect::Tip),
        ("nick", Defect::Nick),
    ];

    fn sample(defect: Option<Defect>, random: &mut Random) -> Sample {
        let rod = Self::new(random);
        let camera = Camera::new(3.0, [1.0; 3], random);
        let flaw = defect.map(|defect| Self::flaw(defect, random));
        inspect(&camera, |flaw| rod.picture(flaw), flaw.as_ref(), 9.0)
    }
}
