//! From a video frame to the tensor that the network sees.
//!
//! The elements and `adtrain` use this one path (GstVideoConverter, then normalisation), which is why
//! the score of an image is the same number in both.

mod geometry;
mod load;
mod preprocess;
mod rgb;
mod roi;

pub use geometry::{Fit, Geometry, Rect};
pub use load::{Picture, load_picture};
pub use preprocess::{InputSpec, Preprocessor};
pub use rgb::RgbReader;
pub use roi::Roi;
