//! `adpublish`: sends what `adscore` found to a file, standard output, MQTT or Kafka, one JSON object a message.
//!
//! The video passes through untouched and never waits: a thread of its own delivers what a bounded queue holds. What
//! a message says, how a camera that has died shows, and what is promised about delivery is in `docs/publishing.md`.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=recording.mp4 ! decodebin ! videoconvert ! addetect model=bottle.bundle \
//!     ! adpublish camera=line-1 ! fakesink
//! ```

#[cfg(feature = "broker")]
mod address;
mod aside;
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "broker")]
mod config;
mod events;
mod file;
mod imp;
#[cfg(feature = "kafka")]
mod kafka;
mod log_file;
#[cfg(feature = "mqtt")]
mod mqtt;
mod queue;
mod record;
mod report;
mod settings;
mod status;
#[cfg(feature = "broker")]
mod tls;
#[cfg(feature = "broker")]
mod trouble;
mod watch;
mod worker;

pub use settings::{Events, FileFormat, Method};

glib::wrapper! {
    /// The element.
    pub struct AdPublish(ObjectSubclass<imp::AdPublish>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "adpublish",
        gst::Rank::NONE,
        <AdPublish as glib::types::StaticType>::static_type(),
    )
}
