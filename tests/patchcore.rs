//! PatchCore from images to frames: few images, many, spoilt bundles, images added later.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;
#[path = "command_line/workshop.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod workshop;

use gst::prelude::*;
use gstanomaly::bundle::{BANK, Bundle, MANIFEST, Manifest, read_manifest};
use gstanomaly::frame::Fit;
use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize, Progress, UpdateOptions, update};
use gstanomaly::methods::{Retriever, ScoreOptions, patchcore};
use gstanomaly::network::backbone::Backbone;
use gstanomaly::network::{Device, FeatureExtractor};
use pipeline::{Line, chain, info_of, score};
use product::{FOLDER, copy, defective, file, good, judge_file, scratch};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use workshop::Workshop;

#[derive(Default)]
struct Notes(Vec<String>);

impl Progress for Notes {
    fn stage(&mut self, _name: &str, _steps: usize) {}
    fn advance(&mut self) {}
    fn note(&mut self, message: &str) {
        self.0.push(message.into());
    }
}

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
        backbone: Backbone::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0.onnx"))
            .unwrap(),
        layers: Vec::new(),
        size: InputSize::Fixed(96, 64),
        fit: Fit::Stretch,
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

const APPROXIMATE: (&str, &str) = ("index.kind", "\"approximate\"");

/// The same images with half of their patches and an index.
static INDEXED: LazyLock<PathBuf> =
    LazyLock::new(|| fit("indexed", 0..12, &[("coreset", "0.5"), APPROXIMATE]).0);

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

#[test]
fn with_an_index_frames_files_and_the_exact_search_agree() {
    let (exact, _, _) = fit("not-indexed", 0..12, &[("coreset", "0.5")]);
    let index = &read_manifest(&INDEXED).unwrap().params["index"];
    assert!(index["recall"].as_f64().unwrap() >= 0.99, "{index}");
    assert!(index["breadth"].as_u64().unwrap() < 576, "576 rows are all that there are: {index}");
    let images = [good(100), defective(101), good(102), defective(103)];
    let judged = |bundle: &Path| -> Vec<f64> {
        let files = (0..).zip(&images).map(|(i, image)| file(image, &format!("indexed-{i}.png")));
        files.map(|file| judge_file(bundle, &file).score).collect()
    };
    let (found, expected) = (judged(&INDEXED), judged(&exact));
    for (found, expected) in found.iter().zip(&expected) {
        // What is missed is a nearest row; the one that is found instead is hardly further away.
        assert!((found / expected - 1.0).abs() < 0.02, "{found} {expected}");
    }
    for description in [chain(&INDEXED), format!("addetect model={}", INDEXED.display())] {
        let line = Line::playing(&description, &info_of(&images[0]));
        let scores: Vec<f64> =
            (0..).zip(&images).map(|(number, image)| score(&line.pass(image, number))).collect();
        assert_eq!(scores, found, "{description}");
    }
}

#[test]
fn the_same_seed_gives_the_same_index() {
    let bank = |name: &str| {
        let (out, manifest, _) = fit(name, 0..4, &[APPROXIMATE]);
        (std::fs::read(out.join(BANK)).unwrap(), manifest.params)
    };
    assert!(bank("index-a") == bank("index-b"));
}

#[test]
fn an_index_of_one_image_and_of_a_single_row() {
    for (name, seeds, coreset, rows) in
        [("index-one", 0..1, "0.5", 48), ("index-few", 0..1, "0.06", 5), ("index-row", 0..2, "0.01", 1)]
    {
        let (bundle, manifest, notes) = fit(name, seeds, &[("coreset", coreset), APPROXIMATE]);
        assert_eq!(manifest.params["rows"], rows, "{name}");
        assert_eq!(manifest.params["index"]["recall"], 1.0, "{name}");
        assert!(
            notes.iter().any(|note| note.contains("the index finds the nearest row of 100.00 %")),
            "{notes:?}"
        );
        assert!(judge_file(&bundle, &file(&defective(1), &format!("{name}.png"))).score.is_finite());
    }
}

#[test]
fn a_spoilt_index_is_refused() {
    let spoilt = |change: fn(&mut Dtype, &mut Vec<usize>, &mut Vec<u8>) -> bool| {
        spoilt_bank(&INDEXED, "links", change)
    };
    refusal(spoilt(|_, _, _| false).path(), &["links", "missing"]);
    let fewer = spoilt(|_, shape, bytes| {
        shape[0] -= 1;
        bytes.truncate(bytes.len() - 4 * shape[1]);
        true
    });
    refusal(fewer.path(), &["links", "expected", "[576, 32]", "[575, 32]"]);
    let signed = spoilt(|dtype, _, _| {
        *dtype = Dtype::I32;
        true
    });
    refusal(signed.path(), &["links", "expected", "I32"]);
    let outside = spoilt(|_, _, bytes| {
        bytes[128..132].copy_from_slice(&576u32.to_le_bytes());
        true
    });
    refusal(outside.path(), &["links", "below 576", "found 576"]);
    // What leads nowhere is no danger: the search ends.
    let nowhere = spoilt(|_, shape, bytes| {
        for (i, link) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            *link = ((i / shape[1]) as u32).to_le_bytes();
        }
        true
    });
    assert!(judge_file(nowhere.path(), &file(&good(100), "nowhere.png")).score.is_finite());
    for (name, value) in [
        ("/index/kind", json!("fast")),
        ("/index/links", json!(1)),
        ("/index/links", json!(17)),
        ("/index/links", json!(1 << 20)),
        ("/index/entries", json!(0)),
        ("/index/breadth", json!(0)),
        ("/index/breadth", json!(1u64 << 40)),
        ("/index/recall", json!(1.5)),
    ] {
        let folder = scratch();
        copy(&INDEXED, folder.path());
        edit(folder.path(), |manifest| *manifest["params"].pointer_mut(name).unwrap() = value.clone());
        assert!(Bundle::open(folder.path()).is_err(), "{name} {value} is accepted");
    }
}

#[test]
fn an_index_grows_with_the_bank() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(&INDEXED, &bundle);
    let new = FOLDER.join("index-new");
    std::fs::create_dir_all(&new).unwrap();
    (500..504).for_each(|seed| defective(seed).save(new.join(format!("{seed}.png"))).unwrap());
    let before = read_manifest(&bundle).unwrap();
    let probe = file(&defective(510), "index-probe.png");
    let old = judge_file(&bundle, &probe).score;
    let after = add(&bundle, new);
    assert!(after.params["rows"].as_u64() > before.params["rows"].as_u64());
    assert!(after.params["index"]["recall"].as_f64().unwrap() >= 0.99);
    let new = judge_file(&bundle, &probe).score;
    assert!(new < 0.8 * old, "what was added is found: {new} {old}");
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
        ("coreset", "NaN", "parameter 'coreset': 'NaN' is not what it takes, such as 0.1"),
        ("reweighting", "1", "parameter 'reweighting': '1' is not what it takes: invalid type"),
        ("sheets", "60", "unknown parameter 'sheets'; there are: blur_sigma, blur_truncation, coreset, "),
        ("index.speed", "1", "there are: breadth, construction, entries, kind, least_recall, links, queries"),
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

/// A copy of the bundle with one tensor changed (`None`: left out).
fn spoilt(
    name: &str,
    change: impl FnOnce(&mut Dtype, &mut Vec<usize>, &mut Vec<u8>) -> bool,
) -> tempfile::TempDir {
    spoilt_bank(&BUNDLE, name, change)
}

fn spoilt_bank(
    bundle: &Path,
    name: &str,
    change: impl FnOnce(&mut Dtype, &mut Vec<usize>, &mut Vec<u8>) -> bool,
) -> tempfile::TempDir {
    let folder = scratch();
    copy(bundle, folder.path());
    let content = std::fs::read(folder.path().join(BANK)).unwrap();
    let bank = SafeTensors::deserialize(&content).unwrap();
    let mut change = Some(change);
    let mut tensors = Vec::new();
    for (found, tensor) in bank.tensors() {
        let (mut dtype, mut shape, mut bytes) =
            (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec());
        let kept = found != name || change.take().unwrap()(&mut dtype, &mut shape, &mut bytes);
        if kept {
            tensors.push((found, dtype, shape, bytes));
        }
    }
    assert!(change.is_none(), "the bank has no {name}");
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let bank = safetensors::serialize(views, None).unwrap();
    edit(folder.path(), |manifest| manifest["files"][BANK]["bytes"] = json!(bank.len()));
    std::fs::write(folder.path().join(BANK), bank).unwrap();
    folder
}

fn edit(bundle: &Path, change: impl FnOnce(&mut Value)) {
    let file = bundle.join(MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(file, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[track_caller]
fn refusal(bundle: &Path, parts: &[&str]) {
    let message = Bundle::open(bundle).expect_err("it is accepted").to_string();
    assert!(message.starts_with(bundle.to_str().unwrap()), "{message}");
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
}

#[test]
fn a_spoilt_bank_is_refused() {
    for name in ["patches", "images", "neighbourhoods"] {
        refusal(spoilt(name, |_, _, _| false).path(), &[name, "missing"]);
        let wrong_type = spoilt(name, |dtype, _, _| {
            *dtype = if *dtype == Dtype::F16 { Dtype::BF16 } else { Dtype::I32 };
            true
        });
        refusal(wrong_type.path(), &[name, "expected", "found"]);
        let flat = spoilt(name, |_, shape, _| {
            *shape = vec![shape.iter().product(), 1, 1];
            true
        });
        refusal(flat.path(), &[name, "expected", "found"]);
    }
    for bits in [half::f16::NAN, half::f16::INFINITY] {
        let bad = spoilt("patches", |_, _, bytes| {
            let last = bytes.len() - 2;
            bytes[last..].copy_from_slice(&bits.to_le_bytes());
            true
        });
        refusal(bad.path(), &["patches", "not finite"]);
    }
    for (name, limit) in [("images", "below 12"), ("neighbourhoods", "below 115")] {
        let bad = spoilt(name, |_, _, bytes| {
            bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
            true
        });
        refusal(bad.path(), &[name, limit, "4294967295"]);
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    for (name, value) in [
        ("/rows", json!(0)),
        ("/rows", json!(1u64 << 60)),
        ("/references", json!(0)),
        ("/references", json!(3)),
        ("/stride", json!(0)),
        ("/stride", json!(5)),
        ("/embedding/patch", json!(4)),
        ("/embedding/aggregated", json!(512)),
        ("/coreset", json!(-1.0)),
        ("/neighbours", json!(0)),
        ("/neighbours", json!(10)),
        ("/blur_sigma", json!(0.0)),
        ("/blur_sigma", json!(1e300)),
        ("/blur_truncation", json!(1e300)),
        ("/peak", json!(0.0)),
        ("/selection/radius", json!(-1.0)),
        ("/selection/start", json!("random")),
        ("/reweighting", json!("yes")),
    ] {
        let folder = scratch();
        copy(&BUNDLE, folder.path());
        edit(folder.path(), |manifest| *manifest["params"].pointer_mut(name).unwrap() = value.clone());
        assert!(Bundle::open(folder.path()).is_err(), "{name} {value} is accepted");
    }
}

fn add(bundle: &Path, folder: PathBuf) -> Manifest {
    let options = UpdateOptions {
        add: folder,
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: FOLDER.clone(),
        date: "2025-02-02".into(),
    };
    update(bundle, &options, &mut Notes::default()).unwrap()
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

    // What is known already adds nothing to the bank.
    let again = add(&bundle, new);
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
        info.stdout.contains(r#""kind":"approximate""#) && info.stdout.contains(r#""links":8"#),
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
