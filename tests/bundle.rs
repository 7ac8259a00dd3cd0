//! A bundle is untrusted input: whatever is in its files, opening it and scoring with it returns, and an error names the
//! file, what was expected and what was found.

#![cfg(feature = "train")]

#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::{BANK, Bundle, GRAPH, MANIFEST};
use gstanomaly::frame::Picture;
use gstanomaly::methods::ScoreOptions;
use gstanomaly::network::graph::GraphBuilder;
use gstanomaly::network::onnx::DataType;
use product::{copy, defective, judge, scratch, square, wide};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens a bundle and scores a frame with it.
fn attempt(path: &Path) -> gstanomaly::Result<f64> {
    let bundle = Arc::new(Bundle::open(path)?);
    let image = defective(3);
    let picture = Picture::from_rgb(image.width(), image.height(), image.as_raw())?;
    judge(bundle, &picture, &ScoreOptions::default()).map(|anomaly| anomaly.score)
}

/// The message with which a bundle is refused; it names `file`.
fn refusal(path: &Path, file: &str) -> String {
    let what = format!("{}", path.join(file).display());
    let message = attempt(path).expect_err("it is accepted").to_string();
    assert!(message.starts_with(what.trim_end_matches('/')), "{message}");
    assert!(message.len() > what.len() + 10, "{message}");
    message
}

/// A bundle of which a test spoils its own copy.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn of(bundle: &Path) -> Self {
        let folder = scratch();
        copy(bundle, folder.path());
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }

    /// Writes a file and lists its new size, as somebody who means harm would.
    fn write(&self, name: &str, content: &[u8]) {
        std::fs::write(self.file(name), content).unwrap();
        if name != MANIFEST {
            self.edit(|manifest| manifest["files"][name]["bytes"] = json!(content.len()));
        }
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest: Value = serde_json::from_slice(&self.read(MANIFEST)).unwrap();
        change(&mut manifest);
        std::fs::write(self.file(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    /// Rewrites the bank with one tensor changed (`None`: left out).
    fn edit_tensor(
        &self,
        name: &str,
        change: impl FnOnce(Dtype, Vec<usize>, Vec<u8>) -> Option<(Dtype, Vec<usize>, Vec<u8>)>,
    ) {
        let content = self.read(BANK);
        let bank = SafeTensors::deserialize(&content).unwrap();
        let mut change = Some(change);
        let tensors: Vec<_> = bank
            .tensors()
            .into_iter()
            .filter_map(|(found, tensor)| {
                let (dtype, shape, bytes) = (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec());
                let kept =
                    if found == name { change.take()?(dtype, shape, bytes)? } else { (dtype, shape, bytes) };
                Some((found, kept))
            })
            .collect();
        assert!(change.is_none(), "the bank has no {name}");
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        self.write(BANK, &safetensors::serialize(views, None).unwrap());
    }
}

#[test]
fn the_untouched_copies_work() {
    for bundle in [square(), wide()] {
        assert!(attempt(Copy::of(bundle).path()).unwrap() > 0.0);
    }
}

#[test]
fn what_is_not_a_folder_with_a_manifest_is_refused() {
    let folder = scratch();
    let message = refusal(&folder.path().join("missing"), "");
    assert!(message.contains("no such folder") && message.contains("adtrain fit"), "{message}");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let message = refusal(&file, "");
    assert!(message.contains("expected a folder") && message.contains("adtrain fit"), "{message}");
    let message = refusal(folder.path(), "");
    assert!(message.contains("has no bundle.json") && message.contains("adtrain fit"), "{message}");
}

#[test]
fn what_may_not_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    for name in [MANIFEST, GRAPH, BANK] {
        let bundle = Copy::of(square());
        std::fs::set_permissions(bundle.file(name), PermissionsExt::from_mode(0o000)).unwrap();
        if std::fs::read(bundle.file(name)).is_ok() {
            eprintln!("this user may read everything: not tested");
            return;
        }
        assert!(refusal(bundle.path(), name).contains("ermission denied"));
    }
}

#[test]
fn missing_files_are_refused() {
    for name in [GRAPH, BANK] {
        let bundle = Copy::of(square());
        std::fs::remove_file(bundle.file(name)).unwrap();
        assert!(refusal(bundle.path(), name).contains("No such file"));
    }
}

#[test]
fn things_in_the_place_of_files_are_refused_without_waiting() {
    for name in [MANIFEST, GRAPH, BANK] {
        let bundle = Copy::of(square());
        std::fs::remove_file(bundle.file(name)).unwrap();
        std::fs::create_dir(bundle.file(name)).unwrap();
        refusal(bundle.path(), name);
        std::fs::remove_dir(bundle.file(name)).unwrap();
        // Reading a pipe that nobody writes to would wait for ever, and this device never ends.
        let made = std::process::Command::new("mkfifo").arg(bundle.file(name)).status().unwrap();
        assert!(made.success());
        if name != MANIFEST {
            bundle.edit(|manifest| manifest["files"][name]["bytes"] = json!(0));
        }
        assert!(refusal(bundle.path(), name).contains("file"));
        std::fs::remove_file(bundle.file(name)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", bundle.file(name)).unwrap();
        assert!(refusal(bundle.path(), name).contains("file"));
    }
}

#[test]
fn truncated_files_are_refused() {
    for name in [MANIFEST, GRAPH, BANK] {
        let whole = Copy::of(square()).read(name);
        for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 2] {
            let bundle = Copy::of(square());
            // Once as it happens, with the size still listed.
            std::fs::write(bundle.file(name), &whole[..length]).unwrap();
            let message = refusal(bundle.path(), name);
            if name != MANIFEST {
                assert!(
                    message.contains(&format!("expected {} bytes, found {length}", whole.len())),
                    "{message}"
                );
            }
            // Once with the size corrected.
            bundle.write(name, &whole[..length]);
            let cut_graph = name == GRAPH && length == whole.len() - 2;
            if !cut_graph {
                refusal(bundle.path(), name);
            }
        }
    }
}

#[test]
fn foreign_files_are_refused() {
    let png = std::fs::read(product::file(&defective(1), "foreign.png")).unwrap();
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    })
    .take(20_000)
    .collect();
    for name in [MANIFEST, GRAPH, BANK] {
        let bundle = Copy::of(square());
        for content in [&png, &noise, &b"{}".to_vec(), &b"[1, 2]".to_vec(), &vec![0; 4096]] {
            bundle.write(name, content);
            refusal(bundle.path(), name);
            copy(square(), bundle.path());
        }
    }
    // Files of another bundle, whose sizes and shapes are different.
    for name in [GRAPH, BANK] {
        let bundle = Copy::of(square());
        bundle.write(name, &Copy::of(wide()).read(name));
        let message = refusal(bundle.path(), name);
        assert!(message.contains("expect"), "{message}");
    }
    let bundle = Copy::of(square());
    bundle.write(MANIFEST, &Copy::of(wide()).read(MANIFEST));
    assert!(refusal(bundle.path(), GRAPH).contains("bytes"));
}

#[test]
fn a_graph_that_does_not_fit_the_bank_is_refused() {
    type Outputs = Vec<(&'static str, DataType, Vec<usize>)>;
    let graph = |input: &[usize], outputs: &Outputs| {
        let mut graph = GraphBuilder::identity(&[("image", input)]);
        for (name, element, shape) in outputs {
            graph.output(name, "image", *element, shape);
        }
        graph.finish().unwrap()
    };
    let image = [1, 3, 64, 64];
    let right = || vec![("local_0", DataType::Float, image.to_vec())];
    for (input, outputs, expected) in [
        (&image[..], vec![("other", DataType::Float, image.to_vec())], "no output 'local_0'"),
        (&image[..], right(), "output 'local_0': the bank expects"),
        (
            &[1, 1, 64, 64],
            vec![("local_0", DataType::Float, vec![1, 1, 64, 64])],
            "expected f32 [1, 3, 64, 64]",
        ),
        (
            &[1, 3, 64, 32],
            vec![("local_0", DataType::Float, vec![1, 3, 64, 32])],
            "expected f32 [1, 3, 64, 64]",
        ),
        (&[3, 64, 64], vec![("local_0", DataType::Float, vec![3, 64, 64])], "expected f32 [1, 3, 64, 64]"),
    ] {
        let bundle = Copy::of(square());
        bundle.write(GRAPH, &graph(input, &outputs));
        let message = refusal(bundle.path(), GRAPH);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_bank_with_other_tensors_is_refused() {
    for (bundle, tensors) in [
        (square(), &["local_0", "local_1", "histograms"][..]),
        (wide(), &["local_0", "local_1", "histograms", "foreground"]),
    ] {
        for name in tensors {
            let spoilt = Copy::of(bundle);
            spoilt.edit_tensor(name, |_, _, _| None);
            let message = refusal(spoilt.path(), BANK);
            assert!(message.contains(&format!("'{name}'")) && message.contains("missing"), "{message}");

            let spoilt = Copy::of(bundle);
            spoilt.edit_tensor(name, |dtype, shape, bytes| {
                Some((if dtype == Dtype::F16 { Dtype::BF16 } else { Dtype::I32 }, shape, bytes))
            });
            let message = refusal(spoilt.path(), BANK);
            assert!(message.contains(&format!("'{name}': expected F")), "{message}");

            let spoilt = Copy::of(bundle);
            spoilt.edit_tensor(name, |dtype, mut shape, bytes| {
                shape.swap(0, 1);
                shape.push(1);
                Some((dtype, shape, bytes))
            });
            let message = refusal(spoilt.path(), BANK);
            assert!(
                message.contains(&format!("'{name}': expected F")) && message.contains("found"),
                "{message}"
            );
        }
    }
}

#[test]
fn features_that_are_not_finite_are_no_good_part() {
    for bundle in [square(), wide()] {
        let error = product::overflow(bundle);
        assert!(error.contains("not finite numbers"), "{error}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let halves =
        [half::f16::NAN, half::f16::INFINITY, half::f16::NEG_INFINITY].map(|v| v.to_le_bytes().to_vec());
    let floats = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].map(|v| v.to_le_bytes().to_vec());
    for (name, values) in
        [("local_0", &halves), ("local_1", &halves), ("histograms", &floats), ("foreground", &floats)]
    {
        for value in values {
            for last in [false, true] {
                let bundle = Copy::of(wide());
                bundle.edit_tensor(name, |dtype, shape, mut bytes| {
                    let at = if last { bytes.len() - value.len() } else { 0 };
                    bytes[at..at + value.len()].copy_from_slice(value);
                    Some((dtype, shape, bytes))
                });
                let message = refusal(bundle.path(), BANK);
                assert!(message.contains(name) && message.contains("not finite"), "{message}");
            }
        }
    }
}

/// A safetensors file with a header of one's own.
fn bank_with_header(length: u64, header: &str, data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn a_lying_header_of_the_bank_is_refused() {
    let tensor = |dtype: &str, shape: &str, end: u64| {
        format!(r#"{{"local_0":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let honest = tensor("F16", "[16,8,8,40]", 81920);
    let data = vec![0u8; 81920];
    for (length, header) in [
        (0, honest.as_str()),
        (u64::MAX, honest.as_str()),
        (1 << 40, honest.as_str()),
        (honest.len() as u64 - 1, honest.as_str()),
        (honest.len() as u64 + 1, honest.as_str()),
        (honest.len() as u64, honest.as_str()),
    ] {
        let bundle = Copy::of(square());
        bundle.write(BANK, &bank_with_header(length, header, &data));
        refusal(bundle.path(), BANK);
    }
    for header in [
        tensor("F16", "[16,8,8,40]", 1 << 50),
        tensor("F16", "[18446744073709551615,2,2,2]", 81920),
        tensor("F16", "[4294967296,4294967296,4294967296,1]", 81920),
        tensor("F16", "[-1,8,8,40]", 81920),
        tensor("F99", "[16,8,8,40]", 81920),
        tensor("F16", "[]", 81920),
        tensor("F16", "[16,8,8,40]", 0),
        honest.replace("[0,81920]", "[81920,0]"),
        honest.replace("local_0", "lo\\u0000cal"),
        "{".repeat(5000),
    ] {
        let bundle = Copy::of(square());
        bundle.write(BANK, &bank_with_header(header.len() as u64, &header, &data));
        let message = refusal(bundle.path(), BANK);
        assert!(!message.contains('\0'), "{message:?}");
    }
}

#[test]
fn tensors_that_are_not_aligned_are_refused_or_read_right() {
    // The header's length decides where the data begin: at an odd place here.
    let bundle = Copy::of(square());
    let content = bundle.read(BANK);
    let length = u64::from_le_bytes(content[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&content[8..8 + length]).unwrap().trim_end();
    let padded = format!("{header}{}", " ".repeat((header.len() + 1) % 2));
    bundle.write(BANK, &bank_with_header(padded.len() as u64, &padded, &content[8 + length..]));
    let message = refusal(bundle.path(), BANK);
    assert!(message.contains("align"), "{message}");
}
