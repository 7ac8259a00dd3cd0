//! Results that do not arrive, or not whole, where something is to be done with them: said once, with what is likely the reason.

use crate::meta::AnomalyMeta;
use gst::prelude::*;

/// What has been said in a stream.
#[derive(Debug, Default)]
pub(super) struct Missing {
    result: bool,
    places: bool,
}

impl Missing {
    /// A frame has come without a result; `lost` says what cannot be done then, and who needs one.
    pub(super) fn result(&mut self, element: &impl IsA<gst::Element>, buffer: &gst::BufferRef, lost: &str) {
        // A frame of no bytes is none.
        if buffer.size() == 0 || std::mem::replace(&mut self.result, true) {
            return;
        }
        let message = format!(
            "no result on the frame, so nothing is {lost} needs adscore or addetect before it, and nothing between them that drops the result, as \
             videocrop, videobox, videoflip, compositor, encoders and decoders do: put that before addetect"
        );
        gst::element_warning!(element, gst::StreamError::WrongType, ("{message}"));
    }

    /// A frame has come with a result.
    pub(super) fn check_places(&mut self, element: &impl IsA<gst::Element>, buffer: &gst::BufferRef) {
        if !AnomalyMeta::has_lost_places(buffer) || std::mem::replace(&mut self.places, true) {
            return;
        }
        let message = "the result has no places: the frame was scaled to another shape after adscore, with borders or stretched, and where its \
                       regions lie is not known any more; scale before addetect, or keep the shape (the same width, height and \
                       pixel-aspect-ratio in proportion)";
        gst::element_warning!(element, gst::StreamError::WrongType, ("{message}"));
    }
}
