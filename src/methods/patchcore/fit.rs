//! Learning a PatchCore bundle from good images.
//!
//! One pass of the network embeds all patches; a greedy selection keeps the coreset. Banks without a part of the images
//! then score these, which calibrates the bundle.

use super::coreset::{self, Coreset};
use super::folds::{Folds, Judged};
use super::index;
use super::judged::{self, Judge};
use super::patches::Patches;
use super::rows::Rows;
use super::{Embedding, NAME, PATCHES, Params, PatchCore, Selection, Start, heads};
use crate::bundle::{Bank, Manifest, Staging};
use crate::error::{Error, Result};
use crate::frame::InputSpec;
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{FitOptions, Fitted, ImageSet, Progress, Twins, with_precision};
use crate::network::backbone::Layer;
use crate::network::graph::GraphBuilder;
use crate::network::{Network, OutputSpec};
use std::path::Path;
use std::sync::Arc;

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
    layers: [Layer; 2],
    params: Params,
}

impl Draft {
    fn new(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        options.refuse_foreground_and_learning(NAME)?;
        let images = ImageSet::open(options, progress)?;
        let layers = options.backbone.layers::<2>(&options.layers)?;
        let params = Params { references: images.len(), stride: layers[0].stride, ..Params::default() };
        let params = options.apply(params, &Params::DECIDED)?;
        params.check(images.input()).map_err(Error::Setting)?;
        Ok(Self { images, layers, params })
    }
}

/// Fits a bundle to the good images of `options` and writes it to `out`; returns the manifest as written.
///
/// # Errors
/// If the images, the backbone or the settings cannot be used, or the bundle cannot be written; then nothing is left in `out`.
pub fn fit(options: &FitOptions, out: &Path, progress: &mut dyn Progress) -> Result<Manifest> {
    let Draft { mut images, layers, mut params } = Draft::new(options, progress)?;
    let mut staging = Staging::new(out)?;
    let input = images.input().clone();
    let names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let options = &*with_precision(options, &names, &mut images, progress)?;
    let graph = build_graph(options, &layers, &input, &params.embedding)?;
    staging.write_graph(&graph)?;
    let size = (input.width, input.height);
    let outputs = outputs(&params, &input);
    let mut network = Network::load(&graph, size, outputs, options.device, options.threads)?;
    let patches =
        Patches::embed(&mut images, &mut network, &params, options.seed, &options.scratch, progress)?;

    let chosen = choose(&patches, images.twins(), &mut params, options.seed, progress)?;
    params.references = patches.images;
    params.rows = chosen.len();
    let mut rows = Rows::new(Vec::new(), Vec::new());
    rows.take(patches.values(), &chosen, patches.dimension, patches.per_image(), 0);
    rows.relate(&params, progress)?;
    index::build(&mut rows, &patches, 0, &mut params, options.seed, progress)?;
    let (Judged { scores, images: scored }, source) = match patches.images {
        1 => judge_views(&rows, &params, &mut staging, &mut images, &mut network, progress)?,
        _ => {
            let (rows, patches, params, input) = (&rows, &patches, &params, &input);
            let (seed, twins) = (options.seed, images.twins());
            let folds = Folds { params, input, rows, patches, first: 0, radius: 0.0, seed, twins };
            (folds.scores(&mut staging, progress)?, "training images, each against a bank of others")
        }
    };
    params.peak = judged::peak(&scores);
    rows.write(&mut staging, &params, &scores)?;
    let calibration = judged::calibration(&scores, &params, source)?;

    let manifest = options.manifest(Fitted {
        method: NAME,
        preset: "standard",
        layers: names,
        input,
        params: serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?,
        calibration,
        images: &images,
    });
    let scored = images.scored(&judged::of_images(&scores, scored), images.twins());
    staging.commit(manifest, images.learned().as_ref(), scored.as_ref())
}

/// What views of the only image are scored by the bank, and where that comes from, for people.
fn judge_views(
    rows: &Rows,
    params: &Params,
    staging: &mut Staging<'_>,
    images: &mut ImageSet,
    network: &mut Network,
    progress: &mut dyn Progress,
) -> Result<(Judged, &'static str)> {
    rows.write(staging, params, &[])?;
    let bank = Bank::open(&staging.bank())?;
    let mut judge = Judge::new(&Arc::new(PatchCore::open(params.clone(), images.input(), &bank)?));
    progress.note("a single good image: how much good ones differ is guessed from shifted views of it");
    images.shifted_views(network, "calibrating", progress, |maps, progress| {
        judge.judge(maps, None, progress)
    })?;
    let judged = Judged { scores: judge.finish(), images: Vec::new() };
    Ok((judged, "the only training image, seen again without a strip at one side"))
}

fn build_graph(
    options: &FitOptions,
    layers: &[Layer],
    input: &InputSpec,
    embedding: &Embedding,
) -> Result<Vec<u8>> {
    if !embedding.aggregated.is_multiple_of(layers.len()) {
        return Err(Error::Setting(format!(
            "embedding.aggregated must be a multiple of the number of layers, {}; found {}",
            layers.len(),
            embedding.aggregated
        )));
    }
    let shape = |layer: &Layer| Shape {
        height: input.height as usize / layer.stride,
        width: input.width as usize / layer.stride,
        channels: layer.channels,
    };
    let layers: Vec<(&str, Shape)> = layers.iter().map(|layer| (layer.name.as_str(), shape(layer))).collect();
    let graph = GraphBuilder::from_backbone(&options.backbone.model, (input.width, input.height))?;
    heads::finish(graph, &layers, embedding)
}

fn outputs(params: &Params, input: &InputSpec) -> Vec<OutputSpec> {
    let (height, width) = params.map(input);
    vec![OutputSpec::floats(PATCHES, [1, height, width, params.embedding.aggregated])]
}

/// Chooses the coreset, and notes its radius in `params`. Near-twins have patches to choose from, but add none to the number of them: what they
/// show is that of one image, and a bank of more rows for it would score all parts lower.
fn choose(
    patches: &Patches,
    twins: &Twins,
    params: &mut Params,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<usize>> {
    let points = patches.points();
    let different = twins.groups() * patches.per_image();
    let count = ((different as f64 * params.coreset) as usize).max(1);
    let Selection { start, starts, .. } = params.selection.clone();
    progress.stage("choosing the coreset", count);
    let anchors = match start {
        Start::Exact => points.exact_start(),
        Start::Approximate => points.approximate_start(&coreset::draw(points.len(), starts, seed)),
    };
    let Coreset { mut chosen, radius } = coreset::greedy(points, &anchors, count, 0.0, || {
        progress.advance();
        if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    if chosen.is_empty() {
        // All patches are the same.
        chosen.push(0);
    }
    if chosen.len() < count {
        progress.note(&format!("only {} different patches: the bank has no more rows", chosen.len()));
    }
    params.selection.radius = f64::from(radius);
    Ok(chosen)
}
