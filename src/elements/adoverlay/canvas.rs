//! Surfaces to draw on, which come back for the next frame once nobody reads them any more.

use super::area::Area;
use cairo::{Format, ImageSurface, ImageSurfaceDataOwned};
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta, VideoOverlayFormatFlags, VideoOverlayRectangle};
use std::sync::{Arc, Mutex, PoisonError};

/// Cairo's ARGB32 in GStreamer's words, the only format of rectangles that every sink takes.
const FORMAT: VideoFormat =
    if cfg!(target_endian = "little") { VideoFormat::Bgra } else { VideoFormat::Argb };
/// Surfaces kept for later frames.
const KEPT: usize = 8;
/// Sizes are rounded up to this, so that a region that grows a little fits again.
const ROUNDED: i32 = 64;
/// A surface is used for something smaller up to this ratio of sizes.
const WASTED: u64 = 4;
/// Pixels of a surface: a whole 4K frame. Larger areas are drawn smaller and scaled up by the composition.
const MOST_PIXELS: u64 = 3840 * 2160;
/// Cairo's coordinates end at 32767.
const LONGEST: i32 = 16384;

/// Why something could not be drawn.
#[derive(Debug, thiserror::Error)]
pub(in crate::elements) enum DrawError {
    #[error("cairo: {0}")]
    Cairo(#[from] cairo::Error),
    #[error("cairo: {0}")]
    Borrowed(#[from] cairo::BorrowError),
    #[error("{0}")]
    Glib(#[from] glib::BoolError),
}

/// Surfaces that nobody uses.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Vec<ImageSurfaceDataOwned>>>);

impl Pool {
    /// A transparent canvas for a part of the frame, which must not be empty.
    pub(super) fn canvas(&self, area: Area) -> Result<Canvas, DrawError> {
        let step = step(area);
        let (width, height) = (area.width().div_euclid(step).max(1), area.height().div_euclid(step).max(1));
        let mut surface = match self.take(width, height) {
            Some(surface) => surface,
            None => {
                let rounded = |length: i32| (length + ROUNDED - 1) / ROUNDED * ROUNDED;
                ImageSurface::create(Format::ARgb32, rounded(width), rounded(height))?
            }
        };
        let stride = surface.stride() as usize;
        for row in surface.data()?.chunks_exact_mut(stride).take(height as usize) {
            row[..4 * width as usize].fill(0);
        }
        Ok(Canvas { area, width, height, surface, pool: self.clone() })
    }

    fn take(&self, width: i32, height: i32) -> Option<ImageSurface> {
        let needed = Area::new(0, 0, width, height).size();
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for index in (0..free.len()).rev() {
            let surface = free.swap_remove(index).into_inner();
            let size = Area::new(0, 0, surface.width(), surface.height()).size();
            let fits = surface.width() >= width && surface.height() >= height;
            let small = size <= WASTED * needed.max(u64::from(ROUNDED.unsigned_abs().pow(2)));
            if fits && small {
                return Some(surface);
            }
            if let Ok(data) = surface.take_data() {
                free.push(data);
            }
        }
        None
    }

    fn give_back(&self, surface: ImageSurfaceDataOwned) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() >= KEPT {
            free.remove(0);
        }
        free.push(surface);
    }
}

/// How many frame pixels a canvas pixel covers in either direction.
fn step(area: Area) -> i32 {
    let mut step = 1;
    let length = area.width().max(area.height());
    while length / step > LONGEST || area.size() / (step as u64).pow(2) > MOST_PIXELS {
        step += 1;
    }
    step
}

/// A transparent surface over a part of the frame.
pub(super) struct Canvas {
    area: Area,
    width: i32,
    height: i32,
    surface: ImageSurface,
    pool: Pool,
}

impl Canvas {
    /// Frame pixels for a canvas pixel, across and down.
    pub(super) fn scale(&self) -> (f64, f64) {
        (
            f64::from(self.area.width()) / f64::from(self.width),
            f64::from(self.area.height()) / f64::from(self.height),
        )
    }

    /// Pixels across.
    pub(super) fn width(&self) -> usize {
        self.width as usize
    }

    /// The part of the frame.
    pub(super) fn area(&self) -> Area {
        self.area
    }

    /// Hands the rows over, each of the width of the canvas, in premultiplied native ARGB.
    pub(super) fn rows(&mut self, mut draw: impl FnMut(usize, &mut [[u8; 4]])) -> Result<(), DrawError> {
        let (width, height) = (self.width as usize, self.height as usize);
        let stride = self.surface.stride() as usize;
        let mut data = self.surface.data()?;
        for (y, row) in data.chunks_exact_mut(stride).take(height).enumerate() {
            let (pixels, _) = row.as_chunks_mut::<4>();
            draw(y, &mut pixels[..width]);
        }
        Ok(())
    }

    /// A context whose units are frame pixels.
    pub(super) fn context(&self) -> Result<cairo::Context, DrawError> {
        let context = cairo::Context::new(&self.surface)?;
        let (across, down) = self.scale();
        context.rectangle(0.0, 0.0, f64::from(self.width), f64::from(self.height));
        context.clip();
        context.scale(across.recip(), down.recip());
        context.translate(-f64::from(self.area.left), -f64::from(self.area.top));
        Ok(context)
    }

    /// The drawing as a part of a composition. No context may be left.
    pub(super) fn into_rectangle(self) -> Result<VideoOverlayRectangle, DrawError> {
        let Self { area, width, height, surface, pool } = self;
        let stride = surface.stride();
        surface.flush();
        let pixels = Lent { surface: Some(surface.take_data()?), pool };
        let mut buffer = gst::Buffer::from_slice(pixels);
        VideoMeta::add_full(
            buffer.make_mut(),
            VideoFrameFlags::empty(),
            FORMAT,
            width.unsigned_abs(),
            height.unsigned_abs(),
            &[0],
            &[stride],
        )?;
        Ok(VideoOverlayRectangle::new_raw(
            &buffer,
            area.left,
            area.top,
            area.width().unsigned_abs(),
            area.height().unsigned_abs(),
            VideoOverlayFormatFlags::PREMULTIPLIED_ALPHA,
        ))
    }
}

/// The memory of a rectangle. Goes back to the pool with the last reference.
struct Lent {
    surface: Option<ImageSurfaceDataOwned>,
    pool: Pool,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.surface.as_ref().map_or(&[], AsRef::as_ref)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(surface) = self.surface.take() {
            self.pool.give_back(surface);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surfaces_come_back() {
        gst::init().unwrap();
        let pool = Pool::default();
        let first = pool.canvas(Area::new(3, 4, 103, 54)).unwrap().into_rectangle().unwrap();
        assert_eq!(first.render_rectangle(), (3, 4, 100, 50));
        assert_eq!(pool.0.lock().unwrap().len(), 0);
        drop(first);
        assert_eq!(pool.0.lock().unwrap().len(), 1);
        let second = pool.canvas(Area::new(0, 0, 90, 60)).unwrap();
        assert_eq!(pool.0.lock().unwrap().len(), 0);
        drop(second);
    }

    #[test]
    fn a_canvas_starts_transparent() {
        gst::init().unwrap();
        let pool = Pool::default();
        let mut canvas = pool.canvas(Area::new(0, 0, 10, 10)).unwrap();
        canvas.rows(|_, row| row.fill([255; 4])).unwrap();
        drop(canvas.into_rectangle().unwrap());
        let mut again = pool.canvas(Area::new(0, 0, 10, 10)).unwrap();
        again.rows(|_, row| assert!(row.iter().all(|pixel| *pixel == [0; 4]))).unwrap();
    }

    #[test]
    fn endless_frames_are_drawn_smaller() {
        for area in [Area::new(0, 0, 100_000, 1), Area::new(0, 0, 16384, 16384), Area::new(5, 5, 6, 6)] {
            let step = step(area);
            let (width, height) = (area.width() / step, area.height() / step);
            assert!(width <= LONGEST && height <= LONGEST);
            assert!(Area::new(0, 0, width, height).size() <= MOST_PIXELS);
        }
    }
}
