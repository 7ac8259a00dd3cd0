//! The learned branch of CPR against numbers of the authors' code: features, loss, gradients and a step of the optimiser.

#![cfg(feature = "train")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Golden, assert_close};
use gstanomaly::methods::cpr::train::{
    Learner, LossParams, MapShape, OptimiserParams, Pairs, RawMaps, ScaleShape, Weights, evaluate,
    remote_weights, training_features,
};

const SCALES: [ScaleShape; 2] =
    [ScaleShape { inputs: 24, outputs: 16 }, ScaleShape { inputs: 40, outputs: 16 }];
const SIDES: [usize; 2] = [20, 10];
const IMAGES: usize = 4;
const EVALUATION: f64 = 2e-6;
const FEATURES: f64 = 5e-6;
const LOSS: f64 = 1e-6;
const RELATIVE: f64 = 1e-5;
const AFTER: f64 = 5e-5;
const STATISTICS: f64 = 1e-6;

/// `[images, channels, places]` to `[channels, images, places]`, or back with the first two numbers exchanged.
fn swapped(values: &[f32], images: usize, channels: usize) -> Vec<f32> {
    let places = values.len() / (images * channels);
    let plane = |c: usize, i: usize| &values[(i * channels + c) * places..][..places];
    (0..channels).flat_map(|c| (0..images).flat_map(move |i| plane(c, i).iter().copied())).collect()
}

fn shape(scale: usize, images: usize) -> MapShape {
    MapShape { images, height: SIDES[scale], width: SIDES[scale] }
}

fn raw(golden: &Golden, scale: usize) -> RawMaps {
    let values = golden.floats(&format!("input_s{scale}"));
    RawMaps { values: swapped(&values, IMAGES, SCALES[scale].inputs), shape: shape(scale, IMAGES) }
}

fn weights(golden: &Golden, prefix: &str) -> Weights {
    Weights::read(&SCALES, |name| Ok(golden.floats(&format!("{prefix}.{name}")))).unwrap()
}

/// The pairs of both queries, without those that only fill the tensors up.
fn pairs(golden: &Golden) -> Vec<Pairs> {
    let points = |name: &str, weight: &str, image: usize| -> Vec<[f32; 2]> {
        let weights = golden.floats(weight);
        let count = weights.len() / 2;
        let points = golden.floats(name);
        let used = (0..count).map(|i| image * count + i).filter(|&i| weights[i] > 0.0);
        used.map(|i| [points[2 * i], points[2 * i + 1]]).collect()
    };
    let of = |image: usize| Pairs {
        positive: points("positive_points", "positive_weight", image),
        remote: points("negative_points_query", "negative_weight", image)
            .into_iter()
            .zip(points("negative_points_ref", "negative_weight", image))
            .map(|(query, reference)| [query, reference])
            .collect(),
        anomalous: points("anomaly_points", "anomaly_weight", image),
    };
    vec![of(0), of(1)]
}

fn learner(golden: &Golden) -> Learner {
    Learner::new(SCALES.into(), weights(golden, "init"), LossParams::default(), &OptimiserParams::default())
}

#[test]
fn features_with_running_statistics() {
    let Some(golden) = Golden::open("cpr_lrb") else { return };
    for (scale, size) in SCALES.iter().enumerate() {
        let inputs = golden.floats(&format!("input_s{scale}"));
        let half = &inputs[..inputs.len() / 2];
        let input = swapped(half, 2, size.inputs);
        let found = evaluate(&weights(&golden, "init"), &SCALES, scale, &input, shape(scale, 2));
        let expected = swapped(&golden.floats(&format!("eval_out_s{scale}")), 2, 16);
        assert_close(&format!("evaluation, scale {scale}"), &found, &expected, EVALUATION);
    }
}

#[test]
fn features_with_the_batchs_statistics() {
    let Some(golden) = Golden::open("cpr_lrb") else { return };
    let maps = [raw(&golden, 0), raw(&golden, 1)];
    let found = training_features(&learner(&golden), &maps);
    for (scale, found) in found.iter().enumerate() {
        let mut expected = golden.floats(&format!("train_query_s{scale}"));
        expected.extend(golden.floats(&format!("train_ref_s{scale}")));
        let expected = swapped(&expected, IMAGES, 16);
        assert_close(&format!("training, scale {scale}"), found, &expected, FEATURES);
    }
}

#[test]
fn weights_of_remote_pairs() {
    let Some(golden) = Golden::open("cpr_lrb") else { return };
    for scale in 0..2 {
        let found = remote_weights(&raw(&golden, scale), &pairs(&golden)).concat();
        let all = golden.floats(&format!("negative_weight_s{scale}"));
        let used = golden.floats("negative_weight");
        let expected: Vec<f32> = (0..2)
            .flat_map(|image| (0..40).map(move |i| (image, i)))
            .filter(|(image, i)| used[image * 40 + i] > 0.0)
            .map(|(image, i)| all[image * 80 + i])
            .collect();
        let largest = expected.iter().fold(0.0f32, |most, &w| most.max(w));
        assert_close(&format!("weights, scale {scale}"), &found, &expected, RELATIVE * f64::from(largest));
    }
}

#[test]
fn one_step_of_learning() {
    let Some(golden) = Golden::open("cpr_lrb") else { return };
    let mut learner = learner(&golden);
    let maps = [raw(&golden, 0), raw(&golden, 1)];
    let (losses, gradients) = learner.gradients(&maps, &pairs(&golden));
    let expected = golden.doubles("loss");
    for (what, found, expected) in [
        ("total", losses.total(), expected[0]),
        ("positive", losses.positive, expected[1]),
        ("negative", losses.negative, expected[2]),
    ] {
        println!("{what} loss: {found}, expected {expected}");
        assert!((found - expected).abs() <= LOSS + RELATIVE * expected.abs(), "{what}: {found} {expected}");
    }
    assert_eq!(gradients.len(), 42 - 2, "all but the two biases that have no effect");
    for (name, found) in &gradients {
        let expected = golden.floats(&format!("grad.{name}"));
        let largest = expected.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        assert_close(&format!("gradient of {name}"), found, &expected, RELATIVE * f64::from(largest));
    }
    learner.descend(gradients);
    assert_eq!(learner.steps(), 1);
    for (name, found) in learner.weights().iter() {
        let tolerance = if name.contains("running_") { STATISTICS } else { AFTER };
        if !name.ends_with(".0.bias") || name.contains(".3.") {
            let expected = golden.floats(&format!("after.{name}"));
            assert_close(&format!("{name} after a step"), &found.values, &expected, tolerance);
        }
    }
}
