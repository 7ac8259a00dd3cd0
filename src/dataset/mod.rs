//! Folders of images: an MVTec-style category, or, for fitting, any folder of good images.
//!
//! A category has `train/good`, `test/good`, `test/DEFECT`, and `ground_truth/DEFECT/NAME_mask.png` (or `NAME.png`, or several in a folder
//! `NAME`) in which everything that is not background is defective. Case does not matter, `ok` and `normal` mean `good`, too, and folders
//! in these are looked into. MVTec LOCO, MVTec AD 2 and VisA are read as they are published.

mod images;
pub(crate) mod layout;
mod masks;
pub mod synthetic;
mod testing;
mod training;
mod video;
mod visa;

pub use images::{IMAGE_EXTENSIONS, find_images, find_images_and_others, is_image, list_images};
pub use layout::{GOOD, GOOD_NAMES, is_good};
pub use masks::{at_input, load_mask, read_masks};
pub use testing::{Defect, TestImage, defect_images, expect_good_and_defective, test_images};
pub use training::{Found, folder_images, training_images};
pub use video::{Findings, Gap, Jump, Length, Track, VIDEO_EXTENSIONS, VideoFrame, VideoFrames, is_video};
