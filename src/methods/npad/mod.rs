//! N-pad, neighbouring pixel-based anomaly detection: a Gaussian at each position, estimated from the position and its neighbours.
//!
//! The formulas and where each is computed: `README.md` in this folder.

mod aggregate;
mod params;
mod retrieve;
mod score;

#[cfg(feature = "train")]
mod centroids;
#[cfg(feature = "train")]
mod distributions;
#[cfg(feature = "train")]
mod fit;
#[cfg(feature = "train")]
mod heads;
#[cfg(feature = "train")]
mod held_out;
#[cfg(feature = "train")]
pub mod statistics;

pub use aggregate::aggregate;
#[cfg(feature = "train")]
pub use fit::{check, fit};
pub use params::Params;

use crate::bundle::{Bank, Floats, Shorts};
use crate::error::Result;
use crate::frame::InputSpec;
use crate::kernels::centroids::Centroids;
use crate::kernels::mahalanobis::{Gaussians, is_finite, packed_len};
use crate::kernels::windowed::Shape;
#[cfg(feature = "train")]
use crate::methods::Training;
use crate::methods::{Descriptor, Method, Retrieve, Score};
use crate::network::OutputSpec;
use rayon::prelude::*;
use std::sync::Arc;

/// The method's name in a bundle and on the command line.
pub const NAME: &str = "npad";

/// The method's entry in the registry.
pub(super) static METHOD: Descriptor = Descriptor {
    name: NAME,
    title: "N-pad",
    summary: "Neighbouring pixels' distributions",
    open: |params, bank| Ok(Arc::new(Npad::open(params.read(Params::check)?, params.input(), bank)?)),
    #[cfg(feature = "train")]
    training: Training {
        check,
        fit,
        update: None,
        foreground: false,
        learned_head: false,
        layers: "up to three [default: all]",
        candidate: None,
        flags: &[],
        defaults: |backbone| {
            let layers = backbone.layers_up_to(&[], fit::MOST_LAYERS)?;
            Ok(serde_json::json!(Params::new(1, layers.first().map_or(1, |layer| layer.stride))))
        },
        decided: &Params::DECIDED,
        note: "",
    },
};

/// The method with its bank.
#[derive(Debug)]
pub struct Npad {
    params: Params,
    /// Rows and columns of the input.
    input: (usize, usize),
    /// Positions and channels.
    shape: Shape,
    /// From features weighted by their neighbours' likeness.
    weighted: Field,
    /// From features averaged over the neighbourhood.
    aggregated: Field,
    centroids: Centroids,
}

/// A Gaussian at each position.
#[derive(Clone, Debug)]
struct Field {
    shape: Shape,
    /// `[height, width, channels]`.
    means: Floats,
    /// Inverse Cholesky factors without their diagonals, `[height, width, packed]`.
    factors: Shorts,
    /// `[height, width, channels]`.
    diagonals: Floats,
}

impl Field {
    /// Takes the distributions called `name`.
    fn open(bank: &Bank, name: &str, shape: Shape) -> Result<Self> {
        let Shape { height, width, channels } = shape;
        let packed = packed_len(channels);
        let [means, factors, diagonals] = roles(name);
        let floats = |name: &str| bank.mapped_floats(name, &[height, width, channels]);
        let field = Self {
            shape,
            means: floats(&means)?,
            factors: bank.shorts(&factors, &[height, width, packed])?,
            diagonals: floats(&diagonals)?,
        };
        if !field.factors.values().par_chunks_exact(packed).all(is_finite) {
            return Err(bank.wrong(&factors, "holds values that are not finite"));
        }
        if !field.diagonals.values().par_iter().all(|&value| value > 0.0) {
            return Err(bank.wrong(&diagonals, "expected factors with a positive diagonal"));
        }
        Ok(field)
    }

    fn gaussians(&self) -> Gaussians<'_> {
        let Shape { height, width, channels } = self.shape;
        let factors = (self.factors.values(), self.diagonals.values());
        Gaussians::new(self.means.values(), factors, (height, width), channels)
    }
}

impl Npad {
    /// Takes the bank of a bundle whose parameters were checked.
    ///
    /// # Errors
    /// If a tensor is missing, or has another type or shape than the parameters say, values that are not finite or factors that are none.
    pub fn open(params: Params, input: &InputSpec, bank: &Bank) -> Result<Self> {
        let shape = shape(&params, input);
        let weighted = Field::open(bank, WEIGHTED, shape)?;
        let aggregated = Field::open(bank, AGGREGATED, shape)?;
        let centroids = bank.floats(CENTROIDS, &[params.centroid_count(input), params.channels])?;
        Ok(Self::new(params, input, weighted, aggregated, centroids))
    }

    fn new(
        params: Params,
        input: &InputSpec,
        weighted: Field,
        aggregated: Field,
        centroids: Vec<f32>,
    ) -> Self {
        let shape = shape(&params, input);
        let centroids = Centroids::new(centroids, params.channels);
        let input = (input.height as usize, input.width as usize);
        Self { params, input, shape, weighted, aggregated, centroids }
    }
}

impl Method for Npad {
    fn outputs(&self) -> Vec<OutputSpec> {
        outputs(&self.params, self.shape)
    }

    fn references(&self) -> usize {
        self.params.references
    }

    fn map_level(&self, score: f64) -> f64 {
        // The score is a sum of products of two distances, the map the root of one.
        self.params.map_scale * score.max(0.0).sqrt()
    }

    fn neighbours(&self) -> usize {
        // Distributions stand for all normals together.
        0
    }

    fn retrieve(self: Arc<Self>) -> Box<dyn Retrieve> {
        Box::new(retrieve::NpadRetrieve::new(self))
    }

    fn score(self: Arc<Self>) -> Box<dyn Score> {
        Box::new(score::NpadScore::new(self))
    }
}

/// Names of the two kinds of distributions, and of the centroids.
const WEIGHTED: &str = "weighted";
const AGGREGATED: &str = "aggregated";
const CENTROIDS: &str = "centroids";

/// Roles of the means of a kind of distributions, of its factors and of their diagonals.
fn roles(name: &str) -> [String; 3] {
    ["means", "factors", "diagonals"].map(|part| format!("{name}_{part}"))
}

/// Role of the features of the frame shifted by so many pixels.
fn features_role(shift: usize) -> String {
    format!("features_{shift}")
}

fn shape(params: &Params, input: &InputSpec) -> Shape {
    let (height, width) = params.places(input);
    Shape { height, width, channels: params.channels }
}

/// What the graph makes.
fn outputs(params: &Params, shape: Shape) -> Vec<OutputSpec> {
    let dims = [1, shape.height, shape.width, shape.channels];
    (0..=params.shifts).map(|shift| OutputSpec::floats(features_role(shift), dims)).collect()
}
