//! CPR's update: new images join the bank as if they had been there from the start.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gst::prelude::*;
use gstanomaly::bundle::{BANK, Bundle, GRAPH, MANIFEST, Manifest, hash_file, read_manifest};
use gstanomaly::methods::cpr::train::{Learning, Preset};
use gstanomaly::methods::fitting::{FitOptions, Foreground, UpdateOptions, update};
use gstanomaly::methods::{cpr, npad};
use gstanomaly::network::Device;
use pipeline::{Line, chain, info_of, score};
use product::{
    FOLDER, Quiet, copy, defective, file, fit_method, folder_of, good, judge_file, options, scratch, wide,
};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn adding(folder: &Path) -> UpdateOptions {
    UpdateOptions {
        add: folder.to_owned(),
        strict: true,
        device: Device::Cpu,
        threads: 0,
        scratch: FOLDER.clone(),
        date: "2025-02-02".into(),
    }
}

fn learned() -> Option<Learning> {
    Some(Learning {
        preset: Preset::Faster,
        steps: Some(2),
        batch: Some(2),
        learning_rate: None,
        minutes: None,
        set: vec![],
        textures: None,
        defects: None,
        checkpoint: FOLDER.join("learned.checkpoint"),
        resume: false,
    })
}

/// Fits a bundle to `data`, with a foreground, and with or without a learned branch.
fn fit(name: &str, data: &Path, learning: Option<Learning>) -> PathBuf {
    let options = FitOptions {
        data: data.to_owned(),
        foreground: Foreground::On,
        learning,
        ..options(name, (128, 96))
    };
    let out = FOLDER.join(name);
    cpr::fit(&options, &out, &mut Quiet).unwrap();
    out
}

/// The bundle as it would be had only the first `count` of its images been there when the bank was filled.
fn cut(bundle: &Path, count: usize, to: &Path) {
    copy(bundle, to);
    let bytes = std::fs::read(bundle.join(BANK)).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let shortened = tensors.tensors().into_iter().map(|(name, tensor)| {
        let mut shape = tensor.shape().to_vec();
        let image = tensor.data().len() / shape[0];
        shape[0] = count;
        (name, TensorView::new(tensor.dtype(), shape, &tensor.data()[..count * image]).unwrap())
    });
    let shortened: BTreeMap<_, _> = shortened.collect();
    safetensors::serialize_to_file(shortened, None, &to.join(BANK)).unwrap();
    let mut manifest = read_manifest(bundle).unwrap();
    manifest.params["references"] = count.into();
    manifest.training.images = count;
    let file = to.join(BANK);
    let info = manifest.files.get_mut(BANK).unwrap();
    (info.sha256, info.bytes) = (hash_file(&file).unwrap(), file.metadata().unwrap().len());
    std::fs::write(to.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn an_update_gives_the_bank_of_all_images() {
    let all: Vec<_> = (200..216).map(good).collect();
    let (both, added) = (folder_of(&all), folder_of(&all[12..]));
    for (name, learning) in [("all-raw", None), ("all-learned", learned())] {
        let whole = fit(name, both.path(), learning);
        let folder = scratch();
        let part = folder.path().join("part.bundle");
        cut(&whole, 12, &part);
        assert_eq!(Bundle::open(&part).unwrap().method().references(), 12);
        let probe = file(&defective(220), &format!("{name}.png"));
        assert_ne!(judge_file(&part, &probe).score, judge_file(&whole, &probe).score);

        let after = update(&part, &adding(added.path()), &mut Quiet).unwrap();
        let expected = read_manifest(&whole).unwrap();
        for file in [BANK, GRAPH] {
            let bytes = |bundle: &Path| std::fs::read(bundle.join(file)).unwrap();
            assert!(bytes(&part) == bytes(&whole), "{name}: {file}");
        }
        assert_eq!((after.training.images, after.training.date.as_str()), (16, "2025-02-02"));
        let without_date = |mut manifest: Manifest| {
            manifest.training.date.clear();
            serde_json::to_value(manifest).unwrap()
        };
        assert_eq!(without_date(after), without_date(expected), "{name}: parameters and calibration");
        Bundle::open(&part).unwrap().verify_hashes().unwrap();
        let (one, other) = (judge_file(&part, &probe), judge_file(&whole, &probe));
        assert!(one.score == other.score && one.map.as_slice() == other.map.as_slice(), "{name}");
    }
}

#[test]
fn an_updated_bundle_takes_over_while_playing() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(wide(), &bundle);
    let probe = file(&defective(230), "cpr-update-probe.png");
    let old = judge_file(&bundle, &probe);
    let line = Line::playing(&chain(&bundle), &info_of(&defective(230)));
    assert_eq!(score(&line.pass(&defective(230), 0)), old.score);

    // What is called good from now on.
    let new = folder_of(&(240..246).map(defective).collect::<Vec<_>>());
    update(&bundle, &adding(new.path()), &mut Quiet).unwrap();
    let judged = judge_file(&bundle, &probe);
    assert!(old.anomalous && !judged.anomalous, "{} {}", old.score, judged.score);

    // What plays goes on with the old one until it is told.
    assert_eq!(score(&line.pass(&defective(230), 1)), old.score);
    line.element("features").set_property("model", bundle.to_str().unwrap());
    let mut number = 1;
    pipeline::wait_until("the new bundle", || {
        number += 1;
        score(&line.pass(&defective(230), number)) == judged.score
    });
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());
}

#[test]
fn an_update_that_fails_leaves_the_bundle_as_it_was() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(wide(), &bundle);
    let old = |file: &str| std::fs::read(bundle.join(file)).unwrap();
    let before = [MANIFEST, BANK, GRAPH].map(old);
    let broken = scratch();
    std::fs::write(broken.path().join("a.png"), "no image").unwrap();
    for (add, part) in [(broken.path().to_owned(), "a.png"), (folder.path().join("none"), "no such folder")] {
        let error = update(&bundle, &adding(&add), &mut Quiet).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!([MANIFEST, BANK, GRAPH].map(old) == before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let settings = [("channels", "10"), ("centroids", "0.01")];
    let other = fit_method(npad::fit, "not-updated", &settings, None).unwrap();
    let new = folder_of(&[good(250)]);
    let error = update(&other, &adding(new.path()), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("npad cannot be updated") && error.contains("cpr, hetmm or patchcore"), "{error}");
}
