//! CPR against the numbers of its authors' code (flyinghu123/CPR, commit 36db567).
//!
//! Tolerances are those of the golden files where our arithmetic is that of the code; where it differs by design (features
//! in f16, scaling by GstVideoConverter) the test says so and why its bound holds.

#![cfg(feature = "train")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Golden, assert_close, channel_last, difference};
use gstanomaly::bundle::Bank;
use gstanomaly::frame::{Fit, InputSpec, Picture, Preprocessor};
use gstanomaly::kernels::histogram::{Blocks, Comparison};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::kernels::windowed::{self, Shape};
use gstanomaly::methods::cpr::foreground::{ForegroundParams, discriminant};
use gstanomaly::methods::cpr::heads::{self, ForegroundHead};
use gstanomaly::methods::cpr::{Cpr, Params, Scale};
use gstanomaly::methods::{DistanceMap, Method, Neighbour, Retrieved};
use gstanomaly::network::graph::GraphBuilder;
use gstanomaly::network::{FeatureMap, load_runtime};
use half::f16;
use ort::session::Session;
use ort::value::Tensor;
use safetensors::{Dtype, tensor::TensorView};
use std::sync::Arc;

const FINEST: Shape = Shape { height: 80, width: 80, channels: 24 };
const COARSE: Shape = Shape { height: 40, width: 40, channels: 40 };
const CODES: usize = 12;

fn input() -> InputSpec {
    let scaled = |values: [f32; 3]| values.map(|v| v * 255.0);
    InputSpec {
        width: 320,
        height: 320,
        fit: Fit::Stretch,
        mean: scaled([0.485, 0.456, 0.406]),
        std: scaled([0.229, 0.224, 0.225]),
        range: None,
    }
}

/// The heads of CPR on features `[1, 24, 80, 80]`, run by ONNX Runtime.
struct Heads(Session);

impl Heads {
    fn new(centres: &[f32], foreground: Option<&ForegroundHead>) -> Self {
        let graph =
            GraphBuilder::identity(&[("features", &[1, FINEST.channels, FINEST.height, FINEST.width])]);
        let codes = centres.len() / FINEST.channels;
        let model = heads::finish(graph, &[("features", FINEST)], centres, codes, foreground, None).unwrap();
        let builder = Session::builder(load_runtime().unwrap()).unwrap();
        Self({ builder }.commit_from_memory(&model).unwrap())
    }

    /// Local features, codes and foreground of one image.
    fn run(&mut self, features: &[f32]) -> (Vec<f32>, Vec<u8>, Option<Vec<f32>>) {
        let shape = [1, FINEST.channels, FINEST.height, FINEST.width];
        let input = Tensor::from_array((shape, features.to_vec())).unwrap();
        let found = self.0.run(ort::inputs!["features" => input]).unwrap();
        (
            found["local_0"].try_extract_tensor::<f32>().unwrap().1.to_vec(),
            found["codes"].try_extract_tensor::<u8>().unwrap().1.to_vec(),
            found.get("foreground").map(|map| map.try_extract_tensor::<f32>().unwrap().1.to_vec()),
        )
    }
}

/// The method on a bank of these tensors; the local features are channel last.
fn cpr(
    params: &Params,
    local: &[(&[f32], Shape)],
    histograms: &[f32],
    foreground: Option<&[f32]>,
) -> Arc<Cpr> {
    let n = params.references;
    let planes = |(maps, s): &(&[f32], Shape)| -> Vec<f16> {
        maps.chunks_exact(s.len()).flat_map(|map| windowed::planes(map, *s)).map(f16::from_f32).collect()
    };
    let halves: Vec<Vec<f16>> = local.iter().map(planes).collect();
    let mut tensors = Vec::new();
    for (i, (values, (_, s))) in halves.iter().zip(local).enumerate() {
        let shape = vec![n, s.height, s.channels, s.width];
        tensors.push((
            format!("local_{i}"),
            TensorView::new(Dtype::F16, shape, bytemuck::cast_slice(values)).unwrap(),
        ));
    }
    let floats =
        |shape: Vec<usize>, values| TensorView::new(Dtype::F32, shape, bytemuck::cast_slice(values)).unwrap();
    let bins = histograms.len() / n / 25;
    tensors.push(("histograms".into(), floats(vec![n, 25, bins], histograms)));
    if let Some(maps) = foreground {
        tensors.push(("foreground".into(), floats(vec![n, FINEST.height, FINEST.width], maps)));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.safetensors");
    safetensors::serialize_to_file(tensors, None, &file).unwrap();
    Arc::new(Cpr::open(params.clone(), &input(), &Bank::open(&file).unwrap()).unwrap())
}

fn scale(shape: Shape, window: usize) -> Scale {
    Scale { stride: 320 / shape.width, channels: shape.channels, window, weight: 1.0 }
}

#[test]
fn global_retrieval() {
    let Some(golden) = Golden::open("cpr_global") else { return };
    let blocks = Blocks { map: (80, 80), side: 5, codes: CODES };
    let mut heads = Heads::new(&golden.floats("centres"), None);
    let (mut local, mut histograms) = (Vec::new(), Vec::new());
    for (images, codes, expected) in
        [("features_refs", "codes_refs", "hist_refs"), ("features_tests", "codes_tests", "hist_tests")]
    {
        let (features, codes, expected) =
            (golden.floats(images), golden.bytes(codes), golden.floats(expected));
        let mut made = vec![0.0; expected.len()];
        for (i, image) in features.chunks_exact(FINEST.len()).enumerate() {
            let (unit, found, _) = heads.run(image);
            let differing = found.iter().zip(&codes[i * FINEST.places()..]).filter(|(a, b)| a != b).count();
            assert_eq!(differing, 0, "codes of {images} {i}");
            blocks.histograms(&found, &mut made[i * blocks.len()..][..blocks.len()]);
            local.push(unit);
        }
        assert_close(&format!("histograms of {images}"), &made, &expected, 1e-7);
        histograms.push(made);
    }
    let (references, tests) = (&histograms[0], &histograms[1]);
    let count = references.len() / blocks.len();

    let comparison = Comparison::new(blocks, references, 1e-8, 20);
    let (kl, distance, rank) = (golden.floats("kl"), golden.floats("distance"), golden.integers("rank"));
    let mut found_kl = Vec::new();
    for test in tests.chunks_exact(blocks.len()) {
        found_kl
            .extend((0..count).flat_map(|index| comparison.block_divergences(test, index)).map(|v| v as f32));
    }
    assert_close("divergences", &found_kl, &kl, 1e-5);

    // The whole step as the elements run it.
    let params = Params { neighbours: count, ..Params::new(count, vec![scale(FINEST, 3)], false) };
    let bank = local[..count].concat();
    let mut retrieve = cpr(&params, &[(&bank, FINEST)], references, None).retrieve();
    for (i, codes) in golden.bytes("codes_tests").chunks_exact(FINEST.places()).enumerate() {
        let maps = [
            FeatureMap::from_floats([1, 80, 80, 24], local[count + i].clone()),
            FeatureMap::from_bytes([1, 80, 80], codes.to_vec()),
        ];
        let neighbours = retrieve.retrieve(&maps, count, None).unwrap().neighbours;
        let order: Vec<usize> = neighbours.iter().map(|neighbour| neighbour.index).collect();
        assert_eq!(order, rank[i * count..][..count], "ranks of test {i}");
        let found: Vec<f32> = neighbours.iter().map(|neighbour| neighbour.distance).collect();
        let expected: Vec<f32> = order.iter().map(|&index| distance[i * count + index]).collect();
        assert_close(&format!("distances of test {i}"), &found, &expected, 1e-5);
    }
}

#[test]
fn padded_histograms() {
    let Some(golden) = Golden::open("cpr_global") else { return };
    let blocks = Blocks { map: (28, 28), side: 5, codes: CODES };
    let mut found = vec![0.0; blocks.len()];
    blocks.histograms(&golden.bytes("pad_codes"), &mut found);
    assert_close("padded histograms", &found, &golden.floats("pad_hist"), 1e-7);
}

/// The features of the local case: the query and its K references, channel last, by scale.
struct Local {
    golden: Golden,
    query: [Vec<f32>; 2],
    references: [Vec<f32>; 2],
}

const LOCAL_SCALES: [(&str, Shape, usize); 2] = [("s4", FINEST, 3), ("s8", COARSE, 1)];
const LOCAL_REFERENCES: usize = 5;

impl Local {
    fn open() -> Option<Self> {
        let golden = Golden::open("cpr_local")?;
        let query = LOCAL_SCALES
            .map(|(name, s, _)| channel_last(&golden.floats(&format!("query_{name}")), s.channels));
        let references = LOCAL_SCALES.map(|(name, s, _)| {
            let maps = golden.floats(&format!("refs_{name}"));
            maps.chunks_exact(s.len()).flat_map(|map| channel_last(map, s.channels)).collect()
        });
        Some(Self { golden, query, references })
    }

    fn cpr(&self, foreground: bool) -> Arc<Cpr> {
        let scales = LOCAL_SCALES.iter().map(|&(_, shape, window)| scale(shape, window)).collect();
        let params =
            Params { neighbours: LOCAL_REFERENCES, ..Params::new(LOCAL_REFERENCES, scales, foreground) };
        // The same histogram everywhere: all references are equally near and come in their order.
        let histograms = vec![1.0 / 13.0; LOCAL_REFERENCES * 25 * 13];
        let maps = self.golden.floats("fg_refs");
        let local = [(self.references[0].as_slice(), FINEST), (&self.references[1], COARSE)];
        cpr(&params, &local, &histograms, foreground.then_some(&maps))
    }

    fn score(&self, foreground: bool, distances: Vec<DistanceMap>) -> (Vec<f32>, f64) {
        let neighbours = (0..LOCAL_REFERENCES).map(|index| Neighbour { index, distance: 0.0 }).collect();
        let foreground_weights = foreground.then(|| self.golden.floats("fg_weight_320").into());
        let retrieved =
            Retrieved { distances, neighbours, features: Vec::new(), foreground: foreground_weights };
        let (map, score) = self.cpr(foreground).score().score(&retrieved, None).unwrap();
        (map.clone(), score)
    }

    fn expected_distances(&self) -> Vec<DistanceMap> {
        let map = |(name, s, _): &(&str, Shape, usize)| DistanceMap {
            height: s.height,
            width: s.width,
            values: self.golden.floats(&format!("dist_{name}")).into(),
        };
        LOCAL_SCALES.iter().map(map).collect()
    }
}

#[test]
fn windowed_distances() {
    let Some(local) = Local::open() else { return };
    for (i, (name, shape, window)) in LOCAL_SCALES.into_iter().enumerate() {
        let expected = local.golden.floats(&format!("dist_{name}"));
        let query = &local.query[i];
        let maps = local.references[i].chunks_exact(shape.len());
        let references: Vec<f32> = maps.flat_map(|map| windowed::planes(map, shape)).collect();
        let exact: Vec<&[f32]> = references.chunks_exact(shape.len()).collect();
        let mut found = vec![0.0; shape.places()];
        windowed::distances(query, &exact, shape, window, &mut found);
        assert_close(&format!("distances of {name}, f32 bank"), &found, &expected, 1e-6);
        windowed::distances_scalar(query, &exact, shape, window, &mut found);
        assert_close(&format!("distances of {name}, f32 bank, plain code"), &found, &expected, 1e-6);

        // Rounding to f16 moves each value by at most 2^-11 of itself, and so a dot product of unit vectors by at most 2^-11.
        let halves: Vec<f16> = references.iter().map(|&v| f16::from_f32(v)).collect();
        let halves: Vec<&[f16]> = halves.chunks_exact(shape.len()).collect();
        windowed::distances(query, &halves, shape, window, &mut found);
        assert_close(&format!("distances of {name}, f16 bank"), &found, &expected, 2f64.powi(-11));
    }
}

#[test]
fn fused_maps() {
    let Some(local) = Local::open() else { return };
    let golden = &local.golden;
    let mut sum = vec![0.0; FINEST.places()];
    Bilinear::new((40, 40), (80, 80)).run(&golden.floats("dist_s8"), &mut sum);
    sum.iter_mut().zip(golden.floats("dist_s4")).for_each(|(sum, distance)| *sum += distance);
    assert_close("sum at 80x80", &sum, &golden.floats("sum_80"), 1e-6);
    let mut wide = vec![0.0; 320 * 320];
    Bilinear::new((80, 80), (320, 320)).run(&sum, &mut wide);
    assert_close("sum at 320x320", &wide, &golden.floats("up_320"), 1e-6);

    for (foreground, map, score) in [(false, "map_none", "score_none"), (true, "map_fg", "score_fg")] {
        let (found_map, found) = local.score(foreground, local.expected_distances());
        assert_close(map, &found_map, &golden.floats(map), 1e-5);
        let expected = f64::from(golden.floats(score)[0]);
        let relative = (found - expected).abs() / expected;
        println!("{score}: {found} for {expected}, relative difference {relative:.3e}, tolerance 1e-5");
        assert!(relative <= 1e-5, "{score}: {found} != {expected}");
    }
}

#[test]
fn local_retrieval_and_score_as_the_elements_run_them() {
    let Some(local) = Local::open() else { return };
    let golden = &local.golden;
    for (foreground, map, score) in [(false, "map_none", "score_none"), (true, "map_fg", "score_fg")] {
        let cpr = local.cpr(foreground);
        let mut maps = vec![
            FeatureMap::from_floats([1, 80, 80, 24], local.query[0].clone()),
            FeatureMap::from_floats([1, 40, 40, 40], local.query[1].clone()),
            FeatureMap::from_bytes([1, 80, 80], vec![0; FINEST.places()]),
        ];
        if foreground {
            maps.push(FeatureMap::from_floats([1, 1, 80, 80], golden.floats("fg_query")));
        }
        let found = cpr.clone().retrieve().retrieve(&maps, LOCAL_REFERENCES, None).unwrap();
        assert_eq!(found.neighbours.iter().map(|n| n.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        // The bank is in f16: see windowed_distances.
        for (map, (name, ..)) in found.distances.iter().zip(LOCAL_SCALES) {
            let expected = golden.floats(&format!("dist_{name}"));
            assert_close(&format!("distances of {name}, retrieved"), &map.values, &expected, 2f64.powi(-11));
        }
        if let Some(weights) = &found.foreground {
            assert_close("foreground weight", weights, &golden.floats("fg_weight_320"), 1e-6);
        }
        // Two scales are added, and neither weight nor blur makes a difference larger.
        let (found_map, found_score) = cpr.score().score(&found, None).unwrap();
        assert_close(&format!("{map}, f16 bank"), &found_map, &golden.floats(map), 2f64.powi(-10));
        let expected = f64::from(golden.floats(score)[0]);
        println!("{score}, f16 bank: {found_score} for {expected}");
        assert!((found_score - expected).abs() <= 512.0 * 2f64.powi(-10));
    }
}

#[test]
fn foreground() {
    let Some(golden) = Golden::open("cpr_foreground") else { return };
    let features = golden.floats("features");
    let all: Vec<f32> =
        features.chunks_exact(FINEST.len()).flat_map(|map| channel_last(map, FINEST.channels)).collect();
    let vector = |i: usize| &all[i * FINEST.channels..(i + 1) * FINEST.channels];
    let params = ForegroundParams::default();
    assert_eq!((params.samples, params.trim), (15_000, 0.01));

    // The classes are those of the authors' code, which tells them apart by two clusters of the finest layer; here they are told apart by a
    // model of the background (`background`).
    let gather =
        |places: &[usize]| places.iter().flat_map(|&i| vector(i).iter().copied()).collect::<Vec<_>>();
    let (background, foreground) = (golden.integers("background_used"), golden.integers("foreground_used"));
    assert_eq!(background.len(), foreground.len());
    let head =
        discriminant(&gather(&background), &gather(&foreground), &all, FINEST.channels, params.trim).unwrap();
    let weight = golden.floats("weight");
    let largest = weight.iter().fold(0f64, |most, &w| most.max(f64::from(w).abs()));
    assert_close("weight", &head.weight, &weight, 1e-5 * largest);
    assert_close("bias", &[head.bias], &golden.floats("bias"), 1e-5);

    let mut heads = Heads::new(&golden.floats("kmeans_centres"), Some(&head));
    let maps =
        features.chunks_exact(FINEST.len()).flat_map(|image| heads.run(image).2.unwrap()).collect::<Vec<_>>();
    assert_close("foreground maps", &maps, &golden.floats("maps"), 1e-5);
}

#[test]
fn preprocessing() {
    let Some(golden) = Golden::open("preprocess") else { return };
    let spec = input();
    let run = |side: u32, rgb: &[u8]| {
        let picture = Picture::from_rgb(side, side, rgb).unwrap();
        let mut tensor = vec![0.0; spec.len()];
        let mut preprocessor = Preprocessor::new(picture.info(), &spec, None).unwrap();
        preprocessor.run(&picture.frame().unwrap(), &mut tensor).unwrap();
        tensor
    };
    // From the same bytes the same tensor.
    let resized = golden.bytes("cpr_resized");
    assert_close("normalised tensor", &run(320, &resized), &golden.floats("cpr_input"), 1e-6);

    // The authors scale with OpenCV's bilinear filter, which mixes two source pixels whatever the factor. GstVideoConverter's takes
    // as many as the factor asks for (here, 400 to 320: three, weighted by a triangle that reaches 1.5 pixels to either side), since
    // a camera's frame can be many times larger than the input and two pixels would alias. So edges come out softer.
    // References and queries are scaled alike, so no other number depends on it.
    let tensor = run(400, &golden.bytes("rgb"));
    let plane = tensor.len() / 3;
    let byte = |i: usize| (tensor[i % 3 * plane + i / 3] * spec.std[i % 3] + spec.mean[i % 3]).round();
    let found: Vec<f32> = (0..tensor.len()).map(byte).collect();
    let resized: Vec<f32> = resized.into_iter().map(f32::from).collect();
    let differences: Vec<f64> = found.iter().zip(&resized).map(|(f, e)| f64::from((f - e).abs())).collect();
    let (mean, most) = (differences.iter().sum::<f64>() / found.len() as f64, difference(&found, &resized));
    println!("resized image: bytes differ by {mean:.3} on average and {most} at most");
    assert!(mean <= 1.0 && most <= 64.0, "{mean} on average, {most} at most");
}
