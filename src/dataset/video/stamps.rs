//! Transport streams: the times that the file says instead of those that the demuxer guesses where the clock jumps.

use super::clock::{Clock, Steps, Ticks, between};
use super::watch::{Watch, clock_time};
use gst::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Steps of the clock that are jumps, in ns. Ten seconds is what players go by.
const STEPS: Steps = Steps { ahead: Some(10_000_000_000), back: 500_000_000 };
/// Packets that a demuxer holds back at most.
const MOST_WAITING: usize = 512;

/// Stamps of a packet in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps {
    pts: u64,
    dts: Option<u64>,
}

/// The packets of a stream whose buffer is still to come.
#[derive(Debug, Default)]
pub struct Stamped {
    waiting: VecDeque<Stamps>,
    /// Whether a buffer has come for the last one of them.
    flowing: bool,
}

impl Stamped {
    /// A packet with a time of presentation.
    pub fn presented(&mut self, pts: u64) {
        // Of sound, nobody takes any.
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Stamps { pts, dts: None });
    }

    /// The time of decoding of the same packet, if it is another.
    pub fn decoded(&mut self, dts: u64) {
        self.waiting.back_mut().into_iter().for_each(|stamps| stamps.dts = Some(dts));
    }

    /// The stamps of the buffer that comes now.
    fn next(&mut self) -> Option<Stamps> {
        if self.flowing {
            // Packets before the last one were dropped, with their buffers.
            self.waiting.drain(..self.waiting.len().saturating_sub(1));
        }
        // At the beginning the demuxer holds buffers back until it knows the clock.
        let next = self.waiting.pop_front();
        self.flowing |= self.waiting.is_empty();
        next
    }
}

/// The stream that a pad of the demuxer has: it is called `video_GENERATION_STREAM`, both hexadecimal.
fn stream(pad: &gst::Pad) -> Option<u32> {
    u32::from_str_radix(pad.name().rsplit('_').next()?, 16).ok()
}

/// Gives the buffers of a pad the times that the file says, which go on where its clock jumps.
pub fn follow(watch: &Arc<Watch>, pad: &gst::Pad) {
    let Some(stream) = stream(pad) else { return };
    let (watch, mut ticks, mut clock) = (watch.clone(), Ticks::default(), Clock::new(STEPS));
    let mut first = None;
    let probe = Mutex::new(move |pad: &gst::Pad, buffer: &mut gst::Buffer| {
        // Packets without stamps are between those that have some.
        let Some(stamps) = watch.stamped(stream, Stamped::next) else { return };
        let decoded = stamps.dts.unwrap_or(stamps.pts);
        let first = *first.get_or_insert(buffer.dts_or_pts().map_or(0, |time| time.nseconds() as i64));
        let time = first.saturating_add(ticks.follow(decoded));
        watch.jump(pad, clock.advance(time, false));
        let time = clock.shifted(time);
        let buffer = buffer.make_mut();
        if buffer.dts().is_some() {
            buffer.set_dts(clock_time(time));
        }
        buffer.set_pts(clock_time(time.saturating_add(between(decoded, stamps.pts))));
    });
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer_mut() {
            (probe.lock().unwrap_or_else(PoisonError::into_inner))(pad, buffer);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_have_the_stamps_of_their_packets() {
        let mut stamped = Stamped::default();
        let of = |pts, dts| Some(Stamps { pts, dts });
        assert_eq!(stamped.next(), None);
        let mut stamped = Stamped { flowing: false, ..stamped };
        // Held back until the clock is known.
        for pts in [10, 20, 30] {
            stamped.presented(pts);
            stamped.decoded(pts - 5);
        }
        assert_eq!([stamped.next(), stamped.next()], [of(10, Some(5)), of(20, Some(15))]);
        stamped.presented(40);
        assert_eq!([stamped.next(), stamped.next()], [of(30, Some(25)), of(40, None)]);
        // From here on a packet whose buffer did not come was dropped.
        stamped.presented(50);
        stamped.presented(60);
        assert_eq!([stamped.next(), stamped.next()], [of(60, None), None]);
    }

    #[test]
    fn what_nobody_takes_takes_no_memory() {
        let mut stamped = Stamped::default();
        (0..10_000).for_each(|pts| stamped.presented(pts));
        assert_eq!(stamped.waiting.len(), MOST_WAITING);
    }
}
