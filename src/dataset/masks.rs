//! Masks that say which pixels of a test image are defective.

use crate::error::{Error, Result};
use ndarray::Array2;
use std::path::Path;

/// Reads a mask at the network's size; everything that is not black is defective.
///
/// The mask must have the size of its image. It is sampled at the nearest pixel, so that it stays black and white.
///
/// # Errors
/// If the file is not an image or has another size than `image` (width, height).
pub fn load_mask(path: &Path, image: (u32, u32), (width, height): (u32, u32)) -> Result<Array2<bool>> {
    let mask = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| Error::io(path, e))?
        .decode()
        .map_err(|e| Error::file(path, format!("not a readable image: {e}")))?
        .into_luma8();
    if mask.dimensions() != image {
        let (found_width, found_height) = mask.dimensions();
        return Err(Error::file(
            path,
            format!("the mask is {found_width}x{found_height}, its image {}x{}", image.0, image.1),
        ));
    }
    let nearest =
        |i: usize, from: u32, to: u32| ((i as u64 * 2 + 1) * u64::from(from) / (2 * u64::from(to))) as u32;
    Ok(Array2::from_shape_fn((height as usize, width as usize), |(y, x)| {
        mask.get_pixel(nearest(x, image.0, width), nearest(y, image.1, height)).0[0] > 0
    }))
}
