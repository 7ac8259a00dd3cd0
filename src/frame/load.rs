//! Image files as video frames, so that they take the same way into the network as a camera's frames.

use crate::error::{Error, Result};
use image::{ImageFormat, ImageReader};
use std::io::Cursor;
use std::path::Path;

/// An image in memory: 8-bit RGB, rows packed by GStreamer's rules.
#[derive(Debug)]
pub struct Picture {
    buffer: gst::Buffer,
    info: gst_video::VideoInfo,
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
        let describe = |e: &dyn std::fmt::Display| Error::Frame(format!("an image of {width}x{height}: {e}"));
        gst::init().map_err(|e| describe(&e))?;
        let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width, height)
            .build()
            .map_err(|e| describe(&e))?;
        let row = width as usize * 3;
        if width == 0 || height == 0 || rgb.len() != row * height as usize {
            return Err(describe(&format!("{} bytes of RGB do not fit", rgb.len())));
        }
        let mut buffer = gst::Buffer::with_size(info.size()).map_err(|e| describe(&e))?;
        {
            let buffer = buffer.get_mut().ok_or_else(|| describe(&"the new buffer is shared"))?;
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &info)
                .map_err(|e| describe(&e))?;
            let stride = info.stride()[0] as usize;
            let plane = frame.plane_data_mut(0).map_err(|e| describe(&e))?;
            for (to, from) in plane.chunks_mut(stride).zip(rgb.chunks_exact(row)) {
                to[..row].copy_from_slice(from);
            }
        }
        Ok(Self { buffer, info })
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

/// Reads an image file; grey and 16-bit images become 8-bit RGB, an orientation tag is not applied.
///
/// # Errors
/// If the file cannot be read or is not an image; the message names it.
pub fn load_picture(path: &Path) -> Result<Picture> {
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let unreadable = |e: &dyn std::fmt::Display| Error::file(path, format!("not a readable image: {e}"));
    let reader =
        ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|e| Error::io(path, e))?;
    // The decoder makes what is missing grey, which would be taken for a defect, or for what is normal.
    if reader.format() == Some(ImageFormat::Jpeg) && is_cut_off(&bytes) {
        return Err(unreadable(&"it has no mark of its end, as if the file were cut off"));
    }
    let rgb = reader.decode().map_err(|e| unreadable(&e))?.into_rgb8();
    Picture::from_rgb(rgb.width(), rgb.height(), rgb.as_raw()).map_err(|e| Error::file(path, e.to_string()))
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
