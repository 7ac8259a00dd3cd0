//! Each kernel at the sizes that it has in use.
//!
//!     cargo bench --bench kernels

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use gstanomaly::frame::{Fit, InputSpec, Preprocessor};
use gstanomaly::kernels::blur::Gaussian;
use gstanomaly::kernels::centroids::Centroids;
use gstanomaly::kernels::components::Components;
use gstanomaly::kernels::histogram::{Blocks, Comparison, Query};
use gstanomaly::kernels::mahalanobis::{Gaussians, pack};
use gstanomaly::kernels::mutual::Matching;
use gstanomaly::kernels::nearest::{Found, Instructions, Nearest, Space};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::kernels::top::sum_of_largest;
use gstanomaly::kernels::windowed::{self, Shape};
use half::f16;
use std::hint::black_box;

/// As many as MVTec AD's bottle has.
const REFERENCES: usize = 209;
const NEIGHBOURS: usize = 10;
const SHEETS: usize = 60;

/// Values 0..1 from a seed.
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| next()).collect()
}

/// A query against 10 of 209 references, others each time, so that they come from memory as they do in use.
fn windowed_search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("windowed");
    for (height, channels, window) in
        [(80, 16, 3), (80, 24, 3), (80, 64, 3), (80, 384, 3), (40, 40, 1), (40, 384, 1), (20, 112, 1)]
    {
        let shape = Shape { height, width: height, channels };
        let query = noise(1, shape.len());
        let one: Vec<f16> = noise(2, shape.len()).into_iter().map(f16::from_f32).collect();
        let bank = one.repeat(REFERENCES);
        let references: Vec<&[f16]> = bank.chunks_exact(shape.len()).collect();
        let mut distances = vec![0.0; shape.places()];
        let mut first = 0;
        // Multiplications, but for the borders.
        group.throughput(Throughput::Elements((NEIGHBOURS * window * window * shape.len()) as u64));
        group.bench_function(format!("{height}x{height}x{channels} window {window}"), |bencher| {
            bencher.iter(|| {
                first = (first + 67) % REFERENCES;
                let chosen: Vec<&[f16]> =
                    (0..NEIGHBOURS).map(|i| references[(first + i * 19) % REFERENCES]).collect();
                windowed::distances(&query, &chosen, shape, window, &mut distances);
                black_box(&distances);
            });
        });
    }
}

/// A query against 60 templates in both directions.
fn mutual_matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mutual");
    group.sample_size(20);
    for (height, channels, window) in [(64, 256, 9), (32, 512, 7), (16, 1024, 5), (64, 24, 9)] {
        let shape = Shape { height, width: height, channels };
        let query = noise(1, shape.len());
        let one: Vec<f16> = noise(2, shape.len()).into_iter().map(f16::from_f32).collect();
        let templates = one.repeat(SHEETS);
        let (mut forward, mut backward) = (vec![0.0; shape.places()], vec![0.0; shape.places()]);
        // Multiplications, without those that the borders save.
        let covered: usize =
            (0..height).map(|y| (y + window / 2).min(height - 1) + 1 - y.saturating_sub(window / 2)).sum();
        group.throughput(Throughput::Elements((SHEETS * covered * covered * channels) as u64));
        group.bench_function(format!("{height}x{height}x{channels} window {window}"), |bencher| {
            let matching = Matching::new(&query, &templates, shape, SHEETS, (window, window));
            bencher.iter(|| {
                matching.run(&mut forward, &mut backward);
                black_box((&forward, &backward));
            });
        });
    }
}

/// Features against the Gaussians of as many positions: 2x2 of them each, and their own alone.
fn mahalanobis(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mahalanobis");
    group.sample_size(20);
    let (side, channels) = (56, 150);
    let means = noise(5, side * side * channels);
    let features = noise(6, side * side * channels);
    let lower: Vec<f64> = noise(7, channels * channels).into_iter().map(f64::from).collect();
    let factor = pack(&lower, channels);
    let (factors, diagonals) = (factor.packed.repeat(side * side), factor.diagonal.repeat(side * side));
    let gaussians = Gaussians::new(&means, (&factors, &diagonals), (side, side), channels);
    let mut distances = vec![0.0; side * side];
    group.throughput(Throughput::Bytes(size_of_val(&factors[..]) as u64));
    for offsets in [0..=0, 0..=1] {
        group.bench_function(format!("56x56x150, offsets {offsets:?}"), |bencher| {
            bencher.iter(|| gaussians.distances(&features, offsets.clone(), &mut distances));
        });
    }
    group.finish();
    // 1 % of the positions, and 0.5 % of the features of 209 images.
    let centroids = Centroids::new(noise(8, 3277 * channels), channels);
    criterion.bench_function("31x150 to the nearest of 3,277 centroids", |bencher| {
        bencher.iter(|| centroids.distances(&features[..31 * channels], &mut distances[..31]));
    });
}

fn maps(criterion: &mut Criterion) {
    let map = noise(3, 320 * 320);
    let mut blur = Gaussian::new(33, 4.0);
    let mut work = map.clone();
    criterion.bench_function("blur 320x320 side 33", |bencher| {
        bencher.iter(|| {
            work.copy_from_slice(&map);
            blur.run(&mut work, 320);
        });
    });

    let sources: Vec<Vec<f32>> = (0..=NEIGHBOURS as u64).map(|i| noise(10 + i, 80 * 80)).collect();
    let sources: Vec<&[f32]> = sources.iter().map(Vec::as_slice).collect();
    let mut wide = vec![0.0; 320 * 320];
    let resize = Bilinear::new((80, 80), (320, 320));
    criterion.bench_function("resize 80x80 to 320x320", |bencher| {
        bencher.iter(|| resize.run(sources[0], &mut wide))
    });
    criterion.bench_function("resize 11 maps 80x80 to 320x320, largest", |bencher| {
        bencher.iter(|| resize.run_max(&sources, &mut wide));
    });

    let mut smooth = map.clone();
    blur.run(&mut smooth, 320);
    let mut scratch = Vec::new();
    criterion.bench_function("sum of the largest 512 of 320x320", |bencher| {
        bencher.iter(|| sum_of_largest(black_box(&smooth), 512, &mut scratch));
    });

    let mut components = Components::default();
    let mean = smooth.iter().sum::<f32>() / smooth.len() as f32;
    criterion.bench_function("components of half of 320x320", |bencher| {
        bencher.iter(|| components.find(black_box(&smooth), 320, mean).len());
    });
}

fn global_retrieval(criterion: &mut Criterion) {
    let blocks = Blocks { map: (80, 80), side: 5, codes: 12 };
    let maps: Vec<Vec<u8>> = (0..REFERENCES as u64)
        .map(|i| noise(100 + i, 80 * 80).into_iter().map(|v| (v * 12.0) as u8).collect())
        .collect();
    let mut references = vec![0.0; REFERENCES * blocks.len()];
    for (codes, histograms) in maps.iter().zip(references.chunks_exact_mut(blocks.len())) {
        blocks.histograms(codes, histograms);
    }
    let comparison = Comparison::new(blocks, &references, 1e-8, 20);
    let mut query = Query::default();
    criterion.bench_function("histograms and comparison with 209", |bencher| {
        bencher.iter_batched_ref(
            || (vec![0.0; blocks.len()], Vec::with_capacity(REFERENCES)),
            |(histograms, distances)| {
                blocks.histograms(black_box(&maps[0]), histograms);
                comparison.distances(histograms, &mut query, distances);
            },
            BatchSize::SmallInput,
        );
    });
}

/// Frames of cameras to the default input.
fn preprocessing(criterion: &mut Criterion) {
    gst::init().unwrap();
    let spec = InputSpec {
        width: 320,
        height: 320,
        fit: Fit::Stretch,
        mean: [127.0; 3],
        std: [128.0; 3],
        range: None,
    };
    let mut input = vec![0.0; spec.len()];
    let mut group = criterion.benchmark_group("preprocessing");
    for (format, width, height) in [
        (VideoFormat::Nv12, 1920, 1080),
        (VideoFormat::I420, 640, 480),
        (VideoFormat::Rgb, 1920, 1080),
        (VideoFormat::Rgb, 640, 480),
        (VideoFormat::Rgb, 320, 320),
    ] {
        let info = VideoInfo::builder(format, width, height).build().unwrap();
        let bytes = noise(5, info.size()).into_iter().map(|v| (v * 255.0) as u8).collect::<Vec<_>>();
        let buffer = gst::Buffer::from_slice(bytes);
        let frame = VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
        let mut preprocessor = Preprocessor::new(&info, &spec, None).unwrap();
        group.bench_function(format!("{width}x{height} {format}"), |bencher| {
            bencher.iter(|| preprocessor.run(&frame, &mut input).unwrap());
        });
    }
}

/// The patches of a frame against the banks of PatchCore with 1 % and 10 % of 209 images at 224x224.
fn nearest_rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nearest");
    group.sample_size(20);
    let (dimension, patches) = (1024, 28 * 28);
    // Like features, values that vary together: mixtures of some patterns, and noise.
    let patterns = noise(20, 48 * dimension);
    let mixtures = |seed: u64, count: usize| -> Vec<f32> {
        let shares = noise(seed, count * 48);
        let mut values = noise(seed + 1, count * dimension);
        for (values, shares) in values.chunks_exact_mut(dimension).zip(shares.chunks_exact(48)) {
            for (share, pattern) in shares.iter().zip(patterns.chunks_exact(dimension)) {
                values.iter_mut().zip(pattern).for_each(|(value, pattern)| *value += share * pattern);
            }
        }
        values
    };
    let queries = [mixtures(30, patches), mixtures(40, patches)];
    for rows in [1638, 16_385] {
        let bank: Vec<f16> = mixtures(50, rows).into_iter().map(f16::from_f32).collect();
        group.throughput(Throughput::Elements((patches * bank.len()) as u64));
        for instructions in Instructions::available() {
            if instructions == Instructions::Plain && rows > 10_000 {
                continue;
            }
            let nearest = Nearest::with_instructions(&bank, dimension, instructions);
            let (mut space, mut found, mut frame) = (Space::default(), vec![Found::default(); patches], 0);
            group.bench_function(format!("{rows} rows, {instructions:?}"), |bencher| {
                bencher.iter(|| {
                    frame += 1;
                    nearest.find(&bank, &queries[frame % 2], None, &mut space, &mut found).unwrap();
                    black_box(&found);
                });
            });
        }
    }
}

criterion_group!(
    kernels,
    nearest_rows,
    windowed_search,
    mutual_matching,
    mahalanobis,
    maps,
    global_retrieval,
    preprocessing
);
criterion_main!(kernels);
