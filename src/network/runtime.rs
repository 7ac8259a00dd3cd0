//! Finding and loading the ONNX Runtime library, once in a process.

use crate::error::{Error, Result};
use ort::environment::Environment;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

const LIBRARY: &str = "libonnxruntime.so";

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
/// Taken while the library is being loaded: two threads must not load it at once.
static LOADING: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime, the first time that it is called.
///
/// Looked for in this order: the file that `ORT_DYLIB_PATH` names (then nowhere else), beside the plugin or
/// program, the project's own download folder, the system.
///
/// # Errors
/// If no library is found, or it is too old, or it is something else; every place looked at is named.
/// A later call tries again.
pub fn load() -> Result<&'static Environment> {
    let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let mut failures = Vec::new();
    for path in candidates() {
        // The bare name is for the system's loader; a path must exist to be worth an attempt.
        if path.components().count() > 1
            && let Err(e) = path.metadata()
        {
            let problem = match e.kind() {
                std::io::ErrorKind::NotFound => "no such file".into(),
                _ => e.to_string(),
            };
            failures.push(format!("{}: {problem}", path.display()));
            continue;
        }
        match ort::init_from(&path) {
            Ok(builder) => {
                let environment = builder.with_name("gst-plugin-anomaly").with_telemetry(false).build()?;
                return Ok(ENVIRONMENT.get_or_init(|| environment));
            }
            Err(e) => failures.push(e.to_string()),
        }
    }
    Err(Error::Runtime(format!(
        "no usable {LIBRARY} (version 1.17 or newer); run script/bootstrap, or install it and name it in ORT_DYLIB_PATH. Tried: {}",
        failures.join("; ")
    )))
}

/// The version of the loaded library, as it describes itself.
///
/// # Errors
/// As [`load`].
pub fn library_version() -> Result<&'static str> {
    load()?;
    Ok(ort::info())
}

fn candidates() -> Vec<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let mut places: Vec<PathBuf> =
        own_file().and_then(|file| Some(file.parent()?.join(LIBRARY))).into_iter().collect();
    places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join(".runtime").join(LIBRARY));
    places.push(LIBRARY.into());
    places.push(format!("{LIBRARY}.1").into());
    places
}

/// The shared object (or program) that this code was loaded from.
fn own_file() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let mut found: libc::Dl_info = empty_dl_info();
    // SAFETY: the address is one of this code's own functions and `found` outlives the call.
    let known =
        unsafe { libc::dladdr(own_file as fn() -> Option<PathBuf> as *const libc::c_void, &raw mut found) };
    if known == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: dladdr succeeded, so the name is a string that lives as long as the object is loaded.
    let name = unsafe { std::ffi::CStr::from_ptr(found.dli_fname) };
    std::fs::canonicalize(std::ffi::OsStr::from_bytes(name.to_bytes())).ok()
}

fn empty_dl_info() -> libc::Dl_info {
    libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    }
}
