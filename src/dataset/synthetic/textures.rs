//! Where foreign textures come from: a folder that the user names, or procedural textures and pieces of the training images.

use super::photometric::{PhotometricParams, change};
use super::procedural::{self, Family};
use super::warp::Placement;
use super::{PictureLoader, Random, uniform};
use crate::dataset::find_images;
use crate::dataset::layout::expect_folder;
use crate::error::{Error, Result};
use crate::frame::{Fit, read_header};
use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Something that has textures.
pub trait TextureSource: Debug + Send + Sync {
    /// A random texture of `size` (width, height).
    ///
    /// # Errors
    /// If none can be read.
    fn texture(&self, size: (u32, u32), random: &mut Random) -> Result<RgbImage>;

    /// What the textures are, for the model card.
    fn describe(&self) -> String;
}

/// Images of a folder, in any depth.
#[derive(Debug)]
pub struct TextureFolder {
    folder: PathBuf,
    images: Vec<PathBuf>,
    unreadable: Mutex<BTreeSet<PathBuf>>,
}

impl TextureFolder {
    /// Finds the images. A file that is none is left out here when its header says so, and later when its content does.
    ///
    /// # Errors
    /// If the folder cannot be read or holds no readable image.
    pub fn open(folder: &Path) -> Result<Self> {
        expect_folder(folder, "a folder of texture images")?;
        let found = find_images(folder)?;
        let readable = |path: &PathBuf| read_header(path).is_ok();
        let (images, unreadable): (Vec<_>, Vec<_>) = found.into_iter().partition(readable);
        match (images.is_empty(), unreadable.len()) {
            (true, 0) => Err(Error::file(folder, "no texture images in it or its subfolders")),
            (true, count) => {
                Err(Error::file(folder, format!("none of the {count} texture images in it can be read")))
            }
            _ => Ok(Self {
                folder: folder.to_owned(),
                images,
                unreadable: Mutex::new(unreadable.into_iter().collect()),
            }),
        }
    }

    /// Number of images found to be unreadable so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl TextureSource for TextureFolder {
    fn texture(&self, size: (u32, u32), random: &mut Random) -> Result<RgbImage> {
        let loader = PictureLoader::new(size, Fit::Stretch)?;
        let first = random.gen_range(0..self.images.len());
        // The next one instead of an unreadable one, so that the same seed gives the same texture however many were tried before.
        for offset in 0..self.images.len() {
            let path = &self.images[(first + offset) % self.images.len()];
            match loader.load(path) {
                Ok(texture) => return Ok(texture),
                Err(_) => {
                    let mut unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner);
                    unreadable.insert(path.clone());
                }
            }
        }
        Err(Error::file(&self.folder, "none of the texture images can be read any more"))
    }

    fn describe(&self) -> String {
        let name = self.folder.file_name().unwrap_or(self.folder.as_os_str()).to_string_lossy();
        let unreadable = match self.unreadable() {
            0 => String::new(),
            count => format!(" ({count} more could not be read)"),
        };
        format!("{} images of the folder '{name}'{unreadable}", self.images.len())
    }
}

/// The parameters of [`BuiltinTextures`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuiltinParams {
    /// Share of pieces of training images; the rest is procedural.
    pub pieces: f64,
    /// Side of a piece before it is enlarged, as a share of the image.
    pub piece_side: [f64; 2],
    /// Least and most photometric changes of a piece.
    pub piece_changes: [usize; 2],
}

impl Default for BuiltinParams {
    fn default() -> Self {
        Self { pieces: 0.3, piece_side: [0.15, 0.5], piece_changes: [1, 3] }
    }
}

/// Textures for those who have no collection of them.
///
/// A piece of a training image is enlarged, turned and changed in colour: the same part at the same place would be no defect.
#[derive(Debug)]
pub struct BuiltinTextures {
    images: Vec<RgbImage>,
    params: BuiltinParams,
    photometric: PhotometricParams,
}

impl BuiltinTextures {
    /// With pieces of `images`; procedural textures alone where there are none.
    pub fn new(images: Vec<RgbImage>, params: BuiltinParams) -> Self {
        let images = images.into_iter().filter(|image| !image.is_empty()).collect();
        Self { images, params, photometric: PhotometricParams::default() }
    }

    fn piece(&self, size: (u32, u32), random: &mut Random) -> RgbImage {
        let image = &self.images[random.gen_range(0..self.images.len())];
        let side = uniform(self.params.piece_side, random);
        let within = |length: u32, random: &mut Random| {
            uniform([side / 2.0, 1.0 - side / 2.0], random) * f64::from(length)
        };
        let from = (within(image.width(), random), within(image.height(), random));
        let mut placement = Placement::about(from, uniform([0.0, 360.0], random), 1.0 / side);
        placement.to = (f64::from(size.0) / 2.0, f64::from(size.1) / 2.0);
        let mut piece = placement.image(image, size);
        let [least, most] = self.params.piece_changes;
        change(&mut piece, random.gen_range(least..=most.max(least)), &self.photometric, random);
        piece
    }
}

impl TextureSource for BuiltinTextures {
    fn texture(&self, size: (u32, u32), random: &mut Random) -> Result<RgbImage> {
        let piece = random.gen_bool(self.params.pieces.clamp(0.0, 1.0));
        if piece && !self.images.is_empty() {
            return Ok(self.piece(size, random));
        }
        let family = Family::ALL[random.gen_range(0..Family::ALL.len())];
        Ok(procedural::paint(family, size, random))
    }

    fn describe(&self) -> String {
        let families = Family::ALL.len();
        match self.images.len() {
            0 => format!("procedural textures of {families} families; no texture data set"),
            count => format!(
                "procedural textures of {families} families and pieces of {count} training images; no texture data set"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use rand::SeedableRng;

    fn texture(source: &dyn TextureSource, seed: u64) -> RgbImage {
        source.texture((64, 32), &mut Random::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn a_folder_is_searched_in_depth_and_unreadable_files_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        RgbImage::from_pixel(5, 5, Rgb([10, 200, 30])).save(deep.join("green.png")).unwrap();
        std::fs::write(folder.path().join("not.png"), "text").unwrap();
        std::fs::write(folder.path().join("cut.ppm"), "P6 5 5 255\nonly a few bytes").unwrap();
        let source = TextureFolder::open(folder.path()).unwrap();
        assert_eq!(source.unreadable(), 1);
        for seed in 0..64 {
            assert_eq!(texture(&source, seed), RgbImage::from_pixel(64, 32, Rgb([10, 200, 30])));
        }
        assert_eq!(source.unreadable(), 2);
        assert!(source.describe().contains("2 more could not be read"), "{}", source.describe());
    }

    #[test]
    fn a_folder_without_images_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| TextureFolder::open(path).unwrap_err().to_string();
        assert!(message(folder.path()).contains("no texture images"));
        assert!(message(&folder.path().join("none")).contains("no such folder"));
        std::fs::write(folder.path().join("not.png"), "text").unwrap();
        assert!(message(folder.path()).contains("none of the 1 texture images"));
    }

    #[test]
    fn built_in_textures_vary_and_repeat_with_the_seed() {
        let image = RgbImage::from_fn(40, 30, |x, y| Rgb([x as u8 * 6, y as u8 * 8, 100]));
        let source = BuiltinTextures::new(vec![image], BuiltinParams::default());
        let textures: BTreeSet<Vec<u8>> = (0..40).map(|seed| texture(&source, seed).into_raw()).collect();
        assert_eq!(textures.len(), 40);
        assert_eq!(texture(&source, 3), texture(&source, 3));
        assert!(source.describe().contains("1 training images") && source.describe().contains("procedural"));
    }
}
