//! Reading an image at places between its pixels, and moving images about.

use image::{Rgb, RgbImage};

/// The value at `(x, y)`, where whole numbers are pixels; bilinear, mirrored beyond the border.
pub fn read(image: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    let (x0, y0) = (x.floor(), y.floor());
    let (fx, fy) = ((x - x0) as f32, (y - y0) as f32);
    let (left, right) = (mirrored(x0, image.width()), mirrored(x0 + 1.0, image.width()));
    let (above, below) = (mirrored(y0, image.height()), mirrored(y0 + 1.0, image.height()));
    let pixels = image.as_raw();
    let at = |x: u32, y: u32| {
        let place = (y as usize * image.width() as usize + x as usize) * 3;
        [pixels[place], pixels[place + 1], pixels[place + 2]].map(f32::from)
    };
    let (a, b, c, d) = (at(left, above), at(right, above), at(left, below), at(right, below));
    Rgb(std::array::from_fn(|i| {
        let (top, bottom) = (a[i] + (b[i] - a[i]) * fx, c[i] + (d[i] - c[i]) * fx);
        (top + (bottom - top) * fy + 0.5) as u8
    }))
}

/// The pixel that stands for place `at` of a row that is mirrored again and again.
fn mirrored(at: f64, side: u32) -> u32 {
    let at = at as i64;
    let side = i64::from(side);
    let at = at.rem_euclid(2 * side);
    at.min(2 * side - 1 - at) as u32
}

/// A rotation and scaling about one point, which then comes to lie at another.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    /// The point of the source (x, y).
    pub from: (f64, f64),
    /// Where it goes.
    pub to: (f64, f64),
    cos: f64,
    sin: f64,
    scale: f64,
}

impl Placement {
    /// Turns by `degrees` and enlarges by `scale` about `point`, which stays.
    pub fn about(point: (f64, f64), degrees: f64, scale: f64) -> Self {
        let (sin, cos) = degrees.to_radians().sin_cos();
        Self { from: point, to: point, cos, sin, scale }
    }

    /// Where a place of the source goes.
    pub fn target(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (dx, dy) = ((x - self.from.0) * self.scale, (y - self.from.1) * self.scale);
        (self.to.0 + self.cos * dx - self.sin * dy, self.to.1 + self.sin * dx + self.cos * dy)
    }

    /// The place of the source that goes to a place.
    pub fn source(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (dx, dy) = ((x - self.to.0) / self.scale, (y - self.to.1) / self.scale);
        (self.from.0 + self.cos * dx + self.sin * dy, self.from.1 - self.sin * dx + self.cos * dy)
    }

    /// An image of `size` (width, height) read through the placement.
    pub fn image(&self, source: &RgbImage, size: (u32, u32)) -> RgbImage {
        RgbImage::from_fn(size.0, size.1, |x, y| {
            let (x, y) = self.source((f64::from(x), f64::from(y)));
            read(source, x, y)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut placement = Placement::about((3.0, 4.0), 37.0, 1.3);
        placement.to = (10.0, -2.0);
        let (x, y) = placement.source(placement.target((5.5, 7.25)));
        assert!((x - 5.5).abs() < 1e-9 && (y - 7.25).abs() < 1e-9);
    }

    #[test]
    fn a_quarter_turn_moves_pixels_exactly_and_borders_mirror() {
        let image = RgbImage::from_fn(3, 3, |x, y| Rgb([(x * 10 + y) as u8; 3]));
        let turned = Placement::about((1.0, 1.0), 90.0, 1.0).image(&image, (3, 3));
        assert_eq!(turned.get_pixel(2, 0), image.get_pixel(0, 0));
        assert_eq!(read(&image, -1.0, 0.0), *image.get_pixel(0, 0));
        assert_eq!(read(&image, 3.0, 0.0), *image.get_pixel(2, 0));
        assert_eq!(read(&image, 0.5, 0.0).0[0], 5);
    }
}
