use super::super::guard::Guard;
use super::super::latency::{Latency, timed};
use super::super::{crop, lock, raw_video_pads};
use super::admission::Admission;
use super::follow::{self, Follower};
use super::model::{Model, Pending, Settings, Stream};
use super::properties::properties;
use crate::Error;
use crate::meta::FeaturesMeta;
use crate::network::{Device, cores};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::sync::{Arc, LazyLock, Mutex};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "adfeatures",
        gst::DebugColorFlags::empty(),
        Some("Features for anomaly detection"),
    )
});

#[derive(Default)]
pub struct AdFeatures {
    pub(super) settings: Mutex<Settings>,
    /// Taken out by the streaming thread while it works, so that the lock is never held through inference.
    stream: Mutex<Option<Stream>>,
    pub(super) pending: Mutex<Pending>,
    /// While there is a stream that follows its bundle.
    pub(super) follower: Mutex<Option<Follower>>,
    /// The device that runs, while there is a stream.
    active: Mutex<Option<Device>>,
    guard: Guard,
    admission: Mutex<Admission>,
    pub(super) latency: Latency,
}

#[glib::object_subclass]
impl ObjectSubclass for AdFeatures {
    const NAME: &'static str = "GstAdFeatures";
    type Type = super::AdFeatures;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AdFeatures {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.guard.set(&*self.obj(), pspec, || lock(&self.settings).set(pspec.name(), value));
        // The same folder, too: what is in it may have been replaced.
        match pspec.name() {
            "model" if lock(&self.active).is_some() => self.load_beside(lock(&self.settings).clone()),
            "follow" if lock(&self.active).is_some() => follow::begin_or_end(self),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "active-device" => lock(&self.active).map(Device::name).to_value(),
            "inference-time" => self.latency.mean_ms().to_value(),
            name => lock(&self.settings).get(name),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_property("qos", true);
    }
}

impl GstObjectImpl for AdFeatures {}

impl ElementImpl for AdFeatures {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly features",
                "Filter/Analyzer/Video",
                "Runs the network of an anomaly detection bundle on every frame, for adretrieve",
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

impl BaseTransformImpl for AdFeatures {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.start(|| self.begin())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.stop();
        *lock(&self.active) = None;
        *lock(&self.follower) = None;
        let mut pending = lock(&self.pending);
        *pending = Pending { request: pending.request + 1, ..Pending::default() };
        drop(pending);
        *lock(&self.stream) = None;
        Ok(())
    }

    fn set_caps(&self, incaps: &gst::Caps, _outcaps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(incaps)
            .map_err(|_| gst::loggable_error!(CAT, "not raw video: {incaps}"))?;
        let roi = lock(&self.settings).roi;
        let mut slot = lock(&self.stream);
        let stream = slot.as_mut().ok_or_else(|| gst::loggable_error!(CAT, "not started"))?;
        stream.format = Some(info);
        let Err(e) = stream.prepare(roi, None) else {
            stream.refused = None;
            return Ok(());
        };
        // Frames that follow bring the same caps again, and nobody needs to hear the same twice.
        let told = stream.refused.replace(incaps.clone()).as_ref() == Some(incaps);
        stream.extractor = None;
        drop(slot);
        if !told {
            gst::element_imp_error!(self, gst::StreamError::Format, ("{e}"));
        }
        Err(gst::loggable_error!(CAT, "{e}"))
    }

    fn propose_allocation(
        &self,
        decide_query: Option<&gst::query::Allocation>,
        query: &mut gst::query::Allocation,
    ) -> Result<(), gst::LoggableError> {
        self.parent_propose_allocation(decide_query, query)?;
        crop::refuse(query);
        Ok(())
    }

    fn submit_input_buffer(
        &self,
        is_discont: bool,
        inbuf: gst::Buffer,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let interval = u64::from(lock(&self.settings).interval);
        let Some((format, times, carries)) = lock(&self.stream).as_mut().map(|stream| {
            stream.arrived += u64::from(inbuf.size() > 0);
            let timeline = &stream.timeline;
            let times = (timeline.running_time(&inbuf), timeline.stream_time(&inbuf));
            (stream.format.clone(), times, !stream.is_due(interval))
        }) else {
            return self.parent_submit_input_buffer(is_discont, inbuf);
        };
        let object = self.obj();
        let cost = if carries { gst::ClockTime::ZERO } else { self.latency.mean() };
        let refused = match object.property::<bool>("qos") {
            true => lock(&self.admission).refuse(object.upcast_ref(), cost, &inbuf, times),
            false => None,
        };
        if let Some(message) = refused {
            gst::debug!(CAT, imp = self, "leaving out a frame that would come too late: {:?}", inbuf.pts());
            // Without a bus nobody listens.
            let _ = object.post_message(message);
            return Ok(gst_base::BASE_TRANSFORM_FLOW_DROPPED);
        }
        let inbuf = match format {
            None => inbuf,
            Some(format) => crop::cut_out(inbuf, &format).map_err(|e| self.fail(&e))?,
        };
        self.parent_submit_input_buffer(is_discont, inbuf)
    }

    fn src_event(&self, event: gst::Event) -> bool {
        if let gst::EventView::Qos(qos) = event.view() {
            let (_, _, late, running_time) = qos.get();
            lock(&self.admission).report(running_time, late);
        }
        self.parent_src_event(event)
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        // After a seek or in another stream the last result says nothing about the next frame.
        if let Some(stream) = lock(&self.stream).as_mut()
            && stream.timeline.event(&event).is_some()
        {
            stream.forget();
            *lock(&self.admission) = Admission::default();
        }
        if let gst::EventView::Tag(tag) = event.view() {
            self.warn_of_orientation(tag.tag());
        }
        self.parent_sink_event(event)
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
        let (roi, interval) = {
            let settings = lock(&self.settings);
            (settings.roi, u64::from(settings.interval))
        };
        let mut stream = lock(&self.stream).take().ok_or(gst::FlowError::Flushing)?;
        let crop = stream.format.as_ref().and_then(|format| crop::part(buffer, format));
        let result =
            self.take_over(&mut stream, roi, crop).and_then(|()| self.inspect(&mut stream, buffer, interval));
        let running_time = stream.timeline.running_time(buffer);
        lock(&self.admission).leave(self.obj().upcast_ref(), running_time);
        *lock(&self.stream) = Some(stream);
        result
    }
}

impl AdFeatures {
    fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let model = Model::load(&settings).map_err(|e| match e {
            Error::Setting(_) | Error::Device { .. } => {
                gst::error_msg!(gst::ResourceError::Settings, ("{e}"))
            }
            Error::Runtime(_) => gst::error_msg!(gst::LibraryError::Init, ("{e}")),
            e => gst::error_msg!(gst::ResourceError::OpenRead, ("{e}")),
        })?;
        let cores = cores();
        if settings.threads as usize > cores {
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                (
                    "threads: {} are more than the {cores} cores that this process may use; {cores} run",
                    settings.threads
                )
            );
        }
        self.latency.reset();
        *lock(&self.admission) = Admission::default();
        {
            let mut pending = lock(&self.pending);
            // What is still being loaded for the time before counts no more.
            *pending = Pending { request: pending.request + 1, ..Pending::default() };
            pending.runs(&model);
        }
        gst::info!(CAT, imp = self, "{} on {}", model.bundle.path().display(), model.device.name());
        let (device, started) = (model.device, model.setting.clone());
        *lock(&self.stream) = Some(Stream::new(model));
        *lock(&self.active) = Some(device);
        // Somebody may have set another model while this one was being loaded.
        let settings = lock(&self.settings).clone();
        if settings.model != started {
            self.load_beside(settings);
        }
        follow::begin_or_end(self);
        Ok(())
    }

    pub(super) fn fail(&self, error: &Error) -> gst::FlowError {
        gst::element_imp_error!(self, gst::StreamError::Format, ("{error}"));
        gst::FlowError::Error
    }

    /// Image files are learned from and judged as their tag says that they are to be looked at; frames are inspected as they come.
    fn warn_of_orientation(&self, tags: &gst::TagListRef) {
        if let Some(orientation) = tags.get::<gst::tags::ImageOrientation>()
            && orientation.get() != "rotate-0"
        {
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                (
                    "the stream says that it is to be shown with the orientation '{}' and is inspected without; where the bundle has learned \
                     from image files, which are turned as they say, put 'videoflip video-direction=auto' before this element",
                    orientation.get()
                )
            );
        }
    }

    fn inspect(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        interval: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        stream.timeline.frame(buffer);
        // Those that were left out here or by the base class, whose quality of service is on, too.
        let skipped = std::mem::take(&mut stream.arrived).saturating_sub(1);
        let repeated = stream.is_repeated(buffer);
        let fresh = stream.last.is_none() || (!repeated && stream.is_due(interval));
        stream.frames += u64::from(!repeated);
        if fresh {
            let (Some(extractor), Some(info)) = (&mut stream.extractor, &stream.format) else {
                return Err(gst::FlowError::NotNegotiated);
            };
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Format, ("the frame cannot be read: {e}"));
                gst::FlowError::Error
            })?;
            let features = timed(self, &self.latency, || extractor.extract(&frame)).map_err(|e| {
                gst::element_imp_error!(self, gst::StreamError::Failed, ("{e}"));
                gst::FlowError::Error
            })?;
            stream.last = Some(Arc::new(features));
        }
        let features = stream.last.clone().ok_or(gst::FlowError::Error)?;
        FeaturesMeta::attach(buffer, features, fresh, skipped).map_err(|e| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("{e}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}
