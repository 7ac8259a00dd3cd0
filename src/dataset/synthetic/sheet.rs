//! Samples for people to look at: a folder of images and masks, and a sheet that shows some of them.

use super::{
    BuiltinParams, BuiltinTextures, PictureLoader, ProductKind, RealDefects, SyntheticDefects,
    SyntheticParams, SyntheticSample, TextureFolder, TextureSource,
};
use crate::dataset::{GOOD, defect_images, training_images};
use crate::error::{Error, Result};
use crate::frame::Fit;
use crate::methods::fitting::{Progress, value_range};
use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};
use ndarray::{Array2, ArrayView2};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The label of defective samples.
const LABEL: &str = "synthetic";
/// The sheet's file name.
const SHEET: &str = "sheet.png";
/// Pairs on the sheet at most, pairs in a row, side of an image and gap between images in pixels.
const PAIRS: usize = 32;
const PAIRS_IN_ROW: usize = 4;
const TILE: u32 = 200;
const GAP: u32 = 4;
/// Colours of the sheet: the outline of a mask, and the ground.
const OUTLINE: Rgb<u8> = Rgb([255, 0, 200]);
const GROUND: Rgb<u8> = Rgb([24, 24, 24]);

/// What to make samples from, and where to put them.
#[derive(Clone, Debug)]
pub struct SynthesizeOptions {
    /// An MVTec-style category or a folder of good images.
    pub data: PathBuf,
    /// The folder to be made.
    pub out: PathBuf,
    /// Number of samples.
    pub count: usize,
    /// Width and height of the samples.
    pub size: (u32, u32),
    /// How images of another shape are brought to that size.
    pub fit: Fit,
    /// What is inspected.
    pub kind: ProductKind,
    /// A folder of textures instead of the built-in ones.
    pub textures: Option<PathBuf>,
    /// An MVTec-style category whose defective test images with masks are used, too.
    pub defects: Option<PathBuf>,
    /// Numbers of the generator.
    pub params: SyntheticParams,
    /// Training images at most that built-in textures take pieces from.
    pub pool: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Number of samples.
    pub samples: usize,
    /// How many of them have a defect.
    pub defective: usize,
    /// The sheet.
    pub sheet: PathBuf,
    /// What the defects are made of.
    pub textures: String,
}

/// Makes samples of good images and writes them as a category: `test/good`, `test/synthetic`, `ground_truth/synthetic`, and
/// a sheet of sample and outlined sample side by side.
///
/// # Errors
/// If images, textures or defects cannot be used, the folder is there already and not empty, or the user interrupts; then
/// nothing is left behind.
pub fn synthesize(options: &SynthesizeOptions, progress: &mut dyn Progress) -> Result<Written> {
    let out = &options.out;
    let taken = out.exists() && !fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none());
    if taken {
        return Err(Error::file(out, "is there already; name a new or an empty folder"));
    }
    let loader = PictureLoader::new(options.size, options.fit)?;
    let paths = training_images(&options.data)?.settle(false, |text| progress.note(text))?;
    let loader = loader.with_range(value_range(&paths, progress)?);
    let generator = generator(options, &paths, &loader, progress)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let staging = tempfile::Builder::new()
        .prefix(".synthesize-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(|e| Error::io(parent, e))?;

    progress.stage("making samples", options.count);
    let mut shown = Vec::new();
    let mut defective = 0;
    for index in 0..options.count {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let image = loader.load(&paths[index % paths.len()])?;
        let sample = generator.sample(&image, None, options.seed, index as u64)?;
        write_sample(&sample, staging.path(), index)?;
        defective += usize::from(sample.is_defective());
        if shown.len() < PAIRS {
            shown.push(sample);
        }
        progress.advance();
    }
    save(&contact_sheet(&shown, options.size), &staging.path().join(SHEET))?;
    fs::rename(staging.keep(), out).map_err(|e| Error::io(out, e))?;
    let textures = generator.describe();
    Ok(Written { samples: options.count, defective, sheet: out.join(SHEET), textures })
}

fn generator(
    options: &SynthesizeOptions,
    paths: &[PathBuf],
    loader: &PictureLoader,
    progress: &mut dyn Progress,
) -> Result<SyntheticDefects> {
    let textures = texture_source(options.textures.as_deref(), paths, options.pool, loader, progress)?;
    let generator = SyntheticDefects::new(options.params.clone(), options.kind, textures)?;
    let Some(defects) = &options.defects else { return Ok(generator) };
    let defects = defect_images(defects)?.settle(false, |text| progress.note(text))?;
    let defects = RealDefects::load(&defects, loader, progress)?;
    Ok(generator.with_real_defects(defects))
}

/// The textures of `folder`, or the built-in ones with pieces of at most `most` of the images in `paths`.
///
/// # Errors
/// If the folder holds no readable image, or an image of `paths` cannot be read.
pub fn texture_source(
    folder: Option<&Path>,
    paths: &[PathBuf],
    most: usize,
    loader: &PictureLoader,
    progress: &mut dyn Progress,
) -> Result<Arc<dyn TextureSource>> {
    if let Some(folder) = folder {
        let textures = TextureFolder::open(folder)?;
        if textures.unreadable() > 0 {
            progress.note(&format!("{} texture images cannot be read: left out", textures.unreadable()));
        }
        return Ok(Arc::new(textures));
    }
    // Spread over the set: neighbouring files are often alike.
    let step = paths.len().div_ceil(most.max(1)).max(1);
    let chosen = paths.iter().step_by(step).take(most);
    let images = chosen.map(|path| loader.load(path)).collect::<Result<_>>()?;
    Ok(Arc::new(BuiltinTextures::new(images, BuiltinParams::default())))
}

fn write_sample(sample: &SyntheticSample, folder: &Path, index: usize) -> Result<()> {
    let name = format!("{index:05}");
    let label = if sample.is_defective() { LABEL } else { GOOD };
    save(&sample.image, &folder.join("test").join(label).join(format!("{name}.png")))?;
    if sample.is_defective() {
        let (height, width) = sample.mask.dim();
        let mask = RgbImage::from_fn(width as u32, height as u32, |x, y| {
            Rgb([if sample.mask[[y as usize, x as usize]] { 255 } else { 0 }; 3])
        });
        save(&mask, &folder.join("ground_truth").join(LABEL).join(format!("{name}_mask.png")))?;
    }
    Ok(())
}

fn save(image: &RgbImage, path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    image.save(path).map_err(|e| Error::file(path, format!("cannot be written: {e}")))
}

/// Each sample beside itself with its mask outlined.
fn contact_sheet(samples: &[SyntheticSample], (width, height): (u32, u32)) -> RgbImage {
    let scale = f64::from(TILE) / f64::from(width.max(height));
    let tile = |side: u32| ((f64::from(side) * scale) as u32).max(1);
    let (tile_width, tile_height) = (tile(width), tile(height));
    let rows = samples.len().div_ceil(PAIRS_IN_ROW).max(1) as u32;
    let columns = 2 * samples.len().clamp(1, PAIRS_IN_ROW) as u32;
    let mut sheet =
        RgbImage::from_pixel(columns * (tile_width + GAP) + GAP, rows * (tile_height + GAP) + GAP, GROUND);
    for (i, sample) in samples.iter().enumerate() {
        let x = GAP + (i % PAIRS_IN_ROW) as u32 * 2 * (tile_width + GAP);
        let y = GAP + (i / PAIRS_IN_ROW) as u32 * (tile_height + GAP);
        let small = resize(&sample.image, tile_width, tile_height, FilterType::Triangle);
        let mask = shrunk(sample.mask.view(), (tile_height as usize, tile_width as usize));
        replace(&mut sheet, &small, i64::from(x), i64::from(y));
        replace(&mut sheet, &outlined(small, mask.view()), i64::from(x + tile_width + GAP), i64::from(y));
    }
    sheet
}

fn shrunk(mask: ArrayView2<bool>, (height, width): (usize, usize)) -> Array2<bool> {
    let (from_height, from_width) = mask.dim();
    Array2::from_shape_fn((height, width), |(y, x)| mask[[y * from_height / height, x * from_width / width]])
}

/// The image with the outer border of the mask drawn in.
fn outlined(mut image: RgbImage, mask: ArrayView2<bool>) -> RgbImage {
    let (height, width) = mask.dim();
    for ((y, x), _) in mask.indexed_iter().filter(|&(_, &inside)| inside) {
        for (dy, dx) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
            let Some((y, x)) = y.checked_add_signed(dy).zip(x.checked_add_signed(dx)) else { continue };
            if y < height && x < width && !mask[[y, x]] {
                image.put_pixel(x as u32, y as u32, OUTLINE);
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::test_images;

    struct Quiet(usize);
    impl Progress for Quiet {
        fn stage(&mut self, _: &str, _: usize) {}
        fn advance(&mut self) {
            self.0 += 1;
        }
        fn note(&mut self, _: &str) {}
        fn interrupted(&self) -> bool {
            self.0 == 5
        }
    }

    #[test]
    fn writes_a_category_that_can_be_read_back_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("good");
        for i in 0..3u8 {
            let image = RgbImage::from_fn(40, 50, |x, y| Rgb([x as u8 * 5, y as u8 * 4, i * 50]));
            save(&image, &data.join(format!("{i}.png"))).unwrap();
        }
        let mut options = SynthesizeOptions {
            data,
            out: folder.path().join("out"),
            count: 4,
            size: (96, 64),
            fit: Fit::Stretch,
            kind: ProductKind::Object,
            textures: None,
            defects: None,
            params: SyntheticParams::default(),
            pool: 2,
            seed: 1,
        };
        let written = synthesize(&options, &mut Quiet(0)).unwrap();
        assert_eq!(written.samples, 4);
        let images = test_images(&options.out).unwrap().images;
        assert_eq!(images.iter().filter(|image| !image.masks.is_empty()).count(), written.defective);
        assert_eq!(images.len(), 4);
        assert_eq!(image::open(&written.sheet).unwrap().width(), GAP + 8 * (TILE + GAP));
        let again = synthesize(&options, &mut Quiet(0)).unwrap_err().to_string();
        assert!(again.contains("is there already"), "{again}");

        options.defects = Some(options.out.clone());
        options.out = folder.path().join("more");
        options.count = 8;
        assert!(matches!(synthesize(&options, &mut Quiet(0)), Err(Error::Interrupted)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(synthesize(&options, &mut Quiet(9)).unwrap().textures.contains("real defects"));
    }
}
