//! How good a bundle is: metrics of its scores and maps, and the report that shows them.

pub mod components;
pub mod metrics;
pub mod pixels;
