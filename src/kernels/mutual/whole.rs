//! AVX-512 with its instructions for neural networks: products of whole numbers of 16 bits, two channels at a time, which are twice as
//! many in an instruction as those of f32.
//!
//! Vectors have unit length, so that no value is beyond 1 and no sum of products either: in steps of 1 / 32,767 values fit 16 bits and
//! sums 31. Rounding changes a similarity by some 1e-5, about as much as templates have lost to f16 before; it is used for those alone.

use super::group::Group;
use super::{Band, Element, LEAST, Matching, Pair, around};
use crate::kernels::parallel::Buffer;
use crate::kernels::simd::prefetch_for_later;
use std::arch::x86_64::*;

/// Steps from 0 to 1.
const LEVELS: f32 = 32_767.0;
/// Places of the window that are computed together.
const TILE: usize = 6;
/// Vectors of templates at most that are: 24 sums, four vectors of templates and one of the query take 29 of 32 registers.
const MOST: usize = 4;
/// Templates in a vector, each with two channels.
const LANES: usize = 16;

pub(super) fn band<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    // SAFETY: this function is only chosen on processors that have the features.
    unsafe { fill(matching, band) }
}

/// Groups of `MOST` vectors of templates, the last one with as few as it needs.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn fill<E: Element>(matching: &Matching<'_, E>, band: &mut Band<'_>) {
    let (width, channels) = (matching.shape.width, matching.shape.channels);
    let pairs_of_channels = channels.div_ceil(2);
    // The rows of the query that the band's windows cover, two channels to a number.
    let last = band.first + band.backward.len() / width;
    let covered = around(band.first, matching.reach.larger(), matching.shape.height).start
        ..around(last - 1, matching.reach.larger(), matching.shape.height).end;
    let query = &matching.query[covered.start * width * channels..covered.end * width * channels];
    let (places, group) = (covered.len() * width, pairs_of_channels * MOST * LANES);
    let mut buffer = Buffer::new(places * pairs_of_channels + group);
    let numbers: &mut [i32] = bytemuck::cast_slice_mut(&mut buffer);
    let (query_numbers, templates) = numbers.split_at_mut(places * pairs_of_channels);
    for (vector, numbers) in
        query.chunks_exact(channels).zip(query_numbers.chunks_exact_mut(pairs_of_channels))
    {
        round(vector, numbers);
    }
    let query = Query { numbers: query_numbers, first: covered.start * width };

    let mut pairs: Vec<Pair> = Vec::new();
    for at in 0..band.backward.len() {
        let place = band.first * width + at;
        pairs.clear();
        pairs.extend(matching.window(place / width, place % width));
        for first in (0..matching.count).step_by(MOST * LANES) {
            let vectors = (matching.count - first).div_ceil(LANES).min(MOST);
            let group = Group { place, first };
            match vectors {
                1 => group.compare_rounded::<E, 1>(matching, band, at, &pairs, query, templates),
                2 => group.compare_rounded::<E, 2>(matching, band, at, &pairs, query, templates),
                3 => group.compare_rounded::<E, 3>(matching, band, at, &pairs, query, templates),
                _ => group.compare_rounded::<E, MOST>(matching, band, at, &pairs, query, templates),
            }
        }
    }
}

/// Rounds a vector to steps, two channels to a number; where there is no second one, it is 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn round(vector: &[f32], numbers: &mut [i32]) {
    for (numbers, first) in numbers.chunks_mut(LANES / 2).zip((0..).step_by(LANES)) {
        // What is beyond the range becomes the largest or the smallest number; what does not fit 32 bits, or is no number, the smallest.
        let pairs: [i32; LANES / 2] = bytemuck::cast(_mm512_cvtsepi32_epi16(steps(load(vector, first))));
        numbers.copy_from_slice(&pairs[..numbers.len()]);
    }
}

/// Rows of the query in steps, `[places, pairs of channels]`.
#[derive(Clone, Copy)]
struct Query<'a> {
    numbers: &'a [i32],
    /// The first place.
    first: usize,
}

impl Group {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn compare_rounded<E: Element, const VECTORS: usize>(
        self,
        matching: &Matching<'_, E>,
        band: &mut Band<'_>,
        at: usize,
        pairs: &[Pair],
        query: Query<'_>,
        templates: &mut [i32],
    ) {
        let length = matching.shape.channels.div_ceil(2);
        let templates = &mut templates[..length * VECTORS * LANES];
        self.round::<E, VECTORS>(matching, templates);
        let lanes = self.lanes(matching, VECTORS * LANES);
        // The next place's templates are asked for meanwhile, bit by bit.
        let later = self.later(matching);
        let mut later = later.chunks(later.len().div_ceil(pairs.len().div_ceil(TILE)).max(1));
        let mut found = [0; TILE];
        for tile in pairs.chunks(TILE) {
            prefetch_for_later(later.next().unwrap_or_default());
            // What a short tile repeats is not computed.
            let queries: [&[i32]; TILE] = std::array::from_fn(|i| {
                let pair = tile[i.min(tile.len() - 1)];
                &query.numbers[(pair.place - query.first) * length..][..length]
            });
            match tile.len() {
                1 => products::<VECTORS, 1>(&queries, templates, lanes, &mut found),
                2 => products::<VECTORS, 2>(&queries, templates, lanes, &mut found),
                3 => products::<VECTORS, 3>(&queries, templates, lanes, &mut found),
                4 => products::<VECTORS, 4>(&queries, templates, lanes, &mut found),
                5 => products::<VECTORS, 5>(&queries, templates, lanes, &mut found),
                _ => products::<VECTORS, TILE>(&queries, templates, lanes, &mut found),
            }
            for (&pair, &product) in tile.iter().zip(&found) {
                let similarity = if product == i32::MIN { LEAST } else { product as f32 / (LEVELS * LEVELS) };
                band.note(pair, at, similarity);
            }
        }
    }

    /// A group's share of the next place's templates.
    fn later<'a, E: Element>(self, matching: &Matching<'a, E>) -> &'a [E] {
        let (count, groups) = (matching.count, matching.count.div_ceil(MOST * LANES));
        let place = count * matching.shape.channels;
        let share = place.div_ceil(groups);
        let first = (self.place + 1) * place + self.first / (MOST * LANES) * share;
        matching.templates.get(first..matching.templates.len().min(first + share)).unwrap_or_default()
    }

    /// The group's values in steps, `[pairs of channels, VECTORS * LANES]`. Lanes without a template hold whatever values.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
    fn round<E: Element, const VECTORS: usize>(self, matching: &Matching<'_, E>, numbers: &mut [i32]) {
        let (count, channels) = (matching.count, matching.shape.channels);
        let row = |c: usize| &matching.templates[(self.place * channels + c) * count + self.first..];
        let two =
            |v: usize, c: usize| if c < channels { load(row(c), v * LANES) } else { _mm512_setzero_ps() };
        for (pair, numbers) in numbers.chunks_exact_mut(VECTORS * LANES).enumerate() {
            for (v, numbers) in numbers.chunks_exact_mut(LANES).enumerate() {
                let even = steps(two(v, 2 * pair));
                let odd = steps(two(v, 2 * pair + 1));
                // Four of one channel, then four of the next, in each quarter; then side by side.
                let packed = _mm512_packs_epi32(even, odd);
                let order = _mm512_broadcast_i32x4(_mm_setr_epi8(
                    0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
                ));
                // SAFETY: sixteen numbers are a vector.
                unsafe {
                    _mm512_storeu_si512(numbers.as_mut_ptr().cast(), _mm512_shuffle_epi8(packed, order))
                };
            }
        }
    }
}

/// Values in whole steps.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn steps(values: __m512) -> __m512i {
    _mm512_cvtps_epi32(_mm512_mul_ps(values, _mm512_set1_ps(LEVELS)))
}

/// Sixteen values from `first` on; near the end of the bank, where there are fewer, zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn load<E: Element>(values: &[E], first: usize) -> __m512 {
    if let Some(values) = values.get(first..first + LANES) {
        // SAFETY: these are sixteen, and the processor has AVX-512F.
        return unsafe { E::load16(values.as_ptr()) };
    }
    let mut few = [0.0; LANES];
    few.iter_mut()
        .zip(values.get(first..).unwrap_or_default())
        .for_each(|(few, value)| *few = value.to_f32());
    // SAFETY: these are sixteen.
    unsafe { _mm512_loadu_ps(few.as_ptr()) }
}

/// The largest product of each of the first `PLACES` queries with the templates in `lanes`, `[pairs of channels, VECTORS * LANES]`;
/// `i32::MIN` if there is none.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn products<const VECTORS: usize, const PLACES: usize>(
    queries: &[&[i32]; TILE],
    templates: &[i32],
    lanes: u64,
    found: &mut [i32; TILE],
) {
    let length = queries[0].len();
    assert!(queries.iter().all(|query| query.len() == length) && templates.len() == length * VECTORS * LANES);
    let mut sums = [[_mm512_setzero_si512(); VECTORS]; PLACES];
    let mut from = templates.as_ptr();
    for pair in 0..length {
        // SAFETY: every vector and number lies within the lengths that were checked above.
        unsafe {
            let mut templates = [_mm512_setzero_si512(); VECTORS];
            for (v, templates) in templates.iter_mut().enumerate() {
                *templates = _mm512_loadu_si512(from.add(v * LANES).cast());
            }
            for (sums, query) in sums.iter_mut().zip(queries) {
                let two = _mm512_set1_epi32(*query.get_unchecked(pair));
                for (sum, templates) in sums.iter_mut().zip(templates) {
                    *sum = _mm512_dpwssd_epi32(*sum, two, templates);
                }
            }
            from = from.add(VECTORS * LANES);
        }
    }
    for (sums, found) in sums.into_iter().zip(found) {
        let mut largest = _mm512_set1_epi32(i32::MIN);
        for (v, sum) in sums.into_iter().enumerate() {
            largest = _mm512_mask_max_epi32(largest, (lanes >> (v * LANES)) as u16, largest, sum);
        }
        *found = _mm512_reduce_max_epi32(largest);
    }
}
