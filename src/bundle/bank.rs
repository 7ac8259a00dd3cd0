//! The tensors of a bundle, read from `bank.safetensors`.

use super::{read, sha256};
use crate::error::{Error, Result};
use bytemuck::AnyBitPattern;
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An opened bank. Tensors taken from it keep its memory alive.
#[derive(Debug)]
pub struct Bank {
    path: PathBuf,
    map: Arc<Mmap>,
}

impl Bank {
    /// Reads a bank and checks its header.
    ///
    /// # Errors
    /// If the file cannot be read, or it is not a safetensors file of consistent sizes.
    pub fn open(path: &Path) -> Result<Self> {
        let map = read(path)?;
        SafeTensors::deserialize(&map)
            .map_err(|e| Error::file(path, format!("not a safetensors file: {e}")))?;
        Ok(Self { path: path.to_owned(), map: Arc::new(map) })
    }

    /// SHA-256 of the file, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        sha256(&self.map)
    }

    /// The shape of a tensor, if there is one of that name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let tensors = SafeTensors::deserialize(&self.map).ok()?;
        tensors.tensor(name).ok().map(|tensor| tensor.shape().to_vec())
    }

    /// An f16 tensor of the expected shape, left where it is in the bank.
    ///
    /// # Errors
    /// If it is missing, of another type or shape, or holds a value that is not finite.
    pub fn halves(&self, name: &str, shape: &[usize]) -> Result<Halves> {
        let tensor: Halves = self.mapped(name, Dtype::F16, shape)?;
        // The exponent's bits are all set for infinities and NaN, and for nothing else.
        self.finite(name, tensor, |value| value.to_bits() & 0x7c00 != 0x7c00)
    }

    /// A small tensor as f32 values, whether it is stored as f32 or f16.
    ///
    /// # Errors
    /// As [`Bank::halves`].
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let range = self.locate(name, Dtype::F32, shape)?;
        let values: Vec<f32> =
            self.map[range].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(self.wrong(name, "holds values that are not finite"));
        }
        Ok(values)
    }

    /// A tensor of whole numbers below `limit`.
    ///
    /// # Errors
    /// If it is missing, of another type or shape, or holds a number that is not below `limit`.
    pub fn numbers(&self, name: &str, shape: &[usize], limit: usize) -> Result<Vec<u32>> {
        let range = self.locate(name, Dtype::U32, shape)?;
        let values: Vec<u32> =
            self.map[range].chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match values.iter().find(|&&value| value as usize >= limit) {
            Some(value) => Err(self.wrong(name, &format!("expected numbers below {limit}, found {value}"))),
            None => Ok(values),
        }
    }

    /// An f32 tensor of the expected shape, left where it is in the bank.
    ///
    /// # Errors
    /// As [`Bank::halves`].
    pub fn mapped_floats(&self, name: &str, shape: &[usize]) -> Result<Floats> {
        let tensor: Floats = self.mapped(name, Dtype::F32, shape)?;
        self.finite(name, tensor, |value| value.is_finite())
    }

    /// An i16 tensor of the expected shape, left where it is in the bank.
    ///
    /// # Errors
    /// If it is missing, or of another type or shape.
    pub fn shorts(&self, name: &str, shape: &[usize]) -> Result<Shorts> {
        self.mapped(name, Dtype::I16, shape)
    }

    fn mapped<T: AnyBitPattern>(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Mapped<T>> {
        let range = self.locate(name, dtype, shape)?;
        bytemuck::try_cast_slice::<u8, T>(&self.map[range.clone()])
            .map_err(|e| self.wrong(name, &format!("is not aligned: {e}")))?;
        Ok(Mapped { map: self.map.clone(), range, kind: PhantomData })
    }

    fn finite<T: AnyBitPattern + Sync>(
        &self,
        name: &str,
        tensor: Mapped<T>,
        is_finite: impl Fn(&T) -> bool + Sync,
    ) -> Result<Mapped<T>> {
        match tensor.values().par_chunks(1 << 16).all(|values| values.iter().all(&is_finite)) {
            true => Ok(tensor),
            false => Err(self.wrong(name, "holds values that are not finite")),
        }
    }

    fn locate(&self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Range<usize>> {
        let tensors =
            SafeTensors::deserialize(&self.map).map_err(|e| Error::file(&self.path, e.to_string()))?;
        let tensor = tensors.tensor(name).map_err(|_| self.wrong(name, "is missing"))?;
        if tensor.dtype() != dtype || tensor.shape() != shape {
            return Err(self.wrong(
                name,
                &format!("expected {dtype:?} {shape:?}, found {:?} {:?}", tensor.dtype(), tensor.shape()),
            ));
        }
        let start = tensor.data().as_ptr() as usize - self.map.as_ptr() as usize;
        Ok(start..start + tensor.data().len())
    }

    /// The error that a tensor of this bank is not what it should be.
    pub(crate) fn wrong(&self, name: &str, problem: &str) -> Error {
        Error::file(&self.path, format!("tensor '{name}': {problem}"))
    }
}

/// A tensor where it lies in its bank, checked to be aligned and, where its type can be otherwise, finite.
#[derive(Clone, Debug)]
pub struct Mapped<T> {
    map: Arc<Mmap>,
    range: Range<usize>,
    kind: PhantomData<T>,
}

/// An f32 tensor.
pub type Floats = Mapped<f32>;
/// An f16 tensor.
pub type Halves = Mapped<f16>;
/// An i16 tensor.
pub type Shorts = Mapped<i16>;

impl<T: AnyBitPattern> Mapped<T> {
    /// The values, in row-major order.
    pub fn values(&self) -> &[T] {
        bytemuck::cast_slice(&self.map[self.range.clone()])
    }
}

impl Halves {
    /// The values converted to f32.
    pub fn to_floats(&self) -> Vec<f32> {
        let mut floats = vec![0.0; self.values().len()];
        self.values().convert_to_f32_slice(&mut floats);
        floats
    }
}

/// A whole file of values that this process wrote.
#[cfg(feature = "train")]
impl<T> From<Mmap> for Mapped<T> {
    fn from(map: Mmap) -> Self {
        Self { range: 0..map.len(), map: Arc::new(map), kind: PhantomData }
    }
}
