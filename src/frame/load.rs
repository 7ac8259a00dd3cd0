//! Image files as video frames, so that they take the same way into the network as a camera's frames.

use crate::error::{Error, Result};
use image::ImageReader;
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
    let reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(|e| Error::io(path, e))?;
    let rgb =
        reader.decode().map_err(|e| Error::file(path, format!("not a readable image: {e}")))?.into_rgb8();
    Picture::from_rgb(rgb.width(), rgb.height(), rgb.as_raw()).map_err(|e| Error::file(path, e.to_string()))
}
