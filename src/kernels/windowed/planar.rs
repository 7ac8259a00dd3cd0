//! The search with patches side by side in the lanes of a vector.
//!
//! Patches that lie channel by channel would each end in a sum across a vector, which costs more than the products themselves where
//! channels are few. In planes, `[channels, width]` for each row, a vector holds one channel of neighbouring patches, and a shift by a
//! column is a load one value further. References are kept that way; rows of the query are turned. A row of a reference is widened to
//! f32 once and serves every row of the query whose window covers it.

use super::{Element, Search, Shape, rows};
use crate::kernels::parallel::Buffer;
use crate::kernels::simd::prefetch;
use crate::kernels::vector::Vector;
use std::arch::x86_64::*;

/// Rows of the query and columns of the window that are computed together: nine sums, three vectors of the query and
/// one of the reference fit the sixteen registers of AVX2.
const TILE: usize = 3;
/// Vectors of a row that are computed together where the window is one column.
const ABREAST: usize = 4;

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

    /// Widens a row of a reference, `[channels, width]`; the room around it keeps its value.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn widen<V: Vector, E: Element>(&self, row: &[E], planes: &mut [f32]) {
        let Self { width, channels, margin, stride } = *self;
        assert!(row.len() == width * channels && planes.len() == self.len());
        let whole = width / V::LANES * V::LANES;
        for (row, plane) in row.chunks_exact(width).zip(planes.chunks_exact_mut(stride)) {
            let plane = &mut plane[margin..margin + width];
            for x in (0..whole).step_by(V::LANES) {
                // SAFETY: x + LANES <= width, and both are of that length.
                unsafe { V::widen(row.as_ptr().add(x)).store(plane.as_mut_ptr().add(x)) };
            }
            if width >= V::LANES {
                // The last vector may overlap the one before.
                let x = width - V::LANES;
                // SAFETY: x + LANES == width.
                unsafe { V::widen(row.as_ptr().add(x)).store(plane.as_mut_ptr().add(x)) };
            } else {
                plane.iter_mut().zip(row).for_each(|(value, element)| *value = element.to_f32());
            }
        }
    }

    /// Turns a row of the query, `[width, channels]`, into planes; the room around it keeps its value.
    ///
    /// # Safety
    /// The processor must have AVX2.
    #[inline(always)]
    unsafe fn turn(&self, row: &[f32], planes: &mut [f32]) {
        let Self { width, channels, margin, stride } = *self;
        assert!(row.len() == width * channels && planes.len() == self.len());
        let (whole_width, whole_channels) = (width / 8 * 8, channels / 8 * 8);
        for x in (0..whole_width).step_by(8) {
            for c in (0..whole_channels).step_by(8) {
                // SAFETY: x + 8 <= width and c + 8 <= channels, and the lengths were checked.
                unsafe {
                    let from = row.as_ptr().add(x * channels + c);
                    let to = planes.as_mut_ptr().add(c * stride + margin + x);
                    let turned = transposed(std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * channels))));
                    for (i, vector) in turned.into_iter().enumerate() {
                        _mm256_storeu_ps(to.add(i * stride), vector);
                    }
                }
            }
        }
        for (x, patch) in row.chunks_exact(channels).enumerate() {
            let first = if x < whole_width { whole_channels } else { 0 };
            for (c, value) in patch.iter().enumerate().skip(first) {
                planes[c * stride + margin + x] = *value;
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
        unsafe { query_planes.turn(&search.query[search.row(first + y)], queries) };
    }
    found.fill(f32::NEG_INFINITY);
    reference.fill(0.0);
    // Where sums start: from here a column outside of the map never wins.
    start.fill(f32::NEG_INFINITY);
    start[reach..reach + width].fill(0.0);

    let nearby = first.saturating_sub(reach)..(first + count + reach).min(height);
    for (k, map) in search.references.iter().enumerate() {
        for ry in nearby.clone() {
            // The row after this one is on its way from memory while this one is computed.
            let last = ry + 1 == nearby.end;
            let next = if last {
                search.references.get(k + 1).map(|map| (map, nearby.start))
            } else {
                Some((map, ry + 1))
            };
            if let Some((map, ry)) = next {
                prefetch(&map[search.row(ry)]);
            }
            // SAFETY: the caller has checked the processor.
            unsafe { planes.widen::<V, E>(&map[search.row(ry)], reference) };
            if reach == 0 {
                let y = ry - first;
                let query = &queries[y * query_planes.len()..][..query_planes.len()];
                let found = &mut found[y * query_planes.stride..][..query_planes.stride];
                // SAFETY: the caller has checked the processor.
                unsafe { same_place::<V>(query, reference, query_planes, found) };
                continue;
            }
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

/// Raises `found`, `[stride]`, to the similarity of `query` with `reference`, both `[channels, stride]`, place by place.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn same_place<V: Vector>(query: &[f32], reference: &[f32], planes: Planes, found: &mut [f32]) {
    let Planes { channels, margin, stride, .. } = planes;
    assert!(
        margin == 0
            && query.len() == planes.len()
            && reference.len() == planes.len()
            && found.len() == stride
    );
    let mut x = 0;
    while x < stride {
        let abreast = ABREAST.min((stride - x) / V::LANES);
        // SAFETY: x + abreast * LANES <= stride, which is the length of every plane.
        unsafe {
            match abreast {
                1 => abreast_from::<V, 1>(query, reference, channels, stride, x, found),
                2 => abreast_from::<V, 2>(query, reference, channels, stride, x, found),
                3 => abreast_from::<V, 3>(query, reference, channels, stride, x, found),
                _ => abreast_from::<V, ABREAST>(query, reference, channels, stride, x, found),
            }
        }
        x += abreast * V::LANES;
    }
}

/// `N` vectors of [`same_place`] from column `x` on.
///
/// # Safety
/// The processor must have the instruction set of `V`, the planes must have `stride` values, and `N` vectors must fit behind `x`.
#[inline(always)]
unsafe fn abreast_from<V: Vector, const N: usize>(
    query: &[f32],
    reference: &[f32],
    channels: usize,
    stride: usize,
    x: usize,
    found: &mut [f32],
) {
    // SAFETY: the caller vouches for the lengths.
    unsafe {
        // Two sums a vector: one alone would wait for itself.
        let mut even: [V; N] = std::array::from_fn(|_| V::splat(0.0));
        let mut odd = even;
        let multiply = |c: usize, sums: &mut [V; N]| {
            let (q, r) = (query.as_ptr().add(c * stride + x), reference.as_ptr().add(c * stride + x));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(q.add(i * V::LANES)).multiply_add(V::load(r.add(i * V::LANES)), *sum);
            }
        };
        for c in (0..channels / 2 * 2).step_by(2) {
            multiply(c, &mut even);
            multiply(c + 1, &mut odd);
        }
        if channels % 2 == 1 {
            multiply(channels - 1, &mut even);
        }
        for (i, (even, odd)) in even.into_iter().zip(odd).enumerate() {
            let found = found.as_mut_ptr().add(x + i * V::LANES);
            V::load(found).max(even.add(odd)).store(found);
        }
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
