//! Nearly always the nearest row, without looking at all: a graph whose links lead from row to row ever closer to a vector.
//!
//! The graph is the base layer of an HNSW index (Malkov and Yashunin, 2018), which a library builds; here it is followed. The search
//! starts from the bank's first rows, which a greedy selection has put far apart, in place of the upper layers. On its way it compares
//! in 8 bits; what that leaves in question is compared in f32 with the rows as they are stored, so that a distance that is
//! found is the exact one of its row.

use super::bounds::{lower, upper};
use super::quantise::{GROUP, Quantiser, ROW_LEVELS, VectorFacts};
use super::scalar::squared_distance;
use super::{Found, Skip, find_scalar, settled};
use crate::error::Result;
use crate::kernels::parallel::{self, Buffer};
use crate::kernels::simd::{prefetch, wide};
use crate::kernels::windowed::Element;
use crate::pool::Pool;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// How far a graph is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Rows, the bank's first ones, from which it starts.
    pub entries: usize,
    /// Rows that are kept as the nearest so far (ef): the search ends when none is left that is nearer than all of them.
    pub breadth: usize,
}

/// A bank with a graph. The rows stay where they are and are given to every search.
#[derive(Debug)]
pub struct Graph {
    dimension: usize,
    /// Values of a row in 8 bits: the dimension in whole groups.
    width: usize,
    quantiser: Quantiser,
    /// `[rows, width]`.
    levels: Vec<i8>,
    facts: Vec<VectorFacts>,
    /// The rows that each row leads to, `[rows, degree]`; where there are fewer, the row itself.
    links: Vec<u32>,
}

impl Graph {
    /// Prepares `rows`, `[n, dimension]`, with `links`, `[n, degree]`; takes about `n * (dimension + 4 * degree)` bytes of memory.
    ///
    /// # Panics
    /// If a length does not fit, or a link leads to a row that there is not.
    pub fn new<E: Element>(rows: &[E], dimension: usize, links: Vec<u32>) -> Self {
        assert!(dimension > 0 && rows.len().is_multiple_of(dimension), "rows of {dimension} values");
        let count = rows.len() / dimension;
        assert!(count > 0 && links.len().is_multiple_of(count), "as many links for each row");
        assert!(links.iter().all(|&row| (row as usize) < count), "links to rows that there are");
        let width = dimension.next_multiple_of(GROUP);
        let quantiser = Quantiser::new(rows, dimension);
        let mut levels = vec![0; count * width];
        let mut facts = vec![VectorFacts::default(); count];
        let parts = levels.chunks_mut(TOGETHER * width).zip(facts.chunks_mut(TOGETHER));
        parallel::each(parts.zip(rows.chunks(TOGETHER * dimension)), |((levels, facts), rows)| {
            let mut turned = Buffer::new(dimension);
            let rows = rows.chunks_exact(dimension).zip(levels.chunks_exact_mut(width));
            for ((row, levels), facts) in rows.zip(facts) {
                E::widen(row, &mut turned);
                *facts = quantiser.run(&mut turned, ROW_LEVELS, levels);
            }
        });
        Self { dimension, width, quantiser, levels, facts, links }
    }

    /// Finds a row near each of `vectors`, `[found.len(), dimension]`, of `rows`, those that were prepared: nearly always the nearest.
    /// What is found for a vector depends on nothing but the vector.
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
        walk: Walk,
        skip: Option<Skip<'_>>,
        walkers: &Walkers,
        found: &mut [Found],
    ) -> Result<()> {
        assert_eq!(rows.len(), self.facts.len() * self.dimension, "other rows than were prepared");
        assert_eq!(vectors.len(), found.len() * self.dimension, "vectors of {} values", self.dimension);
        let parts = found.chunks_mut(TOGETHER).zip(vectors.chunks(TOGETHER * self.dimension));
        parallel::each(parts, |(found, vectors)| {
            let mut walker = walkers.0.take(Walker::default);
            for (found, vector) in found.iter_mut().zip(vectors.chunks_exact(self.dimension)) {
                *found = walker.find(self, rows, vector, walk, skip);
            }
        });
        settled(found)
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        self.levels.len() + size_of_val(&self.facts[..]) + size_of_val(&self.links[..])
    }

    /// The squared distance of two rows, as far as 8 bits tell: what a library that builds the links wants to know.
    #[cfg(feature = "train")]
    pub fn square_between(&self, a: u32, b: u32) -> f32 {
        let (first, second) = (&self.facts[a as usize], &self.facts[b as usize]);
        let mut product = [0];
        products(self.levels(a), &self.levels, &[b], &mut product);
        let product = product[0] as f32 * first.scale * second.scale;
        (first.square + second.square - 2.0 * product).max(0.0)
    }

    #[cfg(feature = "train")]
    fn levels(&self, row: u32) -> &[i8] {
        &self.levels[row as usize * self.width..][..self.width]
    }

    fn links(&self, row: u32) -> &[u32] {
        let degree = self.links.len() / self.facts.len();
        &self.links[row as usize * degree..][..degree]
    }
}

/// Vectors, or rows, that a thread takes at a time.
const TOGETHER: usize = 16;

/// What searches keep from one to the next.
#[derive(Clone, Debug, Default)]
pub struct Walkers(Pool<Walker>);

/// A row on the way, with its squared distance less the vector's own square, as far as 8 bits tell.
#[derive(Clone, Copy, Debug)]
struct Step {
    estimate: f32,
    row: u32,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        self.estimate.total_cmp(&other.estimate).then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Step {}

/// The buffers of one thread.
#[derive(Debug, Default)]
struct Walker {
    /// The round in which each row was last met.
    met: Vec<u32>,
    round: u32,
    /// Rows whose links were not followed yet.
    frontier: BinaryHeap<Reverse<Step>>,
    nearest: BinaryHeap<Step>,
    /// Rows that are to be compared next, and their products.
    fresh: Vec<u32>,
    products: Vec<i32>,
    levels: Vec<i8>,
}

impl Walker {
    fn find<E: Element>(
        &mut self,
        graph: &Graph,
        rows: &[E],
        vector: &[f32],
        walk: Walk,
        skip: Option<Skip<'_>>,
    ) -> Found {
        let mut turned = Buffer::new(graph.dimension);
        turned.copy_from_slice(vector);
        self.levels.resize(graph.width, 0);
        let facts = graph.quantiser.run(&mut turned, ROW_LEVELS, &mut self.levels);
        drop(turned);
        if !facts.scale.is_finite() {
            return Found::default();
        }
        self.walk(graph, &facts, walk, skip);
        // Rounding to 8 bits may have changed the order.
        let bounds = |step: &Step| {
            let row = &graph.facts[step.row as usize];
            let (square, error) = (step.estimate + facts.square, facts.residual + row.residual);
            (lower(square, error), upper(square, error, facts.square + row.square))
        };
        let limit = self.nearest.iter().map(|step| bounds(step).1).fold(f32::INFINITY, f32::min);
        let mut best = (f32::INFINITY, 0);
        for step in self.nearest.iter().filter(|step| bounds(step).0 <= limit) {
            let row = &rows[step.row as usize * graph.dimension..][..graph.dimension];
            let square = squared_distance(vector, row);
            best = if (square, step.row) < best { (square, step.row) } else { best };
        }
        let mut found = [Found { row: best.1, distance: best.0.sqrt() }];
        if self.nearest.is_empty() {
            // No way leads to a row that is not to be passed over.
            find_scalar(rows, vector, graph.dimension, skip, &mut found);
        }
        found[0]
    }

    /// Collects the nearest rows that the graph leads to.
    fn walk(&mut self, graph: &Graph, vector: &VectorFacts, walk: Walk, skip: Option<Skip<'_>>) {
        let Self { met, round, frontier, nearest, fresh, products: found, levels } = self;
        *round = round.wrapping_add(1);
        if met.len() != graph.facts.len() || *round == 0 {
            met.clear();
            met.resize(graph.facts.len(), 0);
            *round = 1;
        }
        frontier.clear();
        nearest.clear();
        fresh.clear();
        fresh.extend(0..walk.entries.min(graph.facts.len()) as u32);
        fresh.iter().for_each(|&row| met[row as usize] = *round);
        loop {
            found.resize(fresh.len(), 0);
            products(levels, &graph.levels, fresh, found);
            for (&row, &product) in fresh.iter().zip(&*found) {
                let facts = &graph.facts[row as usize];
                let estimate = facts.square - 2.0 * product as f32 * facts.scale * vector.scale;
                let step = Step { estimate, row };
                if nearest.len() < walk.breadth || nearest.peek().is_some_and(|last| step < *last) {
                    frontier.push(Reverse(step));
                    if !Skip::has(skip, row as usize) {
                        nearest.push(step);
                    }
                    if nearest.len() > walk.breadth {
                        nearest.pop();
                    }
                }
            }
            let Some(Reverse(next)) = frontier.pop() else { return };
            if nearest.len() >= walk.breadth && nearest.peek().is_some_and(|last| next > *last) {
                return;
            }
            fresh.clear();
            fresh.extend(graph.links(next.row).iter().filter(|&&row| {
                let last = std::mem::replace(&mut met[row as usize], *round);
                last != *round
            }));
        }
    }
}

/// Rows that are asked for from memory ahead of the one that is multiplied.
const AHEAD: usize = 2;

wide! {
    /// The products of `vector` with those of `rows`, `[n, width]`, that `which` names.
    fn products(vector: &[i8], rows: &[i8], which: &[u32], products: &mut [i32]) {
        let row = |row: u32| &rows[row as usize * vector.len()..][..vector.len()];
        which.iter().take(AHEAD).for_each(|&first| prefetch(row(first)));
        for (i, (&own, product)) in which.iter().zip(products).enumerate() {
            if let Some(&later) = which.get(i + AHEAD) {
                prefetch(row(later));
            }
            *product = row(own).iter().zip(vector).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
        }
    }
}
