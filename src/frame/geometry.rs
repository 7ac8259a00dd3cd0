//! Which part of a frame the network sees, and where a place of its map lies in the frame.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A rectangle in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

impl Rect {
    /// What lies in both; none if nothing does.
    pub fn common(&self, other: &Self) -> Option<Self> {
        let span = |a: u32, a_length: u32, b: u32, b_length: u32| {
            let first = a.max(b);
            let length = a.saturating_add(a_length).min(b.saturating_add(b_length)).checked_sub(first)?;
            (length > 0).then_some((first, length))
        };
        let (x, width) = span(self.x, self.width, other.x, other.width)?;
        let (y, height) = span(self.y, self.height, other.y, other.height)?;
        Some(Self { x, y, width, height })
    }
}

impl std::fmt::Display for Rect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{},{},{}", self.x, self.y, self.width, self.height)
    }
}

impl std::str::FromStr for Rect {
    type Err = Error;

    /// Reads "x,y,w,h".
    fn from_str(text: &str) -> Result<Self> {
        let numbers: Vec<u32> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| {
                Error::Setting(format!("'{text}' is not a rectangle: expected \"x,y,w,h\" in pixels"))
            })?;
        match numbers[..] {
            [x, y, width, height] if width > 0 && height > 0 => Ok(Self { x, y, width, height }),
            _ => Err(Error::Setting(format!(
                "'{text}' is not a rectangle: expected \"x,y,w,h\" in pixels with w and h of at least 1"
            ))),
        }
    }
}

/// How the inspected part of a frame is brought to the size of the network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Scaled to the input size, whatever its shape.
    #[default]
    Stretch,
    /// Scaled to fit inside, the rest filled with black.
    Pad,
    /// Scaled to cover the input, what sticks out cut off on both sides.
    Crop,
    /// Scaled until the shorter side has that many pixels, then the input cut from the middle, as networks for ImageNet are
    /// often fed; as [`Fit::Crop`] where that would be too small to cut the input from.
    Centre(u32),
}

/// The two rectangles that correspond: `source` in the frame, `target` in the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the frame (width, height).
    pub frame: (u32, u32),
    /// Size of the network's input (width, height).
    pub input: (u32, u32),
    /// The part of the frame that is seen.
    pub source: Rect,
    /// Where it lands in the input.
    pub target: Rect,
}

impl Geometry {
    /// Places the part `roi` (or the whole) of a frame into an input.
    ///
    /// # Errors
    /// If the frame is empty or `roi` does not lie inside it.
    pub fn new(frame: (u32, u32), input: (u32, u32), fit: Fit, roi: Option<Rect>) -> Result<Self> {
        let (width, height) = frame;
        let seen = roi.unwrap_or(Rect { x: 0, y: 0, width, height });
        let inside = |start: u32, length: u32, limit: u32| {
            length > 0 && start.checked_add(length).is_some_and(|e| e <= limit)
        };
        if !inside(seen.x, seen.width, width) || !inside(seen.y, seen.height, height) {
            return Err(Error::Frame(format!(
                "roi {seen} does not lie inside the frame of {width}x{height}; in per cent (roi=10%,10%,80%,80%) it fits frames of all sizes"
            )));
        }
        let whole = Rect { x: 0, y: 0, width: input.0, height: input.1 };
        let (source, target) = match fit {
            Fit::Stretch => (seen, whole),
            Fit::Pad => (seen, inscribed((seen.width, seen.height), whole)),
            Fit::Crop => (inscribed(input, seen), whole),
            Fit::Centre(side) => (central(input, seen, side), whole),
        };
        Ok(Self { frame, input, source, target })
    }

    /// The rectangle of the frame that a rectangle of the input covers, at least one pixel.
    pub fn to_frame(&self, rect: Rect) -> Rect {
        let (x, width) =
            span(rect.x, rect.width, self.target.x, self.target.width, self.source.x, self.source.width);
        let (y, height) =
            span(rect.y, rect.height, self.target.y, self.target.height, self.source.y, self.source.height);
        Rect { x, y, width, height }
    }
}

/// The largest rectangle of the shape `(width, height)` inside `outer`, in its middle.
fn inscribed((width, height): (u32, u32), outer: Rect) -> Rect {
    let (w, h) = (u64::from(width), u64::from(height));
    let (ow, oh) = (u64::from(outer.width), u64::from(outer.height));
    let (iw, ih) = if w * oh >= h * ow { (ow, (ow * h / w).max(1)) } else { ((oh * w / h).max(1), oh) };
    let (iw, ih) = (iw as u32, ih as u32);
    Rect { x: outer.x + (outer.width - iw) / 2, y: outer.y + (outer.height - ih) / 2, width: iw, height: ih }
}

/// What an input of `(width, height)` shows of `outer`, from its middle, when the shorter side of `outer` is scaled to `side`.
fn central((width, height): (u32, u32), outer: Rect, side: u32) -> Rect {
    let most = inscribed((width, height), outer);
    let scale = f64::from(outer.width.min(outer.height)) / f64::from(side.max(1));
    let shown = |length: u32, most: u32| ((f64::from(length) * scale).round() as u32).clamp(1, most);
    let (w, h) = (shown(width, most.width), shown(height, most.height));
    Rect { x: outer.x + (outer.width - w) / 2, y: outer.y + (outer.height - h) / 2, width: w, height: h }
}

/// Maps an interval of the target axis onto the source axis, rounded outwards and kept inside.
fn span(
    start: u32,
    length: u32,
    target: u32,
    target_length: u32,
    source: u32,
    source_length: u32,
) -> (u32, u32) {
    let scale = f64::from(source_length) / f64::from(target_length);
    let limit = f64::from(source_length);
    let first = ((f64::from(start) - f64::from(target)) * scale).floor().clamp(0.0, limit - 1.0);
    let last =
        ((f64::from(start) + f64::from(length) - f64::from(target)) * scale).ceil().clamp(first + 1.0, limit);
    (source + first as u32, (last - first) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretch_covers_everything() {
        let g = Geometry::new((640, 360), (320, 320), Fit::Stretch, None).unwrap();
        let all = g.to_frame(Rect { x: 0, y: 0, width: 320, height: 320 });
        assert_eq!(all, Rect { x: 0, y: 0, width: 640, height: 360 });
        assert_eq!(
            g.to_frame(Rect { x: 160, y: 160, width: 1, height: 8 }),
            Rect { x: 320, y: 180, width: 2, height: 9 }
        );
    }

    #[test]
    fn pad_and_crop_keep_the_shape() {
        let pad = Geometry::new((640, 320), (320, 320), Fit::Pad, None).unwrap();
        assert_eq!(pad.target, Rect { x: 0, y: 80, width: 320, height: 160 });
        let crop = Geometry::new((640, 320), (320, 320), Fit::Crop, None).unwrap();
        assert_eq!(crop.source, Rect { x: 160, y: 0, width: 320, height: 320 });
        for (w, h) in [(1, 1), (16384, 1), (1, 16384)] {
            for fit in [Fit::Stretch, Fit::Pad, Fit::Crop, Fit::Centre(1), Fit::Centre(340), Fit::Centre(0)] {
                let g = Geometry::new((w, h), (320, 320), fit, None).unwrap();
                assert!(
                    g.source.width > 0 && g.target.height > 0 && g.target.width > 0 && g.source.height > 0
                );
            }
        }
    }

    #[test]
    fn the_centre_is_what_resize_and_crop_show() {
        let shown = |frame, side| Geometry::new(frame, (224, 224), Fit::Centre(side), None).unwrap().source;
        assert_eq!(shown((256, 256), 256), Rect { x: 16, y: 16, width: 224, height: 224 });
        assert_eq!(shown((400, 400), 256), Rect { x: 25, y: 25, width: 350, height: 350 });
        assert_eq!(shown((1024, 512), 256), Rect { x: 288, y: 32, width: 448, height: 448 });
        // Too small to cut the input from: all of it that has the input's shape.
        assert_eq!(shown((400, 400), 100), Rect { x: 0, y: 0, width: 400, height: 400 });
        let wide = Geometry::new((400, 400), (640, 128), Fit::Centre(256), None).unwrap().source;
        assert_eq!(wide, Rect { x: 0, y: 160, width: 400, height: 80 });
        assert_eq!(serde_json::to_string(&Fit::Centre(256)).unwrap(), r#"{"centre":256}"#);
    }

    #[test]
    fn rectangles_have_in_common_what_lies_in_both() {
        let rect = |text: &str| text.parse::<Rect>().unwrap();
        assert_eq!(rect("0,0,10,10").common(&rect("4,6,20,2")), Some(rect("4,6,6,2")));
        assert_eq!(rect("0,0,10,10").common(&rect("10,0,5,5")), None);
        assert_eq!(rect("0,0,4294967295,9").common(&rect("4294967295,0,4294967295,1")), None);
    }

    #[test]
    fn a_roi_outside_is_an_error() {
        let roi = "600,0,100,100".parse().unwrap();
        let error = Geometry::new((640, 360), (320, 320), Fit::Stretch, Some(roi)).unwrap_err();
        assert!(error.to_string().contains("640x360"), "{error}");
        assert!("1,2,3".parse::<Rect>().is_err() && "0,0,0,5".parse::<Rect>().is_err());
    }
}
