//! What runs in the stream: a bundle with its network, for a format and a part of the frame.

use super::super::DeviceChoice;
use super::super::timeline::Timeline;
use crate::bundle::{Bundle, Version, open_shared};
use crate::frame::{Rect, Roi};
use crate::network::{Device, FeatureExtractor, Features, SharedNetwork, cores};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// The properties' values.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub model: Option<PathBuf>,
    pub device: DeviceChoice,
    pub device_id: i32,
    pub threads: u32,
    pub interval: u32,
    pub roi: Option<Roi>,
    pub follow: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            device: DeviceChoice::Auto,
            device_id: 0,
            threads: 0,
            interval: 1,
            roi: None,
            follow: false,
        }
    }
}

/// A bundle with its network, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The property's value that it was loaded for.
    pub setting: Option<PathBuf>,
    /// What was there when it was loaded, or before.
    pub version: Option<Version>,
    pub bundle: Arc<Bundle>,
    pub network: SharedNetwork,
    pub device: Device,
}

impl Model {
    pub fn load(settings: &Settings) -> Result<Self> {
        let path =
            settings.model.as_deref().filter(|path| !path.as_os_str().is_empty()).ok_or_else(|| {
                Error::Setting(
                    "no model: set the property 'model' to the folder of a bundle that 'adtrain fit' made"
                        .into(),
                )
            })?;
        let device = Device::from(settings.device).resolve()?;
        if settings.device_id != 0 && device == Device::Cpu {
            return Err(Error::Device {
                device: format!("{} {}", Device::from(settings.device).name(), settings.device_id),
                reason: "device-id names one of several cards, and the network runs on the processor; leave it out".into(),
            });
        }
        let version = Version::of(path).ok();
        let bundle = open_shared(path)?;
        // Streams with threads of their own run beside each other; those that use all cores take turns on one network.
        let network = match settings.threads as usize {
            0 => bundle.network(device, 0)?,
            threads => bundle.own_network(device, threads.min(cores()))?,
        };
        Ok(Self { setting: settings.model.clone(), version, bundle, network, device })
    }

    /// What the application is told when this model takes over from another.
    pub fn message(&self) -> gst::Structure {
        let manifest = self.bundle.manifest();
        gst::Structure::builder("anomaly-model")
            .field("model", self.bundle.path().display().to_string())
            .field("name", &manifest.name)
            .field("method", &manifest.method)
            .field("images", manifest.training.images as u64)
            .field("date", &manifest.training.date)
            .field("threshold", manifest.calibration.threshold)
            .field_if_some("warn", manifest.calibration.warn)
            .build()
    }
}

/// What the streaming thread owns while frames flow.
pub(super) struct Stream {
    pub model: Model,
    pub format: Option<gst_video::VideoInfo>,
    /// The part that the user has set.
    pub roi: Option<Roi>,
    /// The part that upstream's metadata shows.
    pub crop: Option<Rect>,
    pub extractor: Option<FeatureExtractor>,
    pub last: Option<Arc<Features>>,
    pub frames: u64,
    /// Frames that have come since the last that was let in.
    pub arrived: u64,
    pub timeline: Timeline,
    /// The memory of the frame before, by which it is known again.
    pub memory: Vec<Place>,
    /// Caps that cannot be inspected, which has been said.
    pub refused: Option<gst::Caps>,
}

/// Where a piece of a frame lies: address, first byte and length.
pub(super) type Place = (usize, usize, usize);

impl Stream {
    pub fn new(model: Model) -> Self {
        Self {
            model,
            format: None,
            roi: None,
            crop: None,
            extractor: None,
            last: None,
            frames: 0,
            arrived: 0,
            timeline: Timeline::default(),
            memory: Vec::new(),
            refused: None,
        }
    }

    /// Makes the extractor for the present model, format and part of the frame.
    pub fn prepare(&mut self, roi: Option<Roi>, crop: Option<Rect>) -> Result<()> {
        let Some(format) = &self.format else { return Ok(()) };
        let Model { bundle, network, .. } = self.model.clone();
        let whole = Rect { x: 0, y: 0, width: format.width(), height: format.height() };
        if let Some(crop) = crop
            && whole.common(&crop) != Some(crop)
        {
            return Err(Error::Frame(format!(
                "its crop metadata shows {crop}, which does not lie inside {whole}"
            )));
        }
        let part = roi.map(|roi| roi.in_frame((format.width(), format.height())));
        let seen = match (part, crop) {
            (Some(part), Some(crop)) => Some(part.common(&crop).ok_or_else(|| {
                Error::Frame(format!(
                    "nothing of roi {part} is in {crop}, the part that the crop metadata shows"
                ))
            })?),
            (part, crop) => part.or(crop),
        };
        self.extractor = Some(FeatureExtractor::new(bundle, network, format, seen)?);
        (self.roi, self.crop) = (roi, crop);
        self.last = None;
        Ok(())
    }

    /// Forgets the frame before: in another stream, or after a seek, it says nothing about the next.
    pub fn forget(&mut self) {
        self.last = None;
        self.memory.clear();
        self.frames = 0;
        self.arrived = 0;
    }

    /// Whether the next frame is one of those that are inspected.
    pub fn is_due(&self, interval: u64) -> bool {
        self.last.is_none() || self.frames.is_multiple_of(interval)
    }

    /// Whether a frame says that it is the one before once more, as `videorate` and others make them; that one's result is there then.
    pub fn is_repeated(&mut self, buffer: &gst::BufferRef) -> bool {
        let place = |memory: &gst::MemoryRef| (memory.as_ptr() as usize, memory.offset(), memory.size());
        let same = buffer.iter_memories().map(place).eq(self.memory.iter().copied());
        if !same {
            self.memory.clear();
            self.memory.extend(buffer.iter_memories().map(place));
        }
        same && self.last.is_some() && buffer.flags().contains(gst::BufferFlags::GAP)
    }
}

/// A model that is being, or has been, loaded beside the running one.
#[derive(Default)]
pub(super) struct Pending {
    /// Counts the requests: only the newest counts.
    pub request: u64,
    pub loaded: Option<Model>,
    /// The property's value for the model that runs.
    pub running: Option<PathBuf>,
    /// What that model was loaded from.
    pub version: Option<Version>,
}

impl Pending {
    /// Notes which model runs.
    pub fn runs(&mut self, model: &Model) {
        self.running.clone_from(&model.setting);
        self.version = model.version;
    }
}
