//! `adoverlay`: draws what adscore found onto the picture.
//!
//! A heat map over the places that look unusual, an outline where the map passes the threshold, a frame and a score
//! around each region, and a badge with the verdict. Good parts stay the plain picture with a calm
//! green badge. A frame in warn is drawn like a good one, but for the badge, which is amber and has an edge; on anomalous frames badge
//! and edge are red.
//!
//! The drawing is handed on as a `GstVideoOverlayComposition` where downstream takes it, and blended here otherwise.
//! Frames without a `GstAnomalyMeta` pass untouched, and the first one posts a warning.
//!
//! ```sh
//! gst-launch-1.0 v4l2src ! videoconvert ! addetect model=bottle.bundle ! adoverlay ! videoconvert ! autovideosink
//! ```
//!
//! Everything can be changed while playing, here another palette and no heat map on good parts:
//!
//! ```sh
//! gst-launch-1.0 filesrc location=recording.mp4 ! decodebin ! videoconvert ! addetect model=bottle.bundle \
//!     ! adoverlay colormap=viridis opacity=0.6 only-anomalous=true show=heatmap+contour+score \
//!     ! videoconvert ! openh264enc ! h264parse ! mp4mux ! filesink location=inspected.mp4
//! ```

mod area;
mod badge;
mod canvas;
mod colormap;
mod contour;
mod draw;
mod heatmap;
mod imp;
mod map;
mod negotiation;
mod qos;
mod regions;
mod show;
mod style;

pub(super) use draw::{Painter, Settings};
pub use show::Show;

use gst::glib;
use gst::prelude::*;

glib::wrapper! {
    /// The element.
    pub struct AdOverlay(ObjectSubclass<imp::AdOverlay>) @extends gst::Element, gst::Object;
}

/// Colours of the heat map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAdOverlayColormap")]
#[non_exhaustive]
pub enum Colormap {
    /// Blue over green to red, with even steps; the usual look.
    #[default]
    #[enum_value(name = "Turbo: blue over green to red, even steps", nick = "turbo")]
    Turbo,
    /// Blue over green to red, as in many papers.
    #[enum_value(name = "Jet: blue over green to red, as in many papers", nick = "jet")]
    Jet,
    /// Black over red to yellow; safe for colour-blind people.
    #[enum_value(name = "Inferno: black over red to yellow, colour-blind safe", nick = "inferno")]
    Inferno,
    /// Violet over green to yellow; safe for colour-blind people.
    #[enum_value(name = "Viridis: violet over green to yellow, colour-blind safe", nick = "viridis")]
    Viridis,
}

/// What the ends of the colour map stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAdOverlayRange")]
#[non_exhaustive]
pub enum Range {
    /// Normalised values: the middle of the colours is always the threshold, good parts stay calm.
    #[default]
    #[enum_value(name = "Fixed: the middle is always the threshold", nick = "fixed")]
    Fixed,
    /// Smallest to largest value of each frame: shows where a good part is least usual.
    #[enum_value(name = "Auto: smallest to largest value of each frame", nick = "auto")]
    Auto,
}

/// Registers the element.
///
/// # Errors
/// If GStreamer refuses the name.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    gst::Element::register(Some(plugin), "adoverlay", gst::Rank::NONE, AdOverlay::static_type())
}
