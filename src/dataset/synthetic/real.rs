//! Supervised training: a few real defects, shown as they are and, re-coloured and moved, on good parts ("extended
//! anomalies").

use super::blend::mixed;
use super::photometric::change;
use super::warp::{Placement, read};
use super::{PictureLoader, Random, SyntheticParams, difference, uniform};
use crate::dataset::Defect;
use crate::error::{Error, Result};
use crate::methods::fitting::Progress;
use image::{Rgb, RgbImage};
use ndarray::{Array2, ArrayView2};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How often real defects are used, and how much they are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealParams {
    /// Probability that a sample is a real defective image instead of a training image.
    pub probability: f64,
    /// Probability that a sample is extended by pieces of real defects.
    pub extended_probability: f64,
    /// Least and most of these pieces.
    pub count: [usize; 2],
    /// Probability that a piece is re-coloured.
    pub recolour_probability: f64,
    /// Photometric changes of a re-coloured piece.
    pub changes: usize,
    /// Probability that a piece is rotated, scaled and moved (the authors' code; the paper does not say it).
    pub move_probability: f64,
    /// Scale of a moved piece; it is rotated by any angle.
    pub scale: [f64; 2],
    /// Opacity of a piece.
    pub opacity: [f64; 2],
}

impl Default for RealParams {
    fn default() -> Self {
        Self {
            probability: 0.025,
            extended_probability: 0.2,
            count: [1, 5],
            recolour_probability: 0.5,
            changes: 3,
            move_probability: 0.9,
            scale: [0.5, 1.5],
            opacity: [0.5, 1.0],
        }
    }
}

/// A defective image and where its defect is.
#[derive(Clone, Debug)]
pub struct RealDefect {
    image: RgbImage,
    mask: Array2<bool>,
    /// The defective pixels (x, y).
    places: Vec<(u32, u32)>,
}

impl RealDefect {
    /// From an image and its mask (height, width); `name` is for messages.
    ///
    /// # Errors
    /// If the sizes differ, or the mask marks nothing or everything.
    pub fn new(image: RgbImage, mask: Array2<bool>, name: &str) -> Result<Self> {
        let (height, width) = mask.dim();
        if (image.width() as usize, image.height() as usize) != (width, height) {
            return Err(Error::Fit(format!(
                "{name}: the mask is {width}x{height}, its image {}x{}",
                image.width(),
                image.height()
            )));
        }
        let places: Vec<(u32, u32)> = mask
            .indexed_iter()
            .filter(|&(_, &inside)| inside)
            .map(|((y, x), _)| (x as u32, y as u32))
            .collect();
        if places.is_empty() {
            return Err(Error::Fit(format!("{name}: the mask marks no pixel; the defect must not be black")));
        }
        if places.len() == mask.len() {
            return Err(Error::Fit(format!(
                "{name}: the mask marks every pixel; everything but the defect must be black"
            )));
        }
        Ok(Self { image, mask, places })
    }

    /// The image.
    pub fn image(&self) -> &RgbImage {
        &self.image
    }

    /// Its mask.
    pub fn mask(&self) -> ArrayView2<'_, bool> {
        self.mask.view()
    }

    fn centre(&self) -> (f64, f64) {
        let sum =
            self.places.iter().fold((0.0, 0.0), |sum, &(x, y)| (sum.0 + f64::from(x), sum.1 + f64::from(y)));
        (sum.0 / self.places.len() as f64, sum.1 / self.places.len() as f64)
    }

    /// Turned and scaled at random, then moved so that it lies inside an image of `(width, height)`; a larger one covers it.
    fn place(&self, params: &RealParams, (width, height): (u32, u32), random: &mut Random) -> Placement {
        let degrees = uniform([0.0, 360.0], random);
        let mut placement = Placement::about(self.centre(), degrees, uniform(params.scale, random));
        let targets = || self.places.iter().map(|&(x, y)| placement.target((f64::from(x), f64::from(y))));
        let ends = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
        };
        let (left, right) = ends(&mut targets().map(|(x, _)| x));
        let (top, bottom) = ends(&mut targets().map(|(_, y)| y));
        placement.to.0 += uniform([-left, f64::from(width - 1) - right], random);
        placement.to.1 += uniform([-top, f64::from(height - 1) - bottom], random);
        placement
    }

    /// Whether a place of the source belongs to the defect; places beyond the border do not.
    fn holds(&self, (x, y): (f64, f64)) -> bool {
        let (x, y) = (x.round(), y.round());
        x >= 0.0 && y >= 0.0 && self.mask.get((y as usize, x as usize)).copied().unwrap_or(false)
    }
}

/// The real defects of a supervised training.
#[derive(Clone, Debug)]
pub struct RealDefects {
    defects: Vec<RealDefect>,
    /// Where they come from, if it was files.
    files: Vec<PathBuf>,
}

impl RealDefects {
    /// From at least one defect.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(defects: Vec<RealDefect>) -> Result<Self> {
        match defects.is_empty() {
            true => Err(Error::Fit("no defective image with a usable mask to learn from".into())),
            false => Ok(Self { defects, files: Vec::new() }),
        }
    }

    /// Loads pairs of an image and its mask; one that cannot be used is left out with a note.
    ///
    /// # Errors
    /// If none can be used.
    pub fn load(pairs: &[Defect], loader: &PictureLoader, progress: &mut dyn Progress) -> Result<Self> {
        let mut defects = Vec::with_capacity(pairs.len());
        let mut files = Vec::with_capacity(pairs.len());
        for (image, masks) in pairs {
            let name = masks.first().unwrap_or(image).display().to_string();
            let defect = loader
                .load(image)
                .and_then(|picture| RealDefect::new(picture, loader.load_mask(masks, image)?, &name));
            match defect {
                Ok(defect) => {
                    defects.push(defect);
                    files.push(image.clone());
                }
                Err(e) => progress.note(&format!("left out: {e}")),
            }
        }
        Ok(Self { files, ..Self::new(defects)? })
    }

    /// The image files that they were loaded from.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Number of defects, at least 1.
    pub fn len(&self) -> usize {
        self.defects.len()
    }

    /// Never true.
    pub fn is_empty(&self) -> bool {
        self.defects.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<&RealDefect> {
        self.defects.get(index)
    }

    /// Puts pieces of real defects onto the image and marks them in the mask; says how many.
    ///
    /// A piece that would be invisible or, with a foreground, would miss it is moved once more, up to
    /// [`SyntheticParams::attempts`] times, and left out then.
    ///
    /// # Panics
    /// If mask or foreground have another size than the image.
    pub fn extend(
        &self,
        image: &mut RgbImage,
        mask: &mut Array2<bool>,
        foreground: Option<ArrayView2<f32>>,
        all: &SyntheticParams,
        random: &mut Random,
    ) -> usize {
        let (params, photometric, visible) = (&all.real, &all.fill.photometric, all.visible);
        let size = image.dimensions();
        let mut added = 0;
        for _ in 0..random.gen_range(params.count[0]..=params.count[1]) {
            let defect = &self.defects[random.gen_range(0..self.defects.len())];
            let mut source = defect.image.clone();
            if random.gen_bool(params.recolour_probability) {
                change(&mut source, params.changes, photometric, random);
            }
            let moved = random.gen_bool(params.move_probability);
            let opacity = uniform(params.opacity, random);
            for _ in 0..all.attempts {
                let placement = match moved {
                    true => defect.place(params, size, random),
                    false => Placement::about((0.0, 0.0), 0.0, 1.0),
                };
                let places: Vec<(usize, usize)> = ndarray::indices(mask.dim())
                    .into_iter()
                    .filter(|&(y, x)| defect.holds(placement.source((x as f64, y as f64))))
                    .collect();
                let on_foreground =
                    foreground.is_none_or(|map| places.iter().any(|&place| map[place] > all.mask.foreground));
                let piece: Vec<([u8; 3], [u8; 3])> = places
                    .iter()
                    .map(|&(y, x)| {
                        let (sx, sy) = placement.source((x as f64, y as f64));
                        let (fill, under) = (read(&source, sx, sy).0, image.get_pixel(x as u32, y as u32).0);
                        (under, std::array::from_fn(|c| mixed(under[c], fill[c], opacity) as u8))
                    })
                    .collect();
                if !places.is_empty() && on_foreground && difference(piece.iter().copied()) >= visible {
                    added += 1;
                    for (&(y, x), (_, pixel)) in places.iter().zip(piece) {
                        image.put_pixel(x as u32, y as u32, Rgb(pixel));
                        mask[[y, x]] = true;
                    }
                    break;
                }
                if !moved {
                    break;
                }
            }
        }
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn defect() -> RealDefect {
        let mask = Array2::from_shape_fn((64, 96), |(y, x)| (20..30).contains(&y) && (60..90).contains(&x));
        let image = RgbImage::from_fn(96, 64, |x, y| match mask[[y as usize, x as usize]] {
            true => Rgb([250, 20, 20]),
            false => Rgb([90, 90, 90]),
        });
        RealDefect::new(image, mask, "test").unwrap()
    }

    #[test]
    fn masks_that_say_nothing_are_errors() {
        let image = RgbImage::new(4, 4);
        let message = |mask| RealDefect::new(image.clone(), mask, "a_mask.png").unwrap_err().to_string();
        assert!(message(Array2::from_elem((4, 4), false)).contains("a_mask.png: the mask marks no pixel"));
        assert!(message(Array2::from_elem((4, 4), true)).contains("marks every pixel"));
        assert!(message(Array2::from_elem((4, 5), true)).contains("the mask is 5x4, its image 4x4"));
        assert!(RealDefects::new(Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn moved_defects_lie_inside(seed in 0u64..500) {
            let defect = defect();
            let placement = defect.place(&RealParams::default(), (96, 64), &mut Random::seed_from_u64(seed));
            for &(x, y) in &defect.places {
                let (x, y) = placement.target((f64::from(x), f64::from(y)));
                prop_assert!((-1e-6..=95.0 + 1e-6).contains(&x) && (-1e-6..=63.0 + 1e-6).contains(&y), "{x} {y}");
            }
        }

        #[test]
        fn pieces_change_what_their_mask_says_and_nothing_else(seed in 0u64..40) {
            let params = RealParams { recolour_probability: 0.0, ..RealParams::default() };
            let defects = RealDefects::new(vec![defect()]).unwrap();
            let plain = RgbImage::from_pixel(96, 64, Rgb([90, 90, 90]));
            let (mut image, mut mask) = (plain.clone(), Array2::from_elem((64, 96), false));
            let all = SyntheticParams { real: params, ..SyntheticParams::default() };
            let random = &mut Random::seed_from_u64(seed);
            let added = defects.extend(&mut image, &mut mask, None, &all, random);
            prop_assert!((1..=5).contains(&added));
            for ((y, x), &inside) in mask.indexed_iter() {
                let changed = image.get_pixel(x as u32, y as u32) != plain.get_pixel(x as u32, y as u32);
                prop_assert!(inside || !changed);
            }
            prop_assert!(mask.iter().any(|&inside| inside));
        }
    }
}
