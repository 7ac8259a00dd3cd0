//! What a fit takes for the object, as pictures of training images.

use crate::common::overlay::{scaled, shown};
use crate::common::pictures::{jpeg, reduce};
use crate::overlay::to_rgb;
use crate::training::{QUALITY, SIDE};
use gstanomaly::bundle::{BANK, Bank, LearnedImages, Manifest};
use gstanomaly::evaluate::TrainingImage;
use gstanomaly::frame::{Geometry, Preprocessor, load_picture};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::methods::cpr::{ForegroundMaps, foreground_maps};
use image::RgbImage;
use std::path::Path;

/// Images that are shown, evenly chosen.
const SHOWN: usize = 3;
/// Light that the background keeps.
const BACKGROUND: f32 = 0.2;

/// Training images of a bundle, each also with its background darkened; none where the bundle has no foreground. `data` is the training folder.
pub fn pictures(
    bundle: &Path,
    manifest: &Manifest,
    learned: &LearnedImages,
    data: &Path,
) -> anyhow::Result<Vec<TrainingImage>> {
    let maps = foreground_maps(&Bank::open(&bundle.join(BANK))?)?;
    let Some(maps) = maps.filter(|maps| maps.images == learned.images().len()) else { return Ok(Vec::new()) };
    let shown = SHOWN.min(maps.images);
    let mut pictures = Vec::new();
    for number in (0..shown).map(|i| (2 * i + 1) * maps.images / (2 * shown)) {
        let path = learned.images()[number].name();
        // It was there a moment ago, and a page without it is better than none.
        let Ok(picture) = load_picture(&data.join(&path)) else { continue };
        let geometry = *Preprocessor::new(picture.info(), &manifest.input, None)?.geometry();
        let mut small = reduce(to_rgb(picture.info(), &picture.frame()?, manifest.input.range)?, SIDE);
        let input = jpeg(&small, QUALITY)?;
        darken_background(&mut small, &maps, number, geometry);
        let overlay = jpeg(&small, QUALITY)?;
        pictures.push(TrainingImage { path, input, overlay, ..TrainingImage::default() });
    }
    Ok(pictures)
}

/// Takes light from what the foreground map of an image says is background.
fn darken_background(image: &mut RgbImage, maps: &ForegroundMaps, number: usize, geometry: Geometry) {
    let input = (geometry.input.1 as usize, geometry.input.0 as usize);
    let mut whole = vec![0.0; input.0 * input.1];
    Bilinear::new((maps.height, maps.width), input).run(maps.of(number), &mut whole);
    let seen = scaled(geometry.source, geometry.frame, image.dimensions());
    let weights = shown(&whole, geometry, (seen.height as usize, seen.width as usize), |weight| weight);
    for (y, row) in weights.chunks_exact(seen.width as usize).enumerate() {
        for (x, &weight) in row.iter().enumerate() {
            let light = BACKGROUND + (1.0 - BACKGROUND) * weight.clamp(0.0, 1.0);
            let pixel = image.get_pixel_mut(seen.x + x as u32, seen.y + y as u32);
            pixel.0.iter_mut().for_each(|channel| *channel = (f32::from(*channel) * light).round() as u8);
        }
    }
}
