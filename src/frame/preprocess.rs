//! GstVideoConverter to RGB at the network's size, then `(x - mean) / std` per channel.
//!
//! Colours are converted to 16 bits a channel first and the frame is scaled then. With 8 bits GstVideoConverter makes Y'CbCr
//! two to four levels too dark, and scales with coefficients of so few bits that brightness depends on the frame's size.

use super::{Fit, Geometry, Rect, ValueRange};
use crate::error::{Error, Result};
use gst_video::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

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
    #[serde(serialize_with = "as_short_as_possible")]
    pub mean: [f32; 3],
    /// Divided by, per channel.
    #[serde(serialize_with = "as_short_as_possible")]
    pub std: [f32; 3],
    /// What is black and white in frames and files of 16 bits a channel; none: all of their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
}

/// Whether the values of a format have 16 bits whose meaning the format leaves open, so that they may come from a camera that has fewer.
pub(super) fn is_deep(info: &gst_video::VideoInfo) -> bool {
    (info.is_gray() || info.is_rgb()) && info.comp_depth(0) == 16
}

/// 123.675 as 123.675 and not, by way of f64, as 123.67500305175781, in a file as in a value.
fn as_short_as_possible<S: Serializer>(values: &[f32; 3], serializer: S) -> Result<S::Ok, S::Error> {
    values.map(|value| value.to_string().parse().unwrap_or_else(|_| f64::from(value))).serialize(serializer)
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
        // Pixels are multiplied by 1 / std.
        if !self.mean.iter().all(usable)
            || !self.std.iter().all(|v| usable(v) && *v > 0.0 && usable(&v.recip()))
        {
            return Err(format!(
                "input mean and std must be finite, and std positive with a finite inverse, found {:?} and {:?}",
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

/// A GstVideoConverter with the frame that it fills.
#[derive(Debug)]
pub(super) struct Converter {
    converter: gst_video::VideoConverter,
    buffer: gst::Buffer,
    info: gst_video::VideoInfo,
}

/// Turns frames of one format into input tensors; made anew when the caps change.
#[derive(Debug)]
pub struct Preprocessor {
    geometry: Geometry,
    /// None where the frame is RGB of the input's size: the converter would only widen its values.
    colours: Option<Converter>,
    /// None where the frame already has the input's size.
    scaler: Option<Converter>,
    scale: [f32; 3],
    offset: [f32; 3],
}

impl Preprocessor {
    /// Prepares the conversion of frames described by `info`, of which `roi` (or all) is inspected, on one thread.
    ///
    /// # Errors
    /// If `roi` lies outside the frame or the format cannot be converted.
    pub fn new(info: &gst_video::VideoInfo, spec: &InputSpec, roi: Option<Rect>) -> Result<Self> {
        Self::threaded(info, spec, roi, 1)
    }

    /// The same on `threads` threads; 0: as many as there are cores. The result does not depend on them.
    ///
    /// # Errors
    /// As [`Preprocessor::new`].
    pub fn threaded(
        info: &gst_video::VideoInfo,
        spec: &InputSpec,
        roi: Option<Rect>,
        threads: u32,
    ) -> Result<Self> {
        let geometry =
            Geometry::new((info.width(), info.height()), (spec.width, spec.height), spec.fit, roi)?;
        Self::with_geometry(info, spec, geometry, threads)
    }

    /// Brings the part `source` of a frame to the place `target` of the input.
    pub(crate) fn placed(
        info: &gst_video::VideoInfo,
        spec: &InputSpec,
        source: Rect,
        target: Rect,
    ) -> Result<Self> {
        let frame = (info.width(), info.height());
        Self::with_geometry(
            info,
            spec,
            Geometry { frame, input: (spec.width, spec.height), source, target },
            1,
        )
    }

    fn with_geometry(
        info: &gst_video::VideoInfo,
        spec: &InputSpec,
        geometry: Geometry,
        threads: u32,
    ) -> Result<Self> {
        let whole = Rect { x: 0, y: 0, width: spec.width, height: spec.height };
        let unchanged =
            geometry.source == whole && geometry.target == whole && geometry.frame == geometry.input;
        let direct = unchanged && info.format() == gst_video::VideoFormat::Rgb;
        let colours = if direct { None } else { Some(Converter::to_rgb(info, threads)?) };
        let scaler = match &colours {
            Some(colours) if !unchanged => Some(Converter::scaling(&colours.info, &geometry, threads)?),
            _ => None,
        };
        let range = spec.range.filter(|_| is_deep(info)).unwrap_or(ValueRange::FULL);
        let (gain, black) = range.gain_and_black();
        let scale = spec.std.map(|std| gain / (LEVEL * std));
        let offset = std::array::from_fn(|c| -(spec.mean[c] + black * gain / LEVEL) / spec.std[c]);
        Ok(Self { geometry, scaler, colours, scale, offset })
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
        let unreadable = |e: glib::BoolError| Error::Frame(e.to_string());
        let normalisation = (&self.scale, &self.offset);
        let width = self.geometry.input.0 as usize;
        let Some(colours) = &mut self.colours else {
            let rows = frame.plane_data(0).map_err(unreadable)?.chunks(frame.plane_stride()[0] as usize);
            // A byte repeated is its value in 16 bits, which is what the converter makes of it.
            fill::<3>(rows, width, normalisation, |pixel, c| u16::from_ne_bytes([pixel[c]; 2]), input);
            return Ok(());
        };
        let mut rgb = colours.run(frame)?;
        if let Some(scaler) = &mut self.scaler {
            rgb = scaler.run(&rgb)?;
        }
        let rows = rgb.plane_data(0).map_err(unreadable)?.chunks(rgb.plane_stride()[0] as usize);
        // Alpha, red, green, blue, each in the machine's byte order.
        let level = |pixel: &[u8], c: usize| u16::from_ne_bytes([pixel[2 * c + 2], pixel[2 * c + 3]]);
        fill::<8>(rows, width, normalisation, level, input);
        Ok(())
    }
}

impl Converter {
    /// Scales frames of the format `info` as `geometry` says.
    fn scaling(info: &gst_video::VideoInfo, geometry: &Geometry, threads: u32) -> Result<Self> {
        let (width, height) = geometry.input;
        let target = gst_video::VideoInfo::builder(info.format(), width, height)
            .fps(info.fps())
            .interlace_mode(info.interlace_mode())
            .colorimetry(&info.colorimetry())
            .chroma_site(info.chroma_site())
            .build();
        Self::new(info, target, conversion(geometry, threads))
    }

    /// Converts the colours of frames of the format `info` to RGB of 16 bits.
    pub(super) fn to_rgb(info: &gst_video::VideoInfo, threads: u32) -> Result<Self> {
        let target =
            gst_video::VideoInfo::builder(gst_video::VideoFormat::Argb64, info.width(), info.height())
                .fps(info.fps())
                .interlace_mode(info.interlace_mode())
                .build();
        Self::new(info, target, no_dithering(threads))
    }

    fn new(
        info: &gst_video::VideoInfo,
        target: Result<gst_video::VideoInfo, glib::BoolError>,
        config: gst_video::VideoConverterConfig,
    ) -> Result<Self> {
        let failed = |e: glib::BoolError| {
            Error::Frame(format!("{}x{} {}: {e}", info.width(), info.height(), info.format().to_str()))
        };
        let target = target.map_err(failed)?;
        let converter = gst_video::VideoConverter::new(info, &target, Some(config)).map_err(failed)?;
        let buffer = gst::Buffer::with_size(target.size()).map_err(failed)?;
        Ok(Self { converter, buffer, info: target })
    }

    /// Converts a frame into this converter's own.
    pub(super) fn run(
        &mut self,
        frame: &VideoFrame<'_>,
    ) -> Result<gst_video::VideoFrameRef<&mut gst::BufferRef>> {
        let mut target =
            gst_video::VideoFrameRef::from_buffer_ref_writable(self.buffer.make_mut(), &self.info)
                .map_err(|e| Error::Frame(e.to_string()))?;
        self.converter.frame_ref(frame, &mut target);
        Ok(target)
    }
}

fn no_dithering(threads: u32) -> gst_video::VideoConverterConfig {
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_threads(threads);
    config
}

pub(super) type VideoFrame<'a> = gst_video::VideoFrameRef<&'a gst::BufferRef>;

/// Fills the planes of `input`, `[3, height, width]`, from `rows` of pixels of `BYTES` bytes; `level` gives a channel's 16-bit value.
fn fill<'a, const BYTES: usize>(
    rows: impl Iterator<Item = &'a [u8]>,
    width: usize,
    (scale, offset): (&[f32; 3], &[f32; 3]),
    level: impl Fn(&[u8], usize) -> u16,
    input: &mut [f32],
) {
    let (red, rest) = input.split_at_mut(input.len() / 3);
    let (green, blue) = rest.split_at_mut(rest.len() / 2);
    let planes =
        red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    for (((red, green), blue), row) in planes.zip(rows) {
        let places = red.iter_mut().zip(green).zip(blue);
        for (((r, g), b), pixel) in places.zip(row.as_chunks::<BYTES>().0) {
            *r = f32::from(level(pixel, 0)) * scale[0] + offset[0];
            *g = f32::from(level(pixel, 1)) * scale[1] + offset[1];
            *b = f32::from(level(pixel, 2)) * scale[2] + offset[2];
        }
    }
}

/// Bilinear scaling (antialiased where it shrinks), no dithering: the same pixels give the same tensor.
fn conversion(geometry: &Geometry, threads: u32) -> gst_video::VideoConverterConfig {
    let mut config = no_dithering(threads);
    config.set_resampler_method(gst_video::VideoResamplerMethod::Linear);
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

    fn spec((width, height): (u32, u32), mean: f32, std: f32) -> InputSpec {
        InputSpec { width, height, fit: Fit::Stretch, mean: [mean; 3], std: [std; 3], range: None }
    }

    /// The input's values for a frame of one colour, on the scale of 0 to 255.
    fn seen(format: gst_video::VideoFormat, (width, height): (u32, u32), planes: [u8; 3]) -> Vec<f32> {
        gst::init().unwrap();
        let spec = spec((64, 64), 0.0, 1.0);
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

    #[test]
    fn threads_make_no_difference() {
        gst::init().unwrap();
        let spec = spec((64, 96), 0.0, 1.0);
        for format in
            [gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Yuy2, gst_video::VideoFormat::Rgb]
        {
            for (width, height) in [(640, 361), (41, 33), (64, 5)] {
                let info = gst_video::VideoInfo::builder(format, width, height).build().unwrap();
                let noise = (0..info.size()).map(|i| (i * i * 31 % 251) as u8).collect::<Vec<_>>();
                let buffer = gst::Buffer::from_slice(noise);
                let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(&buffer, &info).unwrap();
                let values = |threads| {
                    let mut values = vec![0.0; spec.len()];
                    let mut preprocessor = Preprocessor::threaded(&info, &spec, None, threads).unwrap();
                    (0..3).for_each(|_| preprocessor.run(&frame, &mut values).unwrap());
                    values
                };
                let one = values(1);
                for threads in [2, 3, 8] {
                    assert_eq!(one, values(threads), "{format} {width}x{height} on {threads} threads");
                }
            }
        }
    }

    #[test]
    fn pixels_taken_as_they_are_equal_converted_ones() {
        gst::init().unwrap();
        let rgb: Vec<u8> = (0..32 * 32 * 3).map(|i| (i * 7 % 256) as u8).collect();
        let spec = spec((32, 32), 127.0, 128.0);
        let picture = crate::frame::Picture::from_rgb(32, 32, &rgb).unwrap();
        let mut direct = Preprocessor::new(picture.info(), &spec, None).unwrap();
        assert!(direct.colours.is_none() && direct.scaler.is_none());
        let colours = Some(Converter::to_rgb(picture.info(), 1).unwrap());
        let mut converted =
            Preprocessor { colours, ..Preprocessor::new(picture.info(), &spec, None).unwrap() };
        let (mut found, mut expected) = (vec![0.0; spec.len()], vec![0.0; spec.len()]);
        direct.run(&picture.frame().unwrap(), &mut found).unwrap();
        converted.run(&picture.frame().unwrap(), &mut expected).unwrap();
        assert_eq!(found, expected);
        assert!((found[0] - (0.0 - 127.0) / 128.0).abs() < 1e-6);
    }
}
