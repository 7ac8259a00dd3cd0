//! The three steps in their order on one frame, as the elements run them one by one.

use crate::bundle::Bundle;
use crate::error::Result;
use crate::frame::Picture;
use crate::methods::{Anomaly, Retrieved, Retriever, ScoreOptions, Scorer};
use crate::network::{Device, FeatureExtractor, SharedNetwork, lock};
use gst_video::{VideoFrameRef, VideoInfo};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frame formats for which an extractor is kept; a folder of images has one or two.
const KEPT_FORMATS: usize = 16;

/// Parts of the cascade that an evaluation does without, to see what they are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The foreground weights.
    pub foreground: bool,
    /// Every scale but the finest.
    pub coarser_scales: bool,
}

impl LeftOut {
    fn apply(self, found: &mut Retrieved) {
        if self.foreground {
            found.foreground = None;
        }
        if self.coarser_scales {
            found.distances.iter_mut().skip(1).for_each(|map| map.values.fill(0.0));
        }
    }
}

/// How long the steps took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Pre-processing and the network.
    pub features: Duration,
    /// Search for the closest normals.
    pub retrieve: Duration,
    /// Map, score and decision.
    pub score: Duration,
}

impl StepTimes {
    /// All three.
    pub fn total(&self) -> Duration {
        self.features + self.retrieve + self.score
    }
}

impl std::ops::AddAssign for StepTimes {
    fn add_assign(&mut self, other: Self) {
        self.features += other.features;
        self.retrieve += other.retrieve;
        self.score += other.score;
    }
}

/// A bundle ready to inspect frames and pictures of any format.
#[derive(Debug)]
pub struct Cascade {
    bundle: Arc<Bundle>,
    network: SharedNetwork,
    device: Device,
    extractors: Vec<(VideoInfo, FeatureExtractor)>,
    retriever: Retriever,
    scorer: Scorer,
    options: ScoreOptions,
    left_out: LeftOut,
}

impl Cascade {
    /// Loads the network of `bundle` on `device` with `threads` (0: all cores).
    ///
    /// # Errors
    /// As [`Bundle::network`].
    pub fn new(bundle: Arc<Bundle>, device: Device, threads: usize) -> Result<Self> {
        let network = bundle.network(device, threads)?;
        Ok(Self::with_network(bundle, network))
    }

    /// Runs a network of `bundle` that was loaded before.
    pub fn with_network(bundle: Arc<Bundle>, network: SharedNetwork) -> Self {
        let device = lock(&network).device();
        Self {
            retriever: Retriever::new(bundle.clone()),
            scorer: Scorer::new(bundle.clone()),
            options: ScoreOptions::default(),
            left_out: LeftOut::default(),
            extractors: Vec::new(),
            bundle,
            network,
            device,
        }
    }

    /// The bundle in use.
    pub fn bundle(&self) -> &Arc<Bundle> {
        &self.bundle
    }

    /// The device that really runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// From now on does without these parts; scores are then none that the bundle was calibrated for.
    pub fn leave_out(&mut self, parts: LeftOut) {
        self.left_out = parts;
    }

    /// From now on scores with these options.
    pub fn score_with(&mut self, options: ScoreOptions) {
        self.options = options;
    }

    /// Inspects a picture.
    ///
    /// # Errors
    /// As [`Cascade::inspect`].
    pub fn inspect_picture(&mut self, picture: &Picture) -> Result<(Anomaly, StepTimes)> {
        self.inspect(picture.info(), &picture.frame()?)
    }

    /// Inspects a frame of the format `info`; the first of a format is prepared for before the clock starts.
    ///
    /// # Errors
    /// If the format cannot be converted, or a step fails.
    pub fn inspect(
        &mut self,
        info: &VideoInfo,
        frame: &VideoFrameRef<&gst::BufferRef>,
    ) -> Result<(Anomaly, StepTimes)> {
        let at = self.extractor(info)?;
        let start = Instant::now();
        let features = self.extractors[at].1.extract(frame)?;
        let extracted = Instant::now();
        let mut retrieval = self.retriever.retrieve(&features, 0)?;
        self.left_out.apply(&mut retrieval.found);
        let retrieved = Instant::now();
        let anomaly = self.scorer.score(&retrieval, &self.options)?;
        let times = StepTimes {
            features: extracted - start,
            retrieve: retrieved - extracted,
            score: retrieved.elapsed(),
        };
        Ok((anomaly, times))
    }

    fn extractor(&mut self, info: &VideoInfo) -> Result<usize> {
        if let Some(at) = self.extractors.iter().position(|(known, _)| known == info) {
            return Ok(at);
        }
        if self.extractors.len() >= KEPT_FORMATS {
            self.extractors.clear();
        }
        let extractor = FeatureExtractor::new(self.bundle.clone(), self.network.clone(), info, None)?;
        self.extractors.push((info.clone(), extractor));
        Ok(self.extractors.len() - 1)
    }
}
