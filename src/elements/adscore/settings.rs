//! The properties of the element.

use super::super::guard;
use super::evidence;
use super::message::Messages;
use gst::prelude::*;
use std::path::PathBuf;

/// What the user has set.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) threshold: f64,
    pub(super) warn: f64,
    pub(super) min_area: f64,
    pub(super) hold: u32,
    pub(super) ignore_mask: Option<PathBuf>,
    pub(super) messages: Messages,
    pub(super) attach_map: bool,
    pub(super) regions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threshold: f64::NAN,
            warn: f64::NAN,
            min_area: 0.0,
            hold: 0,
            ignore_mask: None,
            messages: Messages::Transitions,
            attach_map: true,
            regions: true,
        }
    }
}

impl Settings {
    /// Sets a property.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) {
        match name {
            "threshold" => self.threshold = value.get().expect("checked by GObject"),
            "warn" => self.warn = value.get().expect("checked by GObject"),
            "min-area" => self.min_area = value.get().expect("checked by GObject"),
            "hold" => self.hold = value.get().expect("checked by GObject"),
            "ignore-mask" => self.ignore_mask = guard::file_name(value),
            "messages" => self.messages = value.get().expect("checked by GObject"),
            "attach-map" => self.attach_map = value.get().expect("checked by GObject"),
            "regions" => self.regions = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
    }

    /// Reads a property.
    pub(super) fn get(&self, name: &str) -> glib::Value {
        match name {
            "threshold" => self.threshold.to_value(),
            "warn" => self.warn.to_value(),
            "min-area" => self.min_area.to_value(),
            "hold" => self.hold.to_value(),
            "ignore-mask" => self.ignore_mask.to_value(),
            "messages" => self.messages.to_value(),
            "attach-map" => self.attach_map.to_value(),
            "regions" => self.regions.to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }
}

/// A raw score that may be NaN. GObject refuses that as a default in its constructor, though values may be NaN; so it is put in afterwards.
fn score_property(name: &str, nick: &str, blurb: &str, default: f64) -> glib::ParamSpec {
    let property = glib::ParamSpecDouble::builder(name)
        .nick(nick)
        .blurb(blurb)
        .mutable_playing()
        // NaN is unequal to itself: GObject takes it for a value that it had to correct, and refuses it.
        .lax_validation()
        .build();
    let spec: *mut glib::gobject_ffi::GParamSpecDouble = property.as_ptr().cast();
    // SAFETY: it is a double's specification, and nobody else has seen it yet.
    unsafe { (*spec).default_value = default };
    property
}

/// The element's properties; `addetect` has them too.
pub(in crate::elements) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    let mut properties = vec![
        score_property(
            "threshold",
            "Threshold",
            "Frames with at least this score are anomalous (NaN = the bundle's threshold)",
            default.threshold,
        ),
        score_property(
            "warn",
            "Warn level",
            "Frames with at least this score are in warn where they are not anomalous; never more than the threshold (NaN = the bundle's \
             warn level, which moves in proportion with the threshold)",
            default.warn,
        ),
        glib::ParamSpecDouble::builder("min-area")
            .nick("Minimum area")
            .blurb("Regions of fewer pixels of the frame do not count; a frame without a region that counts is not anomalous")
            .minimum(0.0)
            .default_value(default.min_area)
            .mutable_playing()
            .build(),
        glib::ParamSpecUInt::builder("hold")
            .nick("Hold")
            .blurb("Frames in a row that it takes to change the decision (0 = it changes at once)")
            .default_value(default.hold)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("ignore-mask")
            .nick("Ignore mask")
            .blurb("Image file that covers the frame: where it is black, nothing is inspected")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("messages", default.messages)
            .nick("Messages")
            .blurb("When to post an 'anomaly' message on the bus")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("attach-map")
            .nick("Attach map")
            .blurb("Attach the anomaly map to the result on the frame")
            .default_value(default.attach_map)
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("regions")
            .nick("Regions")
            .blurb("Attach every anomalous region as region-of-interest metadata of type 'anomaly' as well")
            .default_value(default.regions)
            .mutable_playing()
            .build(),
    ];
    properties.extend(evidence::properties());
    properties
}
