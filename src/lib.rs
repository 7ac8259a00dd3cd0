//! GStreamer elements that find defects in video, and the library beneath them.
//!
//! One cascade serves every method, in the elements and in `adtrain` alike:
//!
//! 1. [`network::FeatureExtractor::extract`]: a frame in, feature maps out;
//! 2. [`methods::Retriever::retrieve`]: features in, distances to the nearest normals out;
//! 3. [`methods::Scorer::score`]: distances in, anomaly map, score and regions out.

pub mod bundle;
pub mod cascade;
#[cfg(feature = "train")]
pub mod dataset;
pub mod elements;
pub mod error;
#[cfg(feature = "train")]
pub mod evaluate;
pub mod frame;
pub mod kernels;
pub mod meta;
pub mod methods;
pub mod network;
pub mod pool;
pub mod text;

pub use error::{Error, Result};

mod plugin {
    #![allow(missing_docs, reason = "the items are those that plugin_define! makes")]

    fn init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::meta::register();
        crate::elements::register(plugin)
    }

    gst::plugin_define!(
        anomaly,
        env!("CARGO_PKG_DESCRIPTION"),
        init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        // GStreamer knows a fixed list of licences; this is its name for MIT, one of the two that users may choose.
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        env!("BUILD_REL_DATE")
    );
}

pub use plugin::plugin_register_static;
