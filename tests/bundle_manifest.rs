//! `bundle.json` of an untrusted bundle: every field with absurd values, and random damage to every file.

#![cfg(feature = "train")]

#[path = "bundle_manifest/damage.rs"]
mod damage;
#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::{BANK, Bundle, FORMAT, GRAPH, MANIFEST, Manifest};
use gstanomaly::frame::Picture;
use gstanomaly::methods::ScoreOptions;
use product::{copy, defective, judge, scratch, square, wide};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Opens a bundle and scores a frame with it.
fn attempt(path: &Path) -> gstanomaly::Result<f64> {
    let bundle = Arc::new(Bundle::open(path)?);
    let image = defective(3);
    let picture = Picture::from_rgb(image.width(), image.height(), image.as_raw())?;
    judge(bundle, &picture, &ScoreOptions::default()).map(|anomaly| anomaly.score)
}

fn manifest_of(bundle: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(bundle.join(MANIFEST)).unwrap()).unwrap()
}

/// What happens with the manifest `text` in the place of the bundle's own.
fn with_text(bundle: &Path, text: &str) -> gstanomaly::Result<f64> {
    let folder = scratch();
    copy(bundle, folder.path());
    std::fs::write(folder.path().join(MANIFEST), text).unwrap();
    let result = attempt(folder.path());
    if let Err(e) = &result {
        let message = e.to_string();
        assert!(message.starts_with(folder.path().to_str().unwrap()), "it names no file: {message}");
        assert!(!message.contains('\0'), "{message:?}");
    }
    result
}

/// The field of a manifest at a JSON pointer set to `value`; it is refused, with a message that contains `expected`.
fn refused(pointer: &str, value: Value, expected: &str) {
    let mut manifest = manifest_of(square());
    *manifest.pointer_mut(pointer).unwrap_or_else(|| panic!("no field {pointer}")) = value.clone();
    match with_text(square(), &manifest.to_string()) {
        Ok(_) => panic!("{pointer} = {value} is accepted"),
        Err(e) => {
            let message = e.to_string();
            assert!(
                message.contains(MANIFEST) && message.contains(expected),
                "{pointer} = {value}: {message}"
            );
        }
    }
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    refused("/format", json!(FORMAT + 1), "use a newer gst-plugin-anomaly");
    refused("/format", json!(u32::MAX), "use a newer gst-plugin-anomaly");
    refused("/format", json!(FORMAT - 1), "fit the bundle again");
    for bad in [json!(-1), json!("1"), json!(1.5), json!(null), json!(u64::MAX)] {
        refused("/format", bad, "not a bundle's manifest");
    }
    let newer = json!({"format": 7, "something": "else"}).to_string();
    assert!(with_text(square(), &newer).unwrap_err().to_string().contains("use a newer"));
}

#[test]
fn unknown_methods_are_refused() {
    refused("/method", json!("patchcore-9"), "unknown method 'patchcore-9'; this version knows cpr");
    refused("/method", json!(""), "unknown method");
    refused("/method", json!("c\u{0}pr"), "unknown method");
}

/// Pointers to every field of a JSON value.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        fields(child, &pointer, found);
        found.push(pointer);
    }
}

fn all_fields(bundle: &Path) -> Vec<String> {
    let mut found = Vec::new();
    fields(&manifest_of(bundle), "", &mut found);
    found
}

#[test]
fn fields_of_a_wrong_type_are_refused() {
    for pointer in all_fields(square()) {
        for wrong in [json!({"a": 1}), json!([[["x"]]]), json!("text"), json!(-1.5), json!(true), json!(null)]
        {
            let old = manifest_of(square()).pointer(&pointer).unwrap().clone();
            let same = std::mem::discriminant(&old) == std::mem::discriminant(&wrong);
            // A number where a number belongs, or a field more where any text may stand, is for the next tests. A setting can be
            // anything, and there may be none: it is compared, and no more.
            let anything = ["/backbone/layers/", "/files/", "/training/settings/"];
            let or_none = [
                "/training/settings",
                "/calibration/warn",
                "/calibration/false_alarms",
                "/calibration/interval",
            ];
            let free = anything.iter().any(|it| pointer.starts_with(it))
                || wrong.is_null() && or_none.contains(&pointer.as_str());
            if !same && !free {
                refused(&pointer, wrong, "");
            }
        }
    }
}

#[test]
fn missing_fields_are_refused() {
    for pointer in all_fields(square()) {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut manifest = manifest_of(square());
        let parent_value = manifest.pointer_mut(parent).unwrap();
        let Some(object) = parent_value.as_object_mut() else { continue };
        object.remove(name);
        let result = with_text(square(), &manifest.to_string());
        // Bundles of older versions have no lists of images and scores, no settings, no weights, no warn level and no interval.
        let optional = [
            "/input/fit",
            "/files/images.sha256",
            "/files/training-scores.csv",
            "/training/settings",
            "/training/twins",
            "/calibration/interval",
        ];
        let levels = ["/calibration/warn", "/calibration/false_alarms"];
        if !optional.iter().any(|it| pointer.starts_with(it))
            && !pointer.ends_with("/weight")
            && !levels.contains(&pointer.as_str())
        {
            let message = result.expect_err(&pointer).to_string();
            assert!(message.contains(name), "{pointer}: {message}");
        }
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let huge = || [json!(u64::MAX), json!(i64::MAX), json!(1u64 << 40), json!(0)];
    let negative = || [json!(-1), json!(i64::MIN), json!(1e300), json!(0.5)];
    for name in [
        "references",
        "neighbours",
        "global/codes",
        "global/blocks",
        "global/kept_blocks",
        "blur_side",
        "top",
    ]
    .into_iter()
    .chain([
        "scales/0/stride",
        "scales/0/channels",
        "scales/0/window",
        "scales/1/stride",
        "scales/1/window",
    ]) {
        for value in huge().into_iter().chain(negative()) {
            refused(&format!("/params/{name}"), value, "params");
        }
    }
    for (pointer, value) in [
        ("/params/references", json!(15)),
        ("/params/references", json!(17)),
        ("/params/neighbours", json!(17)),
        ("/params/global/codes", json!(256)),
        ("/params/global/kept_blocks", json!(26)),
        ("/params/blur_side", json!(32)),
        ("/params/blur_side", json!(257)),
        ("/params/blur_sigma", json!(0.0)),
        ("/params/blur_sigma", json!(-1.0)),
        ("/params/blur_sigma", json!(1e308)),
        ("/params/global/epsilon", json!(0.0)),
        ("/params/global/epsilon", json!(1.0)),
        ("/params/top", json!(64 * 64 + 1)),
        ("/params/scales", json!([])),
        ("/params/scales/0/stride", json!(7)),
        ("/params/scales/0/stride", json!(16)),
        ("/params/scales/0/window", json!(2)),
        ("/params/scales/0/window", json!(33)),
        ("/params/scales/0/weight", json!(0.0)),
        ("/params/scales/1/weight", json!(1.1)),
        ("/params/scales/1/weight", json!(-1)),
        ("/params/foreground", json!(true)),
    ] {
        let mut manifest = manifest_of(square());
        *manifest.pointer_mut(pointer).unwrap() = value.clone();
        let message = with_text(square(), &manifest.to_string()).expect_err(pointer).to_string();
        let file = message.contains(MANIFEST) || message.contains(BANK) || message.contains(GRAPH);
        assert!(file, "{pointer} = {value}: {message}");
    }
    let mut manifest = manifest_of(square());
    manifest["params"]["unheard_of"] = json!(1);
    let message = with_text(square(), &manifest.to_string()).unwrap_err().to_string();
    assert!(message.contains("unheard_of"), "{message}");
}

#[test]
fn parameters_at_the_ends_of_their_ranges_work() {
    for (pointer, value) in [
        ("/params/neighbours", json!(1)),
        ("/params/neighbours", json!(16)),
        ("/params/global/kept_blocks", json!(1)),
        ("/params/global/kept_blocks", json!(25)),
        ("/params/global/epsilon", json!(f64::MIN_POSITIVE)),
        ("/params/blur_side", json!(1)),
        ("/params/blur_side", json!(255)),
        ("/params/blur_sigma", json!(f64::MIN_POSITIVE)),
        ("/params/blur_sigma", json!(255.0)),
        ("/params/top", json!(1)),
        ("/params/scales/0/window", json!(31)),
        ("/params/scales/1/window", json!(31)),
        ("/params/scales/0/weight", json!(f64::MIN_POSITIVE)),
        ("/calibration/map", json!({"min": -1e306, "threshold": 0.0, "max": 1e306})),
        ("/calibration/map", json!({"min": 0.0, "threshold": 1e-300, "max": 2e-300})),
    ] {
        for bundle in [square(), wide()] {
            let mut manifest = manifest_of(bundle);
            *manifest.pointer_mut(pointer).unwrap() = value.clone();
            let score = with_text(bundle, &manifest.to_string());
            let score = score.unwrap_or_else(|e| panic!("{pointer} = {value}: {e}"));
            assert!(score.is_finite(), "{pointer} = {value}: {score}");
        }
    }
}

#[test]
fn a_scale_counts_by_its_weight() {
    let with = |weights: [Value; 2]| {
        let mut manifest = manifest_of(square());
        for (scale, weight) in manifest["params"]["scales"].as_array_mut().unwrap().iter_mut().zip(weights) {
            match weight {
                Value::Null => _ = scale.as_object_mut().unwrap().remove("weight").unwrap(),
                weight => scale["weight"] = weight,
            }
        }
        with_text(square(), &manifest.to_string()).unwrap()
    };
    let whole = with([json!(1.0), json!(1.0)]);
    assert_eq!(attempt(square()).unwrap(), whole);
    assert_eq!(with([Value::Null, Value::Null]), whole);
    assert_eq!(with([json!(0.5), json!(0.5)]), whole / 2.0);
    let [finer, coarser] = [with([json!(1.0), json!(1e-9)]), with([json!(1e-9), json!(1.0)])];
    assert!(finer > 0.0 && finer < whole && coarser > 0.0 && coarser < whole && finer != coarser);
}

#[test]
fn absurd_inputs_are_refused() {
    for side in
        [json!(0), json!(1), json!(63), json!(65), json!(4128), json!(u32::MAX), json!(u64::MAX), json!(-32)]
    {
        for name in ["width", "height"] {
            refused(&format!("/input/{name}"), side.clone(), "");
        }
    }
    for (pointer, value) in [
        ("/input/std/0", json!(0.0)),
        ("/input/std/1", json!(-1.0)),
        ("/input/std/2", json!(1e300)),
        ("/input/mean/0", json!(1e300)),
        ("/input/fit", json!("squeeze")),
        ("/input/mean", json!([1.0, 2.0])),
    ] {
        refused(pointer, value, "");
    }
}

#[test]
fn a_calibration_without_a_scale_is_refused() {
    for (pointer, value) in [
        ("/calibration/min", json!(1e9)),
        ("/calibration/max", json!(-1e9)),
        ("/calibration/threshold", json!(1e300)),
        ("/calibration/map/min", json!(1e300)),
        ("/calibration/map", json!({"min": -1e308, "threshold": 0.0, "max": 1e308})),
        ("/calibration/map", json!({"min": 1.0, "threshold": 1.0, "max": 1.0})),
    ] {
        refused(pointer, value, "calibration");
    }
}

#[test]
fn a_warn_level_outside_of_the_scale_is_refused() {
    let calibration = &manifest_of(square())["calibration"];
    let level = |name: &str| calibration[name].as_f64().unwrap();
    let (min, threshold) = (level("min"), level("threshold"));
    for value in [min, min.next_down(), threshold.next_up(), 1e308, -1e308] {
        refused("/calibration/warn", json!(value), "calibration.warn");
    }
    for (warn, reject) in [(0.001, 0.005), (1.0, 0.005), (0.05, 0.0), (0.05, -0.005), (1e300, 1e300)] {
        let shares = json!({"warn": warn, "reject": reject});
        refused("/calibration/false_alarms", shares, "calibration.false_alarms");
    }
}

#[test]
fn bundles_without_a_warn_level_score_the_same() {
    let mut manifest = manifest_of(square());
    let calibration = manifest["calibration"].as_object_mut().unwrap();
    assert!(calibration.remove("warn").is_some() && calibration.remove("false_alarms").is_some());
    let text = manifest.to_string();
    assert_eq!(with_text(square(), &text).unwrap(), attempt(square()).unwrap());
    let read = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!((read.calibration.warn, read.calibration.false_alarms), (None, None));
    let written = serde_json::to_value(&read.calibration).unwrap();
    assert!(written.get("warn").is_none() && written.get("false_alarms").is_none(), "{written}");
}

#[test]
fn numbers_that_json_does_not_know_are_refused() {
    let text = manifest_of(square()).to_string();
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "1_000", "+1", ".5"] {
        let spoilt = text.replace("\"blur_sigma\":4.0", &format!("\"blur_sigma\":{number}"));
        assert_ne!(spoilt, text);
        let message = with_text(square(), &spoilt).expect_err(number).to_string();
        assert!(message.contains("not a bundle's manifest"), "{message}");
    }
}

#[test]
fn files_outside_the_folder_are_refused() {
    for name in ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "a\\b"] {
        let mut manifest = manifest_of(square());
        manifest["files"][name] = json!({"sha256": "", "bytes": 0});
        let message = with_text(square(), &manifest.to_string()).expect_err(name).to_string();
        assert!(message.contains("files: names must be plain"), "{message}");
    }
    let mut manifest = manifest_of(square());
    manifest["files"].as_object_mut().unwrap().remove(BANK);
    assert!(with_text(square(), &manifest.to_string()).unwrap_err().to_string().contains("does not list"));
}

#[test]
fn huge_and_deep_manifests_are_refused() {
    let text = manifest_of(square()).to_string();
    let padded = format!("{text}{}", " ".repeat(17 << 20));
    assert!(with_text(square(), &padded).unwrap_err().to_string().contains("bytes"));
    let deep = format!("{{\"format\":1,\"name\":{}1{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert!(with_text(square(), &deep).is_err());
}

#[test]
fn changed_files_are_found_by_their_hashes() {
    let folder = scratch();
    copy(square(), folder.path());
    Bundle::open(folder.path()).unwrap().verify_hashes().unwrap();
    let file = folder.path().join(BANK);
    let mut content = std::fs::read(&file).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    std::fs::write(&file, content).unwrap();
    let message = Bundle::open(folder.path()).unwrap().verify_hashes().unwrap_err().to_string();
    assert!(message.contains(BANK) && message.contains("expected sha256"), "{message}");
}

#[test]
fn a_learning_curve_that_cannot_be_drawn_is_refused() {
    let with_loss = |loss: f64| {
        let mut manifest = manifest_of(square());
        manifest["training"]["branch"] = json!({
            "channels": 16, "batch": 8, "learning_rate": 1e-3, "kind": "object", "textures": "built-in", "params": {},
            "curve": [{"step": 1, "positive": 0.5, "negative": loss}],
        });
        with_text(square(), &manifest.to_string())
    };
    assert!(with_loss(0.25).is_ok());
    for loss in [1e300, -1.0] {
        let message = with_loss(loss).unwrap_err().to_string();
        assert!(message.contains("training.branch.curve"), "{message}");
    }
}
