//! HETMM against the numbers of its authors' code (NarcissusEx/HETMM, commit 345f185).
//!
//! The golden file holds made-up features, so that a copy of it lies in `tests/fixtures`.

#![cfg(feature = "train")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Golden, assert_close, channel_last};
use gstanomaly::bundle::Bank;
use gstanomaly::frame::{Fit, InputSpec};
use gstanomaly::kernels::mutual::Matching;
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::kernels::windowed::{Element, Shape};
use gstanomaly::methods::hetmm::optics::{Distances, clusters};
use gstanomaly::methods::hetmm::selection::{choose, products};
use gstanomaly::methods::hetmm::{Hetmm, Layer, Params};
use gstanomaly::methods::{DistanceMap, Method, Retrieved};
use half::f16;
use safetensors::{Dtype, tensor::TensorView};
use std::sync::Arc;

const FINE: Shape = Shape { height: 14, width: 14, channels: 16 };
const COARSE: Shape = Shape { height: 7, width: 7, channels: 16 };
/// Templates of the matching case.
const TEMPLATES: usize = 6;

/// `[N, C, H, W]` to one `[H, W, C]` each.
fn images(values: &[f32], shape: Shape) -> Vec<Vec<f32>> {
    values.chunks_exact(shape.len()).map(|image| channel_last(image, shape.channels)).collect()
}

/// `[H, W, C, N]` of images `[H, W, C]`.
fn side_by_side(images: &[Vec<f32>]) -> Vec<f32> {
    (0..images[0].len()).flat_map(|i| images.iter().map(move |image| image[i])).collect()
}

/// Forward and backward distances of a query.
fn distances<E: Element>(
    query: &[f32],
    templates: &[E],
    shape: Shape,
    windows: (usize, usize),
) -> [Vec<f32>; 2] {
    let mut found = [vec![0.0; shape.places()], vec![0.0; shape.places()]];
    let [forward, backward] = &mut found;
    let count = templates.len() / shape.len();
    Matching::new(query, templates, shape, count, windows).run(forward, backward);
    found
}

fn halves(values: &[f32]) -> Vec<f16> {
    values.iter().copied().map(f16::from_f32).collect()
}

#[test]
fn matching_of_single_templates() {
    let golden = Golden::fixture("hetmm");
    for (layer, shape, windows, case) in
        [("l1", FINE, (5, 3), "l1_5x3"), ("l1", FINE, (9, 5), "l1_9x5"), ("l2", COARSE, (9, 5), "l2_9x5")]
    {
        let queries = images(&golden.floats(&format!("query_{layer}")), shape);
        let templates = images(&golden.floats(&format!("templates_{layer}")), shape);
        assert_eq!(templates.len(), TEMPLATES);
        let (mut exact, mut stored) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for query in &queries {
            for template in &templates {
                let of_halves = distances(query, &halves(template), shape, windows);
                let of_floats = distances(query, template, shape, windows);
                for (found, one) in
                    exact.iter_mut().chain(&mut stored).zip(of_floats.into_iter().chain(of_halves))
                {
                    found.extend(one.into_iter().map(|distance| 1.0 - distance));
                }
            }
        }
        for (i, name) in ["fw", "bw"].into_iter().enumerate() {
            let expected = golden.floats(&format!("{name}_{case}"));
            assert_close(&format!("{name} {case}"), &exact[i], &expected, 1e-6);
            // What a bank holds has lost up to 2^-11 of each value, and may be multiplied in steps of 1 / 32,767.
            assert_close(&format!("{name} {case} in f16"), &stored[i], &expected, 6e-4);
        }
    }
}

/// The whole of the matching from exact features; the authors' settings of this case differ from layer to layer, as the method's cannot.
#[test]
fn the_final_map() {
    let golden = Golden::fixture("hetmm");
    let mut sums = vec![vec![0.0; 56 * 56]; 2];
    for (layer, shape, windows, alpha, weight) in
        [("l1", FINE, (5, 3), 0.3, 1.0), ("l2", COARSE, (9, 5), 0.7, 0.5)]
    {
        let queries = images(&golden.floats(&format!("query_{layer}")), shape);
        let templates = images(&golden.floats(&format!("templates_{layer}")), shape);
        let widen = Bilinear::corners((shape.height, shape.width), (56, 56));
        for (query, sum) in queries.iter().zip(&mut sums) {
            let maps = distances(query, &side_by_side(&templates), shape, windows);
            for (map, share) in maps.iter().zip([alpha, 1.0 - alpha]) {
                let mut wide = vec![0.0; 56 * 56];
                widen.run(map, &mut wide);
                sum.iter_mut().zip(wide).for_each(|(sum, value)| *sum += weight * share * value);
            }
        }
    }
    assert_close("out_56", &sums.concat(), &golden.floats("out_56"), 1e-6);
}

/// The step that the elements run: two layers with one alpha, fused by the scorer.
#[test]
fn the_scorer_mixes_widens_and_sums() {
    let golden = Golden::fixture("hetmm");
    let input =
        InputSpec { width: 64, height: 64, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3], range: None };
    let shapes = [(16, 4, "l1"), (8, 8, "l2")];
    let layers = shapes.map(|(_, stride, _)| Layer { stride, channels: 1 }).to_vec();
    let params = Params { weights: vec![1.0, 0.5], alpha: 0.3, ..Params::new(1, layers) };
    params.check(&input).unwrap();
    let values = [f16::ONE; 16 * 16];
    let tensors = shapes.iter().enumerate().map(|(i, &(side, ..))| {
        let bytes = bytemuck::cast_slice(&values[..side * side]);
        (format!("templates_{i}"), TensorView::new(Dtype::F16, vec![side, side, 1, 1], bytes).unwrap())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).unwrap();
    let hetmm = Arc::new(Hetmm::open(params, &input, &Bank::open(&file).unwrap()).unwrap());

    // Any maps will do: here the golden similarities, cut or repeated to the layers' sizes.
    let mut distances = Vec::new();
    let mut expected = vec![0.0f64; 64 * 64];
    for (&(side, _, layer), weight) in shapes.iter().zip([1.0, 0.5]) {
        for (direction, share) in [("fw", 0.3), ("bw", 0.7)] {
            let golden = golden.floats(&format!("{direction}_{layer}_9x5"));
            let values: Vec<f32> = golden.iter().copied().cycle().take(side * side).collect();
            let mut wide = vec![0.0; 64 * 64];
            Bilinear::corners((side, side), (64, 64)).run(&values, &mut wide);
            expected.iter_mut().zip(&wide).for_each(|(sum, &v)| *sum += weight * share * f64::from(v));
            distances.push(DistanceMap { height: side, width: side, values: values.into() });
        }
    }
    let retrieved = Retrieved { distances, neighbours: Vec::new(), features: Vec::new(), foreground: None };
    let (map, score) = hetmm.clone().score().score(&retrieved, None).unwrap();
    let expected: Vec<f32> = expected.into_iter().map(|v| v as f32).collect();
    assert_close("map", &map, &expected, 1e-6);
    let mut blurred = expected;
    gstanomaly::kernels::blur::Gaussian::new(33, 4.0).run(&mut blurred, 64);
    let largest = blurred.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!((score - f64::from(largest)).abs() < 1e-5, "{score} {largest}");
}

const PLACES: usize = 36;
const CHANNELS: usize = 16;

/// The vectors of `count` templates at a place, `[count, channels]`.
fn vectors(templates: &[f32], place: usize, count: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|t| (0..CHANNELS).map(move |c| templates[(t * CHANNELS + c) * PLACES + place]))
        .collect()
}

/// The labels of a place, none for noise (-1).
fn labels(labels: &[i64], place: usize, count: usize) -> Vec<Option<usize>> {
    (0..count).map(|t| usize::try_from(labels[t * PLACES + place]).ok()).collect()
}

#[test]
fn clusters_are_those_of_scikit_learn() {
    let golden = Golden::fixture("hetmm");
    let (templates, expected) = (golden.floats("pts_templates"), golden.signed("pts_labels"));
    for place in 0..PLACES {
        // Two were made noise by hand, to reach the other branch of the selection.
        if [3, 5 * 6 + 5].contains(&place) {
            continue;
        }
        let distances: Vec<f32> =
            products(&vectors(&templates, place, 20), 20).iter().map(|product| 1.0 - product).collect();
        let found = clusters(Distances::new(&distances, 20), 20 / 5, 0.05);
        assert_eq!(found, labels(&expected, place, 20), "place {place}");
    }
}

#[test]
fn selected_templates() {
    let golden = Golden::fixture("hetmm");
    let templates = golden.floats("pts_templates");
    let initial = golden.integers("pts_init_count");
    for (case, expected, count) in [
        ("pts_labels", "pts_selected_index", 20),
        ("pts_hand_labels", "pts_hand_index", 20),
        ("", "pts_few_index", 3),
    ] {
        let known = if case.is_empty() { vec![-1; 20 * PLACES] } else { golden.signed(case) };
        let expected = golden.signed(expected);
        for place in 0..PLACES {
            let vectors = vectors(&templates, place, count);
            let labels = labels(&known, place, count);
            let found = choose(&products(&vectors, count), &labels, 5);
            // -1: there was no template left.
            let expected: Vec<usize> =
                (0..5).filter_map(|i| usize::try_from(expected[i * PLACES + place]).ok()).collect();
            assert_eq!(found, expected, "{case}, place {place}");
            if case == "pts_labels" {
                let selected = golden.floats("pts_selected");
                for (slot, &image) in found.iter().enumerate() {
                    let expected: Vec<f32> =
                        (0..CHANNELS).map(|c| selected[(slot * CHANNELS + c) * PLACES + place]).collect();
                    assert_eq!(vectors[image * CHANNELS..][..CHANNELS], expected);
                }
                let mut seen: Vec<usize> = labels.into_iter().flatten().collect();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len().clamp(1, 5), initial[place], "place {place}");
            }
        }
    }
}
