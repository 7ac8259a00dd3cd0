//! N-pad against an independent reference in f64; there is no public code of its authors.
//!
//! The golden file holds made-up features, so that a copy of it lies in `tests/fixtures`.

#![cfg(feature = "train")]

#[path = "common/golden.rs"]
mod golden;

use golden::{Golden, assert_close, channel_last};
use gstanomaly::bundle::Bank;
use gstanomaly::frame::{Fit, InputSpec};
use gstanomaly::kernels::centroids::Centroids;
use gstanomaly::kernels::cholesky::inverse_factor;
use gstanomaly::kernels::mahalanobis::{Factor, Gaussians, pack, packed_len};
use gstanomaly::kernels::windowed::Shape;
use gstanomaly::methods::Method;
use gstanomaly::methods::npad::statistics::{Moments, Space, order_channels};
use gstanomaly::methods::npad::{Npad, Params, aggregate};
use gstanomaly::network::FeatureMap;
use safetensors::{Dtype, tensor::TensorView};
use std::sync::Arc;

const SHAPE: Shape = Shape { height: 8, width: 8, channels: 20 };
const IMAGES: usize = 24;
const EPSILON: f64 = 0.01;
const LAMBDA: f64 = 0.25;

/// `[N, C, H, W]` to one `[H, W, C]` each.
fn images(values: &[f32]) -> Vec<Vec<f32>> {
    values.chunks_exact(SHAPE.len()).map(|image| channel_last(image, SHAPE.channels)).collect()
}

/// The moments of every position of images `[H, W, C]`.
fn moments(images: &[Vec<f32>]) -> Vec<Moments> {
    let d = SHAPE.channels;
    (0..SHAPE.places())
        .map(|place| {
            let vectors: Vec<f32> =
                images.iter().flat_map(|image| image[place * d..][..d].iter().copied()).collect();
            let mut moments = Moments::default();
            moments.set(&vectors, d, EPSILON, &mut Space::default());
            moments
        })
        .collect()
}

/// The positions around a position, with the offsets' number, `[3, 3]`.
fn around(place: usize) -> impl Iterator<Item = (usize, usize)> {
    let (y, x) = ((place / 8) as isize, (place % 8) as isize);
    (0..9).filter_map(move |i| {
        let (y, x) = (y + i / 3 - 1, x + i % 3 - 1);
        ((0..8).contains(&y) && (0..8).contains(&x)).then_some((i as usize, (y * 8 + x) as usize))
    })
}

fn similarity(one: &Moments, other: &Moments) -> f64 {
    one.similarity(other, LAMBDA, &mut Space::default()).unwrap()
}

fn weighted(moments: &[Moments]) -> Vec<Moments> {
    let one = |place: usize| {
        let neighbours: Vec<(&Moments, f64)> = around(place)
            .map(|(_, other)| (&moments[other], similarity(&moments[place], &moments[other])))
            .collect();
        let mut weighted = Moments::default();
        weighted.set_weighted(&neighbours, IMAGES);
        weighted
    };
    (0..SHAPE.places()).map(one).collect()
}

fn averaged(features: &[f32]) -> Vec<f32> {
    let mut averaged = vec![0.0; features.len()];
    aggregate(features, SHAPE, 3, &mut averaged);
    averaged
}

fn means(moments: &[Moments]) -> Vec<f32> {
    moments.iter().flat_map(|m| m.mean.iter().map(|&v| v as f32)).collect()
}

fn covariances(moments: &[Moments]) -> Vec<f32> {
    moments.iter().flat_map(|m| m.covariance.iter().map(|&v| v as f32)).collect()
}

/// Packed factors and their diagonals.
fn factors(moments: &[Moments]) -> (Vec<i16>, Vec<f32>) {
    let one = |m: &Moments| {
        let mut inverse = Vec::new();
        assert!(inverse_factor(&mut m.covariance.clone(), SHAPE.channels, &mut inverse));
        pack(&inverse, SHAPE.channels)
    };
    let factors: Vec<Factor> = moments.iter().map(one).collect();
    let packed = factors.iter().flat_map(|factor| factor.packed.iter().copied()).collect();
    (packed, factors.into_iter().flat_map(|factor| factor.diagonal).collect())
}

#[test]
fn chosen_channels() {
    let golden = Golden::fixture("npad");
    let raw = golden.floats("raw_features");
    let mut nonzero = vec![0u64; 32];
    for (i, plane) in raw.chunks_exact(SHAPE.places()).enumerate() {
        nonzero[i % 32] += plane.iter().filter(|&&value| value != 0.0).count() as u64;
    }
    assert!(nonzero.iter().map(|&count| count as usize).eq(golden.integers("nonzero_count")));
    let most = order_channels(&nonzero, false);
    assert_eq!(most[..20], golden.integers("channels_most_nonzero"));
    assert_eq!(order_channels(&nonzero, true)[..20], golden.integers("channels_least_nonzero"));
    let mut chosen = most[..20].to_vec();
    chosen.sort_unstable();
    let plane = |n: usize, c: usize| &raw[(n * 32 + c) * 64..][..64];
    let features: Vec<f32> =
        (0..IMAGES).flat_map(|n| chosen.iter().flat_map(move |&c| plane(n, c).to_vec())).collect();
    assert_eq!(features, golden.floats("features"));
}

#[test]
fn plain_and_weighted_distributions() {
    let golden = Golden::fixture("npad");
    let plain = moments(&images(&golden.floats("features")));
    assert_close("mean", &means(&plain), &channel_last(&golden.floats("mean"), 20), 2e-6);
    assert_close("cov", &covariances(&plain), &golden.floats("cov"), 2e-5);

    let mut similarity = vec![0.0; 64 * 9];
    for place in 0..64 {
        for (offset, other) in around(place) {
            similarity[place * 9 + offset] = self::similarity(&plain[place], &plain[other]) as f32;
        }
    }
    assert_close("similarity", &similarity, &golden.floats("similarity"), 1e-5);

    let weighted = weighted(&plain);
    let expected = channel_last(&golden.floats("weighted_mean"), 20);
    assert_close("weighted_mean", &means(&weighted), &expected, 2e-6);
    assert_close("weighted_cov", &covariances(&weighted), &golden.floats("weighted_cov"), 2e-5);
}

#[test]
fn aggregated_distributions() {
    let golden = Golden::fixture("npad");
    let aggregated: Vec<Vec<f32>> =
        images(&golden.floats("features")).iter().map(|image| averaged(image)).collect();
    let expected = images(&golden.floats("agg_features"));
    assert_close("agg_features", &aggregated[..2].concat(), &expected.concat(), 2e-6);
    let tests: Vec<Vec<f32>> =
        images(&golden.floats("test_features")).iter().map(|image| averaged(image)).collect();
    let expected = images(&golden.floats("agg_test_features"));
    assert_close("agg_test_features", &tests.concat(), &expected.concat(), 2e-6);
    let moments = moments(&aggregated);
    assert_close("agg_mean", &means(&moments), &channel_last(&golden.floats("agg_mean"), 20), 2e-6);
    assert_close("agg_cov", &covariances(&moments), &golden.floats("agg_cov"), 2e-5);
}

#[test]
fn maps_of_every_window() {
    let golden = Golden::fixture("npad");
    let weighted = weighted(&moments(&images(&golden.floats("features"))));
    let (means, (factors, diagonals)) = (means(&weighted), factors(&weighted));
    let gaussians = Gaussians::new(&means, (&factors, &diagonals), (8, 8), 20);
    for (name, offsets) in
        [("map_a_w1", 0..=0), ("map_a_w2", 0..=1), ("map_a_w2_minus", -1..=0), ("map_a_w3", -1..=1)]
    {
        let mut found = vec![0.0; 2 * 64];
        for (image, found) in images(&golden.floats("test_features")).iter().zip(found.chunks_exact_mut(64)) {
            gaussians.distances(image, offsets.clone(), found);
        }
        assert_close(name, &found, &golden.floats(name), 1e-4);
    }
    let params = |window| Params { window, ..Params::new(IMAGES, 4) }.offsets();
    assert_eq!([params(1), params(2), params(3)], [0..=0, 0..=1, -1..=1]);
}

/// The method on the golden distributions, with a window for map A.
fn npad(golden: &Golden, window: usize) -> (Arc<Npad>, InputSpec) {
    let input =
        InputSpec { width: 32, height: 32, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3], range: None };
    // There are 12 centroids of 24 images there, and k is 5 of 64 positions.
    let top = 5.0 / 64.0;
    let params =
        Params { channels: 20, centroids: 12.0 / (24.0 * 64.0), window, top, ..Params::new(IMAGES, 4) };
    params.check(&input).unwrap();
    let features = images(&golden.floats("features"));
    let aggregated: Vec<Vec<f32>> = features.iter().map(|image| averaged(image)).collect();
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let bytes = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
    for (name, moments) in [("weighted", weighted(&moments(&features))), ("aggregated", moments(&aggregated))]
    {
        let (factors, diagonals) = factors(&moments);
        let factors = bytemuck::cast_slice(&factors).to_vec();
        tensors.push((format!("{name}_means"), Dtype::F32, vec![8, 8, 20], bytes(&means(&moments))));
        tensors.push((format!("{name}_factors"), Dtype::I16, vec![8, 8, packed_len(20)], factors));
        tensors.push((format!("{name}_diagonals"), Dtype::F32, vec![8, 8, 20], bytes(&diagonals)));
    }
    tensors.push(("centroids".into(), Dtype::F32, vec![12, 20], bytes(&golden.floats("centroids"))));
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.safetensors");
    safetensors::serialize_to_file(views, None, &file).unwrap();
    (Arc::new(Npad::open(params, &input, &Bank::open(&file).unwrap()).unwrap()), input)
}

/// The two steps as the elements run them.
#[test]
fn final_maps_and_image_scores() {
    let golden = Golden::fixture("npad");
    for (window, final_map) in [(2, "map_final_w2"), (3, "map_final_w3")] {
        let (npad, _) = npad(&golden, window);
        let (mut retrieve, mut score) = (npad.clone().retrieve(), npad.score());
        let mut found: [Vec<f32>; 3] = Default::default();
        for (i, image) in images(&golden.floats("test_features")).into_iter().enumerate() {
            let retrieved =
                retrieve.retrieve(&[FeatureMap::from_floats([1, 8, 8, 20], image)], 0, None).unwrap();
            let [a, b] = &retrieved.distances[..] else { panic!("two maps") };
            let product = a.values.iter().zip(b.values.iter()).map(|(a, b)| (a * b).sqrt());
            found[0].extend(product);
            found[1].extend_from_slice(&b.values);
            if window == 2 {
                let top = &golden.integers("topk_index")[i * 5..][..5];
                found[2].extend(top.iter().map(|&place| a.values[place]));
                let (map, value) = score.score(&retrieved, None).unwrap();
                assert_eq!(map.len(), 32 * 32);
                let expected = f64::from(golden.floats("image_score")[i]);
                println!("image score {value}, expected {expected}");
                assert!((value - expected).abs() < 2e-4 * expected);
            }
        }
        assert_close(final_map, &found[0], &golden.floats(final_map), 1e-4);
        assert_close("map_b", &found[1], &golden.floats("map_b"), 1e-4);
        if window == 2 {
            assert_close("topk_mahalanobis", &found[2], &golden.floats("topk_mahalanobis"), 1e-4);
        }
    }
}

#[test]
fn distances_to_centroids() {
    let golden = Golden::fixture("npad");
    let tests = images(&golden.floats("test_features"));
    let centroids = Centroids::new(golden.floats("centroids"), 20);
    for (i, image) in tests.iter().enumerate() {
        let mut found = vec![0.0; 64];
        centroids.distances(&averaged(image), &mut found);
        let top = &golden.integers("topk_index")[i * 5..][..5];
        let found: Vec<f32> = top.iter().map(|&place| found[place]).collect();
        assert_close("topk_euclidean", &found, &golden.floats("topk_euclidean")[i * 5..][..5], 1e-4);
    }
}
