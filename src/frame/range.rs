//! Which values of 16-bit pixels are black and white.

use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};
use std::str::FromStr;

/// The values of 16-bit pixels that the network sees as black and as white; cameras of 10, 12 and 14 bits leave the upper ones unused.
/// What lies beyond goes on in proportion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u16; 2]", into = "[u16; 2]")]
pub struct ValueRange {
    black: u16,
    white: u16,
}

impl ValueRange {
    /// All values of 16 bits.
    pub const FULL: Self = Self { black: 0, white: u16::MAX };

    /// From black to white.
    ///
    /// # Errors
    /// If white is not above black.
    pub fn new(black: u16, white: u16) -> Result<Self, String> {
        match black < white {
            true => Ok(Self { black, white }),
            false => Err(format!("range: white must be above black, found {black} and {white}")),
        }
    }

    /// What is white.
    pub fn white(self) -> u16 {
        self.white
    }

    /// The values of so many bits, 1 to 16.
    pub fn of_bits(bits: u32) -> Self {
        Self { black: 0, white: u16::MAX >> (16 - bits.clamp(1, 16)) }
    }

    /// How much larger than with all values a step of the values is, and the value that is black.
    pub(super) fn gain_and_black(self) -> (f32, f32) {
        (f32::from(u16::MAX) / f32::from(self.white - self.black), f32::from(self.black))
    }

    /// The value with 8 bits.
    pub(super) fn narrow(self, value: u16) -> u8 {
        let (span, above) = (u32::from(self.white - self.black), u32::from(value.saturating_sub(self.black)));
        ((above * 255 + span / 2) / span).min(255) as u8
    }
}

impl TryFrom<[u16; 2]> for ValueRange {
    type Error = String;

    fn try_from([black, white]: [u16; 2]) -> Result<Self, String> {
        Self::new(black, white)
    }
}

impl From<ValueRange> for [u16; 2] {
    fn from(range: ValueRange) -> Self {
        [range.black, range.white]
    }
}

impl Display for ValueRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.black, self.white)
    }
}

impl FromStr for ValueRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let values =
            text.split_once('-').and_then(|(black, white)| Some((black.parse().ok()?, white.parse().ok()?)));
        let (black, white) =
            values.ok_or("expected BLACK-WHITE, two values of 0 to 65535, such as 0-4095")?;
        Self::new(black, white)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for text in ["0-4095", "20000-30000", "0-65535"] {
            let range: ValueRange = text.parse().unwrap();
            assert_eq!(range.to_string(), text);
            let json = serde_json::to_string(&range).unwrap();
            assert_eq!(json, format!("[{}]", text.replace('-', ",")));
            assert_eq!(serde_json::from_str::<ValueRange>(&json).unwrap(), range);
        }
        for text in ["4095", "5-5", "9-3", "0-70000", "a-b", ""] {
            assert!(text.parse::<ValueRange>().is_err(), "{text}");
        }
        assert!(serde_json::from_str::<ValueRange>("[7,7]").unwrap_err().to_string().contains("white"));
        assert_eq!(ValueRange::of_bits(12).to_string(), "0-4095");
        assert_eq!(ValueRange::of_bits(16), ValueRange::FULL);
    }

    #[test]
    fn eight_bits_of_all_values_are_the_byte_that_is_repeated() {
        assert!((0..=255u8).all(|byte| ValueRange::FULL.narrow(u16::from_ne_bytes([byte; 2])) == byte));
        let twelve = ValueRange::of_bits(12);
        assert_eq!([0, 2048, 4095, 9000].map(|value| twelve.narrow(value)), [0, 128, 255, 255]);
    }
}
