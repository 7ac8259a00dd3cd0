//! Room for what does not fit in memory.

use crate::error::{Error, Result};
use half::f16;
use half::slice::HalfFloatSliceExt;
use memmap2::Mmap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Values written to an unnamed temporary file, to be mapped when they are complete.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    file: BufWriter<File>,
    halves: Vec<f16>,
}

impl Spool {
    /// An empty spool in `folder`.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|e| Error::io(folder, e))?;
        Ok(Self { folder: folder.to_owned(), file: BufWriter::new(file), halves: Vec::new() })
    }

    /// Appends values, rounded to f16.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push_halves(&mut self, values: &[f32]) -> Result<()> {
        self.halves.resize(values.len(), f16::ZERO);
        self.halves.convert_from_f32_slice(values);
        self.file.write_all(bytemuck::cast_slice(&self.halves)).map_err(|e| Error::io(&self.folder, e))
    }

    /// Appends values as they are.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn push<T: bytemuck::NoUninit>(&mut self, values: &[T]) -> Result<()> {
        self.file.write_all(bytemuck::cast_slice(values)).map_err(|e| Error::io(&self.folder, e))
    }

    /// Everything that was appended.
    ///
    /// # Errors
    /// If it cannot be written out or mapped.
    pub fn finish(self) -> Result<Mmap> {
        let file = self.file.into_inner().map_err(|e| Error::io(&self.folder, e.into_error()))?;
        // SAFETY: the file has no name: nobody else can change it.
        unsafe { Mmap::map(&file) }.map_err(|e| Error::io(&self.folder, e))
    }
}
