//! Outlines of the anomaly map at the threshold: marching squares (Lorensen and Cline, 1987, in two dimensions), the
//! pieces linked to closed lines.

use super::map::Map;
use std::collections::BTreeMap;

/// The threshold in units of the map: the normalised value 0.5.
const LEVEL: f32 = 32767.5;
/// More pieces than this are noise without an outline, and slow to draw.
const MOST_PIECES: usize = 40_000;

/// A closed line in units of map pixels, the centre of the first pixel at (0.5, 0.5).
pub(super) type Outline = Vec<[f32; 2]>;

/// The outlines of everything above the threshold.
///
/// Beyond its edges the map counts as normal, so that every line closes. Empty where the map is nothing but noise.
pub(super) fn outlines(map: &Map) -> Vec<Outline> {
    let grid = Grid { map, columns: map.width + 2, rows: map.height + 2 };
    match grid.pieces() {
        Some(pieces) => grid.link(pieces),
        None => Vec::new(),
    }
}

/// The map with a border of normal samples. Edges between neighbouring samples are numbered: those to the right neighbour
/// even, those to the lower one odd.
struct Grid<'a> {
    map: &'a Map,
    columns: usize,
    rows: usize,
}

impl Grid<'_> {
    fn value(&self, column: usize, row: usize) -> f32 {
        if column == 0 || row == 0 || column > self.map.width || row > self.map.height {
            return 0.0;
        }
        f32::from(self.map.values[(row - 1) * self.map.width + column - 1])
    }

    /// Pieces from edge to edge, with the anomalous side always on the same hand: each edge starts one piece at most.
    fn pieces(&self) -> Option<BTreeMap<usize, usize>> {
        let mut pieces = BTreeMap::new();
        for row in 0..self.rows - 1 {
            let mut left = self.corners(0, row);
            for column in 0..self.columns - 1 {
                let right = self.corners(column + 1, row);
                let mask = left[0] | right[0] << 1 | right[1] << 2 | left[1] << 3;
                left = right;
                if mask == 0 || mask == 15 {
                    continue;
                }
                let sample = row * self.columns + column;
                let (top, start) = (2 * sample, 2 * sample + 1);
                let (bottom, end) = (2 * (sample + self.columns), 2 * (sample + 1) + 1);
                let found = match mask {
                    1 => [Some((start, top)), None],
                    2 => [Some((top, end)), None],
                    3 => [Some((start, end)), None],
                    4 => [Some((end, bottom)), None],
                    6 => [Some((top, bottom)), None],
                    7 => [Some((start, bottom)), None],
                    8 => [Some((bottom, start)), None],
                    9 => [Some((bottom, top)), None],
                    11 => [Some((bottom, end)), None],
                    12 => [Some((end, start)), None],
                    13 => [Some((end, top)), None],
                    14 => [Some((top, start)), None],
                    5 if self.joined(column, row) => [Some((end, top)), Some((start, bottom))],
                    5 => [Some((start, top)), Some((end, bottom))],
                    _ if self.joined(column, row) => [Some((top, start)), Some((bottom, end))],
                    _ => [Some((top, end)), Some((bottom, start))],
                };
                pieces.extend(found.into_iter().flatten());
                if pieces.len() > MOST_PIECES {
                    return None;
                }
            }
        }
        Some(pieces)
    }

    /// Whether a sample and the one beneath it are above the threshold.
    fn corners(&self, column: usize, row: usize) -> [u8; 2] {
        [row, row + 1].map(|row| u8::from(self.value(column, row) > LEVEL))
    }

    /// Whether two opposite corners above the threshold meet in the middle.
    fn joined(&self, column: usize, row: usize) -> bool {
        let upper = self.value(column, row) + self.value(column + 1, row);
        let lower = self.value(column, row + 1) + self.value(column + 1, row + 1);
        (upper + lower) / 4.0 > LEVEL
    }

    fn link(&self, mut pieces: BTreeMap<usize, usize>) -> Vec<Outline> {
        let mut outlines = Vec::new();
        while let Some((first, mut next)) = pieces.pop_first() {
            let mut outline = vec![self.crossing(first)];
            while next != first {
                outline.push(self.crossing(next));
                match pieces.remove(&next) {
                    Some(following) => next = following,
                    None => break,
                }
            }
            outlines.push(outline);
        }
        outlines
    }

    /// Where the map passes the threshold on an edge.
    fn crossing(&self, edge: usize) -> [f32; 2] {
        let (sample, downwards) = (edge / 2, edge % 2);
        let (column, row) = (sample % self.columns, sample / self.columns);
        let near = self.value(column, row);
        let far = self.value(column + 1 - downwards, row + downwards);
        let along = (LEVEL - near) / (far - near);
        let (across, down) = if downwards == 1 { (0.0, along) } else { (along, 0.0) };
        [
            (column as f32 - 0.5 + across).clamp(0.0, self.map.width as f32),
            (row as f32 - 0.5 + down).clamp(0.0, self.map.height as f32),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, height: usize, value: impl Fn(usize, usize) -> u16) -> Map {
        let values =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Map { width, height, values }
    }

    #[test]
    fn calm_maps_have_no_outline() {
        assert!(outlines(&map(5, 4, |_, _| 32767)).is_empty());
    }

    #[test]
    fn a_disc_has_one_round_outline() {
        let distance = |x: usize, y: usize| ((x as f32 - 15.0).powi(2) + (y as f32 - 15.0).powi(2)).sqrt();
        let found = outlines(&map(31, 31, |x, y| (65535.0 - 3276.75 * distance(x, y)).max(0.0) as u16));
        assert_eq!(found.len(), 1);
        for [x, y] in &found[0] {
            let radius = ((x - 15.5).powi(2) + (y - 15.5).powi(2)).sqrt();
            assert!((radius - 10.0).abs() < 0.1, "{radius}");
        }
    }

    #[test]
    fn all_anomalous_is_outlined_along_the_edge_of_the_map() {
        let found = outlines(&map(4, 3, |_, _| u16::MAX));
        assert_eq!(found.len(), 1);
        assert!(found[0].iter().all(|[x, y]| [0.0, 4.0].contains(x) || [0.0, 3.0].contains(y)));
    }

    /// Every pattern of 4x4 closes its lines, each edge used once.
    #[test]
    fn every_pattern_closes() {
        for pattern in 0..1u32 << 16 {
            let grid_map = map(4, 4, |x, y| if pattern >> (4 * y + x) & 1 == 1 { 60000 } else { 1000 });
            let grid = Grid { map: &grid_map, columns: 6, rows: 6 };
            let pieces = grid.pieces().unwrap();
            let mut starts: Vec<_> = pieces.keys().copied().collect();
            let mut ends: Vec<_> = pieces.values().copied().collect();
            ends.sort_unstable();
            starts.sort_unstable();
            assert_eq!(starts, ends, "pattern {pattern:016b}");
        }
    }

    #[test]
    fn one_pixel_has_an_outline() {
        assert_eq!(outlines(&map(1, 1, |_, _| u16::MAX)).len(), 1);
    }
}
