//! Hue, saturation and lightness of RGB values.

/// Hue in turns (0 to 1), lightness and saturation (0 to 1) of RGB values of 0 to 1.
pub fn to_hls([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let (lightness, range) = ((most + least) / 2.0, most - least);
    if range <= f32::EPSILON {
        return [0.0, lightness, 0.0];
    }
    let saturation = range / (1.0 - (2.0 * lightness - 1.0).abs()).max(f32::EPSILON);
    let hue = if most == r {
        (g - b) / range
    } else if most == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    [(hue / 6.0).rem_euclid(1.0), lightness, saturation.min(1.0)]
}

/// The RGB values (0 to 1) of hue, lightness and saturation.
pub fn from_hls([hue, lightness, saturation]: [f32; 3]) -> [f32; 3] {
    let reach = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let k = (offset + hue * 12.0).rem_euclid(12.0);
        lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    })
}

/// Applies a change of hue, lightness and saturation to packed RGB pixels; values are clamped.
pub fn change_hls(pixels: &mut [u8], mut change: impl FnMut([f32; 3]) -> [f32; 3]) {
    for pixel in pixels.chunks_exact_mut(3) {
        let hls = change(to_hls([pixel[0], pixel[1], pixel[2]].map(|value| f32::from(value) / 255.0)));
        let [hue, lightness, saturation] = hls;
        let rgb = from_hls([hue, lightness.clamp(0.0, 1.0), saturation.clamp(0.0, 1.0)]);
        for (value, new) in pixel.iter_mut().zip(rgb) {
            *value = (new * 255.0 + 0.5) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_colours() {
        assert_eq!(to_hls([1.0, 0.0, 0.0]), [0.0, 0.5, 1.0]);
        assert_eq!(to_hls([0.0, 0.0, 1.0]), [4.0 / 6.0, 0.5, 1.0]);
        assert_eq!(from_hls([1.0 / 3.0, 0.5, 1.0]), [0.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same(colour in any::<[u8; 3]>()) {
            let mut pixel = colour;
            change_hls(&mut pixel, |hls| hls);
            prop_assert_eq!(pixel, colour);
        }
    }
}
