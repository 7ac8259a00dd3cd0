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
pub mod error;
#[cfg(feature = "train")]
pub mod evaluate;
pub mod frame;
pub mod kernels;
pub mod methods;
pub mod network;
pub mod pool;

pub use error::{Error, Result};
