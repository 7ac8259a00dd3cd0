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
    /// What was said since delivery worked last; without its numbers, which may run.
    said: Vec<String>,
}

/// Reasons that are remembered; more than there are.
const REASONS: usize = 32;

impl Report {
    pub(super) fn new(element: WeakRef<AdPublish>) -> Self {
        Self { element, said: Vec::new() }
    }

    /// Delivery does not work for now: a warning, once for each reason.
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

    /// Delivery that was promised fails: an error, once for each reason. The video goes on if the application lets it.
    pub(super) fn fail(&mut self, trouble: String) {
        self.tell(trouble, |element, text| {
            gst::element_error!(element, gst::ResourceError::Write, ("{text}"));
        });
    }

    fn tell(&mut self, trouble: String, how: impl FnOnce(&AdPublish, &str)) {
        let Some(element) = self.element.upgrade() else { return };
        let reason: String = trouble.chars().filter(|character| !character.is_ascii_digit()).collect();
        if self.said.contains(&reason) {
            gst::debug!(CAT, obj = element, "still: {trouble}");
            return;
        }
        how(&element, &trouble);
        if self.said.len() == REASONS {
            self.said.remove(0);
        }
        self.said.push(reason);
    }

    /// Delivery works: said on the bus if it did not before.
    pub(super) fn well(&mut self, what: impl FnOnce() -> String) {
        if !std::mem::take(&mut self.said).is_empty()
            && let Some(element) = self.element.upgrade()
        {
            gst::element_info!(element, gst::ResourceError::Write, ("{}", what()));
        }
    }
}
