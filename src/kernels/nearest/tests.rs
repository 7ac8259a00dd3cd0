use super::search::{Part, Search};
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

/// Rows of which some are the same and some nearly, and vectors of which some are rows.
fn case(seed: u64, dimension: usize, rows: usize, vectors: usize, spread: f32) -> (Vec<f16>, Vec<f32>) {
    let values = noise(seed, rows * dimension);
    let centre = noise(seed + 1, dimension);
    let mut bank: Vec<f16> = values
        .iter()
        .enumerate()
        .map(|(i, &v)| f16::from_f32(4.0 + centre[i % dimension] + spread * v))
        .collect();
    for copy in (3..rows).step_by(5) {
        bank.copy_within((copy - 3) * dimension..(copy - 2) * dimension, copy * dimension);
    }
    let mut queries: Vec<f32> = noise(seed + 2, vectors * dimension)
        .into_iter()
        .enumerate()
        .map(|(i, v)| 4.0 + centre[i % dimension] + 1.5 * spread * v)
        .collect();
    for (i, query) in queries.chunks_exact_mut(dimension).enumerate().step_by(3) {
        let row = i % rows;
        query.iter_mut().zip(&bank[row * dimension..]).for_each(|(q, r)| *q = r.to_f32());
    }
    (bank, queries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_path_finds_what_comparing_all_finds(
        seed in 0u64..1000, dimension in 1usize..300, rows in 1usize..200, vectors in 1usize..70, exponent in -8i32..8,
    ) {
        let (bank, queries) = case(seed, dimension, rows, vectors, 2f32.powi(exponent));
        let owners: Vec<u32> = (0..rows as u32).map(|row| row % 4).collect();
        for skip in [None, Some(Skip { owners: &owners, owner: 0 })] {
            let mut expected = vec![Found::default(); vectors];
            find_scalar(&bank, &queries, dimension, skip, &mut expected);
            for instructions in Instructions::available() {
                let nearest = Nearest::with_instructions(&bank, dimension, instructions);
                let mut space = Space::default();
                let mut found = vec![Found::default(); vectors];
                // Twice: the second time the rows of the first are guesses.
                for _ in 0..2 {
                    let result = nearest.find(&bank, &queries, skip, &mut space, &mut found);
                    prop_assert_eq!(result.is_ok(), expected[0].distance.is_finite());
                    prop_assert_eq!(&found, &expected, "{:?}", instructions);
                }
            }
        }
    }

    #[test]
    fn products_are_the_same_by_all_instructions(seed in 0u64..1000, groups in 0usize..40) {
        let bytes: Vec<u8> = noise(seed, groups * 128).iter().map(|v| ((v + 0.5) * 255.9) as u8).collect();
        let levels: Vec<i8> = noise(seed + 1, groups * 48).iter().map(|v| (v * 126.0) as i8).collect();
        let mut expected = [[0; 32]; 12];
        search::multiply_plain(&bytes, &levels, &mut expected);
        #[cfg(target_arch = "x86_64")]
        for instructions in Instructions::available() {
            let mut found = [[1; 32]; 12];
            match instructions {
                Instructions::Plain => continue,
                Instructions::Avx2 => x86::multiply_avx2(&bytes, &levels, &mut found),
                Instructions::Avx512Vnni => x86::multiply_vnni(&bytes, &levels, &mut found),
            }
            prop_assert_eq!(&found, &expected);
        }
    }
}

#[cfg(feature = "train")]
#[test]
fn neighbourhoods_are_the_nearest_rows_with_the_row_itself_first() {
    let (dimension, rows) = (24, 150);
    let (bank, _) = case(7, dimension, rows, 1, 1.0);
    for count in [1, 2, 9, rows] {
        for instructions in Instructions::available() {
            let nearest = Nearest::with_instructions(&bank, dimension, instructions);
            let mut found = vec![0; 100 * count];
            nearest.neighbourhoods(&bank, 50, count, &mut found);
            for (own, found) in (50..150u32).zip(found.chunks_exact(count)) {
                let vector: Vec<f32> =
                    bank[own as usize * dimension..][..dimension].iter().map(|v| v.to_f32()).collect();
                let mut all: Vec<(f32, u32)> = (0..rows as u32)
                    .map(|row| (distance(&vector, &bank[row as usize * dimension..][..dimension]), row))
                    .collect();
                all.sort_by(|a, b| {
                    (b.1 == own).cmp(&(a.1 == own)).then(a.0.total_cmp(&b.0)).then(a.1.cmp(&b.1))
                });
                let expected: Vec<u32> = all[..count].iter().map(|&(_, row)| row).collect();
                assert_eq!(found, expected, "{count} {own} {instructions:?}");
            }
        }
    }
}

#[test]
fn vectors_that_are_not_finite_are_an_error_and_no_loop() {
    let (bank, mut queries) = case(3, 40, 90, 20, 1.0);
    let nearest = Nearest::new(&bank, 40);
    let mut found = vec![Found::default(); 20];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        queries[17 * 40 + 5] = bad;
        assert!(nearest.find(&bank, &queries, None, &mut Space::default(), &mut found).is_err(), "{bad}");
        assert!(found[0].distance.is_finite(), "others are not affected");
    }
}

#[test]
fn a_bank_of_equal_rows_is_searched_in_bounded_memory() {
    let (dimension, rows, vectors) = (16, 20_000, 24);
    let bank = vec![f16::from_f32(1.5); dimension * rows];
    let queries = noise(1, dimension * vectors);
    let nearest = Nearest::new(&bank, dimension);
    let mut part = Part::default();
    Search::new(&nearest, &bank, None, 1).run(&queries, &[0; 24], &mut part);
    assert!(part.results().iter().all(|best| best.row == 0));
    assert!(part.candidates_kept() < 1 << 16, "{}", part.candidates_kept());
}

/// Links from every row to every row.
fn all_links(rows: usize) -> Vec<u32> {
    (0..rows).flat_map(|_| 0..rows as u32).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_graph_that_links_all_rows_finds_what_comparing_all_finds(
        seed in 0u64..1000, dimension in 1usize..150, rows in 1usize..120, vectors in 1usize..40, entries in 1usize..20,
        exponent in -8i32..8,
    ) {
        let (bank, queries) = case(seed, dimension, rows, vectors, 2f32.powi(exponent));
        let graph = Graph::new(&bank, dimension, all_links(rows));
        let owners: Vec<u32> = (0..rows as u32).map(|row| row % 4).collect();
        let walkers = Walkers::default();
        for skip in [None, Some(Skip { owners: &owners, owner: 0 })] {
            let (mut expected, mut found) = (vec![Found::default(); vectors], vec![Found::default(); vectors]);
            find_scalar(&bank, &queries, dimension, skip, &mut expected);
            // Some rows are the same, and where rounding has put others before them they are to be kept, too.
            let walk = Walk { entries, breadth: rows };
            let result = graph.find(&bank, &queries, walk, skip, &walkers, &mut found);
            prop_assert_eq!(result.is_ok(), expected[0].distance.is_finite());
            prop_assert_eq!(&found, &expected);
        }
    }
}

#[test]
fn links_that_lead_nowhere_end_the_search_and_what_is_passed_over_is_not_found() {
    let (dimension, rows) = (20, 60);
    let (bank, queries) = case(5, dimension, rows, 30, 1.0);
    let graph = Graph::new(&bank, dimension, (0..rows as u32).collect());
    let walk = Walk { entries: 7, breadth: 3 };
    let mut found = vec![Found::default(); 30];
    graph.find(&bank, &queries, walk, None, &Walkers::default(), &mut found).unwrap();
    let mut expected = found.clone();
    find_scalar(&bank[..7 * dimension], &queries, dimension, None, &mut expected);
    assert_eq!(found, expected, "the entries are all that it sees");

    // The entries are passed over, and no link leads on: all others are compared.
    let owners: Vec<u32> = (0..rows as u32).map(|row| u32::from(row >= 7)).collect();
    let skip = Some(Skip { owners: &owners, owner: 0 });
    graph.find(&bank, &queries, walk, skip, &Walkers::default(), &mut found).unwrap();
    find_scalar(&bank, &queries, dimension, skip, &mut expected);
    assert_eq!(found, expected);
}

#[test]
fn a_graph_refuses_vectors_that_are_not_finite() {
    let (bank, mut queries) = case(3, 40, 90, 20, 1.0);
    let graph = Graph::new(&bank, 40, all_links(90));
    let mut found = vec![Found::default(); 20];
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        queries[17 * 40 + 5] = bad;
        let walk = Walk { entries: 4, breadth: 8 };
        let error = graph.find(&bank, &queries, walk, None, &Walkers::default(), &mut found).unwrap_err();
        assert!(error.to_string().contains("no finite distance"), "{bad}: {error}");
        assert!(found[0].distance.is_finite(), "others are not affected");
    }
}

#[test]
#[should_panic(expected = "links to rows that there are")]
fn a_link_out_of_the_bank_is_no_graph() {
    let (bank, _) = case(3, 4, 9, 1, 1.0);
    Graph::new(&bank, 4, vec![9; 9]);
}
