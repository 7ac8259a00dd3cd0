//! Image files: what is read of them, and what is refused.

use crate::error::{Error, Result};
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pixels of an image file at most, where nobody says otherwise.
pub const MAX_PIXELS: u64 = 100_000_000;

static MOST_PIXELS: AtomicU64 = AtomicU64::new(MAX_PIXELS);

/// Bytes of a pixel at most: four channels of 16 bits.
const PIXEL_BYTES: u64 = 8;
/// Bytes that a file may have beside its pixels, such as a colour profile and a thumbnail.
const EXTRA_BYTES: u64 = 64 << 20;

/// From now on image files of this process may have so many pixels: a small file can unpack to more than fits in memory.
pub fn set_max_pixels(most: u64) {
    MOST_PIXELS.store(most, Ordering::Relaxed);
}

/// Pixels that image files of this process may have.
pub fn max_pixels() -> u64 {
    MOST_PIXELS.load(Ordering::Relaxed)
}

/// What a file has that not everybody who made it knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Its orientation tag says that it is to be turned or mirrored, and it was.
    pub turned: bool,
    /// Some of its pixels are transparent; their colour counts as if they were not.
    pub transparent: bool,
    /// It has more pictures than the first, as animated and multi-page files have.
    pub more_pictures: bool,
    /// It has 16 bits a channel.
    pub deep: bool,
}

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width and height, as the file is to be looked at.
    pub size: (u32, u32),
    /// Whether it has 16 bits a channel.
    pub deep: bool,
}

/// Reads the header of an image file.
///
/// # Errors
/// If the file cannot be read, or is not an image of a size that is read.
pub fn read_header(path: &Path) -> Result<Header> {
    // Only the first bytes are read here, unless the file is a pipe.
    regular(path)?;
    let reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| Error::io(path, e))?;
    let mut decoder = limited(reader).into_decoder().map_err(|e| unreadable(path, &e))?;
    check_size(path, decoder.dimensions())?;
    let (width, height) = decoder.dimensions();
    let across = matches!(
        orientation(&mut decoder),
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let size = if across { (height, width) } else { (width, height) };
    Ok(Header { size, deep: is_deep(&decoder) })
}

/// Reads an image file and turns it as its orientation tag says.
///
/// # Errors
/// If the file cannot be read, is not an image, or has more pixels than [`max_pixels`].
pub(super) fn read_image(path: &Path) -> Result<(DynamicImage, Traits)> {
    let bytes = read_bytes(path)?;
    let reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|e| Error::io(path, e))?;
    let format = reader.format();
    let failed = |e: image::ImageError| unreadable(path, &e);
    let mut decoder = limited(reader).into_decoder().map_err(failed)?;
    check_size(path, decoder.dimensions())?;
    // The decoder makes what is missing grey, which would be taken for a defect, or for what is normal.
    if format == Some(ImageFormat::Jpeg) && is_cut_off(&bytes) {
        return Err(unreadable(path, &"it has no mark of its end, as if the file were cut off"));
    }
    let deep = is_deep(&decoder);
    let orientation = orientation(&mut decoder);
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    let traits = Traits {
        turned: orientation != Orientation::NoTransforms,
        transparent: is_transparent(&image),
        more_pictures: has_more_pictures(&bytes, format),
        deep,
    };
    Ok((image, traits))
}

/// The bytes of an image file, unless it is longer than any image that is read.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let length = regular(path)?;
    if length == 0 {
        return Err(unreadable(path, &"the file is empty"));
    }
    let most = max_pixels().saturating_mul(PIXEL_BYTES).saturating_add(EXTRA_BYTES);
    if length > most {
        return Err(unreadable(
            path,
            &format!("it has {length} bytes, more than the {most} of the largest that is read"),
        ));
    }
    std::fs::read(path).map_err(|e| Error::io(path, e))
}

/// The length of a file; a pipe may never answer, a device may never end.
fn regular(path: &Path) -> Result<u64> {
    let found =
        path.metadata().map_err(|e| match path.is_symlink() && e.kind() == std::io::ErrorKind::NotFound {
            true => Error::file(path, "is a link that leads nowhere"),
            false => Error::io(path, e),
        })?;
    match found.is_file() {
        true => Ok(found.len()),
        false if found.is_dir() => Err(Error::file(path, "expected an image file, found a folder")),
        false => Err(Error::file(path, "expected an image file, found a pipe or a device")),
    }
}

fn unreadable(path: &Path, problem: &dyn std::fmt::Display) -> Error {
    Error::file(path, format!("not a readable image: {problem}"))
}

fn limited<R: std::io::BufRead + std::io::Seek>(mut reader: ImageReader<R>) -> ImageReader<R> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(max_pixels().saturating_mul(2 * PIXEL_BYTES).saturating_add(EXTRA_BYTES));
    reader.limits(limits);
    reader
}

fn check_size(path: &Path, (width, height): (u32, u32)) -> Result<()> {
    let (pixels, most) = (u64::from(width) * u64::from(height), max_pixels());
    if pixels > most {
        return Err(Error::file(
            path,
            format!(
                "the image has {width}x{height} pixels, more than the {most} that are read; if it is what it should be, \
                 adtrain takes it with --max-pixels {pixels}"
            ),
        ));
    }
    if pixels == 0 {
        return Err(unreadable(path, &format!("it has {width}x{height} pixels")));
    }
    Ok(())
}

fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    // Who cannot say how to turn an image has not said that it is to be turned.
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

fn is_deep(decoder: &impl ImageDecoder) -> bool {
    decoder.color_type().bytes_per_pixel() > decoder.color_type().channel_count()
}

fn is_transparent(image: &DynamicImage) -> bool {
    match image {
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|pixel| pixel.0[1] < u8::MAX),
        DynamicImage::ImageRgba8(image) => image.pixels().any(|pixel| pixel.0[3] < u8::MAX),
        DynamicImage::ImageLumaA16(image) => image.pixels().any(|pixel| pixel.0[1] < u16::MAX),
        DynamicImage::ImageRgba16(image) => image.pixels().any(|pixel| pixel.0[3] < u16::MAX),
        _ => false,
    }
}

fn has_more_pictures(bytes: &[u8], format: Option<ImageFormat>) -> bool {
    match format {
        Some(ImageFormat::Png) => {
            PngDecoder::new(Cursor::new(bytes)).and_then(|decoder| decoder.is_apng()).unwrap_or(false)
        }
        Some(ImageFormat::WebP) => {
            WebPDecoder::new(Cursor::new(bytes)).is_ok_and(|decoder| decoder.has_animation())
        }
        Some(ImageFormat::Tiff) => has_second_page(bytes).unwrap_or(false),
        _ => false,
    }
}

/// Whether the first directory of a TIFF file names another (TIFF 6.0, section 2); none where it is a BigTIFF or damaged.
fn has_second_page(tiff: &[u8]) -> Option<bool> {
    let little = tiff.starts_with(b"II");
    let bytes = |at: usize, count: usize| tiff.get(at..at.checked_add(count)?);
    let short = |at: usize| {
        let pair: [u8; 2] = bytes(at, 2)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let long = |at: usize| {
        let four: [u8; 4] = bytes(at, 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
    };
    if short(2)? != 42 {
        return None;
    }
    let first = long(4)? as usize;
    let entries = usize::from(short(first)?);
    Some(long(first.checked_add(2 + 12 * entries)?)? != 0)
}

/// Whether a JPEG image has no mark of its end. Its segments, each with its length, lead to the coded pixels, in which that mark
/// does not occur otherwise; a thumbnail among the segments has one of its own. Whoever leaves the mark out cannot be told from a file that
/// was cut off, and damage in the middle is not seen.
fn is_cut_off(jpeg: &[u8]) -> bool {
    let mut rest = jpeg.get(2..).unwrap_or_default();
    loop {
        rest = match *rest {
            [0xff, 0xda, ..] => return !rest.windows(2).rev().any(|pair| pair == [0xff, 0xd9]),
            [0xff, 0xff, ..] => &rest[1..],
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                rest.get(2 + length..).unwrap_or_default()
            }
            [] | [0xff] | [0xff, _] | [0xff, _, _] => return true,
            // Between segments decoders pass over what is none.
            [_, ..] => &rest[1..],
        };
    }
}
