//! Where a synthetic defect lies: rotated Perlin noise above a threshold, freed of specks and of parts on the background.

use super::perlin::{Perlin, cell_side};
use super::{MaskParams, Random, uniform};
use crate::evaluate::label_components;
use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand::seq::SliceRandom;

/// Draws a mask of `size` (height, width); it may be empty.
///
/// The lattice is laid over the rotated image, so that its corners can be defective, too; the authors' code rotates the finished
/// noise and leaves them empty.
pub fn draw(params: &MaskParams, size: (usize, usize), random: &mut Random) -> Array2<bool> {
    let mut scale = || 1usize << random.gen_range(params.scales[0]..=params.scales[1]);
    let (rows, columns) = (scale(), scale());
    let cell = (cell_side(size.0, rows), cell_side(size.1, columns));
    let (sin, cos) = uniform([-params.rotation, params.rotation], random).to_radians().sin_cos();
    let (height, width) = (size.0 as f64, size.1 as f64);
    let reach =
        ((cos.abs() * height + sin.abs() * width) / 2.0, (sin.abs() * height + cos.abs() * width) / 2.0);
    let cells = |reach: f64, cell: f64| (2.0 * reach / cell).ceil() as usize;
    let noise = Perlin::random((cells(reach.0, cell.0), cells(reach.1, cell.1)), random);
    Array2::from_shape_fn(size, |(y, x)| {
        let (dy, dx) = (y as f64 - height / 2.0, x as f64 - width / 2.0);
        let (row, column) = (cos * dy - sin * dx + reach.0, sin * dy + cos * dx + reach.1);
        noise.at(row / cell.0, column / cell.1) > params.threshold
    })
}

/// Removes the connected parts (8-connectivity) that are smaller than the smallest area or nowhere on the foreground.
///
/// # Panics
/// If the foreground has another size than the mask.
pub fn keep_plausible(
    params: &MaskParams,
    mask: ArrayView2<bool>,
    foreground: Option<ArrayView2<f32>>,
) -> Array2<bool> {
    let smallest = params.smallest_area * mask.len() as f64;
    keep_components(mask, |places| {
        let on_foreground = foreground
            .is_none_or(|foreground| places.iter().any(|&place| foreground[place] > params.foreground));
        places.len() as f64 >= smallest && on_foreground
    })
}

/// The mask without the connected parts for which `keep` says no; it sees the places of one part.
pub(super) fn keep_components(
    mask: ArrayView2<bool>,
    mut keep: impl FnMut(&[(usize, usize)]) -> bool,
) -> Array2<bool> {
    let (labels, count) = label_components(mask);
    let mut places = vec![Vec::new(); count];
    for (place, &label) in labels.indexed_iter().filter(|&(_, &label)| label > 0) {
        places[label as usize - 1].push(place);
    }
    let mut kept = Array2::from_elem(mask.raw_dim(), false);
    for places in places.iter().filter(|places| keep(places)) {
        for &place in places {
            kept[place] = true;
        }
    }
    kept
}

/// What is used when noise finds no place: a disk of [`MaskParams::fallback_area`] around a random foreground place, or
/// any place where there is no foreground.
pub fn fallback(
    params: &MaskParams,
    size: (usize, usize),
    foreground: Option<ArrayView2<f32>>,
    random: &mut Random,
) -> Array2<bool> {
    let places: Vec<(usize, usize)> = foreground
        .iter()
        .flat_map(|map| map.indexed_iter().filter(|&(_, &value)| value > params.foreground))
        .map(|(place, _)| place)
        .collect();
    let (y, x) = match places.choose(random) {
        Some(&place) => place,
        None => (random.gen_range(0..size.0), random.gen_range(0..size.1)),
    };
    let radius = (params.fallback_area * (size.0 * size.1) as f64 / std::f64::consts::PI).max(0.0);
    Array2::from_shape_fn(size, |(row, column)| {
        let distance = (row.abs_diff(y).pow(2) + column.abs_diff(x).pow(2)) as f64;
        distance <= radius
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    #[test]
    fn noise_reaches_the_corners_and_covers_little() {
        let params = MaskParams::default();
        let mut random = Random::seed_from_u64(5);
        let masks: Vec<_> = (0..300).map(|_| draw(&params, (64, 96), &mut random)).collect();
        for corner in [(0, 0), (0, 95), (63, 0), (63, 95)] {
            assert!(masks.iter().any(|mask| mask[corner]), "{corner:?}");
        }
        let share = masks.iter().flatten().filter(|&&inside| inside).count() as f64 / (300.0 * 64.0 * 96.0);
        assert!((0.01..0.2).contains(&share), "{share}");
    }

    #[test]
    fn specks_and_background_go() {
        let params = MaskParams { smallest_area: 0.02, ..MaskParams::default() };
        let mut mask = Array2::from_elem((10, 20), false);
        for place in [(0, 0), (4, 4), (4, 5), (5, 6), (3, 3), (8, 15), (8, 16), (8, 17), (8, 18)] {
            mask[place] = true;
        }
        let all = keep_plausible(&params, mask.view(), None);
        assert!(!all[[0, 0]] && all[[5, 6]] && all[[8, 18]]);
        let left = Array2::from_shape_fn((10, 20), |(_, x)| if x < 5 { 0.6 } else { 0.5 });
        let some = keep_plausible(&params, mask.view(), Some(left.view()));
        assert!(some[[4, 5]] && !some[[8, 18]]);
    }

    proptest! {
        #[test]
        fn the_fallback_is_never_empty_and_on_the_foreground(
            seed in 0u64..100, height in 1usize..40, width in 1usize..40,
        ) {
            let params = MaskParams::default();
            let mut random = Random::seed_from_u64(seed);
            let foreground = Array2::from_shape_fn((height, width), |(y, _)| (y == height / 2) as u8 as f32);
            let mask = fallback(&params, (height, width), Some(foreground.view()), &mut random);
            prop_assert!(mask.row(height / 2).iter().any(|&inside| inside));
            let none = Array2::zeros((height, width));
            prop_assert!(fallback(&params, (height, width), Some(none.view()), &mut random).iter().any(|&m| m));
        }
    }
}
