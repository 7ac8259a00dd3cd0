//! Connected components of a mask.
//!
//! The mask is read as horizontal runs, and only runs of neighbouring rows are compared: on the sparse masks of
//! defects that costs one pass over the pixels and next to nothing more.

use ndarray::{Array2, ArrayView2, s};

/// The pixels `start..end` of one row.
struct Run {
    row: usize,
    start: usize,
    end: usize,
}

/// Labels the regions of `mask` (rows x columns); pixels that touch at an edge or a corner (8-connectivity) belong
/// to one region.
///
/// Returns the labels, 0 for the background and 1 to `count` for the regions in the order in which a scan row by row
/// meets them, and `count`.
pub fn label_components(mask: ArrayView2<bool>) -> (Array2<u32>, usize) {
    let runs = find_runs(mask);
    let roots = join_runs(&runs);

    let mut labels = Array2::zeros(mask.raw_dim());
    let mut label_of_root = vec![0_u32; runs.len()];
    let mut count = 0;
    for (run, &root) in runs.iter().zip(&roots) {
        if label_of_root[root] == 0 {
            count += 1;
            label_of_root[root] = count;
        }
        labels.slice_mut(s![run.row, run.start..run.end]).fill(label_of_root[root]);
    }
    (labels, count as usize)
}

fn find_runs(mask: ArrayView2<bool>) -> Vec<Run> {
    let mut runs = Vec::new();
    for (row, pixels) in mask.rows().into_iter().enumerate() {
        let mut open = None;
        for (column, &inside) in pixels.iter().enumerate() {
            match (inside, open) {
                (true, None) => open = Some(column),
                (false, Some(start)) => {
                    runs.push(Run { row, start, end: column });
                    open = None;
                }
                _ => {}
            }
        }
        if let Some(start) = open {
            runs.push(Run { row, start, end: pixels.len() });
        }
    }
    runs
}

/// The first run of each run's region: a union-find in which the earlier run is always the root.
fn join_runs(runs: &[Run]) -> Vec<usize> {
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    let mut above = 0;
    for (current, run) in runs.iter().enumerate() {
        // Both rows are walked once: a run above that ends before this one begins is also left of all that follow.
        while runs[above].row + 1 < run.row || (runs[above].row + 1 == run.row && runs[above].end < run.start)
        {
            above += 1;
        }
        let touching = runs[above..current].iter().enumerate();
        for (offset, _) in touching.take_while(|(_, other)| other.row < run.row && other.start <= run.end) {
            let (a, b) = (find_root(&mut parents, above + offset), find_root(&mut parents, current));
            parents[a.max(b)] = a.min(b);
        }
    }
    (0..runs.len()).map(|run| find_root(&mut parents, run)).collect()
}

fn find_root(parents: &mut [usize], mut run: usize) -> usize {
    while parents[run] != run {
        parents[run] = parents[parents[run]];
        run = parents[run];
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of a drawing in which `#` is inside.
    fn label(drawing: &[&str]) -> (Vec<String>, usize) {
        let mask = Array2::from_shape_fn((drawing.len(), drawing[0].len()), |(row, column)| {
            drawing[row].as_bytes()[column] == b'#'
        });
        let (labels, count) = label_components(mask.view());
        let text = |row: ndarray::ArrayView1<u32>| {
            row.iter().map(|&l| if l == 0 { ".".into() } else { l.to_string() }).collect()
        };
        (labels.rows().into_iter().map(text).collect(), count)
    }

    #[test]
    fn corners_connect_and_gaps_separate() {
        let (labels, count) = label(&["##..#", "..#..", ".....", "#.#.#"]);
        assert_eq!(labels, ["11..2", "..1..", ".....", "3.4.5"].map(String::from));
        assert_eq!(count, 5);
        assert_eq!(label(&["#..#", ".##."]).1, 1);
        assert_eq!(label(&["..#", ".#.", "#.."]).1, 1);
    }

    #[test]
    fn arms_that_meet_later_are_one_region() {
        let (labels, count) = label(&["#.#.#", "#.#.#", "#####"]);
        assert_eq!(labels, ["1.1.1", "1.1.1", "11111"].map(String::from));
        assert_eq!(count, 1);
        assert_eq!(label(&["#.###", "#.#.#", "#.#.#", "###.#"]).1, 1);
    }

    #[test]
    fn empty_full_and_degenerate_masks() {
        assert_eq!(label(&["...", "..."]).1, 0);
        assert_eq!(label(&["###", "###"]), (vec!["111".into(), "111".into()], 1));
        assert_eq!(label_components(Array2::from_elem((0, 4), true).view()).1, 0);
        assert_eq!(label_components(Array2::from_elem((4, 0), true).view()).1, 0);
    }

    #[test]
    fn agrees_with_a_flood_fill_on_noise() {
        let mut state = 7_u32;
        for density in 1..8 {
            let mask = Array2::from_shape_fn((23, 31), |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 29) < density
            });
            let (labels, count) = label_components(mask.view());
            let (expected, expected_count) = flood(&mask);
            assert_eq!((&labels, count), (&expected, expected_count), "density {density}/8");
        }
    }

    /// The definition, slow and plain.
    fn flood(mask: &Array2<bool>) -> (Array2<u32>, usize) {
        let (height, width) = mask.dim();
        let mut labels = Array2::zeros(mask.raw_dim());
        let mut count = 0;
        for seed in ndarray::indices(mask.raw_dim()) {
            if !mask[seed] || labels[seed] != 0 {
                continue;
            }
            count += 1;
            let mut open = vec![seed];
            while let Some((row, column)) = open.pop() {
                if !mask[[row, column]] || labels[[row, column]] != 0 {
                    continue;
                }
                labels[[row, column]] = count;
                for y in row.saturating_sub(1)..(row + 2).min(height) {
                    open.extend((column.saturating_sub(1)..(column + 2).min(width)).map(|x| (y, x)));
                }
            }
        }
        (labels, count as usize)
    }
}
