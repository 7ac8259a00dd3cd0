//! The learned branch of CPR: what is exported computes what was learned, and learning can be repeated.

#![cfg(feature = "train")]

#[path = "common/product.rs"]
mod product;

use gstanomaly::Error;
use gstanomaly::bundle::{BANK, GRAPH, MANIFEST};
use gstanomaly::frame::{InputSpec, Picture, Preprocessor};
use gstanomaly::methods::cpr;
use gstanomaly::methods::cpr::train::{
    Learner, Learning, LossParams, MapShape, OptimiserParams, Pairs, RawMaps, Resume, ScaleShape, Weights,
    evaluate, export,
};
use gstanomaly::network::graph::GraphBuilder;
use gstanomaly::network::onnx::DataType;
use gstanomaly::network::{Device, Network, OutputSpec};
use product::{FitOptions, Foreground, Quiet, Stages, options, quick_learning, scratch};

/// The graph's input, an image, stands in for raw features: three channels at full size.
const SCALES: [ScaleShape; 1] = [ScaleShape { inputs: 3, outputs: 7 }];
const SIDE: usize = 32;
const TOLERANCE: f32 = 1e-4;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count).map(|_| next()).collect()
}

fn batch(seed: u64) -> (Vec<RawMaps>, Vec<Pairs>) {
    let shape = MapShape { images: 4, height: SIDE, width: SIDE };
    let maps = vec![RawMaps { values: numbers(seed, 3 * shape.places()), shape }];
    let points: Vec<[f32; 2]> =
        numbers(seed + 1, 120).chunks_exact(2).map(|p| [2.0 * p[0] - 1.0, 2.0 * p[1] - 1.0]).collect();
    let pairs = Pairs {
        positive: points[..20].to_vec(),
        remote: points[20..40].chunks_exact(2).map(|p| [p[0], p[1]]).collect(),
        anomalous: points[40..].to_vec(),
    };
    (maps, vec![pairs.clone(), pairs])
}

fn learner() -> Learner {
    let weights = Weights::initial(&SCALES, 3);
    Learner::new(SCALES.into(), weights, LossParams::default(), &OptimiserParams::default())
}

fn learn(learner: &mut Learner, steps: std::ops::Range<u64>) -> Vec<f64> {
    steps
        .map(|step| {
            // Noise has nothing to be learned, but two batches of it can be learned by heart.
            let (maps, pairs) = batch(step % 2);
            learner.step(&maps, &pairs).total()
        })
        .collect()
}

#[test]
fn the_exported_graph_computes_what_was_learned() {
    let mut learner = learner();
    learn(&mut learner, 0..5);
    let side = SIDE as u32;
    let mut graph = GraphBuilder::identity(&[("image", &[1, 3, SIDE, SIDE])]);
    let (value, outputs) = export(&mut graph, learner.weights(), 0, "image");
    assert_eq!(outputs, 7);
    graph.output("learned", &value, DataType::Float, &[1, 7, SIDE, SIDE]);
    let specs = vec![OutputSpec::floats("learned", [1, 7, SIDE, SIDE])];
    let mut network = Network::load(&graph.finish().unwrap(), (side, side), specs, Device::Cpu, 0).unwrap();

    let rgb: Vec<u8> = numbers(9, 3 * SIDE * SIDE).iter().map(|v| (255.0 * v) as u8).collect();
    let picture = Picture::from_rgb(side, side, &rgb).unwrap();
    let input = InputSpec {
        width: side,
        height: side,
        fit: Default::default(),
        mean: [127.0; 3],
        std: [64.0; 3],
        range: None,
    };
    let mut preprocessor = Preprocessor::new(picture.info(), &input, None).unwrap();
    let mut raw = vec![0.0; input.len()];
    preprocessor.run(&picture.frame().unwrap(), &mut raw).unwrap();
    let mut tensor = network.new_input().unwrap();
    let maps = network.extract(&mut preprocessor, &mut tensor, &picture.frame().unwrap()).unwrap();

    let shape = MapShape { images: 1, height: SIDE, width: SIDE };
    let expected = evaluate(learner.weights(), &SCALES, 0, &raw, shape);
    let pairs = maps[0].floats().iter().zip(&expected);
    let most = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0f32, f32::max);
    let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    println!("largest difference {most:e} of values up to {largest}");
    assert!(most <= TOLERANCE && largest > 0.1, "{most} of {largest}");
}

#[test]
fn learning_lowers_the_loss_and_repeats_exactly() {
    let (mut first, mut second) = (learner(), learner());
    let losses = learn(&mut first, 0..24);
    assert!(losses[23] < 0.8 * losses[1], "{losses:?}");
    assert_eq!(learn(&mut second, 0..24), losses);
    assert_eq!(first.weights(), second.weights());
}

#[test]
fn learning_goes_on_where_it_stopped() {
    let (mut whole, mut part, mut rest) = (learner(), learner(), learner());
    learn(&mut whole, 0..6);
    learn(&mut part, 0..3);
    rest.restore(part.steps(), part.weights().clone(), &part.moments());
    learn(&mut rest, 3..6);
    assert_eq!(rest.steps(), 6);
    assert_eq!(rest.weights(), whole.weights());
}

#[test]
fn what_was_learned_is_kept_until_it_is_in_a_bundle() {
    let folder = scratch();
    let [whole, late] = ["whole", "late"].map(|name| folder.path().join(name));
    let fitting = |learning| FitOptions {
        learning: Some(learning),
        foreground: Foreground::On,
        ..options("kept", (128, 96))
    };
    let mut stages = Vec::new();
    let mut progress = Stages::new(|stage| {
        stages.push(stage.to_owned());
        false
    });
    let manifest = cpr::fit(&fitting(quick_learning(&whole)), &whole, &mut progress).unwrap();
    let learning_stages = ["making training samples", "learning"];
    assert!(learning_stages.iter().all(|name| stages.iter().any(|stage| stage == name)), "{stages:?}");
    let scales = manifest.params["scales"].as_array().unwrap();
    let of = |name: &str| scales.iter().map(|scale| scale[name].as_f64().unwrap()).collect::<Vec<_>>();
    assert_eq!((of("stride"), of("weight")), (vec![4.0, 8.0, 16.0], vec![1.0, 1.0, 0.5]));
    assert_eq!(of("channels"), [16.0; 3]);

    let late_learning = quick_learning(&late);
    let checkpoint = late_learning.checkpoint.clone();
    let mut progress = Stages::new(|stage| stage == "filling the bank");
    let stopped = cpr::fit(&fitting(late_learning.clone()), &late, &mut progress).unwrap_err();
    assert!(
        matches!(&stopped, Error::Paused { checkpoint: kept, steps: 2 } if *kept == checkpoint),
        "{stopped}"
    );
    assert!(checkpoint.exists() && !late.exists());

    // What is kept is of these images as they are, and of this kind of product.
    let going_on = Learning { resume: Resume::GoOn, ..late_learning };
    let other = FitOptions { foreground: Foreground::Off, ..fitting(going_on.clone()) };
    let refused = cpr::fit(&other, &late, &mut Quiet).unwrap_err().to_string();
    assert!(refused.contains("another training: kind"), "{refused}");

    let mut learned_again = false;
    let mut progress = Stages::new(|stage| {
        learned_again |= learning_stages.contains(&stage);
        false
    });
    cpr::fit(&fitting(going_on.clone()), &late, &mut progress).unwrap();
    assert!(!learned_again && !checkpoint.exists());
    for file in [BANK, GRAPH, MANIFEST] {
        let [one, other] = [&whole, &late].map(|bundle| std::fs::read(bundle.join(file)).unwrap());
        assert!(one == other, "{file}");
    }

    // A training that ended because its time was up has ended, too.
    let timed = |resume| Learning { steps: Some(100_000), minutes: Some(1e-4), resume, ..going_on.clone() };
    let mut progress = Stages::new(|stage| stage == "filling the bank");
    cpr::fit(&fitting(timed(Resume::IfPossible)), &late, &mut progress).unwrap_err();
    let mut learned_again = false;
    let mut progress = Stages::new(|stage| {
        learned_again |= learning_stages.contains(&stage);
        false
    });
    cpr::fit(&fitting(timed(Resume::GoOn)), &late, &mut progress).unwrap();
    assert!(!learned_again && !checkpoint.exists());
}
