//! Bundles can be learned on other processors than the developers' and say the same on them: qemu's processors fit, predict and run a
//! pipeline.

#![cfg(all(feature = "train", target_arch = "x86_64"))]

#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::Manifest;
use gstanomaly::methods::fitting::Progress;
use gstanomaly::methods::{Descriptor, METHODS};
use gstanomaly::network::Precision;
use product::{FitOptions, Quiet, defective, file, good, options, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: (u32, u32) = (128, 96);
/// Without AVX; with AVX2, and without instructions for products of bytes; with all that qemu has.
const PROCESSORS: [&str; 3] = ["Nehalem", "Haswell-noTSX", "max"];
/// How far scores may lie apart, as docs/methods.md has it.
const TOLERANCE: f64 = 1e-4;

type Fit = fn(&FitOptions, &Path, &mut dyn Progress) -> gstanomaly::Result<Manifest>;

/// Every method in every precision, with the settings that make it small.
fn each() -> impl Iterator<Item = (&'static str, Fit, Precision)> {
    let precisions = |method: &&Descriptor| {
        let (name, fit): (_, Fit) = (method.name, method.training.fit);
        [Precision::F32, Precision::Int8].map(|precision| (name, fit, precision))
    };
    METHODS.iter().flat_map(precisions)
}

/// Settings that `adtrain fit` has for a method, too.
fn set(method: &str) -> Vec<(String, String)> {
    match method {
        "npad" => vec![("channels".into(), "20".into())],
        _ => Vec::new(),
    }
}

/// A bundle that this processor has fitted.
fn fitted(folder: &Path, (name, fit, precision): (&str, Fit, Precision)) -> PathBuf {
    let bundle = folder.join(format!("{name}-{precision:?}"));
    fit(&FitOptions { set: set(name), precision, ..options(name, SIZE) }, &bundle, &mut Quiet).unwrap();
    bundle
}

/// A program as this processor runs it, or one of qemu's.
fn on(processor: Option<&str>, program: &str) -> Command {
    let mut command = match processor {
        None => Command::new(program),
        Some(processor) => {
            let mut command = Command::new("qemu-x86_64");
            command.args(["-cpu", processor, program]);
            command
        }
    };
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime/libonnxruntime.so");
    let runtime = std::env::var_os("ORT_DYLIB_PATH").unwrap_or_else(|| runtime.into());
    command.env("ORT_DYLIB_PATH", runtime);
    command
}

/// What a program prints; it must succeed.
fn output(mut command: Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; script/bootstrap --dev installs qemu-user"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The score of an image file.
fn score(bundle: &Path, image: &Path, processor: Option<&str>) -> f64 {
    let mut command = on(processor, env!("CARGO_BIN_EXE_adtrain"));
    command.args(["predict", "--threads", "1", "--model"]).arg(bundle).arg(image);
    let line = output(command);
    line.split('\t').nth(1).and_then(|score| score.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Scores may lie so far apart and no farther.
fn assert_near(there: f64, here: f64, what: &str) {
    assert!(here > 0.0 && (there / here - 1.0).abs() <= TOLERANCE, "{what}: {there}, here {here}");
}

#[test]
fn every_processor_gives_the_same_scores() {
    let folder = scratch();
    let image = file(&defective(1001), "bad.png");
    for (name, fit, precision) in each() {
        let bundle = fitted(folder.path(), (name, fit, precision));
        let here = score(&bundle, &image, None);
        for processor in PROCESSORS {
            let there = score(&bundle, &image, Some(processor));
            assert_near(there, here, &format!("{name} {precision:?} on {processor}"));
        }
    }
}

#[test]
fn every_processor_runs_pipelines() {
    let folder = scratch();
    let plugin = "libgstanomaly.so";
    let built = std::env::current_exe().unwrap().with_file_name(plugin);
    std::os::unix::fs::symlink(built, folder.path().join(plugin)).unwrap();
    let image = file(&defective(1002), "pipeline.png");
    let on = |processor, program: &str| {
        let mut command = on(processor, program);
        command.env("GST_PLUGIN_PATH", folder.path()).env("GST_REGISTRY", folder.path().join("registry.bin"));
        command
    };
    // This processor lists the plugins, which takes qemu's much longer.
    output(on(None, "gst-inspect-1.0"));
    let launch = output({
        let mut which = Command::new("sh");
        which.args(["-c", "command -v gst-launch-1.0"]);
        which
    });
    for (name, fit, precision) in each() {
        let bundle = fitted(folder.path(), (name, fit, precision));
        let run = |processor| {
            let mut command = on(processor, launch.trim());
            command.env("GST_REGISTRY_UPDATE", "no").arg("-q").args([
                "filesrc",
                &format!("location={}", image.display()),
                "!",
                "pngdec",
                "!",
                "addetect",
                &format!("model={}", bundle.display()),
                "threads=1",
                "!",
                "adpublish",
                "!",
                "fakesink",
            ]);
            let message: serde_json::Value = serde_json::from_str(&output(command)).unwrap();
            message["score"].as_f64().unwrap()
        };
        let here = run(None);
        for processor in PROCESSORS {
            assert_near(run(Some(processor)), here, &format!("{name} {precision:?} on {processor}"));
        }
    }
}

#[test]
fn every_processor_fits_bundles() {
    let folder = scratch();
    let images = folder.path().join("good");
    std::fs::create_dir(&images).unwrap();
    (0..5).for_each(|seed| good(seed).save(images.join(format!("{seed}.png"))).unwrap());
    let [other, bad] = [file(&good(1003), "other.png"), file(&defective(1003), "fitted.png")];
    for (name, _, precision) in each() {
        for processor in PROCESSORS {
            let what = format!("{name} {precision:?} on {processor}");
            let bundle = folder.path().join(&what);
            let mut command = on(Some(processor), env!("CARGO_BIN_EXE_adtrain"));
            command
                .args(["fit", "--threads", "1", "--size", "128x96", "--method", name, "--data"])
                .arg(&images);
            command.arg("--precision").arg(if precision.is_f32() { "f32" } else { "int8" });
            set(name)
                .iter()
                .for_each(|(name, value)| _ = command.arg("--set").arg(format!("{name}={value}")));
            command.arg("--out").arg(&bundle);
            output(command);
            let here = score(&bundle, &bad, None);
            assert_near(score(&bundle, &bad, Some(processor)), here, &what);
            let good = score(&bundle, &other, None);
            assert!(here > good, "{what}: defective {here}, good {good}");
        }
    }
}
