//! Bundles that somebody has spoilt.

use crate::BUNDLE;
use crate::product::{copy, scratch};
use gstanomaly::bundle::{BANK, Bundle, MANIFEST};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::path::Path;

/// A copy of the bundle with one tensor changed (`None`: left out).
fn spoilt(
    name: &str,
    change: impl FnOnce(&mut Dtype, &mut Vec<usize>, &mut Vec<u8>) -> bool,
) -> tempfile::TempDir {
    spoilt_bank(&BUNDLE, name, change)
}

pub fn spoilt_bank(
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
    let file = folder.path().join(BANK);
    std::fs::write(&file, &bank).unwrap();
    // As somebody who means harm would.
    let sha256 = gstanomaly::bundle::hash_file(&file).unwrap();
    edit(folder.path(), |manifest| {
        manifest["files"][BANK]["bytes"] = json!(bank.len());
        manifest["files"][BANK]["sha256"] = json!(sha256);
    });
    folder
}

pub fn edit(bundle: &Path, change: impl FnOnce(&mut Value)) {
    let file = bundle.join(MANIFEST);
    let mut manifest: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(file, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[track_caller]
pub fn refusal(bundle: &Path, parts: &[&str]) {
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
