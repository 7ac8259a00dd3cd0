//! What passes between a file and its decoder: which streams there are, and what is wrong with them.

use super::clock::Jump;
use super::matroska::{self, Place, Tear};
use super::packets::Packets;
use super::stamps::{self, Stamped};
use super::tracks::{Kind, Stream};
use super::unread::Reading;
use gst::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Containers whose outermost parts say where they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// MP4 and its relatives.
    Boxes,
    /// AVI.
    Riff,
}

/// What the elements of a pipeline let through.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Whether the container has no beginning of its own, so that times count from the first frame.
    from_first_frame: bool,
    /// The streams of the file, in its order.
    streams: Vec<Stream>,
    /// The packets of each stream of a transport stream that are on their way.
    stamps: HashMap<u32, Stamped>,
    /// By the name of the stream.
    jumps: HashMap<String, Vec<Jump>>,
    tears: HashMap<String, Vec<Tear>>,
    /// Where the demuxer is, and all that it has handed out.
    place: Place,
    bytes: u64,
    buffers: u64,
    /// Buffers of each stream.
    parts: HashMap<String, u64>,
    reading: Reading,
    /// The packets, where it is a transport stream.
    packets: Option<Packets>,
    container: Option<Container>,
    /// Whether all of the file is read before its end, whatever streams are taken.
    read_whole: bool,
    /// Where streams that are no video end, in ns.
    sound: u64,
    /// Frames that were given to each decoder, by the name of its element.
    encoded: HashMap<String, u64>,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether times count from the first frame.
    pub fn counts_from_first_frame(&self) -> bool {
        self.seen().from_first_frame
    }

    /// The video tracks of the file, in its order; none where its format has no tracks.
    pub fn tracks(&self) -> Vec<Stream> {
        self.seen().streams.iter().filter(|stream| stream.kind != Kind::Other).cloned().collect()
    }

    /// Whether the file has streams of any kind.
    pub fn has_streams(&self) -> bool {
        !self.seen().streams.is_empty()
    }

    /// Whether a stream has image files and others have no video: it may be a cover.
    pub fn may_be_a_cover(&self, id: &str) -> bool {
        let seen = self.seen();
        let images = seen.streams.iter().any(|stream| stream.id == id && stream.kind == Kind::Images);
        images && seen.streams.iter().any(|stream| stream.kind == Kind::Other)
    }

    /// Where the clock of a stream jumps.
    pub fn jumps(&self, stream: &str) -> Vec<Jump> {
        self.seen().jumps.get(stream).cloned().unwrap_or_default()
    }

    /// Where the file holds nothing, between frames of a stream.
    pub fn tears(&self, stream: &str) -> Vec<Tear> {
        self.seen().tears.get(stream).cloned().unwrap_or_default()
    }

    /// Frames that were given to a decoder; none if that cannot be said.
    pub fn encoded(&self, decoder: &str) -> Option<u64> {
        self.seen().encoded.get(decoder).copied()
    }

    /// Buffers of a stream that the demuxer has handed out.
    pub fn parts(&self, stream: &str) -> u64 {
        self.seen().parts.get(stream).copied().unwrap_or(0)
    }

    /// The bytes at the end of a file that were not read, and its size, if that matters: where decoding has `failed`, or the demuxer
    /// does not leave out what nobody takes.
    pub fn unread(&self, path: &Path, size: u64, failed: bool) -> Option<(u64, u64)> {
        let seen = self.seen();
        if failed || seen.read_whole { seen.reading.tail(path, size) } else { None }
    }

    /// Whether a transport stream of this size ends within a packet.
    pub fn is_cut(&self, size: u64) -> bool {
        self.seen().packets.as_ref().is_some_and(|packets| packets.is_cut(size))
    }

    /// Places where packets of a stream are missing, and bytes of a transport stream that are no packets.
    pub fn lost_packets(&self, stream: &str) -> (u64, u64) {
        let seen = self.seen();
        // The identifier ends with the number of the stream, hexadecimal.
        let stream = stream.rsplit(['/', ':']).next().and_then(|id| u32::from_str_radix(id, 16).ok());
        let packets = seen.packets.as_ref().zip(stream);
        packets.map_or((0, 0), |(packets, stream)| (packets.torn(stream), packets.strange()))
    }

    /// The programs of a transport stream.
    pub fn programs(&self) -> usize {
        self.seen().packets.as_ref().map_or(0, Packets::programs)
    }

    /// The kind of container, where its outermost parts are looked at.
    pub fn container(&self) -> Option<Container> {
        self.seen().container
    }

    /// Where the streams that are no video end, in ns of their own time.
    pub fn sound(&self) -> u64 {
        self.seen().sound
    }

    /// Where in the file the demuxer is.
    pub fn place(&self) -> Place {
        self.seen().place
    }

    /// Does something with the packets of a stream of a transport stream.
    pub fn stamped<T>(&self, stream: u32, with: impl FnOnce(&mut Stamped) -> Option<T>) -> Option<T> {
        self.seen().stamps.get_mut(&stream).and_then(with)
    }

    /// The clock of a pad's stream jumps here, if it does.
    pub fn jump(&self, pad: &gst::Pad, jump: Option<Jump>) {
        if let (Some(jump), Some(stream)) = (jump, pad.stream_id()) {
            self.seen().jumps.entry(stream.into()).or_default().push(jump);
        }
    }

    /// Before the buffer that a pad has now the file holds nothing.
    pub fn tear(&self, pad: &gst::Pad, tear: Tear) {
        if let Some(stream) = pad.stream_id() {
            self.seen().tears.entry(stream.into()).or_default().push(tear);
        }
    }

    /// Looks at what an element of the pipeline does, if that matters.
    pub fn add(self: &Arc<Self>, element: &gst::Element) {
        let Some(factory) = element.factory() else { return };
        if factory.has_type(gst::ElementFactoryType::DEMUXER) {
            self.list_streams(element);
        }
        if factory.has_type(gst::ElementFactoryType::DECODER) {
            self.count_frames(element);
        }
        match factory.name().as_str() {
            "filesrc" => self.follow_reading(element),
            "matroskademux" => {
                self.seen().read_whole = true;
                self.each_pad(element, |watch, pad| {
                    if is_video(pad) {
                        matroska::follow(watch, pad);
                    }
                });
            }
            "qtdemux" => self.seen().container = Some(Container::Boxes),
            "avidemux" => self.seen().container = Some(Container::Riff),
            "mpegpsdemux" => self.seen().from_first_frame = true,
            "tsdemux" => {
                let mut seen = self.seen();
                (seen.from_first_frame, seen.packets) = (true, Some(Packets::default()));
                drop(seen);
                // Its times are guesses where the clock jumps; with this it tells what the file says.
                if element.has_property_with_type("emit-stats", bool::static_type()) {
                    element.set_property("emit-stats", true);
                    self.each_pad(element, |watch, pad| {
                        if is_video(pad) {
                            stamps::follow(watch, pad);
                        }
                    });
                }
            }
            _ => (),
        }
    }

    fn each_pad(self: &Arc<Self>, demuxer: &gst::Element, follow: fn(&Arc<Self>, &gst::Pad)) {
        let watch = self.clone();
        demuxer.connect_pad_added(move |_, pad| follow(&watch, pad));
    }

    fn list_streams(self: &Arc<Self>, demuxer: &gst::Element) {
        self.each_pad(demuxer, |watch, pad| {
            if let Some(stream) = stream(pad) {
                let streams = &mut watch.seen().streams;
                // The table of programs may be told anew.
                streams.retain(|known| known.id != stream.id);
                streams.push(stream);
            }
            watch.count(pad);
        });
        let watch = self.clone();
        demuxer.connect_pad_removed(move |_, pad| {
            let gone = pad.stream_id();
            watch.seen().streams.retain(|stream| Some(stream.id.as_str()) != gone.as_deref());
        });
    }

    /// Notes where in the file the demuxer asks for more.
    fn follow_reading(self: &Arc<Self>, source: &gst::Element) {
        let (Some(pad), watch) = (source.static_pad("src"), self.clone()) else { return };
        pad.add_probe(gst::PadProbeType::PULL | gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer()
                && buffer.offset() != u64::MAX
            {
                let mut seen = watch.seen();
                seen.place = Place { offset: buffer.offset(), bytes: seen.bytes, buffers: seen.buffers };
                seen.reading.ask(buffer.offset(), buffer.size() as u64);
                if let (Some(packets), Ok(bytes)) = (&mut seen.packets, buffer.map_readable()) {
                    packets.read(buffer.offset(), &bytes);
                }
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Counts what a demuxer hands out, whether somebody takes it or not.
    fn count(self: &Arc<Self>, pad: &gst::Pad) {
        let (watch, name) = (self.clone(), String::from(pad.stream_id().unwrap_or_default()));
        self.seen().parts.entry(name.clone()).or_default();
        let sound = !is_video(pad);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer() {
                let end = if sound { end_of(pad, buffer) } else { None };
                let mut seen = watch.seen();
                seen.sound = seen.sound.max(end.map_or(0, gst::ClockTime::nseconds));
                seen.bytes += buffer.size() as u64;
                seen.buffers += 1;
                seen.reading.frame();
                seen.parts.get_mut(&name).into_iter().for_each(|parts| *parts += 1);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Counts the frames that a decoder is given to show.
    fn count_frames(self: &Arc<Self>, decoder: &gst::Element) {
        let (Some(pad), name, watch) = (decoder.static_pad("sink"), decoder.name(), self.clone()) else {
            return;
        };
        let name = String::from(name);
        self.seen().encoded.insert(name.clone(), 0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let Some(buffer) = info.buffer()
                && is_shown(pad, buffer)
            {
                watch.seen().encoded.get_mut(&name).into_iter().for_each(|frames| *frames += 1);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// A message of an element, on the thread that it streams on.
    pub fn message(&self, message: &gst::Message) {
        let Some(structure) = message.structure().filter(|structure| structure.name() == "tsdemux") else {
            return;
        };
        let Ok(stream) = structure.get::<u32>("pid") else { return };
        let mut seen = self.seen();
        if let Ok(pts) = structure.get::<u64>("pts") {
            seen.stamps.entry(stream).or_default().presented(pts);
        } else if let Ok(dts) = structure.get::<u64>("dts") {
            seen.stamps.entry(stream).or_default().decoded(dts);
        }
    }
}

/// What a pad of a demuxer has.
fn stream(pad: &gst::Pad) -> Option<Stream> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let kind = Kind::of(caps.structure(0)?.name());
    let start = pad.sticky_event::<gst::event::StreamStart>(0);
    let default = start.is_some_and(|start| start.stream_flags().contains(gst::StreamFlags::SELECT));
    Some(Stream { id: pad.stream_id()?.into(), kind, default })
}

fn is_video(pad: &gst::Pad) -> bool {
    stream(pad).is_some_and(|stream| stream.kind != Kind::Other)
}

/// Whether a decoder makes a frame of a buffer that is to be seen: some are there only for others to refer to, as are those that lie
/// outside of the segment.
fn is_shown(pad: &gst::Pad, buffer: &gst::Buffer) -> bool {
    let kept = gst::BufferFlags::DECODE_ONLY | gst::BufferFlags::GAP;
    if buffer.flags().intersects(kept) || buffer.size() == 0 || is_hidden(pad, buffer) {
        return false;
    }
    let Some(from) = buffer.pts() else { return true };
    let to = from.saturating_add(buffer.duration().unwrap_or_default());
    segment(pad).is_none_or(|segment| segment.clip(from, to).is_some())
}

fn segment(pad: &gst::Pad) -> Option<gst::FormattedSegment<gst::ClockTime>> {
    pad.sticky_event::<gst::event::Segment>(0)?.segment().downcast_ref().cloned()
}

/// When a buffer ends in the time of the file.
fn end_of(pad: &gst::Pad, buffer: &gst::Buffer) -> Option<gst::ClockTime> {
    segment(pad)?.to_stream_time(buffer.pts()?.saturating_add(buffer.duration().unwrap_or_default()))
}

/// Whether a buffer says by its first bits that it is no frame to be shown.
fn is_hidden(pad: &gst::Pad, buffer: &gst::Buffer) -> bool {
    let caps = pad.current_caps();
    let media = caps.as_ref().and_then(|caps| Some(caps.structure(0)?.name().as_str()));
    let mut first = [0];
    let mut is_set = |bits: u8| buffer.copy_to_slice(0, &mut first).is_ok() && first[0] & bits != 0;
    match media {
        Some("video/x-vp8") => !is_set(0x10),
        // A header.
        Some("video/x-theora") => is_set(0x80),
        _ => false,
    }
}

/// A time that is not below zero.
pub fn clock_time(ns: i64) -> gst::ClockTime {
    gst::ClockTime::from_nseconds(u64::try_from(ns).unwrap_or(0))
}
