//! GStreamer elements that find defects in video, and the library beneath them.

#[cfg(feature = "train")]
pub mod evaluate;
