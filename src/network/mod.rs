//! The network of a bundle: finding ONNX Runtime, running a graph on a device, and (for fitting)
//! building the graph from a backbone.

mod cores;
mod device;
mod features;
mod precision;
mod runtime;
mod session;

#[cfg(feature = "train")]
pub mod backbone;
#[cfg(feature = "train")]
pub mod graph;
#[cfg(feature = "train")]
pub mod onnx;
#[cfg(feature = "train")]
pub mod quantise;

pub use cores::cores;
pub use device::Device;
pub use features::{FeatureExtractor, FeatureMap, Features};
pub use precision::Precision;
pub use runtime::{library_version, load as load_runtime};
pub(crate) use session::lock;
pub use session::{Network, OutputSpec, SharedNetwork};
