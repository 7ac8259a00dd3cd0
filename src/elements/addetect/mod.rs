//! `addetect`: the three elements that inspect in one bin, with queues between them so that frames overlap across cores.
//!
//! ```text
//! gst-launch-1.0 v4l2src ! videoconvert ! addetect model=bottle.bundle ! adoverlay ! videoconvert ! autovideosink
//! ```

mod imp;

glib::wrapper! {
    /// The bin.
    pub struct AdDetect(ObjectSubclass<imp::AdDetect>) @extends gst::Bin, gst::Element, gst::Object, @implements gst::ChildProxy;
}

pub(super) fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(
        Some(plugin),
        "addetect",
        gst::Rank::NONE,
        <AdDetect as glib::types::StaticType>::static_type(),
    )
}
