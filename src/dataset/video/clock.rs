//! The time of a stream, which goes on where the clock that it was recorded with jumps.

/// Bits that an MPEG clock counts with.
const BITS: u32 = 33;

/// A place where the clock of a recording jumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// When the first frame after it is shown, in ns of the time that goes on.
    pub at: u64,
    /// How far it jumps, in ns.
    pub by: i64,
}

/// Which steps of a clock are jumps, in ns.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// A longer step ahead is one; none: frames may be missing for any time.
    pub ahead: Option<i64>,
    /// A longer step back is one; shorter ones are frames that are decoded before others that are shown earlier.
    pub back: i64,
}

/// Follows the times of a stream in the order of decoding.
#[derive(Debug)]
pub struct Clock {
    steps: Steps,
    /// What was added up to now, so that the time goes on.
    shift: i64,
    /// The latest time before it is shifted.
    latest: Option<i64>,
    /// The last step that was none.
    step: i64,
}

impl Clock {
    /// Before the first time.
    pub fn new(steps: Steps) -> Self {
        Self { steps, shift: 0, latest: None, step: 0 }
    }

    /// Takes in the next time; returns the jump before it. Where the stream was begun `anew`, every step back is one.
    pub fn advance(&mut self, time: i64, anew: bool) -> Option<Jump> {
        let Some(latest) = self.latest else {
            self.latest = Some(time);
            return None;
        };
        let step = time.saturating_sub(latest);
        let back = step < -self.steps.back || anew && step <= 0;
        if back || self.steps.ahead.is_some_and(|most| step > most) {
            let by = step.saturating_sub(self.step);
            self.shift = self.shift.saturating_sub(by);
            self.latest = Some(time);
            return Some(Jump { at: u64::try_from(self.shifted(time)).unwrap_or(0), by });
        }
        if step > 0 {
            (self.step, self.latest) = (step, Some(time));
        }
        None
    }

    /// A time near the last one that was taken in, as it goes on.
    pub fn shifted(&self, time: i64) -> i64 {
        time.saturating_add(self.shift)
    }
}

/// Ticks of an MPEG clock as they go on when it has counted to its end, in ns from the first one.
#[derive(Debug, Default)]
pub struct Ticks {
    /// The first ticks, and the last ones with how many there were since.
    known: Option<(u64, i64)>,
}

impl Ticks {
    /// The time of the next ticks.
    pub fn follow(&mut self, ticks: u64) -> i64 {
        let (last, since) = self.known.unwrap_or((ticks, 0));
        let since = since.saturating_add(difference(last, ticks));
        self.known = Some((ticks, since));
        to_ns(since)
    }
}

/// Ticks from one value of the clock to another near it, which may be smaller.
fn difference(from: u64, to: u64) -> i64 {
    // The upper bits are those that the clock does not have.
    (to.wrapping_sub(from) << (64 - BITS)) as i64 >> (64 - BITS)
}

/// Time from one value of the clock to another near it, in ns.
pub fn between(from: u64, to: u64) -> i64 {
    to_ns(difference(from, to))
}

/// Ticks of 90 kHz in ns.
fn to_ns(ticks: i64) -> i64 {
    (i128::from(ticks) * 100_000 / 9) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const FRAME: i64 = SECOND / 25;

    fn follow(steps: Steps, times: &[i64]) -> (Vec<i64>, Vec<Jump>) {
        let mut clock = Clock::new(steps);
        let mut jumps = Vec::new();
        let shifted = times.iter().map(|&time| {
            jumps.extend(clock.advance(time, false));
            clock.shifted(time)
        });
        (shifted.collect(), jumps)
    }

    #[test]
    fn the_time_goes_on_where_the_clock_jumps() {
        let steps = Steps { ahead: Some(10 * SECOND), back: SECOND / 2 };
        let times = [0, FRAME, 3600 * SECOND, 3600 * SECOND + FRAME, 5 * SECOND, 5 * SECOND + FRAME];
        let (shifted, jumps) = follow(steps, &times);
        assert_eq!(shifted, [0, 1, 2, 3, 4, 5].map(|frame| frame * FRAME));
        let by = [3600 * SECOND - 2 * FRAME, 5 * SECOND - 3600 * SECOND - 2 * FRAME];
        assert_eq!(jumps, [(2, by[0]), (4, by[1])].map(|(at, by)| Jump { at: (at * FRAME) as u64, by }));
    }

    #[test]
    fn missing_frames_and_the_order_of_decoding_are_no_jumps() {
        let steps = Steps { ahead: Some(10 * SECOND), back: SECOND / 2 };
        let times = [0, 3 * FRAME, FRAME, 2 * FRAME, 9 * SECOND, 9 * SECOND + FRAME];
        assert_eq!(follow(steps, &times), (times.to_vec(), Vec::new()));
        let (shifted, jumps) = follow(Steps { ahead: None, ..steps }, &[0, 3600 * SECOND]);
        assert_eq!((shifted[1], jumps.len()), (3600 * SECOND, 0));
    }

    #[test]
    fn what_is_begun_anew_goes_on_however_little_it_goes_back() {
        let mut clock = Clock::new(Steps { ahead: None, back: 10 * SECOND });
        assert_eq!(clock.advance(0, true), None);
        assert_eq!(clock.advance(FRAME, false), None);
        assert_eq!(clock.advance(0, true), Some(Jump { at: 2 * FRAME as u64, by: -2 * FRAME }));
        assert_eq!(clock.shifted(FRAME), 3 * FRAME);
    }

    #[test]
    fn ticks_go_on_when_all_bits_are_used_up() {
        let end = (1 << BITS) - 90_000;
        let mut ticks = Ticks::default();
        assert_eq!(
            [end, end + 45_000, 0, 90_000].map(|value| ticks.follow(value)),
            [0, 500, 1000, 2000].map(|ms| ms * 1_000_000)
        );
        assert_eq!((between(0, end), between(end, 9000)), (-SECOND, SECOND + SECOND / 10));
    }

    #[test]
    fn no_time_is_too_large() {
        let (_, jumps) = follow(Steps { ahead: Some(1), back: 1 }, &[i64::MIN, i64::MAX, i64::MIN, 0]);
        assert_eq!(jumps.len(), 3);
    }
}
