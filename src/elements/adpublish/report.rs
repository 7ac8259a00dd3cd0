//! What the delivering thread tells the application, on the bus.

use super::AdPublish;
use glib::WeakRef;
use std::sync::LazyLock;

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new("adpublish", gst::DebugColorFlags::empty(), Some("Publishing of anomaly results"))
});

/// Says every trouble once, and when it is over.
pub(super) struct Report {
    element: WeakRef<AdPublish>,
    trouble: Option<String>,
}

impl Report {
    pub(super) fn new(element: WeakRef<AdPublish>) -> Self {
        Self { element, trouble: None }
    }

    /// Delivery does not work for now: a warning, unless it is the one given last.
    #[cfg(feature = "broker")]
    pub(super) fn warn(&mut self, trouble: String) {
        self.tell(trouble, |element, text| {
            gst::element_warning!(element, gst::ResourceError::Write, ("{text}"));
        });
    }

    /// Something beside the messages does not work: a warning.
    #[cfg(feature = "kafka")]
    pub(super) fn remark(&self, text: &str) {
        if let Some(element) = self.element.upgrade() {
            gst::element_warning!(element, gst::ResourceError::Write, ("{text}"));
        }
    }

    /// Delivery that was promised fails: an error, unless it is the one given last. The video goes on if the application lets it.
    pub(super) fn fail(&mut self, trouble: String) {
        self.tell(trouble, |element, text| {
            gst::element_error!(element, gst::ResourceError::Write, ("{text}"));
        });
    }

    fn tell(&mut self, trouble: String, how: impl FnOnce(&AdPublish, &str)) {
        let Some(element) = self.element.upgrade() else { return };
        if self.trouble.as_ref() == Some(&trouble) {
            gst::debug!(CAT, obj = element, "still: {trouble}");
            return;
        }
        how(&element, &trouble);
        self.trouble = Some(trouble);
    }

    /// Delivery works: said on the bus if it did not before.
    pub(super) fn well(&mut self, what: impl FnOnce() -> String) {
        if self.trouble.take().is_some()
            && let Some(element) = self.element.upgrade()
        {
            gst::element_info!(element, gst::ResourceError::Write, ("{}", what()));
        }
    }
}
