//! The anomaly map of a metadata. Anyone can write metadata: nothing that it says about itself is believed.

use gst_video::VideoMeta;

/// Maps are made at the resolution of the network's input. Nothing real comes near this.
const LARGEST: usize = 64 << 20;

/// Why a map cannot be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::elements) enum MapError {
    #[error("the sample has no caps or no buffer")]
    Incomplete,
    #[error("the caps are not GRAY16_LE video")]
    Caps,
    #[error("{0}x{1} is too large for a map")]
    TooLarge(u32, u32),
    #[error("the buffer is smaller than its caps say")]
    TooSmall,
    #[error("the buffer cannot be read")]
    Unreadable,
}

/// Normalised values times 65535, row by row.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<u16>,
}

impl Map {
    /// Reads the map of a sample in the place of the one before.
    pub(super) fn read(&mut self, sample: &gst::SampleRef) -> Result<(), MapError> {
        let (Some(caps), Some(buffer)) = (sample.caps(), sample.buffer()) else {
            return Err(MapError::Incomplete);
        };
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| MapError::Caps)?;
        if info.format() != gst_video::VideoFormat::Gray16Le || info.width() == 0 || info.height() == 0 {
            return Err(MapError::Caps);
        }
        let (width, height) = (info.width() as usize, info.height() as usize);
        if width.checked_mul(height).is_none_or(|size| size > LARGEST) {
            return Err(MapError::TooLarge(info.width(), info.height()));
        }
        let (offset, stride) = match buffer.meta::<VideoMeta>() {
            Some(meta) => (meta.offset().first().copied(), meta.stride().first().copied()),
            None => (info.offset().first().copied(), info.stride().first().copied()),
        };
        let offset = offset.ok_or(MapError::TooSmall)?;
        let stride = stride.and_then(|stride| usize::try_from(stride).ok()).ok_or(MapError::TooSmall)?;
        let row = width * size_of::<u16>();
        if stride < row {
            return Err(MapError::TooSmall);
        }
        let readable = buffer.map_readable().map_err(|_| MapError::Unreadable)?;
        let last = stride.checked_mul(height - 1).and_then(|last| last.checked_add(row));
        let end = last.and_then(|last| last.checked_add(offset)).ok_or(MapError::TooSmall)?;
        let bytes = readable.get(offset..end).ok_or(MapError::TooSmall)?;

        self.values.clear();
        self.values.reserve(width * height);
        for line in bytes.chunks(stride) {
            self.values
                .extend(line[..row].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])));
        }
        (self.width, self.height) = (width, height);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: i32, height: i32, bytes: usize) -> gst::Sample {
        gst::init().unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "GRAY16_LE")
            .field("width", width)
            .field("height", height)
            .field("framerate", gst::Fraction::new(0, 1))
            .build();
        let data: Vec<u8> = (0..bytes).map(|index| index as u8).collect();
        gst::Sample::builder().caps(&caps).buffer(&gst::Buffer::from_slice(data)).build()
    }

    #[test]
    fn rows_are_read_without_their_padding() {
        let mut map = Map::default();
        map.read(&sample(3, 2, 16)).unwrap();
        assert_eq!(map.values, [0x0100, 0x0302, 0x0504, 0x0908, 0x0b0a, 0x0d0c]);
        // The padding behind the last row may be missing.
        map.read(&sample(3, 2, 14)).unwrap();
    }

    #[test]
    fn lies_are_refused() {
        let mut map = Map::default();
        assert_eq!(map.read(&sample(3, 2, 13)), Err(MapError::TooSmall));
        assert_eq!(map.read(&sample(100, 100, 0)), Err(MapError::TooSmall));
        assert_eq!(map.read(&sample(20000, 20000, 8)), Err(MapError::TooLarge(20000, 20000)));
        let empty = gst::Sample::builder().build();
        assert_eq!(map.read(&empty), Err(MapError::Incomplete));
        for (stride, offset) in [(2, 0), (-8, 0), (i32::MAX, usize::MAX), (8, 100)] {
            let mut liar = sample(3, 2, 16);
            let sample = liar.get_mut().unwrap();
            let mut buffer = sample.buffer_owned().unwrap();
            let format = gst_video::VideoFormat::Gray16Le;
            let flags = gst_video::VideoFrameFlags::empty();
            VideoMeta::add_full(buffer.make_mut(), flags, format, 3, 2, &[offset], &[stride]).unwrap();
            sample.set_buffer(Some(&buffer));
            assert_eq!(map.read(sample), Err(MapError::TooSmall), "stride {stride}, offset {offset}");
        }
    }
}
