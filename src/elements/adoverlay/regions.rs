//! Frames around the anomalous regions, each with its score.

use super::area::Area;
use super::style::{DARK, LIGHT, Style, Text, paint, rounded, score_text};
use crate::meta::RegionInfo;
use std::f64::consts::{FRAC_PI_2, PI};

/// The worst regions come first; more than this nobody can read.
const MOST: usize = 48;
/// Distance between region and frame, length of a corner, its radius: in line widths.
const GAP: f64 = 2.5;
const CORNER: f64 = 9.0;
const RADIUS: f64 = 3.0;
/// Margins of a label around its text, in text heights.
const LABEL_SIDE: f64 = 0.38;
const LABEL_TOP: f64 = 0.06;

/// A region ready to be drawn.
#[derive(Debug)]
pub(super) struct Mark {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    label: Option<Label>,
    /// What it touches.
    pub(super) area: Area,
}

#[derive(Debug)]
struct Label {
    text: Text,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// Lays the regions out: labels keep clear of each other and of what is taken already, or are left out.
pub(super) fn marks(regions: &[RegionInfo], style: &Style, taken: Option<Area>) -> Vec<Mark> {
    let mut taken: Vec<Area> = taken.into_iter().collect();
    regions.iter().take(MOST).filter_map(|region| mark(region, style, &mut taken)).collect()
}

fn mark(region: &RegionInfo, style: &Style, taken: &mut Vec<Area>) -> Option<Mark> {
    let (x, y) = (f64::from(region.x), f64::from(region.y));
    let (right, bottom) = (x + f64::from(region.width), y + f64::from(region.height));
    let inside = Area::around(x, y, right, bottom).common(&style.frame)?;
    let gap = style.line * GAP;
    let edge = style.line;
    let [width, height] = [style.frame.width(), style.frame.height()].map(f64::from);
    let mut mark = Mark {
        left: (f64::from(inside.left) - gap).max(edge.min(width / 2.0)),
        top: (f64::from(inside.top) - gap).max(edge.min(height / 2.0)),
        right: (f64::from(inside.right) + gap).min((width - edge).max(width / 2.0)),
        bottom: (f64::from(inside.bottom) + gap).min((height - edge).max(height / 2.0)),
        label: None,
        area: inside,
    };
    let reach = style.reach();
    let around = Area::around(mark.left - reach, mark.top - reach, mark.right + reach, mark.bottom + reach);
    mark.area = around.common(&style.frame)?;
    if let Some(label) = label(&mark, region.score, style, taken) {
        let area = label.area();
        taken.push(area);
        mark.area = mark.area.union(&area).common(&style.frame)?;
        mark.label = Some(label);
    }
    Some(mark)
}

/// A label at the first free place beside the frame.
fn label(mark: &Mark, score: f64, style: &Style, taken: &[Area]) -> Option<Label> {
    let text = Text::new(&score_text(score), style.small_font, pango::Weight::Semibold);
    let width = text.width + 2.0 * LABEL_SIDE * style.small_font;
    let height = text.height + 2.0 * LABEL_TOP * style.small_font;
    let [frame_width, frame_height] = [style.frame.width(), style.frame.height()].map(f64::from);
    if width > frame_width / 3.0 || height > frame_height / 4.0 {
        return None;
    }
    let gap = style.line * 2.0;
    let (above, below) = (mark.top - gap - height, mark.bottom + gap);
    let (flush_left, flush_right) = (mark.left, mark.right - width);
    let places = [
        (flush_left, above),
        (flush_right, above),
        (flush_left, below),
        (flush_right, below),
        (mark.right + gap, mark.top),
        (mark.left - gap - width, mark.top),
        (mark.left + gap, mark.top + gap),
    ];
    let fits = |(x, y): (f64, f64)| {
        // A label may move along its side to stay in the frame, but not away from it.
        let x = x.clamp(0.0, frame_width - width);
        let area = Area::around(x, y, x + width, y + height);
        let free =
            y >= 0.0 && y + height <= frame_height && taken.iter().all(|other| other.common(&area).is_none());
        free.then_some((x, y))
    };
    let (x, y) = places.into_iter().find_map(fits)?;
    Some(Label { text, x, y, width, height })
}

impl Label {
    fn area(&self) -> Area {
        Area::around(self.x, self.y, self.x + self.width, self.y + self.height)
    }

    fn draw(&self, context: &cairo::Context, style: &Style) -> Result<(), cairo::Error> {
        rounded(context, self.x, self.y, self.width, self.height, 0.3 * style.small_font);
        paint(context, DARK, 0.78);
        context.fill()?;
        paint(context, LIGHT, 1.0);
        let side = (self.width - self.text.width) / 2.0;
        self.text.show(context, self.x + side, self.y + (self.height - self.text.height) / 2.0);
        Ok(())
    }
}

impl Mark {
    pub(super) fn draw(&self, context: &cairo::Context, style: &Style) -> Result<(), cairo::Error> {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        let corner = style.line * CORNER;
        let radius = style.line * RADIUS;
        if width < 2.4 * corner || height < 2.4 * corner {
            rounded(context, self.left, self.top, width, height, radius);
        } else {
            self.corners(context, corner, radius);
        }
        style.stroke(context)?;
        self.label.as_ref().map_or(Ok(()), |label| label.draw(context, style))
    }

    fn corners(&self, context: &cairo::Context, corner: f64, radius: f64) {
        let (left, top, right, bottom) = (self.left, self.top, self.right, self.bottom);
        let corners = [
            ([left, top + corner], [left + radius, top + radius], PI, [left + corner, top]),
            ([right - corner, top], [right - radius, top + radius], PI + FRAC_PI_2, [right, top + corner]),
            ([right, bottom - corner], [right - radius, bottom - radius], 0.0, [right - corner, bottom]),
            ([left + corner, bottom], [left + radius, bottom - radius], FRAC_PI_2, [left, bottom - corner]),
        ];
        for ([from_x, from_y], [x, y], angle, [to_x, to_y]) in corners {
            context.move_to(from_x, from_y);
            context.arc(x, y, radius, angle, angle + FRAC_PI_2);
            context.line_to(to_x, to_y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(x: u32, y: u32, width: u32, height: u32) -> RegionInfo {
        RegionInfo { x, y, width, height, score: 0.87, area: 1.0 }
    }

    #[test]
    fn labels_keep_clear_of_each_other() {
        let style = Style::new(Area::new(0, 0, 640, 480));
        let regions: Vec<_> = (0..12).map(|index| region(200 + 4 * index, 200 + 3 * index, 30, 30)).collect();
        let labels: Vec<_> = marks(&regions, &style, Some(Area::new(0, 0, 100, 40)))
            .into_iter()
            .filter_map(|mark| mark.label.map(|label| label.area()))
            .collect();
        assert!(labels.len() > 4);
        for (index, label) in labels.iter().enumerate() {
            assert!(labels[..index].iter().all(|other| other.common(label).is_none()));
            assert_eq!(label.common(&style.frame), Some(*label));
        }
    }

    #[test]
    fn impossible_regions_are_left_out() {
        let style = Style::new(Area::new(0, 0, 64, 48));
        let regions = [
            region(64, 0, 3, 3),
            region(0, 0, 0, 5),
            region(u32::MAX, u32::MAX, u32::MAX, u32::MAX),
            region(60, 40, u32::MAX, u32::MAX),
        ];
        assert_eq!(marks(&regions, &style, None).len(), 1);
    }

    #[test]
    fn crowds_are_cut() {
        let style = Style::new(Area::new(0, 0, 640, 480));
        assert_eq!(marks(&vec![region(9, 9, 9, 9); 1000], &style, None).len(), MOST);
    }
}
