//! The anomaly map as a GStreamer sample: GRAY16_LE, the normalised value times 65535.

use crate::kernels::simd::wide;
use crate::meta::MapPlace;
use crate::methods::Anomaly;
use crate::pool::{Pool, Pooled};

/// Makes samples; their memory comes back when the last reader is done.
#[derive(Debug, Default)]
pub(super) struct MapSamples {
    pool: Pool<Vec<u16>>,
    caps: Option<((u32, u32), gst::Caps)>,
}

/// The memory of a map as bytes.
struct Bytes(Pooled<Vec<u16>>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl MapSamples {
    /// The map of `anomaly`, without the padding that may surround it in the network's input, and its place in the frame.
    ///
    /// # Errors
    /// If the caps cannot be made, which a checked bundle does not cause.
    pub(super) fn make(&mut self, anomaly: &Anomaly) -> Result<(gst::Sample, MapPlace), glib::BoolError> {
        let geometry = anomaly.geometry;
        let (target, source) = (geometry.target, geometry.source);
        let size = (target.width, target.height);
        let caps = match &self.caps {
            Some((known, caps)) if *known == size => caps.clone(),
            _ => {
                let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Gray16Le, size.0, size.1)
                    .build()?;
                let caps = info.to_caps()?;
                self.caps = Some((size, caps.clone()));
                caps
            }
        };
        // GStreamer's rows of GRAY16 are padded to four bytes.
        let (width, stride) = (size.0 as usize, (size.0 as usize).next_multiple_of(2));
        let mut values = self.pool.take(Vec::new);
        values.resize(stride * size.1 as usize, 0);
        let scale = 65535.0 / (anomaly.map_range.max - anomaly.map_range.min);
        let offset = -anomaly.map_range.min * scale;
        let input_width = geometry.input.0 as usize;
        for (y, row) in values.chunks_exact_mut(stride).enumerate() {
            let start = (target.y as usize + y) * input_width + target.x as usize;
            quantise(&anomaly.map[start..start + width], scale as f32, offset as f32, &mut row[..width]);
        }
        let buffer = gst::Buffer::from_slice(Bytes(values));
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        Ok((sample, MapPlace { x: source.x, y: source.y, width: source.width, height: source.height }))
    }
}

wide! {
    fn quantise(values: &[f32], scale: f32, offset: f32, out: &mut [u16]) {
        for (out, &value) in out.iter_mut().zip(values) {
            // Little-endian, as the format says; `as` saturates at both ends.
            *out = ((value * scale + offset + 0.5).clamp(0.0, 65535.0) as u16).to_le();
        }
    }
}
