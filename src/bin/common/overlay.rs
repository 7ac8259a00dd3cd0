//! Heatmaps over images.

use anyhow::{Context, anyhow};
use gst_video::{VideoFormat, VideoFrameRef, VideoInfo};
use gstanomaly::bundle::ScoreRange;
use gstanomaly::frame::{Geometry, Rect, RgbReader, ValueRange};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::methods::Anomaly;
use image::RgbImage;

/// How much of a pixel the colour of an anomaly takes.
const OPACITY: f32 = 0.65;
/// Normalised value from which on a colour has its full opacity: the threshold. Below it fades, so that good parts stay visible.
const OPAQUE_FROM: f32 = 0.5;

/// A frame of any format as 8-bit RGB; `range` is what the bundle takes for black and white in 16 bits.
pub fn to_rgb(
    info: &VideoInfo,
    frame: &VideoFrameRef<&gst::BufferRef>,
    range: Option<ValueRange>,
) -> anyhow::Result<RgbImage> {
    if info.comp_depth(0) > u8::BITS {
        return Ok(RgbReader::new(info, range)?.read(frame)?);
    }
    let (width, height) = (info.width(), info.height());
    let rgb_info = VideoInfo::builder(VideoFormat::Rgb, width, height)
        .fps(info.fps())
        .interlace_mode(info.interlace_mode())
        .build()?;
    let converter = gst_video::VideoConverter::new(info, &rgb_info, None)?;
    let mut buffer = gst::Buffer::with_size(rgb_info.size())?;
    let buffer = buffer.get_mut().context("a new buffer is shared")?;
    let mut rgb = VideoFrameRef::from_buffer_ref_writable(buffer, &rgb_info)?;
    converter.frame_ref(frame, &mut rgb);
    let stride = rgb_info.stride()[0] as usize;
    let row = width as usize * 3;
    let pixels = rgb.plane_data(0)?.chunks(stride).take(height as usize).flat_map(|line| &line[..row]);
    RgbImage::from_raw(width, height, pixels.copied().collect())
        .ok_or_else(|| anyhow!("a frame is too short"))
}

/// Lays the heatmap of `anomaly` over the image that it was made from, or over that image at another size.
pub fn draw(image: &mut RgbImage, anomaly: &Anomaly) -> anyhow::Result<()> {
    draw_map(image, &anomaly.map, anomaly.map_range, anomaly.geometry)
}

/// Lays the heatmap of a `map`, `[input height, input width]`, whose values mean what `range` says, over an image in which it lies as
/// `geometry` says, or over that image at another size.
pub fn draw_map(
    image: &mut RgbImage,
    map: &[f32],
    range: ScoreRange,
    geometry: Geometry,
) -> anyhow::Result<()> {
    let seen = scaled(geometry.source, geometry.frame, image.dimensions());
    let heat = heat(map, range, geometry, (seen.height as usize, seen.width as usize));
    for (y, row) in heat.chunks_exact(seen.width as usize).enumerate() {
        for (x, &value) in row.iter().enumerate() {
            let alpha = OPACITY * (value / OPAQUE_FROM).min(1.0);
            let pixel = image.get_pixel_mut(seen.x + x as u32, seen.y + y as u32);
            for (channel, colour) in pixel.0.iter_mut().zip(turbo(value)) {
                *channel = (f32::from(*channel) * (1.0 - alpha) + colour * alpha).round() as u8;
            }
        }
    }
    Ok(())
}

/// The normalised map, `size` rows x columns, of the part of the input that shows the frame.
fn heat(map: &[f32], range: ScoreRange, geometry: Geometry, size: (usize, usize)) -> Vec<f32> {
    shown(map, geometry, size, |value| range.normalise(f64::from(value)) as f32)
}

/// `value` of a map over the input, `size` rows x columns, of the part of the input that shows the frame.
pub fn shown(map: &[f32], geometry: Geometry, size: (usize, usize), value: impl Fn(f32) -> f32) -> Vec<f32> {
    let Geometry { target, input, .. } = geometry;
    let (columns, width) = (input.0 as usize, target.width as usize);
    let rows = map.chunks_exact(columns).skip(target.y as usize).take(target.height as usize);
    let shown: Vec<f32> =
        rows.flat_map(|row| &row[target.x as usize..][..width]).map(|&raw| value(raw)).collect();
    let mut resized = vec![0.0; size.0 * size.1];
    Bilinear::new((target.height as usize, width), size).run(&shown, &mut resized);
    resized
}

/// A rectangle of a frame in the same frame at another size, at least one pixel of it.
pub fn scaled(rect: Rect, from: (u32, u32), to: (u32, u32)) -> Rect {
    let axis = |start: u32, length: u32, from: u32, to: u32| {
        let place = |at: u32| (u64::from(at) * u64::from(to) / u64::from(from)) as u32;
        let first = place(start).min(to - 1);
        (first, place(start + length).clamp(first + 1, to) - first)
    };
    let (x, width) = axis(rect.x, rect.width, from.0, to.0);
    let (y, height) = axis(rect.y, rect.height, from.1, to.1);
    Rect { x, y, width, height }
}

/// The turbo colour map, blue over green to red, as a polynomial (Mikhailov and Du, Google, 2019): R, G, B 0..255 of 0..1.
fn turbo(value: f32) -> [f32; 3] {
    const COEFFICIENTS: [[f32; 6]; 3] = [
        [0.135_721_4, 4.615_392_6, -42.660_32, 132.131_08, -152.942_4, 59.286_38],
        [0.091_402_61, 2.194_188_4, 4.842_966_6, -14.185_033, 4.277_298_6, 2.829_566],
        [0.106_673_3, 12.641_946, -60.582_05, 110.362_77, -89.903_11, 27.348_25],
    ];
    COEFFICIENTS.map(|c| 255.0 * c.iter().rev().fold(0.0, |sum, c| sum * value + c).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turbo_runs_from_blue_over_green_to_red() {
        let strongest = |value| {
            let colour = turbo(value);
            (0..3).max_by(|&a, &b| colour[a].total_cmp(&colour[b])).unwrap()
        };
        assert_eq!([0.1, 0.5, 0.95].map(strongest), [2, 1, 0]);
    }

    #[test]
    fn a_part_of_a_frame_stays_in_a_smaller_picture() {
        let part = Rect { x: 90, y: 0, width: 10, height: 100 };
        assert_eq!(scaled(part, (100, 100), (10, 5)), Rect { x: 9, y: 0, width: 1, height: 5 });
        assert_eq!(scaled(part, (100, 100), (3, 1)), Rect { x: 2, y: 0, width: 1, height: 1 });
    }
}
