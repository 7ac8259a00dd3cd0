//! Masks that say which pixels of a test image are defective.

use crate::error::{Error, Result};
use crate::frame::Geometry;
use ndarray::Array2;
use std::path::Path;

/// Reads the mask of `image` at the network's resolution; everything that is not black is defective.
///
/// The result covers the part of the input that shows the image, `geometry.target`: rows x columns. The mask must have
/// the size of its image. It is sampled at the nearest pixel, so that it stays black and white.
///
/// # Errors
/// If the file is not an image or has another size than the frame of `geometry`.
pub fn load_mask(path: &Path, image: &Path, geometry: &Geometry) -> Result<Array2<bool>> {
    let mask = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| Error::io(path, e))?
        .decode()
        .map_err(|e| Error::file(path, format!("not a readable image: {e}")))?
        .into_luma8();
    if mask.dimensions() != geometry.frame {
        let ((width, height), (image_width, image_height)) = (mask.dimensions(), geometry.frame);
        return Err(Error::file(
            path,
            format!(
                "the mask is {width}x{height}, its image {} {image_width}x{image_height}",
                image.display()
            ),
        ));
    }
    Ok(at_input(geometry, |x, y| mask.get_pixel(x, y).0[0] > 0))
}

/// A mask of the frame at the network's resolution: the part of the input that shows the image, rows x columns, each sampled at the nearest
/// pixel of the frame, for which `is_defective(x, y)` is asked.
pub fn at_input(geometry: &Geometry, is_defective: impl Fn(u32, u32) -> bool) -> Array2<bool> {
    let Geometry { source, target, .. } = *geometry;
    let nearest =
        |i: usize, from: u32, to: u32| ((i as u64 * 2 + 1) * u64::from(from) / (2 * u64::from(to))) as u32;
    Array2::from_shape_fn((target.height as usize, target.width as usize), |(y, x)| {
        let x = source.x + nearest(x, source.width, target.width);
        let y = source.y + nearest(y, source.height, target.height);
        is_defective(x, y)
    })
}
