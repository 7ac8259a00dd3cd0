//! The whole cascade against ONNX Runtime alone, frame by frame: what the anomaly detection costs on top of its network.
//!
//!     cargo bench --bench cascade
//!
//! One 320x320 RGB frame goes through features, retrieve and score; then the same frame's tensor through a plain session of the very
//! same graph, with ONNX Runtime's default settings and the same number of threads, once with threads that spin between runs (its
//! default) and once without. The three take turns. Printed are medians and their ratio to the faster of the plain two.
//!
//! `BENCH_BUNDLE` names a bundle, of any method, that was fitted before, to be measured instead on the images of the folder `BENCH_IMAGES`.
//!
//! Words after `--` choose the cases whose names hold one of them. `BENCH_BACKBONE` names the ONNX file (with its card) of one more backbone. `BENCH_BUNDLES` names a folder that keeps the fitted
//! bundles for the next run. `BENCH_FRAMES` and `BENCH_THREADS` stand for 200 and 2.

#[path = "common/drawn.rs"]
mod drawn;

use drawn::{SIDE, image};
use gstanomaly::bundle::Bundle;
use gstanomaly::dataset::list_images;
use gstanomaly::frame::{Fit, Picture, Preprocessor, load_picture};
use gstanomaly::methods::cpr;
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize};
use gstanomaly::methods::{Retriever, ScoreOptions, Scorer};
use gstanomaly::network::backbone::Backbone;
use gstanomaly::network::{Device, FeatureExtractor, Precision, load_runtime};
use ort::session::Session;
use ort::value::Tensor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As many as MVTec AD's bottle has: the bank is larger than any cache.
const REFERENCES: usize = 209;
const FRAMES: usize = 16;
/// Frames in a row that are measured.
const STREAK: usize = 20;
/// Frames before them that are not: threads of the contestant before may still spin, and caches hold what it left.
const WARM_UP: usize = 10;

fn main() {
    gst::init().unwrap();
    // Without this flag it is a test run of the bench: only that it works.
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with('-'));
    let bench = flags.contains(&"--bench".into());
    let references = if bench { REFERENCES } else { 12 };
    let rounds = if bench { number("BENCH_FRAMES", 200) } else { 2 };
    let threads = number("BENCH_THREADS", 2);

    if let Some(bundle) = std::env::var_os("BENCH_BUNDLE") {
        let folder = std::env::var_os("BENCH_IMAGES").expect("BENCH_IMAGES names a folder");
        let files = list_images(Path::new(&folder)).unwrap();
        let pictures: Vec<Picture> =
            files.iter().take(FRAMES).map(|file| load_picture(file).unwrap()).collect();
        println!("{threads} threads, medians of {rounds} frames in ms\n{TITLE}");
        let times = measure(Path::new(&bundle), &pictures, rounds, threads);
        println!("{}", times.line(&Path::new(&bundle).file_name().unwrap().to_string_lossy()));
        return;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let kept = std::env::var_os("BENCH_BUNDLES").filter(|_| bench).map(PathBuf::from);
    let images = scratch.path().join("images");
    std::fs::create_dir(&images).unwrap();
    (0..references).for_each(|i| image(i as u64).save(images.join(format!("{i:03}.ppm"))).unwrap());

    let lite0 = Backbone::open("efficientnet-lite0").unwrap();
    let mut cases = vec![(lite0.clone(), vec!["stride4", "stride8"]), (lite0, vec!["stride8", "stride16"])];
    if let Ok(file) = std::env::var("BENCH_BACKBONE") {
        cases.push((Backbone::open(&file).unwrap(), vec![]));
    }
    println!("{threads} threads, {references} references, medians of {rounds} frames in ms");
    println!("{TITLE}");
    for (backbone, layers) in cases {
        for foreground in [Foreground::Off, Foreground::On] {
            let layers: Vec<String> = layers.iter().map(|&layer| layer.into()).collect();
            let strides =
                backbone.layers::<2>(&layers).unwrap().map(|layer| layer.stride.to_string()).join("+");
            let name = format!("{} {strides} foreground {foreground:?}", backbone.card.name).to_lowercase();
            if !words.is_empty() && !words.iter().any(|word| name.contains(word)) {
                continue;
            }
            let bundle = kept.as_deref().unwrap_or(scratch.path()).join(name.replace(' ', "-"));
            if !bundle.exists() {
                fit(&backbone, layers, foreground, &images, &bundle, scratch.path());
            }
            let times = measure(&bundle, &frames(), rounds, threads);
            println!("{}", times.line(&name));
            if kept.is_none() {
                std::fs::remove_dir_all(&bundle).unwrap();
            }
        }
    }
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn fit(
    backbone: &Backbone,
    layers: Vec<String>,
    foreground: Foreground,
    images: &Path,
    out: &Path,
    scratch: &Path,
) {
    let options = FitOptions {
        name: "bench".into(),
        data: images.into(),
        dataset: "generated".into(),
        exclude: Vec::new(),
        backbone: backbone.clone(),
        precision: Precision::F32,
        layers,
        size: InputSize::Fixed(SIDE, SIDE),
        fit: Fit::Stretch,
        range: Default::default(),
        foreground,
        set: vec![],
        seed: 0,
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: scratch.into(),
        learning: None,
        date: "2000-01-01".into(),
    };
    cpr::fit(&options, out, &mut ()).unwrap();
}

/// Medians in milliseconds.
struct Times {
    features: f64,
    retrieve: f64,
    score: f64,
    total: f64,
    plain_spinning: f64,
    plain_waiting: f64,
}

const TITLE: &str = "| case | features | retrieve | score | total | plain, spinning | plain, waiting | ratio |\n|---|---|---|---|---|---|---|---|";

impl Times {
    fn line(&self, name: &str) -> String {
        let Self { features, retrieve, score, total, plain_spinning, plain_waiting } = self;
        let ratio = total / plain_spinning.min(*plain_waiting);
        format!(
            "| {name} | {features:.2} | {retrieve:.2} | {score:.2} | {total:.2} | {plain_spinning:.2} | {plain_waiting:.2} | {ratio:.3} |"
        )
    }
}

/// Frames that no bundle has learned from.
fn frames() -> Vec<Picture> {
    (0..FRAMES as u64)
        .map(|i| Picture::from_rgb(SIDE, SIDE, image(1_000_000 + i).as_raw()).unwrap())
        .collect()
}

fn measure(path: &Path, pictures: &[Picture], rounds: usize, threads: usize) -> Times {
    let bundle = Arc::new(Bundle::open(path).unwrap());
    let frames: Vec<_> = pictures.iter().map(|picture| picture.frame().unwrap()).collect();
    let network = bundle.network(Device::Cpu, threads).unwrap();
    let mut extractor = FeatureExtractor::new(bundle.clone(), network, pictures[0].info(), None).unwrap();
    let (mut retriever, mut scorer) = (Retriever::new(bundle.clone()), Scorer::new(bundle.clone()));
    let options = ScoreOptions::default();
    let mut plain = [true, false].map(|spinning| Plain::new(&bundle, threads, spinning));
    let tensors: Vec<Tensor<f32>> = pictures.iter().map(|picture| tensor(&bundle, picture)).collect();

    let mut cascade = |frame: usize| {
        let start = Instant::now();
        let features = extractor.extract(&frames[frame]).unwrap();
        let extracted = start.elapsed();
        let retrieval = retriever.retrieve(&features, 0).unwrap();
        let retrieved = start.elapsed();
        let anomaly = scorer.score(&retrieval, &options).unwrap();
        drop((features, retrieval, anomaly));
        let total = start.elapsed();
        [extracted, retrieved - extracted, total - retrieved, total]
    };

    let mut times: [Vec<f64>; 6] = Default::default();
    let (own, others) = times.split_at_mut(4);
    for number in 0..rounds.div_ceil(STREAK) {
        let streak = || (0..WARM_UP + STREAK).map(|i| (i, (number * STREAK + i) % frames.len()));
        for (i, frame) in streak() {
            let parts = cascade(frame);
            if i >= WARM_UP {
                own.iter_mut().zip(parts).for_each(|(times, part)| times.push(milliseconds(part)));
            }
        }
        for (plain, times) in plain.iter_mut().zip(&mut *others) {
            for (i, frame) in streak() {
                let time = plain.run(&tensors[frame]);
                if i >= WARM_UP {
                    times.push(milliseconds(time));
                }
            }
        }
    }
    let [features, retrieve, score, total, plain_spinning, plain_waiting] = times.map(median);
    Times { features, retrieve, score, total, plain_spinning, plain_waiting }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// ONNX Runtime with its own defaults.
struct Plain(Session);

impl Plain {
    fn new(bundle: &Bundle, threads: usize, spinning: bool) -> Self {
        let builder = Session::builder(load_runtime().unwrap()).unwrap();
        let builder = builder.with_intra_threads(threads).unwrap().with_intra_op_spinning(spinning).unwrap();
        Self({ builder }.commit_from_file(bundle.path().join(gstanomaly::bundle::GRAPH)).unwrap())
    }

    fn run(&mut self, input: &Tensor<f32>) -> Duration {
        let start = Instant::now();
        drop(self.0.run(ort::inputs![input]).unwrap());
        start.elapsed()
    }
}

fn tensor(bundle: &Bundle, picture: &Picture) -> Tensor<f32> {
    let spec = &bundle.manifest().input;
    let mut values = vec![0.0; spec.len()];
    let mut preprocessor = Preprocessor::new(picture.info(), spec, None).unwrap();
    preprocessor.run(&picture.frame().unwrap(), &mut values).unwrap();
    Tensor::from_array(([1usize, 3, spec.height as usize, spec.width as usize], values)).unwrap()
}
