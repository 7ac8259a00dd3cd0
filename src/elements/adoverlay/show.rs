//! Flags of what is drawn.
#![allow(missing_docs, reason = "the macro drops the documentation of its constants")]

use gst::glib;

/// What is drawn.
#[glib::flags(name = "GstAdOverlayShow")]
pub enum Show {
    /// The coloured anomaly map.
    #[flags_value(name = "Coloured anomaly map", nick = "heatmap")]
    HEATMAP = 1,
    /// The outline of the map at the threshold.
    #[flags_value(name = "Outline at the threshold", nick = "contour")]
    CONTOUR = 2,
    /// A frame and a score around each anomalous region.
    #[flags_value(name = "Frames and scores of the anomalous regions", nick = "regions")]
    REGIONS = 4,
    /// The badge with verdict and image score.
    #[flags_value(name = "Badge with verdict and image score", nick = "score")]
    SCORE = 8,
}
