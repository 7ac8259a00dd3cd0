//! Cropping that is said in metadata alone, while the memory still holds the whole picture.
//!
//! A decoder of 1080 lines in 1088, or `videocrop`, does so where everybody downstream says that he understands it. The elements that
//! look at pixels say that they do not, for what they find must lie where the others see it. A frame that comes so all the same is
//! copied to the size that its caps say.

use crate::error::{Error, Result};
use crate::frame::Rect;
use gst_video::{VideoAffineTransformationMeta, VideoCropMeta, VideoFrameRef, VideoInfo, VideoMeta};

/// Takes out of the answer to an allocation query what says that pixels are to be seen elsewhere than where they lie in memory.
pub(super) fn refuse(query: &mut gst::query::Allocation) {
    while let Some(index) = query.find_allocation_meta::<VideoCropMeta>() {
        query.remove_nth_allocation_meta(index);
    }
    while let Some(index) = query.find_allocation_meta::<VideoAffineTransformationMeta>() {
        query.remove_nth_allocation_meta(index);
    }
}

/// The part of a frame of the caps' size that its crop metadata shows; none where it shows all, or there is none.
pub(super) fn part(buffer: &gst::BufferRef, info: &VideoInfo) -> Option<Rect> {
    let shown = buffer.meta::<VideoCropMeta>().map(|meta| rect(&meta))?;
    let all = Rect { x: 0, y: 0, width: info.width(), height: info.height() };
    (memory_size(buffer, info) == (all.width, all.height) && shown != all).then_some(shown)
}

/// The frame at the size of its caps, with what it had before; as it is where its memory has that size already.
///
/// # Errors
/// If the metadata shows a part of another size than the caps say, or one that is not in the memory.
pub(super) fn cut_out(buffer: gst::Buffer, info: &VideoInfo) -> Result<gst::Buffer> {
    let Some(shown) = buffer.meta::<VideoCropMeta>().map(|meta| rect(&meta)) else { return Ok(buffer) };
    let (width, height) = memory_size(&buffer, info);
    if (width, height) == (info.width(), info.height()) {
        return Ok(buffer);
    }
    let inside =
        |start: u32, length: u32, side: u32| start.checked_add(length).is_some_and(|end| end <= side);
    let fits = (shown.width, shown.height) == (info.width(), info.height());
    if !fits || !inside(shown.x, shown.width, width) || !inside(shown.y, shown.height, height) {
        return Err(Error::Frame(format!(
            "its crop metadata shows {}x{} at {},{} of {width}x{height} pixels in memory, and its caps say {}x{}",
            shown.width,
            shown.height,
            shown.x,
            shown.y,
            info.width(),
            info.height()
        )));
    }
    copy(&buffer, info, (width, height), shown)
        .map_err(|e| Error::Frame(format!("it cannot be cropped: {e}")))
}

fn rect(meta: &VideoCropMeta) -> Rect {
    let (x, y, width, height) = meta.rect();
    Rect { x, y, width, height }
}

fn memory_size(buffer: &gst::BufferRef, info: &VideoInfo) -> (u32, u32) {
    let meta = buffer.meta::<VideoMeta>();
    meta.map_or((info.width(), info.height()), |meta| (meta.width(), meta.height()))
}

fn copy(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    (width, height): (u32, u32),
    shown: Rect,
) -> Result<gst::Buffer, glib::BoolError> {
    let whole = VideoInfo::builder(info.format(), width, height)
        .fps(info.fps())
        .interlace_mode(info.interlace_mode())
        .colorimetry(&info.colorimetry())
        .chroma_site(info.chroma_site())
        .build()?;
    let mut config = gst_video::VideoConverterConfig::new();
    config.set_dither_method(gst_video::VideoDitherMethod::None);
    config.set_src_x(shown.x as i32);
    config.set_src_y(shown.y as i32);
    config.set_src_width(Some(shown.width as i32));
    config.set_src_height(Some(shown.height as i32));
    let converter = gst_video::VideoConverter::new(&whole, info, Some(config))?;
    let mut cut = gst::Buffer::with_size(info.size())?;
    let to = cut.make_mut();
    {
        let from = VideoFrameRef::from_buffer_ref_readable(buffer, &whole)?;
        let mut to = VideoFrameRef::from_buffer_ref_writable(to, info)?;
        converter.frame_ref(&from, &mut to);
    }
    buffer.copy_into(
        to,
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS | gst::BufferCopyFlags::META,
        ..,
    )?;
    // What described the memory before.
    if let Some(old) = to.meta_mut::<VideoMeta>() {
        old.remove()?;
    }
    while let Some(old) = to.meta_mut::<VideoCropMeta>() {
        old.remove()?;
    }
    Ok(cut)
}
