use super::*;
use half::f16;
use proptest::prelude::*;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// Vectors of unit length, `[count, channels]`.
fn vectors(seed: u64, count: usize, channels: usize) -> Vec<f32> {
    let mut values = noise(seed, count * channels);
    for vector in values.chunks_exact_mut(channels) {
        let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt() + 1e-8;
        vector.iter_mut().for_each(|v| *v /= norm);
    }
    values
}

/// Forward and backward distances.
fn run<E: Element>(matching: &Matching<'_, E>) -> (Vec<f32>, Vec<f32>) {
    let places = matching.shape.places();
    let (mut forward, mut backward) = (vec![7.0; places], vec![7.0; places]);
    matching.run(&mut forward, &mut backward);
    (forward, backward)
}

fn check_parity<E: Element>(
    seed: u64,
    shape: Shape,
    count: usize,
    windows: (usize, usize),
    convert: fn(f32) -> E,
) {
    let channels = shape.channels;
    let query = vectors(seed, shape.places(), channels);
    let templates: Vec<E> = vectors(seed + 1, shape.places() * count, channels)
        .chunks_exact(count * channels)
        .flat_map(|place| (0..channels * count).map(|i| place[i % count * channels + i / count]))
        .map(convert)
        .collect();
    // Two of each place, of which some are none and some the same.
    let skipped: Vec<u32> = (0..2 * shape.places())
        .map(|i| if i % 3 == 0 { NONE } else { (31 * (i / 2) * (1 + i % 2) % count) as u32 })
        .collect();
    let new = || Matching::new(&query, &templates, shape, count, windows).skipping(&skipped);
    let expected = run(&new().plain());
    let mut kernels: Vec<(&str, Kernel<E>, f32)> = vec![("plain", scalar::band, 0.0)];
    #[cfg(target_arch = "x86_64")]
    {
        if crate::kernels::simd::has_avx2() {
            kernels.push(("avx2", lanes::band_avx2, 1e-5));
        }
        if crate::kernels::simd::has_avx512() {
            kernels.push(("avx512", lanes::band_avx512, 1e-5));
        }
        if crate::kernels::simd::has_avx512_vnni() {
            // Each of two vectors is off by half a step in each channel at most, 2^-16 sqrt(channels) in all.
            kernels.push(("whole numbers", whole::band, 3.5e-5 * (shape.channels as f32).sqrt()));
        }
    }
    for (name, kernel, tolerance) in kernels {
        let found = run(&Matching { kernel, ..new() });
        for (found, expected) in [(&found.0, &expected.0), (&found.1, &expected.1)] {
            for (found, expected) in found.iter().zip(expected) {
                let off = (found - expected).abs();
                assert!(off <= tolerance, "{name} {shape:?} {count} {windows:?}: {found} != {expected}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_instruction_set_agrees_with_the_plain_code(
        seed in 0u64..1_000_000, height in 1usize..8, width in 1usize..9, channels in 1usize..20,
        count in 1usize..90, forward in 0usize..4, backward in 0usize..4,
    ) {
        let shape = Shape { height, width, channels };
        let windows = (2 * forward + 1, 2 * backward + 1);
        check_parity(seed, shape, count, windows, f16::from_f32);
        check_parity(seed, shape, count, windows, |value| value);
    }
}

#[test]
fn a_shifted_copy_is_found_in_the_window_and_not_beyond() {
    let shape = Shape { height: 4, width: 6, channels: 8 };
    let template = vectors(3, shape.places(), shape.channels);
    let mut query = template.clone();
    query.rotate_right(2 * shape.channels);
    let far = run(&Matching::new(&query, &template, shape, 1, (5, 3)));
    for y in 0..4 {
        assert!(
            far.0[y * 6 + 2..y * 6 + 6].iter().all(|&d| d < 1e-6),
            "two columns are within a window of 5"
        );
        assert!(far.1[y * 6..y * 6 + 4].iter().all(|&d| d > 1e-3), "and beyond one of 3");
    }
}

#[test]
fn a_template_that_is_left_out_counts_for_nothing() {
    let shape = Shape { height: 2, width: 2, channels: 4 };
    let query = [0.5; 16];
    // Of each place the first template is the query, the second its opposite.
    let templates: Vec<f32> = (0..32).map(|i| if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
    let new = || Matching::new(&query, &templates, shape, 2, (1, 1));
    assert_eq!(run(&new()), (vec![0.0; 4], vec![0.0; 4]));
    let found = run(&new().skipping(&[0, NONE, 0, 1]));
    assert_eq!(found, (vec![2.0, 0.0, 2.0, 0.0], vec![2.0, 0.0, 2.0, 0.0]));
    let both = run(&new().skipping(&[0, 1, NONE, NONE, 1, NONE, NONE, 0]));
    assert_eq!(
        both,
        (vec![2.0, 0.0, 0.0, 2.0], vec![2.0, 0.0, 0.0, 2.0]),
        "with none left the distance is 2"
    );
}

/// A vector holds the 65th template alone: left out, nothing is left of its group.
#[test]
fn the_first_template_of_a_group_is_left_out() {
    let shape = Shape { height: 2, width: 1, channels: 3 };
    let count = 65;
    let query = vectors(1, shape.places(), shape.channels);
    // The 65th template is the query, the others its opposite.
    let templates: Vec<f32> =
        query.iter().flat_map(|&v| (0..count).map(move |t| if t == 64 { v } else { -v })).collect();
    let halves: Vec<f16> = templates.iter().copied().map(f16::from_f32).collect();
    for skipped in [[64; 2], [NONE; 2]] {
        let expected = if skipped[0] == 64 { 2.0 } else { 0.0 };
        for (forward, backward) in [
            run(&Matching::new(&query, &templates, shape, count, (1, 1)).skipping(&skipped)),
            run(&Matching::new(&query, &halves, shape, count, (1, 1)).skipping(&skipped)),
        ] {
            assert!(
                forward.iter().chain(&backward).all(|d| (d - expected).abs() < 1e-3),
                "{forward:?} {backward:?}"
            );
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn whole_numbers_bear_values_that_are_none() {
    if !crate::kernels::simd::has_avx512_vnni() {
        return;
    }
    let shape = Shape { height: 1, width: 2, channels: 3 };
    let query = [f32::NAN, f32::INFINITY, -7.0, 0.0, 0.0, 1.0];
    let templates = [f32::NAN, 1e6, -1e6, 0.0, 0.0, 1.0].map(f16::from_f32);
    let matching = Matching::new(&query, &templates, shape, 1, (1, 1));
    let (forward, backward) = run(&Matching { kernel: whole::band, ..matching });
    assert!(forward.iter().chain(&backward).all(|distance| distance.is_finite()));
    assert!(forward[1].abs() < 1e-4, "{forward:?}");
}
