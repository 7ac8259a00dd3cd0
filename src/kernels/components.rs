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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn every_place_over_the_threshold_is_in_one_component(
            width in 1usize..12, values in proptest::collection::vec(0u8..4, 1..140), threshold in 0u8..5,
        ) {
            let rows = values.len().div_ceil(width);
            let map: Vec<f32> = (0..rows * width).map(|i| f32::from(values[i % values.len()])).collect();
            let threshold = f32::from(threshold);
            let mut components = Components::default();
            let found = components.find(&map, width, threshold).to_vec();
            let over = map.iter().filter(|&&value| value >= threshold).count();
            prop_assert_eq!(found.iter().map(|component| component.area).sum::<usize>(), over);
            prop_assert_eq!(found.len(), count_by_merging(&map, width, threshold));
            for component in &found {
                let Rect { x, y, width: w, height: h } = component.rect;
                let (x, y, w, h) = (x as usize, y as usize, w as usize, h as usize);
                prop_assert!(w >= 1 && h >= 1 && x + w <= width && y + h <= rows && component.area <= w * h);
                let inside = (y..y + h).flat_map(|v| &map[v * width + x..v * width + x + w]);
                prop_assert!(component.largest >= threshold && inside.copied().fold(0f32, f32::max) >= component.largest);
            }
        }
    }

    /// The number of components, found by giving neighbours the smaller of their labels until nothing changes.
    fn count_by_merging(map: &[f32], width: usize, threshold: f32) -> usize {
        let mut labels: Vec<usize> = (0..map.len()).collect();
        let apart = |a: usize, b: usize| (a / width).abs_diff(b / width).max((a % width).abs_diff(b % width));
        loop {
            let before = labels.clone();
            for a in 0..map.len() {
                for b in 0..map.len() {
                    if apart(a, b) == 1 && map[a] >= threshold && map[b] >= threshold {
                        labels[a] = labels[a].min(labels[b]);
                    }
                }
            }
            if labels == before {
                return (0..map.len()).filter(|&i| map[i] >= threshold && labels[i] == i).count();
            }
        }
    }
}
