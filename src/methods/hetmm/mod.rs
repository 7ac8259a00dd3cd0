//! HETMM, hard-nominal example-aware template mutual matching: every patch of the frame is looked for among the templates near the
//! same place, and every patch of the templates in the frame.
//!
//! The formulas and where each is computed: `README.md` in this folder.

mod params;
mod retrieve;
mod score;

#[cfg(feature = "train")]
mod bank;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
pub mod optics;
#[cfg(feature = "train")]
pub mod selection;
#[cfg(feature = "train")]
mod update;

#[cfg(feature = "train")]
pub use fit::{check, fit};
pub use params::{Clustering, Layer, Params};
#[cfg(feature = "train")]
pub use update::update;

use crate::bundle::{Bank, Halves};
use crate::error::Result;
use crate::frame::InputSpec;
use crate::kernels::windowed::Shape;
use crate::methods::{Descriptor, Method, Retrieve, Score};
#[cfg(feature = "train")]
use crate::methods::{Flag, Training};
use crate::network::OutputSpec;
use std::sync::Arc;

/// The method's name in a bundle and on the command line.
pub const NAME: &str = "hetmm";

/// The method's entry in the registry.
pub(super) static METHOD: Descriptor = Descriptor {
    name: NAME,
    title: "Template mutual matching",
    summary: "Template mutual matching",
    open: |params, bank| Ok(Arc::new(Hetmm::open(params.read(Params::check)?, params.input(), bank)?)),
    #[cfg(feature = "train")]
    training: Training {
        check,
        fit,
        update: Some(update),
        foreground: false,
        learned_head: false,
        layers: "up to three [default: all]",
        candidate: Some(&[]),
        flags: &[Flag {
            name: "sheets",
            setting: "sheets",
            value_name: "N|all",
            help: "templates that the good images are reduced to, or all; the same as --set sheets=N",
            read: |text| match (text, text.parse::<usize>()) {
                ("all" | "null", _) => Ok("null".into()),
                (_, Ok(2..)) => Ok(text.into()),
                _ => Err("expected a number of sheets, such as 60 and at least 2, or all".into()),
            },
        }],
        defaults: |backbone| {
            let layers = backbone.layers_up_to(&[], Params::MOST_LAYERS)?;
            Ok(serde_json::json!(Params::new(1, fit::sizes(&layers))))
        },
        decided: &Params::DECIDED,
        note: "",
    },
};

/// The method with its bank.
#[derive(Debug)]
pub struct Hetmm {
    params: Params,
    /// Rows and columns of the input.
    input: (usize, usize),
    layers: Vec<Templates>,
}

/// The templates of a layer.
#[derive(Debug)]
struct Templates {
    shape: Shape,
    /// Sides of the forward and the backward window.
    windows: (usize, usize),
    /// `[height, width, channels, templates]`, each template's patches of unit length.
    values: Halves,
}

impl Hetmm {
    /// Takes the bank of a bundle whose parameters were checked.
    ///
    /// # Errors
    /// If a tensor is missing, or has another type or shape than the parameters say, or values that are not finite.
    pub fn open(params: Params, input: &InputSpec, bank: &Bank) -> Result<Self> {
        let windows = params.forward_windows.iter().copied().zip(params.backward_windows.iter().copied());
        let layers = params.layers.iter().zip(windows).enumerate().map(|(i, (layer, windows))| {
            let shape = layer.shape(input);
            let dims = [shape.height, shape.width, shape.channels, params.templates];
            Ok(Templates { shape, windows, values: bank.halves(&templates_role(i), &dims)? })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        Ok(Self { params, input: (input.height as usize, input.width as usize), layers })
    }
}

impl Method for Hetmm {
    fn outputs(&self) -> Vec<OutputSpec> {
        outputs(self.layers.iter().map(|layer| layer.shape))
    }

    fn references(&self) -> usize {
        self.params.templates
    }

    fn map_level(&self, score: f64) -> f64 {
        // The score is a value of the blurred map.
        score
    }

    fn neighbours(&self) -> usize {
        // A frame is compared with all templates: there is no number to choose.
        0
    }

    fn retrieve(self: Arc<Self>) -> Box<dyn Retrieve> {
        Box::new(retrieve::HetmmRetrieve::new(self))
    }

    fn score(self: Arc<Self>) -> Box<dyn Score> {
        Box::new(score::HetmmScore::new(&self))
    }
}

/// Role of the normalised features of a layer, 0 the finest.
fn local_role(layer: usize) -> String {
    format!("local_{layer}")
}

/// Role of a layer's templates in the bank.
fn templates_role(layer: usize) -> String {
    format!("templates_{layer}")
}

/// What the graph makes of layers of these shapes.
fn outputs(shapes: impl Iterator<Item = Shape>) -> Vec<OutputSpec> {
    let dims = |shape: Shape| [1, shape.height, shape.width, shape.channels];
    shapes.enumerate().map(|(i, shape)| OutputSpec::floats(local_role(i), dims(shape))).collect()
}
