//! The methods: what is retrieved for a frame's features, and how that becomes a map and a score.
//!
//! A method is one folder and one line in [`METHODS`]. It implements [`Method`]; the elements and `adtrain` only know [`Retriever`] and
//! [`Scorer`].

mod anomaly;
pub mod cpr;
mod decision;
#[cfg(feature = "train")]
pub mod fitting;
pub mod hetmm;
mod level;
pub mod npad;
pub mod patchcore;
mod registry;
mod retrieval;

pub use anomaly::{Anomaly, IgnoreMask, Region, ScoreOptions, Scorer};
pub use decision::Decision;
pub use level::Level;
pub(crate) use registry::open;
pub use registry::{Descriptor, METHODS, find};
#[cfg(feature = "train")]
pub use registry::{Flag, Training};
pub use retrieval::{DistanceMap, Neighbour, Retrieval, Retriever};

use crate::error::{Error, Result};
use crate::kernels::finite::all_finite;
use crate::network::{FeatureMap, OutputSpec};
use crate::pool::Pooled;
use std::fmt::Debug;
use std::sync::Arc;

/// A method with its bank, shared by all streams.
pub trait Method: Debug + Send + Sync {
    /// What it needs from the network, in the order in which it wants it.
    fn outputs(&self) -> Vec<OutputSpec>;

    /// Number of normal images, or of what stands for them, in the bank.
    fn references(&self) -> usize;

    /// The value of the anomaly map that means the same as this image score.
    fn map_level(&self, score: f64) -> f64;

    /// Number of neighbours that the bundle asks for; 0 where a frame is compared with all normals and there is no choice.
    fn neighbours(&self) -> usize;

    /// Number of neighbours at most that can be asked for.
    fn most_neighbours(&self) -> usize {
        self.references()
    }

    /// A stream's own state of the second step.
    fn retrieve(self: Arc<Self>) -> Box<dyn Retrieve>;

    /// A stream's own state of the third step.
    fn score(self: Arc<Self>) -> Box<dyn Score>;
}

/// The second step of a method: how far are a frame's features from the normal ones.
pub trait Retrieve: Debug + Send {
    /// Compares `maps` with the `neighbours` nearest normals; `exclude` leaves one out, for a query that is itself in the bank.
    ///
    /// # Errors
    /// If the maps are not those of the method's outputs.
    fn retrieve(
        &mut self,
        maps: &[FeatureMap],
        neighbours: usize,
        exclude: Option<usize>,
    ) -> Result<Retrieved>;
}

/// What [`Retrieve`] finds.
#[derive(Debug)]
pub struct Retrieved {
    /// Distance maps, finest first.
    pub distances: Vec<DistanceMap>,
    /// The normals compared with, nearest first; none where that are all.
    pub neighbours: Vec<Neighbour>,
    /// Features `[height, width, channels]` that the score looks at once more, at a few places; N-pad's alone.
    pub features: Vec<Pooled<Vec<f32>>>,
    /// Weight 0..1 of every pixel of the input, `[height, width]`, where the method estimates a foreground.
    pub foreground: Option<Pooled<Vec<f32>>>,
}

/// The third step of a method: distance maps to an anomaly map and an image score.
pub trait Score: Debug + Send {
    /// The anomaly map `[height, width]` of the input's size and the image score. `weight`, of the same size, takes out pixels.
    ///
    /// # Errors
    /// If the maps are not those that the method retrieves.
    fn score(&mut self, retrieved: &Retrieved, weight: Option<&[f32]>) -> Result<(Pooled<Vec<f32>>, f64)>;
}

/// An error if a value of `maps` is not a finite number: what looks for the smallest distance would not notice.
fn check_finite(maps: &[FeatureMap]) -> Result<()> {
    match maps.iter().all(|map| all_finite(map.floats())) {
        true => Ok(()),
        false => Err(Error::Features(
            "the network has made values that are not finite numbers; the bundle's scaling of pixels or its graph is wrong".into(),
        )),
    }
}
