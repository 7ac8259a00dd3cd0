//! Laying a fill over an image where a mask says so.

use image::RgbImage;
use ndarray::ArrayView2;

/// A value of the image under a fill, before it is cut to whole numbers.
pub fn mixed(image: u8, fill: u8, opacity: f64) -> f64 {
    opacity * f64::from(fill) + (1.0 - opacity) * f64::from(image)
}

/// Lays `fill` over `image` where `mask` is true; values are truncated as in the authors' code.
///
/// # Panics
/// If the sizes differ.
pub fn blend(image: &RgbImage, fill: &RgbImage, mask: ArrayView2<bool>, opacity: f64) -> RgbImage {
    assert_eq!(image.dimensions(), fill.dimensions(), "image and fill");
    assert_eq!(image.len(), 3 * mask.len(), "image and mask");
    let mut blended = image.clone();
    let pixels = blended.chunks_exact_mut(3).zip(fill.chunks_exact(3)).zip(mask);
    for ((pixel, fill), _) in pixels.filter(|&(_, &inside)| inside) {
        for (value, &fill) in pixel.iter_mut().zip(fill) {
            *value = mixed(*value, fill, opacity) as u8;
        }
    }
    blended
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use ndarray::array;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stays_between_both_and_outside_the_mask_unchanged(
            image in any::<[u8; 3]>(), fill in any::<[u8; 3]>(), opacity in 0.0..=1.0,
        ) {
            let (under, over) = (RgbImage::from_pixel(2, 1, Rgb(image)), RgbImage::from_pixel(2, 1, Rgb(fill)));
            let blended = blend(&under, &over, array![[true, false]].view(), opacity);
            prop_assert_eq!(blended.get_pixel(1, 0).0, image);
            for (c, &value) in blended.get_pixel(0, 0).0.iter().enumerate() {
                let (low, high) = (image[c].min(fill[c]), image[c].max(fill[c]));
                // Truncation may lose one where rounding errors fall just below a whole number.
                prop_assert!((low.saturating_sub(1)..=high).contains(&value));
            }
        }
    }
}
