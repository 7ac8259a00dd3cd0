//! Bundles say the same on other processors than the one that they were learned on: adtrain judges an image as qemu's processors compute.

#![cfg(all(feature = "train", target_arch = "x86_64"))]

#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::Manifest;
use gstanomaly::methods::fitting::Progress;
use gstanomaly::methods::{cpr, hetmm, npad, patchcore};
use gstanomaly::network::Precision;
use product::{FitOptions, Quiet, defective, file, options, scratch};
use std::path::Path;
use std::process::Command;

const SIZE: (u32, u32) = (128, 96);
/// Without AVX; with AVX2, and without instructions for products of bytes; with all that qemu has.
const PROCESSORS: [&str; 3] = ["Nehalem", "Haswell-noTSX", "max"];
/// How far scores may lie apart, as docs/methods.md has it.
const TOLERANCE: f64 = 1e-4;

type Fit = fn(&FitOptions, &Path, &mut dyn Progress) -> gstanomaly::Result<Manifest>;

/// The score of an image, as this processor computes it or one of qemu's.
fn score(bundle: &Path, image: &Path, processor: Option<&str>) -> f64 {
    let adtrain = env!("CARGO_BIN_EXE_adtrain");
    let mut command = match processor {
        None => Command::new(adtrain),
        Some(processor) => {
            let mut command = Command::new("qemu-x86_64");
            command.args(["-cpu", processor, adtrain]);
            command
        }
    };
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/libonnxruntime.so");
    let runtime = std::env::var_os("ORT_DYLIB_PATH").unwrap_or_else(|| runtime.into());
    command
        .args(["predict", "--threads", "1", "--model"])
        .arg(bundle)
        .arg(image)
        .env("ORT_DYLIB_PATH", runtime);
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; script/bootstrap --dev installs qemu-user"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{processor:?}: {}: {said}", output.status);
    let line = String::from_utf8(output.stdout).unwrap();
    line.split('\t').nth(1).and_then(|score| score.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn every_processor_gives_the_same_scores() {
    let folder = scratch();
    let image = file(&defective(1001), "bad.png");
    let methods: [(&str, Fit); 4] =
        [("cpr", cpr::fit), ("patchcore", patchcore::fit), ("hetmm", hetmm::fit), ("npad", npad::fit)];
    for (name, fit) in methods {
        for precision in [Precision::F32, Precision::Int8] {
            let bundle = folder.path().join(format!("{name}-{precision:?}"));
            let set = match name {
                "npad" => vec![("channels".into(), "20".into())],
                _ => Vec::new(),
            };
            fit(&FitOptions { set, precision, ..options(name, SIZE) }, &bundle, &mut Quiet).unwrap();
            let here = score(&bundle, &image, None);
            assert!(here > 0.0, "{name} {precision:?}");
            for processor in PROCESSORS {
                let there = score(&bundle, &image, Some(processor));
                let apart = (there / here - 1.0).abs();
                assert!(apart <= TOLERANCE, "{name} {precision:?} on {processor}: {there}, here {here}");
            }
        }
    }
}
