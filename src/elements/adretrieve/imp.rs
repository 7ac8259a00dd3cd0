use super::super::guard::Guard;
use super::super::latency::{Latency, timed};
use super::super::{DeviceChoice, lock, raw_video_pads};
use crate::error::Error;
use crate::meta::{FeaturesMeta, RetrievalMeta};
use crate::methods::{Retrieval, Retriever};
use crate::network::{Device, Features};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::sync::{Arc, LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "adretrieve",
        gst::DebugColorFlags::empty(),
        Some("Retrieval for anomaly detection"),
    )
});

#[derive(Clone, Copy, Debug, Default)]
struct Settings {
    neighbours: u32,
    device: DeviceChoice,
}

/// What the streaming thread owns while frames flow.
#[derive(Default)]
struct Stream {
    retriever: Option<Retriever>,
    /// The last result with the features that it belongs to.
    last: Option<(Arc<Features>, Arc<Retrieval>)>,
    /// A frame has been compared.
    flows: bool,
    /// A number of neighbours that the bundle cannot give, which has been said.
    refused: Option<usize>,
}

#[derive(Default)]
pub struct AdRetrieve {
    settings: Mutex<Settings>,
    /// Taken out by the streaming thread while it works.
    stream: Mutex<Option<Stream>>,
    guard: Guard,
    latency: Latency,
}

/// The property that `addetect` has too.
pub(in crate::elements) fn neighbours_property() -> glib::ParamSpec {
    glib::ParamSpecUInt::builder("neighbours")
        .nick("Neighbours")
        .blurb("Normal images that a frame is compared with (0 = as many as the bundle says)")
        .default_value(Settings::default().neighbours)
        .mutable_playing()
        .build()
}

#[glib::object_subclass]
impl ObjectSubclass for AdRetrieve {
    const NAME: &'static str = "GstAdRetrieve";
    type Type = super::AdRetrieve;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AdRetrieve {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            vec![
                neighbours_property(),
                glib::ParamSpecEnum::builder_with_default("device", Settings::default().device)
                    .nick("Device")
                    .blurb(
                        "Where the search runs; a device that is asked for by name and missing is an error",
                    )
                    .mutable_ready()
                    .build(),
            ]
        });
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.guard.set(&*self.obj(), pspec, || {
            let mut settings = lock(&self.settings);
            match pspec.name() {
                "neighbours" => settings.neighbours = value.get().expect("checked by GObject"),
                "device" => settings.device = value.get().expect("checked by GObject"),
                _ => unimplemented!("GObject only sets properties that exist"),
            }
            Ok(())
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "neighbours" => settings.neighbours.to_value(),
            "device" => settings.device.to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }
}

impl GstObjectImpl for AdRetrieve {}

impl ElementImpl for AdRetrieve {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly retrieval",
                "Filter/Analyzer/Video",
                "Compares the features from adfeatures with those of normal images, for adscore",
                super::super::AUTHORS,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(raw_video_pads);
        &TEMPLATES
    }
}

impl BaseTransformImpl for AdRetrieve {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.start(|| {
            let device = lock(&self.settings).device;
            Device::from(device)
                .resolve()
                .map_err(|e| gst::error_msg!(gst::ResourceError::Settings, ("{e}")))?;
            self.latency.reset();
            *lock(&self.stream) = Some(Stream::default());
            Ok(())
        })
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.stop();
        *lock(&self.stream) = None;
        Ok(())
    }

    fn query(&self, direction: gst::PadDirection, query: &mut gst::QueryRef) -> bool {
        match (direction, query.view_mut()) {
            (gst::PadDirection::Src, gst::QueryViewMut::Latency(latency)) => {
                self.latency.answer(self.obj().sink_pad(), latency)
            }
            _ => BaseTransformImplExt::parent_query(self, direction, query),
        }
    }

    fn transform_ip(&self, buffer: &mut gst::BufferRef) -> Result<gst::FlowSuccess, gst::FlowError> {
        if buffer.size() == 0 {
            return Ok(gst::FlowSuccess::Ok);
        }
        let neighbours = lock(&self.settings).neighbours as usize;
        let mut stream = lock(&self.stream).take().ok_or(gst::FlowError::Flushing)?;
        let result = self.retrieve(&mut stream, buffer, neighbours);
        *lock(&self.stream) = Some(stream);
        result
    }
}

impl AdRetrieve {
    fn retrieve(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        neighbours: usize,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(carried) = FeaturesMeta::get(buffer) else {
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                ("no features on the frame: adretrieve needs adfeatures before it (adfeatures model=BUNDLE ! adretrieve ! adscore)")
            );
            return Err(gst::FlowError::Error);
        };
        let features = &carried.result;
        let known = stream
            .last
            .as_ref()
            .filter(|(of, _)| Arc::ptr_eq(of, features))
            .map(|(_, retrieval)| retrieval.clone());
        let retrieval = match known {
            Some(retrieval) => retrieval,
            None => {
                stream.last = None;
                let same = |retriever: &Retriever| Arc::ptr_eq(retriever.bundle(), &features.bundle);
                let mut retriever = match stream.retriever.take().filter(same) {
                    Some(retriever) => retriever,
                    None => {
                        gst::info!(CAT, imp = self, "retrieving from {}", features.bundle.path().display());
                        // Another bundle may refuse the same number for another reason.
                        stream.refused = None;
                        Retriever::new(features.bundle.clone())
                    }
                };
                let found = self
                    .possible_neighbours(stream, &retriever, neighbours)
                    .and_then(|n| timed(self, &self.latency, || retriever.retrieve(features, n)));
                stream.retriever = Some(retriever);
                let retrieval = Arc::new(found.map_err(|e| {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ("{e}"));
                    gst::FlowError::Error
                })?);
                stream.flows = true;
                stream.last = Some((features.clone(), retrieval.clone()));
                retrieval
            }
        };
        // Nobody further down needs the features: their memory can be used for the next frame.
        FeaturesMeta::remove(buffer);
        RetrievalMeta::attach(buffer, retrieval, carried.fresh, carried.skipped).map_err(|e| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("{e}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// The `wanted` neighbours, or 0, as many as the bundle says, where it cannot give them: neither a bundle that takes over nor
    /// a property ends a stream that flows.
    fn possible_neighbours(
        &self,
        stream: &mut Stream,
        retriever: &Retriever,
        wanted: usize,
    ) -> Result<usize, Error> {
        match retriever.check(wanted) {
            Ok(()) => {
                stream.refused = None;
                Ok(wanted)
            }
            Err(e) if !stream.flows => Err(e),
            Err(e) => {
                if stream.refused.replace(wanted) != Some(wanted) {
                    gst::element_imp_warning!(
                        self,
                        gst::StreamError::Failed,
                        ("{e}; frames are compared with as many as the bundle says, until 'neighbours' is changed")
                    );
                }
                Ok(0)
            }
        }
    }
}
