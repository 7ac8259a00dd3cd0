//! Frames as pictures for people, with the colours that the network sees.

use super::ValueRange;
use super::preprocess::{Converter, is_deep};
use crate::error::{Error, Result};
use gst_video::prelude::*;
use image::RgbImage;

/// Turns frames of one format into 8-bit RGB images.
#[derive(Debug)]
pub struct RgbReader {
    converter: Converter,
    range: ValueRange,
}

impl RgbReader {
    /// Prepares the conversion of frames described by `info`, on one thread; `range` says what is black and white in those of 16 bits a
    /// channel.
    ///
    /// # Errors
    /// If the format cannot be converted.
    pub fn new(info: &gst_video::VideoInfo, range: Option<ValueRange>) -> Result<Self> {
        let range = range.filter(|_| is_deep(info)).unwrap_or(ValueRange::FULL);
        Ok(Self { converter: Converter::to_rgb(info, 1)?, range })
    }

    /// A frame as an image. 8-bit RGB keeps its values.
    ///
    /// # Errors
    /// If the frame's memory cannot be mapped.
    pub fn read(&mut self, frame: &gst_video::VideoFrameRef<&gst::BufferRef>) -> Result<RgbImage> {
        let (width, height) = (frame.width(), frame.height());
        let rgb = self.converter.run(frame)?;
        let plane = rgb.plane_data(0).map_err(|e| Error::Frame(e.to_string()))?;
        let mut image = RgbImage::new(width, height);
        for (to, from) in image.rows_mut().zip(plane.chunks(rgb.plane_stride()[0] as usize)) {
            // Alpha, red, green, blue, each in the machine's byte order.
            for (to, from) in to.zip(from.as_chunks::<8>().0) {
                to.0 = std::array::from_fn(|c| {
                    self.range.narrow(u16::from_ne_bytes([from[2 * c + 2], from[2 * c + 3]]))
                });
            }
        }
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rgb_keeps_its_values_and_grey_of_video_is_grey() {
        gst::init().unwrap();
        let cases = [
            (gst_video::VideoFormat::Rgb, [77u8; 3], 77),
            (gst_video::VideoFormat::Nv12, [126, 128, 0], 128),
            (gst_video::VideoFormat::I420, [16, 128, 128], 0),
        ];
        for (format, planes, expected) in cases {
            let info = gst_video::VideoInfo::builder(format, 35, 21).build().unwrap();
            let buffer = gst::Buffer::with_size(info.size()).unwrap();
            let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
            for plane in 0..info.n_planes() {
                frame.plane_data_mut(plane).unwrap().fill(planes[plane as usize]);
            }
            let buffer = frame.into_buffer();
            let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer.as_ref(), &info).unwrap();
            let image = RgbReader::new(&info, None).unwrap().read(&frame).unwrap();
            assert_eq!(image.dimensions(), (35, 21));
            assert!(
                image.iter().all(|&value| value.abs_diff(expected) <= 1),
                "{format:?}: {:?}",
                image[(0, 0)]
            );
            assert!(format != gst_video::VideoFormat::Rgb || image.iter().all(|&value| value == expected));
        }
    }
}
