//! What a value is rounded by.

/// The smallest and the largest element that a value has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    least: f32,
    most: f32,
}

/// Steps between the smallest and the largest byte.
const STEPS: f32 = 255.0;

impl Range {
    /// From `least` to `most`, and to zero, which must be exact: it stands around every map.
    pub fn new(least: f32, most: f32) -> Self {
        Self { least, most }.and(Self { least: 0.0, most: 0.0 })
    }

    /// What lies in one or the other; not finite if one of them is not.
    pub fn and(self, other: Self) -> Self {
        // Unlike `f32::min` and `f32::max`, which would lose what is not a number.
        let least = if self.least <= other.least || self.least.is_nan() { self.least } else { other.least };
        let most = if self.most >= other.most || self.most.is_nan() { self.most } else { other.most };
        Self { least, most }
    }

    /// Whether it has bytes.
    pub fn is_finite(self) -> bool {
        (self.most - self.least).is_finite()
    }

    /// The bytes for it.
    pub(super) fn rounding(self) -> Rounding {
        let scale = match (self.most - self.least) / STEPS {
            // It is zero everywhere.
            scale if scale < f32::MIN_POSITIVE => 1.0,
            scale => scale,
        };
        Rounding { scale, zero: (-self.least / scale).round() as u8 }
    }
}

/// Which byte stands for what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rounding {
    /// The difference between two bytes.
    pub scale: f32,
    /// The byte that stands for zero.
    pub zero: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_exact_and_the_ends_are_bytes() {
        let rounding = Range::new(-1.0, 3.0).rounding();
        assert_eq!(rounding, Rounding { scale: 4.0 / 255.0, zero: 64 });
        assert_eq!(Range::new(2.0, 5.1).rounding(), Rounding { scale: 0.02, zero: 0 });
        assert_eq!(Range::new(-2.55, -1.0).rounding().zero, 255);
        assert_eq!(Range::new(0.0, 0.0).rounding(), Rounding { scale: 1.0, zero: 0 });
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let (good, bad) = (Range::new(-1.0, 1.0), Range::new(f32::NAN, f32::NAN));
        for range in
            [bad, good.and(bad), bad.and(good), Range::new(0.0, f32::INFINITY), Range::new(-3e38, 3e38)]
        {
            assert!(!range.is_finite(), "{range:?}");
        }
        assert_eq!(good.and(Range::new(-0.5, 2.0)), Range::new(-1.0, 2.0));
    }
}
