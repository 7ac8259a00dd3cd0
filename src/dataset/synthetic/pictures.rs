//! Image files at the size of the network's input, brought there the way that frames are.

use crate::dataset::load_mask;
use crate::error::{Error, Result};
use crate::frame::{Fit, Geometry, InputSpec, Picture, Preprocessor, load_picture};
use image::RgbImage;
use ndarray::{Array2, s};
use std::path::Path;

/// Loads images at one size.
#[derive(Clone, Debug)]
pub struct PictureLoader {
    spec: InputSpec,
}

impl PictureLoader {
    /// For an input of `(width, height)`, multiples of 32.
    ///
    /// # Errors
    /// If the size is not usable.
    pub fn new((width, height): (u32, u32), fit: Fit) -> Result<Self> {
        // Neither shifted nor scaled: the values stay grey levels.
        let spec = InputSpec { width, height, fit, mean: [0.0; 3], std: [1.0; 3] };
        spec.check().map_err(Error::Setting)?;
        Ok(Self { spec })
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        (self.spec.width, self.spec.height)
    }

    /// Reads an image file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn load(&self, path: &Path) -> Result<RgbImage> {
        self.convert(&load_picture(path)?)
    }

    /// Reads the mask of an image, `[height, width]`: everything that is not black is defective.
    ///
    /// # Errors
    /// If one of them cannot be read, or their sizes differ.
    pub fn load_mask(&self, path: &Path, image: &Path) -> Result<Array2<bool>> {
        let frame = image::ImageReader::open(image)
            .and_then(image::ImageReader::with_guessed_format)
            .map_err(|e| Error::io(image, e))?
            .into_dimensions()
            .map_err(|e| Error::file(image, format!("not a readable image: {e}")))?;
        let geometry = Geometry::new(frame, self.size(), self.spec.fit, None)?;
        let shown = load_mask(path, image, &geometry)?;
        let mut mask = Array2::from_elem((self.spec.height as usize, self.spec.width as usize), false);
        let (y, x) = (geometry.target.y as usize, geometry.target.x as usize);
        mask.slice_mut(s![y..y + shown.nrows(), x..x + shown.ncols()]).assign(&shown);
        Ok(mask)
    }

    fn convert(&self, picture: &Picture) -> Result<RgbImage> {
        let mut values = vec![0.0; self.spec.len()];
        Preprocessor::new(picture.info(), &self.spec, None)?.run(&picture.frame()?, &mut values)?;
        let plane = values.len() / 3;
        let (width, height) = self.size();
        Ok(RgbImage::from_fn(width, height, |x, y| {
            let at = y as usize * width as usize + x as usize;
            image::Rgb([0, 1, 2].map(|channel| values[channel * plane + at].round() as u8))
        }))
    }
}
