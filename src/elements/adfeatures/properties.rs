//! The properties of adfeatures, and the settings that they are of.

use super::super::guard;
use super::model::Settings;
use crate::frame::Roi;
use gst::prelude::*;

/// The element's properties; `addetect` has them too.
pub(in crate::elements) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecString::builder("model")
            .nick("Model")
            .blurb("Folder of the bundle that adtrain made; a new one is loaded beside the running one and takes over between two frames")
            .mutable_playing()
            .build(),
        glib::ParamSpecEnum::builder_with_default("device", default.device)
            .nick("Device")
            .blurb("Where the network runs; a device that is asked for by name and missing is an error")
            .mutable_ready()
            .build(),
        glib::ParamSpecInt::builder("device-id")
            .nick("Device number")
            .blurb("Which of several cards")
            .minimum(0)
            .default_value(default.device_id)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("threads")
            .nick("Threads")
            .blurb("Threads of the network, as many as there are cores at most (0 = all cores that this process may use, shared with other streams of the same bundle)")
            .maximum(1024)
            .default_value(default.threads)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("interval")
            .nick("Interval")
            .blurb("Inspect every so many frames (1 = every frame); the others carry the last result, marked as not fresh")
            .minimum(1)
            .default_value(default.interval)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("roi")
            .nick("Region of interest")
            .blurb("Part of the frame to inspect, \"x,y,w,h\" in pixels, or \"x%,y%,w%,h%\" (empty = the whole frame)")
            .mutable_playing()
            .build(),
        glib::ParamSpecBoolean::builder("follow")
            .nick("Follow the bundle")
            .blurb("Take over a bundle that is put in the place of the one that runs, as 'adtrain update' and 'adtrain calibrate' do, between two frames")
            .default_value(default.follow)
            .mutable_playing()
            .build(),
        glib::ParamSpecString::builder("active-device")
            .nick("Active device")
            .blurb("The device that really runs, empty before the start")
            .read_only()
            .build(),
        glib::ParamSpecDouble::builder("inference-time")
            .nick("Inference time")
            .blurb("Mean time of a frame in milliseconds")
            .minimum(0.0)
            .read_only()
            .build(),
    ]
}

impl Settings {
    /// Takes over the value of a property.
    ///
    /// # Errors
    /// If it cannot be used, with what was expected.
    pub fn set(&mut self, property: &str, value: &glib::Value) -> Result<(), String> {
        match property {
            "model" => self.model = guard::file_name(value),
            "device" => self.device = value.get().expect("checked by GObject"),
            "device-id" => self.device_id = value.get().expect("checked by GObject"),
            "threads" => self.threads = value.get().expect("checked by GObject"),
            "interval" => self.interval = value.get().expect("checked by GObject"),
            "roi" => {
                let text = guard::text(value)?.filter(|text| !text.is_empty());
                let roi = text.map(|text| text.parse::<Roi>()).transpose();
                self.roi = roi.map_err(|e| e.to_string())?;
            }
            "follow" => self.follow = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
        Ok(())
    }

    /// The value of a property.
    pub fn get(&self, property: &str) -> glib::Value {
        match property {
            "model" => self.model.to_value(),
            "device" => self.device.to_value(),
            "device-id" => self.device_id.to_value(),
            "threads" => self.threads.to_value(),
            "interval" => self.interval.to_value(),
            "roi" => self.roi.map(|roi| roi.to_string()).to_value(),
            "follow" => self.follow.to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }
}
