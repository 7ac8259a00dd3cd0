//! Synthetic defects: good images with a foreign piece in them and a mask that says where, to train with.
//!
//! The way of DRAEM and MemSeg that CPR follows. Where a defect lies comes from Perlin noise ([`mask`]), what it shows from a
//! texture ([`textures`]) or from the image itself in disorder ([`fill`]); in supervised training pieces of real defects come in
//! ([`real`]). Everything is drawn from a seed and an index: sample 17 is the same whoever asks for it, and when.

pub mod augment;
pub mod blend;
mod colour;
pub mod fill;
pub mod mask;
mod params;
pub mod perlin;
pub mod photometric;
mod pictures;
pub mod probe;
pub mod procedural;
pub mod real;
mod sheet;
pub mod textures;
mod warp;

pub use augment::LightParams;
pub use params::{FillParams, MaskParams, SyntheticParams};
pub use pictures::PictureLoader;
pub use real::{RealDefect, RealDefects, RealParams};
pub use sheet::{SynthesizeOptions, Written, synthesize, texture_source};
pub use textures::{BuiltinParams, BuiltinTextures, TextureFolder, TextureSource};

use crate::error::{Error, Result};
use crate::kernels::resize::Bilinear;
use image::{Rgb, RgbImage};
use ndarray::{Array2, ArrayView2};
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// The generator of random numbers that everything is drawn from.
pub type Random = rand_xoshiro::Xoshiro256Plus;

/// What is inspected; textures are never shuffled, for a shuffled texture is a texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductKind {
    /// A thing with a place for each of its parts.
    Object,
    /// A surface that looks the same everywhere.
    Texture,
}

impl ProductKind {
    /// Its name in a bundle.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Texture => "texture",
        }
    }
}

/// What a synthetic defect shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A foreign texture.
    Texture,
    /// The image itself, changed and shuffled.
    Structure,
    /// Plain black or white: nothing else was visible on this image.
    Plain,
}

/// How a synthetic defect was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defect {
    /// What it shows.
    pub fill: Fill,
    /// Its opacity.
    pub opacity: f64,
}

/// An image to train with.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticSample {
    /// The image, perhaps with defects.
    pub image: RgbImage,
    /// Which pixels are defective, `[height, width]`.
    pub mask: Array2<bool>,
    /// The synthetic defect, if it has one.
    pub defect: Option<Defect>,
    /// The real defective image (its index) that was used instead of the training image.
    pub real: Option<usize>,
    /// Number of pieces of real defects that were added.
    pub extended: usize,
}

impl SyntheticSample {
    /// Whether any pixel is defective.
    pub fn is_defective(&self) -> bool {
        self.mask.iter().any(|&inside| inside)
    }
}

/// Makes samples.
#[derive(Clone, Debug)]
pub struct SyntheticDefects {
    params: SyntheticParams,
    kind: ProductKind,
    textures: Arc<dyn TextureSource>,
    real: Option<RealDefects>,
}

impl SyntheticDefects {
    /// A generator without real defects.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn new(params: SyntheticParams, kind: ProductKind, textures: Arc<dyn TextureSource>) -> Result<Self> {
        params.check()?;
        Ok(Self { params, kind, textures, real: None })
    }

    /// Uses real defects, too: supervised training.
    #[must_use]
    pub fn with_real_defects(mut self, real: RealDefects) -> Self {
        self.real = Some(real);
        self
    }

    /// The parameters.
    pub fn params(&self) -> &SyntheticParams {
        &self.params
    }

    /// What the defects are made of, for the model card.
    pub fn describe(&self) -> String {
        let real = match self.real.as_ref().map_or(0, RealDefects::len) {
            0 => String::new(),
            count => format!("; {count} real defects"),
        };
        format!("{}{real}", self.textures.describe())
    }

    /// The sample `index` of `seed`, made from a good image.
    ///
    /// `foreground` is a map of any size; with it, every part of a defect touches the foreground. A sample that is to have a
    /// defect always gets a visible one: after [`SyntheticParams::attempts`] a black or white disk.
    ///
    /// # Errors
    /// If the image or the foreground is empty, or no texture can be read.
    pub fn sample(
        &self,
        image: &RgbImage,
        foreground: Option<ArrayView2<f32>>,
        seed: u64,
        index: u64,
    ) -> Result<SyntheticSample> {
        if image.is_empty() || foreground.is_some_and(|map| map.is_empty()) {
            return Err(Error::Fit("an empty image cannot be given a defect".into()));
        }
        let size = (image.height() as usize, image.width() as usize);
        let random = &mut random_for(seed, index, 0);
        let foreground = foreground.map(|map| enlarged(map, size));
        let foreground = foreground.as_ref().map(|map| map.view());
        let mut sample = match self.real_image(image, random) {
            Some(real) => real,
            None if random.gen_bool(self.params.probability) => self.defective(image, foreground, random)?,
            None => SyntheticSample {
                image: image.clone(),
                mask: Array2::from_elem(size, false),
                defect: None,
                real: None,
                extended: 0,
            },
        };
        if let Some(real) = &self.real
            && random.gen_bool(self.params.real.extended_probability)
        {
            let (image, mask) = (&mut sample.image, &mut sample.mask);
            sample.extended = real.extend(image, mask, foreground, &self.params, random);
        }
        Ok(sample)
    }

    /// Light augmentation of an image of sample `index`; `which` tells the images of a pair apart.
    pub fn augment(&self, image: &mut RgbImage, seed: u64, index: u64, which: u64) {
        self.params.light.apply(image, &mut random_for(seed, index, 1 + which));
    }

    /// A real defective image instead of a training image of the same size, now and then.
    fn real_image(&self, image: &RgbImage, random: &mut Random) -> Option<SyntheticSample> {
        let real = self.real.as_ref()?;
        if !random.gen_bool(self.params.real.probability) {
            return None;
        }
        let index = random.gen_range(0..real.len());
        let defect = real.get(index).filter(|defect| defect.image().dimensions() == image.dimensions())?;
        Some(SyntheticSample {
            image: defect.image().clone(),
            mask: defect.mask().to_owned(),
            defect: None,
            real: Some(index),
            extended: 0,
        })
    }

    fn defective(
        &self,
        image: &RgbImage,
        foreground: Option<ArrayView2<f32>>,
        random: &mut Random,
    ) -> Result<SyntheticSample> {
        let params = &self.params;
        let size = (image.height() as usize, image.width() as usize);
        let sample = |image, mask, fill, opacity| SyntheticSample {
            image,
            mask,
            defect: Some(Defect { fill, opacity }),
            real: None,
            extended: 0,
        };
        for _ in 0..params.attempts {
            let noise = mask::draw(&params.mask, size, random);
            let noise = mask::keep_plausible(&params.mask, noise.view(), foreground);
            if !noise.iter().any(|&inside| inside) {
                continue;
            }
            let (fill, source) = self.fill(image, random)?;
            let opacity = uniform(params.opacity, random);
            let blended = blend::blend(image, &source, noise.view(), opacity);
            let visible = self.visible(image, &blended, noise.view());
            if visible.iter().any(|&inside| inside) {
                let image = blend::blend(image, &blended, visible.view(), 1.0);
                return Ok(sample(image, visible, fill, opacity));
            }
        }
        let disk = mask::fallback(&params.mask, size, foreground, random);
        Ok(sample(plain(image, disk.view()), disk, Fill::Plain, 1.0))
    }

    fn fill(&self, image: &RgbImage, random: &mut Random) -> Result<(Fill, RgbImage)> {
        let params = &self.params.fill;
        let texture = random.gen_bool(params.texture_probability) || self.kind == ProductKind::Texture;
        let (fill, mut source) = match texture {
            true => (Fill::Texture, self.textures.texture(image.dimensions(), random)?),
            false => (Fill::Structure, fill::structure(image, params, random)),
        };
        if source.dimensions() != image.dimensions() {
            return Err(Error::Fit(format!(
                "a texture is {:?}, not {:?}",
                source.dimensions(),
                image.dimensions()
            )));
        }
        if self.params.keep_grey && is_grey(image) {
            to_grey(&mut source);
        }
        Ok((fill, source))
    }

    /// The parts of the mask in which the images really differ.
    fn visible(&self, before: &RgbImage, after: &RgbImage, mask: ArrayView2<bool>) -> Array2<bool> {
        mask::keep_components(mask, |places| {
            let at = |image: &RgbImage, (y, x): (usize, usize)| image.get_pixel(x as u32, y as u32).0;
            let pairs = places.iter().map(|&place| (at(before, place), at(after, place)));
            difference(pairs) >= self.params.visible
        })
    }
}

/// The generator for one purpose of one sample.
///
/// `seed_from_u64` counts on from its argument in fixed steps, so indices must not be that step apart: another odd factor.
pub(crate) fn random_for(seed: u64, index: u64, purpose: u64) -> Random {
    let mixed = index.wrapping_mul(0xd134_2543_de82_ef95) ^ purpose.wrapping_mul(0xa076_1d64_78bd_642f);
    Random::seed_from_u64(seed.rotate_left(32) ^ mixed)
}

/// A number from a range whose ends may be the same.
fn uniform(range: [f64; 2], random: &mut Random) -> f64 {
    range[0] + (range[1] - range[0]) * random.gen_range(0.0..1.0)
}

/// Mean difference of pixels in grey levels; 0 of none.
fn difference(pairs: impl ExactSizeIterator<Item = ([u8; 3], [u8; 3])>) -> f64 {
    let values = 3 * pairs.len().max(1);
    let sum: u64 =
        pairs.flat_map(|(a, b)| std::array::from_fn::<_, 3, _>(|c| u64::from(a[c].abs_diff(b[c])))).sum();
    sum as f64 / values as f64
}

fn enlarged(map: ArrayView2<f32>, size: (usize, usize)) -> Array2<f32> {
    let map = map.as_standard_layout();
    let mut large = Array2::zeros(size);
    if let (Some(from), Some(to)) = (map.as_slice(), large.as_slice_mut()) {
        Bilinear::new(map.dim(), size).run(from, to);
    }
    large
}

/// Difference of a pixel's channels up to which it passes for grey; JPEG files of grey images are not quite.
const GREY: u8 = 8;

fn is_grey(image: &RgbImage) -> bool {
    image.pixels().all(|&Rgb([r, g, b])| r.max(g).max(b) - r.min(g).min(b) <= GREY)
}

fn to_grey(image: &mut RgbImage) {
    for pixel in image.pixels_mut() {
        let [r, g, b] = pixel.0.map(u32::from);
        pixel.0 = [((299 * r + 587 * g + 114 * b) / 1000) as u8; 3];
    }
}

/// The image with what the mask covers made black or white, whatever is farther from what was there.
fn plain(image: &RgbImage, mask: ArrayView2<bool>) -> RgbImage {
    let covered = || image.chunks_exact(3).zip(mask).filter(|&(_, &inside)| inside).flat_map(|(p, _)| p);
    let dark = covered().map(|&value| u64::from(value)).sum::<u64>() < 128 * covered().count() as u64;
    let fill = RgbImage::from_pixel(image.width(), image.height(), Rgb([if dark { 255 } else { 0 }; 3]));
    blend::blend(image, &fill, mask, 1.0)
}

#[cfg(test)]
mod tests;
