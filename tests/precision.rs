//! Bundles whose network computes with bytes.

#![cfg(feature = "train")]

#[path = "common/product.rs"]
mod product;

use gstanomaly::Error;
use gstanomaly::bundle::{BANK, Bundle, GRAPH};
use gstanomaly::methods::cpr::train::Resume;
use gstanomaly::methods::fitting::update;
use gstanomaly::methods::{METHODS, cpr};
use gstanomaly::network::Precision;
use product::{
    FitOptions, Notes, Quiet, Stages, adding, defective, file, folder_of, good, judge_file, options,
    quick_learning, scratch,
};
use std::path::Path;

const SIZE: (u32, u32) = (128, 96);
/// Where the network's values are measured.
const MEASURING: &str = "measuring the network's values";

fn in_bytes(name: &str) -> FitOptions {
    FitOptions { precision: Precision::Int8, ..options(name, SIZE) }
}

#[test]
fn every_method_finds_the_defect_as_it_does_with_numbers() {
    let folder = scratch();
    let (good, bad) = (file(&good(1000), "good.png"), file(&defective(1001), "bad.png"));
    for method in METHODS {
        let (name, fit) = (method.name, method.training.fit);
        let (exact, rounded) = (folder.path().join(name), folder.path().join(format!("{name}-bytes")));
        let set: Vec<(String, String)> = match name {
            "npad" => vec![("channels".into(), "20".into())],
            _ => vec![],
        };
        fit(&FitOptions { set: set.clone(), ..options(name, SIZE) }, &exact, &mut Quiet).unwrap();
        let manifest = fit(&FitOptions { set, ..in_bytes(name) }, &rounded, &mut Quiet).unwrap();
        assert_eq!(manifest.backbone.precision, Precision::Int8, "{name}");
        assert_eq!(manifest.training.settings.unwrap()["precision"], "int8", "{name}");
        let size = |bundle: &Path| bundle.join(GRAPH).metadata().unwrap().len();
        assert!(size(&rounded) < size(&exact) / 2, "{name}: {} of {}", size(&rounded), size(&exact));

        let [calm, alarm] = [&good, &bad].map(|file| judge_file(&rounded, file));
        assert!(alarm.score > 1.3 * calm.score, "{name}: {} and {}", alarm.score, calm.score);
        let exact = judge_file(&exact, &bad).score;
        // N-pad's distance is a squared one, in units of a spread of few values, which rounding makes wider.
        let tolerance = if name == "npad" { 0.4 } else { 0.15 };
        assert!((alarm.score / exact - 1.0).abs() < tolerance, "{name}: {} instead of {exact}", alarm.score);
        assert_ne!(alarm.score, exact, "{name}: nothing is rounded");
    }
}

#[test]
fn the_learned_branch_computes_with_bytes_too_and_the_same_every_time() {
    let folder = scratch();
    let fit = |name: &str, precision| {
        let out = folder.path().join(name);
        let learning = Some(quick_learning(&out));
        cpr::fit(&FitOptions { learning, precision, ..options("learned", SIZE) }, &out, &mut Quiet).unwrap();
        out
    };
    let bundles = [fit("first", Precision::Int8), fit("second", Precision::Int8)];
    for part in [GRAPH, BANK] {
        let [first, second] = bundles.each_ref().map(|bundle| std::fs::read(bundle.join(part)).unwrap());
        assert!(first == second, "{part} differs");
    }
    let size = |bundle: &Path| bundle.join(GRAPH).metadata().unwrap().len();
    let exact = fit("exact", Precision::F32);
    // Of the weights, codes and foreground alone are left as they were.
    assert!(size(&bundles[0]) < size(&exact) * 2 / 5, "{} of {}", size(&bundles[0]), size(&exact));
    let [calm, alarm] =
        [good(1000), defective(1001)].map(|image| judge_file(&bundles[0], &file(&image, "image.png")).score);
    assert!(alarm > calm, "{alarm} and {calm}");
}

#[test]
fn what_was_learned_from_numbers_is_not_gone_on_with_in_bytes() {
    let folder = scratch();
    let out = folder.path().join("bundle");
    let mut stop = Stages::new(|stage| stage == "filling the bank");
    let learning = quick_learning(&out);
    let numbers = FitOptions { learning: Some(learning.clone()), ..options("resumed", SIZE) };
    assert!(matches!(cpr::fit(&numbers, &out, &mut stop), Err(Error::Interrupted | Error::Paused { .. })));
    let learning = gstanomaly::methods::cpr::train::Learning { resume: Resume::GoOn, ..learning };
    let bytes =
        FitOptions { learning: Some(learning), precision: Precision::Int8, ..options("resumed", SIZE) };
    let problem = cpr::fit(&bytes, &out, &mut Quiet).unwrap_err().to_string();
    assert!(problem.contains("bundle.checkpoint") && problem.contains("precision differ"), "{problem}");
}

#[test]
fn a_bundle_of_bytes_is_updated_by_its_own_graph() {
    let folder = scratch();
    let out = folder.path().join("bundle");
    cpr::fit(&in_bytes("updated"), &out, &mut Quiet).unwrap();
    let graph = std::fs::read(out.join(GRAPH)).unwrap();
    let updated = update(&out, &adding(folder_of(&[good(700), good(701)]).path()), &mut Quiet).unwrap();
    assert_eq!((updated.added, updated.after.backbone.precision), (2, Precision::Int8));
    assert!(graph == std::fs::read(out.join(GRAPH)).unwrap());
    Bundle::open(&out).unwrap();
}

#[test]
fn an_image_that_cannot_be_read_is_named_once() {
    let folder = folder_of(&[good(1), good(2), good(3), good(4)]);
    std::fs::write(folder.path().join("000.png"), b"not an image").unwrap();
    let mut notes = Notes::default();
    let options = FitOptions { data: folder.path().into(), strict: false, ..in_bytes("unreadable") };
    let manifest = cpr::fit(&options, &scratch().path().join("bundle"), &mut notes).unwrap();
    assert_eq!((manifest.training.images, manifest.training.skipped), (3, 1));
    assert_eq!(notes.0.iter().filter(|note| note.contains("000.png")).count(), 1, "{:?}", notes.0);
    (1..4).for_each(|i| std::fs::write(folder.path().join(format!("00{i}.png")), b"not an image").unwrap());
    let problem = cpr::fit(&options, &scratch().path().join("bundle"), &mut notes).unwrap_err().to_string();
    assert!(problem.contains("none of the 4 images can be read"), "{problem}");
}

#[test]
fn measuring_can_be_interrupted() {
    let out = scratch().path().join("bundle");
    let mut stop = Stages::new(|stage| stage == MEASURING);
    assert!(matches!(cpr::fit(&in_bytes("stopped"), &out, &mut stop), Err(Error::Interrupted)));
    assert!(!out.exists());
}
