//! A training step of CPR's learned branch.
//!
//!     cargo bench --bench training
//!
//! Batches of 8 queries and 8 references of random features as EfficientNet-Lite0 makes them of 320x320 pixels (strides 4 and 8,
//! 24 and 40 channels), 300 pairs of each kind an image, 16 learned channels. Printed are the median and the fastest step.
//! `BENCH_STEPS` and `BENCH_THREADS` stand for 10 and 2. `BENCH_PRESET=standard` takes batches of 4 of what DenseNet201 makes (256 and 512
//! channels) and 384 learned channels.

use gstanomaly::methods::cpr::train::{
    KeptMemory, Learner, LossParams, MapShape, OptimiserParams, Pairs, RawMaps, ScaleShape, Weights,
};
use std::time::{Duration, Instant};

const SIDES: [usize; 2] = [80, 40];
const PAIRS: usize = 300;

fn main() {
    // Without this flag it is a test run of the bench: only that it works.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let preset = std::env::var("BENCH_PRESET").unwrap_or_else(|_| "faster".into());
    let (inputs, outputs, queries) = match preset.as_str() {
        "faster" => ([24, 40], 16, 8),
        "standard" => ([256, 512], 384, 4),
        other => panic!("BENCH_PRESET must be standard or faster, not '{other}'"),
    };
    let scales = inputs.map(|inputs| ScaleShape { inputs, outputs });
    let (queries, sides) = if bench { (queries, SIDES) } else { (2, [8, 4]) };
    let steps = if bench { number("BENCH_STEPS", 10) } else { 1 };
    let threads = number("BENCH_THREADS", 2);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();

    let _kept = KeptMemory::begin();
    let mut random = numbers();
    let maps = scales.iter().zip(sides).map(|(scale, side)| {
        let shape = MapShape { images: 2 * queries, height: side, width: side };
        RawMaps { values: (0..scale.inputs * shape.places()).map(|_| random()).collect(), shape }
    });
    let maps: Vec<RawMaps> = maps.collect();
    let mut point = || [2.0 * random() - 1.0, 2.0 * random() - 1.0];
    let pairs = (0..queries).map(|_| Pairs {
        positive: (0..PAIRS).map(|_| point()).collect(),
        remote: (0..PAIRS).map(|_| [point(), point()]).collect(),
        anomalous: (0..PAIRS).map(|_| point()).collect(),
    });
    let pairs: Vec<Pairs> = pairs.collect();

    let weights = Weights::initial(&scales, 0);
    let mut learner =
        Learner::new(scales.into(), weights, LossParams::default(), &OptimiserParams::default());
    learner.step(&maps, &pairs);
    let mut times: Vec<Duration> = (0..steps)
        .map(|_| {
            let start = Instant::now();
            learner.step(&maps, &pairs);
            start.elapsed()
        })
        .collect();
    times.sort();
    let (median, fastest) = (times[times.len() / 2], times[0]);
    println!(
        "{preset}, {threads} threads, {queries} queries and references, {steps} steps: median {median:.2?}, fastest {fastest:.2?}"
    );
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Numbers from 0 to 1 that are the same each time.
fn numbers() -> impl FnMut() -> f32 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    }
}
