//! The part of a frame that is inspected, in pixels or as shares of the frame.

use super::Rect;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// What the whole frame is, in per cent.
const WHOLE: f64 = 100.0;
/// What shares may exceed the whole by, for those that were computed.
const ROUNDING: f64 = 1e-6;

/// A part of frames of any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Roi {
    /// Pixels of the frame.
    Pixels(Rect),
    /// Left, top, width and height in per cent of the frame's sides.
    Percent([f64; 4]),
}

impl Roi {
    /// The rectangle in a frame of `width` x `height`. One in per cent lies inside every frame, with a pixel at least; one in pixels is what it
    /// is.
    pub fn in_frame(self, (width, height): (u32, u32)) -> Rect {
        let span = |start: f64, length: f64, side: u32| {
            let pixels = |share: f64| (share / WHOLE * f64::from(side)).round() as u32;
            let first = pixels(start).min(side.saturating_sub(1));
            (first, pixels(start + length).clamp(first + 1, side.max(first + 1)) - first)
        };
        match self {
            Self::Pixels(rect) => rect,
            Self::Percent([left, top, across, down]) => {
                let ((x, width), (y, height)) = (span(left, across, width), span(top, down, height));
                Rect { x, y, width, height }
            }
        }
    }
}

impl FromStr for Roi {
    type Err = Error;

    /// Reads "x,y,w,h" in pixels, or "x%,y%,w%,h%".
    fn from_str(text: &str) -> Result<Self> {
        if !text.contains('%') {
            return text.parse().map(Self::Pixels);
        }
        let shares: Option<Vec<f64>> =
            text.split(',').map(|part| part.trim().strip_suffix('%')?.trim_end().parse().ok()).collect();
        match shares.as_deref() {
            Some(&[x, y, width, height])
                if x >= 0.0
                    && y >= 0.0
                    && width > 0.0
                    && height > 0.0
                    && x + width <= WHOLE + ROUNDING
                    && y + height <= WHOLE + ROUNDING =>
            {
                Ok(Self::Percent([x, y, width, height]))
            }
            _ => Err(Error::Setting(format!(
                "'{text}' is not a part of the frame: expected \"x%,y%,w%,h%\" with w and h above 0, and x + w and y + h of at most 100 %"
            ))),
        }
    }
}

impl fmt::Display for Roi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(rect) => rect.fmt(f),
            Self::Percent([x, y, width, height]) => write!(f, "{x}%,{y}%,{width}%,{height}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_inside_every_frame() {
        let whole: Roi = "0%, 0%, 100%, 100%".parse().unwrap();
        let corner: Roi = "99.9%,99.9%,0.1%,0.1%".parse().unwrap();
        let thirds: Roi = "33.3333333%,66.6666667%,66.6666667%,33.3333333%".parse().unwrap();
        for size in [(1, 1), (2, 3), (96, 80), (1920, 1080), (16384, 1)] {
            for roi in [whole, corner, thirds] {
                let Rect { x, y, width, height } = roi.in_frame(size);
                assert!(width > 0 && height > 0, "{roi} of {size:?}");
                assert!(x + width <= size.0 && y + height <= size.1, "{roi} of {size:?}");
            }
            let all = Rect { x: 0, y: 0, width: size.0, height: size.1 };
            assert_eq!(whole.in_frame(size), all);
        }
        let part: Roi = "25%,10%,50%,37.5%".parse().unwrap();
        assert_eq!(part.in_frame((96, 80)), Rect { x: 24, y: 8, width: 48, height: 30 });
        assert_eq!(part.to_string(), "25%,10%,50%,37.5%");
        assert_eq!("1,2, 3,4".parse::<Roi>().unwrap().to_string(), "1,2,3,4");
    }

    #[test]
    fn what_is_no_part_of_a_frame_is_refused() {
        for text in [
            "bla",
            "10:10:50:50",
            "-1,-1,5,5",
            "0,0,0,0",
            "1,2,3",
            "1,2,3,4,5",
            "",
            "%",
            "10%,10%,50,50",
            "-1%,0%,5%,5%",
            "0%,0%,0%,5%",
            "60%,0%,50%,5%",
            "NaN%,0%,5%,5%",
            "0%,0%,inf%,5%",
            "1e400%,0%,5%,5%",
            "99999999999,0,1,1",
        ] {
            let message = text.parse::<Roi>().unwrap_err().to_string();
            assert!(message.contains(&format!("'{text}'")) && message.contains("expected"), "{message}");
        }
    }
}
