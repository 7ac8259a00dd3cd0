//! The search with patches side by side in the lanes of a vector.
//!
//! Patches that lie channel by channel would each end in a sum across a vector, which costs more than the products themselves where
//! channels are few. In planes, `[channels, width]` for each row, a vector holds one channel of neighbouring patches, and a shift by a
//! column is a load one value further. References are kept that way; rows of the query are turned. A row of a reference is widened to
//! f32 once, some channels at a time, and serves every row of the query whose window covers it. Sums wait for the next channels
//! in memory: a frame reads tens of megabytes of references, and what is left to win is that nothing else leaves the near caches.

use super::{Element, Search, Shape, rows};
use crate::kernels::parallel::Buffer;
use crate::kernels::simd::{LINE, prefetch_for_later};
use crate::kernels::vector::Vector;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of the query and columns of the window that are computed together: nine sums a reference, one vector of the query and three of
/// the reference fit the sixteen registers of AVX2.
const TILE: usize = 3;
/// Vectors of a row that are computed together where the window is one column.
const ABREAST: usize = 4;
/// Channels of a row of a reference that are widened at a time at most, so that they are still in the nearest cache when they are used.
const CHANNELS: usize = 24;

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
    fn new<V: Vector>(width: usize, channels: usize, margin: usize) -> Self {
        Self { width, channels, margin, stride: width.next_multiple_of(V::LANES) + 2 * margin }
    }

    fn len(&self) -> usize {
        self.channels * self.stride
    }

    /// Widens channels of a row of a reference, `[channels, width]`; the room around them keeps its value.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn widen<V: Vector, E: Element>(&self, row: &[E], planes: &mut [f32]) {
        let Self { width, margin, stride, .. } = *self;
        assert!(row.len().is_multiple_of(width) && row.len() / width * stride <= planes.len());
        let whole = width / V::LANES * V::LANES;
        for (row, plane) in row.chunks_exact(width).zip(planes.chunks_exact_mut(stride)) {
            let plane = &mut plane[margin..margin + width];
            for x in (0..whole).step_by(V::LANES) {
                // SAFETY: x + LANES <= width, and both are of that length.
                unsafe { V::widen(row.as_ptr().add(x)).store(plane.as_mut_ptr().add(x)) };
            }
            if whole == width {
                continue;
            }
            if width >= V::LANES {
                // The last vector overlaps the one before.
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

/// Fills `best` with the similarities of the rows from `first` on, as many as it holds. `AT_ONCE` references are searched together, so
/// that the query, which no near cache can hold, is read less often: one, or two where there are registers for twice the sums.
///
/// # Safety
/// The processor must have AVX2, F16C and the instruction set of `V`.
#[inline(always)]
pub(super) unsafe fn band<V: Vector, E: Element, const AT_ONCE: usize>(
    search: &Search<'_, E>,
    first: usize,
    best: &mut [f32],
) {
    let Shape { height, width, channels } = search.shape;
    let (count, reach) = (best.len() / width, search.reach);
    let query_planes = Planes::new::<V>(width, channels, 0);
    let length = count * (query_planes.len() + query_planes.stride) + Work::len::<V, E>(search, AT_ONCE);
    let mut buffer = Buffer::new(length + LINE / size_of::<f32>());
    // A vector that lies across two lines of the cache is read twice.
    let aligned = buffer.as_ptr().align_offset(LINE).min(LINE / size_of::<f32>());
    let (queries, rest) = buffer[aligned..].split_at_mut(count * query_planes.len());
    let (found, rest) = rest.split_at_mut(count * query_planes.stride);
    queries.fill(0.0);
    for (y, queries) in queries.chunks_exact_mut(query_planes.len()).enumerate() {
        // SAFETY: the caller has checked the processor.
        unsafe { query_planes.turn(&search.query[search.row(first + y)], queries) };
    }
    found.fill(f32::NEG_INFINITY);

    let nearby = first.saturating_sub(reach)..(first + count + reach).min(height);
    let mut work = Work::new::<V, E>(search, AT_ONCE, rest);
    for k in (0..search.references.len()).step_by(AT_ONCE) {
        for ry in nearby.clone() {
            // The rows after these are on their way from memory while these are computed.
            let (next_k, next_ry) =
                if ry + 1 == nearby.end { (k + AT_ONCE, nearby.start) } else { (k, ry + 1) };
            let row =
                |k: usize, ry: usize| search.references.get(k).map_or(&[][..], |map| &map[search.row(ry)]);
            // The rows of the query whose windows cover these.
            let covering = rows(ry, reach, first + count);
            let covering = covering.start.max(first) - first..covering.end - first;
            let lines = Lines { queries, query_planes, covering };
            // SAFETY: the caller has checked the processor.
            unsafe {
                if AT_ONCE == 2 && k + 1 < search.references.len() {
                    let next = [row(next_k, next_ry), row(next_k + 1, next_ry)];
                    work.search::<V, E, 2>([row(k, ry), row(k + 1, ry)], next, &lines, found);
                } else {
                    work.search::<V, E, 1>([row(k, ry)], [row(next_k, next_ry)], &lines, found);
                }
            }
        }
    }
    for (best, found) in best.chunks_exact_mut(width).zip(found.chunks_exact(query_planes.stride)) {
        best.copy_from_slice(&found[..width]);
    }
}

/// Rows of the query in planes, and those of them that a row of a reference is compared with.
struct Lines<'a> {
    queries: &'a [f32],
    query_planes: Planes,
    covering: Range<usize>,
}

/// Rows that will be read next, asked for from memory bit by bit: all at once would keep the processor waiting.
struct Ahead<'a, E, const N: usize> {
    rest: [&'a [E]; N],
    step: usize,
}

impl<'a, E, const N: usize> Ahead<'a, E, N> {
    /// Asks for the rows in so many steps.
    fn new(rows: [&'a [E]; N], steps: usize) -> Self {
        Self { rest: rows, step: rows[0].len().div_ceil(steps).next_multiple_of(LINE / size_of::<E>()) }
    }

    #[inline(always)]
    fn advance(&mut self) {
        for rest in &mut self.rest {
            let (now, later) = rest.split_at(self.step.min(rest.len()));
            prefetch_for_later(now);
            *rest = later;
        }
    }
}

/// What a search of rows needs room for.
struct Work<'a> {
    planes: Planes,
    side: usize,
    /// Some channels of a row of each reference, widened.
    widened: &'a mut [f32],
    /// Where sums start, `[stride]`: from here a column outside of the map never wins.
    start: &'a mut [f32],
    /// Sums over the channels so far.
    sums: &'a mut [f32],
}

impl<'a> Work<'a> {
    /// The layout of the widened channels: all in as many parts of the same size as it takes.
    fn planes<V: Vector, E>(search: &Search<'_, E>) -> Planes {
        let Shape { width, channels, .. } = search.shape;
        let parts = channels.div_ceil(CHANNELS).max(1);
        Planes::new::<V>(width, channels.div_ceil(parts), search.reach)
    }

    /// Values of [`Work::widened`], [`Work::start`] and [`Work::sums`].
    fn lengths<V: Vector, E>(search: &Search<'_, E>, at_once: usize) -> [usize; 3] {
        let (planes, side) = (Self::planes::<V, E>(search), 2 * search.reach + 1);
        let tiles = side.div_ceil(TILE);
        // The rows of the query that a window covers by the columns of a window by the places of a row.
        [
            at_once * planes.len(),
            planes.stride,
            at_once * (tiles * TILE).pow(2) * planes.width.next_multiple_of(V::LANES),
        ]
    }

    fn len<V: Vector, E>(search: &Search<'_, E>, at_once: usize) -> usize {
        Self::lengths::<V, E>(search, at_once).iter().sum()
    }

    fn new<V: Vector, E>(search: &Search<'_, E>, at_once: usize, buffer: &'a mut [f32]) -> Self {
        let [widened, start, _] = Self::lengths::<V, E>(search, at_once);
        let (widened, rest) = buffer.split_at_mut(widened);
        let (start, sums) = rest.split_at_mut(start);
        widened.fill(0.0);
        start.fill(f32::NEG_INFINITY);
        start[search.reach..search.reach + search.shape.width].fill(0.0);
        Self { planes: Self::planes::<V, E>(search), side: 2 * search.reach + 1, widened, start, sums }
    }

    /// Raises `found`, `[rows, stride]`, to the similarity of the rows of the query with `references`, one row of each.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn search<V: Vector, E: Element, const N: usize>(
        &mut self,
        references: [&[E]; N],
        next: [&[E]; N],
        lines: &Lines<'_>,
        found: &mut [f32],
    ) {
        let Planes { width, channels: most, .. } = self.planes;
        let Lines { query_planes, ref covering, .. } = *lines;
        let (channels, blocks) = (query_planes.channels, width.div_ceil(V::LANES));
        let tiles = covering.len().div_ceil(TILE) * self.side.div_ceil(TILE);
        let mut ahead = Ahead::new(next, channels.div_ceil(most) * tiles * blocks);
        if self.side == 1 {
            let query = &lines.queries[covering.start * query_planes.len()..][..query_planes.len()];
            let found = &mut found[covering.start * query_planes.stride..][..query_planes.stride];
            for reference in references {
                // SAFETY: the caller has checked the processor.
                unsafe { same_place::<V, E, N>(query, reference, query_planes, found, &mut ahead) };
            }
            return;
        }
        for from in (0..channels).step_by(most) {
            let part = from..(from + most).min(channels);
            for (reference, widened) in
                references.iter().zip(self.widened.chunks_exact_mut(self.planes.len()))
            {
                // SAFETY: the caller has checked the processor.
                unsafe {
                    self.planes.widen::<V, E>(&reference[part.start * width..part.end * width], widened)
                };
            }
            let mut sums = &mut *self.sums;
            for y in covering.clone().step_by(TILE) {
                let together = TILE.min(covering.end - y);
                let queries = &lines.queries[y * query_planes.len()..(y + together) * query_planes.len()];
                let found = &mut found[y * query_planes.stride..(y + together) * query_planes.stride];
                for step in (0..self.side).step_by(TILE) {
                    // The last columns of the window may be computed twice; the largest stays the largest.
                    let column = step.min(self.side - TILE);
                    let tile;
                    (tile, sums) = sums.split_at_mut(N * together * TILE * blocks * V::LANES);
                    let tile = Tile {
                        references: self.widened,
                        start: self.start,
                        query_planes,
                        planes: self.planes,
                        column,
                        part: part.clone(),
                        sums: tile,
                    };
                    // SAFETY: the caller has checked the processor.
                    unsafe {
                        match together {
                            1 => tile.search::<V, E, N, 1>(queries, found, &mut ahead),
                            2 => tile.search::<V, E, N, 2>(queries, found, &mut ahead),
                            _ => tile.search::<V, E, N, TILE>(queries, found, &mut ahead),
                        }
                    }
                }
            }
        }
    }
}

/// Raises `found`, `[stride]`, to the similarity of `query`, `[channels, stride]`, with `reference`, `[channels, width]`, place by place.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn same_place<V: Vector, E: Element, const N: usize>(
    query: &[f32],
    reference: &[E],
    planes: Planes,
    found: &mut [f32],
    ahead: &mut Ahead<'_, E, N>,
) {
    let Planes { width, channels, margin, stride } = planes;
    assert!(margin == 0 && query.len() == planes.len() && reference.len() == channels * width);
    assert!(found.len() == stride);
    if width < V::LANES {
        for (x, found) in found[..width].iter_mut().enumerate() {
            let (query, reference) =
                (query[x..].iter().step_by(stride), reference[x..].iter().step_by(width));
            *found = found.max(query.zip(reference).map(|(q, r)| q * r.to_f32()).sum());
        }
        return;
    }
    let mut x = 0;
    while x < width {
        let abreast = ABREAST.min((width - x) / V::LANES);
        (0..abreast).for_each(|_| ahead.advance());
        // SAFETY: x + abreast * LANES <= width; where less than a vector is left, the last one overlaps the one before.
        unsafe {
            match abreast {
                0 => abreast_from::<V, E, 1>(query, reference, planes, width - V::LANES, found),
                1 => abreast_from::<V, E, 1>(query, reference, planes, x, found),
                2 => abreast_from::<V, E, 2>(query, reference, planes, x, found),
                3 => abreast_from::<V, E, 3>(query, reference, planes, x, found),
                _ => abreast_from::<V, E, ABREAST>(query, reference, planes, x, found),
            }
        }
        x += abreast.max(1) * V::LANES;
    }
}

/// `N` vectors of [`same_place`] from column `x` on.
///
/// # Safety
/// The processor must have the instruction set of `V`, the lengths must be as there, and `N` vectors must fit between `x` and the width.
#[inline(always)]
unsafe fn abreast_from<V: Vector, E: Element, const N: usize>(
    query: &[f32],
    reference: &[E],
    planes: Planes,
    x: usize,
    found: &mut [f32],
) {
    let Planes { width, channels, stride, .. } = planes;
    // SAFETY: the caller vouches for the lengths.
    unsafe {
        // Two sums a vector: one alone would wait for itself.
        let mut even: [V; N] = std::array::from_fn(|_| V::splat(0.0));
        let mut odd = even;
        let multiply = |c: usize, sums: &mut [V; N]| {
            let (q, r) = (query.as_ptr().add(c * stride + x), reference.as_ptr().add(c * width + x));
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(q.add(i * V::LANES)).multiply_add(V::widen(r.add(i * V::LANES)), *sum);
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

/// Some channels of a row of each reference, shifted by the first of three columns of the window.
struct Tile<'a> {
    references: &'a [f32],
    start: &'a [f32],
    query_planes: Planes,
    planes: Planes,
    column: usize,
    /// The channels.
    part: Range<usize>,
    sums: &'a mut [f32],
}

impl Tile<'_> {
    /// Adds the products of these channels to the sums and, if they are the last ones, raises `found`, `[ROWS, stride]`, to the similarity
    /// with `queries`, `[ROWS, channels, stride]`.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn search<V: Vector, E, const N: usize, const ROWS: usize>(
        self,
        queries: &[f32],
        found: &mut [f32],
        ahead: &mut Ahead<'_, E, N>,
    ) {
        let (stride, query_stride, query_len) =
            (self.planes.stride, self.query_planes.stride, self.query_planes.len());
        let (len, blocks) = (self.planes.len(), self.query_planes.width.div_ceil(V::LANES));
        assert!(self.references.len() >= N * len && self.start.len() == stride);
        assert!(queries.len() == ROWS * query_len && found.len() == ROWS * query_stride);
        assert!(self.part.len() <= self.planes.channels && self.part.end <= self.query_planes.channels);
        assert!(self.sums.len() == N * ROWS * TILE * blocks * V::LANES);
        assert!(
            self.column + TILE <= 2 * self.planes.margin + 1
                && query_stride == blocks * V::LANES
                && query_stride + 2 * self.planes.margin == stride
        );
        let (is_first, is_last) = (self.part.start == 0, self.part.end == self.query_planes.channels);
        for block in 0..blocks {
            ahead.advance();
            let x = block * V::LANES;
            // SAFETY: x + LANES <= query_stride, so that x + column + TILE - 1 + LANES <= stride; the lengths were checked above.
            unsafe {
                let kept: *mut f32 = self.sums.as_mut_ptr().add(block * N * ROWS * TILE * V::LANES);
                let place = |n: usize, row: usize, shift: usize| {
                    kept.add(((n * ROWS + row) * TILE + shift) * V::LANES)
                };
                let start = self.start.as_ptr().add(x + self.column);
                let mut sums = [[[V::splat(0.0); TILE]; ROWS]; N];
                for (n, sums) in sums.iter_mut().enumerate() {
                    for (row, sums) in sums.iter_mut().enumerate() {
                        for (shift, sum) in sums.iter_mut().enumerate() {
                            *sum = V::load(if is_first { start.add(shift) } else { place(n, row, shift) });
                        }
                    }
                }
                let mut q = queries.as_ptr().add(self.part.start * query_stride + x);
                let mut r = self.references.as_ptr().add(x + self.column);
                for _ in self.part.clone() {
                    let q_rows: [V; ROWS] = std::array::from_fn(|row| V::load(q.add(row * query_len)));
                    for (n, sums) in sums.iter_mut().enumerate() {
                        for shift in 0..TILE {
                            let r = V::load(r.add(n * len + shift));
                            for (sums, q) in sums.iter_mut().zip(q_rows) {
                                sums[shift] = q.multiply_add(r, sums[shift]);
                            }
                        }
                    }
                    q = q.wrapping_add(query_stride);
                    r = r.wrapping_add(stride);
                }
                for (n, sums) in sums.into_iter().enumerate() {
                    for (row, sums) in sums.into_iter().enumerate() {
                        if is_last {
                            let [a, b, c] = sums;
                            let found = found.as_mut_ptr().add(row * query_stride + x);
                            V::load(found).max(a).max(b).max(c).store(found);
                        } else {
                            for (shift, sum) in sums.into_iter().enumerate() {
                                sum.store(place(n, row, shift));
                            }
                        }
                    }
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
