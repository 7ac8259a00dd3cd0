//! Learning a CPR bundle from good images.
//!
//! Two passes of the network over the images. The first draws patch vectors for the code book and looks for the foreground; with
//! these, and with the branch if one is learned ([`super::train`]), in the graph, the second fills the bank. The bank then
//! scores each of its own images against the others, which calibrates the bundle.

use super::background::BackgroundParams;
use super::codebook::{KMeansParams, kmeans};
use super::filling::Filling;
use super::heads::{self, ForegroundHead};
use super::looking;
use super::train::{Groundwork, Learned};
use super::{Cpr, NAME, Params, Scale, judged, local_role, outputs};
use crate::bundle::{Bank, Manifest, Staging};
use crate::dataset::synthetic::ProductKind;
use crate::error::{Error, Result};
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{FitOptions, Fitted, ImageSet, Progress, in_bytes, with_precision};
use crate::network::Network;
use crate::network::backbone::Layer;
use crate::network::graph::GraphBuilder;
use std::path::Path;
use std::sync::Arc;

/// The preset without a learned branch.
const RAW: &str = "raw";

/// Says before any work whether the settings of `options` can be used with its images.
///
/// # Errors
/// As [`fit`] would give them.
pub fn check(options: &FitOptions) -> Result<()> {
    Draft::new(options, &mut ())?;
    match &options.learning {
        Some(learning) => learning.plan(ProductKind::Object).map(drop),
        None => Ok(()),
    }
}

/// What is known before any work.
struct Draft {
    images: ImageSet,
    /// The layers by name, finest first, and the shapes of their features.
    names: Vec<String>,
    shapes: Vec<Shape>,
    params: Params,
    /// With no more neighbours than there are images.
    possible: Params,
    /// The parameters if the images turn out to show parts that lie as they did, ...
    parts: Params,
    /// ... or objects on a plain background.
    objects: Params,
}

impl Draft {
    fn new(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        let images = ImageSet::open(options, progress)?;
        // A learned branch makes use of finer layers, whose raw features tell less than those of coarser ones.
        let card = &options.backbone.card;
        let learned = options.learning.is_some() && !card.learned_layers.is_empty();
        let names = match (options.layers.is_empty(), learned) {
            (false, _) => &options.layers,
            (true, true) => &card.learned_layers,
            (true, false) => &card.default_layers,
        };
        let layers = options.backbone.layers_up_to(names, Params::MOST_SCALES)?;
        let scales = scales(&layers);
        let usual = Params::new(images.len(), scales.clone(), false);
        let params = options.apply(usual.clone(), &Params::DECIDED)?;
        let same = |(set, own): (&Scale, &Scale)| (set.stride, set.channels) == (own.stride, own.channels);
        if params.scales.len() != scales.len() || !params.scales.iter().zip(&scales).all(same) {
            return Err(Error::Setting(format!(
                "parameter 'scales': only windows and weights can be set, stride and channels are those of the layers (--layers): {}",
                serde_json::to_string(&scales).unwrap_or_default()
            )));
        }
        // Of few images all are neighbours, which is said when it is known how many can be read.
        let possible = Params { neighbours: params.neighbours.min(images.len()), ..params.clone() };
        possible.check(images.input()).map_err(Error::Setting)?;
        let shapes = scales.iter().map(|scale| scale.shape(images.input())).collect();
        let names = layers.into_iter().map(|layer| layer.name).collect();
        let parts = options.apply(usual.clone().for_parts(), &Params::DECIDED)?;
        let objects = options.apply(usual.for_objects(), &Params::DECIDED)?;
        Ok(Self { images, names, shapes, params, possible, parts, objects })
    }
}

/// The scales of layers, finest first, with the windows and weights of the paper.
pub(super) fn scales(layers: &[Layer]) -> Vec<Scale> {
    let defaults = Params::WINDOWS.into_iter().zip(Params::WEIGHTS);
    let scale = |(layer, (window, weight)): (&Layer, _)| Scale {
        stride: layer.stride,
        channels: layer.channels,
        window,
        weight,
    };
    layers.iter().zip(defaults).map(scale).collect()
}

/// Fits a bundle to the good images of `options` and writes it to `out`; returns the manifest as written.
///
/// # Errors
/// If the images, the backbone or the settings cannot be used, or the bundle cannot be written; then nothing is left in `out`, and of
/// a branch that was learned the checkpoint.
pub fn fit(options: &FitOptions, out: &Path, progress: &mut dyn Progress) -> Result<Manifest> {
    let Draft { mut images, names, shapes, params: draft, possible, parts, objects } =
        Draft::new(options, progress)?;
    let staging = Staging::new(out)?;
    let layers: Vec<(&str, Shape)> = names.iter().map(String::as_str).zip(shapes.iter().copied()).collect();
    let codes = draft.global.codes;

    let options = &*with_precision(options, &names, &mut images, progress)?;
    let looked = looking::look(options, &mut images, &layers, progress)?;
    let starts = KMeansParams::default().restarts;
    progress.stage(
        "grouping the patches",
        starts + if looked.wants_foreground() { BackgroundParams::default().restarts } else { 0 },
    );
    let centres =
        kmeans(&looked.patches, shapes[0].channels, codes, options.seed, &KMeansParams::default(), || {
            step(progress)
        })?;
    let head = looked.foreground(options, progress)?;
    let alignment = looked.alignment()?;
    drop(looked);
    let draft = match head {
        _ if alignment >= Params::FIXED => {
            progress.note(&format!(
                "alignment: the place in the image explains {:.0} % of the features' variance: parts that always lie the same",
                100.0 * alignment
            ));
            draft
        }
        Some(_) => {
            if alignment < Params::SCATTERED {
                progress.note(&format!(
                    "alignment: the place in the image explains {:.0} % of the features' variance: parts that lie anywhere, which other methods \
                     may suit better; --method auto tries them",
                    100.0 * alignment
                ));
            }
            objects
        }
        None if alignment >= Params::ALIGNED => {
            progress.note(&format!(
                "alignment: the place in the image explains {:.0} % of the features' variance: parts that lie as they did, each compared \
                 with {} images",
                100.0 * alignment,
                parts.neighbours.min(images.len())
            ));
            parts
        }
        None => draft,
    };
    at_least_two(images.len())?;
    let learned = learn(options, &images, &layers, &centres, head.as_ref(), &possible, progress)?;
    let kept = learned.as_ref().filter(|learned| learned.kept).map(|learned| learned.steps);
    let known = Known { names, shapes, centres, head, draft };
    let filled = known.fill(options, learned, images, staging, progress);
    let Some(learning) = &options.learning else { return filled };
    match (&filled, kept) {
        // What was learned is in the bundle.
        (Ok(_), _) => _ = std::fs::remove_file(&learning.checkpoint),
        (Err(Error::Interrupted), Some(steps)) => return Err(learning.paused(steps)),
        (Err(_), Some(_)) => progress.note(&format!(
            "what was learned is kept in {}; the same command with --resume goes on with it",
            learning.checkpoint.display()
        )),
        (Err(_), None) => {}
    }
    filled
}

/// What is known of the product before its bank is filled.
struct Known {
    /// The layers by name, finest first, and the shapes of their raw features.
    names: Vec<String>,
    shapes: Vec<Shape>,
    centres: Vec<f32>,
    head: Option<ForegroundHead>,
    /// The parameters of raw features of as many images as there are at most.
    draft: Params,
}

impl Known {
    /// The second pass: completes the graph, fills the bank with it, calibrates, and puts the bundle in its place.
    fn fill(
        self,
        options: &FitOptions,
        learned: Option<Learned>,
        mut images: ImageSet,
        mut staging: Staging<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Manifest> {
        let Self { names, shapes, centres, head, draft } = self;
        let input = images.input().clone();
        let layers: Vec<(&str, Shape)> = names.iter().map(String::as_str).zip(shapes).collect();
        let mut scales = draft.scales.clone();
        if let Some(learned) = &learned {
            scales.iter_mut().for_each(|scale| scale.channels = learned.training.channels);
        }
        let shapes: Vec<Shape> = scales.iter().map(|scale| scale.shape(&input)).collect();

        let graph = GraphBuilder::from_backbone(&options.backbone.model, (input.width, input.height))?;
        let branch = learned.as_ref().map(|learned| &learned.weights);
        let graph = heads::finish(graph, &layers, &centres, draft.global.codes, head.as_ref(), branch)?;
        let graph = match branch {
            // What the branch adds to the backbone.
            Some(_) if !options.precision.is_f32() => {
                let local: Vec<String> = (0..layers.len()).map(local_role).collect();
                in_bytes(&graph, &local, options, &mut images, progress)?
            }
            _ => graph,
        };
        let mut filling = Filling::new(&shapes, draft.blocks(&input), head.is_some(), &options.scratch)?;
        let (size, outputs) = ((input.width, input.height), outputs(&shapes, head.is_some()));
        let mut network = Network::load(&graph, size, outputs, options.device, options.threads)?;
        filling.add(&mut images, &mut network, "filling the bank", progress)?;
        drop(network);

        let mut params = Params { references: filling.images(), scales, foreground: head.is_some(), ..draft };
        if params.neighbours > filling.images() {
            progress.note(&format!(
                "only {} good images: every frame is compared with all of them instead of {}",
                filling.images(),
                params.neighbours
            ));
            params.neighbours = filling.images();
        }
        params.check(&input).map_err(Error::Setting)?;
        staging.write_graph(&graph)?;
        let histograms = filling.write(&mut staging, images.twins())?;
        let cpr = Arc::new(Cpr::open(params.clone(), &input, &Bank::open(&staging.bank())?)?);
        let (calibration, scores) = judged::calibration(&cpr, &histograms, images.twins(), progress)?;

        let mut manifest = options.manifest(Fitted {
            method: NAME,
            preset: options.learning.as_ref().map_or(RAW, |learning| learning.preset.name()),
            layers: names,
            input,
            params: serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?,
            calibration,
            images: &images,
        });
        if let Some(learned) = learned {
            manifest.training.steps = learned.steps;
            manifest.training.branch = Some(learned.training);
        }
        staging.commit(manifest, images.learned().as_ref(), images.scored(&scores, images.twins()).as_ref())
    }
}

/// Images are compared with one another: neighbours to learn from, and to calibrate with.
fn at_least_two(images: usize) -> Result<()> {
    match images {
        0 | 1 => Err(Error::Fit(format!(
            "{images} good image is not enough: at least 2 are needed, to compare one with another"
        ))),
        _ => Ok(()),
    }
}

/// The learned branch, if the user wants one.
fn learn(
    options: &FitOptions,
    images: &ImageSet,
    layers: &[(&str, Shape)],
    centres: &[f32],
    foreground: Option<&ForegroundHead>,
    params: &Params,
    progress: &mut dyn Progress,
) -> Result<Option<Learned>> {
    let Some(learning) = &options.learning else { return Ok(None) };
    let (paths, hashes, input) = (images.paths(), &images.hashes(), images.input());
    let groundwork = Groundwork { options, paths, hashes, input, layers, centres, foreground, params };
    groundwork.learn(learning, progress).map(Some)
}

/// One step of a stage is done.
///
/// # Errors
/// If the user wants to stop.
pub(super) fn step(progress: &mut dyn Progress) -> Result<()> {
    progress.advance();
    if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}
