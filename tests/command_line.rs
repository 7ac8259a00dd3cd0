//! What `adtrain` promises on the command line: its results, its complaints, its exit codes, and nothing half-written.

#![cfg(feature = "train")]

#[path = "command_line/bad_input.rs"]
mod bad_input;
#[path = "command_line/comparison.rs"]
mod comparison;
#[path = "command_line/folders.rs"]
mod folders;
#[path = "command_line/image_files.rs"]
mod image_files;
#[path = "command_line/interruption.rs"]
mod interruption;
#[path = "command_line/learning.rs"]
mod learning;
#[path = "command_line/outputs.rs"]
mod outputs;
#[path = "command_line/prediction.rs"]
mod prediction;
#[path = "command_line/training.rs"]
mod training;
#[path = "command_line/workshop.rs"]
mod workshop;

use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use workshop::{Workshop, read_json};

#[test]
fn fit_and_eval() {
    let shop = Workshop::new();
    shop.category("cloth");
    let fitted = shop.succeeds("fit --data cloth --method cpr --steps 0 --out cloth.bundle --size 64x64");
    assert!(fitted.stdout.contains("learned from 12 images"), "{}", fitted.stdout);
    fitted.says(&["filling the bank: 12", "note: foreground: "]);
    assert_eq!(shop.entries("."), ["cloth", "cloth.bundle"]);
    for name in shop.entries("cloth.bundle") {
        let mode = shop.path("cloth.bundle").join(&name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "everybody may read {name}");
    }

    let manifest = shop.manifest("cloth.bundle");
    assert_eq!((&manifest["name"], &manifest["training"]["dataset"]), (&"cloth".into(), &"cloth".into()));
    assert_eq!(manifest["training"]["date"], "2023-11-14");

    let table = shop.succeeds("eval --model cloth.bundle --data cloth --json eval.json --report report.html");
    for line in [
        "4 good, 4 defective",
        "image AUROC",
        "pixel AP",
        "PRO (30 %)",
        "0 of 4 defective",
        "warn level ",
        "defects by level  0 normal, 0 in warn, 4 rejected",
    ] {
        assert!(table.stdout.contains(line), "no '{line}' in {}", table.stdout);
    }
    let result = read_json(&shop.path("eval.json"));
    check_schema(&result);
    assert_eq!(result["images"]["good"], 4);
    assert_eq!(result["images"]["defective"], 4);
    assert_eq!(result["image_auroc"], 1.0);
    assert!(result["pixel_auroc"].as_f64().unwrap() > 0.9, "{result:#}");
    assert_eq!(result["miss_rate"], 0.0);
    assert_eq!(result["threshold"], manifest["calibration"]["threshold"]);
    assert_eq!(result["warn"], manifest["calibration"]["warn"]);
    assert!(manifest["calibration"]["warn"].as_f64() <= manifest["calibration"]["threshold"].as_f64());
    let shares = serde_json::json!({"warn": 0.05, "reject": 0.005});
    assert_eq!(manifest["calibration"]["false_alarms"], shares);

    let report = std::fs::read_to_string(shop.path("report.html")).unwrap();
    assert!(report.contains("test/spot/000.png") && report.contains("data:image/jpeg;base64,"));
    assert!(report.contains("<dt>Warn level</dt>") && report.contains("of them in warn"));
}

#[test]
fn fit_and_eval_with_other_methods() {
    let shop = Workshop::new();
    shop.category("cloth");
    for (arguments, sheets) in [
        ("--method hetmm --sheets 4", Some(4.into())),
        ("--method hetmm --sheets all", Some(Value::Null)),
        ("--method npad --set channels=20 --set centroids=0.01", None),
    ] {
        let fitted = shop.succeeds(&format!("fit --data cloth --size 64x64 --out b {arguments}"));
        assert!(fitted.stdout.contains("learned from 12 images"), "{}", fitted.stdout);
        assert_eq!(shop.manifest("b")["params"].get("sheets"), sheets.as_ref());
        let result = shop.succeeds("eval --model b --data cloth --json -").json();
        check_schema(&result);
        assert_eq!(result["image_auroc"], 1.0, "{arguments}");
        assert!(result["pixel_auroc"].as_f64().unwrap() > 0.85, "{arguments}: {result:#}");
        assert!(shop.succeeds("info b").stdout.contains("layers"));
    }
}

/// The keys and ranges that programs rely on.
fn check_schema(result: &Value) {
    let unit = |value: &Value| value.as_f64().is_some_and(|value| (0.0..=1.0).contains(&value));
    for key in
        ["image_auroc", "image_ap", "image_f1max", "pixel_auroc", "pixel_ap", "pro30", "false_alarm_rate"]
    {
        assert!(unit(&result[key]), "{key}: {}", result[key]);
    }
    for key in ["features", "retrieve", "score", "total"] {
        assert!(result["ms"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let images = result["per_image"].as_array().unwrap();
    assert_eq!(images.len(), 8);
    for (kind, defective) in [("good", false), ("defective", true)] {
        for level in ["normal", "warn", "reject"] {
            let those = images
                .iter()
                .filter(|image| (image["label"] != "good") == defective && image["level"] == level);
            assert_eq!(result["levels"][kind][level], those.count(), "{kind} {level}");
        }
    }
    for image in images {
        assert!(image["path"].as_str().unwrap().starts_with("test/"));
        assert!(image["label"] == "good" || image["label"] == "spot");
        assert!(image["score"].is_number() && unit(&image["normalized"]));
        let anomalous = image["score"].as_f64().unwrap() >= result["threshold"].as_f64().unwrap();
        assert_eq!(anomalous, image["normalized"].as_f64().unwrap() >= 0.5);
        assert_eq!(anomalous, image["level"] == "reject");
        let warn = result["warn"].as_f64().unwrap();
        assert_eq!(!anomalous && image["score"].as_f64().unwrap() >= warn, image["level"] == "warn");
    }
}

#[test]
fn eval_without_masks_says_why_there_are_no_pixel_metrics() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    std::fs::remove_dir_all(shop.path("cloth/ground_truth")).unwrap();
    let result = shop.succeeds("eval --model b --data cloth --json -").json();
    for key in ["pixel_auroc", "pixel_ap", "pro30"] {
        assert!(result[key].is_null());
    }
    assert!(result["no_pixel_metrics"].as_str().unwrap().contains("ground_truth"));
    assert_eq!(result["image_auroc"], 1.0);
    assert!(
        shop.succeeds("eval --model b --data cloth")
            .stdout
            .contains("none: no defective test image has a mask")
    );
}

#[test]
fn padding_does_not_count_as_pixels() {
    let shop = Workshop::new();
    shop.category("cloth");
    // Twice as wide as high: half of a padded input shows nothing.
    for folder in ["cloth/train/good", "cloth/test/good", "cloth/test/spot", "cloth/ground_truth/spot"] {
        for name in shop.entries(folder) {
            let file = shop.path(folder).join(name);
            image::open(&file).unwrap().crop_imm(0, 16, 64, 32).save(&file).unwrap();
        }
    }
    for fit in ["pad", "crop"] {
        shop.succeeds(&format!("fit --data cloth --out {fit} --size 64x64 --fit {fit} --foreground off"));
        let result = shop.succeeds(&format!("eval --model {fit} --data cloth --json -")).json();
        assert!(result["pixel_auroc"].as_f64().unwrap() > 0.8, "{fit}: {result:#}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bundle() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    for bundle in ["one", "two"] {
        shop.succeeds(&format!("fit --data good --out {bundle} --size 64x64 --seed 7 --foreground on"));
    }
    assert_eq!(shop.bundle("one"), shop.bundle("two"));
    // A bundle may be replaced, and says so in no other way than being the new one.
    shop.succeeds("fit --data good --out two --size 64x64 --seed 8 --name other");
    assert_eq!(shop.manifest("two")["training"]["seed"], 8);
    assert_eq!(shop.manifest("two")["name"], "other");
    assert_eq!(shop.entries("."), ["good", "one", "two"]);
}

#[test]
fn fit_takes_its_settings() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    let fitted = shop.succeeds(
        "fit --data good --out b --size 96x64 --fit crop --foreground off --layers stride4,stride8 \
         --set neighbours=4 --set global.codes=5 --threads 1 --device cpu --json --quiet",
    );
    assert_eq!(fitted.stderr, "");
    let result = fitted.json();
    let manifest = &result["manifest"];
    assert_eq!(*manifest, shop.manifest("b"));
    assert_eq!(manifest["params"]["neighbours"], 4);
    assert_eq!(manifest["params"]["global"]["codes"], 5);
    assert_eq!((&manifest["input"]["width"], &manifest["input"]["fit"]), (&96.into(), &"crop".into()));
    assert_eq!(manifest["backbone"]["layers"], serde_json::json!(["stride4", "stride8"]));
    assert_eq!(result["foreground"], false);
    let more = shop.succeeds("fit --data good --out more --size 64x64 --contrast 2 --json").json();
    assert_eq!(more["manifest"]["input"]["std"], serde_json::json!([64.0, 64.0, 64.0]));
    shop.refuses("fit --data good --out more --contrast 0").says(&["contrast", "0.1 to 10"]);
    shop.succeeds("fit --data good --out auto --size auto");
    assert_eq!(shop.manifest("auto")["input"]["width"], 320);
}

#[test]
fn info_describes_and_verifies() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    let text = shop.succeeds("info --verify b").stdout;
    for part in [
        "efficientnet-lite0 (Apache-2.0)",
        "64x64, stretch",
        "12 images of good",
        // The drawn cloth always lies the same, for which the paper's value holds.
        "neighbours = 10",
        "as in the",
        "warn level ",
        "set so that     of good parts, about 0.5 % are to be rejected and 5 % to reach the warn level",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert_eq!(shop.succeeds("info b --json").json(), shop.manifest("b"));

    let bank = shop.path("b/bank.safetensors");
    let mut bytes = std::fs::read(&bank).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&bank, bytes).unwrap();
    shop.fails("info --verify b").says(&["bank.safetensors", "sha256"]);
    std::fs::write(shop.path("b/features.onnx"), b"").unwrap();
    shop.fails("info b").says(&["features.onnx", "found 0"]);
}

#[test]
fn calibrate_moves_the_threshold_and_nothing_else() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let before = (shop.manifest("b"), shop.bundle("b"));
    let result =
        shop.succeeds("calibrate --model b --normal cloth/test/good --defects cloth/test/spot --json").json();
    assert_eq!((&result["normal"], &result["defective"]), (&4.into(), &4.into()));
    assert_eq!((&result["false_alarms"], &result["found"]), (&0.into(), &4.into()));

    let mut after = shop.manifest("b");
    assert_eq!(result["calibration"], after["calibration"]);
    assert_ne!(before.0["calibration"], after["calibration"]);
    after["calibration"] = before.0["calibration"].clone();
    assert_eq!(before.0, after);
    let files = shop.bundle("b");
    assert_eq!((&before.1[0], &before.1[2]), (&files[0], &files[2]));
    shop.succeeds("eval --model b --data cloth");

    // What cannot be read does not count.
    shop.write("cloth/test/good/broken.png", b"no image");
    let text = shop.succeeds("calibrate --model b --normal cloth/test/good --false-alarms 0.1");
    text.says(&["left out", "broken.png"]);
    assert!(text.stdout.contains("of 4 normal images"), "{}", text.stdout);
    shop.fails("calibrate --model b --normal cloth/test/good --strict").says(&["broken.png"]);
    shop.fails("calibrate --model b --normal cloth").says(&["cloth", "no image"]);
    shop.fails("calibrate --model b --normal cloth/test/good --defects cloth/test").says(&[
        "cloth/test: ",
        "no images in this folder",
        "name the folder",
    ]);
    shop.fails("calibrate --model b --normal cloth/test/good --defects cloth/test/../test/good")
        .says(&["cannot be normal and defective at once"]);
    shop.refuses("calibrate --model b --normal cloth/test/good --false-alarms 1.5")
        .says(&["between 0 and 1"]);
    shop.refuses("calibrate --model b --normal cloth/test/good --warn 0").says(&["between 0 and 1"]);
    shop.fails("calibrate --model b --normal cloth/test/good --warn 0.001")
        .says(&["--warn 0.001 is less than --false-alarms 0.005"]);
}

#[test]
fn calibrate_warns_of_images_that_are_hardly_good() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let good = shop.succeeds("calibrate --model b --normal cloth/test/good --defects cloth/test/spot");
    assert!(!good.stderr.contains("warning"), "{}", good.stderr);
    let threshold = format!("{:.4}", shop.manifest("b")["calibration"]["threshold"].as_f64().unwrap());
    let swapped =
        shop.succeeds("calibrate --model b --normal cloth/test/spot --defects cloth/test/good --json");
    swapped.says(&[
        "warning: cloth/test/spot: 4 of 4 images reach the threshold that the bundle had",
        &threshold,
        "4 of 4 defective images score less than most of the images in cloth/test/spot: are the folders mixed up?",
    ]);
    let result = swapped.json();
    assert_eq!((&result["false_alarms_before"], &result["false_alarms"]), (&4.into(), &0.into()));
    // One that was rejected among several is what a calibration is for.
    shop.fit("cloth", "b");
    std::fs::copy(shop.path("cloth/test/spot/000.png"), shop.path("cloth/test/good/odd.png")).unwrap();
    let one = shop.succeeds("calibrate --model b --normal cloth/test/good");
    assert!(!one.stderr.contains("warning"), "{}", one.stderr);
}

#[test]
fn calibrate_sets_both_levels() {
    let shop = Workshop::new();
    shop.category("cloth");
    let fitted = shop.succeeds("fit --data cloth --out b --size 64x64").stdout;
    assert!(
        fitted.contains("\nwarn level ") && fitted.contains("about 0.5 % are to be rejected"),
        "{fitted}"
    );
    let command = "calibrate --model b --normal cloth/test/good --defects cloth/test/spot";
    let result = shop.succeeds(&format!("{command} --false-alarms 0.01 --warn 0.3 --json")).json();
    let calibration = &result["calibration"];
    assert_eq!(calibration["false_alarms"], serde_json::json!({"warn": 0.3, "reject": 0.01}));
    assert_eq!((&result["warn"], &result["threshold"]), (&calibration["warn"], &calibration["threshold"]));
    assert!(result["warn_before"].is_number() && result["warn"].as_f64() < result["threshold"].as_f64());
    // Of four images one or two are over a level that three of ten reach, and none is rejected.
    let normal = &result["levels"]["normal"];
    assert!(matches!(normal["warn"].as_u64(), Some(1 | 2)) && normal["reject"] == 0, "{normal}");
    assert_eq!(normal["normal"].as_u64().unwrap() + normal["warn"].as_u64().unwrap(), 4);
    assert_eq!(result["levels"]["defective"], serde_json::json!({"normal": 0, "warn": 0, "reject": 4}));
    let text = shop.succeeds(command).stdout;
    for part in [
        "warn level ",
        ", was ",
        "about 0.5 % are to be rejected and 5 % to reach the warn level",
        "\nnormal images: 4 normal, 0 in warn, 0 rejected\ndefective images: 0 normal, 0 in warn, 4 rejected",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    // Who lets more good parts be rejected than the usual share in warn has not to say both.
    shop.succeeds(&format!("{command} --false-alarms 0.2"));
    let shares = serde_json::json!({"warn": 0.2, "reject": 0.2});
    assert_eq!(shop.manifest("b")["calibration"]["false_alarms"], shares);
}

#[test]
fn calibration_needs_parts_that_the_bundle_does_not_know() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let before = shop.manifest("b");
    shop.fails("calibrate --model b --normal cloth/train/good")
        .says(&["has learned from every image in it (12)", "other good parts"]);
    shop.good("one", 1, 7);
    shop.fails("calibrate --model b --normal one").says(&["one", "at least 2 are needed"]);
    assert_eq!(shop.manifest("b"), before);

    shop.good("mixed", 3, 8);
    let known = std::fs::read_dir(shop.path("cloth/train/good")).unwrap().next().unwrap().unwrap().path();
    let name = format!("known.{}", known.extension().unwrap().display());
    std::fs::copy(&known, shop.path("mixed").join(name)).unwrap();
    let text = shop.succeeds("calibrate --model b --normal mixed");
    text.says(&["1 of 4 images are left out", "3 images of good parts are few"]);
    assert!(text.stdout.contains("of 3 normal images"), "{}", text.stdout);
    shop.good("more", 2, 9);
    shop.succeeds("update --model b --add more").says(&["'adtrain calibrate' had set is replaced"]);
    shop.good("yet-more", 2, 10);
    assert!(!shop.succeeds("update --model b --add yet-more").stderr.contains("is replaced"));
}

#[test]
fn backbones_are_listed_and_imported() {
    let shop = Workshop::new();
    let list = shop.succeeds("backbones").stdout;
    assert!(
        list.contains("efficientnet-lite0") && list.contains("Apache-2.0") && list.contains("stride8*"),
        "{list}"
    );

    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0");
    let mut card = read_json(format!("{models}.json").as_ref());
    card["name"] = "mine".into();
    std::fs::copy(format!("{models}.onnx"), shop.path("copy.onnx")).unwrap();
    shop.fails("backbones import copy.onnx").says(&["copy.json", "card"]);
    shop.write("copy.json", card.to_string().as_bytes());
    shop.succeeds("backbones import copy.onnx");
    assert!(shop.succeeds("backbones list").stdout.contains("mine\n"));
    shop.good("good", 4, 1);
    shop.succeeds("fit --data good --out b --size 64x64 --backbone mine");
    assert_eq!(shop.manifest("b")["backbone"]["name"], "mine");

    card["layers"][1]["channels"] = 41.into();
    shop.write("copy.json", card.to_string().as_bytes());
    shop.fails("backbones import copy.onnx").says(&["copy.onnx", "41"]);
    card["name"] = "../mine".into();
    shop.write("copy.json", card.to_string().as_bytes());
    shop.fails("backbones import copy.onnx").says(&["../mine"]);
    card["sha256"] = "00".into();
    shop.write("copy.json", card.to_string().as_bytes());
    shop.fails("backbones import copy.onnx").says(&["sha256"]);
    shop.fails("backbones import missing.onnx").says(&["missing.onnx"]);
    assert_eq!(shop.entries("user/gst-plugin-anomaly/models"), ["mine.json", "mine.onnx"]);
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let shop = Workshop::new();
    for (arguments, parts) in [
        ("fit --data d --out b --method magic", ["magic", "possible values: auto, cpr"]),
        ("fit --data d --out b --steps 100", ["--steps", "choose one with --preset"]),
        ("fit --data d --out b --size 100x100", ["100x100", "multiples of 32"]),
        ("fit --data d --out b --size big", ["big", "320x320"]),
        ("fit --data d --out b --device abacus", ["abacus", "expected auto, cpu"]),
        ("fit --data d --out b --set neighbours", ["neighbours", "NAME=VALUE"]),
        ("fit --data d", ["--out", "required"]),
        ("predict --model b", ["PATH", "required"]),
        ("bend", ["bend", "unrecognized"]),
    ] {
        shop.refuses(arguments).says(&parts);
    }
    assert!(shop.entries(".").is_empty());
    let version = shop.succeeds("--version").stdout;
    assert_eq!(version, concat!("adtrain ", env!("CARGO_PKG_VERSION"), "\n"));
    for verb in
        ["fit", "eval", "predict", "calibrate", "update", "compare", "info", "backbones", "synthesize"]
    {
        assert!(shop.succeeds(&format!("{verb} --help")).stdout.contains("Examples:"));
    }
}
