//! Learning the local retrieval branch (LRB) with burn, behind this module alone.
//!
//! The backbone is frozen: samples go through it once and their features are kept on disk, so that a step is a pass of the
//! branch (`branch`) over stored features, a loss over pairs of places (`loss`, `pairs`) and a step of AdamW (`optimiser`).

mod branch;
mod checkpoint;
mod export;
mod loss;
mod memory;
mod optimiser;
mod pairs;
mod plan;
mod run;
mod samples;
mod trainer;
mod weights;

pub use branch::evaluate;
pub use export::export;
pub use loss::{LossParams, Losses, Pairs, Point, remote_weights};
pub use memory::KeptMemory;
pub use optimiser::{Gradients, Learner, Moments, OptimiserParams, training_features};
pub use pairs::PairParams;
pub use plan::{Learning, Plan, Preset, Resume};
pub(super) use run::{Groundwork, Learned};
pub use samples::SampleParams;
pub use weights::{Values, Weights};

/// A scale of the branch: channels in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleShape {
    /// Channels of the backbone's layer.
    pub inputs: usize,
    /// Channels of the learned features, D.
    pub outputs: usize,
}

/// Several maps of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapShape {
    /// Number of maps.
    pub images: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl MapShape {
    /// Number of places of all maps.
    pub fn places(&self) -> usize {
        self.images * self.height * self.width
    }
}

/// The raw features of one scale of a batch: the queries first, then the reference of each.
#[derive(Clone, Debug)]
pub struct RawMaps {
    /// `[channels, images, height, width]`.
    pub values: Vec<f32>,
    /// Images, height and width.
    pub shape: MapShape,
}
