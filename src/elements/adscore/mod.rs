//! `adscore`: turns distances into an anomaly map, a score, regions and a decision, as metadata and bus messages.
//!
//! The last of the three elements that inspect. What it attaches and what it posts is described in `docs/metadata.md`.
//!
//! ```sh
//! gst-launch-1.0 --messages filesrc location=recording.mp4 ! decodebin ! videoconvert ! adfeatures model=bottle.bundle \
//!     ! queue ! adretrieve ! queue ! adscore min-area=50 hold=3 messages=transitions ! fakesink
//! ```
//!
//! `threshold` and `warn` are raw scores, as `adtrain eval` and the metadata show them. A frame that is not anomalous and scores at least
//! `warn` is in warn: `level` in the metadata is then `warn`. The bundle's warn level keeps its place between 0 and the threshold on the
//! scale of `normalized` where `threshold` is set. `hold` and `min-area` have no part in it. `ignore-mask` may have any size: it is stretched over
//! the frame. A frame whose regions are all smaller than `min-area` is not anomalous; with `hold` the decision changes after as
//! many frames in a row that contradict it.

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
