//! Mutual matching: a query and a set of templates, each compared with the other within a window (HETMM, eq. 4 and 5).
//!
//! `forward(y, x) = max over templates t and |dy|, |dx| <= window / 2 of <q(y, x), t(y + dy, x + dx)>`,
//! `backward(y, x) = max over templates t and |dy|, |dx| <= window / 2 of <t(y, x), q(y + dy, x + dx)>`; vectors have unit length, and
//! places outside of the map never win. Both directions are maxima of the same products, so that each is computed once: with
//! `m(p, p') = max over t of <q(p), t(p')>`, forward is its largest value of a row and backward that of a column.
//!
//! The templates of a place lie side by side, `[height, width, channels, templates]`: a vector holds one channel of as many templates
//! as it has lanes, and the templates of a place are read once for all places of the window.

use super::parallel;
use super::windowed::{Element, Shape};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
mod group;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod whole;

/// A comparison of a query, `[height, width, channels]`, with templates, `[height, width, channels, templates]`.
#[derive(Debug)]
pub struct Matching<'a, E> {
    query: &'a [f32],
    templates: &'a [E],
    shape: Shape,
    count: usize,
    reach: Reach,
    skipped: Option<&'a [u32]>,
    kernel: Kernel<E>,
}

/// How far the windows reach from their centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    forward: usize,
    backward: usize,
}

impl Reach {
    fn larger(&self) -> usize {
        self.forward.max(self.backward)
    }
}

/// Raises the similarities of a band to those with the templates of its rows.
type Kernel<E> = fn(matching: &Matching<'_, E>, band: &mut Band<'_>);

/// The template of a place that [`Matching::skipping`] leaves in.
pub const NONE: u32 = u32::MAX;

impl<'a, E: Element> Matching<'a, E> {
    /// A comparison with `count` templates in windows of the odd sides `(forward, backward)`. Vectors have unit length: values beyond 1 may
    /// count as 1.
    ///
    /// # Panics
    /// If there is no template, a length does not fit `shape`, or a window is even.
    pub fn new(
        query: &'a [f32],
        templates: &'a [E],
        shape: Shape,
        count: usize,
        windows: (usize, usize),
    ) -> Self {
        assert_eq!(query.len(), shape.len(), "the query does not have the shape {shape:?}");
        assert!(count > 0, "no template to compare with");
        assert_eq!(templates.len(), shape.len() * count, "not {count} templates of the shape {shape:?}");
        assert!(windows.0 % 2 == 1 && windows.1 % 2 == 1, "windows must be odd, are {windows:?}");
        let reach = Reach { forward: windows.0 / 2, backward: windows.1 / 2 };
        Self { query, templates, shape, count, reach, skipped: None, kernel: fastest() }
    }

    /// Leaves out some templates of each place, as many of all of them, `[height, width, n]`; [`NONE`] leaves out none.
    ///
    /// # Panics
    /// If the length does not fit the shape.
    #[must_use]
    pub fn skipping(mut self, skipped: &'a [u32]) -> Self {
        assert!(
            skipped.len().is_multiple_of(self.shape.places()),
            "as many templates of each place are left out"
        );
        self.skipped = Some(skipped);
        self
    }

    /// The same by the plain code; what the others are tested against.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.kernel = scalar::band;
        self
    }

    /// Fills `forward` and `backward`, `[height, width]`, with distances: 1 - similarity.
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn run(&self, forward: &mut [f32], backward: &mut [f32]) {
        let forward = Forward::new(forward);
        parallel::each(self.parts(&forward, backward), Part::run);
        forward.finish();
    }

    /// The parts that fill `forward` and `backward`, `[height, width]`, to be shared out together with other work.
    ///
    /// # Panics
    /// If a length does not fit the shape.
    pub fn parts<'b, 'f>(
        &'b self,
        forward: &'b Forward<'f>,
        backward: &'b mut [f32],
    ) -> impl ExactSizeIterator<Item = Part<'b, 'f, E>> + Send {
        let places = self.shape.places();
        assert!(backward.len() == places && forward.len == places, "distances of {:?}", self.shape);
        let bands = backward.chunks_mut(ROWS * self.shape.width).enumerate();
        bands.map(move |(band, backward)| Part { matching: self, first: band * ROWS, forward, backward })
    }

    /// The places of the window around `(y, x)` and whether each counts forward and backward.
    fn window(&self, y: usize, x: usize) -> impl Iterator<Item = Pair> {
        let (reach, width) = (self.reach, self.shape.width);
        let columns = around(x, reach.larger(), width);
        around(y, reach.larger(), self.shape.height).flat_map(move |qy| {
            let columns = columns.clone();
            columns.map(move |qx| {
                let far = qy.abs_diff(y).max(qx.abs_diff(x));
                let (forward, backward) = (far <= reach.forward, far <= reach.backward);
                Pair { place: qy * width + qx, forward, backward }
            })
        })
    }

    /// Which templates of `place` are left out.
    fn skipped_at(&self, place: usize) -> impl Iterator<Item = usize> + Clone {
        let skipped = self.skipped.unwrap_or_default();
        let each = skipped.len() / self.shape.places();
        let here = &skipped[place * each..][..each];
        here.iter().filter(|&&template| template != NONE).map(|&template| template as usize)
    }
}

/// A place of the query that is compared with a place of the templates.
#[derive(Clone, Copy, Debug)]
struct Pair {
    place: usize,
    forward: bool,
    backward: bool,
}

fn around(at: usize, reach: usize, side: usize) -> Range<usize> {
    at.saturating_sub(reach)..(at + reach + 1).min(side)
}

/// Forward similarities that several parts raise: the window of a template's place covers rows of other parts, too.
#[derive(Debug)]
pub struct Forward<'a> {
    len: usize,
    values: Mutex<&'a mut [f32]>,
}

/// Below every similarity of vectors of unit length; where there is no template to compare with, the distance is 2.
const LEAST: f32 = -1.0;

impl<'a> Forward<'a> {
    /// Collects in `distances`, `[height, width]`, which [`Forward::finish`] completes.
    pub fn new(distances: &'a mut [f32]) -> Self {
        distances.fill(LEAST);
        Self { len: distances.len(), values: Mutex::new(distances) }
    }

    /// Turns similarities into distances, once all parts have run.
    pub fn finish(self) {
        to_distances(self.values.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    /// Raises the values from `first` on. The largest is the same in whatever order parts come.
    fn raise(&self, first: usize, found: &[f32]) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        for (value, &found) in values[first..].iter_mut().zip(found) {
            *value = value.max(found);
        }
    }
}

fn to_distances(similarities: &mut [f32]) {
    similarities.iter_mut().for_each(|value| *value = 1.0 - value.max(LEAST));
}

/// The templates of some rows.
#[derive(Debug)]
pub struct Part<'a, 'f, E> {
    matching: &'a Matching<'a, E>,
    first: usize,
    forward: &'a Forward<'f>,
    backward: &'a mut [f32],
}

/// What a kernel works on: the templates of the rows from `first` on, and the rows of the query that their windows cover.
struct Band<'a> {
    first: usize,
    /// The query's place that is the first of `forward`.
    covered: usize,
    forward: &'a mut [f32],
    backward: &'a mut [f32],
}

impl<E: Element> Part<'_, '_, E> {
    /// Compares its rows.
    pub fn run(self) {
        let Shape { height, width, .. } = self.matching.shape;
        let reach = self.matching.reach.larger();
        let last = self.first + self.backward.len() / width;
        let covered = self.first.saturating_sub(reach) * width;
        let mut forward = parallel::Buffer::new((last + reach).min(height) * width - covered);
        forward.fill(LEAST);
        self.backward.fill(LEAST);
        let mut band = Band { first: self.first, covered, forward: &mut forward, backward: self.backward };
        (self.matching.kernel)(self.matching, &mut band);
        to_distances(band.backward);
        self.forward.raise(covered, &forward);
    }
}

impl Band<'_> {
    /// Notes the largest similarity of a place of the query and the templates of the band's `at`-th place.
    fn note(&mut self, pair: Pair, at: usize, similarity: f32) {
        if pair.forward {
            let value = &mut self.forward[pair.place - self.covered];
            *value = value.max(similarity);
        }
        if pair.backward {
            self.backward[at] = self.backward[at].max(similarity);
        }
    }
}

/// Rows of a part: a coarse layer has few, and they shall be shared out evenly.
const ROWS: usize = 2;

fn fastest<E: Element>() -> Kernel<E> {
    #[cfg(target_arch = "x86_64")]
    {
        if E::HALF && super::simd::has_avx512_vnni() {
            return whole::band;
        }
        if super::simd::has_avx512() {
            return lanes::band_avx512;
        }
        if super::simd::has_avx2() {
            return lanes::band_avx2;
        }
    }
    scalar::band
}

#[cfg(test)]
mod tests;
