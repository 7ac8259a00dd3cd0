//! PatchCore from images to frames: few images, many, spoilt bundles, images added later.

#![cfg(feature = "train")]

#[path = "patchcore/damage.rs"]
mod damage;
#[path = "patchcore/index.rs"]
mod index;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;
#[path = "command_line/workshop.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod workshop;

use gst::prelude::*;
use gstanomaly::bundle::{BANK, Bundle, Manifest, read_manifest};
use gstanomaly::frame::Fit;
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize, update};
use gstanomaly::methods::{Retriever, ScoreOptions, patchcore};
use gstanomaly::network::backbone::Backbone;
use gstanomaly::network::{Device, FeatureExtractor, Precision};
use pipeline::{Line, chain, info_of, score};
use product::{FOLDER, Notes, adding, copy, defective, file, good, judge_file, scratch};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use workshop::Workshop;

/// A folder with the good images of these seeds.
fn images(name: &str, seeds: std::ops::Range<u64>) -> PathBuf {
    let folder = FOLDER.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for seed in seeds {
        good(seed).save(folder.join(format!("{seed:03}.png"))).unwrap();
    }
    folder
}

fn options(name: &str, data: PathBuf, set: &[(&str, &str)]) -> FitOptions {
    FitOptions {
        name: name.into(),
        data,
        dataset: "synthetic".into(),
        exclude: Vec::new(),
        backbone: Backbone::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0.onnx"))
            .unwrap(),
        precision: Precision::F32,
        layers: Vec::new(),
        size: InputSize::Fixed(96, 64),
        fit: Fit::Stretch,
        range: Default::default(),
        foreground: Foreground::Auto,
        set: set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        seed: 0,
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: FOLDER.clone(),
        date: "2025-01-01".into(),
        learning: None,
    }
}

fn fit(name: &str, seeds: std::ops::Range<u64>, set: &[(&str, &str)]) -> (PathBuf, Manifest, Vec<String>) {
    let mut notes = Notes::default();
    let out = FOLDER.join(name);
    let options = options(name, images(&format!("{name}-images"), seeds), set);
    let manifest = patchcore::fit(&options, &out, &mut notes).unwrap();
    (out, manifest, notes.0)
}

static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| fit("patchcore", 0..12, &[]).0);

#[test]
fn a_frame_has_exactly_the_score_of_its_file() {
    let images = [good(100), defective(101), good(102), defective(103)];
    let expected: Vec<f64> = images
        .iter()
        .enumerate()
        .map(|(i, image)| judge_file(&BUNDLE, &file(image, &format!("patchcore-{i}.png"))).score)
        .collect();
    assert!(expected[1] > 1.5 * expected[0] && expected[3] > 1.5 * expected[2], "{expected:?}");
    for description in [chain(&BUNDLE), format!("addetect model={}", BUNDLE.display())] {
        let line = Line::playing(&description, &info_of(&images[0]));
        let found: Vec<f64> =
            (0..).zip(&images).map(|(number, image)| score(&line.pass(image, number))).collect();
        assert_eq!(found, expected, "{description}");
        assert!(line.drain().is_empty());
    }
}

#[test]
fn one_five_and_ten_images_give_a_bundle_that_finds_the_defect() {
    for count in [1, 5, 10] {
        let (bundle, manifest, notes) = fit(&format!("few-{count}"), 0..count, &[("coreset", "0.5")]);
        assert_eq!(manifest.training.images, count as usize);
        assert_eq!(manifest.params["rows"], count * 48, "half of 96 patches an image");
        let normal = judge_file(&bundle, &file(&good(200), "few-good.png"));
        let bad = judge_file(&bundle, &file(&defective(201), "few-bad.png"));
        assert!(bad.anomalous && bad.score > 1.3 * normal.score, "{count}: {} {}", normal.score, bad.score);
        let obtained = manifest.calibration.obtained;
        if count == 1 {
            assert!(obtained.contains("the only training image"), "{obtained}");
            assert!(notes.iter().any(|note| note.contains("a single good image")), "{notes:?}");
        } else {
            assert!(obtained.contains("each against a bank of others"), "{obtained}");
        }
    }
}

#[test]
fn more_neighbours_than_rows_and_images_without_differences() {
    let (bundle, manifest, _) = fit("tiny", 0..2, &[("coreset", "0.01"), ("neighbours", "50")]);
    let rows = manifest.params["rows"].as_u64().unwrap();
    // 1 % of twice 96 patches. Each image is judged by a bank of as many rows from the other.
    assert_eq!(rows, 1);
    assert!(manifest.calibration.obtained.contains(": 2 normal"), "{}", manifest.calibration.obtained);
    assert!(judge_file(&bundle, &file(&defective(1), "tiny.png")).score.is_finite());
}

#[test]
fn the_same_seed_gives_the_same_bank_and_other_settings_others() {
    let bank = |name: &str, set: &[(&str, &str)]| std::fs::read(fit(name, 0..4, set).0.join(BANK)).unwrap();
    let first = bank("seed-a", &[]);
    assert!(first == bank("seed-b", &[]));
    assert!(first != bank("seed-c", &[("selection.start", "\"exact\"")]));
    assert!(first != bank("seed-d", &[("selection.projection", "0")]));
}

/// A bundle that began with one image learns from the next ones how good parts differ, and forgets its guess.
#[test]
fn a_bundle_of_one_image_grows_up() {
    let (bundle, first, _) = fit("lonely", 0..1, &[("coreset", "0.5")]);
    assert!(first.calibration.obtained.contains(": 4 normal"), "views: {}", first.calibration.obtained);
    for (seeds, normal) in [(600..601, 5), (601..602, 6), (602..606, 6)] {
        let name = format!("lonely-{}", seeds.start);
        let after = add(&bundle, images(&name, seeds));
        let obtained = &after.calibration.obtained;
        assert_eq!(obtained.contains("views of the first"), after.training.images < 6, "{obtained}");
        assert!(obtained.contains(&format!(": {normal} normal")), "{obtained}");
    }
    let alarms =
        (400..420).filter(|&seed| judge_file(&bundle, &file(&good(seed), "lonely.png")).anomalous).count();
    assert!(alarms <= 2, "{alarms} of 20 good parts are rejected");
}

#[test]
fn settings_that_cannot_be_used_are_errors() {
    for (name, value, part) in [
        ("coreset", "0", "coreset must be more than 0 and at most 1, found 0"),
        ("coreset", "1.5", "coreset must be"),
        ("embedding.patch", "2", "odd"),
        ("embedding.aggregated", "1023", "multiple of the number of layers"),
        ("neighbours", "0", "neighbours must be"),
        ("index.links", "1", "index.links must be 2 to 128"),
        (
            "index.kind",
            "\"fast\"",
            "parameter 'index.kind': '\"fast\"' is not what it takes: unknown variant",
        ),
        ("index.kind", "fast", "parameter 'index.kind': 'fast' is not what it takes: unknown variant"),
        ("coreset", "NaN", "parameter 'coreset': 'NaN' is not what it takes: expected a number, such as 0.1"),
        ("reweighting", "1", "parameter 'reweighting': '1' is not what it takes: expected true or false"),
        ("sheets", "60", "unknown parameter 'sheets'; there are: blur_sigma, blur_truncation, coreset, "),
        ("index.speed", "1", "there are: index.breadth, index.construction, "),
        ("index", "approximate", "is several, of which one is set at a time: index.breadth, "),
        ("coreset.x", "3", "coreset has no parts, set all of it, such as coreset=0.1"),
        ("coreset", "null", "'null' is not what it takes: expected a number, such as 0.1"),
        ("index.kind", "1", "'1' is not what it takes: unknown variant"),
        ("rows", "60", "parameter 'rows' cannot be set"),
        ("selection.radius", "1", "parameter 'selection.radius' cannot be set"),
    ] {
        let options = options("bad", images("bad-images", 0..2), &[(name, value)]);
        let error =
            patchcore::fit(&options, &FOLDER.join("bad"), &mut Notes::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let options =
        FitOptions { foreground: Foreground::On, ..options("bad", images("bad-images", 0..2), &[]) };
    let error = patchcore::fit(&options, &FOLDER.join("bad"), &mut Notes::default()).unwrap_err().to_string();
    assert!(error.contains("does not estimate a foreground"), "{error}");
}

/// More neighbours than a row of the bank knows are refused, fewer are taken.
#[test]
fn neighbours_can_be_asked_for() {
    let bundle = Arc::new(Bundle::open(&BUNDLE).unwrap());
    let image = defective(7);
    let picture =
        gstanomaly::frame::Picture::from_rgb(image.width(), image.height(), image.as_raw()).unwrap();
    let network = bundle.network(Device::Cpu, 0).unwrap();
    let mut extractor = FeatureExtractor::new(bundle.clone(), network, picture.info(), None).unwrap();
    let features = extractor.extract(&picture.frame().unwrap()).unwrap();
    let mut retriever = Retriever::new(bundle);
    assert_eq!(retriever.retrieve(&features, 0).unwrap().found.neighbours.len(), 9);
    assert_eq!(retriever.retrieve(&features, 3).unwrap().found.neighbours.len(), 3);
    let error = retriever.retrieve(&features, 10).unwrap_err().to_string();
    assert!(error.contains("10 neighbours") && error.contains("9 at most"), "{error}");
}

fn add(bundle: &Path, folder: PathBuf) -> Manifest {
    update(bundle, &adding(&folder), &mut Notes::default()).unwrap().after
}

#[test]
fn a_thin_bank_expects_of_unseen_images_what_they_score() {
    // Few rows: most of what an image has in common with others is kept of one of them alone.
    let (bundle, manifest, _) = fit("thin", 0..24, &[("coreset", "0.02")]);
    let obtained = &manifest.calibration.obtained;
    assert!(obtained.contains("a bank of others: 24 normal"), "{obtained}");
    let scores = (400..424).map(|seed| judge_file(&bundle, &file(&good(seed), "thin.png")).score);
    let mut scores: Vec<f64> = scores.collect();
    scores.sort_by(f64::total_cmp);
    let median = manifest.calibration.quantiles.iter().find(|quantile| quantile.share == 0.5).unwrap().score;
    let ratio = median / (0.5 * (scores[11] + scores[12]));
    assert!((0.85..1.15).contains(&ratio), "{ratio}: expected {median}, found {scores:?}");
    assert!(scores[23] < manifest.calibration.threshold, "{scores:?}");
}

#[test]
fn images_added_later_become_normal() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(&BUNDLE, &bundle);
    let before = read_manifest(&bundle).unwrap();

    // What is called good from now on.
    let new = FOLDER.join("new-normal");
    std::fs::create_dir_all(&new).unwrap();
    (300..306).for_each(|seed| defective(seed).save(new.join(format!("{seed}.png"))).unwrap());
    let probe = file(&defective(310), "update-probe.png");
    let old = judge_file(&bundle, &probe);
    assert!(old.anomalous);
    let line = Line::playing(&chain(&bundle), &info_of(&defective(310)));
    assert_eq!(score(&line.pass(&defective(310), 0)), old.score);

    let after = add(&bundle, new.clone());
    assert_eq!((after.training.images, after.training.date.as_str()), (18, "2025-02-02"));
    assert_eq!(after.params["references"], 18);
    let rows = |manifest: &Manifest| manifest.params["rows"].as_u64().unwrap();
    assert!(rows(&after) > rows(&before));
    assert_eq!(after.params["selection"], before.params["selection"]);
    assert!(after.calibration.obtained.contains("the last 6 added later"), "{}", after.calibration.obtained);
    let judged = judge_file(&bundle, &probe);
    assert!(!judged.anomalous && judged.score < 0.7 * old.score, "{} {}", judged.score, old.score);
    assert!(!judge_file(&bundle, &file(&good(311), "update-good.png")).anomalous);

    // What plays goes on with the old one until it is told.
    assert_eq!(score(&line.pass(&defective(310), 1)), old.score);
    line.element("features").set_property("model", bundle.to_str().unwrap());
    let mut number = 1;
    pipeline::wait_until("the new bundle", || {
        number += 1;
        score(&line.pass(&defective(310), number)) == judged.score
    });

    // What is known already adds nothing to the bank, even in other files.
    let again = FOLDER.join("new-normal-again");
    std::fs::create_dir_all(&again).unwrap();
    (300..306).for_each(|seed| defective(seed).save(again.join(format!("{seed}.bmp"))).unwrap());
    let again = add(&bundle, again);
    assert_eq!((rows(&again), again.training.images), (rows(&after), 24));
}

#[test]
fn the_command_line() {
    let shop = Workshop::new();
    shop.good("parts", 4, 1);
    shop.good("more", 2, 2);
    let fitted = shop.succeeds(
        "fit --data parts --method patchcore --coreset 0.25 --size 64x64 --fit crop --resize 80 --out p.bundle --json",
    );
    let manifest = &fitted.json()["manifest"];
    assert_eq!(manifest["params"]["coreset"], 0.25);
    assert_eq!(manifest["input"]["fit"], json!({"centre": 80}));
    fitted.says(&["choosing the coreset: 64", "calibrating: 4"]);
    let updated = shop.succeeds("update --model p.bundle --add more");
    assert!(updated.stdout.contains("6 images, 4 before"), "{}", updated.stdout);
    shop.succeeds("info p.bundle --verify");

    let indexed =
        shop.succeeds("fit --data parts --method patchcore --index approximate --set index.links=8 --size 64x64 --out i.bundle");
    indexed.says(&["building the index", "the index finds the nearest row of"]);
    let info = shop.succeeds("info i.bundle");
    assert!(
        info.stdout.contains("index.kind = approximate") && info.stdout.contains("index.links = 8"),
        "{}",
        info.stdout
    );
    shop.succeeds("update --model i.bundle --add more");
    shop.fails("fit --data parts --index approximate --out x.bundle").says(&["--index", "patchcore", "cpr"]);

    shop.fit("parts", "c.bundle");
    let updated = shop.succeeds("update --model c.bundle --add more");
    assert!(updated.stdout.contains("6 images, 4 before; in"), "{}", updated.stdout);
    shop.succeeds(
        "fit --data parts --method npad --set channels=10 --set centroids=0.01 --size 64x64 --out n.bundle",
    );
    let entries = shop.bundle("n.bundle");
    shop.fails("update --model n.bundle --add more").says(&["npad", "cannot be updated", "fit it again"]);
    assert_eq!(shop.bundle("n.bundle"), entries);
    shop.fails("update --model p.bundle --add nothing").says(&["nothing", "no such folder"]);
    shop.fails("fit --data parts --coreset 0.1 --out x.bundle").says(&["--coreset", "patchcore", "cpr"]);
    shop.fails("fit --data parts --size 64x64 --resize 80 --out x.bundle").says(&["--resize", "--fit crop"]);
    assert_eq!(shop.entries("x.bundle"), [""; 0]);
}

#[test]
fn what_is_not_inspected_does_not_score() {
    let bundle = Arc::new(Bundle::open(&BUNDLE).unwrap());
    let image = defective(400);
    let picture =
        gstanomaly::frame::Picture::from_rgb(image.width(), image.height(), image.as_raw()).unwrap();
    let mut mask = image::GrayImage::from_pixel(image.width(), image.height(), image::Luma([255]));
    let (left, top, width, height) = product::DEFECT;
    for y in top.saturating_sub(16)..(top + height + 16).min(image.height()) {
        for x in left.saturating_sub(16)..(left + width + 16).min(image.width()) {
            mask.put_pixel(x, y, image::Luma([0]));
        }
    }
    let path = FOLDER.join("patchcore-mask.png");
    mask.save(&path).unwrap();
    let ignore = Some(Arc::new(gstanomaly::methods::IgnoreMask::load(&path).unwrap()));
    let all = product::judge(bundle.clone(), &picture, &ScoreOptions::default()).unwrap();
    let masked =
        product::judge(bundle, &picture, &ScoreOptions { ignore, ..ScoreOptions::default() }).unwrap();
    assert!(masked.score < 0.8 * all.score, "{} {}", masked.score, all.score);
}

#[test]
fn features_that_are_not_finite_are_no_good_part() {
    let error = product::overflow(&BUNDLE);
    assert!(error.contains("no finite distance"), "{error}");
}
