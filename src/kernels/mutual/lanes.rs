//! AVX2 and AVX-512: templates in the lanes of vectors, several places of the window at a time.
//!
//! A tile of sums stays in registers: each value of the query is spread over a vector once for all templates of a group, and each
//! vector of templates is loaded once for all places of the tile.

use super::group::Group;
use super::{Band, Element, Matching, Pair};
use crate::kernels::parallel::Buffer;
use crate::kernels::vector::Vector;
use std::arch::x86_64::*;

/// Places of the window that are computed together.
const TILE: usize = 6;

pub(super) fn band_avx2<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn compiled<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
        // Twelve sums, two vectors of templates and one of the query: fifteen of sixteen registers.
        // SAFETY: the processor has the features that this function is compiled for.
        unsafe { fill::<__m256, E, 2>(matching, band) }
    }
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { compiled(matching, band) }
}

pub(super) fn band_avx512<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma,f16c")]
    fn compiled<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
        // 24 sums, four vectors of templates and one of the query: 29 of 32 registers.
        // SAFETY: the processor has the features that this function is compiled for.
        unsafe { fill::<__m512, E, 4>(matching, band) }
    }
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { compiled(matching, band) }
}

/// Groups of `MOST` vectors of templates, the last one with as few as it needs.
///
/// # Safety
/// The processor must have AVX2, F16C and the instruction set of `V`.
#[inline(always)]
unsafe fn fill<V: Vector, E: Element, const MOST: usize>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    let (width, channels) = (matching.shape.width, matching.shape.channels);
    // The values of a group, and where their sums start.
    let mut buffer = Buffer::new((channels + 1) * MOST * V::LANES);
    let mut pairs: Vec<Pair> = Vec::new();
    for at in 0..band.backward.len() {
        let place = band.first * width + at;
        pairs.clear();
        pairs.extend(matching.window(place / width, place % width));
        for first in (0..matching.count).step_by(MOST * V::LANES) {
            let group = Group { place, first };
            let vectors = (matching.count - first).div_ceil(V::LANES).min(MOST);
            // SAFETY: the caller has checked the processor.
            unsafe {
                match vectors {
                    1 => group.compare::<V, E, 1>(matching, band, at, &pairs, &mut buffer),
                    2 => group.compare::<V, E, 2>(matching, band, at, &pairs, &mut buffer),
                    3 => group.compare::<V, E, 3>(matching, band, at, &pairs, &mut buffer),
                    _ => group.compare::<V, E, 4>(matching, band, at, &pairs, &mut buffer),
                }
            }
        }
    }
}

impl Group {
    /// # Safety
    /// The processor must have AVX2, F16C and the instruction set of `V`.
    #[inline(always)]
    unsafe fn compare<V: Vector, E: Element, const VECTORS: usize>(
        self,
        matching: &Matching<'_, E>,
        band: &mut Band<'_>,
        at: usize,
        pairs: &[Pair],
        buffer: &mut [f32],
    ) {
        let stride = VECTORS * V::LANES;
        let (start, values) = buffer.split_at_mut(stride);
        let values = &mut values[..matching.shape.channels * stride];
        // SAFETY: the caller has checked the processor.
        unsafe { self.convert(matching, stride, values) };
        // From here a lane without a template, or with one that is left out, never wins.
        let lanes = self.lanes(matching, stride);
        for (lane, start) in start.iter_mut().enumerate() {
            *start = if lanes >> lane & 1 == 1 { 0.0 } else { f32::NEG_INFINITY };
        }
        let mut found = [0.0; TILE];
        for tile in pairs.chunks(TILE) {
            // A short tile repeats its last place, which changes no maximum.
            let queries: [&[f32]; TILE] = std::array::from_fn(|i| {
                let pair = tile[i.min(tile.len() - 1)];
                &matching.query[pair.place * matching.shape.channels..][..matching.shape.channels]
            });
            // SAFETY: the caller has checked the processor.
            unsafe {
                match tile.len() {
                    1 => products::<V, VECTORS, 1>(&queries, start, values, &mut found),
                    2 => products::<V, VECTORS, 2>(&queries, start, values, &mut found),
                    3 => products::<V, VECTORS, 3>(&queries, start, values, &mut found),
                    4 => products::<V, VECTORS, 4>(&queries, start, values, &mut found),
                    5 => products::<V, VECTORS, 5>(&queries, start, values, &mut found),
                    _ => products::<V, VECTORS, TILE>(&queries, start, values, &mut found),
                }
            }
            for (&pair, &similarity) in tile.iter().zip(&found) {
                band.note(pair, at, similarity);
            }
        }
    }

    /// The group's values as f32, `[channels, stride]`. Lanes without a template hold finite values of others, or zero.
    ///
    /// # Safety
    /// The processor must have AVX2 and F16C.
    #[inline(always)]
    unsafe fn convert<E: Element>(self, matching: &Matching<'_, E>, stride: usize, values: &mut [f32]) {
        let (count, channels) = (matching.count, matching.shape.channels);
        for (c, row) in values.chunks_exact_mut(stride).enumerate() {
            let from = &matching.templates[(self.place * channels + c) * count + self.first..];
            let (rows, _) = row.as_chunks_mut::<8>();
            for (row, from) in rows.iter_mut().zip(from.chunks(8)) {
                match from.first_chunk::<8>() {
                    // SAFETY: both are eight values, and the caller has checked the processor.
                    Some(from) => unsafe { _mm256_storeu_ps(row.as_mut_ptr(), E::load8(from.as_ptr())) },
                    None => {
                        row.fill(0.0);
                        row.iter_mut().zip(from).for_each(|(row, from)| *row = from.to_f32());
                    }
                }
            }
            // The bank's very last row may end before the group does.
            let read = from.len().div_ceil(8) * 8;
            if read < stride {
                row[read..].fill(0.0);
            }
        }
    }
}

/// The largest product of each of the first `PLACES` queries with the templates in `values`, `[channels, VECTORS * LANES]`.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn products<V: Vector, const VECTORS: usize, const PLACES: usize>(
    queries: &[&[f32]; TILE],
    start: &[f32],
    values: &[f32],
    found: &mut [f32; TILE],
) {
    let (channels, stride) = (queries[0].len(), VECTORS * V::LANES);
    assert!(queries.iter().all(|query| query.len() == channels));
    assert!(start.len() == stride && values.len() == channels * stride);
    // SAFETY: every vector lies within the lengths that were checked above.
    unsafe {
        let start: [V; VECTORS] = std::array::from_fn(|v| V::load(start.as_ptr().add(v * V::LANES)));
        let mut sums = [start; PLACES];
        let mut from = values.as_ptr();
        for c in 0..channels {
            let mut templates = start;
            for (v, templates) in templates.iter_mut().enumerate() {
                *templates = V::load(from.add(v * V::LANES));
            }
            for (sums, query) in sums.iter_mut().zip(queries) {
                let value = V::splat(*query.get_unchecked(c));
                for (sum, templates) in sums.iter_mut().zip(templates) {
                    *sum = value.multiply_add(templates, *sum);
                }
            }
            from = from.add(stride);
        }
        for (sums, found) in sums.into_iter().zip(found) {
            let mut largest = sums[0];
            for sum in &sums[1..] {
                largest = largest.max(*sum);
            }
            *found = largest.largest();
        }
    }
}
