//! Inspects an RTSP camera for as long as it is wanted. When the camera fails, ends its stream or falls silent, the source alone is
//! built anew, after pauses that grow; what inspects and publishes goes on, and says that it was interrupted and when it is back.
//!
//! ```text
//! cargo run --release --example supervise_camera -- --model bottle.bundle rtsp://camera.local/stream
//! cargo run --release --example supervise_camera -- --model bottle.bundle --protocols tcp \
//!     --then 'adpublish method=mqtt address=broker:1883 topic=line-1/anomalies camera=line-1 ! fakesink sync=false' \
//!     rtsp://camera.local/stream
//! ```
//!
//! The elements are linked in: no plugin needs to be installed. Ctrl-C ends it.

use anyhow::{Context, Result, bail};
use clap::Parser;
use gst::prelude::*;
use gstanomaly::elements::INTERRUPTED;
use gstanomaly::elements::adscore::{AnomalyMessage, Transition};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Inspects an RTSP camera and connects it anew whenever it fails.
#[derive(Parser)]
struct Arguments {
    /// Folder of the bundle that adtrain made
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// How the camera sends: tcp, udp, or tcp+udp, which tries udp first
    #[arg(long, default_value = "tcp+udp", value_parser = ["tcp", "udp", "tcp+udp"])]
    protocols: String,
    /// Seconds without a frame after which the camera is connected anew; more than it takes to connect
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    silence: Duration,
    /// The longest pause before another attempt, in seconds; the first is one second, and each the double of the one before
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    longest_pause: Duration,
    /// Folder for stills and data of anomalous frames
    #[arg(long, value_name = "FOLDER")]
    evidence: Option<PathBuf>,
    /// What comes behind addetect, as gst-launch-1.0 takes it
    #[arg(long, default_value = "fakesink sync=false", value_name = "ELEMENTS")]
    then: String,
    /// rtsp://HOST/PATH
    location: String,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the clock.
const TICK: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// How long the program waits at its end for a source to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// Name of the message that the source has ended.
const ENDED: &str = "source-ended";

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|time| !time.is_zero()).ok_or_else(|| "expected seconds, more than 0".into())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    gst::init()?;
    gstanomaly::plugin_register_static()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    ctrlc::set_handler(move || stopped.store(true, Ordering::SeqCst))?;
    let mut supervisor = Supervisor::new(arguments)?;
    let outcome = supervisor.run(&stop);
    supervisor.end()?;
    outcome
}

/// What the source does.
enum Source {
    Runs {
        bin: gst::Bin,
        started: Instant,
    },
    /// Until the next attempt.
    Pauses {
        until: Instant,
    },
}

/// Frames of the source that runs.
#[derive(Default)]
struct Frames {
    /// Whether there is one; a frame of one that was taken away comes too late.
    wanted: bool,
    first: Option<Instant>,
    last: Option<Instant>,
}

struct Supervisor {
    arguments: Arguments,
    pipeline: gst::Pipeline,
    /// Where the source is linked.
    entry: gst::Pad,
    source: Source,
    /// Threads that stop sources which were taken away.
    stopping: Vec<JoinHandle<()>>,
    /// Number of them that was reported.
    stuck: usize,
    frames: Arc<Mutex<Frames>>,
    pause: Duration,
    /// Since when no frames come.
    interrupted: Option<Instant>,
}

impl Supervisor {
    /// Everything but the source, which is never taken apart.
    fn new(arguments: Arguments) -> Result<Self> {
        let description = format!(
            "queue name=entry leaky=downstream max-size-buffers=2 ! videoconvert ! addetect name=detect ! {}",
            arguments.then
        );
        let pipeline = gst::parse::launch(&description).context("--then")?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().ok().context("it is no pipeline")?;
        let detect = pipeline.by_name("detect").context("addetect is in it")?;
        detect.set_property("model", arguments.model.to_str().context("--model: the path is not UTF-8")?);
        if let Some(folder) = &arguments.evidence {
            detect.set_property(
                "evidence-folder",
                folder.to_str().context("--evidence: the path is not UTF-8")?,
            );
        }
        // The camera may not be there yet: nobody is to wait for its first frame.
        for sink in pipeline.iterate_sinks() {
            let sink = sink?;
            if sink.find_property("async").is_some() {
                sink.set_property("async", false);
            }
        }
        let entry = pipeline.by_name("entry").and_then(|entry| entry.static_pad("sink"));
        let entry = entry.context("a queue has a sink pad")?;
        let frames = Arc::new(Mutex::new(Frames::default()));
        watch(&entry, &pipeline, frames.clone());
        let source = Source::Pauses { until: Instant::now() };
        Ok(Self {
            arguments,
            pipeline,
            entry,
            source,
            stopping: Vec::new(),
            stuck: 0,
            frames,
            pause: FIRST_PAUSE,
            interrupted: None,
        })
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let bus = self.pipeline.bus().context("a pipeline has a bus")?;
        // Why it does not start is told on the bus.
        let _ = self.pipeline.set_state(gst::State::Playing);
        while !stop.load(Ordering::SeqCst) {
            if let Some(message) = bus.timed_pop(TICK) {
                self.hear(&message)?;
            }
            self.look()?;
        }
        Ok(())
    }

    fn hear(&mut self, message: &gst::Message) -> Result<()> {
        let from = message.src();
        match message.view() {
            gst::MessageView::Error(error) => {
                let text = format!("{}: {}", from.map(|from| from.name()).unwrap_or_default(), error.error());
                match &self.source {
                    Source::Runs { bin, .. } if from.is_some_and(|from| from.has_as_ancestor(bin)) => {
                        self.interrupt(&text)?
                    }
                    // What inspects has failed, and no other source would help.
                    _ if from.is_some_and(|from| from.has_as_ancestor(&self.pipeline)) => bail!(text),
                    // A source that was taken away had a last word.
                    _ => {}
                }
            }
            gst::MessageView::Warning(warning) => eprintln!("warning: {}", warning.error()),
            gst::MessageView::Application(told) if told.structure().is_some_and(|s| s.name() == ENDED) => {
                self.interrupt("the camera has ended the stream")?;
            }
            gst::MessageView::Element(element) => {
                if let Some(anomaly) = element.structure().and_then(AnomalyMessage::from_structure) {
                    report(&anomaly);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Looks at the clock.
    fn look(&mut self) -> Result<()> {
        match &self.source {
            Source::Pauses { until } if *until <= Instant::now() => self.connect(),
            Source::Pauses { .. } => Ok(()),
            Source::Runs { started, .. } => {
                let started = *started;
                let last = self.frames.lock().expect("no frame panics").last;
                if let (Some(last), Some(since)) = (last, self.interrupted) {
                    println!("back after {:.1} s", last.duration_since(since).as_secs_f64());
                    self.interrupted = None;
                }
                let silent = last.unwrap_or(started).elapsed();
                if silent > self.arguments.silence {
                    self.interrupt(&format!("no frame for {:.1} s", silent.as_secs_f64()))?;
                }
                Ok(())
            }
        }
    }

    /// Builds the source and starts it.
    fn connect(&mut self) -> Result<()> {
        *self.frames.lock().expect("no frame panics") = Frames { wanted: true, ..Frames::default() };
        let bin = source(&self.arguments)?;
        self.pipeline.add(&bin)?;
        bin.static_pad("src").context("the source has a pad")?.link(&self.entry)?;
        self.source = Source::Runs { bin: bin.clone(), started: Instant::now() };
        // Why it does not start is told on the bus.
        let _ = bin.sync_state_with_parent();
        Ok(())
    }

    /// Takes the source away until the next attempt.
    fn interrupt(&mut self, reason: &str) -> Result<()> {
        let pause = Instant::now();
        let Source::Runs { bin, .. } = std::mem::replace(&mut self.source, Source::Pauses { until: pause })
        else {
            return Ok(());
        };
        let Frames { first, last, .. } = std::mem::take(&mut *self.frames.lock().expect("no frame panics"));
        self.take_away(bin)?;
        // A camera that was well for a while is tried again soon.
        if first.zip(last).is_some_and(|(first, last)| last.duration_since(first) >= self.arguments.silence) {
            self.pause = FIRST_PAUSE;
        }
        if last.is_some() {
            // Before it has sent anything there is nothing to be cut.
            self.entry.send_event(gst::event::CustomDownstream::new(gst::Structure::new_empty(INTERRUPTED)));
        }
        self.interrupted.get_or_insert_with(|| last.unwrap_or(pause));
        println!("interrupted: {reason}; trying again in {:.0} s", self.pause.as_secs_f64());
        self.source = Source::Pauses { until: Instant::now() + self.pause };
        self.pause = (2 * self.pause).min(self.arguments.longest_pause);
        Ok(())
    }

    /// Removes a source and stops it on a thread of its own: the rtspsrc of GStreamer 1.22 may never stop if it is told so while it
    /// tries to connect anew by itself.
    fn take_away(&mut self, bin: gst::Bin) -> Result<()> {
        bin.static_pad("src").context("the source has a pad")?.unlink(&self.entry)?;
        self.pipeline.remove(&bin)?;
        self.stopping.retain(|thread| !thread.is_finished());
        if self.stopping.len() > self.stuck {
            self.stuck = self.stopping.len();
            eprintln!("warning: {} of the former sources have not stopped and keep their memory", self.stuck);
        }
        self.stopping.push(std::thread::spawn(move || {
            // A source that has failed has nothing to add.
            let _ = bin.set_state(gst::State::Null);
        }));
        Ok(())
    }

    /// Stops everything; the source first, which the rest need not wait for.
    fn end(&mut self) -> Result<()> {
        let nothing = Source::Pauses { until: Instant::now() };
        if let Source::Runs { bin, .. } = std::mem::replace(&mut self.source, nothing) {
            self.take_away(bin)?;
        }
        self.pipeline.set_state(gst::State::Null)?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline && self.stopping.iter().any(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Notes frames, and keeps the end of the source from what comes behind it.
fn watch(entry: &gst::Pad, pipeline: &gst::Pipeline, frames: Arc<Mutex<Frames>>) {
    entry.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let mut frames = frames.lock().expect("nobody panics with it");
        if !frames.wanted {
            return gst::PadProbeReturn::Drop;
        }
        let now = Instant::now();
        frames.first.get_or_insert(now);
        frames.last = Some(now);
        gst::PadProbeReturn::Ok
    });
    let pipeline = pipeline.downgrade();
    entry.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        if info.event().is_none_or(|event| event.type_() != gst::EventType::Eos) {
            return gst::PadProbeReturn::Ok;
        }
        if let Some(pipeline) = pipeline.upgrade() {
            let message = gst::message::Application::new(gst::Structure::new_empty(ENDED));
            // Without a bus nobody listens.
            let _ = pipeline.post_message(message);
        }
        gst::PadProbeReturn::Drop
    });
}

/// Camera and decoder, with a pad that the pictures come out of.
fn source(arguments: &Arguments) -> Result<gst::Bin> {
    let bin = gst::parse::bin_from_description(
        "rtspsrc name=camera latency=200 ! application/x-rtp,media=video ! decodebin name=decoder",
        false,
    )?;
    // What is behind it plays on, whatever state the decoder waits for.
    bin.set_property("async-handling", true);
    let camera = bin.by_name("camera").context("rtspsrc is in it")?;
    camera.set_property("location", &arguments.location);
    camera.set_property_from_str("protocols", &arguments.protocols);
    let pad = gst::GhostPad::builder(gst::PadDirection::Src).name("src").build();
    pad.set_active(true)?;
    bin.add_pad(&pad)?;
    let decoder = bin.by_name("decoder").context("decodebin is in it")?;
    decoder.connect_pad_added(move |_, decoded| {
        // A second one finds the place taken.
        if pad.target().is_none() {
            let _ = pad.set_target(Some(decoded));
        }
    });
    Ok(bin)
}

fn report(anomaly: &AnomalyMessage) {
    match anomaly.state {
        Transition::Enter => {
            println!("anomaly begins: score {:.2} ({:.3})", anomaly.score, anomaly.normalized)
        }
        Transition::Leave => println!("anomaly ends"),
        Transition::End => {
            println!("anomaly ends with the stream: {}", anomaly.reason.map_or("unknown", |cut| cut.name()))
        }
        Transition::Update | Transition::Level => {}
    }
}
