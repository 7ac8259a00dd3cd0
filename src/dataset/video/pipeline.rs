//! The pipeline that decodes a file.

use super::tracks::{Stream, Track, choose};
use super::watch::Watch;
use gst::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Decoded frames that wait at most.
const WAITING: u32 = 4;

/// A file being decoded.
#[derive(Debug)]
pub struct Decoding {
    pub pipeline: gst::Pipeline,
    pub sink: gst_app::AppSink,
    pub watch: Arc<Watch>,
    links: Arc<Mutex<Links>>,
}

/// What the decoder offers, and what was taken.
#[derive(Debug, Default)]
struct Links {
    /// The pads with video.
    offered: Vec<gst::Pad>,
    outcome: Option<Outcome>,
}

/// Which of the video tracks is decoded.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// This one, by the decoder of this name.
    Chosen { track: Track, decoder: Option<String> },
    /// There are so many, but not the one that was wanted, or it cannot be decoded.
    Refused { tracks: usize },
    /// There is none.
    NoVideo,
}

impl Decoding {
    /// Of a file; nothing flows until the pipeline plays.
    pub fn new(uri: &str, track: Option<usize>) -> Result<Self, glib::BoolError> {
        let any_video = gst::Caps::builder("video/x-raw").any_features().build();
        let decoder = gst::ElementFactory::make("uridecodebin")
            .property("uri", uri)
            .property("caps", &any_video)
            .property("expose-all-streams", false)
            .build()?;
        let sink = gst_app::AppSink::builder()
            .caps(&gst::Caps::new_empty_simple("video/x-raw"))
            .sync(false)
            .max_buffers(WAITING)
            .build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([&decoder, sink.upcast_ref()])?;
        let decoding = Self { pipeline, sink, watch: Arc::default(), links: Arc::default() };
        decoding.follow(&decoder);
        decoding.connect(&decoder, track);
        Ok(decoding)
    }

    /// Which of the tracks is decoded; none as long as that is not known.
    pub fn outcome(&self) -> Option<Outcome> {
        locked(&self.links).outcome.clone()
    }

    fn follow(&self, decoder: &gst::Element) {
        if let Some(bin) = decoder.downcast_ref::<gst::Bin>() {
            let watch = self.watch.clone();
            bin.connect_deep_element_added(move |_, _, element| {
                be_patient(element);
                watch.add(element);
            });
        }
        if let Some(bus) = self.pipeline.bus() {
            let watch = self.watch.clone();
            bus.set_sync_handler(move |_, message| filter(message, &watch));
        }
    }

    /// Links one of the decoder's video streams to the sink; the others find nobody who wants them.
    fn connect(&self, decoder: &gst::Element, track: Option<usize>) {
        let links = self.links.clone();
        decoder.connect_pad_added(move |_, pad| {
            let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
            if caps.structure(0).is_some_and(|structure| structure.name() == "video/x-raw") {
                locked(&links).offered.push(pad.clone());
            }
        });
        let links = self.links.clone();
        decoder.connect_pad_removed(move |_, pad| locked(&links).offered.retain(|offered| offered != pad));
        let (links, watch, pipeline) = (self.links.clone(), self.watch.clone(), self.pipeline.downgrade());
        let sink = self.sink.clone();
        // Nothing flows before this has returned.
        decoder.connect_no_more_pads(move |_| {
            let Some(pipeline) = pipeline.upgrade() else { return };
            let mut links = locked(&links);
            let (chosen, outcome) = select(&links.offered, &watch.tracks(), track);
            if let Some(pad) = chosen {
                // Formats that do not fit come back as an error on the bus.
                let _ = link(pad, &pipeline, &sink);
            }
            links.outcome = Some(outcome);
        });
    }
}

fn locked(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pad to be linked, and what is said of it.
fn select<'a>(
    offered: &'a [gst::Pad],
    tracks: &[Stream],
    wanted: Option<usize>,
) -> (Option<&'a gst::Pad>, Outcome) {
    let Some(first) = offered.first() else { return (None, Outcome::NoVideo) };
    // A format without tracks has one.
    let known = !tracks.is_empty();
    let (chosen, of) =
        if known { choose(tracks, wanted) } else { (Some(0).filter(|_| wanted.unwrap_or(1) == 1), 1) };
    let Some(chosen) = chosen else { return (None, Outcome::Refused { tracks: of }) };
    let at = |number: usize| {
        let id = tracks.get(number).map(|track| track.id.as_str());
        offered.iter().find(|pad| pad.stream_id().as_deref() == id)
    };
    let others = || (0..tracks.len()).find_map(|number| Some((number, at(number)?)));
    let found = match (at(chosen), wanted) {
        (Some(pad), _) => Some((chosen, pad)),
        (None, Some(_)) if known => None,
        // The one that is marked has no decoder.
        (None, _) => others().or(Some((0, first))),
    };
    match found {
        Some((number, pad)) => {
            let track = Track { number: number + 1, of };
            (
                Some(pad),
                Outcome::Chosen { track, decoder: decoder_of(pad).map(|decoder| decoder.name().into()) },
            )
        }
        None => (None, Outcome::Refused { tracks: of }),
    }
}

/// The element that makes the frames of a pad.
fn decoder_of(pad: &gst::Pad) -> Option<gst::Element> {
    let mut pad = pad.clone();
    while let Some(target) = pad.downcast_ref::<gst::GhostPad>().and_then(|ghost| ghost.target()) {
        pad = target;
    }
    pad.parent_element()
}

/// Links a pad to the sink, by way of what turns its frames if the container says that they are to be turned.
fn link(
    pad: &gst::Pad,
    pipeline: &gst::Pipeline,
    sink: &gst_app::AppSink,
) -> Result<(), Box<dyn std::error::Error>> {
    let input = sink.static_pad("sink").ok_or("no sink")?;
    if input.is_linked() {
        return Ok(());
    }
    if !is_turned(pad) {
        pad.link(&input)?;
        return Ok(());
    }
    let convert = gst::ElementFactory::make("videoconvert").build()?;
    let turn = gst::ElementFactory::make("videoflip").property_from_str("video-direction", "auto").build()?;
    pipeline.add_many([&convert, &turn])?;
    gst::Element::link_many([&convert, &turn, sink.upcast_ref()])?;
    convert.sync_state_with_parent()?;
    turn.sync_state_with_parent()?;
    pad.link(&convert.static_pad("sink").ok_or("no input")?)?;
    Ok(())
}

/// Whether frames are to be turned or mirrored to be seen as they were recorded. What the container says of it is with the decoder
/// already, and comes to the pad with the first frame.
fn is_turned(pad: &gst::Pad) -> bool {
    let input = decoder_of(pad).and_then(|decoder| decoder.static_pad("sink"));
    input.iter().chain([pad]).any(says_turned)
}

fn says_turned(pad: &gst::Pad) -> bool {
    let mut tags = (0..).map_while(|i| pad.sticky_event::<gst::event::Tag>(i));
    tags.any(|tags| {
        let orientation = tags.tag().get::<gst::tags::ImageOrientation>();
        orientation.is_some_and(|orientation| orientation.get() != "rotate-0")
    })
}

/// Leaves the errors on the bus; what else elements say is looked at here or not at all, so that it does not pile up.
fn filter(message: &gst::Message, watch: &Watch) -> gst::BusSyncReply {
    watch.message(message);
    if message.type_() == gst::MessageType::Error { gst::BusSyncReply::Pass } else { gst::BusSyncReply::Drop }
}

/// Lets a decoder go on after any number of errors: what lies behind a damaged place is worth reading, too.
fn be_patient(element: &gst::Element) {
    if element.has_property_with_type("max-errors", i32::static_type()) {
        element.set_property("max-errors", -1);
    }
}
