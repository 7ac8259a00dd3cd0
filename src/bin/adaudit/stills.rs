//! The worst frame of an event as JPEG files, as it was and with what was found in it.

use crate::common::{overlay, pictures};
use anyhow::Context;
use gstanomaly::dataset::VideoFrame;
use gstanomaly::methods::Anomaly;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Quality of the JPEG files.
const QUALITY: u8 = 90;
/// Colour of the frame around a region.
const OUTLINE: Rgb<u8> = Rgb([217, 93, 57]);
/// An outline has one pixel for so many of the image's longer side, and two at least.
const PIXELS_PER_OUTLINE: u32 = 320;

/// The first so many events of a video have stills. Where there are more, somebody has to look at the threshold and not at them.
pub const MOST: usize = 1000;

/// The file names of the stills of a video's event, counted from 1; none if it is beyond [`MOST`].
pub fn names(event: usize) -> Option<(String, String)> {
    (event <= MOST).then(|| (format!("{event:04}.jpg"), format!("{event:04}-overlay.jpg")))
}

/// The worst frame so far of an event, until it has ended.
#[derive(Debug)]
pub struct Peak {
    pub frame: VideoFrame,
    pub anomaly: Anomaly,
}

impl Peak {
    /// Writes the stills of the event of this number into the folder of its video, if it has some.
    ///
    /// # Errors
    /// If the frame cannot be converted, or a file cannot be written.
    pub fn save(&self, folder: &Path, event: usize) -> anyhow::Result<()> {
        let Some((plain, marked)) = names(event) else { return Ok(()) };
        let range = self.anomaly.bundle.manifest().input.range;
        let mut image = overlay::to_rgb(&self.frame.info, &self.frame.frame()?, range)?;
        write(&folder.join(plain), &image)?;
        overlay::draw(&mut image, &self.anomaly)?;
        outline(&mut image, &self.anomaly);
        write(&folder.join(marked), &image)
    }
}

/// Removes the stills of what was no event after all.
///
/// # Errors
/// If a file is there and cannot be removed.
pub fn remove(folder: &Path, event: usize) -> anyhow::Result<()> {
    let Some((plain, marked)) = names(event) else { return Ok(()) };
    for path in [folder.join(plain), folder.join(marked)] {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| path.display().to_string());
            }
            _ => (),
        }
    }
    Ok(())
}

fn write(path: &Path, image: &RgbImage) -> anyhow::Result<()> {
    let bytes = pictures::jpeg(image, QUALITY)?;
    gstanomaly::evaluate::write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
        .with_context(|| path.display().to_string())
}

/// Draws a frame around every region.
fn outline(image: &mut RgbImage, anomaly: &Anomaly) {
    let (width, height) = image.dimensions();
    let thickness = (width.max(height) / PIXELS_PER_OUTLINE).max(2);
    for region in &anomaly.regions {
        let rect = region.rect;
        let (right, bottom) = ((rect.x + rect.width).min(width), (rect.y + rect.height).min(height));
        for y in rect.y..bottom {
            for x in rect.x..right {
                let edge = (x - rect.x).min(right - 1 - x).min(y - rect.y).min(bottom - 1 - y);
                if edge < thickness {
                    image.put_pixel(x, y, OUTLINE);
                }
            }
        }
    }
}
