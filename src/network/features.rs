//! The first of the three steps: a frame in, feature maps out.

use super::session::{Network, OutputSpec, SharedNetwork, lock};
use crate::bundle::Bundle;
use crate::error::{Error, Result};
use crate::frame::{Geometry, Preprocessor, Rect};
use ort::value::{DynValue, Tensor};
use std::sync::Arc;

/// One output of the network, in the memory that the runtime gave it or in our own.
#[derive(Debug)]
pub struct FeatureMap {
    shape: Vec<usize>,
    data: Storage,
}

#[derive(Debug)]
enum Storage {
    Floats(Tensor<f32>),
    Bytes(Tensor<u8>),
    Owned(Vec<f32>),
    OwnedBytes(Vec<u8>),
}

impl FeatureMap {
    /// Takes over an output of the runtime without copying it.
    pub(super) fn from_value(spec: &OutputSpec, value: DynValue) -> Result<Self> {
        let data =
            if spec.bytes { Storage::Bytes(value.downcast()?) } else { Storage::Floats(value.downcast()?) };
        let map = Self { shape: spec.shape.clone(), data };
        let (found, expected) = (map.len(), spec.shape.iter().product::<usize>());
        if found != expected {
            return Err(Error::Runtime(format!(
                "output '{}': expected {expected} values, found {found}",
                spec.name
            )));
        }
        Ok(map)
    }

    /// A map of f32 values in our own memory.
    pub fn from_floats(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        Self { shape: shape.into(), data: Storage::Owned(data) }
    }

    /// A map of bytes in our own memory.
    pub fn from_bytes(shape: impl Into<Vec<usize>>, data: Vec<u8>) -> Self {
        Self { shape: shape.into(), data: Storage::OwnedBytes(data) }
    }

    /// Its shape, as the method asked for it.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, contiguous; empty for a map of bytes.
    pub fn floats(&self) -> &[f32] {
        match &self.data {
            Storage::Floats(tensor) => tensor.extract_tensor().1,
            Storage::Owned(values) => values,
            Storage::Bytes(_) | Storage::OwnedBytes(_) => &[],
        }
    }

    /// The bytes, contiguous; empty for a map of f32 values.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Storage::Bytes(tensor) => tensor.extract_tensor().1,
            Storage::OwnedBytes(values) => values,
            Storage::Floats(_) | Storage::Owned(_) => &[],
        }
    }

    fn len(&self) -> usize {
        self.floats().len() + self.bytes().len()
    }
}

/// What the network says of one frame.
#[derive(Debug)]
pub struct Features {
    /// The bundle whose network made them; the later steps take it from here.
    pub bundle: Arc<Bundle>,
    /// The maps, in the order of [`crate::methods::Method::outputs`].
    pub maps: Vec<FeatureMap>,
    /// Where the network's input lies in the frame.
    pub geometry: Geometry,
}

/// Runs the network of a bundle on frames of one format.
#[derive(Debug)]
pub struct FeatureExtractor {
    bundle: Arc<Bundle>,
    network: SharedNetwork,
    preprocessor: Preprocessor,
    input: Tensor<f32>,
}

impl FeatureExtractor {
    /// Prepares to inspect `roi` (or all) of frames described by `info`.
    ///
    /// # Errors
    /// If `roi` lies outside the frame or the format cannot be converted.
    pub fn new(
        bundle: Arc<Bundle>,
        network: SharedNetwork,
        info: &gst_video::VideoInfo,
        roi: Option<Rect>,
    ) -> Result<Self> {
        let (input, threads) = {
            let network = lock(&network);
            (network.new_input()?, network.threads())
        };
        let preprocessor = Preprocessor::threaded(info, &bundle.manifest().input, roi, threads as u32)?;
        Ok(Self { bundle, network, preprocessor, input })
    }

    /// The bundle in use.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// One frame through pre-processing and the network.
    ///
    /// # Errors
    /// If the frame has another format than announced, or the runtime fails.
    pub fn extract(&mut self, frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Result<Features> {
        let (_, input) = self.input.extract_tensor_mut();
        self.preprocessor.run(frame, input)?;
        let maps = lock(&self.network).run(&self.input).map_err(|e| self.bundle.blame_graph(e))?;
        Ok(Features { bundle: self.bundle.clone(), maps, geometry: *self.preprocessor.geometry() })
    }
}

impl Network {
    /// One frame through an already prepared preprocessor; what fitting uses before there is a bundle.
    ///
    /// # Errors
    /// As [`FeatureExtractor::extract`].
    pub fn extract(
        &mut self,
        preprocessor: &mut Preprocessor,
        input: &mut Tensor<f32>,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
    ) -> Result<Vec<FeatureMap>> {
        preprocessor.run(frame, input.extract_tensor_mut().1)?;
        self.run(input)
    }
}
