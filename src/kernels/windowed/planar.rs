//! Windows of three and more columns: neighbouring patches lie in the lanes of a vector.
//!
//! With the channels in the lanes, every dot product would end in a sum across a vector, which costs more than
//! the products themselves where channels are few. So each row is turned from `[width, channels]` into planes,
//! `[channels, width]`; a vector then holds one channel of neighbouring patches, and a shift by a column is a
//! load one value further. A row of a reference is turned once and serves every row of the query whose window covers it.

use super::{Element, Search, Shape, rows};
use crate::kernels::parallel::Buffer;
use crate::kernels::vector::Vector;
use std::arch::x86_64::*;

/// Rows of the query and columns of the window that are computed together: nine sums, three vectors of the query and
/// one of the reference fit the sixteen registers of AVX2.
const TILE: usize = 3;

/// The layout of planes: one row of a map with room on both sides, so that no vector ends outside.
#[derive(Clone, Copy)]
struct Planes {
    width: usize,
    channels: usize,
    /// Places before the first column.
    margin: usize,
    stride: usize,
}

impl Planes {
    fn new<V: Vector>(shape: Shape, margin: usize) -> Self {
        let stride = shape.width.next_multiple_of(V::LANES) + 2 * margin;
        Self { width: shape.width, channels: shape.channels, margin, stride }
    }

    fn len(&self) -> usize {
        self.channels * self.stride
    }

    /// Turns a row, `[width, channels]`, into planes; the room around it keeps its value.
    ///
    /// # Safety
    /// The processor must have AVX2 and F16C.
    #[inline(always)]
    unsafe fn fill<E: Element>(&self, row: &[E], planes: &mut [f32]) {
        let Self { width, channels, margin, stride } = *self;
        assert!(row.len() == width * channels && planes.len() == self.len());
        let (whole_width, whole_channels) = (width / 8 * 8, channels / 8 * 8);
        for x in (0..whole_width).step_by(8) {
            for c in (0..whole_channels).step_by(8) {
                // SAFETY: x + 8 <= width and c + 8 <= channels, and the lengths were checked.
                unsafe {
                    let from = row.as_ptr().add(x * channels + c);
                    let to = planes.as_mut_ptr().add(c * stride + margin + x);
                    let turned = transposed(std::array::from_fn(|i| E::load8(from.add(i * channels))));
                    for (i, vector) in turned.into_iter().enumerate() {
                        _mm256_storeu_ps(to.add(i * stride), vector);
                    }
                }
            }
        }
        for (x, patch) in row.chunks_exact(channels).enumerate() {
            let first = if x < whole_width { whole_channels } else { 0 };
            for (c, value) in patch.iter().enumerate().skip(first) {
                planes[c * stride + margin + x] = value.to_f32();
            }
        }
    }
}

/// Fills `best` with the similarities of the rows from `first` on, as many as it holds.
///
/// # Safety
/// The processor must have AVX2, F16C and the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn band<V: Vector, E: Element>(search: &Search<'_, E>, first: usize, best: &mut [f32]) {
    let Shape { height, width, .. } = search.shape;
    let (count, reach, side) = (best.len() / width, search.reach, 2 * search.reach + 1);
    let (query_planes, planes) = (Planes::new::<V>(search.shape, 0), Planes::new::<V>(search.shape, reach));
    let mut buffer =
        Buffer::new(count * (query_planes.len() + query_planes.stride) + planes.len() + planes.stride);
    let (queries, rest) = buffer.split_at_mut(count * query_planes.len());
    let (found, rest) = rest.split_at_mut(count * query_planes.stride);
    let (reference, start) = rest.split_at_mut(planes.len());
    queries.fill(0.0);
    for (y, queries) in queries.chunks_exact_mut(query_planes.len()).enumerate() {
        // SAFETY: the caller has checked the processor.
        unsafe { query_planes.fill(&search.query[search.row(first + y)], queries) };
    }
    found.fill(f32::NEG_INFINITY);
    reference.fill(0.0);
    // Where sums start: from here a column outside of the map never wins.
    start.fill(f32::NEG_INFINITY);
    start[reach..reach + width].fill(0.0);

    for map in search.references {
        for ry in first.saturating_sub(reach)..(first + count + reach).min(height) {
            // SAFETY: the caller has checked the processor.
            unsafe { planes.fill(&map[search.row(ry)], reference) };
            // The rows of the query whose windows cover this row of the reference.
            let covering = rows(ry, reach, first + count);
            let (mut y, end) = (covering.start.max(first) - first, covering.end - first);
            while y < end {
                let together = TILE.min(end - y);
                let queries = &queries[y * query_planes.len()..(y + together) * query_planes.len()];
                let found = &mut found[y * query_planes.stride..(y + together) * query_planes.stride];
                for step in (0..side).step_by(TILE) {
                    // The last columns of the window may be computed twice; the largest stays the largest.
                    let column = step.min(side - TILE);
                    let row = Row { reference, start, query_planes, planes, column };
                    // SAFETY: the caller has checked the processor.
                    unsafe {
                        match together {
                            1 => row.search::<V, 1>(queries, found),
                            2 => row.search::<V, 2>(queries, found),
                            _ => row.search::<V, TILE>(queries, found),
                        }
                    }
                }
                y += together;
            }
        }
    }
    for (best, found) in best.chunks_exact_mut(width).zip(found.chunks_exact(query_planes.stride)) {
        best.copy_from_slice(&found[..width]);
    }
}

/// A row of a reference, shifted by the first of three columns of the window.
struct Row<'a> {
    reference: &'a [f32],
    start: &'a [f32],
    query_planes: Planes,
    planes: Planes,
    column: usize,
}

impl Row<'_> {
    /// Raises `found`, `[ROWS, stride]`, to the similarity with `queries`, `[ROWS, channels, stride]`.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn search<V: Vector, const ROWS: usize>(&self, queries: &[f32], found: &mut [f32]) {
        let (stride, query_stride, query_len) =
            (self.planes.stride, self.query_planes.stride, self.query_planes.len());
        assert!(self.reference.len() == self.planes.len() && self.start.len() == stride);
        assert!(queries.len() == ROWS * query_len && found.len() == ROWS * query_stride);
        assert!(
            self.column + TILE <= 2 * self.planes.margin + 1
                && query_stride + 2 * self.planes.margin == stride
        );
        for x in (0..self.query_planes.width).step_by(V::LANES) {
            // SAFETY: x + LANES <= query_stride, so that x + column + TILE - 1 + LANES <= stride; the lengths were checked above.
            unsafe {
                let start = self.start.as_ptr().add(x + self.column);
                let mut sums = [[0, 1, 2].map(|shift| V::load(start.add(shift))); ROWS];
                let mut q = queries.as_ptr().add(x);
                let mut r = self.reference.as_ptr().add(x + self.column);
                for _ in 0..self.planes.channels {
                    let shifted: [V; TILE] = [0, 1, 2].map(|shift| V::load(r.add(shift)));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let q = V::load(q.add(row * query_len));
                        for (sum, r) in sums.iter_mut().zip(shifted) {
                            *sum = q.multiply_add(r, *sum);
                        }
                    }
                    q = q.wrapping_add(query_stride);
                    r = r.wrapping_add(stride);
                }
                for (row, [a, b, c]) in sums.into_iter().enumerate() {
                    let found = found.as_mut_ptr().add(row * query_stride + x);
                    V::load(found).max(a).max(b).max(c).store(found);
                }
            }
        }
    }
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transposed(v: [__m256; 8]) -> [__m256; 8] {
    let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let ((a0, a1), (a2, a3), (a4, a5), (a6, a7)) =
        (pair(v[0], v[1]), pair(v[2], v[3]), pair(v[4], v[5]), pair(v[6], v[7]));
    let four = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
    let ((b0, b1), (b2, b3), (b4, b5), (b6, b7)) = (four(a0, a2), four(a1, a3), four(a4, a6), four(a5, a7));
    let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
    let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
    [
        low(b0, b4),
        low(b1, b5),
        low(b2, b6),
        low(b3, b7),
        high(b0, b4),
        high(b1, b5),
        high(b2, b6),
        high(b3, b7),
    ]
}
