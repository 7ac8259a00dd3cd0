//! The size at which the network sees the images.

use super::{InputSize, Progress};
use crate::error::{Error, Result};
use crate::frame::{Fit, Header};
use std::path::PathBuf;

/// Side of the default input.
const SIDE: u32 = 320;
/// Images whose sides differ by no more than this factor are seen as squares.
const NEARLY_SQUARE: f64 = 1.25;
/// Where the aspect ratios of the images differ by more than this factor, no shape is their own.
const ALIKE: f64 = 1.5;
/// A part whose sides are stretched by factors that differ by more than this is told of.
const SQUEEZED: f64 = 1.5;
/// Images whose shorter side has fewer pixels are small.
const SMALL: u32 = 200;
/// Images that are made smaller by more than this factor lose what is small.
const SHRUNK: f64 = 4.0;
/// Pixels of the input that a defect must have to be seen.
const VISIBLE: f64 = 4.0;

/// The input's width and height for images with these headers; says what was chosen, and what that means for them.
///
/// # Errors
/// If the size follows from the images and none can be read.
pub(super) fn choose(
    headers: &[(PathBuf, Header)],
    wanted: InputSize,
    fit: Fit,
    progress: &mut dyn Progress,
) -> Result<(u32, u32)> {
    let shapes = Shapes::of(headers);
    match (wanted, &shapes) {
        (InputSize::Auto, None) => Err(Error::Fit("none of the images can be read".into())),
        (InputSize::Auto, Some(shapes)) => {
            let (size, why) = shapes.own_size();
            progress.note(&format!("input size: {}x{} ({why})", size.0, size.1));
            shapes.advise(size).iter().for_each(|advice| progress.note(advice));
            Ok(size)
        }
        (InputSize::Fixed(width, height), shapes) => {
            if let Some(shapes) = shapes {
                shapes
                    .warn_of_squeezing((width, height), fit)
                    .iter()
                    .for_each(|warning| progress.note(warning));
                shapes.advise((width, height)).iter().for_each(|advice| progress.note(advice));
            }
            Ok((width, height))
        }
    }
}

/// What the images' headers say of their sizes.
struct Shapes {
    /// Width and height of the image of the median aspect ratio.
    typical: (u32, u32),
    /// Aspect ratios (width / height) of all but the outermost twentieth at either end: the smallest and the largest.
    ratios: (f64, f64),
}

impl Shapes {
    fn of(headers: &[(PathBuf, Header)]) -> Option<Self> {
        let mut sizes: Vec<(u32, u32)> = headers.iter().map(|(_, header)| header.size).collect();
        let ratio = |&(width, height): &(u32, u32)| f64::from(width) / f64::from(height);
        sizes.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let spare = sizes.len() / 20;
        Some(Self {
            typical: *sizes.get(sizes.len() / 2)?,
            ratios: (ratio(&sizes[spare]), ratio(&sizes[sizes.len() - 1 - spare])),
        })
    }

    fn ratio(&self) -> f64 {
        f64::from(self.typical.0) / f64::from(self.typical.1)
    }

    /// About as many pixels as the default input has, in the images' own shape if they have one, and the reason.
    fn own_size(&self) -> ((u32, u32), String) {
        let ratio = self.ratio().clamp(1.0 / 16.0, 16.0);
        let (least, most) = self.ratios;
        if most / least > ALIKE {
            let why = format!(
                "the images' shapes differ, from {least:.2} to {most:.2} times as wide as high: each is stretched to a square"
            );
            return ((SIDE, SIDE), why);
        }
        if ratio.max(1.0 / ratio) <= NEARLY_SQUARE {
            return ((SIDE, SIDE), "the images are square or nearly so".into());
        }
        let side = |length: f64| ((length / 32.0).round() as u32).max(1) * 32;
        let size = (side(f64::from(SIDE) * ratio.sqrt()), side(f64::from(SIDE) / ratio.sqrt()));
        (size, format!("the shape of the images, {}", self.proportions()))
    }

    fn proportions(&self) -> String {
        let ratio = self.ratio();
        match ratio >= 1.0 {
            true => format!("{ratio:.2} times as wide as high"),
            false => format!("{:.2} times as high as wide", 1.0 / ratio),
        }
    }

    fn warn_of_squeezing(&self, (width, height): (u32, u32), fit: Fit) -> Option<String> {
        let distortion = self.ratio() * f64::from(height) / f64::from(width);
        let squeezed = matches!(fit, Fit::Stretch) && distortion.max(1.0 / distortion) > SQUEEZED;
        squeezed.then(|| {
            format!(
                "the images are {} and are squeezed to {width}x{height}, which hides fine defects; --size auto keeps their shape",
                self.proportions()
            )
        })
    }

    fn advise(&self, size: (u32, u32)) -> Option<String> {
        let (width, height) = self.typical;
        let scale = f64::min(f64::from(width) / f64::from(size.0), f64::from(height) / f64::from(size.1));
        if width.min(height) < SMALL {
            Some(format!(
                "the images are small ({width}x{height}): where the camera gives more pixels, finer defects can be found"
            ))
        } else if scale > SHRUNK {
            Some(format!(
                "the images ({width}x{height}) are made {scale:.0} times smaller: a defect of less than about {:.0} pixels will not be \
                 seen; take a larger --size, or inspect a part of the image",
                VISIBLE * scale
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(typical: (u32, u32), ratios: (f64, f64)) -> Shapes {
        Shapes { typical, ratios }
    }

    #[test]
    fn elongated_images_keep_their_shape_and_nearly_square_ones_are_squares() {
        let size = |typical: (u32, u32)| {
            let ratio = f64::from(typical.0) / f64::from(typical.1);
            shapes(typical, (ratio, ratio)).own_size().0
        };
        assert_eq!(size((800, 320)), (512, 192));
        assert_eq!(size((300, 1200)), (160, 640));
        assert_eq!(size((640, 512)), (320, 320));
        assert_eq!(size((640, 480)), (384, 288));
        assert_eq!(size((10_000, 10)), (1280, 96));
    }

    #[test]
    fn images_of_many_shapes_have_none_of_their_own() {
        let (size, why) = shapes((300, 200), (0.5, 2.5)).own_size();
        assert_eq!(size, (320, 320));
        assert!(why.contains("from 0.50 to 2.50 times as wide as high"), "{why}");
    }

    #[test]
    fn what_the_size_hides_is_told() {
        let strip = shapes((800, 320), (2.5, 2.5));
        assert!(
            strip.warn_of_squeezing((320, 320), Fit::Stretch).unwrap().contains("2.50 times as wide as high")
        );
        assert!(strip.warn_of_squeezing((320, 320), Fit::Pad).is_none());
        assert!(strip.warn_of_squeezing((512, 192), Fit::Stretch).is_none());
        assert!(shapes((128, 128), (1.0, 1.0)).advise((320, 320)).unwrap().contains("small (128x128)"));
        assert!(shapes((4000, 3000), (1.3, 1.3)).advise((384, 288)).unwrap().contains("10 times smaller"));
        assert!(shapes((640, 640), (1.0, 1.0)).advise((320, 320)).is_none());
    }
}
