//! A search over all rows for some vectors.

use super::bounds::{Lower, Sums, TOGETHER, gap, lower_bounds};
use super::packed::PANEL;
use super::quantise::{ARITHMETIC, GROUP, VectorFacts};
use super::scalar::squared_distance;
use super::{Instructions, Nearest, Skip};
use crate::kernels::parallel::Buffer;
use crate::kernels::windowed::Element;

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

/// The buffers of one thread.
#[derive(Debug, Default)]
pub(super) struct Part {
    levels: Vec<i8>,
    facts: Vec<VectorFacts>,
    /// Upper bounds of the nearest rows of each vector, in order: `[vectors, count]`.
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
        let packed = &self.bank.packed;
        let tile = TOGETHER * packed.width;
        let mut sums: Sums = [[0; PANEL]; TOGETHER];
        let mut lower: Lower = [[0.0; PANEL]; TOGETHER];
        let most = MOST_CANDIDATES * guesses.len();
        for (panel, (bytes, facts)) in
            packed.panels.chunks_exact(PANEL * packed.width).zip(&packed.facts).enumerate()
        {
            for first in (0..guesses.len()).step_by(TOGETHER) {
                (self.multiply)(bytes, &part.levels[first * packed.width..][..tile], &mut sums);
                let some = first..(first + TOGETHER).min(guesses.len());
                let mut hits = [false; TOGETHER];
                lower_bounds(
                    &sums,
                    &part.facts[some.clone()],
                    &part.limits[some.clone()],
                    facts,
                    &mut lower,
                    &mut hits,
                );
                for (vector, _) in some.zip(hits).filter(|(_, hit)| *hit) {
                    let own = part.facts[vector];
                    for (i, &lower) in lower[vector - first].iter().enumerate() {
                        let row = panel * PANEL + i;
                        if lower <= part.limits[vector] && row < self.bank.rows && !Skip::has(self.skip, row)
                        {
                            part.candidates.push(Candidate { vector: vector as u32, row: row as u32, lower });
                            self.tighten(part, vector, lower + gap(&own, facts, i));
                        }
                    }
                }
            }
            if part.candidates.len() > most {
                self.settle(vectors, part);
            }
        }
        self.settle(vectors, part);
    }

    fn prepare(&self, vectors: &[f32], guesses: &[u32], part: &mut Part) {
        let packed = &self.bank.packed;
        let (dimension, width, count) = (packed.dimension, packed.width, guesses.len());
        part.levels.clear();
        part.levels.resize(count.next_multiple_of(TOGETHER) * width, 0);
        part.facts.clear();
        part.candidates.clear();
        part.upper.clear();
        part.upper.resize(count * self.count, f32::INFINITY);
        part.limits.clear();
        part.limits.resize(count, f32::INFINITY);
        part.results.clear();
        part.results.resize(count * self.count, Best { square: f32::INFINITY, row: 0 });
        let mut turned = Buffer::new(dimension);
        let mut levels = vec![0i8; width];
        for (i, vector) in vectors.chunks_exact(dimension).enumerate() {
            turned.copy_from_slice(vector);
            part.facts.push(packed.quantiser.run(&mut turned, self.levels, &mut levels));
            // Group by group, the vectors of a tile side by side.
            let tile = i / TOGETHER * TOGETHER * width;
            for (group, levels) in levels.chunks_exact(GROUP).enumerate() {
                let at = tile + (group * TOGETHER + i % TOGETHER) * GROUP;
                part.levels[at..at + GROUP].copy_from_slice(levels);
            }
        }
        for (vector, &row) in guesses.iter().enumerate() {
            if self.count == 1 && (row as usize) < self.bank.rows && !Skip::has(self.skip, row as usize) {
                part.candidates.push(Candidate { vector: vector as u32, row, lower: f32::NEG_INFINITY });
            }
        }
        self.settle(vectors, part);
    }

    /// Takes in an upper bound of a distance of `vector`.
    fn tighten(&self, part: &mut Part, vector: usize, upper: f32) {
        let own = &mut part.upper[vector * self.count..][..self.count];
        if upper < own[self.count - 1] {
            let at = own.partition_point(|&known| known <= upper);
            own[at..].rotate_right(1);
            own[at] = upper;
            part.limits[vector] = part.limits[vector].min(own[self.count - 1]);
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
                self.compare(vectors, candidate, part);
            }
        }
        candidates.retain(|candidate| part.wants(candidate));
        candidates.sort_unstable_by(|a, b| {
            a.vector.cmp(&b.vector).then(a.lower.total_cmp(&b.lower)).then(a.row.cmp(&b.row))
        });
        for candidate in candidates.drain(..) {
            if part.wants(&candidate) {
                self.compare(vectors, candidate, part);
            }
        }
        part.candidates = candidates;
    }

    /// Compares a candidate in full.
    fn compare(&self, vectors: &[f32], candidate: Candidate, part: &mut Part) {
        let Candidate { vector, row, .. } = candidate;
        let (vector, dimension) = (vector as usize, self.bank.dimension);
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
            let last = own[self.count - 1].square;
            // What the bounds are relative to, and the errors of this arithmetic.
            let own = part.facts[vector].square;
            let limit = last - own + ARITHMETIC * (last + own);
            part.limits[vector] = part.limits[vector].min(limit);
        }
    }
}

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
