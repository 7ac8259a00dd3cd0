//! Frames as image files, plain and with the overlay that adoverlay draws.

use super::super::super::adoverlay::{Painter, Settings};
use super::Format;
use super::record::Shot;
use crate::error::{Error, Result};
use crate::frame::{RgbReader, ValueRange};
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;

/// Of JPEG, of 100: traces of the compression cannot be taken for defects.
const JPEG_QUALITY: u8 = 92;

/// Makes the stills of one stream.
pub(super) struct Stills {
    format: Format,
    /// For frames of this format and this range.
    reader: Option<((VideoInfo, Option<ValueRange>), RgbReader)>,
    painter: Painter,
}

impl Stills {
    pub(super) fn new(format: Format) -> Self {
        Self { format, reader: None, painter: Painter::default() }
    }

    /// A frame as an image file, and the same with the overlay.
    ///
    /// # Errors
    /// If the frame cannot be read or drawn on.
    pub(super) fn make(&mut self, shot: &Shot) -> Result<[Vec<u8>; 2]> {
        let image = self.read(shot)?;
        let plain = self.encode(&image)?;
        let drawing = self.painter.draw(shot.meta.clone(), Settings::default(), image.dimensions());
        let drawing = drawing.map_err(|e| Error::Frame(format!("its overlay: {e}")))?;
        let overlay = match drawing.composition {
            Some(composition) => self.encode(&blend(&image, &composition)?)?,
            None => plain.clone(),
        };
        Ok([plain, overlay])
    }

    fn read(&mut self, shot: &Shot) -> Result<RgbImage> {
        let of = (shot.info.clone(), shot.range);
        let mut reader = match self.reader.take() {
            Some((known, reader)) if known == of => reader,
            _ => RgbReader::new(&shot.info, shot.range)?,
        };
        let frame = VideoFrameRef::from_buffer_ref_readable(&shot.frame, &shot.info).map_err(unusable)?;
        let image = reader.read(&frame)?;
        self.reader = Some((of, reader));
        Ok(image)
    }

    fn encode(&self, image: &RgbImage) -> Result<Vec<u8>> {
        let mut file = Vec::new();
        match self.format {
            Format::Png => image.write_with_encoder(PngEncoder::new(&mut file)),
            Format::Jpeg => image.write_with_encoder(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)),
        }
        .map_err(|e| {
            Error::Frame(format!("{}x{} as {:?}: {e}", image.width(), image.height(), self.format))
        })?;
        Ok(file)
    }
}

fn unusable(error: glib::BoolError) -> Error {
    Error::Frame(error.to_string())
}

fn blend(image: &RgbImage, composition: &gst_video::VideoOverlayComposition) -> Result<RgbImage> {
    let info =
        VideoInfo::builder(VideoFormat::Rgb, image.width(), image.height()).build().map_err(unusable)?;
    let (stride, row) = (info.stride()[0] as usize, image.width() as usize * 3);
    let mut padded = vec![0; info.size()];
    for (to, from) in padded.chunks_exact_mut(stride).zip(image.as_raw().chunks_exact(row)) {
        to[..row].copy_from_slice(from);
    }
    let mut buffer = gst::Buffer::from_mut_slice(padded);
    let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer.make_mut(), &info).map_err(unusable)?;
    composition.blend(&mut frame).map_err(unusable)?;
    let mut drawn = RgbImage::new(image.width(), image.height());
    let plane = frame.plane_data(0).map_err(unusable)?;
    for (to, from) in drawn.chunks_exact_mut(row).zip(plane.chunks_exact(stride)) {
        to.copy_from_slice(&from[..row]);
    }
    Ok(drawn)
}
