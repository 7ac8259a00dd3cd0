//! The rhythm in which the frames of a recording follow each other, and where it is broken.

/// Buckets of intervals for each doubling of their length.
const PER_OCTAVE: u32 = 8;
/// Intervals up to this many ns are in the first bucket.
const SHORTEST: u64 = 1 << 10;
const BUCKETS: usize = (54 * PER_OCTAVE) as usize;
/// One interval in so many may be a gap.
const ONE_IN: u64 = 10;
/// A gap is so many times as long as the long intervals of the recording,
const TIMES: u64 = 3;
/// and longer than they are by so many ns.
const LONGER: u64 = 500_000_000;
/// Intervals that are kept until the rhythm is known; more are looked through.
const MOST: usize = 4096;

/// Times of a recording between which it has no frames, in ns.
pub type Gap = (u64, u64);

/// The intervals between the frames of a recording.
#[derive(Debug)]
pub struct Rhythm {
    /// How many there are of about the same length, and how long they are together in ns.
    buckets: Vec<(u64, u64)>,
    count: u64,
    last: Option<u64>,
    /// Those that may be gaps.
    long: Vec<Gap>,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { buckets: vec![(0, 0); BUCKETS], count: 0, last: None, long: Vec::new() }
    }
}

impl Rhythm {
    /// Takes in the time of the next frame.
    pub fn add(&mut self, time: u64) {
        let Some(before) = self.last.replace(time) else { return };
        let interval = time.saturating_sub(before);
        let (count, length) = &mut self.buckets[bucket(interval)];
        (*count, *length) = (*count + 1, length.saturating_add(interval));
        self.count += 1;
        if interval > LONGER {
            self.long.push((before, time));
            if self.long.len() >= MOST {
                self.forget();
            }
        }
    }

    /// The interval that half of them do not exceed, in ns; 0 if there is none.
    pub fn usual(&self) -> u64 {
        self.quantile(self.count.div_ceil(2))
    }

    /// Where it is broken: intervals much longer than those that are usual for this recording, be they long or short, even or not.
    pub fn gaps(&self) -> Vec<Gap> {
        let (limit, usual) = (self.limit(), self.usual());
        let gaps = self.long.iter().filter(|(from, to)| to - from > limit);
        gaps.map(|(from, to)| (from.saturating_add(usual).min(*to), *to)).collect()
    }

    /// The longest interval that is none. A recording may have long ones all along; where they are few they are gaps.
    fn limit(&self) -> u64 {
        let most = (self.count - self.count.div_ceil(ONE_IN)).max(self.count.min(1));
        let long = self.quantile(most);
        long.saturating_mul(TIMES).max(long.saturating_add(LONGER))
    }

    /// The interval of this rank, counted from 1: the mean of those of about its length.
    fn quantile(&self, rank: u64) -> u64 {
        let mut seen = 0;
        let found = self.buckets.iter().find(|(count, _)| {
            seen += count;
            seen >= rank.max(1)
        });
        found.map_or(0, |(count, length)| length / count.max(&1))
    }

    /// Drops what is no gap so far, and else every other one that is kept.
    fn forget(&mut self) {
        let limit = self.limit();
        self.long.retain(|(from, to)| to - from > limit);
        if self.long.len() >= MOST / 2 {
            self.long.sort_unstable_by_key(|(from, to)| std::cmp::Reverse(to - from));
            self.long.truncate(MOST / 2);
            self.long.sort_unstable();
        }
    }
}

fn bucket(interval: u64) -> usize {
    let octaves = (interval.max(SHORTEST) as f64 / SHORTEST as f64).log2();
    ((octaves * f64::from(PER_OCTAVE)).ceil() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Of frames with these intervals in ms.
    fn rhythm(intervals: impl IntoIterator<Item = u64>) -> Rhythm {
        let mut rhythm = Rhythm::default();
        let mut time = 0;
        rhythm.add(time);
        for interval in intervals {
            time += interval * MS;
            rhythm.add(time);
        }
        rhythm
    }

    #[test]
    fn a_gap_breaks_the_rhythm() {
        let even = |count| std::iter::repeat_n(40, count);
        let found = rhythm(even(50).chain([3000]).chain(even(50)));
        assert_eq!((found.usual(), found.gaps()), (40 * MS, vec![(2040 * MS, 5000 * MS)]));
        // What takes a moment is none, and neither is one interval alone.
        assert!(rhythm(even(50).chain([500]).chain(even(50))).gaps().is_empty());
        assert!(rhythm([3000]).gaps().is_empty() && rhythm([]).gaps().is_empty());
        assert_eq!(rhythm([40, 40, 3000, 40]).gaps(), [(120 * MS, 3080 * MS)]);
        // At two frames a second a frame or two may be missing.
        assert_eq!(
            rhythm(std::iter::repeat_n(500, 20).chain([1400, 2000])).gaps(),
            [(11_900 * MS, 13_400 * MS)]
        );
    }

    #[test]
    fn an_uneven_rhythm_has_no_gaps_of_its_own_length() {
        let uneven = || (0..200).map(|i| [16, 33, 16, 900, 50, 2500, 33, 16, 120, 700][i % 10]);
        assert!(rhythm(uneven()).gaps().is_empty());
        assert_eq!(rhythm(uneven().chain([60_000])).gaps().len(), 1);
    }

    #[test]
    fn hours_of_long_intervals_take_no_memory() {
        let mut found = rhythm(std::iter::repeat_n(1000, 100_000));
        assert!(found.long.len() < MOST && found.gaps().is_empty());
        let last = found.last.unwrap_or_default();
        found.add(last + 60_000 * MS);
        assert_eq!(found.gaps(), [(last + 1000 * MS, last + 60_000 * MS)]);
        let some = (0..100_000).map(|i| if i % 11 == 0 { 5000 } else { 40 });
        let found = rhythm(some);
        assert!(found.long.len() < MOST && found.gaps().len() > MOST / 4, "{}", found.gaps().len());
    }

    #[test]
    fn no_interval_is_too_long() {
        let mut found = Rhythm::default();
        [0, u64::MAX, 5, u64::MAX].into_iter().for_each(|time| found.add(time));
        assert!(found.gaps().len() <= 2);
    }
}
