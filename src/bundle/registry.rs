//! One process loads a bundle once, however many elements use it.

use super::{Bundle, Version};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// A bundle that was replaced on disk is another bundle.
type Key = (PathBuf, Version);

static OPEN: LazyLock<Mutex<HashMap<Key, Weak<Bundle>>>> = LazyLock::new(Mutex::default);

/// Opens a bundle, or returns the one that somebody in this process has open already.
///
/// # Errors
/// As [`Bundle::open`].
pub fn open_shared(path: &Path) -> Result<Arc<Bundle>> {
    let Ok(key) = key(path) else {
        // Opening it says best what is wrong.
        return Bundle::open(path).map(Arc::new);
    };
    // The lock is held while opening: of two streams that start at once one opens, the other gets the result.
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|_, bundle| bundle.strong_count() > 0);
    if let Some(bundle) = open.get(&key).and_then(Weak::upgrade) {
        return Ok(bundle);
    }
    let bundle = Arc::new(Bundle::open(path)?);
    open.insert(key, Arc::downgrade(&bundle));
    Ok(bundle)
}

fn key(path: &Path) -> Result<Key> {
    let path = std::fs::canonicalize(path).map_err(|e| Error::io(path, e))?;
    let version = Version::of(&path)?;
    Ok((path, version))
}
