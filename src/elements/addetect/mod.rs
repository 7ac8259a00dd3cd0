//! `addetect`: the three elements that inspect in one bin, with queues between them so that frames overlap across cores.
//!
//! ```sh
//! gst-launch-1.0 v4l2src ! videoconvert ! addetect model=bottle.bundle ! adoverlay ! videoconvert ! autovideosink
//! ```
//!
//! It is `adfeatures ! queue ! adretrieve ! queue ! adscore` with all their properties, which mean the same here and there;
//! `device` is that of both, network and search. What it attaches and what it posts is described in `docs/metadata.md`.

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
