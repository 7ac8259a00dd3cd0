//! N-pad from images to scores: fit, elements, and what it refuses.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::{Bundle, open_shared};
use gstanomaly::methods::npad;
use pipeline::{Line, chain, info_of, score};
use product::{
    FOLDER, change_params, change_tensor, copy, defective, file, fit_method, folder_of, good, judge_file,
    scratch,
};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const SMALL: [(&str, &str); 2] = [("channels", "30"), ("centroids", "0.005")];

static PLAIN: LazyLock<PathBuf> = LazyLock::new(|| fit_method(npad::fit, "plain", &SMALL, None).unwrap());
static SHIFTED: LazyLock<PathBuf> =
    LazyLock::new(|| fit_method(npad::fit, "shifted", &[SMALL[0], SMALL[1], ("shifts", "2")], None).unwrap());

#[test]
fn a_frame_has_exactly_the_score_of_its_file() {
    for bundle in [&*PLAIN, &*SHIFTED] {
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
        // Calibration sees no shifts, with which good parts score somewhat more.
        let good = if *bundle == *SHIFTED { 1.1 * threshold } else { threshold };
        assert!(expected[0] < good && expected[1] > 1.3 * threshold, "{expected:?}, {threshold}");
        assert!(expected[2] < good && expected[3] > 1.3 * threshold, "{expected:?}, {threshold}");
    }
}

#[test]
fn the_defect_is_where_the_map_is_largest() {
    for bundle in [&*PLAIN, &*SHIFTED] {
        let anomaly = judge_file(bundle, &file(&defective(7), "where.png"));
        let best = (0..anomaly.map.len()).max_by(|&a, &b| anomaly.map[a].total_cmp(&anomaly.map[b])).unwrap();
        let (left, top, width, height) = product::DEFECT;
        let (x, y) = (best as u32 % 128 * product::WIDTH / 128, best as u32 / 128 * product::HEIGHT / 96);
        assert!((left..left + width).contains(&x) && (top..top + height).contains(&y), "{x} {y}");
        assert!(anomaly.anomalous && !anomaly.regions.is_empty());
    }
}

#[test]
fn few_images_equal_images_and_more_clusters_than_features() {
    for count in [1, 2] {
        let few = folder_of(&(0..count).map(good).collect::<Vec<_>>());
        let error = fit_method(npad::fit, "few", &SMALL, Some(few.path())).unwrap_err().to_string();
        assert!(error.contains("at least 3"), "{count}: {error}");
        assert!(!FOLDER.join("few").exists());
    }
    // No variance at all: what is left of the covariance is epsilon. And far fewer images than channels.
    let same = folder_of(&vec![good(1); 4]);
    let settings = [("channels", "60"), ("centroids", "1")];
    let bundle = fit_method(npad::fit, "same", &settings, Some(same.path())).unwrap();
    let same = judge_file(&bundle, &file(&good(1), "same.png"));
    assert!(!same.anomalous, "{} is what it has learned", same.score);
    let calm = same.score;
    let other = judge_file(&bundle, &file(&defective(1), "other.png")).score;
    assert!(calm.is_finite() && other.is_finite() && other > 10.0 * calm, "{calm} {other}");
}

/// Covariances of about as many images as channels are nearly singular, in whatever units the features are.
#[test]
fn epsilon_goes_with_the_features() {
    let epsilon = |bundle: &Path| {
        let bundle = gstanomaly::bundle::Bundle::open(bundle).unwrap();
        bundle.manifest().params["epsilon"].as_f64().unwrap()
    };
    assert!(epsilon(&PLAIN) > 0.02, "the shipped network's features vary more than a ResNet's");
    let as_it_is = [SMALL.as_slice(), &[("epsilon_share", "0"), ("epsilon", "0.03")]].concat();
    assert_eq!(epsilon(&fit_method(npad::fit, "as-it-is", &as_it_is, None).unwrap()), 0.03);
    let same = folder_of(&vec![good(1); 4]);
    let calm = fit_method(npad::fit, "calm", &[("channels", "20")], Some(same.path())).unwrap();
    assert_eq!(epsilon(&calm), 0.01);
}

/// With a centroid for every feature an image that takes part in its own judgement would be no distance away from them.
#[test]
fn good_parts_stay_below_the_threshold_however_many_centroids_there_are() {
    let settings = [("channels", "20"), ("centroids", "1")];
    let bundle = fit_method(npad::fit, "all-centroids", &settings, None).unwrap();
    let alarms =
        (400..420).filter(|&seed| judge_file(&bundle, &file(&good(seed), "unseen.png")).anomalous).count();
    assert!(alarms <= 1, "{alarms} of 20 good parts are rejected");
    assert!(judge_file(&bundle, &file(&defective(400), "seen.png")).anomalous);
}

#[test]
fn the_same_images_give_the_same_bundle() {
    let again = fit_method(npad::fit, "again", &SMALL, None).unwrap();
    let bank = |bundle: &Path| std::fs::read(bundle.join("bank.safetensors")).unwrap();
    assert!(bank(&again) == bank(&PLAIN));
}

#[test]
fn settings_that_cannot_be() {
    for (setting, value, expected) in [
        ("channels", "177", "channels must be 1 to 176"),
        ("channels", "0", "channels"),
        ("neighbourhood", "2", "neighbourhood must be odd"),
        ("window", "0", "window"),
        ("epsilon", "0", "epsilon"),
        ("epsilon_share", "2", "epsilon_share must be 0 to 1"),
        ("lambda", "-1", "lambda"),
        ("top", "5", "top must be more than 0 and at most 1"),
        ("centroids", "400", "centroids must be more than 0 and at most 1"),
        ("shifts", "9", "shifts must be 0 to 8"),
        ("sheets", "60", "unknown parameter 'sheets'"),
        ("references", "3", "parameter 'references' cannot be set"),
    ] {
        let error = fit_method(npad::fit, "refused", &[(setting, value)], None).unwrap_err().to_string();
        assert!(error.contains(expected), "{setting}={value}: {error}");
    }
    assert!(!FOLDER.join("refused").exists());
}

#[test]
fn damaged_bundles_are_refused() {
    let folder = scratch();
    let spoilt = |spoil: &dyn Fn(&Path)| -> String {
        let path = folder.path().join("spoilt");
        copy(&PLAIN, &path);
        spoil(&path);
        Bundle::open(&path).unwrap_err().to_string()
    };
    let first = |value: f32| move |bytes: &mut [u8]| bytes[..4].copy_from_slice(&value.to_le_bytes());
    for tensor in
        ["weighted_means", "weighted_diagonals", "aggregated_means", "aggregated_diagonals", "centroids"]
    {
        let error = spoilt(&|path| change_tensor(path, tensor, first(f32::NAN)));
        assert!(error.contains(tensor) && error.contains("not finite"), "{error}");
    }
    // Behind the 32 values of a tile are the sizes of its steps, each the upper half of an f32.
    let step = |bytes: &mut [u8]| bytes[64..66].copy_from_slice(&0x7fc0_u16.to_le_bytes());
    let error = spoilt(&|path| change_tensor(path, "weighted_factors", step));
    assert!(error.contains("weighted_factors") && error.contains("not finite"), "{error}");
    // Zero is singular, less is no factor.
    for value in [0.0, -1.0] {
        let error = spoilt(&|path| change_tensor(path, "aggregated_diagonals", first(value)));
        assert!(error.contains("aggregated_diagonals") && error.contains("positive diagonal"), "{error}");
    }
    for (name, value) in [("channels", 31), ("references", 1000), ("most_centroids", 1), ("stride", 8)] {
        let error = spoilt(&|path| change_params(path, |params| params[name] = value.into()));
        assert!(error.contains("expected F32"), "{name}: {error}");
    }
    for (name, value) in
        [("map_scale", 0.0), ("epsilon", -1.0), ("blur_sigma", 1e9), ("centroids", 0.0), ("top", 1.1)]
    {
        let error = spoilt(&|path| change_params(path, |params| params[name] = value.into()));
        assert!(error.contains("params") && error.contains(name), "{name}: {error}");
    }
}

#[test]
fn features_that_are_not_finite_are_no_good_part() {
    let error = product::overflow(&PLAIN);
    assert!(error.contains("too far"), "{error}");
}
