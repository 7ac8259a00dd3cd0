//! Block-wise histograms of code maps and their robust comparison (CPR's global retrieval).
//!
//! A map of codes `0..K` is cut into `S x S` blocks of side `ceil(H / S)`, `ceil(W / S)`; each block becomes the frequencies
//! of `K + 1` bins. The map is padded on every side by `block * S - H` places, which fall into bin 0; code `k` falls into
//! bin `k + 1`. Blocks start at the padding's corner, as in the authors' code.

/// How code maps of one size are cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Rows and columns of the code map.
    pub map: (usize, usize),
    /// Blocks in each direction.
    pub side: usize,
    /// Number of codes.
    pub codes: usize,
}

impl Blocks {
    /// Number of blocks.
    pub fn count(&self) -> usize {
        self.side * self.side
    }

    /// Bins of a block: one for the padding, then one a code.
    pub fn bins(&self) -> usize {
        self.codes + 1
    }

    /// Values of the histograms of one map, `[blocks, bins]`.
    pub fn len(&self) -> usize {
        self.count() * self.bins()
    }

    /// Never true for a checked method.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `histograms`, `[blocks, bins]`, from a code map; a code out of range counts as padding.
    ///
    /// # Panics
    /// If a length does not fit.
    pub fn histograms(&self, codes: &[u8], histograms: &mut [f32]) {
        let (height, width) = self.map;
        assert_eq!(codes.len(), height * width, "a code map of {height}x{width}");
        assert_eq!(histograms.len(), self.len(), "histograms of {self:?}");
        let (tall, broad) = (height.div_ceil(self.side), width.div_ceil(self.side));
        let (above, left) = (tall * self.side - height, broad * self.side - width);
        let weight = 1.0 / (tall * broad) as f32;
        let mut counts = [0u32; 257];
        for (block, bins) in histograms.chunks_exact_mut(self.bins()).enumerate() {
            counts.fill(0);
            let (row, column) = (block / self.side * tall, block % self.side * broad);
            for y in row..row + tall {
                for x in column..column + broad {
                    let inside = y >= above && y - above < height && x >= left && x - left < width;
                    let code = if inside {
                        usize::from(codes[(y - above) * width + (x - left)])
                    } else {
                        self.codes
                    };
                    counts[if code < self.codes { code + 1 } else { 0 }] += 1;
                }
            }
            for (bin, &count) in bins.iter_mut().zip(&counts) {
                *bin = count as f32 * weight;
            }
        }
    }
}

/// Histograms of the references, prepared for comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    blocks: Blocks,
    epsilon: f64,
    kept: usize,
    /// `ln(r + epsilon)` of every reference; f64, since the terms of a divergence are much larger than their sum.
    logarithms: Vec<f64>,
}

/// A query's histograms, prepared likewise; kept from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct Query {
    frequencies: Vec<f64>,
    /// `sum_k t_k ln t_k` of each block, the same for every reference.
    entropies: Vec<f64>,
    divergences: Vec<f64>,
}

impl Comparison {
    /// Prepares `references`, `[N, blocks, bins]`. The `kept` smallest of the blocks' divergences are summed.
    pub fn new(blocks: Blocks, references: &[f32], epsilon: f64, kept: usize) -> Self {
        let logarithms = references.iter().map(|&r| (f64::from(r) + epsilon).ln()).collect();
        Self { blocks, epsilon, kept: kept.min(blocks.count()), logarithms }
    }

    /// The robust distance of `histograms`, `[blocks, bins]`, to every reference, into `distances`.
    ///
    /// # Panics
    /// If the histograms have another length.
    pub fn distances(&self, histograms: &[f32], query: &mut Query, distances: &mut Vec<f32>) {
        self.prepare(histograms, query);
        distances.clear();
        distances.extend((0..self.references()).map(|index| {
            self.divergences(query, index);
            let divergences = &mut query.divergences;
            if self.kept < divergences.len() {
                divergences.select_nth_unstable_by(self.kept, f64::total_cmp);
            }
            divergences[..self.kept].iter().sum::<f64>() as f32
        }));
    }

    /// The divergence `sum_k t_k ln(t_k / r_k)`, epsilon added to both, of each block from reference `index`.
    pub fn block_divergences(&self, histograms: &[f32], index: usize) -> Vec<f64> {
        let mut query = Query::default();
        self.prepare(histograms, &mut query);
        self.divergences(&mut query, index);
        query.divergences
    }

    fn references(&self) -> usize {
        self.logarithms.len() / self.blocks.len()
    }

    fn prepare(&self, histograms: &[f32], query: &mut Query) {
        assert_eq!(histograms.len(), self.blocks.len(), "histograms of {:?}", self.blocks);
        query.frequencies.clear();
        query.frequencies.extend(histograms.iter().map(|&t| f64::from(t) + self.epsilon));
        query.entropies.clear();
        let blocks = query.frequencies.chunks_exact(self.blocks.bins());
        query.entropies.extend(blocks.map(|block| block.iter().map(|&t| t * t.ln()).sum::<f64>()));
        query.divergences.resize(self.blocks.count(), 0.0);
    }

    fn divergences(&self, query: &mut Query, index: usize) {
        let bins = self.blocks.bins();
        let reference = &self.logarithms[index * self.blocks.len()..][..self.blocks.len()];
        let blocks = query.frequencies.chunks_exact(bins).zip(reference.chunks_exact(bins));
        for ((divergence, entropy), (t, log_r)) in
            query.divergences.iter_mut().zip(&query.entropies).zip(blocks)
        {
            *divergence = entropy - t.iter().zip(log_r).map(|(t, log_r)| t * log_r).sum::<f64>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histograms(blocks: Blocks, codes: &[u8]) -> Vec<f32> {
        let mut histograms = vec![0.0; blocks.len()];
        blocks.histograms(codes, &mut histograms);
        histograms
    }

    #[test]
    fn padding_surrounds_the_map() {
        // Blocks of 2 and one place of padding on every side: the last row and column of the padding are not covered.
        let blocks = Blocks { map: (3, 3), side: 2, codes: 2 };
        let found = histograms(blocks, &[0, 1, 1, 1, 0, 0, 1, 0, 9]);
        assert_eq!(found, [0.75, 0.25, 0.0, 0.5, 0.0, 0.5, 0.5, 0.0, 0.5, 0.25, 0.75, 0.0]);
    }

    proptest! {
        #[test]
        fn each_block_sums_to_one(
            height in 1usize..40, width in 1usize..40, side in 1usize..7, codes in 2usize..256,
            values in proptest::collection::vec(any::<u8>(), 40 * 40),
        ) {
            let blocks = Blocks { map: (height, width), side, codes };
            let found = histograms(blocks, &values[..height * width]);
            for block in found.chunks_exact(blocks.bins()) {
                prop_assert!((block.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                prop_assert!(block.iter().all(|&share| (0.0..=1.0).contains(&share)));
            }
        }

        #[test]
        fn distances_agree_with_the_definition(
            maps in proptest::collection::vec(proptest::collection::vec(0u8..6, 100), 2..6), kept in 1usize..12,
        ) {
            let blocks = Blocks { map: (10, 10), side: 3, codes: 6 };
            let made: Vec<Vec<f32>> = maps.iter().map(|codes| histograms(blocks, codes)).collect();
            let (query, references) = (&made[0], &made[1..]);
            let comparison = Comparison::new(blocks, &references.concat(), 1e-8, kept);
            let mut found = Vec::new();
            comparison.distances(query, &mut Query::default(), &mut found);
            for (found, reference) in found.iter().zip(references) {
                let bins = query.chunks_exact(blocks.bins()).zip(reference.chunks_exact(blocks.bins()));
                let term = |(&t, &r): (&f32, &f32)| {
                    let (t, r) = (f64::from(t) + 1e-8, f64::from(r) + 1e-8);
                    t * (t / r).ln()
                };
                let mut divergences: Vec<f64> = bins.map(|(t, r)| t.iter().zip(r).map(term).sum()).collect();
                divergences.sort_by(f64::total_cmp);
                let expected: f64 = divergences.iter().take(kept).sum();
                prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} != {expected}");
            }
        }

        #[test]
        fn a_map_is_at_no_distance_from_itself(codes in proptest::collection::vec(0u8..6, 100)) {
            let blocks = Blocks { map: (10, 10), side: 3, codes: 6 };
            let histograms = histograms(blocks, &codes);
            let mut found = Vec::new();
            Comparison::new(blocks, &histograms, 1e-8, 9).distances(&histograms, &mut Query::default(), &mut found);
            prop_assert!(found[0].abs() < 1e-6);
        }
    }
}
