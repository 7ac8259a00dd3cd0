//! The lists that a bundle keeps beside its graph and its bank.

use super::{FileInfo, MANIFEST, RESTORE, regular};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The path and the content of the list `name` of the bundle in the folder `bundle`, whose manifest has these `files`; none where that
/// has no such list. A list has `most` bytes at most.
///
/// # Errors
/// If it is missing though it should be there, is not as long as the manifest says, or cannot be read.
pub(super) fn read_listed(
    bundle: &Path,
    name: &str,
    files: &BTreeMap<String, FileInfo>,
    most: u64,
) -> Result<Option<(PathBuf, Vec<u8>)>> {
    let Some(listed) = files.get(name) else { return Ok(None) };
    let file = bundle.join(name);
    let found = match file.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::file(&file, format!("is missing, though {MANIFEST} lists it")));
        }
        found => regular(&file, found.map_err(|e| Error::io(&file, e))?)?.len(),
    };
    if found != listed.bytes || found > most {
        let expected = listed.bytes.min(most);
        return Err(Error::file(&file, format!("expected {expected} bytes, found {found}; {RESTORE}")));
    }
    let content = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
    Ok(Some((file, content)))
}
