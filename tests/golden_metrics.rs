//! The metrics against numbers of the original MVTec AD evaluation code and of scikit-learn.
//!
//! `tests/fixtures/metrics.safetensors` holds synthetic masks and maps full of ties and what the reference code makes
//! of them. `GOLDEN_DIR` names another folder to read it from.

#![cfg(feature = "train")]

use std::path::PathBuf;

use gstanomaly::evaluate::{
    MetricParams, PixelMetrics, RankingMetrics, image_metrics, label_components, pixel_metrics,
};
use ndarray::{Array3, Axis};
use safetensors::SafeTensors;

/// Every threshold is a point of the curves, as in the fixture.
const PARAMS: MetricParams = MetricParams { fpr_limit: 0.3, curve_resolution: 0.0 };
const TOLERANCE: f64 = 1e-9;
/// The reference keeps the false positive rate in single precision.
const PRO_TOLERANCE: f64 = 1e-6;
const CURVE_TOLERANCE: f64 = 1e-7;

struct Golden(Vec<u8>);

impl Golden {
    fn open() -> Self {
        let folder = std::env::var_os("GOLDEN_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures"), PathBuf::from);
        let path = folder.join("metrics.safetensors");
        Self(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn tensor<T: bytemuck::AnyBitPattern>(&self, name: &str) -> (Vec<usize>, Vec<T>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        let values = tensor.data().chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect();
        (tensor.shape().to_vec(), values)
    }

    fn doubles(&self, name: &str) -> Vec<f64> {
        self.tensor(name).1
    }

    fn labels(&self) -> Vec<bool> {
        self.tensor::<i64>("img_labels").1.into_iter().map(|label| label == 1).collect()
    }

    fn stack<T: bytemuck::AnyBitPattern>(&self, name: &str) -> Array3<T> {
        let (shape, values) = self.tensor(name);
        Array3::from_shape_vec((shape[0], shape[1], shape[2]), values).unwrap()
    }

    fn masks(&self) -> Array3<bool> {
        self.stack::<u8>("pix_masks").mapv(|value| value != 0)
    }
}

fn pixels(maps: &Array3<f32>, masks: &Array3<bool>) -> PixelMetrics {
    pixel_metrics(maps.axis_iter(Axis(0)).zip(masks.axis_iter(Axis(0))), &PARAMS).unwrap()
}

fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: found {found}, expected {expected}");
}

#[test]
fn image_metrics_agree() {
    let golden = Golden::open();
    let scores = golden.tensor::<f32>("img_scores").1;
    let found = image_metrics(&golden.labels(), &scores, &PARAMS).unwrap();
    close("AUROC", found.auroc, golden.doubles("img_auroc")[0], TOLERANCE);
    close("AP", found.average_precision, golden.doubles("img_ap")[0], TOLERANCE);
    close("F1", found.f1_max, golden.doubles("img_f1max")[0], TOLERANCE);
    close(
        "F1 threshold",
        f64::from(found.f1_max_threshold),
        golden.doubles("img_f1max_threshold")[0],
        TOLERANCE,
    );
}

#[test]
fn constant_image_scores_agree() {
    let golden = Golden::open();
    let labels = golden.labels();
    let found = image_metrics(&labels, &vec![0.5; labels.len()], &PARAMS).unwrap();
    let expected = golden.doubles("img_const_auroc_ap_f1");
    close("AUROC", found.auroc, expected[0], TOLERANCE);
    close("AP", found.average_precision, expected[1], TOLERANCE);
    close("F1", found.f1_max, expected[2], TOLERANCE);
}

#[test]
fn components_agree() {
    let golden = Golden::open();
    let counts: Vec<i64> =
        golden.masks().axis_iter(Axis(0)).map(|mask| label_components(mask).1 as i64).collect();
    assert_eq!(counts, golden.tensor::<i64>("pix_components").1);
    assert_ne!(counts, golden.tensor::<i64>("pix_components_4conn").1);
}

#[test]
fn pixel_metrics_agree() {
    let golden = Golden::open();
    let found = pixels(&golden.stack("pix_maps"), &golden.masks());
    close("AUROC", found.ranking.auroc, golden.doubles("pix_auroc")[0], TOLERANCE);
    close("AP", found.ranking.average_precision, golden.doubles("pix_ap")[0], TOLERANCE);
    let f1 = golden.doubles("pix_f1max");
    close("F1", found.ranking.f1_max, f1[0], TOLERANCE);
    close("F1 threshold", f64::from(found.ranking.f1_max_threshold), f1[1], TOLERANCE);
    close("PRO", found.pro, golden.doubles("pix_pro_0.3")[0], PRO_TOLERANCE);
    close("PRO in double precision", found.pro, golden.doubles("pix_pro_0.3_f64")[0], TOLERANCE);
    let four_connected = golden.doubles("pix_pro_0.3_4conn")[0];
    assert!((found.pro - four_connected).abs() > 1e3 * PRO_TOLERANCE, "this is the 4-connected value");
    assert_eq!(found.regions as i64, golden.tensor::<i64>("pix_components").1.iter().sum::<i64>());
}

#[test]
fn the_pro_curve_agrees() {
    let golden = Golden::open();
    let found = pixels(&golden.stack("pix_maps"), &golden.masks()).pro_curve;
    let (rates, overlaps) = (golden.doubles("pix_pro_fpr"), golden.doubles("pix_pro_curve"));
    // The reference appends (1, 1) although its last threshold is already there.
    assert_eq!(found.len() + 1, rates.len());
    for ((point, rate), overlap) in found.iter().zip(rates).zip(overlaps) {
        close("false positive rate", point.false_positive_rate, rate, CURVE_TOLERANCE);
        close("overlap", point.overlap, overlap, CURVE_TOLERANCE);
    }
}

#[test]
fn constant_maps_agree() {
    let golden = Golden::open();
    let masks = golden.masks();
    let found = pixels(&Array3::from_elem(masks.raw_dim(), 0.25), &masks);
    let expected = golden.doubles("pix_const");
    close("AUROC", found.ranking.auroc, expected[0], TOLERANCE);
    close("AP", found.ranking.average_precision, expected[1], TOLERANCE);
    close("PRO", found.pro, expected[2], PRO_TOLERANCE);
}

#[test]
fn perfect_maps_agree() {
    let golden = Golden::open();
    let masks = golden.masks();
    let found = pixels(&masks.mapv(|defective| f32::from(u8::from(defective))), &masks);
    close("PRO", found.pro, golden.doubles("pix_perfect_pro")[0], PRO_TOLERANCE);
    let RankingMetrics { auroc, average_precision, f1_max, .. } = found.ranking;
    assert_eq!((auroc, average_precision, f1_max), (1.0, 1.0, 1.0));
}
