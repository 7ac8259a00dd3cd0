//! Learning a CPR bundle from good images, without the learned branch.
//!
//! Two passes of the network over the images. The first draws patch vectors for the code book and the foreground; with
//! these in the graph, the second fills the bank. The bank then scores each of its own images against the others,
//! which calibrates the bundle.

use super::codebook::{KMeansParams, kmeans};
use super::foreground::{self, ForegroundParams, Samples, Zone};
use super::heads::{self, ForegroundHead};
use super::{CODES, Cpr, FOREGROUND, HISTOGRAMS, NAME, Params, Scale, local_role};
use crate::bundle::{self, BackboneInfo, Bank, Manifest, Staging, Training};
use crate::error::{Error, Result};
use crate::evaluate::calibration::{self, Scores, calibrate};
use crate::kernels::histogram::Blocks;
use crate::kernels::windowed::{Shape, channel_last, planes};
use crate::methods::Method;
use crate::methods::fitting::{FitOptions, Foreground, ImageSet, Progress, Spool};
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;
use crate::network::{FeatureMap, Network, OutputSpec};
use half::f16;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;
use safetensors::Dtype;
use std::path::Path;
use std::sync::Arc;

/// Patch vectors at most for k-means, as in the authors' code.
const CLUSTERED: usize = 50_000;
/// Images at most that calibrate the bundle; more would only make fitting slower.
const CALIBRATED: usize = 1_000;

/// Fits a bundle to the good images of `options` and writes it to `out`; returns the manifest as written.
///
/// # Errors
/// If the images, the backbone or the settings cannot be used, or the bundle cannot be written; then nothing is left in `out`.
pub fn fit(options: &FitOptions, out: &Path, progress: &mut dyn Progress) -> Result<Manifest> {
    let mut staging = Staging::new(out)?;
    let mut images = ImageSet::open(options, progress)?;
    let layers = options.backbone.layers::<2>(&options.layers)?;
    let input = images.input().clone();
    let scales: Vec<Scale> = layers
        .iter()
        .zip(Params::WINDOWS)
        .map(|(layer, window)| Scale { stride: layer.stride, channels: layer.channels, window })
        .collect();
    let names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let shapes: Vec<Shape> = scales.iter().map(|scale| scale.shape(&input)).collect();
    let layers: Vec<(&str, Shape)> = names.iter().map(String::as_str).zip(shapes.iter().copied()).collect();
    // Checked before the work, with the number of images that there are at most.
    let draft = options.apply(Params::new(images.len(), scales, false))?;
    // Of few images all are neighbours, which is said when it is known how many can be read.
    let possible = Params { neighbours: draft.neighbours.min(images.len()), ..draft.clone() };
    possible.check(&input).map_err(Error::Setting)?;
    let codes = draft.global.codes;

    let zones = ForegroundParams::default();
    let samples = draw(options, &mut images, layers[0], &zones, progress)?;
    let clusterings = if options.foreground == Foreground::Off { 1 } else { 2 };
    progress.stage("grouping the patches", clusterings * KMeansParams::default().restarts);
    let centres = cluster(&samples, layers[0].1.channels, codes, options.seed, progress)?;
    let head = estimate_foreground(options, &samples, layers[0].1.channels, &zones, progress)?;
    drop(samples);

    let graph = GraphBuilder::from_backbone(&options.backbone.model, (input.width, input.height))?;
    let graph = heads::finish(graph, &layers, &centres, codes, head.as_ref())?;
    let blocks = draft.blocks(&input);
    let filled = fill(&graph, options, &mut images, &shapes, blocks, head.is_some(), progress)?;

    let mut params = options.apply(Params::new(filled.images, draft.scales.clone(), head.is_some()))?;
    if params.neighbours > filled.images {
        progress.note(&format!(
            "only {} good images: every frame is compared with all of them instead of {}",
            filled.images, params.neighbours
        ));
        params.neighbours = filled.images;
    }
    params.check(&input).map_err(Error::Setting)?;
    staging.write_graph(&graph)?;
    let codes = filled.write(&mut staging, &shapes, blocks, head.is_some())?;
    let cpr = Arc::new(Cpr::open(params.clone(), &input, &Bank::open(&staging.bank())?)?);
    let scores = leave_one_out(&cpr, &shapes, &codes, progress)?;
    let calibration =
        calibrate(&scores, calibration::FALSE_ALARMS, "training images, each against the others", |score| {
            cpr.map_level(score)
        })?;

    let manifest = Manifest {
        format: bundle::FORMAT,
        name: options.name.clone(),
        method: NAME.into(),
        preset: "raw".into(),
        backbone: BackboneInfo {
            name: options.backbone.card.name.clone(),
            sha256: options.backbone.card.sha256.clone(),
            licence: options.backbone.card.licence.clone(),
            layers: names,
        },
        input,
        params: serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?,
        calibration,
        training: Training {
            images: params.references,
            skipped: images.skipped(),
            seed: options.seed,
            steps: 0,
            dataset: options.dataset.clone(),
            date: options.date.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        },
        files: Default::default(),
    };
    staging.commit(manifest)
}

/// First pass: patch vectors of the finest layer, drawn at random from all images and from the two zones.
fn draw(
    options: &FitOptions,
    images: &mut ImageSet,
    (layer, shape): (&str, Shape),
    zones: &ForegroundParams,
    progress: &mut dyn Progress,
) -> Result<Samples> {
    let input = images.input();
    let mut graph = GraphBuilder::from_backbone(&options.backbone.model, (input.width, input.height))?;
    let last = graph.channel_last(layer);
    let dims = [1, shape.height, shape.width, shape.channels];
    graph.output("raw", &last, DataType::Float, &dims);
    let size = (input.width, input.height);
    let outputs = vec![OutputSpec::floats("raw", dims)];
    let mut network = Network::load(&graph.finish()?, size, outputs, options.device, options.threads)?;

    let places: Vec<(usize, usize)> =
        (0..shape.places()).map(|i| (i / shape.width, i % shape.width)).collect();
    let of_zone = |zone: Zone| -> Vec<usize> {
        let size = (shape.height, shape.width);
        (0..places.len()).filter(|&i| zones.zone(places[i], size) == zone).collect()
    };
    let (border, centre) = (of_zone(Zone::Border), of_zone(Zone::Centre));
    let everywhere: Vec<usize> = (0..places.len()).collect();
    // The same number of places from each image, so that images need not be kept: with thousands of places per
    // image this is as good as drawing from all at once.
    let share = |most: usize, available: usize| most.div_ceil(images.len()).min(available);
    // More than the discriminant takes, since part of each zone belongs to the other class.
    let zone_most = 4 * zones.samples;
    let quota = [
        (everywhere.as_slice(), share(CLUSTERED, everywhere.len())),
        (&border, share(zone_most, border.len())),
        (&centre, share(zone_most, centre.len())),
    ];
    let mut random = Xoshiro256Plus::seed_from_u64(options.seed);
    let mut drawn: [Vec<f32>; 3] = Default::default();
    images.each(&mut network, "looking at the images", progress, |maps| {
        let values = maps[0].floats();
        for ((places, count), drawn) in quota.iter().zip(&mut drawn) {
            for chosen in index::sample(&mut random, places.len(), *count) {
                let at = places[chosen] * shape.channels;
                drawn.extend_from_slice(&values[at..at + shape.channels]);
            }
        }
        Ok(())
    })?;
    let [mut all, border, centre] = drawn;
    trim(&mut all, shape.channels, CLUSTERED, &mut random);
    Ok(Samples { all, border, centre })
}

/// Drops vectors at random places until at most `most` are left.
fn trim(vectors: &mut Vec<f32>, channels: usize, most: usize, random: &mut impl Rng) {
    while vectors.len() > most * channels {
        let last = vectors.len() - channels;
        let at = random.gen_range(0..vectors.len() / channels) * channels;
        vectors.copy_within(last.., at);
        vectors.truncate(last);
    }
}

fn cluster(
    samples: &Samples,
    channels: usize,
    count: usize,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<f32>> {
    kmeans(&samples.all, channels, count, seed, &KMeansParams::default(), || {
        progress.advance();
        if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })
}

fn estimate_foreground(
    options: &FitOptions,
    samples: &Samples,
    channels: usize,
    zones: &ForegroundParams,
    progress: &mut dyn Progress,
) -> Result<Option<ForegroundHead>> {
    if options.foreground == Foreground::Off {
        return Ok(None);
    }
    let centres = cluster(samples, channels, 2, options.seed, progress)?;
    let mut split = foreground::split(samples, &centres, channels);
    if options.foreground == Foreground::Auto {
        let found = split.contrast >= zones.contrast;
        progress.note(&format!(
            "foreground: {} (border and centre differ by {:.2}, an object on a plain ground by {:.2} or more)",
            if found { "on" } else { "off" },
            split.contrast,
            zones.contrast
        ));
        if !found {
            return Ok(None);
        }
    }
    foreground::balance(&mut split, channels, zones.samples, options.seed);
    foreground::discriminant(&split.background, &split.foreground, &samples.all, channels, zones.trim)
        .map(Some)
}

/// The bank as it comes out of the second pass, on disk.
struct Filled {
    images: usize,
    local: Vec<Spool>,
    histograms: Vec<f32>,
    foreground: Vec<f32>,
    codes: Vec<u8>,
}

/// Second pass: the outputs of the final graph for every image.
fn fill(
    graph: &[u8],
    options: &FitOptions,
    images: &mut ImageSet,
    shapes: &[Shape],
    blocks: Blocks,
    with_foreground: bool,
    progress: &mut dyn Progress,
) -> Result<Filled> {
    let finest = shapes[0];
    let local = shapes.iter().enumerate();
    let mut outputs: Vec<OutputSpec> =
        local.map(|(i, s)| OutputSpec::floats(local_role(i), [1, s.height, s.width, s.channels])).collect();
    outputs.push(OutputSpec::bytes(CODES, [1, finest.height, finest.width]));
    if with_foreground {
        outputs.push(OutputSpec::floats(FOREGROUND, [1, 1, finest.height, finest.width]));
    }
    let size = (images.input().width, images.input().height);
    let mut network = Network::load(graph, size, outputs, options.device, options.threads)?;
    let mut filled = Filled {
        images: 0,
        local: shapes.iter().map(|_| Spool::new(&options.scratch)).collect::<Result<_>>()?,
        histograms: Vec::new(),
        foreground: Vec::new(),
        codes: Vec::new(),
    };
    let mut histograms = vec![0.0; blocks.len()];
    images.each(&mut network, "filling the bank", progress, |maps| {
        let (local, rest) = maps.split_at(shapes.len());
        for ((map, spool), &shape) in local.iter().zip(&mut filled.local).zip(shapes) {
            spool.push_halves(&planes(map.floats(), shape))?;
        }
        blocks.histograms(rest[0].bytes(), &mut histograms);
        filled.histograms.extend_from_slice(&histograms);
        filled.codes.extend_from_slice(rest[0].bytes());
        if with_foreground {
            filled.foreground.extend_from_slice(rest[1].floats());
        }
        filled.images += 1;
        Ok(())
    })?;
    if filled.images < 2 {
        return Err(Error::Fit(format!(
            "{} good image is not enough: at least 2 are needed, to compare one with another",
            filled.images
        )));
    }
    Ok(filled)
}

impl Filled {
    /// Writes the bank and returns the code maps, which only calibration needs.
    fn write(
        self,
        staging: &mut Staging,
        shapes: &[Shape],
        blocks: Blocks,
        with_foreground: bool,
    ) -> Result<Vec<u8>> {
        let n = self.images;
        let finest = shapes[0];
        let local = self.local.into_iter().map(Spool::finish).collect::<Result<Vec<_>>>()?;
        let mut tensors = bundle::Tensors::new();
        for (i, (map, s)) in local.iter().zip(shapes).enumerate() {
            tensors.insert(
                local_role(i),
                bundle::TensorData {
                    dtype: Dtype::F16,
                    shape: vec![n, s.height, s.channels, s.width],
                    bytes: map,
                },
            );
        }
        tensors.insert(
            HISTOGRAMS.into(),
            bundle::TensorData {
                dtype: Dtype::F32,
                shape: vec![n, blocks.count(), blocks.bins()],
                bytes: bytemuck::cast_slice(&self.histograms),
            },
        );
        if with_foreground {
            tensors.insert(
                FOREGROUND.into(),
                bundle::TensorData {
                    dtype: Dtype::F32,
                    shape: vec![n, finest.height, finest.width],
                    bytes: bytemuck::cast_slice(&self.foreground),
                },
            );
        }
        staging.write_bank(&tensors)?;
        Ok(self.codes)
    }
}

/// The score of every image of the bank (an even selection of very many) against the others.
fn leave_one_out(
    cpr: &Arc<Cpr>,
    shapes: &[Shape],
    codes: &[u8],
    progress: &mut dyn Progress,
) -> Result<Scores> {
    let finest = cpr.finest();
    let step = cpr.references.div_ceil(CALIBRATED);
    let chosen: Vec<usize> = (0..cpr.references).step_by(step).collect();
    progress.stage("calibrating", chosen.len());
    let (mut retrieve, mut score) = (cpr.clone().retrieve(), cpr.clone().score());
    let mut scores = Scores::default();
    for index in chosen {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut maps: Vec<FeatureMap> = Vec::with_capacity(shapes.len() + 2);
        for (bank, &s) in cpr.scales.iter().zip(shapes) {
            let patches: Vec<f32> = channel_last(bank.map(index), s).into_iter().map(f16::to_f32).collect();
            maps.push(FeatureMap::from_floats([1, s.height, s.width, s.channels], patches));
        }
        let code = codes[index * finest.places()..][..finest.places()].to_vec();
        maps.push(FeatureMap::from_bytes([1, finest.height, finest.width], code));
        if let Some(foreground) = &cpr.foreground {
            let own = foreground[index * finest.places()..][..finest.places()].to_vec();
            maps.push(FeatureMap::from_floats([1, 1, finest.height, finest.width], own));
        }
        let found = retrieve.retrieve(&maps, cpr.neighbours().min(cpr.references - 1), Some(index))?;
        let (map, value) = score.score(&found, None)?;
        scores.normal.push(value);
        scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
        progress.advance();
    }
    Ok(scores)
}
