//! `adaudit` against the cascade alone on frames that are decoded already: what reading a video and keeping books costs.
//!
//!     cargo bench --bench audit
//!
//! The two take turns: so many frames of the video through the cascade, from memory, and the whole video through `adaudit`. Printed are
//! medians in frames a second and their ratio. The video is a made-up recording and the bundle is fitted to its parts, or they are those
//! that `BENCH_VIDEO` and `BENCH_BUNDLE` name. `BENCH_ROUNDS` and `BENCH_THREADS` stand for 5 and 0 (all cores).

#[path = "../examples/made_up_recording.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod recording;

use gstanomaly::bundle::open_shared;
use gstanomaly::cascade::Cascade;
use gstanomaly::dataset::{VideoFrame, VideoFrames};
use gstanomaly::frame::Fit;
use gstanomaly::methods::cpr;
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize};
use gstanomaly::network::backbone::Backbone;
use gstanomaly::network::{Device, Precision};
use rand::SeedableRng;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Decoded frames that are kept.
const KEPT: usize = 240;
/// Good parts to learn from.
const GOOD: usize = 60;
/// Length of the made-up recording in minutes.
const MINUTES: f64 = 4.0;

fn main() {
    gst::init().unwrap();
    // Without this flag it is a test run of the bench: only that it works.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let number = |variable: &str, default: usize| {
        std::env::var(variable).map_or(default, |text| text.parse().unwrap())
    };
    let (rounds, threads) = (if bench { number("BENCH_ROUNDS", 5) } else { 1 }, number("BENCH_THREADS", 0));
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let given = |variable: &str| std::env::var_os(variable).filter(|_| bench).map(PathBuf::from);
    let video = given("BENCH_VIDEO").unwrap_or_else(|| {
        let video = scratch.path().join("recording.mkv");
        recording::write(&video, if bench { MINUTES } else { 0.1 }).unwrap();
        video
    });
    let bundle = given("BENCH_BUNDLE").unwrap_or_else(|| fit(scratch.path(), if bench { GOOD } else { 12 }));

    let mut cascade = Cascade::new(open_shared(&bundle).unwrap(), Device::Cpu, threads).unwrap();
    let frames = decode(&video);
    let (mut alone, mut audited) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        alone.push(run_cascade(&mut cascade, &frames));
        audited.push(run_audit(&video, &bundle, threads, scratch.path()));
    }
    let (alone, audited) = (median(alone), median(audited));
    let info = &frames[0].info;
    println!(
        "{}x{} {}, threads {threads}, frames a second, medians of {rounds}",
        info.width(),
        info.height(),
        info.format()
    );
    println!("| cascade alone | adaudit | ratio |\n|---|---|---|");
    println!("| {alone:.1} | {audited:.1} | {:.3} |", audited / alone);
}

fn decode(video: &Path) -> Vec<VideoFrame> {
    let mut frames = VideoFrames::open(video, None).unwrap();
    std::iter::from_fn(|| frames.next_frame().unwrap()).take(KEPT).collect()
}

fn run_cascade(cascade: &mut Cascade, frames: &[VideoFrame]) -> f64 {
    let mut pass = || {
        for frame in frames {
            cascade.inspect(&frame.info, &frame.frame().unwrap()).unwrap();
        }
    };
    pass();
    let start = Instant::now();
    pass();
    frames.len() as f64 / start.elapsed().as_secs_f64()
}

fn run_audit(video: &Path, bundle: &Path, threads: usize, scratch: &Path) -> f64 {
    let out = scratch.join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_adaudit"));
    command.arg("--model").arg(bundle).arg("--out").arg(&out).arg(video);
    let output =
        command.args(["--json", "--device", "cpu", "--threads", &threads.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(out).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let done: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    done["frames_per_second"].as_f64().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn fit(scratch: &Path, count: usize) -> PathBuf {
    let (images, bundle) = (scratch.join("good"), scratch.join("bundle"));
    std::fs::create_dir(&images).unwrap();
    let mut random = rand_xoshiro::Xoshiro256Plus::seed_from_u64(1);
    for i in 0..count {
        recording::made_up_parts::rings::Part::new(&mut random)
            .draw(&mut random)
            .save(images.join(format!("{i:03}.ppm")))
            .unwrap();
    }
    let options = FitOptions {
        name: "bench".into(),
        data: images,
        dataset: "made up".into(),
        exclude: Vec::new(),
        backbone: Backbone::open("efficientnet-lite0").unwrap(),
        precision: Precision::F32,
        layers: vec![],
        size: InputSize::Fixed(320, 320),
        fit: Fit::Stretch,
        range: Default::default(),
        foreground: Foreground::Off,
        set: vec![],
        seed: 0,
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: scratch.into(),
        learning: None,
        date: "2000-01-01".into(),
    };
    cpr::fit(&options, &bundle, &mut ()).unwrap();
    bundle
}
