//! Matroska: recordings behind each other in one file, and stretches of it that hold nothing.

use super::clock::{Clock, Steps};
use super::watch::{Watch, clock_time};
use gst::prelude::*;
use std::sync::{Arc, Mutex, PoisonError};

/// Steps of the times that are jumps; frames are reordered over less.
const STEPS: Steps = Steps { ahead: None, back: 10_000_000_000 };
/// Bytes of a file between two frames that hold nothing are a tear, if there are so many
const LEAST_TEAR: u64 = 1024;
/// and so many for each buffer between them, around which a container has some of its own.
const OVERHEAD: u64 = 64;

/// A stretch of a file that holds nothing that its demuxer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tear {
    /// When the first frame after it is shown, in ns.
    pub at: u64,
    /// Its length.
    pub bytes: u64,
}

/// How far a demuxer has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Where in the file it was when it asked for more.
    pub offset: u64,
    /// Bytes and buffers of all its streams up to then.
    pub bytes: u64,
    pub buffers: u64,
}

impl Place {
    /// The bytes between a former place and this one that are in no buffer; none if a container may have so many.
    fn torn_since(self, former: Self) -> Option<u64> {
        let unknown = |place: Self| i128::from(place.offset) - i128::from(place.bytes);
        let torn = u64::try_from(unknown(self) - unknown(former)).unwrap_or(0);
        (torn > LEAST_TEAR + OVERHEAD * self.buffers.saturating_sub(former.buffers)).then_some(torn)
    }
}

/// Lets the times of a pad go on where another recording follows, and finds what lies between its frames.
pub fn follow(watch: &Arc<Watch>, pad: &gst::Pad) {
    let (watch, mut clock, mut anew) = (watch.clone(), Clock::new(STEPS), false);
    let mut place = None;
    let probe = Mutex::new(move |pad: &gst::Pad, info: &mut gst::PadProbeInfo<'_>| {
        if let Some(event) = info.event() {
            anew |= event.type_() == gst::EventType::Segment;
        }
        let Some(buffer) = info.buffer_mut() else { return };
        let Some(time) = buffer.pts() else { return };
        let time = time.nseconds() as i64;
        let jump = clock.advance(time, std::mem::take(&mut anew));
        watch.jump(pad, jump);
        let shifted = clock.shifted(time);
        if shifted != time {
            let buffer = buffer.make_mut();
            buffer.set_dts(None);
            buffer.set_pts(clock_time(shifted));
        }
        let here = watch.place();
        // Between two recordings there are the index of one and the header of the other.
        if let (Some(before), None) = (place.replace(here), jump)
            && let Some(bytes) = here.torn_since(before)
        {
            watch.tear(pad, Tear { at: clock_time(shifted).nseconds(), bytes });
        }
    });
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        (probe.lock().unwrap_or_else(PoisonError::into_inner))(pad, info);
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_has_of_its_own_is_no_tear() {
        let place = |offset, bytes, buffers| Place { offset, bytes, buffers };
        let start = place(5000, 0, 0);
        assert_eq!(place(70_000, 64_000, 20).torn_since(start), None);
        assert_eq!(place(70_000, 60_000, 20).torn_since(start), Some(5000));
        assert_eq!(place(70_000, 60_000, 200).torn_since(start), None, "small frames have more around them");
        assert_eq!(place(5000, 9000, 3).torn_since(start), None, "what is unpacked is longer");
        assert_eq!(start.torn_since(place(u64::MAX, 0, 7)), None);
    }
}
