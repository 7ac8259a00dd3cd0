//! Which places of a query and its reference are compared (the paper's algorithm 1).

use super::loss::{Pairs, Point};
use crate::dataset::synthetic::Random;
use crate::kernels::blur::Gaussian;
use ndarray::Array2;
use rand::Rng;
use rand::seq::index;
use serde::{Deserialize, Serialize};

/// How many pairs are drawn from an image, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PairParams {
    /// Positive pairs.
    pub positive: usize,
    /// Remote pairs at most; only objects have them.
    pub remote: usize,
    /// Anomalous pairs at most.
    pub anomalous: usize,
    /// The places of a remote pair lie farther apart than this, in pixels: four times the reach of the search window times the
    /// root of two.
    pub remote_distance: f64,
    /// Sigma of the blur of the foreground that places are drawn by, as a share of the map's height.
    pub foreground_blur: f64,
    /// The foreground after the blur becomes `1 / (1 + exp(sharpness * (middle - foreground)))`.
    pub foreground_sharpness: f32,
    /// See [`PairParams::foreground_sharpness`].
    pub foreground_middle: f32,
}

impl Default for PairParams {
    fn default() -> Self {
        Self {
            positive: 300,
            remote: 300,
            anomalous: 300,
            remote_distance: 4.0 * std::f64::consts::SQRT_2,
            foreground_blur: 1.0 / 25.0,
            foreground_sharpness: 10.0,
            foreground_middle: 0.5,
        }
    }
}

/// Places tried for each that is wanted before an image is taken to have no more.
const ATTEMPTS: usize = 20;
/// The Gaussian kernel reaches so many sigmas to either side.
const REACH: f64 = 3.0;

/// Where to draw places from: the cells of a coarse map with their summed weights.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    cells: (usize, usize),
    /// Sums of the weights up to and with each cell.
    sums: Vec<f32>,
}

impl Ground {
    /// Every place alike.
    pub fn even() -> Self {
        Self { cells: (1, 1), sums: vec![1.0] }
    }

    /// By the sharpened weight of a foreground map, `[height, width]`.
    pub fn new(foreground: &[f32], (height, width): (usize, usize), params: &PairParams) -> Self {
        let sigma = params.foreground_blur * height as f64;
        // A kernel wider than the map would reflect more than once.
        let most = (height.min(width) - 1).max(1);
        let reach = ((REACH * sigma).ceil() as usize).clamp(1, most);
        let mut map = foreground.to_vec();
        if height.min(width) > 1 {
            Gaussian::new(2 * reach + 1, sigma.max(f64::MIN_POSITIVE)).run(&mut map, width);
        }
        let sharpen =
            |x: f32| 1.0 / (1.0 + (params.foreground_sharpness * (params.foreground_middle - x)).exp());
        let mut sum = 0.0;
        let sums = map.into_iter().map(|x| {
            sum += sharpen(x);
            sum
        });
        Self { cells: (height, width), sums: sums.collect() }
    }

    /// A pixel (x, y) of an image of `(height, width)`.
    fn draw(&self, (height, width): (usize, usize), random: &mut Random) -> (usize, usize) {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let wanted = random.gen_range(0.0..1.0f32) * total;
        let cell = self.sums.partition_point(|&sum| sum <= wanted).min(self.sums.len() - 1);
        let (row, column) = (cell / self.cells.1, cell % self.cells.1);
        let mut within = |cell: usize, cells: usize, side: usize| {
            let (from, to) = (cell * side / cells, (cell + 1) * side / cells);
            random.gen_range(from..to.max(from + 1)).min(side - 1)
        };
        (within(column, self.cells.1, width), within(row, self.cells.0, height))
    }
}

/// The defective pixels of an image, one bit each.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    size: (usize, usize),
    bits: Vec<u64>,
}

impl Mask {
    pub fn new(mask: &Array2<bool>) -> Self {
        let mut bits = vec![0; mask.len().div_ceil(64)];
        for (i, _) in mask.iter().enumerate().filter(|&(_, &inside)| inside) {
            bits[i / 64] |= 1 << (i % 64);
        }
        Self { size: mask.dim(), bits }
    }

    fn holds(&self, (x, y): (usize, usize)) -> bool {
        let at = y * self.size.1 + x;
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }

    fn pixels(&self) -> Vec<(usize, usize)> {
        let all = (0..self.size.0).flat_map(|y| (0..self.size.1).map(move |x| (x, y)));
        all.filter(|&pixel| self.holds(pixel)).collect()
    }

    /// -1 and 1 are the middles of the outermost pixels.
    fn point(&self, (x, y): (usize, usize)) -> Point {
        let along = |i: usize, side: usize| match side {
            0 | 1 => 0.0,
            _ => i as f32 / (side - 1) as f32 * 2.0 - 1.0,
        };
        [along(x, self.size.1), along(y, self.size.0)]
    }
}

/// Draws the pairs of a query with the defects of `mask`; `remote` says whether places that lie apart are to be told apart.
pub(super) fn draw(
    params: &PairParams,
    mask: &Mask,
    ground: &Ground,
    remote: bool,
    random: &mut Random,
) -> Pairs {
    let mut good = Vec::with_capacity(params.positive);
    for _ in 0..params.positive * ATTEMPTS {
        if good.len() == params.positive {
            break;
        }
        let pixel = ground.draw(mask.size, random);
        if !mask.holds(pixel) {
            good.push(pixel);
        }
    }
    let far = |a: (usize, usize), b: (usize, usize)| {
        let apart = |a: usize, b: usize| a.abs_diff(b).pow(2) as f64;
        apart(a.0, b.0) + apart(a.1, b.1) > params.remote_distance.powi(2)
    };
    let wanted = if remote { params.remote } else { 0 };
    let pairs = good.iter().cycle().take(wanted.min(good.len() * wanted)).filter_map(|&pixel| {
        let other = (0..ATTEMPTS).map(|_| ground.draw(mask.size, random)).find(|&other| far(pixel, other))?;
        Some([mask.point(pixel), mask.point(other)])
    });
    let remote = pairs.collect();
    let bad = mask.pixels();
    let chosen = index::sample(random, bad.len(), params.anomalous.min(bad.len()));
    Pairs {
        positive: good.iter().map(|&pixel| mask.point(pixel)).collect(),
        remote,
        anomalous: chosen.into_iter().map(|i| mask.point(bad[i])).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn pixel([x, y]: Point, (height, width): (usize, usize)) -> (usize, usize) {
        let along = |p: f32, side: usize| ((p + 1.0) / 2.0 * (side - 1) as f32).round() as usize;
        (along(x, width), along(y, height))
    }

    #[test]
    fn pairs_are_what_they_are_called() {
        let size = (64, 96);
        let defect = Array2::from_shape_fn(size, |(y, x)| (10..20).contains(&y) && (30..50).contains(&x));
        let foreground: Vec<f32> = (0..16 * 24).map(|i| if i % 24 < 12 { 1.0 } else { 0.0 }).collect();
        let params = PairParams::default();
        let ground = Ground::new(&foreground, (16, 24), &params);
        let random = &mut Random::seed_from_u64(1);
        let pairs = draw(&params, &Mask::new(&defect), &ground, true, random);
        assert_eq!((pairs.positive.len(), pairs.anomalous.len()), (300, 200));
        assert!(pairs.remote.len() > 290);
        let at = |point| pixel(point, size);
        let bad = |(x, y): (usize, usize)| defect[[y, x]];
        assert!(pairs.positive.iter().all(|&point| !bad(at(point))));
        assert!(pairs.anomalous.iter().all(|&point| bad(at(point))));
        let left = pairs.positive.iter().filter(|&&point| at(point).0 < 48).count();
        assert!(left > 250, "{left}");
        for &[query, reference] in &pairs.remote {
            let ((x, y), (other_x, other_y)) = (at(query), at(reference));
            let apart = (x as f64 - other_x as f64).hypot(y as f64 - other_y as f64);
            assert!(apart > params.remote_distance, "{apart}");
        }
    }

    #[test]
    fn masks_that_hold_nothing_or_everything_are_no_trouble() {
        let random = &mut Random::seed_from_u64(1);
        let (params, ground) = (PairParams::default(), Ground::even());
        let good = draw(&params, &Mask::new(&Array2::from_elem((32, 32), false)), &ground, false, random);
        assert_eq!((good.positive.len(), good.remote.len(), good.anomalous.len()), (300, 0, 0));
        let bad = draw(&params, &Mask::new(&Array2::from_elem((32, 32), true)), &ground, true, random);
        assert_eq!((bad.positive.len(), bad.remote.len(), bad.anomalous.len()), (0, 0, 300));
    }
}
