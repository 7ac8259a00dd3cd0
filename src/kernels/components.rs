//! The connected parts of a map that reach a threshold (8-connectivity).

use crate::frame::Rect;

/// A connected part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Component {
    /// Bounding box in places of the map.
    pub rect: Rect,
    /// Number of places.
    pub area: usize,
    /// Largest value.
    pub largest: f32,
}

/// Finds components; keeps its buffers from map to map.
#[derive(Clone, Debug, Default)]
pub struct Components {
    seen: Vec<bool>,
    open: Vec<usize>,
    found: Vec<Component>,
}

impl Components {
    /// The components of `map`, rows of `width` values, whose values are at least `threshold`.
    pub fn find(&mut self, map: &[f32], width: usize, threshold: f32) -> &[Component] {
        let height = map.len() / width;
        self.found.clear();
        self.seen.clear();
        self.seen.resize(map.len(), false);
        for start in 0..map.len() {
            if map[start] < threshold || self.seen[start] {
                continue;
            }
            let (mut left, mut right, mut top, mut bottom) = (width, 0, height, 0);
            let (mut area, mut largest) = (0, f32::NEG_INFINITY);
            self.seen[start] = true;
            self.open.push(start);
            while let Some(place) = self.open.pop() {
                let (y, x) = (place / width, place % width);
                (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
                area += 1;
                largest = largest.max(map[place]);
                for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                    for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                        let next = ny * width + nx;
                        if map[next] >= threshold && !self.seen[next] {
                            self.seen[next] = true;
                            self.open.push(next);
                        }
                    }
                }
            }
            let rect = Rect {
                x: left as u32,
                y: top as u32,
                width: (right - left + 1) as u32,
                height: (bottom - top + 1) as u32,
            };
            self.found.push(Component { rect, area, largest });
        }
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_connect_and_gaps_do_not() {
        #[rustfmt::skip]
        let map = [
            1.0, 0.0, 0.0, 0.0, 2.0,
            0.0, 3.0, 0.0, 0.0, 1.0,
            0.0, 0.0, 0.0, 0.0, 0.0,
        ];
        let mut components = Components::default();
        let found = components.find(&map, 5, 1.0);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            Component { rect: Rect { x: 0, y: 0, width: 2, height: 2 }, area: 2, largest: 3.0 }
        );
        assert_eq!(
            found[1],
            Component { rect: Rect { x: 4, y: 0, width: 1, height: 2 }, area: 2, largest: 2.0 }
        );
        assert!(components.find(&map, 5, 9.0).is_empty());
    }
}
