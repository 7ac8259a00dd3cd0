//! The first hour with a new product: what plain `adtrain fit --data DIR --out BUNDLE` decides for products of several kinds, and that it
//! says so.

#![cfg(feature = "train")]

#[path = "../examples/made_up_parts/main.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod made_up_parts;

use made_up_parts::Kind;
use made_up_parts::data_set::Plan;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn adtrain(arguments: &[&str], folder: &Path) -> Output {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runtime = std::env::var_os("ORT_DYLIB_PATH")
        .unwrap_or_else(|| checkout.join(".runtime/libonnxruntime.so").into());
    Command::new(env!("CARGO_BIN_EXE_adtrain"))
        .args(arguments)
        .current_dir(folder)
        .env("ORT_DYLIB_PATH", runtime)
        .output()
        .unwrap()
}

/// What a plain fit says on standard error, after as many good images as `train`.
fn fit(kind: Kind, train: u32, folder: &Path) -> String {
    Plan { train, good: 8, defective: 5, ..Plan::of(kind) }.draw(&folder.join("data")).unwrap();
    let output = adtrain(&["fit", "--data", "data", "--out", "bundle"], folder);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{kind:?}: {said}");
    said
}

/// Image AUROC of the bundle that was fitted last.
fn image_auroc(folder: &Path) -> f64 {
    let output = adtrain(&["eval", "--model", "bundle", "--data", "data", "--json", "found.json"], folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&std::fs::read(folder.join("found.json")).unwrap()).unwrap();
    found["image_auroc"].as_f64().unwrap()
}

#[test]
fn a_foreground_is_found_where_there_are_objects_and_nowhere_else() {
    let scratch = tempfile::tempdir().unwrap();
    for (kind, object) in [
        (Kind::Rods, true),
        (Kind::Dark, true),
        (Kind::Loose, true),
        (Kind::Rings, true),
        (Kind::Strips, false),
        (Kind::Weave, false),
        (Kind::Leather, false),
        (Kind::Nonwoven, false),
    ] {
        let folder = scratch.path().join(format!("{kind:?}"));
        std::fs::create_dir(&folder).unwrap();
        let said = fit(kind, 16, &folder);
        let expected = if object { "foreground: on (the background covers" } else { "foreground: off (" };
        assert!(said.contains(expected), "{kind:?}: {said}");
        // A print lies where it did, nuts lie anywhere.
        let parts = said.contains("variance: parts that lie as they did, each compared with 16 images");
        assert_eq!(parts, kind == Kind::Strips, "{kind:?}: {said}");
        assert_eq!(said.contains("--method auto tries them"), kind == Kind::Loose, "{kind:?}: {said}");
        // The images of a foreground that is insisted on are used all the same, with a word of doubt.
        if kind == Kind::Leather {
            let output = adtrain(&["fit", "--data", "data", "--out", "on", "--foreground", "on"], &folder);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("do not look like objects on a plain background"), "{said}");
        }
    }
}

#[test]
fn elongated_images_keep_their_shape() {
    let scratch = tempfile::tempdir().unwrap();
    let said = fit(Kind::Strips, 16, scratch.path());
    assert!(
        said.contains("input size: 512x192 (the shape of the images, 2.50 times as wide as high)"),
        "{said}"
    );
    let squeezed =
        adtrain(&["fit", "--data", "data", "--out", "square", "--size", "320x320"], scratch.path());
    let said = String::from_utf8(squeezed.stderr).unwrap();
    assert!(said.contains("are squeezed to 320x320"), "{said}");
}

/// Image AUROC at least, with as many good images.
const FOUND: [(Kind, u32, f64); 7] = [
    (Kind::Rods, 60, 0.6),
    (Kind::Dark, 40, 0.75),
    (Kind::Loose, 40, 0.5),
    (Kind::Strips, 40, 0.7),
    (Kind::Weave, 30, 0.8),
    (Kind::Leather, 40, 0.8),
    (Kind::Nonwoven, 30, 0.8),
];

#[test]
fn defects_of_parts_and_textures_are_found() {
    let found = FOUND.map(|(kind, train, least)| {
        let scratch = tempfile::tempdir().unwrap();
        fit(kind, train, scratch.path());
        (kind, image_auroc(scratch.path()), least)
    });
    assert!(found.iter().all(|(_, auroc, least)| auroc >= least), "kind, image AUROC, at least: {found:?}");
}

#[test]
fn another_method_is_chosen_where_it_is_clearly_better() {
    let scratch = tempfile::tempdir().unwrap();
    Plan { train: 40, good: 8, defective: 5, ..Plan::of(Kind::Loose) }
        .draw(&scratch.path().join("data"))
        .unwrap();
    // Copies of what is held out tell nothing of a method.
    let good = scratch.path().join("data/train/good");
    for image in std::fs::read_dir(&good).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>() {
        let name = image.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&image, good.join(format!("copy_of_{name}"))).unwrap();
    }
    let output = adtrain(
        &["fit", "--data", "data", "--out", "bundle", "--method", "auto", "--size", "256x256", "--json"],
        scratch.path(),
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let fitted: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = fitted["tried"].as_array().unwrap();
    let figures: Vec<f64> = tried.iter().map(|trial| trial["auroc"].as_f64().unwrap()).collect();
    assert_eq!(tried.len(), 3, "{fitted:#}");
    assert!(figures.iter().all(|auroc| (0.3..0.97).contains(auroc)), "{figures:?}");
    // Scattered parts suit methods that look further than CPR does.
    let best = (0..3).max_by(|&a, &b| figures[a].total_cmp(&figures[b])).unwrap();
    assert_ne!(tried[best]["method"], "cpr", "{figures:?}");
    let maps: Vec<f64> = tried.iter().map(|trial| trial["average_precision"].as_f64().unwrap()).collect();
    let better = |at: &usize| figures[*at] > figures[0] + 0.1 && maps[*at] >= maps[0];
    let chosen = (0..3).filter(better).max_by(|&a, &b| figures[a].total_cmp(&figures[b])).unwrap_or_default();
    assert_eq!(fitted["manifest"]["method"], tried[chosen]["method"], "{said}");
    assert!(said.contains("note: method: "), "{said}");
    assert!(
        !scratch
            .path()
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with(".choosing-") })
    );
    // Of few images nothing can be held out.
    let few = tempfile::tempdir().unwrap();
    Plan { train: 6, good: 2, defective: 1, ..Plan::of(Kind::Weave) }.draw(&few.path().join("data")).unwrap();
    let output = adtrain(&["fit", "--data", "data", "--out", "bundle", "--method", "auto"], few.path());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("too few to try others"), "{said}");
    let output = adtrain(
        &["fit", "--data", "data", "--out", "bundle", "--method", "auto", "--sheets", "5"],
        few.path(),
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("leave out --sheets, or name the method"), "{said}");
}
