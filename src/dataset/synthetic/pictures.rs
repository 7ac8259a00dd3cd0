//! Image files at the size of the network's input, brought there the way that frames are.

use crate::dataset::load_mask;
use crate::error::{Error, Result};
use crate::frame::{Fit, Geometry, InputSpec, Picture, Preprocessor, ValueRange, load_picture, read_header};
use image::RgbImage;
use ndarray::{Array2, s};
use std::path::{Path, PathBuf};

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
        let spec = InputSpec { width, height, fit, mean: [0.0; 3], std: [1.0; 3], range: None };
        spec.check().map_err(Error::Setting)?;
        Ok(Self { spec })
    }

    /// With what is black and white in images of 16 bits a channel.
    #[must_use]
    pub fn with_range(mut self, range: Option<ValueRange>) -> Self {
        self.spec.range = range;
        self
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

    /// Reads the masks of an image as one, `[height, width]`: everything that is not background is defective.
    ///
    /// # Errors
    /// If one of them cannot be read, or their sizes differ.
    pub fn load_mask(&self, paths: &[PathBuf], image: &Path) -> Result<Array2<bool>> {
        let geometry = Geometry::new(read_header(image)?.size, self.size(), self.spec.fit, None)?;
        let mut mask = Array2::from_elem((self.spec.height as usize, self.spec.width as usize), false);
        let Some(shown) = load_mask(paths, image, &geometry)? else { return Ok(mask) };
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
            image::Rgb([0, 1, 2].map(|channel| values[channel * plane + at].round().clamp(0.0, 255.0) as u8))
        }))
    }
}
