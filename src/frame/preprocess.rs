//! GstVideoConverter to RGB at the network's size, then `(x - mean) / std` per channel.
//!
//! The converter's output has 16 bits a channel: into 8 bits it converts Y'CbCr with so few bits that frames come out two
//! to four levels darker than the same picture in RGB, and its scores differ by as much as the good ones are large.

use super::{Fit, Geometry, Rect};
use crate::error::{Error, Result};
use gst_video::prelude::*;
use serde::{Deserialize, Serialize};

/// What the network wants to see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputSpec {
    /// Width in pixels, a multiple of 32.
    pub width: u32,
    /// Height in pixels, a multiple of 32.
    pub height: u32,
    /// How frames of another shape are brought to that size.
    #[serde(default)]
    pub fit: Fit,
    /// Subtracted per channel (R, G, B), on pixel values 0..255.
    pub mean: [f32; 3],
    /// Divided by, per channel.
    pub std: [f32; 3],
}

impl InputSpec {
    /// The largest side that makes sense; keeps an untrusted bundle from asking for all memory.
    pub const MAX_SIDE: u32 = 4096;

    /// Checks the ranges that an untrusted manifest could break.
    ///
    /// # Errors
    /// With the field, what is allowed and what was found.
    pub fn check(&self) -> Result<(), String> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side == 0 || !side.is_multiple_of(32) || side > Self::MAX_SIDE {
                return Err(format!(
                    "input {name} must be a multiple of 32 from 32 to {}, found {side}",
                    Self::MAX_SIDE
                ));
            }
        }
        let usable = |v: &f32| v.is_finite();
        if !self.mean.iter().all(usable) || !self.std.iter().all(|v| usable(v) && *v > 0.0) {
            return Err(format!(
                "input mean and std must be finite and std positive, found {:?} and {:?}",
                self.mean, self.std
            ));
        }
        Ok(())
    }

    /// Number of values of the input tensor `[1, 3, height, width]`.
    pub fn len(&self) -> usize {
        3 * self.width as usize * self.height as usize
    }

    /// Never true for a checked spec.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A step of 8-bit values in 16 bits.
const LEVEL: f32 = 257.0;

/// Turns frames of one format into input tensors; made anew when the caps change.
#[derive(Debug)]
pub struct Preprocessor {
    geometry: Geometry,
    converter: gst_video::VideoConverter,
    rgb: gst::Buffer,
    rgb_info: gst_video::VideoInfo,
    scale: [f32; 3],
    offset: [f32; 3],
}

impl Preprocessor {
    /// Prepares the conversion of frames described by `info`, of which `roi` (or all) is inspected.
    ///
    /// # Errors
    /// If `roi` lies outside the frame or the format cannot be converted.
    pub fn new(info: &gst_video::VideoInfo, spec: &InputSpec, roi: Option<Rect>) -> Result<Self> {
        let geometry =
            Geometry::new((info.width(), info.height()), (spec.width, spec.height), spec.fit, roi)?;
        Self::with_geometry(info, spec, geometry)
    }

    /// Brings the part `source` of a frame to the place `target` of the input.
    pub(crate) fn placed(
        info: &gst_video::VideoInfo,
        spec: &InputSpec,
        source: Rect,
        target: Rect,
    ) -> Result<Self> {
        let frame = (info.width(), info.height());
        Self::with_geometry(info, spec, Geometry { frame, input: (spec.width, spec.height), source, target })
    }

    fn with_geometry(info: &gst_video::VideoInfo, spec: &InputSpec, geometry: Geometry) -> Result<Self> {
        let failed = |e: &dyn std::fmt::Display| {
            Error::Frame(format!("{}x{} {}: {e}", info.width(), info.height(), info.format().to_str()))
        };
        let rgb_info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Argb64, spec.width, spec.height)
            .fps(info.fps())
            .interlace_mode(info.interlace_mode())
            .build()
            .map_err(|e| failed(&e))?;
        let converter = gst_video::VideoConverter::new(info, &rgb_info, Some(conversion(&geometry)))
            .map_err(|e| failed(&e))?;
        let rgb = gst::Buffer::with_size(rgb_info.size()).map_err(|e| failed(&e))?;
        let scale = spec.std.map(|std| 1.0 / (LEVEL * std));
        let offset = std::array::from_fn(|c| -spec.mean[c] / spec.std[c]);
        Ok(Self { geometry, converter, rgb, rgb_info, scale, offset })
    }

    /// Where the input lies in the frame.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Fills `input`, `[3, height, width]`, from one frame of the format given at the start.
    ///
    /// # Errors
    /// If the frame has another format or its memory cannot be mapped.
    pub fn run(
        &mut self,
        frame: &gst_video::VideoFrameRef<&gst::BufferRef>,
        input: &mut [f32],
    ) -> Result<()> {
        if (frame.width(), frame.height()) != self.geometry.frame {
            return Err(Error::Frame(format!(
                "expected {:?}, found {}x{}",
                self.geometry.frame,
                frame.width(),
                frame.height()
            )));
        }
        let buffer = self.rgb.make_mut();
        let mut rgb = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &self.rgb_info)
            .map_err(|e| Error::Frame(e.to_string()))?;
        self.converter.frame_ref(frame, &mut rgb);
        let pixels = rgb.plane_data(0).map_err(|e| Error::Frame(e.to_string()))?;
        let width = self.rgb_info.width() as usize;
        let stride = self.rgb_info.stride()[0] as usize;
        let plane = width * self.rgb_info.height() as usize;
        let (red, rest) = input.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let rows =
            red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
        for (((red, green), blue), row) in rows.zip(pixels.chunks(stride)) {
            let places = red.iter_mut().zip(green).zip(blue);
            for (((r, g), b), pixel) in places.zip(row.chunks_exact(8)) {
                // Alpha, red, green, blue, each in the machine's byte order.
                let value = |c: usize| f32::from(u16::from_ne_bytes([pixel[2 * c], pixel[2 * c + 1]]));
                *r = value(1) * self.scale[0] + self.offset[0];
                *g = value(2) * self.scale[1] + self.offset[1];
                *b = value(3) * self.scale[2] + self.offset[2];
            }
        }
        Ok(())
    }
}

/// Bilinear scaling (antialiased where it shrinks), no dithering: the same pixels give the same tensor.
fn conversion(geometry: &Geometry) -> gst_video::VideoConverterConfig {
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    let Geometry { source, target, .. } = geometry;
    config.set_src_x(source.x as i32);
    config.set_src_y(source.y as i32);
    config.set_src_width(Some(source.width as i32));
    config.set_src_height(Some(source.height as i32));
    config.set_dest_x(target.x as i32);
    config.set_dest_y(target.y as i32);
    config.set_dest_width(Some(target.width as i32));
    config.set_dest_height(Some(target.height as i32));
    config.set_border_argb(0xff00_0000);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input's values for a frame of one colour, on the scale of 0 to 255.
    fn seen(format: gst_video::VideoFormat, (width, height): (u32, u32), planes: [u8; 3]) -> Vec<f32> {
        gst::init().unwrap();
        let spec = InputSpec { width: 64, height: 64, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
        let info = gst_video::VideoInfo::builder(format, width, height).build().unwrap();
        let buffer = gst::Buffer::with_size(info.size()).unwrap();
        let mut frame = gst_video::VideoFrame::from_buffer_writable(buffer, &info).unwrap();
        for plane in 0..info.n_planes() {
            let value = planes[plane as usize];
            frame.plane_data_mut(plane).unwrap().fill(value);
        }
        let buffer = frame.into_buffer();
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer.as_ref(), &info).unwrap();
        let mut values = vec![0.0; spec.len()];
        Preprocessor::new(&info, &spec, None).unwrap().run(&frame, &mut values).unwrap();
        values
    }

    #[test]
    fn a_colour_is_the_same_in_rgb_and_in_video_formats() {
        // BT.601: 16 + 219 * luma, 128 + 224 * colour difference. The last one is RGB 51, 102, 153.
        for (rgb, yuv) in
            [([128u8; 3], [126, 128, 128]), ([0; 3], [16, 128, 128]), ([51, 102, 153], [96, 158, 102])]
        {
            for size in [(64, 64), (128, 96), (640, 360)] {
                for format in [gst_video::VideoFormat::I420, gst_video::VideoFormat::Y444] {
                    let found = seen(format, size, yuv);
                    for (channel, expected) in found.chunks_exact(64 * 64).zip(rgb) {
                        let worst =
                            channel.iter().map(|v| (v - f32::from(expected)).abs()).fold(0.0, f32::max);
                        assert!(worst < 2.0, "{format:?} {size:?} {yuv:?}: off by {worst} from {expected}");
                    }
                }
            }
        }
    }
}
