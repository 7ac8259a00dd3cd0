//! Rectangles of whole frame pixels.

/// Columns `left..right` and rows `top..bottom` of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: i32,
    pub(super) top: i32,
    pub(super) right: i32,
    pub(super) bottom: i32,
}

impl Area {
    pub(super) fn new(left: i32, top: i32, right: i32, bottom: i32) -> Self {
        Self { left, top, right, bottom }
    }

    /// The whole pixels that a rectangle touches.
    pub(super) fn around(left: f64, top: f64, right: f64, bottom: f64) -> Self {
        // A float that fits no integer saturates.
        Self::new(left.floor() as i32, top.floor() as i32, right.ceil() as i32, bottom.ceil() as i32)
    }

    /// Zero where the edges have crossed.
    pub(super) fn width(&self) -> i32 {
        self.right.saturating_sub(self.left).max(0)
    }

    pub(super) fn height(&self) -> i32 {
        self.bottom.saturating_sub(self.top).max(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.width() == 0 || self.height() == 0
    }

    /// Pixels inside.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.width().unsigned_abs()) * u64::from(self.height().unsigned_abs())
    }

    /// The part that both cover, `None` where they have nothing in common.
    pub(super) fn common(&self, other: &Self) -> Option<Self> {
        let common = Self::new(
            self.left.max(other.left),
            self.top.max(other.top),
            self.right.min(other.right),
            self.bottom.min(other.bottom),
        );
        (!common.is_empty()).then_some(common)
    }

    /// The smallest rectangle around both.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::new(
            self.left.min(other.left),
            self.top.min(other.top),
            self.right.max(other.right),
            self.bottom.max(other.bottom),
        )
    }
}

/// Joins rectangles until no two of the rest overlap: what overlaps is drawn on one surface and blended once.
pub(super) fn join_overlapping(areas: impl IntoIterator<Item = Area>) -> Vec<Area> {
    let mut joined: Vec<Area> = Vec::new();
    for mut area in areas {
        while let Some(index) = joined.iter().position(|other| other.common(&area).is_some()) {
            area = area.union(&joined.swap_remove(index));
        }
        joined.push(area);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_areas_become_one_and_the_others_stay() {
        let areas = [
            Area::new(0, 0, 10, 10),
            Area::new(100, 100, 110, 110),
            Area::new(20, 20, 30, 30),
            Area::new(5, 5, 25, 25),
        ];
        let joined = join_overlapping(areas);
        assert_eq!(joined, [Area::new(100, 100, 110, 110), Area::new(0, 0, 30, 30)]);
    }

    #[test]
    fn extreme_rectangles_do_not_overflow() {
        let all = Area::around(f64::NEG_INFINITY, -1e300, 1e300, f64::INFINITY);
        assert!(!all.is_empty());
        assert_eq!(Area::around(f64::NAN, 0.0, 0.0, f64::NAN).size(), 0);
        assert_eq!(all.common(&Area::new(0, 0, 3, 7)), Some(Area::new(0, 0, 3, 7)));
    }
}
