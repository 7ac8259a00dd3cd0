//! `adretrieve`: compares the features of every frame with those of normal images.
//!
//! The second of the three elements that inspect. It takes the bundle from the features that `adfeatures` attached.

mod imp;

pub(super) use imp::neighbours_property;

glib::wrapper! {
    /// The element.
    pub struct AdRetrieve(ObjectSubclass<imp::AdRetrieve>) @extends gst_base::BaseTransform, gst::Element, gst::Object;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "adretrieve",
        gst::Rank::NONE,
        <AdRetrieve as glib::types::StaticType>::static_type(),
    )
}
