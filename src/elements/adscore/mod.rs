//! `adscore`: turns distances into an anomaly map, a score, regions and a decision, as metadata and bus messages.
//!
//! The last of the three elements that inspect. What it attaches is described in `docs/metadata.md`.

mod decision;
mod evidence;
mod imp;
mod map;
mod message;
mod scored;
mod settings;

pub use evidence::Format as EvidenceFormat;
pub use message::{AnomalyMessage, Messages, Transition};

pub(super) use settings::properties;

glib::wrapper! {
    /// The element.
    pub struct AdScore(ObjectSubclass<imp::AdScore>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "adscore",
        gst::Rank::NONE,
        <AdScore as glib::types::StaticType>::static_type(),
    )
}
