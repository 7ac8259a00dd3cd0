//! Products of 8-bit values by instructions that x86-64 processors have.

use super::bounds::{Sums, TOGETHER};
use super::packed::PANEL;
use super::quantise::GROUP;
use super::scalar::LANES;
use crate::kernels::windowed::Element;
use std::arch::x86_64::*;

fn check(rows: &[u8], vectors: &[i8]) -> usize {
    let groups = rows.len() / (PANEL * GROUP);
    assert!(rows.len() == groups * PANEL * GROUP && vectors.len() == groups * TOGETHER * GROUP);
    groups
}

/// AVX-512 VNNI: 64 products and sums an instruction, 24 sums in registers.
pub(super) fn multiply_vnni(rows: &[u8], vectors: &[i8], sums: &mut Sums) {
    let groups = check(rows, vectors);
    // SAFETY: this function is only chosen on processors that have the features, and the lengths were checked.
    unsafe { vnni(rows.as_ptr(), vectors.as_ptr(), groups, sums) }
}

/// # Safety
/// `rows` has `groups * 128` bytes and `vectors` `groups * 48`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn vnni(rows: *const u8, vectors: *const i8, groups: usize, sums: &mut Sums) {
    let mut low = [_mm512_setzero_si512(); TOGETHER];
    let mut high = [_mm512_setzero_si512(); TOGETHER];
    for group in 0..groups {
        // SAFETY: the group lies inside, and no load needs alignment.
        unsafe {
            let row = rows.add(group * PANEL * GROUP).cast::<__m512i>();
            let (first, second) = (_mm512_loadu_si512(row), _mm512_loadu_si512(row.add(1)));
            let vector = vectors.add(group * TOGETHER * GROUP).cast::<i32>();
            for i in 0..TOGETHER {
                let four = _mm512_set1_epi32(vector.add(i).read_unaligned());
                low[i] = _mm512_dpbusd_epi32(low[i], first, four);
                high[i] = _mm512_dpbusd_epi32(high[i], second, four);
            }
        }
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: 32 sums are two registers.
        unsafe {
            _mm512_storeu_si512(sums.as_mut_ptr().cast(), low[i]);
            _mm512_storeu_si512(sums.as_mut_ptr().add(PANEL / 2).cast(), high[i]);
        }
    }
}

/// AVX2: two products are added in 16 bits, which values of vectors up to 63 do not overflow (2 * 255 * 63 < 2^15).
pub(super) fn multiply_avx2(rows: &[u8], vectors: &[i8], sums: &mut Sums) {
    let groups = check(rows, vectors);
    for eight in 0..PANEL / 8 {
        for three in 0..TOGETHER / 3 {
            // SAFETY: as above.
            unsafe {
                avx2(
                    rows.as_ptr().add(eight * 32),
                    vectors.as_ptr().add(three * 3 * GROUP),
                    groups,
                    eight,
                    three,
                    sums,
                )
            }
        }
    }
}

/// Eight rows with three vectors.
///
/// # Safety
/// As [`vnni`], behind the first of the rows and vectors in each group.
#[target_feature(enable = "avx2")]
unsafe fn avx2(
    rows: *const u8,
    vectors: *const i8,
    groups: usize,
    eight: usize,
    three: usize,
    sums: &mut Sums,
) {
    let ones = _mm256_set1_epi16(1);
    let mut totals = [_mm256_setzero_si256(); 3];
    for group in 0..groups {
        // SAFETY: the group lies inside, and no load needs alignment.
        unsafe {
            let row = _mm256_loadu_si256(rows.add(group * PANEL * GROUP).cast());
            let vector = vectors.add(group * TOGETHER * GROUP).cast::<i32>();
            for (i, total) in totals.iter_mut().enumerate() {
                let pairs = _mm256_maddubs_epi16(row, _mm256_set1_epi32(vector.add(i).read_unaligned()));
                *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    for (i, total) in totals.into_iter().enumerate() {
        // SAFETY: eight sums from a multiple of eight on.
        unsafe { _mm256_storeu_si256(sums[three * 3 + i].as_mut_ptr().add(eight * 8).cast(), total) };
    }
}

/// The squared Euclidean distance, added up in the order of the plain code, so that it is the same to the last bit: 32 sums, then
/// their halves.
///
/// # Safety
/// The processor must have AVX2 and F16C, and `vector` and `row` the same length.
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn squared_distance<E: Element>(vector: &[f32], row: &[E]) -> f32 {
    let whole = vector.len() / LANES * LANES;
    let mut sums = [_mm256_setzero_ps(); LANES / 8];
    for first in (0..whole).step_by(LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = first + 8 * i;
            // SAFETY: eight values from there on are in both.
            let (a, b) =
                unsafe { (_mm256_loadu_ps(vector.as_ptr().add(at)), E::load8(row.as_ptr().add(at))) };
            let difference = _mm256_sub_ps(a, b);
            *sum = _mm256_add_ps(*sum, _mm256_mul_ps(difference, difference));
        }
    }
    let eight = _mm256_add_ps(_mm256_add_ps(sums[0], sums[2]), _mm256_add_ps(sums[1], sums[3]));
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    let one = _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)));
    let rest = vector[whole..].iter().zip(&row[whole..]).map(|(a, b)| a - b.to_f32());
    one + rest.map(|difference| difference * difference).sum::<f32>()
}
