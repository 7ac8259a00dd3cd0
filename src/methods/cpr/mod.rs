//! CPR, cascade patch retrieval: find the normal images most like the frame, then compare patch by patch with those alone.
//!
//! The formulas and where each is computed: `README.md` in this folder.

mod params;
mod retrieve;
mod score;

#[cfg(feature = "train")]
mod alignment;
#[cfg(feature = "train")]
pub mod background;
#[cfg(feature = "train")]
pub mod codebook;
#[cfg(feature = "train")]
mod filling;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
pub mod foreground;
#[cfg(feature = "train")]
pub mod heads;
#[cfg(feature = "train")]
mod judged;
#[cfg(feature = "train")]
mod looking;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
mod update;

#[cfg(feature = "train")]
pub use fit::{check, fit};
pub use params::{GlobalParams, Params, Scale};
#[cfg(feature = "train")]
pub use update::update;

use crate::bundle::{Bank, Halves};
use crate::error::Result;
use crate::frame::InputSpec;
use crate::kernels::histogram::{Blocks, Comparison};
use crate::kernels::windowed::Shape;
#[cfg(feature = "train")]
use crate::methods::Training;
use crate::methods::{Descriptor, Method, Retrieve, Score};
use crate::network::OutputSpec;
use std::sync::Arc;

/// The method's name in a bundle and on the command line.
pub const NAME: &str = "cpr";

/// The method's entry in the registry.
pub(super) static METHOD: Descriptor = Descriptor {
    name: NAME,
    title: "Cascade patch retrieval",
    summary: "Cascade patch retrieval",
    open: |params, bank| Ok(Arc::new(Cpr::open(params.read(Params::check)?, params.input(), bank)?)),
    #[cfg(feature = "train")]
    training: Training {
        check,
        fit,
        update: Some(update),
        foreground: true,
        learned_head: true,
        layers: "up to four [default: those that the backbone's card names, others for a learned branch than for raw features]",
        candidate: Some(&[]),
        flags: &[],
        defaults: |backbone| {
            let layers = backbone.layers_up_to(&backbone.card.default_layers, Params::MOST_SCALES)?;
            Ok(serde_json::json!(Params::new(1, fit::scales(&layers), false)))
        },
        decided: &Params::DECIDED,
        note: " `scales` are those of the layers in use, here of the shipped network's without a learned branch; their `window` and `weight` \
            can be set, all scales at a time.",
    },
};

/// The method with its bank.
#[derive(Debug)]
pub struct Cpr {
    params: Params,
    /// Rows and columns of the input.
    input: (usize, usize),
    references: usize,
    scales: Vec<LocalBank>,
    blocks: Blocks,
    comparison: Comparison,
    /// Foreground maps of the references, `[N, height, width]` of the finest scale.
    foreground: Option<Vec<f32>>,
    /// The first of the near-twins that each reference belongs to, itself if it has none; none where no reference has any. A frame is compared with
    /// that one alone: more of them would take the place of other parts.
    twins: Option<Vec<u32>>,
}

/// The patches of all references on one scale.
#[derive(Debug)]
struct LocalBank {
    shape: Shape,
    window: usize,
    /// `[N, height, channels, width]`: vectors of unit length, in planes.
    patches: Halves,
}

impl Cpr {
    /// Takes the bank of a bundle whose parameters were checked.
    ///
    /// # Errors
    /// If a tensor is missing, or has another type or shape than the parameters say, or values that are not finite.
    pub fn open(params: Params, input: &InputSpec, bank: &Bank) -> Result<Self> {
        let references = params.references;
        let scales = params
            .scales
            .iter()
            .enumerate()
            .map(|(i, scale)| {
                let shape = scale.shape(input);
                let dims = [references, shape.height, shape.channels, shape.width];
                Ok(LocalBank { shape, window: scale.window, patches: bank.halves(&local_role(i), &dims)? })
            })
            .collect::<Result<Vec<_>>>()?;
        let blocks = params.blocks(input);
        let histograms = bank.floats(HISTOGRAMS, &[references, blocks.count(), blocks.bins()])?;
        let comparison =
            Comparison::new(blocks, &histograms, params.global.epsilon, params.global.kept_blocks);
        let finest = scales[0].shape;
        let foreground = if params.foreground {
            Some(bank.floats(FOREGROUND, &[references, finest.height, finest.width])?)
        } else {
            None
        };
        let twins = match bank.shape(TWINS) {
            Some(_) => Some(bank.numbers(TWINS, &[references], references)?),
            None => None,
        };
        let input = (input.height as usize, input.width as usize);
        Ok(Self { params, input, references, scales, blocks, comparison, foreground, twins })
    }

    /// Whether a frame is compared with this reference: of near-twins only with the first.
    fn counts(&self, reference: usize) -> bool {
        self.twins.as_ref().is_none_or(|twins| twins[reference] as usize == reference)
    }

    fn finest(&self) -> Shape {
        self.scales[0].shape
    }
}

impl Method for Cpr {
    fn outputs(&self) -> Vec<OutputSpec> {
        let shapes: Vec<Shape> = self.scales.iter().map(|scale| scale.shape).collect();
        outputs(&shapes, self.foreground.is_some())
    }

    fn references(&self) -> usize {
        self.references
    }

    fn map_level(&self, score: f64) -> f64 {
        // The score is the sum of the largest values: their mean is on the map's scale.
        score / self.params.top as f64
    }

    fn neighbours(&self) -> usize {
        self.params.neighbours
    }

    fn retrieve(self: Arc<Self>) -> Box<dyn Retrieve> {
        Box::new(retrieve::CprRetrieve::new(self))
    }

    fn score(self: Arc<Self>) -> Box<dyn Score> {
        Box::new(score::CprScore::new(&self))
    }
}

/// The foreground maps of the images that a bank was learned from.
#[cfg(feature = "train")]
#[derive(Debug)]
pub struct ForegroundMaps {
    /// Number of images.
    pub images: usize,
    /// Rows of a map.
    pub height: usize,
    /// Columns of a map.
    pub width: usize,
    values: Vec<f32>,
}

#[cfg(feature = "train")]
impl ForegroundMaps {
    /// The map of an image, in the bank's order: weights of 0 (background) to 1, `[height, width]`.
    pub fn of(&self, image: usize) -> &[f32] {
        &self.values[image * self.height * self.width..][..self.height * self.width]
    }
}

/// The foreground maps in a bank of CPR; none where it has none.
///
/// # Errors
/// If they cannot be read.
#[cfg(feature = "train")]
pub fn foreground_maps(bank: &Bank) -> Result<Option<ForegroundMaps>> {
    let Some(shape) = bank.shape(FOREGROUND) else { return Ok(None) };
    let &[images, height, width] = shape.as_slice() else { return Ok(None) };
    let values = bank.floats(FOREGROUND, &shape)?;
    Ok((!values.is_empty()).then_some(ForegroundMaps { images, height, width, values }))
}

/// What the network gives: the local features of the scales, finest first, the codes, and the foreground where it is estimated.
fn outputs(shapes: &[Shape], with_foreground: bool) -> Vec<OutputSpec> {
    let finest = shapes[0];
    let local = shapes.iter().enumerate();
    let mut outputs: Vec<OutputSpec> =
        local.map(|(i, s)| OutputSpec::floats(local_role(i), [1, s.height, s.width, s.channels])).collect();
    outputs.push(OutputSpec::bytes(CODES, [1, finest.height, finest.width]));
    if with_foreground {
        outputs.push(OutputSpec::floats(FOREGROUND, [1, 1, finest.height, finest.width]));
    }
    outputs
}

/// Role of the code map, and of the histograms made from it.
const CODES: &str = "codes";
const HISTOGRAMS: &str = "histograms";
/// Role of the foreground map.
const FOREGROUND: &str = "foreground";

/// Role of the near-twins among the references.
const TWINS: &str = "twins";

/// Role of the local features of a scale, 0 the finest.
fn local_role(scale: usize) -> String {
    format!("local_{scale}")
}
