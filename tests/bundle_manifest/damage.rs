//! Random damage to every file of a bundle.

use super::attempt;
use super::product::{copy, scratch, square, wide};
use gstanomaly::bundle::{BANK, GRAPH, MANIFEST};
use proptest::prelude::*;
use std::path::Path;

/// Cases of the random damage; more by PROPTEST_CASES.
fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

/// Damages a file of a bundle at places given as shares of its length. Whatever comes of it, it comes back.
fn survives(bundle: &Path, name: &str, flips: &[(f64, u8)], near: usize) {
    let folder = scratch();
    copy(bundle, folder.path());
    let file = folder.path().join(name);
    let mut content = std::fs::read(&file).unwrap();
    let reach = content.len().min(near);
    for &(place, value) in flips {
        let at = (place * reach as f64) as usize;
        content[at.min(reach - 1)] = value;
    }
    std::fs::write(&file, content).unwrap();
    if let Err(e) = attempt(folder.path()) {
        assert!(e.to_string().contains(folder.path().to_str().unwrap()), "it names no file: {e}");
    }
}

fn damage() -> impl Strategy<Value = Vec<(f64, u8)>> {
    proptest::collection::vec((0f64..1.0, any::<u8>()), 1..4)
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn a_damaged_manifest_is_survived(flips in damage()) {
        survives(square(), MANIFEST, &flips, usize::MAX);
    }

    #[test]
    fn a_damaged_bank_is_survived(flips in damage(), header in any::<bool>()) {
        survives(wide(), BANK, &flips, if header { 400 } else { usize::MAX });
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_damaged_graph_is_survived(flips in damage(), start in any::<bool>()) {
        survives(square(), GRAPH, &flips, if start { 4000 } else { usize::MAX });
    }
}
