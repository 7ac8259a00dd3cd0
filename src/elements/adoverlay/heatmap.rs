//! The coloured map: values are interpolated at frame resolution and coloured afterwards, which keeps the colours pure and
//! the picture smooth however coarse the map is.

use super::Range;
use super::area::{Area, join_overlapping};
use super::canvas::{Canvas, DrawError};
use super::colormap::{ENTRIES, Table};
use super::map::Map;
use crate::meta::MapPlace;

/// Spreads smaller than this part of the scale are noise, which `auto` must not blow up.
const SMALLEST_SPREAD: f32 = 0.02 * 65535.0;

/// Rows and columns of tiles in which the map is searched for something to see.
const TILES: usize = 24;

/// Where a map lies in the frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Left and upper edge in frame pixels.
    pub(super) origin: [f64; 2],
    /// Frame pixels for a map pixel, across and down.
    pub(super) pitch: [f64; 2],
}

impl Placed {
    /// `None` where the place or the map is empty.
    pub(super) fn new(map: &Map, place: MapPlace) -> Option<Self> {
        if place.width == 0 || place.height == 0 || map.values.is_empty() {
            return None;
        }
        Some(Self {
            origin: [f64::from(place.x), f64::from(place.y)],
            pitch: [f64::from(place.width) / map.width as f64, f64::from(place.height) / map.height as f64],
        })
    }

    /// A point of the map in frame pixels.
    pub(super) fn point(&self, [x, y]: [f32; 2]) -> [f64; 2] {
        [self.origin[0] + f64::from(x) * self.pitch[0], self.origin[1] + f64::from(y) * self.pitch[1]]
    }
}

/// From values of the map to levels of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    low: f32,
    gain: f32,
}

impl Levels {
    /// `None` where `auto` finds nothing but noise.
    pub(super) fn new(map: &Map, range: Range) -> Option<Self> {
        let top = (ENTRIES - 1) as f32;
        match range {
            Range::Fixed => Some(Self { low: 0.0, gain: top / 65535.0 }),
            Range::Auto => {
                let low = f32::from(*map.values.iter().min()?);
                let spread = f32::from(*map.values.iter().max()?) - low;
                (spread > SMALLEST_SPREAD).then(|| Self { low, gain: top / spread })
            }
        }
    }

    #[inline]
    fn of(&self, value: f32) -> u8 {
        // A conversion from float saturates.
        ((value - self.low) * self.gain + 0.5) as u8
    }
}

/// The parts of the frame in which the map can be seen: blobs far from each other are drawn apart.
pub(super) fn visible(map: &Map, placed: &Placed, levels: Levels, table: &Table, frame: Area) -> Vec<Area> {
    let Some(first) = table.first_visible() else { return Vec::new() };
    let seen = |value: &u16| levels.of(f32::from(*value)) >= first;
    let (across, down) = (map.width.div_ceil(TILES), map.height.div_ceil(TILES));
    let mut areas = Vec::new();
    for (band, rows) in map.values.chunks(down * map.width).enumerate() {
        for left in (0..map.width).step_by(across) {
            let right = (left + across).min(map.width);
            if rows.chunks_exact(map.width).any(|row| row[left..right].iter().any(seen)) {
                let top = band * down;
                let bottom = top + rows.len() / map.width;
                areas.extend(reach(map, placed, [left, top], [right, bottom]).common(&frame));
            }
        }
    }
    join_overlapping(areas)
}

/// The frame pixels on which map pixels have an influence: interpolation reaches half a pixel beyond them.
fn reach(map: &Map, placed: &Placed, [left, top]: [usize; 2], [right, bottom]: [usize; 2]) -> Area {
    let near = |edge: usize| (edge as f32 - 0.5).max(0.0);
    let far = |edge: usize, length: usize| (edge as f32 + 0.5).min(length as f32);
    let [x0, y0] = placed.point([near(left), near(top)]);
    let [x1, y1] = placed.point([far(right, map.width), far(bottom, map.height)]);
    Area::around(x0, y0, x1, y1)
}

/// Draws the map on a canvas, over nothing but emptiness.
pub(super) fn draw(
    canvas: &mut Canvas,
    map: &Map,
    placed: &Placed,
    levels: Levels,
    table: &Table,
) -> Result<(), DrawError> {
    let (area, (across, down)) = (canvas.area(), canvas.scale());
    let whole = reach(map, placed, [0, 0], [map.width, map.height]);
    let Some(visible) = whole.common(&area) else { return Ok(()) };
    let place = |position: f64, axis: usize, length: usize| {
        let along = (position - placed.origin[axis]) / placed.pitch[axis] - 0.5;
        let along = along.clamp(0.0, (length - 1) as f64);
        let first = (along as usize).min(length.saturating_sub(2));
        (first, (along - first as f64) as f32)
    };
    let centre = |index: usize, start: i32, scale: f64| f64::from(start) + (index as f64 + 0.5) * scale;
    let inside = |position: f64, from: i32, to: i32| (f64::from(from)..f64::from(to)).contains(&position);

    let columns: Vec<_> = (0..canvas.width())
        .map(|x| centre(x, area.left, across))
        .map(|x| inside(x, visible.left, visible.right).then(|| place(x, 0, map.width)))
        .collect();
    let start = columns.iter().position(Option::is_some).unwrap_or(columns.len());
    let columns: Vec<_> = columns.into_iter().flatten().collect();
    // One value more than the map has, so that the last pixel too has a right neighbour.
    let mut line = vec![0.0f32; map.width + 1];
    canvas.rows(|y, pixels| {
        let y = centre(y, area.top, down);
        if !inside(y, visible.top, visible.bottom) {
            return;
        }
        let (row, part) = place(y, 1, map.height);
        let upper = &map.values[row * map.width..][..map.width];
        let lower =
            map.values.get((row + 1) * map.width..).and_then(|rest| rest.get(..map.width)).unwrap_or(upper);
        for (value, (upper, lower)) in line.iter_mut().zip(upper.iter().zip(lower)) {
            *value = f32::from(*upper) + (f32::from(*lower) - f32::from(*upper)) * part;
        }
        for (pixel, (column, part)) in pixels[start..].iter_mut().zip(&columns) {
            let (left, right) = (line[*column], line[*column + 1]);
            *pixel = table.pixel(levels.of(left + (right - left) * part)).to_ne_bytes();
        }
    })
}
