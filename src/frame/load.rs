//! Image files as video frames, so that they take the same way into the network as a camera's frames.

use super::file::{Traits, read_image};
use crate::error::{Error, Result};
use gst_video::VideoFormat;
use image::DynamicImage;
use std::path::Path;

/// Grey of 16 bits in the machine's byte order.
const GREY16: VideoFormat =
    if cfg!(target_endian = "little") { VideoFormat::Gray16Le } else { VideoFormat::Gray16Be };

/// An image in memory, rows packed by GStreamer's rules: 8-bit RGB, or 16 bits a channel where its file has them.
#[derive(Debug)]
pub struct Picture {
    buffer: gst::Buffer,
    info: gst_video::VideoInfo,
    traits: Traits,
}

impl Picture {
    /// Copies `rgb`, 3 bytes a pixel and rows without padding. Initialises GStreamer where nobody has yet:
    /// who inspects files need not know that they become frames.
    ///
    /// ```standalone_crate
    /// let grey = gstanomaly::frame::Picture::from_rgb(2, 1, &[128; 6])?;
    /// assert_eq!((grey.info().width(), grey.info().height()), (2, 1));
    /// # Ok::<(), gstanomaly::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a side is 0, or so large that GStreamer cannot describe the frame, or if GStreamer does not start.
    pub fn from_rgb(width: u32, height: u32, rgb: &[u8]) -> Result<Self> {
        Self::packed(VideoFormat::Rgb, (width, height), 3, rgb)
    }

    /// Copies grey values of 16 bits, a row behind the other.
    fn from_grey16(width: u32, height: u32, grey: &[u16]) -> Result<Self> {
        Self::packed(GREY16, (width, height), 2, bytemuck::cast_slice(grey))
    }

    /// Copies red, green, blue and alpha of 16 bits, which GStreamer has the other way round.
    fn from_rgba16(width: u32, height: u32, rgba: &[u16]) -> Result<Self> {
        let argb: Vec<u16> = rgba.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, a]| [a, r, g, b]).collect();
        Self::packed(VideoFormat::Argb64, (width, height), 8, bytemuck::cast_slice(&argb))
    }

    /// Copies pixels of so many bytes, rows without padding.
    fn packed(format: VideoFormat, (width, height): (u32, u32), bytes: usize, pixels: &[u8]) -> Result<Self> {
        let describe = |e: &dyn std::fmt::Display| Error::Frame(format!("an image of {width}x{height}: {e}"));
        gst::init().map_err(|e| describe(&e))?;
        let info = gst_video::VideoInfo::builder(format, width, height).build().map_err(|e| describe(&e))?;
        let row = width as usize * bytes;
        if width == 0 || height == 0 || pixels.len() != row * height as usize {
            return Err(describe(&format!("{} bytes of {format} do not fit", pixels.len())));
        }
        let mut buffer = gst::Buffer::with_size(info.size()).map_err(|e| describe(&e))?;
        {
            let buffer = buffer.get_mut().ok_or_else(|| describe(&"the new buffer is shared"))?;
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &info)
                .map_err(|e| describe(&e))?;
            let stride = info.stride()[0] as usize;
            let plane = frame.plane_data_mut(0).map_err(|e| describe(&e))?;
            for (to, from) in plane.chunks_mut(stride).zip(pixels.chunks_exact(row)) {
                to[..row].copy_from_slice(from);
            }
        }
        Ok(Self { buffer, info, traits: Traits::default() })
    }

    /// What its file has that not everybody who made it knows of.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// Hands every value of a picture of 16 bits a channel to `look`, alpha apart; none of another picture.
    ///
    /// # Errors
    /// If the buffer cannot be mapped.
    #[cfg(feature = "train")]
    pub(crate) fn each_deep_value(&self, mut look: impl FnMut(u16)) -> Result<()> {
        let (pixel, first) = match self.info.format() {
            GREY16 => (1, 0),
            VideoFormat::Argb64 => (4, 1),
            _ => return Ok(()),
        };
        let frame = self.frame()?;
        let plane = frame.plane_data(0).map_err(|e| Error::Frame(e.to_string()))?;
        let row = self.info.width() as usize * pixel * 2;
        for line in plane.chunks(self.info.stride()[0] as usize) {
            let values = line[..row].as_chunks::<2>().0.chunks_exact(pixel);
            values.flat_map(|values| &values[first..]).for_each(|&value| look(u16::from_ne_bytes(value)));
        }
        Ok(())
    }

    /// The video format that it has.
    pub fn info(&self) -> &gst_video::VideoInfo {
        &self.info
    }

    /// The pixels as a frame for the network.
    ///
    /// # Errors
    /// If the buffer cannot be mapped.
    pub fn frame(&self) -> Result<gst_video::VideoFrameRef<&gst::BufferRef>> {
        gst_video::VideoFrameRef::from_buffer_ref_readable(self.buffer.as_ref(), &self.info)
            .map_err(|e| Error::Frame(e.to_string()))
    }
}

/// Reads an image file as it is to be looked at: turned as its orientation tag says. Eight bits a channel become RGB, 16 bits stay 16 bits,
/// as a camera's frames do.
///
/// # Errors
/// If the file cannot be read, is not an image, or is larger than [`max_pixels`](super::max_pixels); the message names it.
pub fn load_picture(path: &Path) -> Result<Picture> {
    let (image, traits) = read_image(path)?;
    let (width, height) = (image.width(), image.height());
    let picture = match image {
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
            Picture::from_grey16(width, height, image.into_luma16().as_raw())
        }
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
            Picture::from_rgba16(width, height, image.into_rgba16().as_raw())
        }
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            return Err(Error::file(
                path,
                "its pixels are floating-point numbers, which have no black and white; save it with 8 or 16 bits a channel",
            ));
        }
        image => Picture::from_rgb(width, height, image.into_rgb8().as_raw()),
    };
    let picture = picture.map_err(|e| Error::file(path, e.to_string()))?;
    Ok(Picture { traits, ..picture })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;

    #[test]
    fn a_jpeg_image_without_its_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.jpg");
        let noise: Vec<u8> =
            (0..48 * 32 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut jpeg = Vec::new();
        JpegEncoder::new(&mut jpeg).encode(&noise, 48, 32, image::ExtendedColorType::Rgb8).unwrap();
        let load = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            load_picture(&path).map_err(|e| e.to_string())
        };
        assert!(load(&jpeg).is_ok());
        assert!(load(&[&jpeg[..], b"what some cameras write behind"].concat()).is_ok());
        // A whole thumbnail in front does not stand for the rest.
        let thumbnail = [&[0xff, 0xe1][..], &(jpeg.len() as u16 + 2).to_be_bytes(), &jpeg].concat();
        let with_thumbnail = [&jpeg[..2], &thumbnail, &jpeg[2..]].concat();
        assert!(load(&with_thumbnail).is_ok());
        for length in [3, 20, jpeg.len() / 2, jpeg.len() - 1] {
            for whole in [&jpeg, &with_thumbnail] {
                let missing = jpeg.len() - length;
                let error = load(&whole[..whole.len() - missing]).unwrap_err();
                assert!(error.contains("part.jpg") && error.contains("not a readable image"), "{error}");
            }
        }
        let error = load(&jpeg[..jpeg.len() - 1]).unwrap_err();
        assert!(error.ends_with("it has no mark of its end, as if the file were cut off"), "{error}");
        let with_noise = [&jpeg[..2], &[0, 0], &jpeg[2..]].concat();
        assert!(load(&with_noise[..with_noise.len() / 2]).is_err());
    }
}
