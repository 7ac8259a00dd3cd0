//! The methods: what is retrieved for a frame's features, and how that becomes a map and a score.
//!
//! A method is one folder. It implements [`Method`]; the elements and `adtrain` only know [`Retriever`] and [`Scorer`].

mod anomaly;
pub mod cpr;
mod decision;
#[cfg(feature = "train")]
pub mod fitting;
pub mod hetmm;
mod level;
pub mod npad;
pub mod patchcore;
mod retrieval;

pub use anomaly::{Anomaly, IgnoreMask, Region, ScoreOptions, Scorer};
pub use decision::Decision;
pub use level::Level;
pub use retrieval::{DistanceMap, Neighbour, Retrieval, Retriever};

use crate::bundle::{Bank, Manifest};
use crate::error::{Error, Result};
use crate::kernels::finite::all_finite;
use crate::network::{FeatureMap, OutputSpec};
use crate::pool::Pooled;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::Path;
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

/// Makes the method that `manifest` names, with the bank of the bundle in `path`.
///
/// # Errors
/// If the method is unknown, a parameter is out of range or the bank does not fit the parameters.
pub(crate) fn open(manifest: &Manifest, bank: Bank, path: &Path) -> Result<Arc<dyn Method>> {
    let file = path.join(crate::bundle::MANIFEST);
    let input = &manifest.input;
    match manifest.method.as_str() {
        cpr::NAME => {
            let params: cpr::Params = params(manifest, &file)?;
            checked(params.check(input), &file)?;
            Ok(Arc::new(cpr::Cpr::open(params, input, &bank)?))
        }
        hetmm::NAME => {
            let params: hetmm::Params = params(manifest, &file)?;
            checked(params.check(input), &file)?;
            Ok(Arc::new(hetmm::Hetmm::open(params, input, &bank)?))
        }
        npad::NAME => {
            let params: npad::Params = params(manifest, &file)?;
            checked(params.check(input), &file)?;
            Ok(Arc::new(npad::Npad::open(params, input, &bank)?))
        }
        patchcore::NAME => {
            let params: patchcore::Params = params(manifest, &file)?;
            checked(params.check(input), &file)?;
            Ok(Arc::new(patchcore::PatchCore::open(params, input, &bank)?))
        }
        other => {
            let known = [cpr::NAME, hetmm::NAME, npad::NAME, patchcore::NAME].join(", ");
            Err(Error::file(&file, format!("unknown method '{other}'; this version knows {known}")))
        }
    }
}

/// The parameters of a method as the manifest has them.
fn params<P: DeserializeOwned>(manifest: &Manifest, file: &Path) -> Result<P> {
    serde_json::from_value(manifest.params.clone()).map_err(|e| Error::file(file, format!("params: {e}")))
}

fn checked(found: Result<(), String>, file: &Path) -> Result<()> {
    found.map_err(|problem| Error::file(file, format!("params: {problem}")))
}
