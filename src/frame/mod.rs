//! From a video frame to the tensor that the network sees.
//!
//! The elements and `adtrain` use this one path (GstVideoConverter, then normalisation), which is why
//! the score of an image is the same number in both.

mod file;
mod geometry;
mod load;
mod mask;
mod preprocess;
mod range;
mod rgb;
mod roi;
mod traits;

pub use file::{Header, MAX_PIXELS, Traits, max_pixels, read_header, set_max_pixels};
pub use geometry::{Fit, Geometry, Rect};
pub use load::{Picture, load_picture};
pub use mask::Mask;
pub use preprocess::{InputSpec, Preprocessor};
pub use range::ValueRange;
pub use rgb::RgbReader;
pub use roi::Roi;
pub use traits::TraitCounts;
