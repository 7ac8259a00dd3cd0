//! Nearest neighbours: which rows of a bank are closest to each of some vectors, by Euclidean distance. Exact here; approximate, for
//! banks too large to compare with all, by a [`Graph`].
//!
//! Sketches of all pairs are compared in 8 bits, by matrix products of blocks: no pair is nearer than its sketches are, and what
//! rounding may have changed is known for each. The few pairs that may be nearer than what was found so far are compared
//! in f32 with the rows as they are stored; where they are many, in 8 bits as a whole before. So the result is that of comparing all
//! pairs in f32, to the last bit.

mod bounds;
mod graph;
mod packed;
mod quantise;
mod scalar;
mod search;
mod sketch;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use graph::{Graph, Walk, Walkers};
#[cfg(feature = "train")]
pub(crate) use scalar::squared_difference;
pub use scalar::{distance, find_scalar};
pub use search::Space;

use super::parallel;
use super::windowed::Element;
use crate::error::{Error, Result};
use packed::Packed;
use search::Search;
use sketch::Sketch;

/// The nearest row of a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Its number in the bank; the first of several that are equally near.
    pub row: u32,
    /// Its Euclidean distance.
    pub distance: f32,
}

impl Default for Found {
    fn default() -> Self {
        Self { row: 0, distance: f32::INFINITY }
    }
}

/// Rows that are passed over: those of one owner.
#[derive(Clone, Copy, Debug)]
pub struct Skip<'a> {
    /// The owner of each row.
    pub owners: &'a [u32],
    /// Whose rows are passed over.
    pub owner: u32,
}

impl Skip<'_> {
    fn has(skip: Option<Self>, row: usize) -> bool {
        skip.is_some_and(|skip| skip.owners[row] == skip.owner)
    }
}

/// Which instructions multiply; the result is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// Plain code.
    Plain,
    /// AVX2.
    Avx2,
    /// AVX-512 with its instructions for neural networks.
    Avx512Vnni,
}

impl Instructions {
    /// Those that this processor has, best first.
    pub fn available() -> Vec<Self> {
        let mut available = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if super::simd::has_avx2() {
                available.push(Self::Avx2);
            }
            if super::simd::has_avx512_vnni() {
                available.push(Self::Avx512Vnni);
            }
        }
        available.reverse();
        available
    }
}

/// A bank prepared for searching. The rows stay where they are and are given to every search.
#[derive(Debug)]
pub struct Nearest {
    rows: usize,
    dimension: usize,
    sketch: Sketch,
    /// The rows' sketches.
    sketches: Packed,
    packed: Packed,
    instructions: Instructions,
}

impl Nearest {
    /// Prepares `rows`, `[n, dimension]`; takes about `n * (dimension + 128)` bytes of memory.
    ///
    /// # Panics
    /// If the length of `rows` is not a multiple of `dimension`.
    pub fn new<E: Element>(rows: &[E], dimension: usize) -> Self {
        Self::with_instructions(rows, dimension, Instructions::available()[0])
    }

    /// The same for other instructions than the best; the processor must have them.
    ///
    /// # Panics
    /// As [`Nearest::new`], and if the processor does not have them.
    pub fn with_instructions<E: Element>(rows: &[E], dimension: usize, instructions: Instructions) -> Self {
        assert!(dimension > 0 && rows.len().is_multiple_of(dimension), "rows of {dimension} values");
        assert!(Instructions::available().contains(&instructions), "this processor has no {instructions:?}");
        let packed = Packed::new(rows, dimension);
        let sketch = Sketch::new(rows, packed.quantiser.mean().to_vec());
        let sketches = Packed::sketched(rows, &sketch);
        Self { rows: rows.len() / dimension, dimension, sketch, sketches, packed, instructions }
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.packed.bytes() + self.sketches.bytes()
    }

    /// Finds the nearest of `rows`, those that were prepared, to each of `vectors`, `[found.len(), dimension]`.
    ///
    /// # Errors
    /// If no row is left for a vector, or it holds values that are not finite.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn find<E: Element>(
        &self,
        rows: &[E],
        vectors: &[f32],
        skip: Option<Skip<'_>>,
        space: &mut Space,
        found: &mut [Found],
    ) -> Result<()> {
        assert_eq!(vectors.len(), found.len() * self.dimension, "vectors of {} values", self.dimension);
        let search = Search::new(self, rows, skip, 1);
        let size = search::part_size(found.len(), rayon::current_num_threads());
        // Where the last frame was near, this one often is, too: then most rows are out of the question from the start.
        let (guesses, spaces) = space.prepare(found.len(), found.len().div_ceil(size));
        let parts = found.chunks_mut(size).zip(vectors.chunks(size * self.dimension));
        let parts = parts.zip(guesses.chunks_mut(size)).zip(spaces);
        parallel::each(parts, |(((found, vectors), guesses), part)| {
            search.run(vectors, guesses, part);
            for ((found, guess), best) in found.iter_mut().zip(guesses).zip(part.results()) {
                *found = Found { row: best.row, distance: best.square.sqrt() };
                *guess = best.row;
            }
        });
        settled(found)
    }

    /// The `count` rows nearest to each of the rows from `first` on, the row itself first: `found`, `[some rows, count]`.
    ///
    /// # Panics
    /// If there are fewer rows, or a length does not fit.
    #[cfg(feature = "train")]
    pub fn neighbourhoods<E: Element>(&self, rows: &[E], first: usize, count: usize, found: &mut [u32]) {
        assert!(count > 0 && count <= self.rows && found.len().is_multiple_of(count), "{count} neighbours");
        let search = Search::new(self, rows, None, count);
        let size = search::part_size(found.len() / count, rayon::current_num_threads());
        parallel::each(found.chunks_mut(size * count).enumerate(), |(band, found)| {
            let first = first + band * size;
            let own = first * self.dimension..(first + found.len() / count) * self.dimension;
            let mut vectors = vec![0.0; own.len()];
            E::widen(&rows[own], &mut vectors);
            let mut part = search::Part::default();
            let mut guesses: Vec<u32> = (first as u32..).take(found.len() / count).collect();
            search.run(&vectors, &guesses, &mut part);
            for ((own, found), best) in
                guesses.drain(..).zip(found.chunks_exact_mut(count)).zip(part.results().chunks_exact(count))
            {
                // The row itself comes first, also before others that are the same.
                let others = best.iter().map(|best| best.row).filter(|&row| row != own);
                found
                    .iter_mut()
                    .zip(std::iter::once(own).chain(others))
                    .for_each(|(found, row)| *found = row);
            }
        });
    }
}

/// Whether a row was found for every vector.
fn settled(found: &[Found]) -> Result<()> {
    match found.iter().all(|found| found.distance.is_finite()) {
        true => Ok(()),
        false => Err(Error::Features("a patch has no finite distance to any row of the bank".into())),
    }
}

#[cfg(test)]
mod tests;
