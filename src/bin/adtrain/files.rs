//! Files that a verb writes: looked after before the work, and whole or not there at all.

use crate::arguments::folder_around;
use anyhow::Context;
use gstanomaly::evaluate::{UNFINISHED, write_atomically};
use std::path::Path;

/// An error if a file could not be written to this place.
pub fn expect_writable(file: &Path) -> anyhow::Result<()> {
    // Standard output as a file, and the like.
    if file.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Ok(());
    }
    let folder = folder_around(file);
    if let Err(e) = folder.metadata()
        && e.kind() == std::io::ErrorKind::NotFound
    {
        anyhow::bail!("{}: there is no folder {} to write it to", file.display(), folder.display());
    }
    anyhow::ensure!(!file.is_dir(), "{}: is a folder; name a file", file.display());
    // What writing it will do, but for the last step.
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(&folder)
        .map(drop)
        .with_context(|| format!("{}: cannot be written", file.display()))
}

/// Writes a file in one step.
pub fn write(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_atomically(file, |to| std::io::Write::write_all(to, content)).context(file.display().to_string())
}
