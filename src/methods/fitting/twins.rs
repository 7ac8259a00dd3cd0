//! Near-twins: images that show one part as it stands still, as re-encoded copies and the frames of a burst do.
//!
//! A twin in the bank hides how far an image is from all others, so that the two are left out together when one of them is scored.
//! Images are compared by their cells' mean values, which re-encoding and a sensor's noise hardly change. How near twins are is told
//! by how far images of the folder are from each other: textures are far from each other, and parts that differ by little more than
//! noise are all equally near.

use crate::frame::InputSpec;
use std::collections::BTreeMap;

/// Cells of a sketch along each side of the network's input.
const CELLS: usize = 16;
/// Two images are twins up to this share of the distance that the nearest quarter of all pairs does not exceed. On real parts
/// (MVTec AD bottle, MVTec 3D-AD tire, PIPED, magnetic tiles) JPEG of quality 90 is at most 0.21 from the original, two other images
/// are 0.30 apart at least, or more than [`MOST_LEVELS`].
const SHARE: f32 = 0.25;
/// The share of pairs that is meant.
const QUARTER: f64 = 0.25;
/// Grey levels of 256 between the cells of twins at most: parts in any orientation, or in the same place with a sensor's noise, may be
/// near each other without being twins. JPEG of quality 90 is up to 0.54 from the original.
const MOST_LEVELS: f32 = 0.75;
/// Pairs that are looked at, about, to know how far images are from each other.
const PAIRS: usize = 5_000;

/// What is kept of each image to compare it with the others: the means of its cells in grey levels.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketches {
    values: Vec<f32>,
    dimension: usize,
}

impl Sketches {
    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Adds an image as the network sees it, `[3, height, width]`, as `spec` scales it.
    pub fn add(&mut self, pixels: &[f32], spec: &InputSpec) {
        let (width, height) = (spec.width as usize, spec.height as usize);
        self.dimension = spec.std.len() * CELLS * CELLS;
        let first = self.values.len();
        self.values.resize(first + self.dimension, 0.0);
        // The sides of an input are multiples of 32.
        let (across, down) = ((width / CELLS).max(1), (height / CELLS).max(1));
        let planes = pixels.chunks_exact(width * height).zip(&spec.std);
        for ((plane, std), cells) in planes.zip(self.values[first..].chunks_exact_mut(CELLS * CELLS)) {
            for (y, row) in plane.chunks_exact(width).enumerate() {
                let cells = &mut cells[(y / down).min(CELLS - 1) * CELLS..][..CELLS];
                for (cell, part) in cells.iter_mut().zip(row.chunks(across)) {
                    *cell += part.iter().sum::<f32>();
                }
            }
            cells.iter_mut().for_each(|cell| *cell *= std / (across * down) as f32);
        }
    }

    fn len(&self) -> usize {
        self.values.len().checked_div(self.dimension).unwrap_or(0)
    }

    fn of(&self, image: usize) -> &[f32] {
        &self.values[image * self.dimension..][..self.dimension]
    }

    /// Whether two images are no further apart than `limit`, a mean square.
    fn within(&self, one: usize, other: usize, limit: f32) -> bool {
        // Most pairs are told apart by their first rows.
        let most = limit * self.dimension as f32;
        let mut sum = 0.0;
        self.of(one).chunks(CELLS).zip(self.of(other).chunks(CELLS)).all(|(one, other)| {
            sum += one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            sum <= most
        })
    }

    /// The mean square up to which images are twins.
    fn limit(&self) -> f32 {
        let count = self.len();
        let offsets = (count - 1).min(PAIRS.div_ceil(count));
        let mut squares: Vec<f32> = (0..offsets)
            .map(|i| 1 + i * (count - 1) / offsets)
            .flat_map(|offset| (0..count).map(move |one| (one, (one + offset) % count)))
            .map(|(one, other)| {
                let pairs = self.of(one).iter().zip(self.of(other));
                pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>() / self.dimension as f32
            })
            .collect();
        squares.sort_by(f32::total_cmp);
        let quarter = squares[(QUARTER * (squares.len() - 1) as f64) as usize];
        (SHARE * SHARE * quarter).min(MOST_LEVELS * MOST_LEVELS)
    }

    /// Which images are twins.
    pub fn twins(&self) -> Twins {
        let count = self.len();
        if count < 3 {
            return Twins::none(count);
        }
        let limit = self.limit();
        let mut firsts: Vec<usize> = Vec::new();
        let of: Vec<usize> = (0..count)
            .map(|image| {
                // Of the first of a group alone: a part that moves on and on shall not make one group of all its frames.
                let known = firsts.iter().copied().find(|&first| self.within(first, image, limit));
                known.unwrap_or_else(|| {
                    firsts.push(image);
                    image
                })
            })
            .collect();
        // Where there is one picture alone, nothing would be left to compare it with.
        if firsts.len() < 2 { Twins::none(count) } else { Twins::new(of) }
    }
}

/// Which images are near-twins of each other, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Twins {
    /// The first image of the group that each one belongs to.
    of: Vec<usize>,
    /// The groups by their first images.
    groups: BTreeMap<usize, Vec<usize>>,
}

impl Twins {
    /// `count` images, all of them different.
    pub fn none(count: usize) -> Self {
        Self::new((0..count).collect())
    }

    fn new(of: Vec<usize>) -> Self {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (image, &first) in of.iter().enumerate() {
            groups.entry(first).or_default().push(image);
        }
        Self { of, groups }
    }

    /// The first image of each group, which is scored for all of it.
    pub fn firsts(&self) -> Vec<usize> {
        self.groups.keys().copied().collect()
    }

    /// The first images of `most` groups at most, evenly chosen.
    pub fn chosen(&self, most: usize) -> Vec<usize> {
        self.firsts().into_iter().step_by(self.groups().div_ceil(most).max(1)).collect()
    }

    /// The images of these groups, each called by the number of its first image.
    pub fn of_groups(groups: &[u32]) -> Self {
        Self::new(groups.iter().map(|&first| first as usize).collect())
    }

    /// The group of each image, called by the number of its first image.
    pub fn to_groups(&self) -> Vec<u32> {
        self.of.iter().map(|&first| first as u32).collect()
    }

    /// The same images behind `others`.
    pub fn after(&self, others: &Self) -> Self {
        let count = others.of.len();
        Self::new(others.of.iter().copied().chain(self.of.iter().map(|first| count + first)).collect())
    }

    /// Every twin with the first image of its group.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.of.iter().copied().enumerate().filter(|(image, first)| image != first)
    }

    /// The first image of the group that `image` belongs to.
    pub fn first_of(&self, image: usize) -> usize {
        self.of[image]
    }

    /// The images of the group whose first one is `first`, that one included.
    pub fn group(&self, first: usize) -> &[usize] {
        self.groups.get(&first).map_or(&[], Vec::as_slice)
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Number of images that are twins of one before them.
    pub fn count(&self) -> usize {
        self.of.len() - self.groups.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Fit;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    fn spec() -> InputSpec {
        InputSpec {
            width: 64,
            height: 32,
            fit: Fit::Stretch,
            mean: [127.0; 3],
            std: [64.0, 32.0, 128.0],
            range: None,
        }
    }

    /// Sketches of pictures in grey levels, `[3, 32, 64]`.
    fn sketches(pictures: &[Vec<f32>]) -> Sketches {
        let mut sketches = Sketches::default();
        for picture in pictures {
            let scaled = picture.iter().enumerate();
            let scaled: Vec<f32> =
                scaled.map(|(i, value)| (value - 127.0) / spec().std[i / (32 * 64)]).collect();
            sketches.add(&scaled, &spec());
        }
        sketches
    }

    /// A picture of `cells` random ones, each of them twice as wide and high as a cell of a sketch.
    fn picture(random: &mut Xoshiro256Plus, spread: f32) -> Vec<f32> {
        let cells: Vec<f32> = (0..3 * 64).map(|_| 127.0 + random.gen_range(-spread..spread)).collect();
        (0..3 * 32 * 64).map(|i| cells[i / (32 * 64) * 64 + i / 64 % 32 / 4 * 8 + i % 64 / 8]).collect()
    }

    fn noisy(picture: &[f32], random: &mut Xoshiro256Plus, levels: f32) -> Vec<f32> {
        picture.iter().map(|value| value + random.gen_range(-levels..=levels)).collect()
    }

    #[test]
    fn a_cell_is_the_mean_of_its_pixels_in_grey_levels() {
        let mut random = Xoshiro256Plus::seed_from_u64(3);
        let picture = picture(&mut random, 100.0);
        let sketches = sketches(std::slice::from_ref(&picture));
        for (channel, y, x) in [(0, 0, 0), (1, 7, 3), (2, 15, 15)] {
            let expected = picture[channel * 32 * 64 + y * 2 * 64 + x * 4] - 127.0;
            let found = sketches.of(0)[(channel * CELLS + y) * CELLS + x];
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn copies_with_noise_are_twins_wherever_they_stand() {
        let mut random = Xoshiro256Plus::seed_from_u64(1);
        let parts: Vec<Vec<f32>> = (0..20).map(|_| picture(&mut random, 20.0)).collect();
        let all: Vec<Vec<f32>> = (0..60).map(|i| noisy(&parts[i % 20], &mut random, 1.5)).collect();
        let twins = sketches(&all).twins();
        assert_eq!((twins.groups(), twins.count()), (20, 40));
        assert_eq!(twins.firsts(), (0..20).collect::<Vec<_>>());
        assert!((0..60).all(|image| twins.first_of(image) == image % 20));
        assert_eq!(twins.group(7), [7, 27, 47]);
    }

    #[test]
    fn parts_that_differ_by_noise_alone_are_no_twins() {
        let mut random = Xoshiro256Plus::seed_from_u64(2);
        let part = picture(&mut random, 20.0);
        let all: Vec<Vec<f32>> = (0..40).map(|_| noisy(&part, &mut random, 3.0)).collect();
        assert_eq!(sketches(&all).twins(), Twins::none(40));
    }

    #[test]
    fn two_variants_of_a_part_are_no_two_groups() {
        let mut random = Xoshiro256Plus::seed_from_u64(4);
        let variants = [picture(&mut random, 60.0), picture(&mut random, 60.0)];
        let all: Vec<Vec<f32>> = (0..40)
            .map(|i| {
                let own = picture(&mut random, 6.0);
                variants[i % 2].iter().zip(own).map(|(a, b)| a + b - 127.0).collect()
            })
            .collect();
        assert_eq!(sketches(&all).twins().count(), 0);
    }

    #[test]
    fn groups_are_put_together() {
        let all = Twins::of_groups(&[0, 0, 2]).after(&Twins::of_groups(&[0, 1, 0, 3]));
        assert_eq!(all.pairs().collect::<Vec<_>>(), [(2, 0), (5, 4)]);
        assert_eq!(all.to_groups(), [0, 1, 0, 3, 4, 4, 6]);
        assert_eq!((all.chosen(3), all.group(4)), (vec![0, 3, 6], &[4, 5][..]));
    }

    #[test]
    fn few_images_and_one_picture_alone_are_as_they_are() {
        for count in [0, 1, 2, 9] {
            let all = vec![vec![127.0; 3 * 32 * 64]; count];
            assert_eq!(sketches(&all).twins(), Twins::none(count));
        }
    }
}
