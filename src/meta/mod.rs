//! Metadata on buffers: what the elements hand to each other, and what they say to everyone.

#[cfg(feature = "analytics")]
pub mod analytics;
mod anomaly;
mod carried;

pub use anomaly::{AnomalyMeta, MapPlace, RegionInfo};
pub(crate) use anomaly::{region_list, regions_of, text};
pub use carried::{Carried, FeaturesMeta, RetrievalMeta};

/// Registers every kind of metadata; called once when the plugin is loaded.
pub fn register() {
    anomaly::register();
    FeaturesMeta::register();
    RetrievalMeta::register();
}
