//! The GStreamer elements.

pub mod adoverlay;
