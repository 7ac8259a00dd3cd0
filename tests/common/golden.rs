//! The golden files: tensors and expected results that the methods' official code made.
//!
//! They come from images that may not be passed on, so they lie outside of the repository: in the folder that `GOLDEN_DIR`
//! names, or in `../shared/golden`. Where there is none, tests on them say so and pass.

#![allow(dead_code, reason = "each test uses a part")]

use half::f16;
use safetensors::{Dtype, SafeTensors};
use std::io::Write;
use std::path::PathBuf;

/// One golden file in memory.
pub struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    /// Reads `NAME.safetensors`; `None`, with a word on the terminal, if the golden files are not here.
    #[allow(clippy::explicit_write, reason = "the test harness keeps eprintln to itself when a test passes")]
    pub fn open(name: &str) -> Option<Self> {
        let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/golden");
        let folder = std::env::var_os("GOLDEN_DIR").map_or_else(default, PathBuf::from);
        let file = folder.join(name).with_extension("safetensors");
        match std::fs::read(&file) {
            Ok(bytes) => Some(Self { name: name.into(), bytes }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let file = file.display();
                writeln!(std::io::stderr(), "skipped: no {file}; GOLDEN_DIR names the golden files' folder")
                    .unwrap();
                None
            }
            Err(e) => panic!("{}: {e}", file.display()),
        }
    }

    /// Reads a golden file that is part of the repository.
    pub fn fixture(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let file = folder.join(name).with_extension("safetensors");
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        Self { name: name.into(), bytes }
    }

    fn tensor(&self, name: &str, dtypes: &[Dtype]) -> (Dtype, Vec<usize>, Vec<u8>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name));
        assert!(dtypes.contains(&tensor.dtype()), "{}: {name} is {:?}", self.name, tensor.dtype());
        (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec())
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).unwrap().shape().to_vec()
    }

    /// A tensor of f32 or f16 values.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let (dtype, _, bytes) = self.tensor(name, &[Dtype::F32, Dtype::F16]);
        match dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect(),
            _ => bytes.chunks_exact(2).map(|b| f16::from_le_bytes(b.try_into().unwrap()).to_f32()).collect(),
        }
    }

    /// A tensor of f64 values.
    pub fn doubles(&self, name: &str) -> Vec<f64> {
        let (_, _, bytes) = self.tensor(name, &[Dtype::F64]);
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// A tensor of bytes.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.tensor(name, &[Dtype::U8]).2
    }

    /// A tensor of whole numbers, none below zero.
    pub fn integers(&self, name: &str) -> Vec<usize> {
        self.signed(name).into_iter().map(|value| value.try_into().unwrap()).collect()
    }

    /// A tensor of whole numbers.
    pub fn signed(&self, name: &str) -> Vec<i64> {
        let (_, _, bytes) = self.tensor(name, &[Dtype::I64]);
        bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// `[C, H, W]` to `[H, W, C]`.
pub fn channel_last(values: &[f32], channels: usize) -> Vec<f32> {
    let places = values.len() / channels;
    (0..places).flat_map(|place| (0..channels).map(move |c| values[c * places + place])).collect()
}

/// The largest absolute difference.
pub fn difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let differences = found.iter().zip(expected).map(|(&f, &e)| (f64::from(f) - f64::from(e)).abs());
    // f64::max would pass over a NaN.
    differences.fold(0.0, |most, d| if d <= most { most } else { d })
}

/// Says how far `found` is from `expected` at most, and fails if that is more than `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let most = difference(found, expected);
    println!("{what}: largest difference {most:.3e}, tolerance {tolerance:.1e}");
    assert!(most <= tolerance, "{what}: {most:e} > {tolerance:e}");
}
