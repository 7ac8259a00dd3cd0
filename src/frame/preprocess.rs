//! GstVideoConverter to RGB at the network's size, then `(x - mean) / std` per channel.

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
        let rgb_info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, spec.width, spec.height)
            .fps(info.fps())
            .interlace_mode(info.interlace_mode())
            .build()
            .map_err(|e| failed(&e))?;
        let converter = gst_video::VideoConverter::new(info, &rgb_info, Some(conversion(&geometry)))
            .map_err(|e| failed(&e))?;
        let rgb = gst::Buffer::with_size(rgb_info.size()).map_err(|e| failed(&e))?;
        let scale = spec.std.map(|std| 1.0 / std);
        let offset = std::array::from_fn(|c| -spec.mean[c] * scale[c]);
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
            for (((r, g), b), pixel) in places.zip(row.chunks_exact(3)) {
                *r = f32::from(pixel[0]) * self.scale[0] + self.offset[0];
                *g = f32::from(pixel[1]) * self.scale[1] + self.offset[1];
                *b = f32::from(pixel[2]) * self.scale[2] + self.offset[2];
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
