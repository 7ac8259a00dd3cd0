//! HETMM from images to scores: fit, elements, update, and what it refuses.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::bundle::{Bundle, open_shared};
use gstanomaly::frame::load_picture;
use gstanomaly::methods::fitting::{FitOptions, Foreground, update};
use gstanomaly::methods::hetmm;
use gstanomaly::methods::{Retriever, cpr};
use gstanomaly::network::{Device, FeatureExtractor};
use pipeline::{Line, chain, info_of, score};
use product::{
    FOLDER, GOOD_IMAGES, Quiet, adding, change_params, change_tensor, copy, defective, file, fit_method,
    folder_of, good, judge_file, options, scratch,
};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static SHEETS: LazyLock<PathBuf> =
    LazyLock::new(|| fit_method(hetmm::fit, "sheets", &[("sheets", "5")], None).unwrap());
static ALL: LazyLock<PathBuf> =
    LazyLock::new(|| fit_method(hetmm::fit, "all", &[("sheets", "null")], None).unwrap());

fn templates(bundle: &Path) -> u64 {
    Bundle::open(bundle).unwrap().manifest().params["templates"].as_u64().unwrap()
}

#[test]
fn a_frame_has_exactly_the_score_of_its_file() {
    for bundle in [&*SHEETS, &*ALL] {
        let images = [good(100), defective(101), good(102), defective(103)];
        let name = |i| format!("{}-{i}.png", bundle.file_name().unwrap().to_string_lossy());
        let expected: Vec<f64> = (0..)
            .zip(&images)
            .map(|(i, image): (i32, _)| judge_file(bundle, &file(image, &name(i))).score)
            .collect();
        let line = Line::playing(&chain(bundle), &info_of(&images[0]));
        let found: Vec<f64> = (0..).zip(&images).map(|(i, image)| score(&line.pass(image, i))).collect();
        assert!(line.drain().is_empty());
        assert_eq!(found, expected);
        let threshold = open_shared(bundle).unwrap().manifest().calibration.threshold;
        assert!(expected[0] < threshold && expected[1] > 1.3 * threshold, "{expected:?}, {threshold}");
        assert!(expected[2] < threshold && expected[3] > 1.3 * threshold, "{expected:?}, {threshold}");
    }
}

#[test]
fn the_defect_is_where_the_map_is_largest() {
    let anomaly = judge_file(&SHEETS, &file(&defective(7), "where.png"));
    let best = (0..anomaly.map.len()).max_by(|&a, &b| anomaly.map[a].total_cmp(&anomaly.map[b])).unwrap();
    let (left, top, width, height) = product::DEFECT;
    let (x, y) = (best as u32 % 128 * product::WIDTH / 128, best as u32 / 128 * product::HEIGHT / 96);
    assert!((left - 2..left + width + 2).contains(&x) && (top - 2..top + height + 2).contains(&y), "{x} {y}");
    assert!(anomaly.anomalous && !anomaly.regions.is_empty());
}

#[test]
fn templates_are_the_sheets_or_all_images() {
    assert_eq!((templates(&SHEETS), templates(&ALL)), (5, GOOD_IMAGES));
    // More sheets than images: all images, as if all had been asked for.
    let more = fit_method(hetmm::fit, "more", &[("sheets", "17")], None).unwrap();
    assert_eq!(templates(&more), GOOD_IMAGES);
    let bank = |bundle: &Path| std::fs::read(bundle.join("bank.safetensors")).unwrap();
    assert!(bank(&more) == bank(&ALL));
    let again = fit_method(hetmm::fit, "again", &[("sheets", "5")], None).unwrap();
    assert!(bank(&again) == bank(&SHEETS), "the same images give the same bundle");
}

#[test]
fn few_and_equal_images() {
    let one = folder_of(&[good(1)]);
    let error = fit_method(hetmm::fit, "one", &[], Some(one.path())).unwrap_err().to_string();
    assert!(error.contains("at least 2"), "{error}");
    assert!(!FOLDER.join("one").exists());
    let same = folder_of(&vec![good(1); 5]);
    for sheets in ["3", "null"] {
        let bundle = fit_method(hetmm::fit, "same", &[("sheets", sheets)], Some(same.path())).unwrap();
        let calm = judge_file(&bundle, &file(&good(1), "same.png"));
        assert!(calm.score.abs() < 0.01, "what is known has no distance: {}", calm.score);
        assert!(judge_file(&bundle, &file(&defective(1), "other.png")).score > 0.3);
    }
}

#[test]
fn settings_that_cannot_be() {
    for (setting, value, expected) in [
        ("sheets", "0", "sheets"),
        ("alpha", "1.5", "alpha must be 0 to 1"),
        ("forward_windows", "[4,3,3]", "odd"),
        ("backward_windows", "[3,3]", "3 layers"),
        ("blur_sigma", "0", "blur_sigma"),
        ("clustering.xi", "1", "clustering.xi"),
        ("clustering.min_samples", "few", "expected a whole number, or null"),
        ("sheets", "2.5", "expected a whole number, such as 60, or null"),
        ("neighbours", "5", "unknown parameter"),
        ("templates", "5", "parameter 'templates' cannot be set"),
    ] {
        let error = fit_method(hetmm::fit, "refused", &[(setting, value)], None).unwrap_err().to_string();
        assert!(error.contains(expected), "{setting}={value}: {error}");
    }
    let error = fit_method(cpr::fit, "refused", &[("sheets", "60")], None).unwrap_err().to_string();
    assert!(error.contains("unknown parameter 'sheets'"), "{error}");
    for (setting, value, expected) in [
        ("foreground", "false", "parameter 'foreground' cannot be set"),
        ("scales", r#"[{"stride":4,"channels":24,"window":3}]"#, "only windows and weights can be set"),
    ] {
        let error = fit_method(cpr::fit, "refused", &[(setting, value)], None).unwrap_err().to_string();
        assert!(error.contains(expected), "{setting}={value}: {error}");
    }
    let foreground = FitOptions { foreground: Foreground::On, ..options("refused", (64, 64)) };
    let error = hetmm::fit(&foreground, &FOLDER.join("refused"), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("foreground"), "{error}");
    assert!(!FOLDER.join("refused").exists());
}

#[test]
fn layers_can_be_chosen() {
    let two = FitOptions {
        layers: vec!["stride8".into(), "stride4".into()],
        set: vec![("forward_windows".into(), "[3,3]".into()), ("sheets".into(), "4".into())],
        ..options("two-layers", (64, 64))
    };
    let manifest = hetmm::fit(&two, &FOLDER.join("two-layers"), &mut Quiet).unwrap();
    assert_eq!(manifest.backbone.layers, ["stride4", "stride8"]);
    let four = FitOptions { layers: ["stride4"; 4].map(String::from).to_vec(), ..two };
    let error = hetmm::fit(&four, &FOLDER.join("four"), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("at most 3"), "{error}");
}

#[test]
fn a_number_of_neighbours_is_refused() {
    let bundle = open_shared(&SHEETS).unwrap();
    let picture = load_picture(&file(&good(3), "neighbours.png")).unwrap();
    let network = bundle.network(Device::Cpu, 0).unwrap();
    let mut extractor = FeatureExtractor::new(bundle.clone(), network, picture.info(), None).unwrap();
    let features = extractor.extract(&picture.frame().unwrap()).unwrap();
    let error = Retriever::new(bundle).retrieve(&features, 3).unwrap_err().to_string();
    assert!(error.contains("compares with all normals"), "{error}");
}

#[test]
fn damaged_bundles_are_refused() {
    let folder = scratch();
    let spoilt = |spoil: &dyn Fn(&Path)| -> String {
        let path = folder.path().join("spoilt");
        copy(&SHEETS, &path);
        spoil(&path);
        Bundle::open(&path).unwrap_err().to_string()
    };
    let nan = |bytes: &mut [u8]| bytes[..2].copy_from_slice(&half::f16::NAN.to_le_bytes());
    let error = spoilt(&|path| change_tensor(path, "templates_1", nan));
    assert!(error.contains("templates_1") && error.contains("not finite"), "{error}");
    let error = spoilt(&|path| change_params(path, |params| params["templates"] = 6.into()));
    assert!(error.contains("templates_0") && error.contains("expected F16"), "{error}");
    let error = spoilt(&|path| change_params(path, |params| params["layers"][0]["stride"] = 8.into()));
    assert!(error.contains("templates_0"), "{error}");
    for (name, value) in
        [("templates", 0.into()), ("alpha", serde_json::json!(-1)), ("weights", vec![1.0].into())]
    {
        let error =
            spoilt(&|path| change_params(path, |params| params[name] = serde_json::Value::clone(&value)));
        assert!(error.contains("params") && error.contains(name), "{name}: {error}");
    }
}

/// What to add to a bundle.
#[test]
fn an_update_makes_new_images_normal() {
    // Parts with what has been a defect, which is now how they shall be.
    let (new, other) =
        (folder_of(&[defective(200), defective(201), defective(202)]), file(&defective(203), "new.png"));
    for (source, before) in [(&*SHEETS, 5), (&*ALL, GOOD_IMAGES)] {
        let folder = scratch();
        let path = folder.path().join("updated");
        copy(source, &path);
        let old = judge_file(&path, &other).score;
        let threshold = Bundle::open(&path).unwrap().manifest().calibration.threshold;
        let manifest = update(&path, &adding(new.path()), &mut Quiet).unwrap().after;
        assert_eq!(templates(&path), before + 3);
        assert_eq!(
            (manifest.training.images as u64, &*manifest.training.date),
            (GOOD_IMAGES + 3, "2025-02-02")
        );
        let bundle = Bundle::open(&path).unwrap();
        bundle.verify_hashes().unwrap();
        let found = judge_file(&path, &other);
        assert!(found.score < 0.8 * old && !found.anomalous, "{} was {old}", found.score);
        let added = judge_file(&path, &new.path().join("000.png")).score;
        assert!(added < 0.02, "an image in the bank has no distance: {added}");
        // The others are as near as before, and what is neither stays far.
        assert!(judge_file(&path, &file(&good(9), "good.png")).score < manifest.calibration.threshold);
        assert!(manifest.calibration.threshold < 10.0 * threshold);
        assert!(manifest.calibration.obtained.contains(&format!("{} normal", GOOD_IMAGES + 3)));
        // Again, by one.
        let one = folder_of(&[good(300)]);
        update(&path, &adding(one.path()), &mut Quiet).unwrap();
        assert_eq!(templates(&path), before + 4);
    }
}

#[test]
fn an_update_that_fails_leaves_the_bundle_as_it_was() {
    let folder = scratch();
    let path = folder.path().join("kept");
    copy(&SHEETS, &path);
    let before = std::fs::read(path.join("bundle.json")).unwrap();
    let broken = scratch();
    std::fs::write(broken.path().join("broken.png"), "no image").unwrap();
    assert!(update(&path, &adding(broken.path()), &mut Quiet).is_err());
    assert!(update(&path, &adding(&folder.path().join("nowhere")), &mut Quiet).is_err());
    assert!(std::fs::read(path.join("bundle.json")).unwrap() == before);
}

#[test]
fn a_bundle_that_takes_no_neighbours_takes_over_from_one_that_does() {
    let images = [good(100), defective(101)];
    let expected = judge_file(&SHEETS, &file(&images[1], "taken-over.png")).score;
    let description = chain(product::wide()).replace("adretrieve", "adretrieve neighbours=2");
    let line = Line::playing(&description, &info_of(&images[0]));
    line.pass(&images[0], 0);
    line.element("features").set_property("model", SHEETS.to_str().unwrap());
    let mut number = 0;
    pipeline::wait_until("the new bundle", || {
        number += 1;
        score(&line.pass(&images[1], number)) == expected
    });
    let warning = line.expect_warning();
    assert!(warning.contains("2 neighbours") && warning.contains("hetmm compares with all"), "{warning}");
}

/// The differences of pictures that are alike are what rounding leaves, which may be below 0.
#[test]
fn pictures_without_any_difference_give_a_bundle_that_says_so() {
    let black = folder_of(&vec![image::RgbImage::new(64, 64); 5]);
    let settings = [("sheets", "4")];
    let bundle = fit_method(hetmm::fit, "black", &settings, Some(black.path())).unwrap();
    let bundle = gstanomaly::bundle::Bundle::open(&bundle).unwrap();
    let calibration = &bundle.manifest().calibration;
    assert!(calibration.obtained.contains("hardly differ"), "{calibration:?}");
    assert!(calibration.threshold > 0.0, "{calibration:?}");
}

#[test]
fn features_that_are_not_finite_are_no_good_part() {
    let error = product::overflow(&SHEETS);
    assert!(error.contains("not finite numbers"), "{error}");
}
