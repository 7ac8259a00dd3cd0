//! Windowed cosine search: how far is every patch from its best match near the same place of the references.
//!
//! `distance(y, x) = min over references k and offsets |dy|, |dx| <= window / 2 of 1 - <q(y, x), r_k(y + dy, x + dx)>`
//! (CPR, Algorithm 2; HETMM's forward matching). Vectors have unit length; places outside the map never win.
//!
//! The query comes as the network gives it, `[height, width, channels]`. References are read much more often than written and lie in
//! planes, `[height, channels, width]`, as the search wants them: [`planes`] turns a map.

use super::parallel;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod element;
#[cfg(target_arch = "x86_64")]
mod planar;
mod scalar;

pub use element::Element;

/// The sides of feature maps that are searched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per place.
    pub channels: usize,
}

impl Shape {
    /// Number of places.
    pub fn places(&self) -> usize {
        self.height * self.width
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.places() * self.channels
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Turns a map, `[height, width, channels]`, into planes, `[height, channels, width]`.
///
/// # Panics
/// If the length does not fit.
pub fn planes<T: Copy>(map: &[T], shape: Shape) -> Vec<T> {
    assert_eq!(map.len(), shape.len(), "a map of {shape:?}");
    let Shape { height, width, channels } = shape;
    let at = |y: usize, c: usize, x: usize| map[(y * width + x) * channels + c];
    (0..height)
        .flat_map(|y| (0..channels).flat_map(move |c| (0..width).map(move |x| (y, c, x))))
        .map(|(y, c, x)| at(y, c, x))
        .collect()
}

/// The other way round: planes, `[height, channels, width]`, to a map, `[height, width, channels]`.
///
/// # Panics
/// If the length does not fit.
pub fn channel_last<T: Copy>(planes: &[T], shape: Shape) -> Vec<T> {
    let Shape { height, width, channels } = shape;
    self::planes(planes, Shape { height, width: channels, channels: width })
}

/// Fills `distances`, `[height, width]`, for `query`, `[height, width, channels]`, against `references`, `[height, channels, width]`.
///
/// # Panics
/// If a length does not fit `shape`, `window` is even, or there is no reference.
pub fn distances<E: Element>(
    query: &[f32],
    references: &[&[E]],
    shape: Shape,
    window: usize,
    distances: &mut [f32],
) {
    parallel::each(Search::new(query, references, shape, window).parts(distances), Part::run);
}

/// The same by the plain code; what the others are tested against.
///
/// # Panics
/// As [`distances`].
pub fn distances_scalar<E: Element>(
    query: &[f32],
    references: &[&[E]],
    shape: Shape,
    window: usize,
    distances: &mut [f32],
) {
    let search = Search { kernel: scalar::band, ..Search::new(query, references, shape, window) };
    parallel::each(search.parts(distances), Part::run);
}

/// A search whose parts can be shared out together with other work.
#[derive(Debug)]
pub struct Search<'a, E> {
    query: &'a [f32],
    references: &'a [&'a [E]],
    shape: Shape,
    reach: usize,
    kernel: Kernel<E>,
}

/// Fills `best` with the similarity of every patch of the rows from `first` on, as many as it holds, to its best match.
type Kernel<E> = fn(search: &Search<'_, E>, first: usize, best: &mut [f32]);

impl<'a, E: Element> Search<'a, E> {
    /// A search for `query` in `references`; see [`distances`].
    ///
    /// # Panics
    /// As [`distances`].
    pub fn new(query: &'a [f32], references: &'a [&'a [E]], shape: Shape, window: usize) -> Self {
        assert_eq!(query.len(), shape.len(), "the query does not have the shape {shape:?}");
        assert!(window % 2 == 1, "the window must be odd, is {window}");
        assert!(!references.is_empty(), "no reference to search");
        let fits = references.iter().all(|reference| reference.len() == shape.len());
        assert!(fits, "a reference does not have the shape {shape:?}");
        Self { query, references, shape, reach: window / 2, kernel: fastest() }
    }

    /// The parts that fill `distances`, `[height, width]`.
    ///
    /// # Panics
    /// If the length does not fit the shape.
    pub fn parts<'b>(
        &'b self,
        distances: &'b mut [f32],
    ) -> impl ExactSizeIterator<Item = Part<'b, E>> + Send {
        assert_eq!(
            distances.len(),
            self.shape.places(),
            "the distances do not have the shape {:?}",
            self.shape
        );
        let bands = distances.chunks_mut(ROWS * self.shape.width).enumerate();
        bands.map(|(band, distances)| Part { search: self, first: band * ROWS, distances })
    }

    /// Row `y` in a map of the shape.
    fn row(&self, y: usize) -> Range<usize> {
        let length = self.shape.width * self.shape.channels;
        y * length..(y + 1) * length
    }
}

/// Some rows of a search.
#[derive(Debug)]
pub struct Part<'a, E> {
    search: &'a Search<'a, E>,
    first: usize,
    distances: &'a mut [f32],
}

impl<E> Part<'_, E> {
    /// Fills its rows of the distances.
    pub fn run(self) {
        (self.search.kernel)(self.search, self.first, self.distances);
        self.distances.iter_mut().for_each(|similarity| *similarity = 1.0 - *similarity);
    }
}

/// Rows of a part: few enough to share out evenly, so many that the rows around them, which it needs too, do not count much.
const ROWS: usize = 10;

fn fastest<E: Element>() -> Kernel<E> {
    #[cfg(target_arch = "x86_64")]
    {
        if super::simd::has_avx512() {
            return avx512::band;
        }
        if super::simd::has_avx2() {
            return avx2::band;
        }
    }
    scalar::band
}

/// The rows that the window around row `y` covers.
fn rows(y: usize, reach: usize, height: usize) -> Range<usize> {
    y.saturating_sub(reach)..(y + reach + 1).min(height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use proptest::prelude::*;

    fn vectors(seed: u64, shape: Shape) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut values: Vec<f32> = (0..shape.len()).map(|_| next()).collect();
        for vector in values.chunks_exact_mut(shape.channels) {
            let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt() + 1e-8;
            vector.iter_mut().for_each(|v| *v /= norm);
        }
        values
    }

    fn check_parity<E: Element>(seed: u64, shape: Shape, window: usize, count: usize, convert: fn(f32) -> E) {
        let query = vectors(seed, shape);
        let references: Vec<Vec<E>> = (0..count)
            .map(|k| planes(&vectors(seed + 1 + k as u64, shape), shape).into_iter().map(convert).collect())
            .collect();
        let references: Vec<&[E]> = references.iter().map(Vec::as_slice).collect();
        let mut expected = vec![0.0; shape.places()];
        distances_scalar(&query, &references, shape, window, &mut expected);
        let mut kernels: Vec<(&str, Kernel<E>)> = vec![("fastest", fastest())];
        #[cfg(target_arch = "x86_64")]
        if crate::kernels::simd::has_avx2() {
            kernels.push(("avx2", avx2::band));
        }
        for (name, kernel) in kernels {
            let mut found = vec![0.0; shape.places()];
            let search = Search { kernel, ..Search::new(&query, &references, shape, window) };
            parallel::each(search.parts(&mut found), Part::run);
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{name} {shape:?} window {window}: {found} != {expected}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_instruction_set_agrees_with_the_plain_code(
            seed in 0u64..1_000_000, height in 1usize..14, width in 1usize..37, channels in 1usize..70,
            reach in 0usize..5, count in 1usize..4,
        ) {
            let shape = Shape { height, width, channels };
            check_parity(seed, shape, 2 * reach + 1, count, f16::from_f32);
            check_parity(seed, shape, 2 * reach + 1, count, |value| value);
        }
    }

    #[test]
    fn a_patch_finds_itself_within_the_window() {
        let shape = Shape { height: 3, width: 5, channels: 8 };
        let reference = vectors(7, shape);
        // The query is the reference shifted by one column.
        let mut query = reference.clone();
        query.rotate_right(shape.channels);
        let half: Vec<f16> = planes(&reference, shape).into_iter().map(f16::from_f32).collect();
        let mut found = vec![0.0; shape.places()];
        distances(&query, &[&half], shape, 3, &mut found);
        for y in 0..3 {
            for x in 1..5 {
                assert!(found[y * 5 + x] < 1e-3);
            }
            assert!(found[y * 5] > 0.01, "the first column came from another row's end");
        }
    }
}
