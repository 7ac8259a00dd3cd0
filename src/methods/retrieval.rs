//! The second of the three steps: features in, distances to the normals out.

use super::{Retrieve, Retrieved};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::frame::Geometry;
use crate::network::Features;
use crate::pool::Pooled;
use std::sync::Arc;

/// A map of distances to the normal, `[height, width]`, 0 where a patch has an exact match.
#[derive(Debug)]
pub struct DistanceMap {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values, row by row.
    pub values: Pooled<Vec<f32>>,
}

/// A normal that a frame was compared with: an image, or, where the bank is one of patches, a patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its number in the bank.
    pub index: usize,
    /// Its distance from the frame as a whole, or from the frame's worst patch.
    pub distance: f32,
}

/// What was retrieved for one frame.
#[derive(Debug)]
pub struct Retrieval {
    /// The bundle that it was retrieved from.
    pub bundle: Arc<Bundle>,
    /// Where the network's input lies in the frame.
    pub geometry: Geometry,
    /// The distances.
    pub found: Retrieved,
}

/// Retrieves for the frames of one stream.
#[derive(Debug)]
pub struct Retriever {
    bundle: Arc<Bundle>,
    state: Box<dyn Retrieve>,
}

impl Retriever {
    /// Starts a stream on `bundle`.
    pub fn new(bundle: Arc<Bundle>) -> Self {
        let state = bundle.method().clone().retrieve();
        Self { bundle, state }
    }

    /// The bundle in use.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// Whether the bank can give `neighbours`; 0, the bundle's own number, it always can.
    ///
    /// # Errors
    /// With what was asked for and what there is.
    pub fn check(&self, neighbours: usize) -> Result<()> {
        let method = self.bundle.method();
        if neighbours > 0 && method.neighbours() == 0 {
            return Err(Error::Setting(format!(
                "{neighbours} neighbours were asked for, but {} compares with all normals; 0 is what it takes",
                self.bundle.manifest().method
            )));
        }
        let available = method.most_neighbours();
        if neighbours <= available {
            return Ok(());
        }
        let images = method.references();
        Err(Error::Setting(match available == images {
            true => format!("{neighbours} neighbours were asked for, the bundle has {images} normal images"),
            false => format!("{neighbours} neighbours were asked for, the bundle has {available} at most"),
        }))
    }

    /// Compares a frame with the nearest normals; `neighbours` 0 takes the bundle's number.
    ///
    /// # Errors
    /// If the bank cannot give `neighbours`, or the features do not fit the bundle.
    pub fn retrieve(&mut self, features: &Features, neighbours: usize) -> Result<Retrieval> {
        self.check(neighbours)?;
        let method = self.bundle.method();
        let neighbours = if neighbours == 0 { method.neighbours() } else { neighbours };
        let found = self.state.retrieve(&features.maps, neighbours, None)?;
        Ok(Retrieval { bundle: self.bundle.clone(), geometry: features.geometry, found })
    }
}
