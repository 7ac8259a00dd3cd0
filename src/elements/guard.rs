//! What setting a property comes to, the same for all elements: a value is taken, or it is refused out loud.
//!
//! A property can hold any bytes, and a line of gst-launch sets it long before anybody listens: what was refused then is an error when
//! the element starts.

use gst::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stands before an element's properties.
#[derive(Debug, Default)]
pub(super) struct Guard {
    started: AtomicBool,
    /// By property, why its last value was refused before the start.
    refused: Mutex<BTreeMap<String, String>>,
}

impl Guard {
    /// Takes over a property's value with `set`, which says why if it cannot. A property that counts at the start alone keeps its value
    /// afterwards.
    pub(super) fn set(
        &self,
        element: &impl IsA<gst::Element>,
        pspec: &glib::ParamSpec,
        set: impl FnOnce() -> Result<(), String>,
    ) {
        let name = pspec.name();
        let started = self.started.load(Ordering::Acquire);
        let at_any_time = gst::PARAM_FLAG_MUTABLE_PAUSED | gst::PARAM_FLAG_MUTABLE_PLAYING;
        let result = match started && !pspec.flags().intersects(at_any_time) {
            true => Err("it can be set before the start alone, in the states NULL and READY".into()),
            false => set(),
        };
        let mut refused = super::lock(&self.refused);
        match result {
            Ok(()) => {
                refused.remove(name);
            }
            Err(problem) => {
                if !started {
                    refused.insert(name.into(), problem.clone());
                }
                drop(refused);
                gst::element_warning!(
                    element,
                    gst::ResourceError::Settings,
                    ("{name}: {problem}; it stays as it was")
                );
            }
        }
    }

    /// Starts with `start`, unless a value was refused that nobody has replaced.
    pub(super) fn start(
        &self,
        start: impl FnOnce() -> Result<(), gst::ErrorMessage>,
    ) -> Result<(), gst::ErrorMessage> {
        // From here on, as `start` reads the properties: none of them can change afterwards.
        self.started.store(true, Ordering::Release);
        let refused = super::lock(&self.refused);
        let problems: Vec<String> =
            refused.iter().map(|(name, problem)| format!("{name}: {problem}")).collect();
        drop(refused);
        let result = match problems.is_empty() {
            true => start(),
            false => Err(gst::error_msg!(gst::ResourceError::Settings, ("{}", problems.join("; ")))),
        };
        self.started.store(result.is_ok(), Ordering::Release);
        result
    }

    /// From now on everything can be set again.
    pub(super) fn stop(&self) {
        self.started.store(false, Ordering::Release);
    }
}

/// The value of a property that is a file's name, of whatever bytes.
pub(super) fn file_name(value: &glib::Value) -> Option<PathBuf> {
    value.get().expect("checked by GObject")
}

/// The value of a property that is text.
///
/// # Errors
/// If it is not UTF-8.
pub(super) fn text(value: &glib::Value) -> Result<Option<String>, String> {
    let bytes = file_name(value).map(PathBuf::into_os_string);
    bytes
        .map(|bytes| bytes.into_string())
        .transpose()
        .map_err(|bytes| format!("expected text in UTF-8, found {bytes:?}"))
}

/// The name of an object; what is not UTF-8 in it is replaced.
pub(super) fn name_of(object: &impl IsA<gst::Object>) -> String {
    let name = file_name(&object.property_value("name"));
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The id of a stream; what is not UTF-8 in it is replaced.
pub(super) fn stream_id(start: &gst::event::StreamStart) -> String {
    let id = start.structure().and_then(|structure| structure.get::<PathBuf>("stream-id").ok());
    id.map(|id| id.to_string_lossy().into_owned()).unwrap_or_default()
}
