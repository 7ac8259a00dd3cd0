//! Banks that are searched through an index.

use crate::damage::{edit, refusal, spoilt_bank};
use crate::pipeline::{Line, chain, info_of, score};
use crate::product::{FOLDER, copy, defective, file, good, judge_file, scratch};
use crate::{add, fit};
use gstanomaly::bundle::{BANK, Bundle, read_manifest};
use safetensors::Dtype;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const APPROXIMATE: (&str, &str) = ("index.kind", "\"approximate\"");

/// The same images with half of their patches and an index.
static INDEXED: LazyLock<PathBuf> =
    LazyLock::new(|| fit("indexed", 0..12, &[("coreset", "0.5"), APPROXIMATE]).0);

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
