//! Metrics of anomaly maps against ground truth masks: AUROC, average precision and F1 over all pixels, and PRO.
//!
//! A test set has tens of millions of pixels, so they are kept as sort keys: four bytes for a good pixel and eight for
//! a defective one, whose key also carries its region. Each pixel is sorted once, and one walk from the highest score
//! down feeds every metric.
//!
//! PRO follows the original MVTec AD evaluation (Bergmann et al., CVPR 2019, section 4.2): regions are 8-connected,
//! every distinct score is a threshold, the false positive rate is that of the good pixels of all images, those without
//! a defect included, and the overlap is averaged over all regions of all images.

use ndarray::ArrayView2;
use rayon::slice::ParallelSliceMut;
use serde::Serialize;

use super::components::label_components;
use super::metrics::{MetricError, MetricParams, RankingMetrics, RankingSweep, unit_interval};

/// How well maps show where the defects are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PixelMetrics {
    /// AUROC, average precision and F1 over the pixels of all images.
    pub ranking: RankingMetrics,
    /// Area under the PRO curve up to `fpr_limit`, divided by it: 1 is perfect, half the limit is a constant map.
    pub pro: f64,
    /// False positive rate up to which PRO was integrated.
    pub fpr_limit: f64,
    /// Number of defective regions.
    pub regions: usize,
    /// The PRO curve from (0, 0) to (1, 1), thinned to [`curve_resolution`](MetricParams::curve_resolution).
    pub pro_curve: Vec<OverlapPoint>,
}

/// A point of the PRO curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OverlapPoint {
    /// Share of the good pixels of all images that score at least the threshold.
    pub false_positive_rate: f64,
    /// Share of a region's pixels that score at least the threshold, averaged over all regions.
    pub overlap: f64,
}

/// Pixel metrics of pairs of map and mask, rows x columns each; in a mask true is defective.
///
/// # Errors
/// As [`PixelSamples::push`] and [`PixelSamples::finish`].
pub fn pixel_metrics<'a>(
    images: impl IntoIterator<Item = (ArrayView2<'a, f32>, ArrayView2<'a, bool>)>,
    params: &MetricParams,
) -> Result<PixelMetrics, MetricError> {
    let mut samples = PixelSamples::default();
    for (map, mask) in images {
        samples.push(map, Some(mask))?;
    }
    samples.finish(params)
}

/// The pixels of a test set, collected image by image so that no map has to be kept.
#[derive(Debug, Default)]
pub struct PixelSamples {
    images: usize,
    /// Keys of the good pixels.
    good: Vec<u32>,
    /// Defective pixels: key in the upper half, region in the lower.
    defective: Vec<u64>,
    /// Number of pixels of each region.
    areas: Vec<u32>,
}

impl PixelSamples {
    /// An empty collection with room for so many pixels: 4 bytes each.
    pub fn with_capacity(pixels: usize) -> Self {
        Self { good: Vec::with_capacity(pixels), ..Self::default() }
    }

    /// Adds an image: its map and its mask, both rows x columns; true in the mask is defective, and no mask means
    /// that the image is good. A mask without any defective pixel is allowed and counts as good pixels.
    ///
    /// # Errors
    /// When map and mask differ in size or a score is not finite; the image is then not added.
    pub fn push(&mut self, map: ArrayView2<f32>, mask: Option<ArrayView2<bool>>) -> Result<(), MetricError> {
        let index = self.images;
        if let Some(&value) = map.iter().find(|value| !value.is_finite()) {
            return Err(MetricError::NotFinite { what: "map", index, value });
        }
        match mask {
            None => self.good.extend(map.iter().map(|&score| key_of(score))),
            Some(mask) if mask.dim() != map.dim() => {
                return Err(MetricError::Shape { index, map: map.dim(), mask: mask.dim() });
            }
            Some(mask) => self.push_masked(map, mask)?,
        }
        self.images += 1;
        Ok(())
    }

    fn push_masked(&mut self, map: ArrayView2<f32>, mask: ArrayView2<bool>) -> Result<(), MetricError> {
        let (labels, count) = label_components(mask);
        let first = self.areas.len();
        if u32::try_from(first + count).is_err() {
            return Err(MetricError::TooManyRegions);
        }
        self.areas.resize(first + count, 0);
        for (&score, &label) in map.iter().zip(&labels) {
            if label == 0 {
                self.good.push(key_of(score));
            } else {
                let region = first + label as usize - 1;
                self.areas[region] += 1;
                self.defective.push(u64::from(key_of(score)) << 32 | region as u64);
            }
        }
        Ok(())
    }

    /// Number of images added.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Sorts the pixels and computes every metric.
    ///
    /// # Errors
    /// When there is no good or no defective pixel, or a parameter is out of range.
    pub fn finish(mut self, params: &MetricParams) -> Result<PixelMetrics, MetricError> {
        params.check()?;
        let mut ranking =
            RankingSweep::new(self.defective.len() as u64, self.good.len() as u64, "pixel", params)?;
        let mut overlap = OverlapSweep::new(&self.areas, self.good.len() as u64, params);
        self.good.par_sort_unstable();
        self.defective.par_sort_unstable();

        let (mut good, mut defective) = (self.good.as_slice(), self.defective.as_slice());
        while let Some(key) = good.last().copied().max(defective.last().map(|&pixel| key_in(pixel))) {
            let negatives = pop_while(&mut good, |&pixel| pixel == key).len() as u64;
            let found = pop_while(&mut defective, |&pixel| key_in(pixel) == key);
            ranking.step(score_of(key), found.len() as u64, negatives);
            overlap.step(found, negatives);
        }
        let (pro, pro_curve) = overlap.finish()?;
        let regions = self.areas.len();
        Ok(PixelMetrics { ranking: ranking.finish()?, pro, fpr_limit: params.fpr_limit, regions, pro_curve })
    }
}

/// Cuts off and returns the elements at the end for which `is_tied` holds.
fn pop_while<'a, T>(slice: &mut &'a [T], is_tied: impl Fn(&T) -> bool) -> &'a [T] {
    let ties = slice.iter().rev().take_while(|element| is_tied(element)).count();
    let (rest, tail) = slice.split_at(slice.len() - ties);
    *slice = rest;
    tail
}

/// An integer in the order of the scores; both zeros get the same.
fn key_of(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

fn score_of(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key & !(1 << 31) } else { !key })
}

/// The key of a defective pixel, without its region.
fn key_in(pixel: u64) -> u32 {
    (pixel >> 32) as u32
}

/// Integrates the PRO curve from the highest threshold down.
struct OverlapSweep {
    /// What a pixel of each region adds to the mean overlap.
    weights: Vec<f64>,
    negatives: u64,
    false_positives: u64,
    here: OverlapPoint,
    limit: f64,
    area: f64,
    resolution: f64,
    curve: Vec<OverlapPoint>,
}

impl OverlapSweep {
    fn new(areas: &[u32], negatives: u64, params: &MetricParams) -> Self {
        let start = OverlapPoint { false_positive_rate: 0.0, overlap: 0.0 };
        Self {
            weights: areas.iter().map(|&area| 1.0 / (f64::from(area) * areas.len() as f64)).collect(),
            negatives,
            false_positives: 0,
            here: start,
            limit: params.fpr_limit,
            area: 0.0,
            resolution: params.curve_resolution,
            curve: vec![start],
        }
    }

    fn step(&mut self, found: &[u64], negatives: u64) {
        let before = self.here;
        self.false_positives += negatives;
        self.here.false_positive_rate = self.false_positives as f64 / self.negatives as f64;
        self.here.overlap += found.iter().map(|&pixel| self.weights[pixel as u32 as usize]).sum::<f64>();
        self.area += trapezoid_up_to(self.limit, before, self.here);

        let kept = self.curve[self.curve.len() - 1];
        if self.here.false_positive_rate - kept.false_positive_rate >= self.resolution
            || self.here.overlap - kept.overlap >= self.resolution
        {
            self.curve.push(self.here);
        }
    }

    fn finish(mut self) -> Result<(f64, Vec<OverlapPoint>), MetricError> {
        unit_interval("region overlap", self.here.overlap)?;
        let end = OverlapPoint { false_positive_rate: 1.0, overlap: 1.0 };
        match self.curve.last_mut() {
            Some(last) if last.false_positive_rate == 1.0 => *last = end,
            _ => self.curve.push(end),
        }
        Ok((unit_interval("PRO", self.area / self.limit)?, self.curve))
    }
}

/// Area below the line between two points of the curve as far as the rate `limit`, at which it is interpolated.
fn trapezoid_up_to(limit: f64, from: OverlapPoint, to: OverlapPoint) -> f64 {
    let width = to.false_positive_rate - from.false_positive_rate;
    let inside = (limit - from.false_positive_rate).min(width);
    if inside <= 0.0 {
        return 0.0;
    }
    let rise = (to.overlap - from.overlap) * inside / width;
    inside * (from.overlap + rise / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    const PARAMS: MetricParams = MetricParams { fpr_limit: 0.3, curve_resolution: 0.0 };

    fn metrics(maps: &[Array2<f32>], masks: &[Array2<bool>]) -> Result<PixelMetrics, MetricError> {
        pixel_metrics(maps.iter().map(|map| map.view()).zip(masks.iter().map(|mask| mask.view())), &PARAMS)
    }

    #[test]
    fn keys_keep_the_order_and_come_back() {
        let scores = [f32::MIN, -2.5, -f32::MIN_POSITIVE, 0.0, 1e-40, f32::MIN_POSITIVE, 0.1, 7.0, f32::MAX];
        assert!(scores.windows(2).all(|pair| key_of(pair[0]) < key_of(pair[1])));
        assert!(scores.iter().all(|&score| score_of(key_of(score)) == score));
        assert_eq!(key_of(-0.0), key_of(0.0));
    }

    #[test]
    fn regions_weigh_the_same_whatever_their_size() {
        // The large region is found before any false alarm, the single pixel only after half of the good pixels.
        let map = array![[0.9, 0.9, 0.9, 0.5, 0.5], [0.9, 0.9, 0.9, 0.1, 0.2]];
        let mask = array![[true, true, true, false, false], [true, true, true, false, true]];
        let measured = metrics(&[map], &[mask]).unwrap();
        assert_eq!((measured.regions, measured.ranking.positives, measured.ranking.negatives), (2, 7, 3));
        let curve: Vec<_> = measured.pro_curve.iter().map(|p| (p.false_positive_rate, p.overlap)).collect();
        assert_eq!(curve.len(), 5);
        assert!((curve[1].1 - 0.5).abs() < 1e-12 && curve[1].0 == 0.0);
        assert_eq!(curve[4], (1.0, 1.0));
        assert!((measured.pro - 0.5).abs() < 1e-12, "{}", measured.pro);
    }

    #[test]
    fn a_constant_map_is_worth_half_the_limit() {
        let measured = metrics(&[array![[0.25, 0.25, 0.25]]], &[array![[true, false, false]]]).unwrap();
        assert!((measured.pro - 0.15).abs() < 1e-12);
        assert_eq!((measured.ranking.auroc, measured.pro_curve.len()), (0.5, 2));
    }

    #[test]
    fn good_images_without_a_mask_count() {
        let mut samples = PixelSamples::with_capacity(8);
        samples.push(array![[0.9, 0.1]].view(), Some(array![[true, false]].view())).unwrap();
        let mut masked = PixelSamples::default();
        masked.push(array![[0.9, 0.1]].view(), Some(array![[true, false]].view())).unwrap();
        samples.push(array![[0.95, 0.2]].view(), None).unwrap();
        masked.push(array![[0.95, 0.2]].view(), Some(array![[false, false]].view())).unwrap();
        assert_eq!(samples.images(), 2);
        let measured = samples.finish(&PARAMS).unwrap();
        assert_eq!(measured.ranking.negatives, 3);
        assert_eq!(measured, masked.finish(&PARAMS).unwrap());
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        let empty = |class| Err(MetricError::EmptyClass { class, unit: "pixel" });
        assert_eq!(metrics(&[], &[]), empty("defective"));
        assert_eq!(metrics(&[array![[0.5, 0.6]]], &[array![[false, false]]]), empty("defective"));
        assert_eq!(metrics(&[array![[0.5, 0.6]]], &[array![[true, true]]]), empty("good"));
        assert_eq!(
            metrics(&[array![[0.5, 0.6]]], &[array![[true], [false]]]),
            Err(MetricError::Shape { index: 0, map: (1, 2), mask: (2, 1) })
        );
    }

    #[test]
    fn a_bad_image_is_refused_and_leaves_the_others() {
        let mut samples = PixelSamples::default();
        samples.push(array![[0.9, 0.1]].view(), Some(array![[true, false]].view())).unwrap();
        for value in [f32::NAN, f32::INFINITY] {
            let error = samples.push(array![[0.9, value]].view(), Some(array![[true, false]].view()));
            assert!(matches!(error, Err(MetricError::NotFinite { what: "map", index: 1, .. })));
        }
        let measured = samples.finish(&PARAMS).unwrap();
        assert_eq!((measured.ranking.positives, measured.ranking.negatives, measured.pro), (1, 1, 1.0));
    }

    /// How long a large test set takes: `cargo test --release --lib large_test_set -- --ignored --nocapture`.
    #[test]
    #[ignore = "measures time and memory"]
    fn large_test_set() {
        use rand::{Rng, SeedableRng};
        const IMAGES: usize = 600;
        const SIDE: usize = 320;
        let mut noise = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(0);
        let mut samples = PixelSamples::with_capacity(IMAGES * SIDE * SIDE);
        let mut pushing = std::time::Duration::ZERO;
        for image in 0..IMAGES {
            let map = Array2::from_shape_simple_fn((SIDE, SIDE), || noise.r#gen::<f32>());
            let mask = Array2::from_shape_fn((SIDE, SIDE), |(y, x)| {
                image % 2 == 0 && (y / 40 + x / 40) % 8 == 0 && y % 40 < 30 && x % 40 < 30
            });
            let start = std::time::Instant::now();
            samples.push(map.view(), Some(mask.view())).unwrap();
            pushing += start.elapsed();
        }
        let start = std::time::Instant::now();
        let measured = samples.finish(&MetricParams::default()).unwrap();
        println!("push {pushing:.2?}, finish {:.2?}", start.elapsed());
        println!(
            "{} good and {} defective pixels, {} regions, {} + {} points; AUROC {:.6}, PRO {:.6}",
            measured.ranking.negatives,
            measured.ranking.positives,
            measured.regions,
            measured.ranking.curve.len(),
            measured.pro_curve.len(),
            measured.ranking.auroc,
            measured.pro,
        );
        assert!((measured.ranking.auroc - 0.5).abs() < 1e-3 && (measured.pro - 0.15).abs() < 1e-2);
    }
}
