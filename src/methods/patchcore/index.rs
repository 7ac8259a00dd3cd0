//! Building the index of a large bank, and measuring what it finds.
//!
//! The graph is built by `hnsw_rs`, of which only the links between rows are kept, as plain numbers in the bank: whoever opens a bundle
//! can check them, and needs no library for it. Rows are put in one after the other, in the bank's order, so that the same
//! bank has the same index.

use super::coreset::draw;
use super::patches::Patches;
use super::rows::Rows;
use super::{Index, Params};
use crate::error::{Error, Result};
use crate::kernels::nearest::{Found, Graph, Nearest, Skip, Space, Walk, Walkers};
use crate::methods::fitting::Progress;
use half::f16;
use half::slice::HalfFloatSliceExt;
use hnsw_rs::prelude::{Distance, Hnsw};

/// Gives `rows` an index, if `params` ask for one, and widens its search until it finds enough: `patches` are good images' patches that
/// it is measured with, the first of them of image `first`.
///
/// # Errors
/// If the user interrupts, or no search finds enough.
pub(super) fn build(
    rows: &mut Rows,
    patches: &Patches,
    first: usize,
    params: &mut Params,
    seed: u64,
    progress: &mut dyn Progress,
) -> Result<()> {
    if params.index.degree().is_none() {
        params.index.recall = 1.0;
        return Ok(());
    }
    if params.rows < PAYS {
        progress.note(&format!(
            "comparing with all of so few rows ({}) is as fast; an index pays from about {PAYS}",
            params.rows
        ));
    }
    let dimension = params.embedding.aggregated;
    rows.links = links(&rows.values, dimension, &params.index, progress)?;
    let queries = Queries::draw(patches, first, rows, params.index.queries, seed);
    progress.note(&tune(&queries, rows, dimension, &mut params.index)?);
    Ok(())
}

/// Rows from which a search by the index takes less time than comparing with all: docs/methods.md.
const PAYS: usize = 10_000;
/// Rows that are put in before the user is asked again.
const AT_ONCE: usize = 1024;
/// Layers of the library's index at most; a bank of 2^28 rows has fewer.
const LAYERS: usize = 16;

/// The links of each of `rows`, `[n, dimension]`, in order of their length, filled up with the row itself: `[n, degree]`.
///
/// # Errors
/// If the user interrupts.
pub fn links(rows: &[f16], dimension: usize, index: &Index, progress: &mut dyn Progress) -> Result<Vec<u32>> {
    let count = rows.len() / dimension;
    let degree = 2 * index.links;
    let own: Vec<u32> = (0..count as u32).collect();
    let graph = Graph::new(rows, dimension, own);
    let library = Hnsw::new(index.links, count, LAYERS, index.construction, Between(&graph));
    progress.stage("building the index", count.div_ceil(AT_ONCE));
    for first in (0..count).step_by(AT_ONCE) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        (first..count.min(first + AT_ONCE)).for_each(|row| library.insert((&[row as u32], row)));
        progress.advance();
    }
    let mut links: Vec<u32> = (0..count * degree).map(|i| (i / degree) as u32).collect();
    for point in library.get_point_indexation() {
        let own = &mut links[point.get_origin_id() * degree..][..degree];
        // The base layer has all rows.
        let base = point.get_neighborhood_id().into_iter().next().unwrap_or_default();
        own.iter_mut().zip(base).for_each(|(link, neighbour)| *link = neighbour.d_id as u32);
    }
    Ok(links)
}

/// The distance of two rows that are given by their numbers.
struct Between<'a>(&'a Graph);

impl Distance<u32> for Between<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        self.0.square_between(a[0], b[0])
    }
}

/// Patches of good images, by image.
struct Queries {
    images: Vec<(u32, Vec<f32>)>,
    /// Whether a patch is compared with other images' rows alone, as one of a new image would be.
    apart: bool,
}

impl Queries {
    fn draw(patches: &Patches, first: usize, rows: &Rows, count: usize, seed: u64) -> Self {
        let (per_image, dimension) = (patches.per_image(), patches.dimension);
        let mut drawn = draw(patches.images * per_image, count, seed);
        drawn.sort_unstable();
        let vectors = |patches_of: &[usize]| {
            let mut vectors = vec![0.0; patches_of.len() * dimension];
            for (vector, &patch) in vectors.chunks_exact_mut(dimension).zip(patches_of) {
                patches.values()[patch * dimension..][..dimension].convert_to_f32_slice(vector);
            }
            vectors
        };
        let images = drawn.chunk_by(|a, b| a / per_image == b / per_image);
        let images = images.map(|of| ((first + of[0] / per_image) as u32, vectors(of))).collect();
        let apart = rows.images.iter().any(|&image| image != rows.images[0]);
        Self { images, apart }
    }
}

/// Doubles the breadth of the search until its recall is enough, and says how it ended.
fn tune(queries: &Queries, rows: &Rows, dimension: usize, index: &mut Index) -> Result<String> {
    let exact = Nearest::new(&rows.values, dimension);
    let graph = Graph::new(&rows.values, dimension, rows.links.clone());
    let (mut space, walkers) = (Space::default(), Walkers::default());
    let mut searched = Vec::new();
    for (image, vectors) in &queries.images {
        let skip = queries.apart.then_some(Skip { owners: &rows.images, owner: *image });
        let mut found = vec![Found::default(); vectors.len() / dimension];
        exact.find(&rows.values, vectors, skip, &mut space, &mut found)?;
        searched.push((vectors, skip, found));
    }
    let count = searched.iter().map(|(.., nearest)| nearest.len()).sum::<usize>();
    let recall = |walk: Walk| -> Result<f64> {
        let mut hits = 0;
        for (vectors, skip, nearest) in &searched {
            let mut found = vec![Found::default(); nearest.len()];
            graph.find(&rows.values, vectors, walk, *skip, &walkers, &mut found)?;
            hits += found
                .iter()
                .zip(nearest)
                .filter(|(found, nearest)| found.distance == nearest.distance)
                .count();
        }
        Ok(hits as f64 / count as f64)
    };
    loop {
        index.recall = recall(index.walk())?;
        if index.recall >= index.least_recall {
            return Ok(format!(
                "the index finds the nearest row of {:.2} % of {count} patches, with a breadth of {}",
                100.0 * index.recall,
                index.breadth
            ));
        }
        if index.breadth >= rows.images.len() {
            return Err(Error::Fit(format!(
                "the index finds the nearest row of {:.2} % of {count} patches however far it is followed, and {:.2} % were asked \
                 for: raise index.links or index.construction, lower index.least_recall, or search exactly",
                100.0 * index.recall,
                100.0 * index.least_recall
            )));
        }
        index.breadth *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::IndexKind;
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    const DIMENSION: usize = 48;

    /// Points around the curves of `groups` random waves: clusters of few dimensions in many, as patches of images are.
    fn points(count: usize, groups: usize, seed: u64) -> Vec<f16> {
        let mut random = Xoshiro256Plus::seed_from_u64(1);
        let waves: Vec<f32> = (0..groups * DIMENSION).map(|_| random.gen_range(0.0..20.0)).collect();
        let mut random = Xoshiro256Plus::seed_from_u64(seed);
        let mut points = Vec::with_capacity(count * DIMENSION);
        for i in 0..count {
            let (a, b) = (random.gen_range(0.0..1f32), random.gen_range(0.0..1f32));
            let wave = &waves[i % groups * DIMENSION..][..DIMENSION];
            points.extend(wave.iter().enumerate().map(|(k, w)| {
                let value = (a * w + b * k as f32 * 0.2).sin() + random.gen_range(-0.05..0.05);
                f16::from_f32(value)
            }));
        }
        points
    }

    fn bank(count: usize, index: &Index) -> Rows {
        let values = points(count, 12, 2);
        let mut rows = Rows::new(values, (0..count as u32).map(|row| row % 10).collect());
        rows.links = links(&rows.values, DIMENSION, index, &mut ()).unwrap();
        rows
    }

    fn queries(rows: &Rows, count: usize) -> Queries {
        let vectors = points(count, 12, 3).iter().map(|value| value.to_f32()).collect();
        Queries { images: vec![(rows.images[0], vectors)], apart: false }
    }

    #[test]
    fn nearly_every_nearest_row_is_found_and_without_looking_at_all() {
        let mut index = Index { kind: IndexKind::Approximate, ..Index::default() };
        let rows = bank(5_000, &index);
        let note = tune(&queries(&rows, 1_000), &rows, DIMENSION, &mut index).unwrap();
        assert!(index.recall >= 0.99 && index.breadth < 1_000, "{note}");
        assert!(rows.links == bank(5_000, &index).links, "the same rows have the same index");
    }

    #[test]
    fn a_bank_of_fewer_rows_than_links() {
        for count in [1, 2, 5, 40] {
            let mut index = Index { kind: IndexKind::Approximate, ..Index::default() };
            let rows = bank(count, &index);
            assert_eq!(rows.links.len(), count * 32);
            tune(&queries(&rows, 100), &rows, DIMENSION, &mut index).unwrap();
            assert_eq!((index.recall, index.breadth), (1.0, 16), "{count}");
        }
    }

    #[test]
    fn rows_that_are_all_the_same() {
        let mut index = Index { kind: IndexKind::Approximate, ..Index::default() };
        let mut rows = Rows::new(vec![f16::ONE; 500 * DIMENSION], vec![0; 500]);
        rows.links = links(&rows.values, DIMENSION, &index, &mut ()).unwrap();
        tune(&queries(&rows, 100), &rows, DIMENSION, &mut index).unwrap();
        assert_eq!(index.recall, 1.0);
    }

    #[test]
    fn an_index_that_leads_nowhere_is_an_error() {
        let mut index = Index { kind: IndexKind::Approximate, ..Index::default() };
        let mut rows = bank(2_000, &index);
        let own: Vec<u32> = rows.links.chunks(32).enumerate().flat_map(|(row, _)| [row as u32; 32]).collect();
        rows.links = own;
        let error = tune(&queries(&rows, 500), &rows, DIMENSION, &mut index).unwrap_err().to_string();
        assert!(error.contains("500 patches") && error.contains("99.00 % were asked for"), "{error}");
    }
}
