//! Pictures small enough for a page.

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

/// An image whose longer side is `longest` at most.
pub fn reduce(image: RgbImage, longest: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= longest {
        return image;
    }
    let side = |side: u32| (u64::from(side) * u64::from(longest) / u64::from(longer)).max(1) as u32;
    imageops::resize(&image, side(width), side(height), FilterType::Triangle)
}

/// The bytes of a JPEG file.
pub fn jpeg(image: &RgbImage, quality: u8) -> image::ImageResult<Vec<u8>> {
    let mut bytes = Vec::new();
    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_fits_and_the_other_keeps_a_pixel() {
        let reduced = |width, height| reduce(RgbImage::new(width, height), 40).dimensions();
        assert_eq!(reduced(40, 30), (40, 30));
        assert_eq!(reduced(400, 100), (40, 10));
        assert_eq!(reduced(2, 4000), (1, 40));
    }
}
