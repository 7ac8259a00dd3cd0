//! PatchCore against the numbers of its authors' code (amazon-science/patchcore-inspection, commit fcaa92f) and, for the
//! re-weighted image score and k-centre selection, of anomalib (commit b723368).
//!
//! Tolerances are those of the golden files. Where a bank of f16 values is used, as the elements do, the test says so and why its
//! bound holds.

#![cfg(feature = "train")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Golden, assert_close};
use gstanomaly::bundle::Bank;
use gstanomaly::frame::{Fit, InputSpec};
use gstanomaly::kernels::nearest::{Found, Nearest, Space, distance, find_scalar};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::kernels::windowed::Shape;
use gstanomaly::methods::patchcore::coreset::{Points, greedy};
use gstanomaly::methods::patchcore::{Embedding, Params, PatchCore, heads, weight};
use gstanomaly::methods::{DistanceMap, Method, Neighbour, Retrieved};
use gstanomaly::network::graph::GraphBuilder;
use gstanomaly::network::{FeatureMap, load_runtime};
use half::f16;
use ort::session::Session;
use ort::value::Tensor;
use safetensors::{Dtype, tensor::TensorView};
use std::sync::Arc;

const FINE: Shape = Shape { height: 28, width: 28, channels: 40 };
const COARSE: Shape = Shape { height: 14, width: 14, channels: 112 };
/// Values of a row of the bank.
const DIMENSION: usize = 32;
const ROWS: usize = 50;

fn input() -> InputSpec {
    InputSpec { width: 224, height: 224, fit: Fit::Centre(256), mean: [0.0; 3], std: [1.0; 3], range: None }
}

fn params() -> Params {
    let embedding = Embedding { patch: 3, dimension: 256, aggregated: DIMENSION };
    Params { rows: ROWS, references: 1, stride: 8, embedding, ..Params::default() }
}

/// The patches that the heads make of two feature maps, run by ONNX Runtime.
fn embed(layers: [(&[f32], Shape); 2], embedding: &Embedding) -> Vec<f32> {
    let names = ["fine", "coarse"];
    let shapes = layers.map(|(_, s)| [1, s.channels, s.height, s.width]);
    let graph = GraphBuilder::identity(&[(names[0], &shapes[0]), (names[1], &shapes[1])]);
    let model = heads::finish(graph, &[(names[0], layers[0].1), (names[1], layers[1].1)], embedding).unwrap();
    let builder = Session::builder(load_runtime().unwrap()).unwrap();
    let mut session = { builder }.commit_from_memory(&model).unwrap();
    let tensor = |i: usize| Tensor::from_array((shapes[i], layers[i].0.to_vec())).unwrap();
    let found = session.run(ort::inputs![names[0] => tensor(0), names[1] => tensor(1)]).unwrap();
    found["patches"].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

#[test]
fn embedding() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let (fine, coarse) = (golden.floats("map_stride8"), golden.floats("map_stride16"));
    let embedding = Embedding { patch: 3, dimension: 256, aggregated: 256 };
    let found = embed([(&fine, FINE), (&coarse, COARSE)], &embedding);
    assert_close("embedding", &found, &golden.floats("embedding"), 2e-5);
}

/// The definition, step by step: patches, enlarged plane by plane, pooled twice.
fn plain_embedding(layers: [(&[f32], Shape); 2], embedding: &Embedding) -> Vec<f32> {
    let (height, width) = (layers[0].1.height, layers[0].1.width);
    let reach = embedding.patch as isize / 2;
    let pool = |values: &[f64], to: usize| -> Vec<f64> {
        let from = values.len();
        (0..to)
            .map(|i| {
                let part = &values[i * from / to..((i + 1) * from).div_ceil(to)];
                part.iter().sum::<f64>() / part.len() as f64
            })
            .collect()
    };
    let mut joined = vec![Vec::new(); height * width];
    for (values, s) in layers {
        let mut vectors = vec![Vec::new(); height * width];
        for channel in values.chunks_exact(s.places()) {
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let at = |y: usize, x: usize| {
                        let (y, x) = (y as isize + dy, x as isize + dx);
                        let inside =
                            (0..s.height as isize).contains(&y) && (0..s.width as isize).contains(&x);
                        if inside { channel[y as usize * s.width + x as usize] } else { 0.0 }
                    };
                    let plane: Vec<f32> = (0..s.places()).map(|i| at(i / s.width, i % s.width)).collect();
                    let mut wide = vec![0.0; height * width];
                    Bilinear::new((s.height, s.width), (height, width)).run(&plane, &mut wide);
                    vectors.iter_mut().zip(wide).for_each(|(vector, value)| vector.push(f64::from(value)));
                }
            }
        }
        joined.iter_mut().zip(&vectors).for_each(|(joined, v)| joined.extend(pool(v, embedding.dimension)));
    }
    joined.iter().flat_map(|v| pool(v, embedding.aggregated)).map(|v| v as f32).collect()
}

#[test]
fn embeddings_of_any_dimensions_are_those_of_the_definition() {
    let noise = |seed: usize, count: usize| -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 1009.0 - 0.4).collect()
    };
    // Channels that share few factors or none with the dimensions, and patches of other sides.
    for (fine, coarse, patch, dimension, aggregated) in [
        (40, 112, 3, 1024, 1024),
        (7, 13, 3, 50, 22),
        (24, 40, 5, 64, 100),
        (6, 9, 1, 12, 2),
        (1, 3, 3, 5, 8),
    ] {
        let shapes =
            [Shape { height: 6, width: 8, channels: fine }, Shape { height: 3, width: 4, channels: coarse }];
        let (a, b) = (noise(1, shapes[0].len()), noise(2, shapes[1].len()));
        let embedding = Embedding { patch, dimension, aggregated };
        let layers = [(a.as_slice(), shapes[0]), (b.as_slice(), shapes[1])];
        let expected = plain_embedding(layers, &embedding);
        assert_close(&format!("{embedding:?}"), &embed(layers, &embedding), &expected, 2e-6);
    }
}

#[test]
fn coresets() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let values = golden.floats("coreset_points");
    let points = Points { values: &values, dimension: DIMENSION };
    let choose =
        |anchors: &[f32], count: usize| greedy(points, anchors, count, 0.0, || Ok(())).unwrap().chosen;

    let exact = golden.integers("coreset_exact");
    assert_eq!(choose(&points.exact_start(), ROWS), exact);
    assert_eq!([exact[0]], golden.integers("coreset_start_index")[..]);

    let starts = golden.integers("coreset_approx_starts");
    assert_eq!(choose(&points.approximate_start(&starts), ROWS), golden.integers("coreset_approx"));

    // The start is part of the result.
    for (start, expected) in [(exact[0], exact), (123, golden.integers("coreset_kcenter_start123"))] {
        let mut found = vec![start];
        found.extend(choose(&points.distances(start), ROWS - 1));
        assert_eq!(found, expected, "k-centre from {start}");
    }
}

#[test]
fn nearest_rows() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let (bank, patches) = (golden.floats("bank"), golden.floats("test_patches"));
    let (index, squares, expected) =
        (golden.integers("nn_index"), golden.floats("patch_score_sq"), golden.floats("patch_score_l2"));
    let mut plain = vec![Found::default(); index.len()];
    find_scalar(&bank, &patches, DIMENSION, None, &mut plain);
    let mut fast = vec![Found::default(); index.len()];
    let nearest = Nearest::new(&bank, DIMENSION);
    nearest.find(&bank, &patches, None, &mut Space::default(), &mut fast).unwrap();
    for (name, found) in [("plain", plain), ("fast", fast)] {
        assert_eq!(found.iter().map(|found| found.row as usize).collect::<Vec<_>>(), index, "{name}");
        let distances: Vec<f32> = found.iter().map(|found| found.distance).collect();
        assert_close(&format!("distances, {name}"), &distances, &expected, 1e-5);
        let found: Vec<f32> = distances.iter().map(|d| d * d).collect();
        assert_close(&format!("squares, {name}"), &found, &squares, 1e-4);
    }
}

/// The row of the largest distance, and that distance's patch.
fn worst(golden: &Golden) -> usize {
    let distances = golden.floats("patch_score_l2");
    (0..distances.len()).max_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap()
}

#[test]
fn reweighted_image_score() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let (bank, patches) = (golden.floats("bank"), golden.floats("test_patches"));
    let row = |i: usize| &bank[i * DIMENSION..(i + 1) * DIMENSION];
    let worst = worst(&golden);
    let patch = &patches[worst * DIMENSION..(worst + 1) * DIMENSION];

    let nearest = golden.integers("nn_index")[worst];
    let mut around = vec![0; 9];
    Nearest::new(&bank, DIMENSION).neighbourhoods(&bank, nearest, 9, &mut around);
    let expected: Vec<u32> = golden.integers("reweight_neighbours").iter().map(|&row| row as u32).collect();
    assert_eq!(around, expected);

    let neighbourhood: Vec<Neighbour> = around
        .iter()
        .map(|&index| Neighbour { index: index as usize, distance: distance(patch, row(index as usize)) })
        .collect();
    let factor = weight(&neighbourhood);
    assert_close("factor", &[factor], &golden.floats("reweight_factor"), 1e-4);
    let score = factor * neighbourhood[0].distance;
    assert_close("re-weighted score", &[score], &golden.floats("image_score_reweighted"), 1e-4);
    let official = neighbourhood[0].distance.powi(2);
    assert_close("largest squared distance", &[official], &golden.floats("image_score_official"), 1e-4);
}

/// The method on the golden bank, in f16 as in a bundle.
fn patchcore(golden: &Golden, params: &Params) -> Arc<PatchCore> {
    let bank = golden.floats("bank");
    let halves: Vec<f16> = bank.iter().map(|&v| f16::from_f32(v)).collect();
    let mut around = vec![0u32; ROWS * params.neighbourhood()];
    Nearest::new(&halves, DIMENSION).neighbourhoods(&halves, 0, params.neighbourhood(), &mut around);
    let images = vec![0u32; ROWS];
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("patches", view(Dtype::F16, &[ROWS, DIMENSION], bytemuck::cast_slice(&halves))),
        ("images", view(Dtype::U32, &[ROWS], bytemuck::cast_slice(&images))),
        ("neighbourhoods", view(Dtype::U32, &[ROWS, params.neighbourhood()], bytemuck::cast_slice(&around))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).unwrap();
    Arc::new(PatchCore::open(params.clone(), &input(), &Bank::open(&file).unwrap()).unwrap())
}

#[test]
fn map() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let squares = golden.floats("patch_score_sq");
    let mut wide = vec![0.0; 224 * 224];
    Bilinear::new((28, 28), (224, 224)).run(&squares, &mut wide);
    assert_close("enlarged", &wide, &golden.floats("up_224"), 5e-5);

    // The map of the code is that of squared distances, ours is its root.
    let params = Params { reweighting: false, smooth_squares: true, ..params() };
    let score = |params: &Params, values: Vec<f32>| {
        let distances = vec![DistanceMap { height: 28, width: 28, values: values.into() }];
        let retrieved = Retrieved { distances, neighbours: vec![], features: Vec::new(), foreground: None };
        let (map, score) = patchcore(&golden, params).score().score(&retrieved, None).unwrap();
        (map.clone(), score as f32)
    };
    let (map, image) = score(&params, golden.floats("patch_score_l2"));
    let map: Vec<f32> = map.iter().map(|value| value * value).collect();
    assert_close("map", &map, &golden.floats("map_224"), 5e-5);
    assert_close("image score", &[image * image], &golden.floats("image_score_official"), 1e-4);
    // What is smoothed without squaring is whatever the distances are.
    let (map, image) = score(&Params { smooth_squares: false, ..params }, squares);
    assert_close("map of distances", &map, &golden.floats("map_224"), 5e-5);
    assert_close("image score", &[image], &golden.floats("image_score_official"), 0.0);
}

#[test]
fn retrieval_and_score_as_the_elements_run_them() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let patchcore = patchcore(&golden, &params());
    let patches = FeatureMap::from_floats([1, 28, 28, DIMENSION], golden.floats("test_patches"));
    let found = patchcore.clone().retrieve().retrieve(&[patches], 9, None).unwrap();
    // A row in f16 has moved by at most 2^-11 of its length, and no distance by more than that.
    let bank = golden.floats("bank");
    let longest = bank.chunks(DIMENSION).map(|row| row.iter().map(|v| v * v).sum::<f32>().sqrt());
    let tolerance = f64::from(longest.fold(0.0, f32::max)) * 2f64.powi(-11);
    assert_close("distances", &found.distances[0].values, &golden.floats("patch_score_l2"), tolerance);
    let around: Vec<usize> = found.neighbours.iter().map(|neighbour| neighbour.index).collect();
    assert_eq!(around, golden.integers("reweight_neighbours"));
    // The factor is between 0 and 1 and moves by no more than the distances do, times their own size.
    let (_, score) = patchcore.score().score(&found, None).unwrap();
    let expected = f64::from(golden.floats("image_score_reweighted")[0]);
    println!("image score {score} for {expected}");
    assert!((score - expected).abs() <= (1.0 + 2.0 * expected) * tolerance, "{score} {expected} {tolerance}");
}

#[test]
fn rows_of_the_excluded_image_do_not_count() {
    let Some(golden) = Golden::open("patchcore") else { return };
    let patchcore = patchcore(&golden, &params());
    let patches = || FeatureMap::from_floats([1, 28, 28, DIMENSION], golden.floats("test_patches"));
    let error = patchcore.retrieve().retrieve(&[patches()], 9, Some(0)).unwrap_err().to_string();
    assert!(error.contains("no finite distance"), "all rows are of image 0: {error}");
}
