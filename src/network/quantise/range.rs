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

    /// What lies in one or the other.
    pub fn and(self, other: Self) -> Self {
        // What is not a number must not vanish, as it would by `min` and `max`.
        let least = if other.least < self.least { other.least } else { self.least };
        let most = if other.most > self.most { other.most } else { self.most };
        Self { least, most }
    }

    /// Whether both ends are.
    pub fn is_finite(self) -> bool {
        self.least.is_finite() && self.most.is_finite()
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
