//! Image files as masks: which pixels are marked.

use super::file::{read_bytes, read_image};
use crate::error::{Error, Result};
use image::DynamicImage;
use std::io::Cursor;
use std::path::Path;

/// Which pixels of an image are marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    size: (u32, u32),
    marked: Vec<bool>,
}

impl Mask {
    /// Reads a mask: everything that is not background is marked. Background is black, however few the bits and whatever the labels are;
    /// where some pixels are transparent it is these, and black ones unless all others are black; and in a palette that is all black it is
    /// the first colour.
    ///
    /// # Errors
    /// If the file cannot be read or is not an image; the message names it.
    pub fn read(path: &Path) -> Result<Self> {
        let (image, _) = read_image(path)?;
        let size = (image.width(), image.height());
        let mut marked = marked(image);
        if !marked.contains(&true)
            && let Some(indices) = palette_indices(&read_bytes(path)?)
            && indices.len() == marked.len()
        {
            marked = indices.into_iter().map(|index| index > 0).collect();
        }
        Ok(Self { size, marked })
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Whether no pixel is marked.
    pub fn is_empty(&self) -> bool {
        !self.marked.contains(&true)
    }

    /// Whether a pixel is marked; none is outside of the mask.
    pub fn get(&self, x: u32, y: u32) -> bool {
        let (width, height) = self.size;
        x < width && y < height && self.marked[y as usize * width as usize + x as usize]
    }

    /// The pixels of either mask.
    ///
    /// # Errors
    /// If they have different sizes: with both.
    pub fn or(mut self, other: &Self) -> Result<Self> {
        if self.size != other.size {
            let ((width, height), (w, h)) = (self.size, other.size);
            return Err(Error::Frame(format!("masks of one image are {width}x{height} and {w}x{h}")));
        }
        self.marked.iter_mut().zip(&other.marked).for_each(|(to, &from)| *to |= from);
        Ok(self)
    }

    /// Black and white.
    pub fn to_image(&self) -> image::GrayImage {
        let (width, height) = self.size;
        image::GrayImage::from_fn(width, height, |x, y| image::Luma([if self.get(x, y) { 255 } else { 0 }]))
    }
}

fn marked(image: DynamicImage) -> Vec<bool> {
    let has_alpha = image.color().has_alpha();
    // Sixteen bits: a label of 1 is not to vanish.
    let pixels = image.into_rgba16();
    let coloured = |pixel: &image::Rgba<u16>| pixel.0[..3].iter().any(|&value| value > 0);
    let shown = |pixel: &image::Rgba<u16>| pixel.0[3] > 0;
    let (mut some_shown, mut some_hidden, mut some_coloured) = (false, false, false);
    for pixel in pixels.pixels().filter(|_| has_alpha) {
        some_shown |= shown(pixel);
        some_hidden |= !shown(pixel);
        some_coloured |= shown(pixel) && coloured(pixel);
    }
    match (some_shown && some_hidden, some_coloured) {
        (false, _) => pixels.pixels().map(coloured).collect(),
        (true, true) => pixels.pixels().map(|pixel| shown(pixel) && coloured(pixel)).collect(),
        (true, false) => pixels.pixels().map(shown).collect(),
    }
}

/// What a PNG file with a palette has for each pixel; none where the file is something else.
fn palette_indices(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().ok()?;
    let info = reader.info();
    if info.color_type != png::ColorType::Indexed {
        return None;
    }
    let (width, bits) = (info.width as usize, info.bit_depth as usize);
    let mut packed = vec![0; reader.output_buffer_size()?];
    let frame = reader.next_frame(&mut packed).ok()?;
    let row = |row: &[u8]| -> Vec<u8> {
        let value = |at: usize| {
            let first = at * bits;
            // The leftmost pixel has the highest bits of a byte.
            row[first / 8] >> (8 - bits - first % 8) & (u8::MAX >> (8 - bits))
        };
        (0..width).map(value).collect()
    };
    Some(packed[..frame.buffer_size()].chunks_exact(frame.line_size).flat_map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};

    const SIDE: u32 = 9;

    fn inside(x: u32, y: u32) -> bool {
        (3..6).contains(&x) && (2..8).contains(&y)
    }

    fn check(path: &Path) {
        let mask = Mask::read(path).unwrap();
        assert_eq!(mask.size(), (SIDE, SIDE), "{}", path.display());
        for (x, y) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y))) {
            assert_eq!(mask.get(x, y), inside(x, y), "{} at {x}, {y}", path.display());
        }
    }

    #[test]
    fn what_is_not_background_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let save = |name: &str, image: DynamicImage| {
            let path = folder.path().join(name);
            image.save(&path).unwrap();
            check(&path);
        };
        for label in [1u16, 255, 4095, 65535] {
            let image = ImageBuffer::from_fn(SIDE, SIDE, |x, y| Luma([if inside(x, y) { label } else { 0 }]));
            save("deep.png", DynamicImage::ImageLuma16(image.clone()));
            save("deep.tif", DynamicImage::ImageLuma16(image));
            let low = GrayImage::from_fn(SIDE, SIDE, |x, y| {
                Luma([if inside(x, y) { label.min(255) as u8 } else { 0 }])
            });
            for name in ["label.png", "label.bmp", "label.TIF", "label.pgm"] {
                save(name, low.clone().into());
            }
        }
        // Blue so dark that its luma is black.
        let blue = ImageBuffer::from_fn(SIDE, SIDE, |x, y| Rgb([0, 0, u8::from(inside(x, y))]));
        save("blue.png", DynamicImage::ImageRgb8(blue));
        type Case = (&'static str, [u8; 4], [u8; 4]);
        let cases: [Case; 5] = [
            ("black paint on nothing", [0, 0, 0, 0], [0, 0, 0, 255]),
            ("white paint on nothing", [255, 255, 255, 0], [255, 255, 255, 255]),
            ("a label as opacity", [9, 9, 9, 0], [9, 9, 9, 1]),
            ("half transparent paint on black", [0, 0, 0, 255], [255, 0, 0, 128]),
            ("all of it opaque", [0, 0, 0, 255], [1, 0, 0, 255]),
        ];
        for (name, outside, paint) in cases {
            let image =
                ImageBuffer::from_fn(SIDE, SIDE, |x, y| Rgba(if inside(x, y) { paint } else { outside }));
            save(&format!("{name}.png"), DynamicImage::ImageRgba8(image));
        }
        let grey = ImageBuffer::from_fn(SIDE, SIDE, |x, y| LumaA([0u16, if inside(x, y) { 1 } else { 0 }]));
        save("grey.png", DynamicImage::ImageLumaA16(grey));
    }

    #[test]
    fn palettes_are_read_by_colour_and_black_ones_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for (bits, depth) in [
            (1, png::BitDepth::One),
            (2, png::BitDepth::Two),
            (4, png::BitDepth::Four),
            (8, png::BitDepth::Eight),
        ] {
            // What is marked has the number 1; black is the first colour, or in the last palette the second.
            for (palette, marked) in
                [(vec![0; 6], 1), (vec![0, 0, 0, 128, 0, 0], 1), (vec![128, 0, 0, 0, 0, 0], 0)]
            {
                let path = folder.path().join(format!("{bits}.png"));
                let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), SIDE, SIDE);
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_depth(depth);
                encoder.set_palette(palette);
                let line = (SIDE * bits).div_ceil(8) as usize;
                let mut data = vec![0u8; line * SIDE as usize];
                for (x, y) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y))) {
                    let value = if inside(x, y) { marked } else { 1 - marked };
                    let first = x * bits;
                    data[y as usize * line + first as usize / 8] |= value << (8 - bits - first % 8);
                }
                encoder.write_header().unwrap().write_image_data(&data).unwrap();
                check(&path);
            }
        }
        let path = folder.path().join("black.png");
        GrayImage::new(4, 4).save(&path).unwrap();
        assert!(Mask::read(&path).unwrap().is_empty());
    }
}
