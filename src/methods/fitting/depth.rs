//! How many of the 16 bits of the training images' pixels are in use.

use super::{PixelRange, Progress, mixture};
use crate::error::{Error, Result};
use crate::frame::{Header, Picture, ValueRange, load_picture};
use std::path::PathBuf;

/// Images at most that are looked into.
const LOOKED_AT: usize = 48;
/// Images whose largest value is so small a part of white are darker than a camera would make them.
const DARK: u32 = 8;
/// What cameras have, beside 16.
const BITS: [u32; 4] = [8, 10, 12, 14];

/// What is black and white in the images, where some have 16 bits; none where that is all of their values. Says what was found.
///
/// # Errors
/// If the user interrupts.
pub(super) fn choose(
    headers: &[(PathBuf, Header)],
    wanted: PixelRange,
    progress: &mut dyn Progress,
) -> Result<Option<ValueRange>> {
    match wanted {
        PixelRange::Full => return Ok(None),
        PixelRange::Fixed(range) => return Ok(Some(range).filter(|range| *range != ValueRange::FULL)),
        PixelRange::Auto => {}
    }
    let (range, note) = Used::by(headers, progress)?.range();
    note.iter().for_each(|note| progress.note(note));
    Ok(range)
}

/// Says where images of 16 bits are much brighter or darker than `range`, a bundle's black and white, lets the network see them.
///
/// # Errors
/// If the user interrupts.
pub fn expect_range(paths: &[PathBuf], range: Option<ValueRange>, progress: &mut dyn Progress) -> Result<()> {
    expect_range_of(&mixture::headers(paths, progress)?, range, progress)
}

/// The same of images whose headers were read.
///
/// # Errors
/// If the user interrupts.
pub(super) fn expect_range_of(
    headers: &[(PathBuf, Header)],
    range: Option<ValueRange>,
    progress: &mut dyn Progress,
) -> Result<()> {
    let doubt = Used::by(headers, progress)?.doubt(range);
    doubt.iter().for_each(|doubt| progress.note(doubt));
    Ok(())
}

/// What is black and white in these images, as a fit to them decides by itself. Says what was found.
///
/// # Errors
/// If the user interrupts.
pub(crate) fn value_range(paths: &[PathBuf], progress: &mut dyn Progress) -> Result<Option<ValueRange>> {
    choose(&mixture::headers(paths, progress)?, PixelRange::Auto, progress)
}

/// Which values and bits occur.
#[derive(Debug, Default)]
struct Used {
    largest: u16,
    bits: u16,
}

impl Used {
    /// What some of the images of 16 bits have, evenly chosen.
    fn by(headers: &[(PathBuf, Header)], progress: &mut dyn Progress) -> Result<Self> {
        let deep: Vec<&PathBuf> =
            headers.iter().filter(|(_, header)| header.deep).map(|(path, _)| path).collect();
        let mut used = Self::default();
        for path in deep.iter().step_by(deep.len().div_ceil(LOOKED_AT).max(1)) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            // What cannot be read is told when its pixels are used.
            if let Ok(picture) = load_picture(path) {
                used.add(&picture)?;
            }
        }
        Ok(used)
    }

    fn add(&mut self, picture: &Picture) -> Result<()> {
        picture.each_deep_value(|value| {
            self.largest = self.largest.max(value);
            self.bits |= value;
        })
    }

    fn range(&self) -> (Option<ValueRange>, Option<String>) {
        let Self { largest, bits } = *self;
        if largest == 0 {
            return (None, None);
        }
        if let Some(bits) = BITS.into_iter().find(|&bits| largest >> bits == 0) {
            let range = ValueRange::of_bits(bits);
            let note = format!(
                "the images have 16 bits, of which the lower {bits} are in use (the largest value is {largest}): the network sees {range} as \
                 black to white, here and in 16-bit frames of a pipeline; --range says otherwise"
            );
            return (Some(range), Some(note));
        }
        let unused = bits.trailing_zeros();
        let note = (unused >= 2).then(|| {
            format!(
                "the images have 16 bits, of which the upper {} are in use, as of a camera of that many bits: they are taken as they are, \
                 and so are 16-bit frames of a pipeline, which must have them in the same place",
                16 - unused
            )
        });
        (None, note)
    }

    fn doubt(&self, range: Option<ValueRange>) -> Option<String> {
        let (largest, range) = (u32::from(self.largest), range.unwrap_or(ValueRange::FULL));
        let white = u32::from(range.white());
        let seen = if largest > white {
            "brighter than white"
        } else if 0 < largest && largest * DARK <= white {
            "nearly black"
        } else {
            return None;
        };
        Some(format!(
            "the largest value of these images of 16 bits is {largest}, and the bundle takes {range} for black to white: the network sees them \
             {seen}. Are they of the camera, and with the settings, of the training images?"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(values: &[u16]) -> (Option<String>, String) {
        let mut used = Used::default();
        for &value in values {
            used.largest = used.largest.max(value);
            used.bits |= value;
        }
        let (range, note) = used.range();
        (range.map(|range| range.to_string()), note.unwrap_or_default())
    }

    #[test]
    fn unused_bits_are_noticed_at_either_end() {
        assert_eq!(range(&[]), (None, String::new()));
        let (found, note) = range(&[17, 4012, 1023]);
        assert_eq!(found.as_deref(), Some("0-4095"));
        assert!(note.contains("lower 12 are in use (the largest value is 4012)"), "{note}");
        assert_eq!(range(&[700]).0.as_deref(), Some("0-1023"));
        assert_eq!(range(&[9001]).0.as_deref(), Some("0-16383"));
        assert_eq!(range(&[1]).0.as_deref(), Some("0-255"));
        let (found, note) = range(&[17 << 4, 4012 << 4]);
        assert_eq!(found, None);
        assert!(note.contains("upper 12 are in use"), "{note}");
        assert_eq!(range(&[0xffff, 0x8081]), (None, String::new()));
    }

    #[test]
    fn images_of_another_range_are_doubted() {
        let doubt = |largest: u16, bits: Option<u32>| {
            Used { largest, bits: 0 }.doubt(bits.map(ValueRange::of_bits)).unwrap_or_default()
        };
        assert!(doubt(4096, Some(12)).contains("4096, and the bundle takes 0-4095"));
        assert!(doubt(60_000, Some(12)).contains("brighter than white"));
        assert!(doubt(4000, None).contains("nearly black"));
        for (largest, bits) in [(0, None), (0, Some(12)), (4095, Some(12)), (900, Some(12)), (60_000, None)] {
            assert_eq!(doubt(largest, bits), "", "{largest} {bits:?}");
        }
    }
}
