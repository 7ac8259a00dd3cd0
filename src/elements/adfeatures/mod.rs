//! `adfeatures`: runs the network of a bundle once per frame.
//!
//! The first of the three elements that inspect. It passes frames through untouched and attaches features for `adretrieve`.
//!
//! ```sh
//! gst-launch-1.0 v4l2src ! videoconvert ! adfeatures model=bottle.bundle ! queue ! adretrieve ! queue ! adscore \
//!     ! adoverlay ! videoconvert ! autovideosink
//! ```
//!
//! `model` may be changed while frames flow, also to the same folder when what is in it has been replaced: the new bundle is
//! loaded beside the running one and takes over between two frames. If it cannot be loaded, a warning is posted and the old
//! one stays. With `follow=true` nobody needs to set it: the folder is looked at every second, and what `adtrain update` or `adtrain
//! calibrate` puts there takes over within a few seconds. Each time an element message `anomaly-model` is posted on the bus.
//!
//! With `threads=0` the network uses all cores that the process may use, and streams of the same bundle in one process share it and take turns; with a
//! number each stream has a network of its own. With `interval` above 1 the frames between carry the last result with
//! `fresh=false`; so do copies that `videorate` has marked. This version runs on the processor alone; a device that is asked for by name and missing is an error.
//!
//! Where the bundle has learned from images of 16 bits, frames of 16 bits (`GRAY16_LE`, `GRAY16_BE`, `ARGB64` and their like) have the same
//! scores as files, in the range of values that the bundle keeps. Frames are inspected as they come: a stream whose tags say that it is to be turned
//! is a warning, and `videoflip video-direction=auto` before this element turns it.

mod admission;
mod follow;
mod imp;
mod model;
mod properties;
mod take_over;

pub(super) use properties::properties;

glib::wrapper! {
    /// The element.
    pub struct AdFeatures(ObjectSubclass<imp::AdFeatures>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "adfeatures",
        gst::Rank::NONE,
        <AdFeatures as glib::types::StaticType>::static_type(),
    )
}
