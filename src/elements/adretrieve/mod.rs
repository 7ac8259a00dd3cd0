//! `adretrieve`: compares the features of every frame with those of normal images.
//!
//! The second of the three elements that inspect. It takes the bundle from the features that `adfeatures` attached, and posts
//! an error if there are none.
//!
//! ```sh
//! gst-launch-1.0 filesrc location=recording.mp4 ! decodebin ! videoconvert ! adfeatures model=bottle.bundle \
//!     ! queue ! adretrieve neighbours=5 ! queue ! adscore messages=all ! fakesink
//! ```
//!
//! `neighbours` means images with CPR; with PatchCore it means the rows of the bank that re-weight the image score. HETMM and
//! N-pad compare with everything and take 0 alone. A number that the bundle cannot give is an error at the start; while frames flow,
//! whether the number changes or the bundle, it is a warning, and 0 is taken.

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
