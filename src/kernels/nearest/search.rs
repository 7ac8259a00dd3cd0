//! A search over all rows for some vectors.

use super::bounds::{Hits, Squares, Sums, TOGETHER, compare, lower, upper};
use super::packed::{PANEL, Packed};
use super::quantise::{ARITHMETIC, GROUP, VectorFacts};
use super::scalar::squared_distance;
use super::{Instructions, Nearest, Skip, sketch};
use crate::kernels::parallel::Buffer;
use crate::kernels::windowed::Element;
use std::ops::Range;

/// Buffers of a search, kept from one to the next.
#[derive(Debug, Default)]
pub struct Space {
    guesses: Vec<u32>,
    pub(super) parts: Vec<Part>,
}

impl Space {
    /// The rows last found for as many vectors, or the first one; and room for the parts of the search.
    pub(super) fn prepare(&mut self, vectors: usize, parts: usize) -> (&mut [u32], &mut [Part]) {
        if self.guesses.len() != vectors {
            self.guesses = vec![0; vectors];
        }
        if self.parts.len() < parts {
            self.parts.resize_with(parts, Part::default);
        }
        (&mut self.guesses, &mut self.parts)
    }
}

/// A row that was compared in full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Best {
    pub square: f32,
    pub row: u32,
}

/// A row that may be among the nearest of a vector.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    vector: u32,
    row: u32,
    lower: f32,
}

/// Candidates at which they are compared before more are taken in, for each vector: many rows may be alike.
const MOST_CANDIDATES: usize = 256;

/// Vectors in 8 bits.
#[derive(Debug, Default)]
struct Levels {
    /// Tile by tile, group by group, the vectors of a tile side by side.
    values: Vec<i8>,
    facts: Vec<VectorFacts>,
    /// What is of interest of each vector in terms of its 8-bit form: the distance below which a row may be among the nearest, and
    /// what rounding may have changed.
    reaches: Vec<f32>,
}

/// A distance that is larger than any, of which the square is finite.
const FURTHEST: f32 = 1e18;

impl Levels {
    fn clear(&mut self, count: usize, width: usize) {
        self.values.clear();
        self.values.resize(count.next_multiple_of(TOGETHER) * width, 0);
        self.facts.clear();
        self.facts.resize(count, VectorFacts::default());
        self.reaches.clear();
        self.reaches.resize(count, FURTHEST);
    }

    /// Takes vector `i` of these `levels`, of which rows may be of interest up to the squared distance `limit`.
    fn set(&mut self, i: usize, levels: &[i8], facts: VectorFacts, limit: f32) {
        let tile = i / TOGETHER * TOGETHER * levels.len();
        for (group, levels) in levels.chunks_exact(GROUP).enumerate() {
            let at = tile + (group * TOGETHER + i % TOGETHER) * GROUP;
            self.values[at..at + GROUP].copy_from_slice(levels);
        }
        self.facts[i] = facts;
        self.limit(i, limit);
    }

    fn limit(&mut self, i: usize, square: f32) {
        self.reaches[i] = (square.sqrt() + self.facts[i].residual).min(FURTHEST);
    }
}

/// The buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// The sketches, and the vectors themselves, tile by tile where they are asked for.
    sketches: Levels,
    whole: Levels,
    prepared: Vec<bool>,
    /// Upper bounds of the nearest rows' squared distances of each vector, in order: `[vectors, count]`.
    upper: Vec<f32>,
    /// The last one of each: no row above is of interest.
    limits: Vec<f32>,
    candidates: Vec<Candidate>,
    /// The candidate with the lowest bound of each vector.
    promising: Vec<Option<Candidate>>,
    results: Vec<Best>,
}

impl Part {
    /// The nearest rows of each vector in order, `[vectors, count]`.
    pub fn results(&self) -> &[Best] {
        &self.results
    }

    /// Whether a candidate may still be among the nearest.
    fn wants(&self, candidate: &Candidate) -> bool {
        candidate.lower <= self.limits[candidate.vector as usize]
    }

    /// Takes in that no row of `vector` is of interest whose squared distance is above `limit`.
    fn limit(&mut self, vector: usize, limit: f32) {
        if limit < self.limits[vector] {
            self.limits[vector] = limit;
            self.sketches.limit(vector, limit);
            self.whole.limit(vector, limit);
        }
    }

    /// Room for candidates.
    #[cfg(test)]
    pub fn candidates_kept(&self) -> usize {
        self.candidates.capacity()
    }
}

/// Vectors of a part, so that every thread has two: one may be slower than another.
pub(super) fn part_size(vectors: usize, threads: usize) -> usize {
    vectors.div_ceil(2 * threads.max(1)).next_multiple_of(TOGETHER).clamp(TOGETHER, 20 * TOGETHER)
}

/// Products of the 8-bit values of a panel of rows with those of a tile of vectors.
type Multiply = fn(&[u8], &[i8], &mut Sums);

/// Which rows are searched how.
pub(super) struct Search<'a, E> {
    bank: &'a Nearest,
    rows: &'a [E],
    skip: Option<Skip<'a>>,
    count: usize,
    multiply: Multiply,
    levels: f32,
}

impl<'a, E: Element> Search<'a, E> {
    pub fn new(bank: &'a Nearest, rows: &'a [E], skip: Option<Skip<'a>>, count: usize) -> Self {
        assert_eq!(rows.len(), bank.rows * bank.dimension, "other rows than were prepared");
        let (multiply, levels): (Multiply, f32) = match bank.instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => (super::x86::multiply_vnni, 127.0),
            // Two products must fit 16 bits.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => (super::x86::multiply_avx2, 63.0),
            _ => (multiply_plain, 127.0),
        };
        Self { bank, rows, skip, count, multiply, levels }
    }

    /// Finds the nearest rows of each of `vectors`; `guesses` are rows that may be near.
    pub fn run(&self, vectors: &[f32], guesses: &[u32], part: &mut Part) {
        self.prepare(vectors, guesses, part);
        let packed = &self.bank.sketches;
        let mut space = Tile::default();
        let most = MOST_CANDIDATES * guesses.len();
        for panel in 0..packed.facts.len() {
            for first in (0..guesses.len()).step_by(TOGETHER) {
                let some = first..(first + TOGETHER).min(guesses.len());
                match self.tile(packed, panel, &part.sketches, some.clone(), &mut space) {
                    0 => {}
                    few if few <= FEW => self.compare_hits(vectors, panel, some, &space, part),
                    _ => self.search_tile(vectors, panel, some, &mut space, part),
                }
            }
            if part.candidates.len() > most {
                self.settle(vectors, part);
            }
        }
        self.settle(vectors, part);
    }

    /// Compares the rows of a panel with some vectors in 8 bits; returns the number of pairs that are in question.
    fn tile(
        &self,
        packed: &Packed,
        panel: usize,
        levels: &Levels,
        some: Range<usize>,
        tile: &mut Tile,
    ) -> u32 {
        let bytes = &packed.panels[panel * PANEL * packed.width..][..PANEL * packed.width];
        let values = &levels.values[some.start * packed.width..][..TOGETHER * packed.width];
        (self.multiply)(bytes, values, &mut tile.sums);
        tile.hits = [0; TOGETHER];
        let (facts, reaches) = (&levels.facts[some.clone()], &levels.reaches[some]);
        compare(&tile.sums, facts, reaches, &packed.facts[panel], &mut tile.squares, &mut tile.hits);
        tile.hits.iter().map(|hits| hits.count_ones()).sum()
    }

    /// The pairs of a tile that are still in question: vector, row, and the row's place in the panel.
    fn hits(
        &self,
        panel: usize,
        some: Range<usize>,
        hits: Hits,
    ) -> impl Iterator<Item = (usize, usize, usize)> {
        let rows = |hits: u32| (0..PANEL).filter(move |i| hits >> i & 1 == 1);
        let pairs = some.zip(hits).flat_map(move |(vector, hits)| rows(hits).map(move |i| (vector, i)));
        let pairs = pairs.map(move |(vector, i)| (vector, panel * PANEL + i, i));
        pairs.filter(|&(_, row, _)| row < self.bank.rows && !Skip::has(self.skip, row))
    }

    /// Compares the pairs in question in full.
    fn compare_hits(&self, vectors: &[f32], panel: usize, some: Range<usize>, tile: &Tile, part: &mut Part) {
        let rows = &self.bank.sketches.facts[panel];
        for (vector, row, i) in self.hits(panel, some.clone(), tile.hits) {
            // The ones before may have taken it out of question.
            let reach = part.sketches.reaches[vector] + rows.residual[i];
            if tile.squares[vector - some.start][i] <= reach * reach {
                self.compare(vectors, vector, row as u32, part);
            }
        }
    }

    /// Compares all pairs of a tile in 8 bits, of the vectors themselves.
    fn search_tile(
        &self,
        vectors: &[f32],
        panel: usize,
        some: Range<usize>,
        tile: &mut Tile,
        part: &mut Part,
    ) {
        let packed = &self.bank.packed;
        if !std::mem::replace(&mut part.prepared[some.start / TOGETHER], true) {
            self.prepare_tile(vectors, some.clone(), part);
        }
        self.tile(packed, panel, &part.whole, some.clone(), tile);
        let rows = &packed.facts[panel];
        for (vector, row, i) in self.hits(panel, some.clone(), tile.hits) {
            let (own, square) = (part.whole.facts[vector], tile.squares[vector - some.start][i]);
            let error = own.residual + rows.residual[i];
            let candidate = Candidate { vector: vector as u32, row: row as u32, lower: lower(square, error) };
            if part.wants(&candidate) {
                part.candidates.push(candidate);
                self.tighten(part, vector, upper(square, error, own.square + rows.square[i]));
            }
        }
    }

    fn prepare(&self, vectors: &[f32], guesses: &[u32], part: &mut Part) {
        let Nearest { sketch, sketches: packed, dimension, .. } = self.bank;
        let count = guesses.len();
        part.candidates.clear();
        part.upper.clear();
        part.upper.resize(count * self.count, f32::INFINITY);
        part.limits.clear();
        part.limits.resize(count, f32::INFINITY);
        part.results.clear();
        part.results.resize(count * self.count, Best { square: f32::INFINITY, row: 0 });
        part.prepared.clear();
        part.prepared.resize(count.div_ceil(TOGETHER), false);
        part.whole.clear(count, self.bank.packed.width);
        part.sketches.clear(count, packed.width);
        let mut sketches = vec![0.0; sketch::TOGETHER * sketch.len()];
        let mut levels = vec![0i8; packed.width];
        for (group, vectors) in vectors.chunks(sketch::TOGETHER * dimension).enumerate() {
            let moved = sketch.run(vectors, &mut sketches);
            let own = sketches.chunks_exact_mut(sketch.len()).take(vectors.len() / dimension);
            for (i, (sketch, moved)) in own.zip(moved).enumerate() {
                let mut facts = packed.quantiser.run(sketch, self.levels, &mut levels);
                facts.residual += moved;
                part.sketches.set(group * sketch::TOGETHER + i, &levels, facts, f32::INFINITY);
            }
        }
        for (vector, &row) in guesses.iter().enumerate() {
            if self.count == 1 && (row as usize) < self.bank.rows && !Skip::has(self.skip, row as usize) {
                self.compare(vectors, vector, row, part);
            }
        }
    }

    /// The vectors of a tile themselves in 8 bits.
    fn prepare_tile(&self, vectors: &[f32], some: Range<usize>, part: &mut Part) {
        let (packed, dimension) = (&self.bank.packed, self.bank.dimension);
        let mut turned = Buffer::new(dimension);
        let mut levels = vec![0i8; packed.width];
        for i in some {
            turned.copy_from_slice(&vectors[i * dimension..][..dimension]);
            let facts = packed.quantiser.run(&mut turned, self.levels, &mut levels);
            part.whole.set(i, &levels, facts, part.limits[i]);
        }
    }

    /// Takes in an upper bound of a distance of `vector`.
    fn tighten(&self, part: &mut Part, vector: usize, upper: f32) {
        let own = &mut part.upper[vector * self.count..][..self.count];
        if upper < own[self.count - 1] {
            let at = own.partition_point(|&known| known <= upper);
            own[at..].rotate_right(1);
            own[at] = upper;
            let last = own[self.count - 1];
            part.limit(vector, last);
        }
    }

    /// Compares the candidates that are still in question in full.
    fn settle(&self, vectors: &[f32], part: &mut Part) {
        let mut candidates = std::mem::take(&mut part.candidates);
        // The most promising one of each vector first: it spares most others.
        part.promising.clear();
        part.promising.resize(part.limits.len(), None);
        for &candidate in &candidates {
            let wanted = part.wants(&candidate);
            let known = &mut part.promising[candidate.vector as usize];
            if wanted && known.is_none_or(|known| candidate.lower < known.lower) {
                *known = Some(candidate);
            }
        }
        for vector in 0..part.promising.len() {
            if let Some(candidate) = part.promising[vector] {
                self.compare(vectors, candidate.vector as usize, candidate.row, part);
            }
        }
        candidates.retain(|candidate| part.wants(candidate));
        candidates.sort_unstable_by(|a, b| {
            a.vector.cmp(&b.vector).then(a.lower.total_cmp(&b.lower)).then(a.row.cmp(&b.row))
        });
        for candidate in candidates.drain(..) {
            if part.wants(&candidate) {
                self.compare(vectors, candidate.vector as usize, candidate.row, part);
            }
        }
        part.candidates = candidates;
    }

    /// Compares a vector with a row in full.
    fn compare(&self, vectors: &[f32], vector: usize, row: u32, part: &mut Part) {
        let dimension = self.bank.dimension;
        let square = squared_distance(
            &vectors[vector * dimension..][..dimension],
            &self.rows[row as usize * dimension..][..dimension],
        );
        let own = &mut part.results[vector * self.count..][..self.count];
        let at = own.partition_point(|known| (known.square, known.row) <= (square, row));
        let known = at > 0 && own[at - 1].row == row && own[at - 1].square == square;
        if at < self.count && !known && square.is_finite() {
            own[at..].rotate_right(1);
            own[at] = Best { square, row };
            // Sums of squares are off by no more than this share.
            let limit = own[self.count - 1].square * (1.0 + ARITHMETIC);
            part.limit(vector, limit);
        }
    }
}

/// What is known of the pairs of some vectors and a panel of rows.
struct Tile {
    sums: Sums,
    squares: Squares,
    hits: Hits,
}

impl Default for Tile {
    fn default() -> Self {
        Self { sums: [[0; PANEL]; TOGETHER], squares: [[0.0; PANEL]; TOGETHER], hits: [0; TOGETHER] }
    }
}

/// Pairs of a tile up to which each is compared in full: more take longer than comparing all of the tile in 8 bits.
const FEW: u32 = 16;

/// `sums[i][j] = vector i . row j`: rows without sign, `[groups, PANEL, GROUP]`, vectors with, `[groups, TOGETHER, GROUP]`.
pub(super) fn multiply_plain(rows: &[u8], vectors: &[i8], sums: &mut Sums) {
    *sums = [[0; PANEL]; TOGETHER];
    let groups = rows.chunks_exact(PANEL * GROUP).zip(vectors.chunks_exact(TOGETHER * GROUP));
    for (rows, vectors) in groups {
        for (sums, vector) in sums.iter_mut().zip(vectors.chunks_exact(GROUP)) {
            for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(GROUP)) {
                *sum += row.iter().zip(vector).map(|(&r, &v)| i32::from(r) * i32::from(v)).sum::<i32>();
            }
        }
    }
}
