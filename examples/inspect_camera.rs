//! Inspects a camera or a recording from an application: anomalies from the bus, the result of every frame from its
//! metadata.
//!
//! ```text
//! cargo run --release --example inspect_camera -- --model bottle.bundle v4l2:///dev/video0
//! cargo run --release --example inspect_camera -- --model bottle.bundle rtsp://camera.local/stream
//! cargo run --release --example inspect_camera -- --model bottle.bundle recording.mp4
//! ```
//!
//! The elements are linked in: no plugin needs to be installed. Ctrl-C ends it as the end of a recording does.

use anyhow::{Context, Result, bail};
use clap::Parser;
use gst::prelude::*;
use gstanomaly::elements::Cut;
use gstanomaly::elements::adscore::{AnomalyMessage, Transition};
use gstanomaly::meta::AnomalyMeta;
use gstanomaly::methods::Level;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Inspects a camera or a recording and reports its anomalies.
#[derive(Parser)]
struct Arguments {
    /// Folder of the bundle that adtrain made
    #[arg(long, value_name = "BUNDLE")]
    model: PathBuf,
    /// Raw score from which a frame is anomalous, in the place of the bundle's
    #[arg(long)]
    threshold: Option<f64>,
    /// A file, or a URI: file://, rtsp://, v4l2:///dev/video0
    source: String,
}

/// What was seen of all frames.
#[derive(Clone, Debug, Default)]
struct Summary {
    inspected: u64,
    anomalous: u64,
    warned: u64,
    /// Time and result of the frame with the highest score.
    worst: Option<(Option<gst::ClockTime>, AnomalyMeta)>,
}

impl Summary {
    fn add(&mut self, time: Option<gst::ClockTime>, result: AnomalyMeta) {
        self.inspected += 1;
        self.anomalous += u64::from(result.anomalous);
        self.warned += u64::from(result.level() == Level::Warn);
        if self.worst.as_ref().is_none_or(|(_, worst)| result.normalized > worst.normalized) {
            self.worst = Some((time, result));
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    gst::init()?;
    gstanomaly::plugin_register_static()?;

    let summary = Arc::new(Mutex::new(Summary::default()));
    let pipeline = build(&arguments, summary.clone())?;
    let stopped = pipeline.clone();
    ctrlc::set_handler(move || {
        // From here on it ends like a recording.
        stopped.post_message(gst::message::Eos::builder().src(&stopped).build()).ok();
    })?;
    let outcome = run(&pipeline);
    pipeline.set_state(gst::State::Null)?;
    outcome?;

    let summary = summary.lock().expect("no frame panics").clone();
    println!(
        "{} frames inspected, {} anomalous, {} in warn",
        summary.inspected, summary.anomalous, summary.warned
    );
    if let Some((time, worst)) = summary.worst {
        println!("highest score: {:.2} ({:.3}) at {}", worst.score, worst.normalized, clock(time));
    }
    Ok(())
}

/// Source, decoder, detection, and a sink that throws the picture away.
fn build(arguments: &Arguments, summary: Arc<Mutex<Summary>>) -> Result<gst::Pipeline> {
    let uri = if glib::uri_parse_scheme(&arguments.source).is_some() {
        arguments.source.clone().into()
    } else {
        glib::filename_to_uri(std::path::absolute(&arguments.source)?, None)?
    };
    let source = gst::ElementFactory::make("uridecodebin").property("uri", uri).build()?;
    let convert = gst::ElementFactory::make("videoconvert").build()?;
    let detect = gst::ElementFactory::make("addetect")
        .property("model", arguments.model.to_str().context("--model: the path is not UTF-8")?)
        .property("threshold", arguments.threshold.unwrap_or(f64::NAN))
        .build()?;
    let sink = gst::ElementFactory::make("fakesink").property("sync", false).build()?;

    let pipeline = gst::Pipeline::new();
    pipeline.add_many([&source, &convert, &detect, &sink])?;
    gst::Element::link_many([&convert, &detect, &sink])?;

    let video = convert.static_pad("sink").context("videoconvert has a sink pad")?;
    source.connect_pad_added(move |_, pad| {
        // The first video stream is inspected; sound and others are left alone.
        let is_video = pad.current_caps().is_some_and(|caps| {
            caps.structure(0).is_some_and(|structure| structure.name().starts_with("video/"))
        });
        if is_video && !video.is_linked() {
            // An impossible link stops the source with an error on the bus.
            pad.link(&video).ok();
        }
    });

    let results = sink.static_pad("sink").context("fakesink has a sink pad")?;
    results.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        // Late frames of a live camera pass uninspected.
        if let Some(buffer) = info.buffer()
            && let Some(result) = AnomalyMeta::get(buffer)
        {
            summary.lock().expect("no frame panics").add(buffer.pts(), result);
        }
        gst::PadProbeReturn::Ok
    });
    Ok(pipeline)
}

/// Plays to the end and prints the anomalies.
fn run(pipeline: &gst::Pipeline) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    // Why it does not start is told on the bus.
    let _ = pipeline.set_state(gst::State::Playing);
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => {
                let source = error.src().map(|source| source.name()).unwrap_or_default();
                bail!("{source}: {}", explain(&error.error(), error.debug()));
            }
            gst::MessageView::Warning(warning) => {
                eprintln!("warning: {}", explain(&warning.error(), warning.debug()));
            }
            gst::MessageView::Element(element) => {
                if let Some(anomaly) = element.structure().and_then(AnomalyMessage::from_structure) {
                    report(&anomaly);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first line of the details is a place in the element's source code; what follows it, if anything, may say more.
fn explain(error: &glib::Error, details: Option<glib::GString>) -> String {
    let details = details.unwrap_or_default();
    std::iter::once(error.to_string().as_str()).chain(details.lines().skip(1)).collect::<Vec<_>>().join(" ")
}

fn report(anomaly: &AnomalyMessage) {
    let time = clock(anomaly.stream_time);
    match anomaly.state {
        Transition::Enter => {
            print!("{time} anomaly begins: score {:.2} ({:.3})", anomaly.score, anomaly.normalized);
            for region in &anomaly.regions {
                print!(", {}x{} at {},{}", region.width, region.height, region.x, region.y);
            }
            println!();
        }
        Transition::Leave => println!("{time} anomaly ends"),
        Transition::End => {
            let reason = anomaly.reason.map_or("unknown", Cut::name);
            println!("{time} anomaly ends with the stream: {reason}");
        }
        Transition::Update | Transition::Level => {}
    }
}

/// Hours to milliseconds.
fn clock(time: Option<gst::ClockTime>) -> String {
    time.map_or_else(|| "unknown time".into(), |time| format!("{time:.3}"))
}
