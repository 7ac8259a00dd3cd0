//! The first pass over the images: patch vectors for the code book, and where the object is.

use super::alignment::alignment;
use super::background::{self, BackgroundParams, LayerMaps};
use super::fit::step;
use super::foreground::{self, ForegroundParams};
use super::heads::ForegroundHead;
use crate::error::{Error, Result};
use crate::kernels::windowed::Shape;
use crate::methods::fitting::{FitOptions, Foreground, ImageSet, Progress, Spool, Twins};
use crate::network::graph::GraphBuilder;
use crate::network::onnx::DataType;
use crate::network::{Network, OutputSpec};
use memmap2::Mmap;
use rand::seq::index;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// Patch vectors at most for k-means, as in the authors' code.
const CLUSTERED: usize = 50_000;
/// Images at most whose foreground is looked for, evenly chosen.
const LOOKED_AT: usize = 64;
/// Stride at most of the layer that tells the object from its background; a coarser one does not see thin parts.
const TELLING: usize = 8;

/// What the first pass has seen.
pub(super) struct Looked {
    /// Patch vectors of the finest layer, `[n, channels]`, drawn from all images.
    pub patches: Vec<f32>,
    /// Maps of some images.
    maps: Maps,
    /// Whether a foreground may be wanted.
    wanted: bool,
}

/// Feature maps of some images.
struct Maps {
    finest: (Shape, Mmap),
    /// Those of the layer that tells the object from its background, if that is another one.
    telling: Option<(Shape, Mmap)>,
}

fn layer_maps((shape, values): &(Shape, Mmap)) -> Result<LayerMaps<'_>> {
    let &Shape { height, width, channels } = shape;
    let values = bytemuck::try_cast_slice(values).map_err(|e| Error::Fit(format!("kept features: {e}")))?;
    Ok(LayerMaps { height, width, channels, values })
}

/// Runs the backbone on every image and keeps what the code book and the foreground need.
///
/// # Errors
/// If the network fails, no image can be read, the scratch folder cannot be written or the user interrupts.
pub(super) fn look(
    options: &FitOptions,
    images: &mut ImageSet,
    layers: &[(&str, Shape)],
    progress: &mut dyn Progress,
) -> Result<Looked> {
    let input = images.input().clone();
    let wanted = options.foreground != Foreground::Off;
    let stride = |shape: &Shape| input.height as usize / shape.height;
    let telling = layers.iter().take_while(|(_, shape)| stride(shape) <= TELLING).count().saturating_sub(1);
    let telling = if wanted { telling } else { 0 };
    let kept = if telling > 0 { vec![0, telling] } else { vec![0] };

    let mut graph = GraphBuilder::from_backbone(&options.backbone.model, (input.width, input.height))?;
    let mut outputs = Vec::new();
    for (i, (layer, shape)) in kept.iter().map(|&i| (i, layers[i])) {
        let (role, last) = (format!("raw{i}"), graph.channel_last(layer));
        let dims = [1, shape.height, shape.width, shape.channels];
        graph.output(&role, &last, DataType::Float, &dims);
        outputs.push(OutputSpec::floats(role, dims));
    }
    let size = (input.width, input.height);
    let mut network = Network::load(&graph.finish()?, size, outputs, options.device, options.threads)?;

    let finest = layers[0].1;
    // The same number of positions from each image, so that images need not be kept: with thousands of positions per
    // image this is as good as drawing from all at once.
    let share = CLUSTERED.div_ceil(images.len()).min(finest.places());
    let mut random = Xoshiro256Plus::seed_from_u64(options.seed);
    let mut patches: Vec<f32> = Vec::new();
    let spools = kept.iter().map(|_| Spool::new(&options.scratch));
    let mut spools = spools.collect::<Result<Vec<_>>>()?;
    let every = images.len().div_ceil(LOOKED_AT).max(1);
    let mut image = 0;
    images.each(&mut network, "looking at the images", progress, |maps| {
        let values = maps[0].floats();
        for position in index::sample(&mut random, finest.places(), share) {
            patches.extend_from_slice(&values[position * finest.channels..][..finest.channels]);
        }
        if image % every == 0 {
            maps.iter().zip(&mut spools).try_for_each(|(map, spool)| spool.push_halves(map.floats()))?;
        }
        image += 1;
        Ok(())
    })?;
    let twins = images.twins();
    if twins.count() > 0 {
        patches = of_firsts(&patches, share * finest.channels, twins);
    }
    trim(&mut patches, finest.channels, CLUSTERED, &mut random);
    let mut spools = spools.into_iter().map(Spool::finish);
    let no_features = || Error::Fit("there are no features to look at".into());
    let maps = Maps {
        finest: (finest, spools.next().transpose()?.ok_or_else(no_features)?),
        telling: spools.next().transpose()?.map(|map| (layers[telling].1, map)),
    };
    Ok(Looked { patches, maps, wanted })
}

impl Looked {
    /// Whether a foreground may be wanted.
    pub fn wants_foreground(&self) -> bool {
        self.wanted
    }

    /// How far the place in the image decides what is to be seen there, 0 to 1.
    ///
    /// # Errors
    /// If the features that were kept cannot be read.
    pub fn alignment(&self) -> Result<f64> {
        Ok(alignment(&layer_maps(&self.maps.finest)?))
    }

    /// The foreground of the finest layer, if one is wanted and, where nobody insists, the images show objects on a plain background.
    ///
    /// # Errors
    /// If one is insisted on and cannot be estimated, or the user interrupts.
    pub fn foreground(
        &self,
        options: &FitOptions,
        progress: &mut dyn Progress,
    ) -> Result<Option<ForegroundHead>> {
        if !self.wanted {
            return Ok(None);
        }
        let maps = &self.maps;
        let insisted = options.foreground == Foreground::On;
        let finest = layer_maps(&maps.finest)?;
        let telling = maps.telling.as_ref().map(layer_maps).transpose()?.unwrap_or(finest);
        let params = BackgroundParams::default();
        let estimate = background::estimate(telling, &params, options.seed, || step(progress))?;
        match (estimate.evidence.doubt(&params), insisted) {
            (Some(doubt), false) => {
                progress.note(&format!("foreground: off ({doubt}; --foreground on insists)"));
                return Ok(None);
            }
            (Some(doubt), true) => progress.note(&format!(
                "foreground: on as asked, but these images do not look like objects on a plain background: {doubt}"
            )),
            (None, _) => progress.note(&format!("foreground: on ({})", estimate.evidence.describe())),
        }
        let numbers = ForegroundParams::default();
        let (mut background, mut foreground) = (estimate.background, estimate.foreground);
        foreground::balance([&mut background, &mut foreground], numbers.samples, options.seed);
        let gather = |positions: &[usize]| -> Vec<f32> {
            positions
                .iter()
                .flat_map(|&position| finest.feature(telling.position_in(&finest, position)))
                .collect()
        };
        let head = foreground::discriminant(
            &gather(&background),
            &gather(&foreground),
            &self.patches,
            finest.channels,
            numbers.trim,
        )?;
        Ok(Some(head))
    }
}

/// The `values` of one image of each group of near-twins; every image has `each` of them.
fn of_firsts(values: &[f32], each: usize, twins: &Twins) -> Vec<f32> {
    let images = values.chunks_exact(each.max(1)).enumerate();
    images
        .filter(|(image, _)| twins.first_of(*image) == *image)
        .flat_map(|(_, values)| values)
        .copied()
        .collect()
}

/// Drops vectors at random until at most `most` are left.
fn trim(vectors: &mut Vec<f32>, channels: usize, most: usize, random: &mut impl Rng) {
    for left in (most..vectors.len() / channels).rev() {
        let dropped = random.gen_range(0..=left);
        vectors.copy_within(left * channels.., dropped * channels);
        vectors.truncate(left * channels);
    }
}
