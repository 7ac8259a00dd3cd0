//! `adfeatures`: runs the network of a bundle once per frame.
//!
//! The first of the three elements that inspect. It passes frames through untouched and attaches features for `adretrieve`.
//!
//! ```text
//! gst-launch-1.0 v4l2src ! videoconvert ! adfeatures model=bottle.bundle ! queue ! adretrieve ! queue ! adscore \
//!     ! adoverlay ! videoconvert ! autovideosink
//! ```

mod imp;

pub(super) use imp::properties;

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
