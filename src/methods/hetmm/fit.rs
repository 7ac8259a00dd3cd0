//! Learning a HETMM bundle from good images.
//!
//! One pass of the network over the images. Their features go to a temporary file, from which the templates of each place are
//! chosen. Then each image is scored against the templates that come from the others, which calibrates the bundle.

use super::bank::{LayerFeatures, Packed, set_columns, tensors};
use super::retrieve::HetmmRetrieve;
use super::selection::select;
use super::{Hetmm, Layer, NAME, Params, local_role, outputs};
use crate::bundle::{Bank, Manifest, Staging};
use crate::error::{Error, Result};
use crate::evaluate::calibration::{self, Scores, calibrate};
use crate::kernels::mutual::NONE;
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{FitOptions, Fitted, ImageSet, Progress, Spool, Twins, with_precision};
use crate::methods::{Method, Retrieved};
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;
use crate::network::{FeatureMap, Network, backbone};
use crate::pool::Pooled;
use std::path::Path;
use std::sync::Arc;

/// Added to the length of a feature before dividing by it, so that a feature of zeros stays one.
const NORM_EPSILON: f32 = 1e-8;
/// Images at most that calibrate the bundle; more would only make fitting slower.
const CALIBRATED: usize = 250;

/// Says before any work whether the settings of `options` can be used with its images.
///
/// # Errors
/// As [`fit`] would give them.
pub fn check(options: &FitOptions) -> Result<()> {
    Draft::new(options, &mut ()).map(drop)
}

/// What is known before any work.
struct Draft {
    images: ImageSet,
    /// The layers by name, finest first.
    names: Vec<String>,
    params: Params,
}

impl Draft {
    fn new(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        options.refuse_foreground_and_learning(NAME)?;
        let images = ImageSet::open(options, progress)?;
        let found = options.backbone.layers_up_to(&options.layers, Params::MOST_LAYERS)?;
        let params = options.apply(Params::new(images.len(), sizes(&found)), &Params::DECIDED)?;
        params.check(images.input()).map_err(Error::Setting)?;
        Ok(Self { images, names: found.into_iter().map(|layer| layer.name).collect(), params })
    }
}

/// Strides and channels of layers.
pub(super) fn sizes(layers: &[backbone::Layer]) -> Vec<Layer> {
    layers.iter().map(|layer| Layer { stride: layer.stride, channels: layer.channels }).collect()
}

/// Fits a bundle to the good images of `options` and writes it to `out`; returns the manifest as written.
///
/// # Errors
/// If the images, the backbone or the settings cannot be used, or the bundle cannot be written; then nothing is left in `out`.
pub fn fit(options: &FitOptions, out: &Path, progress: &mut dyn Progress) -> Result<Manifest> {
    let Draft { mut images, names, mut params } = Draft::new(options, progress)?;
    let mut staging = Staging::new(out)?;
    let input = images.input().clone();
    let shapes: Vec<Shape> = params.layers.iter().map(|layer| layer.shape(&input)).collect();

    let options = &*with_precision(options, &names, &mut images, progress)?;
    let graph = graph(options, (input.width, input.height), &names, &shapes)?;
    staging.write_graph(&graph)?;
    let size = (input.width, input.height);
    let mut network =
        Network::load(&graph, size, outputs(shapes.iter().copied()), options.device, options.threads)?;
    let features = extract(&mut images, &shapes, &options.scratch, progress, |images, progress, keep| {
        images.each(&mut network, "looking at the images", progress, keep)
    })?;
    drop(network);
    if images.len() < 2 {
        return Err(Error::Fit(
            "one good image is not enough: at least 2 are needed, to compare one with another".into(),
        ));
    }
    params.templates = match params.sheets {
        Some(sheets) if sheets > images.len() => {
            progress.note(&format!(
                "only {} good images: all of them are templates, instead of {sheets} sheets",
                images.len()
            ));
            images.len()
        }
        Some(sheets) => sheets,
        None => images.len(),
    };
    let (packed, sources) = pack(&features, &params, &options.scratch, progress)?;
    // Without scores, to score with.
    staging.write_bank(&tensors(&packed, &[], &[]))?;
    let hetmm = Arc::new(Hetmm::open(params.clone(), &input, &Bank::open(&staging.bank())?)?);
    let scores = leave_one_out(&hetmm, &features, &sources, images.twins(), progress)?;
    drop(hetmm);
    let (normal, means) = (to_floats(&scores.normal), to_floats(&scores.map_means));
    staging.write_bank(&tensors(&packed, &normal, &means))?;
    let obtained = "training images, each against the templates from the others";
    let calibration = calibrate(&scores, &calibration::FALSE_ALARMS, obtained, |score| score)?;
    let manifest = options.manifest(Fitted {
        method: NAME,
        preset: if params.sheets.is_some() { "sheets" } else { "all" },
        layers: names,
        input,
        params: serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?,
        calibration,
        images: &images,
    });
    staging.commit(manifest, images.learned().as_ref(), images.scored(&scores, images.twins()).as_ref())
}

/// The backbone with normalised features of the layers.
fn graph(options: &FitOptions, size: (u32, u32), layers: &[String], shapes: &[Shape]) -> Result<Vec<u8>> {
    let mut graph = GraphBuilder::from_backbone(&options.backbone.model, size)?;
    for (i, (layer, shape)) in layers.iter().zip(shapes).enumerate() {
        let last = graph.channel_last(layer);
        let unit = graph.l2_normalise_last(&last, NORM_EPSILON);
        graph.output(&local_role(i), &unit, DataType::Float, &[1, shape.height, shape.width, shape.channels]);
    }
    graph.finish()
}

/// Keeps the features of every image in temporary files; `each` runs the network over the images.
pub(super) fn extract(
    images: &mut ImageSet,
    shapes: &[Shape],
    scratch: &Path,
    progress: &mut dyn Progress,
    each: impl FnOnce(&mut ImageSet, &mut dyn Progress, &mut dyn FnMut(&[FeatureMap]) -> Result<()>) -> Result<()>,
) -> Result<Vec<LayerFeatures>> {
    let mut spools = shapes.iter().map(|_| Spool::new(scratch)).collect::<Result<Vec<_>>>()?;
    each(images, progress, &mut |maps| {
        maps.iter().zip(&mut spools).try_for_each(|(map, spool)| spool.push_halves(map.floats()))
    })?;
    shapes.iter().zip(spools).map(|(&shape, spool)| LayerFeatures::new(shape, spool)).collect()
}

/// The image that each template of each place of a layer comes from.
type Sources = Vec<Vec<usize>>;

/// Chooses the templates of every place of every layer.
fn pack(
    features: &[LayerFeatures],
    params: &Params,
    scratch: &Path,
    progress: &mut dyn Progress,
) -> Result<(Vec<Packed>, Vec<Sources>)> {
    progress.stage("choosing the templates", features.iter().map(|layer| layer.shape.height).sum());
    let (mut packed, mut sources) = (Vec::new(), Vec::new());
    for layer in features {
        let (images, templates, channels) = (layer.images(), params.templates, layer.shape.channels);
        let (values, chosen) = Packed::fill(layer.shape, templates, scratch, progress, |place, block| {
            let vectors = layer.at(place);
            let chosen = match templates < images {
                true => select(&vectors, images, templates, &params.clustering),
                false => (0..images).collect(),
            };
            let of = chosen.iter().map(|&image| &vectors[image * channels..][..channels]);
            set_columns(block, templates, 0, of);
            chosen
        })?;
        packed.push(values);
        sources.push(chosen);
    }
    Ok((packed, sources))
}

/// The score of every image (an even selection of very many, and one of near-twins) against the templates that come from the others.
fn leave_one_out(
    hetmm: &Arc<Hetmm>,
    features: &[LayerFeatures],
    sources: &[Sources],
    twins: &Twins,
    progress: &mut dyn Progress,
) -> Result<Scores> {
    let chosen = twins.chosen(CALIBRATED);
    progress.stage("calibrating", chosen.len());
    let mut scores = Scores::default();
    for image in chosen {
        let group = twins.group(image);
        let skipped: Vec<Vec<u32>> = sources
            .iter()
            .map(|places| {
                // A place has an image's template once at most.
                let at = |chosen: &[usize], image| chosen.iter().position(|&from| from == image);
                let own = |chosen: &Vec<usize>, image| at(chosen, image).map_or(NONE, |at| at as u32);
                places.iter().flat_map(|chosen| group.iter().map(|&image| own(chosen, image))).collect()
            })
            .collect();
        let map = score_without(hetmm, features, image, &skipped, &mut scores)?;
        progress.scored(image, &map);
        scores.images.push(image);
        progress.advance();
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
    }
    Ok(scores)
}

/// Scores an image against all templates but the `skipped` ones of each place of each layer; returns its anomaly map.
pub(super) fn score_without(
    hetmm: &Arc<Hetmm>,
    features: &[LayerFeatures],
    image: usize,
    skipped: &[Vec<u32>],
    scores: &mut Scores,
) -> Result<Pooled<Vec<f32>>> {
    let maps: Vec<FeatureMap> = features.iter().map(|layer| layer.image(image)).collect();
    let skipped: Vec<&[u32]> = skipped.iter().map(Vec::as_slice).collect();
    let distances = HetmmRetrieve::new(hetmm.clone()).compare(&maps, Some(&skipped))?;
    let retrieved = Retrieved { distances, neighbours: Vec::new(), features: Vec::new(), foreground: None };
    let (map, score) = hetmm.clone().score().score(&retrieved, None)?;
    scores.normal.push(score);
    scores.map_means.push(map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64);
    Ok(map)
}

pub(super) fn to_floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}
