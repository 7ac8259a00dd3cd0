//! Adding images to a bundle: what all methods do alike, and CPR, whose new images join the bank as if they had been there from the start.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;
#[path = "update/replacement.rs"]
mod replacement;

use gst::prelude::*;
use gstanomaly::bundle::{
    BANK, Bundle, Exclusive, GRAPH, IMAGES, LearnedImages, MANIFEST, Manifest, TRAINING_SCORES, hash_file,
    read_manifest,
};
use gstanomaly::methods::cpr::train::Learning;
use gstanomaly::methods::fitting::{FitOptions, Foreground, Progress, UpdateOptions, update};
use gstanomaly::methods::{cpr, hetmm, npad, patchcore};
use pipeline::{Line, chain, info_of, score};
use product::{
    FOLDER, Notes, Quiet, adding, copy, defective, file, fit_method, folder_of, good, judge_file, options,
    quick_learning, scratch, wide,
};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Fit = fn(&FitOptions, &Path, &mut dyn Progress) -> gstanomaly::Result<Manifest>;

/// The methods whose bundles can be updated.
const UPDATED: [(&str, Fit); 3] = [("cpr", cpr::fit), ("hetmm", hetmm::fit), ("patchcore", patchcore::fit)];

/// The images that a bundle has learned from.
fn learned(bundle: &Path) -> LearnedImages {
    LearnedImages::read(bundle, &read_manifest(bundle).unwrap().files).unwrap().unwrap()
}

/// Fits a bundle to `data`, with a foreground, and with or without a learned branch.
fn fit(name: &str, data: &Path, learning: Option<Learning>) -> PathBuf {
    let options = FitOptions {
        data: data.to_owned(),
        foreground: Foreground::On,
        // As many as the smallest bundle here has images: by default objects have 20.
        set: vec![("neighbours".into(), "10".into())],
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
    let learned = std::fs::read_to_string(bundle.join(IMAGES)).unwrap();
    let learned: String = learned.split_inclusive('\n').take(count).collect();
    std::fs::write(to.join(IMAGES), learned).unwrap();
    for name in [BANK, IMAGES] {
        let file = to.join(name);
        let info = manifest.files.get_mut(name).unwrap();
        (info.sha256, info.bytes) = (hash_file(&file).unwrap(), file.metadata().unwrap().len());
    }
    std::fs::write(to.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn an_update_gives_the_bank_of_all_images() {
    let all: Vec<_> = (200..216).map(good).collect();
    let (both, added) = (folder_of(&all), folder_of(&all[12..]));
    let learning = quick_learning(&FOLDER.join("all-learned"));
    for (name, learning) in [("all-raw", None), ("all-learned", Some(learning))] {
        let whole = fit(name, both.path(), learning);
        let folder = scratch();
        let part = folder.path().join("part.bundle");
        cut(&whole, 12, &part);
        assert_eq!(Bundle::open(&part).unwrap().method().references(), 12);
        let probe = file(&defective(220), &format!("{name}.png"));
        assert_ne!(judge_file(&part, &probe).score, judge_file(&whole, &probe).score);

        let after = update(&part, &adding(added.path()), &mut Quiet).unwrap().after;
        let expected = read_manifest(&whole).unwrap();
        for file in [BANK, GRAPH] {
            let bytes = |bundle: &Path| std::fs::read(bundle.join(file)).unwrap();
            assert!(bytes(&part) == bytes(&whole), "{name}: {file}");
        }
        assert_eq!((after.training.images, after.training.date.as_str()), (16, "2025-02-02"));
        let hashes = |bundle: &Path| -> Vec<String> {
            learned(bundle).images().iter().map(|image| image.sha256.clone()).collect()
        };
        assert_eq!(hashes(&part), hashes(&whole));
        let without_date = |mut manifest: Manifest| {
            manifest.training.date.clear();
            // The new images have other names in it.
            manifest.files.remove(IMAGES).unwrap();
            manifest.files.remove(TRAINING_SCORES).unwrap();
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
fn a_pipeline_follows_its_bundle() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(wide(), &bundle);
    let probe = file(&defective(230), "cpr-follow-probe.png");
    let old = judge_file(&bundle, &probe);
    let description = format!("addetect name=detect model={} follow=true", bundle.display());
    let line = Line::playing(&description, &info_of(&defective(230)));
    assert_eq!(score(&line.pass(&defective(230), 0)), old.score);
    let mut number = 0;
    let mut until = |what: &str, expected: f64| {
        pipeline::wait_until(what, || {
            number += 1;
            score(&line.pass(&defective(230), number)) == expected
        });
    };

    let new = folder_of(&(240..246).map(defective).collect::<Vec<_>>());
    update(&bundle, &adding(new.path()), &mut Quiet).unwrap();
    let judged = judge_file(&bundle, &probe);
    assert_ne!(judged.score, old.score);
    until("the new bundle", judged.score);
    let told = line.messages(&[gst::MessageType::Element]);
    let told: Vec<&gst::StructureRef> = told
        .iter()
        .filter_map(|message| message.structure())
        .filter(|structure| structure.name() == "anomaly-model")
        .collect();
    let [told] = told[..] else { panic!("one bundle has taken over, told {}: {told:?}", told.len()) };
    let manifest = gstanomaly::bundle::read_manifest(&bundle).unwrap();
    assert_eq!(told.get::<u64>("images").unwrap(), manifest.training.images as u64);
    assert_eq!(told.get::<f64>("threshold").unwrap(), manifest.calibration.threshold);
    assert_eq!(told.get::<&str>("model").unwrap(), bundle.display().to_string());
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());

    // What cannot be used is said once, and the bundle that runs stays.
    std::fs::write(bundle.join(MANIFEST), "no manifest").unwrap();
    let warning = line.expect_warning();
    assert!(warning.contains("the old model stays") && warning.contains(MANIFEST), "{warning}");
    until("the same bundle", judged.score);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());

    // What is there without being followed waits until somebody asks.
    line.element("detect").set_property("follow", false);
    std::fs::remove_dir_all(&bundle).unwrap();
    copy(wide(), &bundle);
    std::thread::sleep(std::time::Duration::from_secs(3));
    until("the same bundle", judged.score);
    line.element("detect").set_property("follow", true);
    until("the first bundle again", old.score);
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
    assert!(
        error.contains("npad cannot be updated") && error.contains("only those of cpr, patchcore, hetmm;"),
        "{error}"
    );
}

/// The files of a bundle.
fn content(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(bundle).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn images_that_a_bundle_knows_are_left_out() {
    let few = folder_of(&(0..4).map(good).collect::<Vec<_>>());
    // One new, the same again under another name, and three that it has learned from.
    let new: Vec<_> = [300, 300, 0, 1, 3].into_iter().map(good).collect();
    let (new, known) = (folder_of(&new), folder_of(&new[..3]));
    // Nobody could read it when it was added with the others, either.
    std::fs::write(known.path().join("broken.png"), "no image").unwrap();
    for (name, method) in UPDATED {
        let bundle = fit_method(method, &format!("known-{name}"), &[], Some(few.path())).unwrap();
        let mut notes = Notes::default();
        let after = update(&bundle, &adding(new.path()), &mut notes).unwrap().after;
        assert_eq!(after.training.images, 5, "{name}");
        assert!(
            notes.0.iter().any(|note| note.contains("4 of 5 images are left out")),
            "{name}: {:?}",
            notes.0
        );
        let learned = learned(&bundle);
        assert_eq!(learned.images().len(), 5, "{name}");
        let last = &learned.images()[4];
        assert_eq!(
            (last.name().as_str(), &last.sha256),
            ("000.png", &hash_file(&new.path().join("000.png")).unwrap())
        );

        let before = content(&bundle);
        let mut notes = Notes::default();
        let again =
            update(&bundle, &UpdateOptions { strict: false, ..adding(known.path()) }, &mut notes).unwrap();
        assert_eq!((again.added, again.after.training.images), (0, 5), "{name}");
        for part in ["3 of 4 images are left out", "broken.png"] {
            assert!(notes.0.iter().any(|note| note.contains(part)), "{name}: {:?}", notes.0);
        }
        assert!(content(&bundle) == before, "{name}: nothing is new, and nothing changes");
        let error = update(&bundle, &adding(known.path()), &mut Quiet).unwrap_err().to_string();
        assert!(error.contains("broken.png"), "{name}: {error}");
    }
}

#[test]
fn what_an_older_version_made_can_be_updated_too() {
    let folder = scratch();
    let bundle = folder.path().join("old.bundle");
    copy(wide(), &bundle);
    std::fs::remove_file(bundle.join(IMAGES)).unwrap();
    let mut manifest = read_manifest(&bundle).unwrap();
    manifest.files.remove(IMAGES).unwrap();
    std::fs::remove_file(bundle.join(TRAINING_SCORES)).unwrap();
    manifest.files.remove(TRAINING_SCORES).unwrap();
    manifest.training.settings = None;
    std::fs::write(bundle.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let new = folder_of(&[good(310)]);
    let mut notes = Notes::default();
    let after = update(&bundle, &adding(new.path()), &mut notes).unwrap().after;
    assert_eq!(after.training.images, manifest.training.images + 1);
    assert!(notes.0.iter().any(|note| note.contains("does not say which images")), "{:?}", notes.0);
    for list in [IMAGES, TRAINING_SCORES] {
        assert!(!after.files.contains_key(list) && !bundle.join(list).exists(), "{list}");
    }
}

#[test]
fn a_link_to_a_bundle_stays_one() {
    let folder = scratch();
    let (bundle, link) = (folder.path().join("of-today"), folder.path().join("links/current"));
    copy(wide(), &bundle);
    std::fs::create_dir(folder.path().join("links")).unwrap();
    std::os::unix::fs::symlink(&bundle, &link).unwrap();
    let new = folder_of(&[good(330)]);
    // As a shell completes it.
    let completed = PathBuf::from(format!("{}/", link.display()));
    let after = update(&completed, &adding(new.path()), &mut Quiet).unwrap().after;
    assert!(link.is_symlink());
    assert_eq!(read_manifest(&bundle).unwrap().training.images, after.training.images);
    let left = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!((left(folder.path()), left(&folder.path().join("links"))), (2, 1));
}

#[test]
fn a_bundle_is_changed_by_one_at_a_time_and_a_spoilt_list_is_named() {
    let folder = scratch();
    let bundle = folder.path().join("part.bundle");
    copy(wide(), &bundle);
    let new = folder_of(&[good(320)]);
    let before = content(&bundle);
    let somebody = Exclusive::lock(&bundle).unwrap();
    let error = update(&bundle, &adding(new.path()), &mut Quiet).unwrap_err().to_string();
    assert!(error.contains("part.bundle") && error.contains("another program"), "{error}");
    assert!(content(&bundle) == before);
    drop(somebody);

    let list = bundle.join(IMAGES);
    let fails = |part: &str| {
        let error = update(&bundle, &adding(new.path()), &mut Quiet).unwrap_err().to_string();
        assert!(error.contains(IMAGES) && error.contains(part), "{error}");
    };
    std::fs::write(&list, "x".repeat(before[IMAGES].len())).unwrap();
    fails("line 1");
    std::fs::write(&list, "cut").unwrap();
    fails("bytes, found 3");
    std::fs::remove_file(&list).unwrap();
    fails("is missing");
    std::fs::write(&list, &before[IMAGES]).unwrap();
    update(&bundle, &adding(new.path()), &mut Quiet).unwrap();
}
