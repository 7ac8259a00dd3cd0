//! The elements. They hold settings, negotiate, time and report; everything that is computed lives in the core.

pub mod addetect;
pub mod adfeatures;
pub mod adoverlay;
pub mod adpublish;
pub mod adretrieve;
pub mod adscore;
mod crop;
mod device;
mod guard;
mod latency;
mod missing;
mod timeline;

pub use device::DeviceChoice;
pub use timeline::{Cut, INTERRUPTED};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, whatever happened to the thread that held it before: the values inside are replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who made the elements, for gst-inspect.
const AUTHORS: &str = "The gst-plugin-anomaly developers";

/// All raw video in system memory: what GstVideoConverter reads.
fn raw_video() -> gst::Caps {
    gst_video::VideoCapsBuilder::new().build()
}

/// An always-present sink and source pad for raw video.
fn raw_video_pads() -> Vec<gst::PadTemplate> {
    let caps = raw_video();
    [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
        .into_iter()
        .filter_map(|(name, direction)| {
            gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok()
        })
        .collect()
}

/// Registers every element with the plugin.
pub(crate) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    adfeatures::register(plugin)?;
    adretrieve::register(plugin)?;
    adscore::register(plugin)?;
    adoverlay::register(plugin)?;
    adpublish::register(plugin)?;
    addetect::register(plugin)
}
