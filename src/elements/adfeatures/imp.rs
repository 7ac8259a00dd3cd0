use super::super::guard::{self, Guard};
use super::super::latency::{Latency, timed};
use super::super::{crop, lock, raw_video_pads};
use super::admission::Admission;
use super::follow::{self, Follower};
use super::model::{Model, Pending, Settings, Stream};
use crate::Error;
use crate::frame::{Rect, Roi};
use crate::meta::FeaturesMeta;
use crate::network::{Device, cores};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
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
    latency: Latency,
}

/// The element's properties; `addetect` has them too.
pub(in crate::elements) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Folder of the bundle that adtrain made; a new one is loaded beside the running one and takes over between two frames")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("device", default.device)
            .nick("Device")
            .blurb("Where the network runs; a device that is asked for by name and missing is an error")
            .mutable_ready()
            .build(),
        glib::ParamSpecInt::builder("device-id")
            .nick("Device number")
            .blurb("Which of several cards")
            .minimum(0)
            .default_value(default.device_id)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of the network, as many as there are cores at most (0 = all cores that this process may use, shared with other streams of the same bundle)")
            .maximum(1024)
            .default_value(default.threads)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("interval")
            .nick("Interval")
            .blurb("Inspect every so many frames (1 = every frame); the others carry the last result, marked as not fresh")
            .minimum(1)
            .default_value(default.interval)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("roi")
            .nick("Region of interest")
            .blurb("Part of the frame to inspect, \"x,y,w,h\" in pixels, or \"x%,y%,w%,h%\" (empty = the whole frame)")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("follow")
            .nick("Follow the bundle")
            .blurb("Take over a bundle that is put in the place of the one that runs, as 'adtrain update' and 'adtrain calibrate' do, between two frames")
            .default_value(default.follow)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("active-device")
            .nick("Active device")
            .blurb("The device that really runs, empty before the start")
            .read_only()
            .build(),
        glib::ParamSpecDouble::builder("inference-time")
            .nick("Inference time")
            .blurb("Mean time of a frame in milliseconds")
            .minimum(0.0)
            .read_only()
            .build(),
    ]
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
        self.guard.set(&*self.obj(), pspec, || self.take_value(value, pspec));
        // The same folder, too: what is in it may have been replaced.
        match pspec.name() {
            "model" if lock(&self.active).is_some() => self.load_beside(lock(&self.settings).clone()),
            "follow" if lock(&self.active).is_some() => follow::begin_or_end(self),
            _ => {}
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "model" => settings.model.to_value(),
            "device" => settings.device.to_value(),
            "device-id" => settings.device_id.to_value(),
            "threads" => settings.threads.to_value(),
            "interval" => settings.interval.to_value(),
            "roi" => settings.roi.map(|roi| roi.to_string()).to_value(),
            "follow" => settings.follow.to_value(),
            "active-device" => lock(&self.active).map(Device::name).to_value(),
            "inference-time" => self.latency.mean_ms().to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
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
        let Some((format, times, carries)) = lock(&self.stream).as_ref().map(|stream| {
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
        let settings = lock(&self.settings).clone();
        let mut stream = lock(&self.stream).take().ok_or(gst::FlowError::Flushing)?;
        let crop = stream.format.as_ref().and_then(|format| crop::part(buffer, format));
        let result = self
            .take_over(&mut stream, settings.roi, crop)
            .and_then(|()| self.inspect(&mut stream, buffer, u64::from(settings.interval)));
        let running_time = stream.timeline.running_time(buffer);
        lock(&self.admission).leave(self.obj().upcast_ref(), running_time);
        *lock(&self.stream) = Some(stream);
        result
    }
}

impl AdFeatures {
    fn take_value(&self, value: &glib::Value, pspec: &glib::ParamSpec) -> Result<(), String> {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "model" => settings.model = guard::file_name(value),
            "device" => settings.device = value.get().expect("checked by GObject"),
            "device-id" => settings.device_id = value.get().expect("checked by GObject"),
            "threads" => settings.threads = value.get().expect("checked by GObject"),
            "interval" => settings.interval = value.get().expect("checked by GObject"),
            "roi" => {
                let text = guard::text(value)?.filter(|text| !text.is_empty());
                let roi = text.map(|text| text.parse::<Roi>()).transpose();
                settings.roi = roi.map_err(|e| e.to_string())?;
            }
            "follow" => settings.follow = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
        Ok(())
    }

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

    fn fail(&self, error: &Error) -> gst::FlowError {
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

    /// Loads the model of `settings` in a thread of its own; the streaming thread takes it over between two frames.
    pub(super) fn load_beside(&self, settings: Settings) {
        let request = {
            let mut pending = lock(&self.pending);
            pending.request += 1;
            // Loaded for an earlier request: only the newest counts.
            pending.loaded = None;
            pending.request
        };
        let element = self.obj().downgrade();
        std::thread::spawn(move || {
            let loaded = Model::load(&settings);
            let Some(element) = element.upgrade() else { return };
            let this = element.imp();
            let mut pending = lock(&this.pending);
            if pending.request != request {
                return;
            }
            match loaded {
                Ok(model) => pending.loaded = Some(model),
                Err(e) => {
                    let running = pending.running.clone();
                    drop(pending);
                    this.keep_model(&settings.model, running);
                    gst::element_imp_warning!(
                        this,
                        gst::ResourceError::OpenRead,
                        ("the old model stays: {e}")
                    );
                }
            }
        });
    }

    /// Has the property name the model that runs again, after `refused` could not be used.
    fn keep_model(&self, refused: &Option<PathBuf>, running: Option<PathBuf>) {
        let mut settings = lock(&self.settings);
        // Unless somebody has set a third one in the meantime.
        if settings.model == *refused {
            settings.model = running;
        }
    }

    /// Swaps in a model that was loaded beside the running one, or a new part of the frame.
    fn take_over(
        &self,
        stream: &mut Stream,
        roi: Option<Roi>,
        crop: Option<Rect>,
    ) -> Result<(), gst::FlowError> {
        let loaded = lock(&self.pending).loaded.take();
        if loaded.is_none() && (roi, crop) == (stream.roi, stream.crop) {
            return Ok(());
        }
        let old = (stream.model.clone(), stream.roi);
        let another = loaded.is_some();
        if let Some(model) = loaded {
            if Arc::ptr_eq(&model.bundle, &stream.model.bundle) && (roi, crop) == (stream.roi, stream.crop) {
                // Nothing has changed but perhaps the way to the folder.
                (stream.model.setting, stream.model.version) = (model.setting, model.version);
                lock(&self.pending).runs(&stream.model);
                return Ok(());
            }
            gst::info!(CAT, imp = self, "{} takes over", model.bundle.path().display());
            stream.model = model;
            self.latency.reset();
        }
        if let Err(e) = stream.prepare(roi, crop) {
            let refused = std::mem::replace(&mut stream.model, old.0);
            self.keep_model(&refused.setting, stream.model.setting.clone());
            lock(&self.settings).roi = old.1;
            // What the metadata shows is no wish that could be left aside.
            if crop != stream.crop {
                stream.prepare(old.1, crop).map_err(|_| self.fail(&e))?;
            }
            gst::element_imp_warning!(
                self,
                gst::ResourceError::Settings,
                ("everything stays as it was: {e}")
            );
        } else if another {
            let object = self.obj();
            let message = gst::message::Element::builder(stream.model.message()).src(&*object).build();
            // Without a bus nobody listens.
            let _ = object.post_message(message);
        }
        lock(&self.pending).runs(&stream.model);
        Ok(())
    }

    fn inspect(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        interval: u64,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        stream.timeline.frame(buffer);
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
        FeaturesMeta::attach(buffer, features, fresh).map_err(|e| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("{e}"));
            gst::FlowError::Error
        })?;
        Ok(gst::FlowSuccess::Ok)
    }
}
