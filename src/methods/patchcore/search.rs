//! The search for the nearest row, exact or by an index.

use crate::error::Result;
use crate::kernels::nearest::{Found, Graph, Nearest, Skip, Space, Walk, Walkers};
use half::f16;

/// The bank as it is searched.
#[derive(Debug)]
pub(super) enum Search {
    Exact(Nearest),
    Approximate(Graph, Walk),
}

/// What a stream's searches keep from one frame to the next.
#[derive(Debug, Default)]
pub(super) struct SearchSpace {
    exact: Space,
    approximate: Walkers,
}

impl Search {
    /// Prepares `rows`, `[n, dimension]`, to be searched by `links` if there are any.
    pub fn new(rows: &[f16], dimension: usize, links: Option<Vec<u32>>, walk: Walk) -> Self {
        match links {
            None => Self::Exact(Nearest::new(rows, dimension)),
            Some(links) => Self::Approximate(Graph::new(rows, dimension, links), walk),
        }
    }

    /// Finds the nearest row of each of `vectors`.
    pub fn find(
        &self,
        rows: &[f16],
        vectors: &[f32],
        skip: Option<Skip<'_>>,
        space: &mut SearchSpace,
        found: &mut [Found],
    ) -> Result<()> {
        match self {
            Self::Exact(nearest) => nearest.find(rows, vectors, skip, &mut space.exact, found),
            Self::Approximate(graph, walk) => {
                graph.find(rows, vectors, *walk, skip, &space.approximate, found)
            }
        }
    }
}
