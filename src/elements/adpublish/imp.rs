use super::super::guard::{self, Guard};
use super::super::missing::Missing;
use super::super::timeline::{Cut, Timeline};
use super::super::{lock, raw_video_pads};
use super::events::{Course, Seen, State};
use super::queue::Queue;
use super::record::{Record, iso_time};
use super::report::Report;
use super::settings::{Events, Method, Settings, properties};
use super::status::{Input, Look, Status, Terms};
use super::watch::Watch;
use super::worker::{Job, Worker};
use crate::Error;
use crate::meta::AnomalyMeta;
use gst::subclass::prelude::*;
use gst_base::prelude::*;
use gst_base::subclass::BaseTransformMode;
use gst_base::subclass::prelude::*;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// How long the end of the stream waits for the messages: a disk is expected to take them all, a broker may be away.
const FILE_FLUSH: Duration = Duration::from_secs(30);
const BROKER_FLUSH: Duration = Duration::from_secs(5);

/// What the streaming thread owns while frames flow.
struct Stream {
    queue: Arc<Queue>,
    settings: Settings,
    timeline: Timeline,
    source: String,
    size: (u32, u32),
    frame: u64,
    course: Course,
    /// The last message of an anomaly that is on.
    last: Option<Record>,
    missing: Missing,
    status: Arc<Status>,
}

#[derive(Default)]
pub struct AdPublish {
    settings: Mutex<Settings>,
    stream: Mutex<Option<Stream>>,
    worker: Mutex<Option<Worker>>,
    watch: Mutex<Option<Watch>>,
    /// The queue of this start or the last one: its counts can be read after the end.
    queue: Mutex<Option<Arc<Queue>>>,
    guard: Guard,
}

#[glib::object_subclass]
impl ObjectSubclass for AdPublish {
    const NAME: &'static str = "GstAdPublish";
    type Type = super::AdPublish;
    type ParentType = gst_base::BaseTransform;
}

impl ObjectImpl for AdPublish {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.guard.set(&*self.obj(), pspec, || lock(&self.settings).set(value, pspec));
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        let (published, dropped) = lock(&self.queue).as_ref().map(|queue| queue.counts()).unwrap_or_default();
        match pspec.name() {
            "published" => published.to_value(),
            "dropped" => dropped.to_value(),
            _ => lock(&self.settings).get(pspec),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        // Frames are only looked at: no copy is made of those that others hold, too.
        self.obj().set_passthrough(true);
    }
}

impl GstObjectImpl for AdPublish {}

impl ElementImpl for AdPublish {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Anomaly publisher",
                "Generic/Metadata/Video",
                "Sends the result on every frame as JSON to a file, standard output, MQTT or Kafka; frames pass untouched",
                super::super::AUTHORS,
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(raw_video_pads);
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        // The end of the stream may wait for messages, and the pads can't be stopped before it returns.
        if transition == gst::StateChange::PausedToReady {
            self.interrupt(true);
        }
        self.parent_change_state(transition)
    }
}

impl BaseTransformImpl for AdPublish {
    const MODE: BaseTransformMode = BaseTransformMode::AlwaysInPlace;
    const PASSTHROUGH_ON_SAME_CAPS: bool = true;
    const TRANSFORM_IP_ON_PASSTHROUGH: bool = true;

    fn start(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.start(|| self.begin())
    }

    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.guard.stop();
        if let Some(mut stream) = lock(&self.stream).take() {
            self.end(&mut stream, Cut::Stop);
        }
        if let Some(watch) = lock(&self.watch).take() {
            watch.stop();
        }
        if let Some(worker) = lock(&self.worker).take() {
            match worker.stop() {
                0 => (),
                lost => gst::element_imp_warning!(
                    self,
                    gst::ResourceError::Write,
                    ("{lost} messages could not be delivered before the stop, and are dropped")
                ),
            }
        }
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps, _out: &gst::Caps) -> Result<(), gst::LoggableError> {
        let info = gst_video::VideoInfo::from_caps(caps)?;
        if let Some(stream) = lock(&self.stream).as_mut() {
            stream.size = (info.width(), info.height());
        }
        Ok(())
    }

    fn sink_event(&self, event: gst::Event) -> bool {
        if let Some(stream) = lock(&self.stream).as_mut()
            && let Some(cut) = stream.timeline.event(&event)
        {
            self.end(stream, cut);
            match cut {
                Cut::EndOfStream => stream.status.enters(Input::Ended),
                Cut::Interrupted => stream.status.enters(Input::Interrupted),
                Cut::Seek | Cut::NewStream | Cut::Stop => (),
            }
        }
        match event.view() {
            gst::EventView::StreamStart(start) => {
                if let Some(stream) = lock(&self.stream).as_mut() {
                    stream.source = guard::stream_id(start);
                    stream.status.source(&stream.source);
                }
            }
            gst::EventView::FlushStart(_) => self.interrupt(true),
            gst::EventView::FlushStop(_) => self.interrupt(false),
            gst::EventView::Eos(_) => self.finish(),
            _ => (),
        }
        self.parent_sink_event(event)
    }

    fn transform_ip_passthrough(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        let mut stream = lock(&self.stream);
        let stream = stream.as_mut().ok_or(gst::FlowError::Flushing)?;
        if buffer.size() == 0 {
            return Ok(gst::FlowSuccess::Ok);
        }
        let meta = AnomalyMeta::get(buffer);
        stream.status.frame(meta.as_ref().map(|meta| Look {
            level: meta.level(),
            fresh: meta.fresh,
            score: meta.score,
            skipped: AnomalyMeta::skipped(buffer),
        }));
        match meta {
            Some(meta) => {
                stream.missing.check_places(&*self.obj(), buffer);
                self.tell(stream, buffer, meta);
            }
            None => stream.missing.result(&*self.obj(), buffer, "published: adpublish"),
        }
        stream.frame += 1;
        Ok(gst::FlowSuccess::Ok)
    }
}

impl AdPublish {
    fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let terms = Terms::new(&settings);
        let job = prepare(&settings, &terms).map_err(|e| match e {
            Error::Setting(_) => gst::error_msg!(gst::ResourceError::Settings, ("{e}")),
            _ => gst::error_msg!(gst::ResourceError::OpenWrite, ("{e}")),
        })?;
        let queue = Arc::new(Queue::new(settings.queue_size as usize));
        let source = guard::name_of(&*self.obj());
        let status = Arc::new(Status::new(terms, job.states, queue.clone(), source.clone()));
        let no_thread = |e| gst::error_msg!(gst::ResourceError::Failed, ("no thread can be started: {e}"));
        let watch = Watch::start(status.clone()).map_err(no_thread)?;
        match Worker::start(queue.clone(), job.deliver, Report::new(self.obj().downgrade())) {
            Ok(worker) => *lock(&self.worker) = Some(worker),
            Err(e) => {
                watch.stop();
                return Err(no_thread(e));
            }
        }
        *lock(&self.watch) = Some(watch);
        *lock(&self.queue) = Some(queue.clone());
        *lock(&self.stream) = Some(Stream {
            queue,
            settings,
            timeline: Timeline::default(),
            source,
            size: (0, 0),
            frame: 0,
            course: Course::default(),
            last: None,
            missing: Missing::default(),
            status,
        });
        Ok(())
    }

    /// Sends what is said about a frame, if it is wanted.
    fn tell(&self, stream: &mut Stream, buffer: &gst::BufferRef, meta: AnomalyMeta) {
        let now = glib::real_time();
        let time = match iso_time(now) {
            Ok(time) => time,
            Err(e) => return self.fail(&e),
        };
        let stream_time = stream.timeline.stream_time(buffer).map(gst::ClockTime::nseconds);
        let (state, event) = stream.course.update(Seen {
            time: &time,
            stream_time,
            frame: stream.frame,
            anomalous: meta.anomalous,
            fresh: meta.fresh,
            score: meta.score,
            normalized: meta.normalized,
        });
        let record = Record {
            time,
            camera: stream.settings.camera.clone(),
            source: stream.source.clone(),
            frame: stream.frame,
            running_time: stream.timeline.running_time(buffer).map(gst::ClockTime::nseconds),
            stream_time,
            pts: buffer.pts().map(gst::ClockTime::nseconds),
            width: stream.size.0,
            height: stream.size.1,
            state,
            reason: None,
            anomalous: meta.anomalous,
            level: meta.level(),
            fresh: meta.fresh,
            skipped: AnomalyMeta::skipped(buffer),
            score: meta.score,
            normalized: meta.normalized,
            threshold: meta.threshold,
            warn: meta.warn,
            model: meta.model,
            method: meta.method,
            regions: meta.regions,
            event,
        };
        if stream.settings.events == Events::Frames || matches!(state, State::Enter | State::Leave) {
            self.send(&stream.queue, &record, now);
        }
        stream.last = Some(record).filter(|record| record.anomalous);
        stream.timeline.frame(buffer);
    }

    /// The stream is cut, and an anomaly that is on ends with it.
    fn end(&self, stream: &mut Stream, cut: Cut) {
        let (event, last) = (stream.course.end(), stream.last.take());
        if stream.settings.events != Events::Transitions {
            return;
        }
        if let (Some(event), Some(last)) = (event, last) {
            let now = glib::real_time();
            match iso_time(now) {
                Ok(time) => {
                    let record =
                        Record { time, state: State::End, reason: Some(cut), event: Some(event), ..last };
                    self.send(&stream.queue, &record, now);
                }
                Err(e) => self.fail(&e),
            }
        }
    }

    fn send(&self, queue: &Queue, record: &Record, time: i64) {
        match record.message(time) {
            Ok(message) => queue.push(message),
            Err(e) => self.fail(&e),
        }
    }

    fn fail(&self, error: &dyn std::error::Error) {
        gst::element_imp_warning!(self, gst::StreamError::Encode, ("a message can't be made: {error}"));
    }

    /// At the end of the stream: waits for what is still to be delivered.
    fn finish(&self) {
        let (queue, method) = match lock(&self.stream).as_mut() {
            None => return,
            Some(stream) => (stream.queue.clone(), stream.settings.method),
        };
        let limit = if method == Method::File { FILE_FLUSH } else { BROKER_FLUSH };
        match queue.flush(limit) {
            0 => (),
            left => gst::element_imp_warning!(
                self,
                gst::ResourceError::Write,
                ("the stream has ended, and {left} messages were not delivered within {limit:?}")
            ),
        }
    }

    fn interrupt(&self, interrupted: bool) {
        if let Some(queue) = lock(&self.queue).as_ref() {
            queue.interrupt(interrupted);
        }
    }
}

/// Checks the settings as far as that can be done without a broker.
#[cfg_attr(not(feature = "mqtt"), allow(unused_variables, reason = "MQTT alone has a last will"))]
fn prepare(settings: &Settings, terms: &Terms) -> crate::Result<Job> {
    match settings.method {
        Method::File => super::file::prepare(settings),
        #[cfg(feature = "mqtt")]
        Method::Mqtt => super::mqtt::prepare(settings, terms),
        #[cfg(feature = "kafka")]
        Method::Kafka => super::kafka::prepare(settings),
        #[cfg(not(feature = "mqtt"))]
        Method::Mqtt => Err(not_built("mqtt")),
        #[cfg(not(feature = "kafka"))]
        Method::Kafka => Err(not_built("kafka")),
    }
}

#[cfg(not(all(feature = "mqtt", feature = "kafka")))]
fn not_built(method: &str) -> Error {
    Error::Setting(format!(
        "method={method}: this plugin was not built with it; build it with the cargo feature '{method}'"
    ))
}
