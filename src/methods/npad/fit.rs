//! Learning an N-pad bundle from good images.
//!
//! Two passes of the network over the images: the first counts non-zero values, to choose the channels; the second keeps their features in
//! a temporary file. From there the distributions are estimated a row of positions at a time. To calibrate, they and the centroids are
//! estimated again without a part of the images in turn, which is then scored with what the others say ([`super::held_out`]).

use super::centroids::cluster;
use super::distributions::{Features, estimate, working_memory};
use super::held_out::{self, HeldOut};
use super::statistics::{Spread, order_channels};
use super::{NAME, Npad, Params, aggregate, heads, outputs, shape};
use crate::bundle::{Bank, Manifest, Staging};
use crate::error::{Error, Result};
use crate::evaluate::calibration::{self, calibrate};
use crate::frame::InputSpec;
use crate::kernels::windowed::Shape;
use crate::methods::Method;
use crate::methods::fitting::{
    FitOptions, Fitted, ImageSet, Progress, Spool, Twins, free_disk, free_memory, with_precision,
};
use crate::network::backbone::Layer;
use crate::network::{Network, OutputSpec};
use rand::SeedableRng;
use rand::seq::index;
use rand_xoshiro::Xoshiro256Plus;
use std::path::Path;

/// Layers that the paper combines.
pub(super) const MOST_LAYERS: usize = 3;
/// Averaged features that are clustered for each centroid.
const CLUSTERED: usize = 5;
/// Parts of the images that are left out in turn for calibration; of fewer than [`MANY`] images more parts, because each image left out
/// makes the others' covariances worse than those of the bundle will be.
const FOLDS: usize = 5;
const FOLDS_OF_FEW: usize = 10;
const MANY: usize = 100;
/// Parts that are left out in turn once more, to see how the scores fall with the number of images.
const HALVES: usize = 2;
/// Images at least: without one of them, two are left to have a covariance.
const LEAST_IMAGES: usize = 3;

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
    layers: Vec<Layer>,
    params: Params,
}

impl Draft {
    fn new(options: &FitOptions, progress: &mut dyn Progress) -> Result<Self> {
        options.refuse_foreground_and_learning(NAME)?;
        let images = ImageSet::open(options, progress)?;
        let layers = options.backbone.layers_up_to(&options.layers, MOST_LAYERS)?;
        let stride = layers.first().map_or(1, |layer| layer.stride);
        let params = options.apply(Params::new(images.len(), stride), &Params::DECIDED)?;
        params.check(images.input()).map_err(Error::Setting)?;
        let available: usize = layers.iter().map(|layer| layer.channels).sum();
        if params.channels > available {
            return Err(Error::Setting(format!(
                "channels must be 1 to {available}, which the layers have together, found {}",
                params.channels
            )));
        }
        Ok(Self { images, layers, params })
    }
}

/// Fits a bundle to the good images of `options` and writes it to `out`; returns the manifest as written.
///
/// # Errors
/// If the images, the backbone or the settings cannot be used, the distributions would not fit into memory or the scratch folder,
/// or the bundle cannot be written; then nothing is left in `out`.
pub fn fit(options: &FitOptions, out: &Path, progress: &mut dyn Progress) -> Result<Manifest> {
    let Draft { mut images, layers, mut params } = Draft::new(options, progress)?;
    let mut staging = Staging::new(out)?;
    let input = images.input().clone();
    let size = (input.width, input.height);
    let shape = shape(&params, &input);
    check_room(&params, &images, options, progress)?;

    let graph = heads::all_channels(options, size, &layers, (shape.height, shape.width))?;
    let nonzero = count_nonzero(&graph, options, &mut images, &layers, shape, progress)?;
    let mut chosen = order_channels(&nonzero, params.fewest_nonzero);
    chosen.truncate(params.channels);
    chosen.sort_unstable();
    // Channels are chosen by what they are before it is rounded: what is nearly zero would be counted as zero.
    let names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let options = &*with_precision(options, &names, &mut images, progress)?;
    let graph = heads::features(options, size, &layers, &chosen, &params, shape)?;
    staging.write_graph(&graph)?;
    params.references = one_of_each(&images).groups();
    let (features, mut samples, variance) = extract(&graph, options, &mut images, &params, shape, progress)?;
    if images.len() < LEAST_IMAGES {
        let found = match images.len() {
            1 => "1 good image is".into(),
            images => format!("{images} good images are"),
        };
        return Err(Error::Fit(format!(
            "{found} not enough: at least {LEAST_IMAGES} are needed for distributions that leave one out"
        )));
    }
    let twins = one_of_each(&images);
    let firsts = std::mem::take(&mut samples.images);
    params.references = firsts.len();
    params.epsilon = params.epsilon.max(params.epsilon_share * variance);
    let count = params.centroid_count(images.input());
    let clusters = cluster(&samples.values, params.channels, count, options.seed, progress)?;
    let folds = if firsts.len() < MANY { FOLDS_OF_FEW } else { FOLDS }.min(firsts.len());
    let halves = if firsts.len() >= 2 * LEAST_IMAGES { HALVES } else { 0 };
    progress.stage("estimating distributions", (1 + folds + halves) * shape.height);
    let (distributions, weights) = estimate(&features, &firsts, &params, None, &options.scratch, progress)?;
    staging.write_bank(&distributions.tensors(&clusters.centroids))?;
    let per_image = samples.per_image;
    let (features, weights, clusters, firsts) = (&features, &weights, &clusters, &firsts);
    let held_out =
        HeldOut { features, weights, clusters, per_image, images: firsts, scratch: &options.scratch };
    // First, so that of an image's maps that of the later round, with more images, is the last.
    let fewer = match halves {
        0 => None,
        halves => Some(held_out.judge(halves, &params, images.input(), progress)?.scores),
    };
    let judged = held_out.judge(folds, &params, images.input(), progress)?;
    params.map_scale = judged.map_scale();
    let mut scores = judged.scores;
    if let Some(fewer) = fewer {
        held_out::carry_on(&mut scores, folds, &fewer, halves);
    }
    if params.shifts > 0 {
        progress.note(
            "calibrated without shifts, with which good parts score somewhat more: 'adtrain calibrate' sets the threshold better",
        );
    }
    params.check(&input).map_err(Error::Fit)?;
    let npad = Npad::open(params.clone(), &input, &Bank::open(&staging.bank())?)?;
    let obtained = format!("training images in {folds} parts, each against the others");
    let calibration =
        calibrate(&scores, &calibration::FALSE_ALARMS, &obtained, |score| npad.map_level(score))?;
    drop(npad);
    let manifest = options.manifest(Fitted {
        method: NAME,
        preset: "standard",
        layers: names,
        input,
        params: serde_json::to_value(&params).map_err(|e| Error::Fit(e.to_string()))?,
        calibration,
        images: &images,
    });
    staging.commit(manifest, images.learned().as_ref(), images.scored(&scores, &twins).as_ref())
}

/// The near-twins of which one alone is learned from: more of them would make a place's spread smaller than that of different parts. Where too few
/// images would be left to have a covariance, a twin is as good as another image.
fn one_of_each(images: &ImageSet) -> Twins {
    let twins = images.twins();
    if twins.groups() < LEAST_IMAGES { Twins::none(images.len()) } else { twins.clone() }
}

/// Bytes that a fit takes for a while.
struct Room {
    memory: u64,
    disk: u64,
}

impl Room {
    /// For these parameters and so many images.
    fn new(params: &Params, input: &InputSpec, images: usize) -> Self {
        let bundle = params.bytes(input);
        let shape = shape(params, input);
        let features = (images * shape.len() * size_of::<half::f16>()) as u64;
        // Kept while the features are looked at, and for the centroids, which are found once more for each fold.
        let samples = params.channels * (CLUSTERED + 2) * params.centroid_count(input) * size_of::<f32>();
        let spread = 2 * shape.len() * size_of::<f64>();
        Self {
            // The distributions without a fold are read for every image of the fold.
            memory: bundle + working_memory(shape, images, params.neighbourhood) + (samples + spread) as u64,
            // The bundle, the distributions that it is written from, those without a fold, and the features.
            disk: 3 * bundle + features,
        }
    }
}

/// Says how much room the distributions need, and refuses what would not fit.
fn check_room(
    params: &Params,
    images: &ImageSet,
    options: &FitOptions,
    progress: &mut dyn Progress,
) -> Result<()> {
    let room =
        |channels: usize| Room::new(&Params { channels, ..params.clone() }, images.input(), images.len());
    let needed = room(params.channels);
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    progress.note(&format!(
        "{} channels: the bundle takes {} MB of disk and, in use, of memory; fitting takes {} MB of disk and {} MB of memory for a while",
        params.channels,
        megabytes(params.bytes(images.input())),
        megabytes(needed.disk),
        megabytes(needed.memory)
    ));
    let (memory, disk) = (free_memory(), free_disk(&options.scratch));
    let kinds = [("memory", needed.memory, memory), ("disk", needed.disk, disk)];
    let short = kinds
        .into_iter()
        .find_map(|(kind, needed, free)| free.filter(|&free| free < needed).map(|free| (kind, needed, free)));
    let Some((kind, needed, free)) = short else { return Ok(()) };
    // What is free now may be a little less the next time.
    let fits = |needed: u64, free: Option<u64>| free.is_none_or(|free| needed <= free / 10 * 9);
    let fewer = (1..params.channels).rev().find(|&channels| {
        let room = room(channels);
        fits(room.memory, memory) && fits(room.disk, disk)
    });
    let advice = match fewer {
        Some(channels) => format!("try fewer, such as --set channels={channels}"),
        None => "try a smaller --size".into(),
    };
    Err(Error::Fit(format!(
        "{} channels need {} MB of {kind}, {} MB are free; {advice}",
        params.channels,
        megabytes(needed),
        megabytes(free),
    )))
}

/// First pass: how often each channel of each layer is not zero.
fn count_nonzero(
    graph: &[u8],
    options: &FitOptions,
    images: &mut ImageSet,
    layers: &[Layer],
    shape: Shape,
    progress: &mut dyn Progress,
) -> Result<Vec<u64>> {
    let size = (images.input().width, images.input().height);
    let channels: usize = layers.iter().map(|layer| layer.channels).sum();
    let outputs = vec![OutputSpec::floats(heads::ALL, [1, channels, shape.height, shape.width])];
    let mut network = Network::load(graph, size, outputs, options.device, options.threads)?;
    let mut nonzero = vec![0; channels];
    images.each(&mut network, "looking at the images", progress, |maps| {
        for (count, channel) in nonzero.iter_mut().zip(maps[0].floats().chunks_exact(shape.places())) {
            *count += channel.iter().filter(|&&value| value != 0.0).count() as u64;
        }
        Ok(())
    })?;
    Ok(nonzero)
}

/// Second pass: the features of every image, on disk, averaged ones drawn at random, and how much the features vary.
fn extract(
    graph: &[u8],
    options: &FitOptions,
    images: &mut ImageSet,
    params: &Params,
    shape: Shape,
    progress: &mut dyn Progress,
) -> Result<(Features, Samples, f64)> {
    let size = (images.input().width, images.input().height);
    // The first output is that of the frame as it is; training images are not shifted.
    let first = outputs(params, shape).into_iter().take(1).collect();
    let mut network = Network::load(graph, size, first, options.device, options.threads)?;
    let mut spool = Spool::new(&options.scratch)?;
    let clustered = CLUSTERED * params.centroid_count(images.input());
    let share = clustered.div_ceil(params.references.max(1)).min(shape.places());
    let mut random = Xoshiro256Plus::seed_from_u64(options.seed);
    let (mut samples, mut averaged) = (Vec::new(), vec![0.0; shape.len()]);
    let mut spread = Spread::new(shape.len());
    let (twins, mut image, mut sampled) = (one_of_each(images), 0, Vec::new());
    images.each(&mut network, "keeping their features", progress, |maps| {
        spool.push_halves(maps[0].floats())?;
        image += 1;
        if twins.first_of(image - 1) != image - 1 {
            return Ok(());
        }
        sampled.push(image - 1);
        spread.add(maps[0].floats());
        aggregate(maps[0].floats(), shape, params.neighbourhood, &mut averaged);
        for place in index::sample(&mut random, shape.places(), share) {
            samples.extend_from_slice(&averaged[place * shape.channels..][..shape.channels]);
        }
        Ok(())
    })?;
    let features = Features { shape, map: spool.finish()? };
    Ok((features, Samples { images: sampled, values: samples, per_image: share }, spread.variance()))
}

/// Averaged features drawn at random, image after image.
struct Samples {
    /// The numbers of the images, one of near-twins alone.
    images: Vec<usize>,
    values: Vec<f32>,
    /// Of each image.
    per_image: usize,
}
