use super::super::latency::{Latency, timed};
use super::super::{lock, raw_video_pads};
use super::map::MapSamples;
use super::message::{AnomalyMessage, Messages, Transition};
use crate::meta::{AnomalyMeta, RegionInfo, RetrievalMeta};
use crate::methods::{Anomaly, Decision, IgnoreMask, Retrieval, ScoreOptions, Scorer};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("adscore", gst::DebugColorFlags::empty(), Some("Scores for anomaly detection"))
});

/// Type of the region-of-interest metadata.
const ROI_TYPE: &str = "anomaly";

#[derive(Clone, Debug)]
struct Settings {
    threshold: f64,
    min_area: f64,
    hold: u32,
    ignore_mask: Option<String>,
    messages: Messages,
    attach_map: bool,
    regions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: f64::NAN,
            min_area: 0.0,
            hold: 0,
            ignore_mask: None,
            messages: Messages::Transitions,
            attach_map: true,
            regions: true,
        }
    }
}

/// What the streaming thread owns while frames flow.
#[derive(Default)]
struct Stream {
    scorer: Option<Scorer>,
    samples: MapSamples,
    decision: Decision,
    /// The mask in use and the path that it came from.
    mask: Option<(String, Arc<IgnoreMask>)>,
    segment: gst::FormattedSegment<gst::ClockTime>,
    source: String,
    /// The last result with the retrieval that it belongs to.
    last: Option<(Arc<Retrieval>, AnomalyMeta)>,
}

#[derive(Default)]
pub struct AdScore {
    settings: Mutex<Settings>,
    /// Taken out by the streaming thread while it works.
    stream: Mutex<Option<Stream>>,
    latency: Latency,
}

/// GObject refuses NaN as a default in its constructor, though values may be NaN; so it is put in afterwards.
fn threshold_property(default: f64) -> glib::ParamSpec {
    let property = glib::ParamSpecDouble::builder("threshold")
        .nick("Threshold")
        .blurb("Frames with at least this score are anomalous (NaN = the bundle's threshold)")
        .mutable_playing()
        // NaN is unequal to itself: GObject takes it for a value that it had to correct, and refuses it.
        .lax_validation()
        .build();
    let spec: *mut glib::gobject_ffi::GParamSpecDouble = property.as_ptr().cast();
    // SAFETY: it is a double's specification, and nobody else has seen it yet.
    unsafe { (*spec).default_value = default };
    property
}

/// The element's properties; `addetect` has them too.
pub(in crate::elements) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        threshold_property(default.threshold),
        glib::ParamSpecDouble::builder("min-area")
            .nick("Minimum area")
            .blurb("Regions of fewer pixels of the frame do not count; a frame without a region that counts is not anomalous")
            .minimum(0.0)
            .default_value(default.min_area)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("hold")
            .nick("Hold")
            .blurb("Frames in a row that it takes to change the decision (0 = it changes at once)")
            .default_value(default.hold)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("ignore-mask")
            .nick("Ignore mask")
            .blurb("Image file that covers the frame: where it is black, nothing is inspected")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("messages", default.messages)
            .nick("Messages")
            .blurb("When to post an 'anomaly' message on the bus")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("attach-map")
            .nick("Attach map")
            .blurb("Attach the anomaly map to the result on the frame")
            .default_value(default.attach_map)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("regions")
            .nick("Regions")
            .blurb("Attach every anomalous region as region-of-interest metadata of type 'anomaly' as well")
            .default_value(default.regions)
            .mutable_playing()
            .build(),
    ]
}

#[glib::object_subclass]
impl ObjectSubclass for AdScore {
    const NAME: &'static str = "GstAdScore";
    type Type = super::AdScore;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AdScore {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        let mut settings = lock(&self.settings);
        match pspec.name() {
            "threshold" => settings.threshold = value.get().expect("checked by GObject"),
            "min-area" => settings.min_area = value.get().expect("checked by GObject"),
            "hold" => settings.hold = value.get().expect("checked by GObject"),
            "ignore-mask" => settings.ignore_mask = value.get().expect("checked by GObject"),
            "messages" => settings.messages = value.get().expect("checked by GObject"),
            "attach-map" => settings.attach_map = value.get().expect("checked by GObject"),
            "regions" => settings.regions = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let settings = lock(&self.settings);
        match pspec.name() {
            "threshold" => settings.threshold.to_value(),
            "min-area" => settings.min_area.to_value(),
            "hold" => settings.hold.to_value(),
            "ignore-mask" => settings.ignore_mask.to_value(),
            "messages" => settings.messages.to_value(),
            "attach-map" => settings.attach_map.to_value(),
            "regions" => settings.regions.to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        self.obj().set_property("qos", true);
    }
}

impl GstObjectImpl for AdScore {}

impl ElementImpl for AdScore {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly score",
                "Filter/Analyzer/Video",
                "Puts an anomaly score, a map and regions on every frame, as metadata and bus messages",
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

impl BaseTransformImpl for AdScore {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = false;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = false;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let mut stream = Stream { source: self.obj().name().into(), ..Stream::default() };
        if let Some(path) = settings.ignore_mask.filter(|path| !path.is_empty()) {
            let mask = IgnoreMask::load(Path::new(&path))
                .map_err(|e| gst::error_msg!(gst::ResourceError::OpenRead, ["ignore-mask: {e}"]))?;
            stream.mask = Some((path, Arc::new(mask)));
        }
        self.latency.reset();
        *lock(&self.stream) = Some(stream);
        Ok(())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        *lock(&self.stream) = None;
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut() {
            match event.view() {
                gst::EventView::Segment(segment) => {
                    if let Some(segment) = segment.segment().downcast_ref::<gst::ClockTime>() {
                        stream.segment = segment.clone();
                    }
                }
                gst::EventView::StreamStart(start) => stream.source = start.stream_id().into(),
                gst::EventView::FlushStop(_) => stream.last = None,
                _ => (),
            }
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
        let result = self.score(&mut stream, buffer, &settings);
        *lock(&self.stream) = Some(stream);
        result
    }
}

impl AdScore {
    fn score(
        &self,
        stream: &mut Stream,
        buffer: &mut gst::BufferRef,
        settings: &Settings,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(carried) = RetrievalMeta::get(buffer) else {
            gst::element_imp_error!(
                self,
                gst::StreamError::WrongType,
                [
                    "no retrieval on the frame: adscore needs adretrieve before it (adfeatures model=BUNDLE ! adretrieve ! adscore)"
                ]
            );
            return Err(gst::FlowError::Error);
        };
        let retrieval = &carried.result;
        let known = stream.last.take().filter(|(of, _)| !carried.fresh && Arc::ptr_eq(of, retrieval));
        let mut meta = match known {
            Some((_, meta)) => meta,
            None => {
                self.follow_mask(stream, settings);
                let scored = timed(self, &self.latency, || evaluate(stream, retrieval, settings));
                scored.map_err(|e| {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ["{e}"]);
                    gst::FlowError::Error
                })?
            }
        };
        meta.fresh = carried.fresh;
        self.decide(stream, &mut meta, buffer, settings);
        attach(&meta, buffer, settings.regions).map_err(|e| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ["{e}"]);
            gst::FlowError::Error
        })?;
        stream.last = Some((retrieval.clone(), meta));
        // Nobody further down needs the retrieval: its memory can be used for the next frame.
        RetrievalMeta::remove(buffer);
        Ok(gst::FlowSuccess::Ok)
    }

    /// Loads the mask if the property has changed; an unreadable one leaves the old one in use.
    fn follow_mask(&self, stream: &mut Stream, settings: &Settings) {
        let wanted = settings.ignore_mask.as_deref().filter(|path| !path.is_empty());
        if wanted == stream.mask.as_ref().map(|(path, _)| path.as_str()) {
            return;
        }
        let Some(path) = wanted else {
            stream.mask = None;
            return;
        };
        match IgnoreMask::load(Path::new(path)) {
            Ok(mask) => stream.mask = Some((path.into(), Arc::new(mask))),
            Err(e) => {
                lock(&self.settings).ignore_mask = stream.mask.as_ref().map(|(path, _)| path.clone());
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::OpenRead,
                    ["the old ignore-mask stays: {e}"]
                );
            }
        }
    }

    /// Turns the frame's own decision into the stream's, and tells the application.
    fn decide(
        &self,
        stream: &mut Stream,
        meta: &mut AnomalyMeta,
        buffer: &gst::BufferRef,
        settings: &Settings,
    ) {
        if !meta.fresh {
            meta.anomalous = stream.decision.anomalous();
            return;
        }
        let (anomalous, changed) = stream.decision.update(meta.anomalous, settings.hold);
        meta.anomalous = anomalous;
        let state = match (changed, anomalous) {
            (true, true) => Transition::Enter,
            (true, false) => Transition::Leave,
            (false, _) => Transition::Update,
        };
        let wanted = match settings.messages {
            Messages::None => false,
            Messages::Transitions => changed,
            Messages::All => true,
        };
        if !wanted {
            return;
        }
        gst::log!(CAT, imp = self, "{} at {:?}, score {}", state.name(), buffer.pts(), meta.score);
        let message = AnomalyMessage {
            running_time: buffer.pts().and_then(|pts| stream.segment.to_running_time(pts)),
            stream_time: buffer.pts().and_then(|pts| stream.segment.to_stream_time(pts)),
            pts: buffer.pts(),
            score: meta.score,
            normalized: meta.normalized,
            anomalous,
            state,
            regions: meta.regions.clone(),
            source: stream.source.clone(),
        };
        let object = self.obj();
        // Without a bus nobody listens.
        let _ =
            object.post_message(gst::message::Element::builder(message.to_structure()).src(&*object).build());
    }
}

/// The result for a retrieval that was not scored before; `anomalous` is still the frame's own decision.
fn evaluate(
    stream: &mut Stream,
    retrieval: &Arc<Retrieval>,
    settings: &Settings,
) -> crate::Result<AnomalyMeta> {
    let same = |scorer: &Scorer| Arc::ptr_eq(scorer.bundle(), &retrieval.bundle);
    let mut scorer = match stream.scorer.take().filter(same) {
        Some(scorer) => scorer,
        None => Scorer::new(retrieval.bundle.clone()),
    };
    let options = ScoreOptions {
        threshold: Some(settings.threshold).filter(|threshold| threshold.is_finite()),
        min_area: settings.min_area,
        ignore: stream.mask.as_ref().map(|(_, mask)| mask.clone()),
    };
    let anomaly = scorer.score(retrieval, &options);
    stream.scorer = Some(scorer);
    describe(&anomaly?, &mut stream.samples, settings.attach_map)
}

fn describe(anomaly: &Anomaly, samples: &mut MapSamples, attach_map: bool) -> crate::Result<AnomalyMeta> {
    let manifest = anomaly.bundle.manifest();
    let mut meta = AnomalyMeta {
        score: anomaly.score,
        normalized: anomaly.normalized(),
        threshold: anomaly.range.threshold,
        anomalous: anomaly.anomalous,
        fresh: true,
        model: manifest.name.clone(),
        method: manifest.method.clone(),
        regions: anomaly
            .regions
            .iter()
            .map(|region| RegionInfo {
                x: region.rect.x,
                y: region.rect.y,
                width: region.rect.width,
                height: region.rect.height,
                score: region.score,
                area: region.area,
            })
            .collect(),
        map_min: anomaly.map_range.min,
        map_max: anomaly.map_range.max,
        ..AnomalyMeta::default()
    };
    if attach_map {
        let (sample, place) = samples.make(anomaly).map_err(|e| crate::Error::Frame(e.to_string()))?;
        meta.map = Some(sample);
        meta.map_place = place;
    }
    Ok(meta)
}

fn attach(meta: &AnomalyMeta, buffer: &mut gst::BufferRef, regions: bool) -> Result<(), glib::BoolError> {
    meta.attach(buffer)?;
    if regions {
        for region in &meta.regions {
            let rect = (region.x, region.y, region.width, region.height);
            let mut roi = gst_video::VideoRegionOfInterestMeta::add(buffer, ROI_TYPE, rect);
            roi.add_param(region.to_structure());
        }
    }
    Ok(())
}
