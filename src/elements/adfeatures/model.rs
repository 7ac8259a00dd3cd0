//! What runs in the stream: a bundle with its network, for a format and a part of the frame.

use super::super::DeviceChoice;
use crate::bundle::{Bundle, Version, open_shared};
use crate::frame::Rect;
use crate::network::{Device, FeatureExtractor, Features, SharedNetwork};
use crate::{Error, Result};
use std::path::Path;
use std::sync::Arc;

/// The properties' values.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub model: Option<String>,
    pub device: DeviceChoice,
    pub device_id: i32,
    pub threads: u32,
    pub interval: u32,
    pub roi: Option<Rect>,
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
    pub setting: Option<String>,
    /// What was there when it was loaded, or before.
    pub version: Option<Version>,
    pub bundle: Arc<Bundle>,
    pub network: SharedNetwork,
    pub device: Device,
}

impl Model {
    pub fn load(settings: &Settings) -> Result<Self> {
        let path = settings.model.as_deref().ok_or_else(|| {
            Error::Setting(
                "no model: set the property 'model' to the folder of a bundle that 'adtrain fit' made".into(),
            )
        })?;
        let device = Device::from(settings.device).resolve()?;
        if settings.device_id != 0 && device == Device::Cpu {
            return Err(Error::Device {
                device: format!("{} {}", Device::from(settings.device).name(), settings.device_id),
                reason: "device-id names one of several cards, and the network runs on the processor; leave it out".into(),
            });
        }
        let version = Version::of(Path::new(path)).ok();
        let bundle = open_shared(Path::new(path))?;
        // Streams with threads of their own run beside each other; those that use all cores take turns on one network.
        let network = match settings.threads {
            0 => bundle.network(device, 0)?,
            threads => bundle.own_network(device, threads as usize)?,
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
    pub roi: Option<Rect>,
    pub extractor: Option<FeatureExtractor>,
    pub last: Option<Arc<Features>>,
    pub frames: u64,
}

impl Stream {
    pub fn new(model: Model) -> Self {
        Self { model, format: None, roi: None, extractor: None, last: None, frames: 0 }
    }

    /// Makes the extractor for the present model, format and part of the frame.
    pub fn prepare(&mut self, roi: Option<Rect>) -> Result<()> {
        let Some(format) = &self.format else { return Ok(()) };
        let Model { bundle, network, .. } = self.model.clone();
        self.extractor = Some(FeatureExtractor::new(bundle, network, format, roi)?);
        self.roi = roi;
        self.last = None;
        Ok(())
    }
}

/// A model that is being, or has been, loaded beside the running one.
#[derive(Default)]
pub(super) struct Pending {
    /// Counts the requests: only the newest counts.
    pub request: u64,
    pub loaded: Option<Model>,
    /// The property's value for the model that runs.
    pub running: Option<String>,
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
