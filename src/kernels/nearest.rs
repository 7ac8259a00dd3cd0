//! Exact nearest neighbours: which row of a bank is closest to each of some vectors, by Euclidean distance.
//!
//! Rows are f16 or f32, vectors f32, distances in f32 from differences, so that a vector that is a row has distance 0.

mod scalar;

pub use scalar::{distance, find_scalar};
#[cfg(feature = "train")]
pub(crate) use scalar::squared_difference;

use super::parallel;
use super::windowed::Element;
use crate::error::{Error, Result};

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

/// Buffers of a search, kept from one to the next.
#[derive(Debug, Default)]
pub struct Space {}

/// A bank prepared for searching. The rows stay where they are and are given to every search.
#[derive(Debug)]
pub struct Nearest {
    rows: usize,
    dimension: usize,
}

impl Nearest {
    /// Prepares `rows`, `[n, dimension]`.
    ///
    /// # Panics
    /// If the length of `rows` is not a multiple of `dimension`.
    pub fn new<E: Element>(rows: &[E], dimension: usize) -> Self {
        assert!(dimension > 0 && rows.len().is_multiple_of(dimension), "rows of {dimension} values");
        Self { rows: rows.len() / dimension, dimension }
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
        _space: &mut Space,
        found: &mut [Found],
    ) -> Result<()> {
        assert_eq!(rows.len(), self.rows * self.dimension, "other rows than were prepared");
        assert_eq!(vectors.len(), found.len() * self.dimension, "vectors of {} values", self.dimension);
        let size = 64;
        let parts = found.chunks_mut(size).zip(vectors.chunks(size * self.dimension));
        parallel::each(parts, |(found, vectors)| find_scalar(rows, vectors, self.dimension, skip, found));
        match found.iter().all(|found| found.distance.is_finite()) {
            true => Ok(()),
            false => Err(Error::Features("a patch has no finite distance to any row of the bank".into())),
        }
    }

    /// The `count` rows nearest to each of the rows from `first` on, the row itself first: `found`, `[some rows, count]`.
    ///
    /// # Panics
    /// If there are fewer rows, or a length does not fit.
    pub fn neighbourhoods<E: Element>(&self, rows: &[E], first: usize, count: usize, found: &mut [u32]) {
        assert_eq!(rows.len(), self.rows * self.dimension, "other rows than were prepared");
        assert!(count > 0 && count <= self.rows && found.len().is_multiple_of(count), "{count} neighbours");
        let size = 16;
        parallel::each(found.chunks_mut(size * count).enumerate(), |(band, found)| {
            scalar::neighbourhoods(rows, self.dimension, first + band * size, count, found);
        });
    }
}
