use super::super::guard::{self, Guard};
use super::super::latency::{Latency, timed};
use super::super::timeline::{Cut, Timeline};
use super::super::{crop, lock, raw_video_pads};
use super::evidence::{self, Evidence};
use super::map::MapSamples;
use super::message::{AnomalyMessage, Messages, Transition};
use super::scored::Scored;
use super::settings::{self, Settings};
use crate::meta::{AnomalyMeta, RetrievalMeta};
use crate::methods::{Decision, IgnoreMask, Level, Retrieval, ScoreOptions, Scorer};
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("adscore", gst::DebugColorFlags::empty(), Some("Scores for anomaly detection"))
});

/// What the streaming thread owns while frames flow.
#[derive(Default)]
struct Stream {
    scorer: Option<Scorer>,
    samples: MapSamples,
    decision: Decision,
    /// Of the last frame that was scored.
    level: Level,
    /// The mask in use and the path that it came from.
    mask: Option<(PathBuf, Arc<IgnoreMask>)>,
    timeline: Timeline,
    /// Of the last frame of the anomaly that is on.
    current: Option<AnomalyMessage>,
    source: String,
    /// The last result with the retrieval that it belongs to.
    last: Option<(Arc<Retrieval>, Scored)>,
    /// Where the user wants some.
    evidence: Option<Evidence>,
}

#[derive(Default)]
pub struct AdScore {
    settings: Mutex<Settings>,
    evidence: Mutex<evidence::Settings>,
    counters: Arc<evidence::Counters>,
    /// Taken out by the streaming thread while it works.
    stream: Mutex<Option<Stream>>,
    guard: Guard,
    latency: Latency,
}

#[glib::object_subclass]
impl ObjectSubclass for AdScore {
    const NAME: &'static str = "GstAdScore";
    type Type = super::AdScore;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AdScore {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.guard.set(&*self.obj(), pspec, || {
            match pspec.name() {
                name if name.starts_with(evidence::PROPERTIES) => lock(&self.evidence).set(name, value),
                name => lock(&self.settings).set(name, value),
            }
            Ok(())
        });
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            name if name.starts_with(evidence::PROPERTIES) => lock(&self.evidence).get(name, &self.counters),
            name => lock(&self.settings).get(name),
        }
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
        self.guard.start(|| self.begin())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.stop();
        if let Some(mut stream) = lock(&self.stream).take() {
            self.cut(&mut stream, Cut::Stop);
            if let Some(evidence) = stream.evidence {
                evidence.stop();
            }
        }
        Ok(())
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

    fn sink_event(&self, event: gst::Event) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut() {
            if let Some(cut) = stream.timeline.event(&event) {
                self.cut(stream, cut);
            }
            match event.view() {
                gst::EventView::StreamStart(start) => stream.source = guard::stream_id(start),
                gst::EventView::Caps(caps) => {
                    if let Some(evidence) = &mut stream.evidence {
                        evidence.info = gst_video::VideoInfo::from_caps(caps.caps()).ok();
                    }
                }
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
    fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let mut stream = Stream { source: guard::name_of(&*self.obj()), ..Stream::default() };
        if let Some(path) = settings.ignore_mask.filter(|path| !path.as_os_str().is_empty()) {
            let mask = IgnoreMask::load(&path)
                .map_err(|e| gst::error_msg!(gst::ResourceError::OpenRead, ("ignore-mask: {e}")))?;
            stream.mask = Some((path, Arc::new(mask)));
        }
        let evidence = lock(&self.evidence).clone();
        stream.evidence = Evidence::start(&self.obj(), &evidence, &self.counters)
            .map_err(|e| gst::error_msg!(gst::ResourceError::OpenWrite, ("evidence-folder: {e}")))?;
        self.latency.reset();
        *lock(&self.stream) = Some(stream);
        Ok(())
    }

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
                ("no retrieval on the frame: adscore needs adretrieve before it (adfeatures model=BUNDLE ! adretrieve ! adscore)")
            );
            return Err(gst::FlowError::Error);
        };
        let retrieval = &carried.result;
        let known = stream.last.take().filter(|(of, _)| !carried.fresh && Arc::ptr_eq(of, retrieval));
        let mut scored = match known {
            Some((_, scored)) => scored,
            None => {
                self.follow_mask(stream, settings);
                let scored = timed(self, &self.latency, || evaluate(stream, retrieval, settings));
                scored.map_err(|e| {
                    gst::element_imp_error!(self, gst::StreamError::Failed, ("{e}"));
                    gst::FlowError::Error
                })?
            }
        };
        scored.meta.fresh = carried.fresh;
        self.decide(stream, &mut scored.meta, buffer, settings);
        scored.attach(buffer, settings.regions).map_err(|e| {
            gst::element_imp_error!(self, gst::CoreError::Failed, ("{e}"));
            gst::FlowError::Error
        })?;
        if carried.skipped > 0 {
            AnomalyMeta::set_skipped(buffer, carried.skipped);
        }
        // Nobody further down needs the retrieval: its memory can be used for the next frame.
        RetrievalMeta::remove(buffer);
        if let Some(evidence) = &mut stream.evidence {
            let range = retrieval.bundle.manifest().input.range;
            evidence.observe(buffer, &scored.meta, range, &stream.timeline, &stream.source);
        }
        stream.timeline.frame(buffer);
        stream.last = Some((retrieval.clone(), scored));
        Ok(gst::FlowSuccess::Ok)
    }

    /// Loads the mask if the property has changed; an unreadable one leaves the old one in use.
    fn follow_mask(&self, stream: &mut Stream, settings: &Settings) {
        let wanted = settings.ignore_mask.as_deref().filter(|path| !path.as_os_str().is_empty());
        if wanted == stream.mask.as_ref().map(|(path, _)| path.as_path()) {
            return;
        }
        let Some(path) = wanted else {
            stream.mask = None;
            return;
        };
        match IgnoreMask::load(path) {
            Ok(mask) => stream.mask = Some((path.into(), Arc::new(mask))),
            Err(e) => {
                lock(&self.settings).ignore_mask = stream.mask.as_ref().map(|(path, _)| path.clone());
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::OpenRead,
                    ("the old ignore-mask stays: {e}")
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
        if !anomalous {
            // A disturbance that is too short to count is not to be drawn or acted upon either.
            meta.regions.clear();
        }
        let level = meta.level();
        let another = std::mem::replace(&mut stream.level, level) != level;
        let state = match (changed, anomalous) {
            (true, true) => Transition::Enter,
            (true, false) => Transition::Leave,
            // Who asks for every frame knows that state as what tells of no change in the decision.
            (false, _) if another && settings.messages == Messages::Levels => Transition::Level,
            (false, _) => Transition::Update,
        };
        let wanted = match settings.messages {
            Messages::None => false,
            Messages::Transitions => changed,
            Messages::All => true,
            Messages::Levels => changed || another,
        };
        stream.current = None;
        if !wanted && !anomalous {
            return;
        }
        let message = AnomalyMessage {
            running_time: stream.timeline.running_time(buffer),
            stream_time: stream.timeline.stream_time(buffer),
            pts: buffer.pts(),
            score: meta.score,
            normalized: meta.normalized,
            threshold: meta.threshold,
            warn: meta.warn,
            anomalous,
            state,
            reason: None,
            regions: meta.regions.clone(),
            source: stream.source.clone(),
        };
        if wanted {
            self.post(&message);
        }
        stream.current = Some(message).filter(|_| anomalous && settings.messages != Messages::None);
    }

    /// Ends what is on: the frames to come have nothing to do with those before.
    fn cut(&self, stream: &mut Stream, cut: Cut) {
        (stream.last, stream.level) = (None, Level::default());
        stream.decision = Decision::default();
        stream.evidence.iter_mut().for_each(Evidence::end);
        if let Some(last) = stream.current.take() {
            self.post(&AnomalyMessage { state: Transition::End, reason: Some(cut), ..last });
        }
    }

    fn post(&self, message: &AnomalyMessage) {
        gst::log!(CAT, imp = self, "{} at {:?}, score {}", message.state.name(), message.pts, message.score);
        let object = self.obj();
        // Without a bus nobody listens.
        let _ =
            object.post_message(gst::message::Element::builder(message.to_structure()).src(&*object).build());
    }
}

/// The result for a retrieval that was not scored before; `anomalous` is still the frame's own decision.
fn evaluate(stream: &mut Stream, retrieval: &Arc<Retrieval>, settings: &Settings) -> crate::Result<Scored> {
    let same = |scorer: &Scorer| Arc::ptr_eq(scorer.bundle(), &retrieval.bundle);
    let mut scorer = match stream.scorer.take().filter(same) {
        Some(scorer) => scorer,
        None => Scorer::new(retrieval.bundle.clone()),
    };
    let options = ScoreOptions {
        threshold: Some(settings.threshold).filter(|threshold| threshold.is_finite()),
        warn: Some(settings.warn).filter(|warn| warn.is_finite()),
        min_area: settings.min_area,
        ignore: stream.mask.as_ref().map(|(_, mask)| mask.clone()),
    };
    let anomaly = scorer.score(retrieval, &options);
    stream.scorer = Some(scorer);
    Scored::new(anomaly?, &mut stream.samples, settings.attach_map)
}
