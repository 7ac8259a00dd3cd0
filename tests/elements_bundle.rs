//! Bundles whose files are written to while they are in use: never a good part that is none, never the end of the process.

#![cfg(feature = "train")]

#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::{BANK, Bundle, GRAPH, open_shared};
use gstanomaly::frame::load_picture;
use gstanomaly::methods::{Retriever, Scorer, hetmm, npad, patchcore};
use gstanomaly::network::{Device, FeatureExtractor};
use pipeline::{Line, chain, failure_at_start, info_of, score, wait_until};
use product::{copy, defective, file, fit_method, good, scratch, square, wide};
use std::io::{Seek, Write};
use std::path::Path;

/// Writes into a file that stays the same one, as `cp` and `rsync --inplace` do.
fn overwrite(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.rewind().unwrap();
    file.write_all(&bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
}

type Damage = fn(&mut Vec<u8>);
const DAMAGES: [(&str, Damage); 6] = [
    ("not numbers", |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0xff)
    }),
    ("zeros", |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0)
    }),
    ("other numbers", |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].reverse()
    }),
    ("a single bit", |bytes| {
        let last = bytes.len() - 2;
        bytes[last] ^= 1
    }),
    ("half", |bytes| {
        let half = bytes.len() / 2;
        bytes.truncate(half)
    }),
    ("nothing", |bytes| bytes.clear()),
];

#[test]
fn a_bundle_in_use_stays_what_it_was_and_a_damaged_one_does_not_start() {
    for name in [BANK, GRAPH] {
        for (what, damage) in DAMAGES {
            let folder = scratch();
            copy(square(), folder.path());
            let line = Line::playing(&chain(folder.path()), &info_of(&good(1)));
            let before = score(&line.pass(&defective(1), 0));
            overwrite(&folder.path().join(name), damage);
            for number in 1..4 {
                assert_eq!(score(&line.pass(&defective(1), number)), before, "{name}: {what}");
            }
            assert!(line.error().is_none());
            let message = failure_at_start(&chain(folder.path()), &info_of(&good(1)));
            assert!(message.contains(name), "{name}: {what}: {message}");
        }
    }
}

#[test]
fn a_running_bundle_that_is_overwritten_is_reported_and_not_taken_over() {
    let folder = scratch();
    copy(square(), folder.path());
    let description = chain(folder.path()).replace("adfeatures", "adfeatures follow=true");
    let line = Line::playing(&description, &info_of(&good(1)));
    let before = score(&line.pass(&defective(1), 0));
    overwrite(&folder.path().join(BANK), |bytes| {
        let half = bytes.len() / 2;
        bytes[half..].fill(0);
    });
    let warning = line.expect_warning();
    assert!(warning.contains(BANK) && warning.contains("old model stays"), "{warning}");
    assert_eq!(score(&line.pass(&defective(1), 1)), before);
    // Put right again, it is taken over.
    std::fs::copy(square().join(BANK), folder.path().join(BANK)).unwrap();
    let mut number = 2;
    wait_until("the bundle takes over", || {
        number += 1;
        assert_eq!(score(&line.pass(&defective(1), number)), before);
        let taken = |message: &gst::Message| message.structure().is_some_and(|s| s.name() == "anomaly-model");
        line.messages(&[gst::MessageType::Element]).iter().any(taken)
    });
}

/// Whatever a method is handed: what leads to no finite score is an error, for no comparison with a threshold would notice.
#[test]
fn a_score_that_is_no_number_is_an_error() {
    let bundles = [
        square().to_owned(),
        wide().to_owned(),
        fit_method(patchcore::fit, "finite-patchcore", &[], None).unwrap(),
        fit_method(hetmm::fit, "finite-hetmm", &[], None).unwrap(),
        fit_method(npad::fit, "finite-npad", &[], None).unwrap(),
    ];
    let picture = load_picture(&file(&defective(3), "finite.png")).unwrap();
    for path in bundles {
        let bundle = open_shared(&path).unwrap();
        let network = bundle.network(Device::Cpu, 0).unwrap();
        let mut extractor = FeatureExtractor::new(bundle.clone(), network, picture.info(), None).unwrap();
        let features = extractor.extract(&picture.frame().unwrap()).unwrap();
        let retrieve = || Retriever::new(bundle.clone()).retrieve(&features, 0).unwrap();
        let judge = |retrieval| Scorer::new(bundle.clone()).score(&retrieval, &Default::default());
        judge(retrieve()).unwrap();
        let maps = retrieve().found.distances.len();
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for map in 0..maps {
                for all in [true, false] {
                    let mut retrieval = retrieve();
                    let values = &mut retrieval.found.distances[map].values;
                    let places = if all { 0..values.len() } else { values.len() / 2..values.len() / 2 + 1 };
                    values[places].fill(wrong);
                    // Where the method does not use the value, the result is that of the frame.
                    if let Ok(anomaly) = judge(retrieval) {
                        assert!(
                            anomaly.score.is_finite() && anomaly.anomalous,
                            "{}: {wrong} in map {map}",
                            path.display()
                        );
                    }
                }
            }
        }
        let mut retrieval = retrieve();
        retrieval.found.distances[0].values.fill(f32::NAN);
        let error = judge(retrieval).unwrap_err().to_string();
        assert!(error.contains("finite"), "{error}");
    }
}

#[test]
fn a_bundle_needs_all_its_files_to_be_its_own() {
    let folder = scratch();
    copy(square(), folder.path());
    Bundle::open(folder.path()).unwrap();
    // The bank of another fit: of the right form, and not this bundle's.
    overwrite(&folder.path().join(BANK), |bytes| {
        let last = bytes.len() - 1;
        bytes[last] ^= 0x01;
    });
    let error = Bundle::open(folder.path()).unwrap().network(Device::Cpu, 0).unwrap_err().to_string();
    assert!(error.contains(BANK) && error.contains("sha256"), "{error}");
}
