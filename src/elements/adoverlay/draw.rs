//! From a metadata to a composition: what overlaps shares a surface, what has not changed is not drawn again.

use super::area::{Area, join_overlapping};
use super::canvas::{Canvas, DrawError, Pool};
use super::colormap::Table;
use super::contour::{Outline, outlines};
use super::heatmap::{self, Levels, Placed};
use super::map::{Map, MapError};
use super::regions::{Mark, marks};
use super::style::Style;
use super::{Colormap, Range, Show, badge};
use crate::meta::{AnomalyMeta, MapPlace, RegionInfo};
use crate::methods::Level;
use gst_video::{VideoOverlayComposition, VideoOverlayRectangle};

/// Map pixels larger than this many frame pixels are outlined with curves.
const COARSE: f64 = 2.0;

/// The element's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::elements) struct Settings {
    pub(super) opacity: f64,
    pub(super) colormap: Colormap,
    pub(super) show: Show,
    pub(super) only_anomalous: bool,
    pub(super) range: Range,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            opacity: 0.5,
            colormap: Colormap::default(),
            show: Show::all(),
            only_anomalous: false,
            range: Range::default(),
        }
    }
}

/// What came of a metadata.
#[derive(Clone, Debug, Default)]
pub(in crate::elements) struct Drawing {
    /// `None` where there is nothing to see.
    pub(in crate::elements) composition: Option<VideoOverlayComposition>,
    /// Why the map was left out.
    pub(super) refused: Option<MapError>,
}

/// Draws, and remembers what the next frame can use.
#[derive(Default)]
pub(in crate::elements) struct Painter {
    pool: Pool,
    map: Map,
    table: Option<(Colormap, f64, Table)>,
    badge: Option<(badge::Content, Option<VideoOverlayRectangle>)>,
    last: Option<(Subject, Drawing)>,
}

/// Everything that a drawing depends on.
#[derive(Clone, Debug)]
struct Subject {
    normalized: f64,
    level: Level,
    fresh: bool,
    regions: Vec<RegionInfo>,
    /// Held, so that nobody can write to it and its address stands for its content.
    map: Option<gst::Sample>,
    place: MapPlace,
    settings: Settings,
    frame: Area,
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        let address = |subject: &Self| subject.map.as_ref().map(|sample| sample.as_ptr());
        self.normalized.to_bits() == other.normalized.to_bits()
            && (self.level, self.fresh) == (other.level, other.fresh)
            && self.regions == other.regions
            && address(self) == address(other)
            && self.place == other.place
            && self.settings == other.settings
            && self.frame == other.frame
    }
}

/// What is drawn over the picture, apart from the badge.
#[derive(Default)]
struct Scene<'a> {
    heat: Option<Heat<'a>>,
    outlines: Vec<(Vec<[f64; 2]>, Area)>,
    curved: bool,
    marks: Vec<Mark>,
}

struct Heat<'a> {
    placed: Placed,
    levels: Levels,
    table: &'a Table,
    areas: Vec<Area>,
}

impl Painter {
    /// Draws a metadata on a frame of `width` x `height`.
    pub(in crate::elements) fn draw(
        &mut self,
        meta: AnomalyMeta,
        settings: Settings,
        (width, height): (u32, u32),
    ) -> Result<Drawing, DrawError> {
        if settings.only_anomalous && !meta.anomalous {
            return Ok(Drawing::default());
        }
        let length = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
        let subject = Subject {
            normalized: meta.normalized,
            level: meta.level(),
            fresh: meta.fresh,
            regions: meta.regions.clone(),
            map: meta.map.clone(),
            place: meta.map_place,
            settings,
            frame: Area::new(0, 0, length(width), length(height)),
        };
        if let Some((last, drawing)) = &self.last
            && *last == subject
        {
            return Ok(drawing.clone());
        }
        self.last = None;
        let drawing = self.draw_anew(&meta, &subject)?;
        self.last = Some((subject, drawing.clone()));
        Ok(drawing)
    }

    fn draw_anew(&mut self, meta: &AnomalyMeta, subject: &Subject) -> Result<Drawing, DrawError> {
        let style = Style::new(subject.frame);
        let show = subject.settings.show;
        let refused = match &meta.map {
            Some(map) if show.intersects(Show::HEATMAP | Show::CONTOUR) => self.map.read(map).err(),
            _ => None,
        };
        let placed = match &meta.map {
            Some(_) if refused.is_none() => Placed::new(&self.map, meta.map_place),
            _ => None,
        };
        let badge =
            if show.contains(Show::SCORE) { self.badge(badge::Content::new(meta, style))? } else { None };

        let mut scene = Scene::default();
        if let Some(placed) = placed {
            if show.contains(Show::HEATMAP) {
                let table = table(&mut self.table, &subject.settings);
                if let Some(levels) = Levels::new(&self.map, subject.settings.range) {
                    let areas = heatmap::visible(&self.map, &placed, levels, table, subject.frame);
                    scene.heat = Some(Heat { placed, levels, table, areas });
                }
            }
            if show.contains(Show::CONTOUR) && meta.anomalous {
                scene.curved = placed.pitch[0].max(placed.pitch[1]) > COARSE;
                let inside = |outline| in_frame(outline, &placed, &style);
                scene.outlines = outlines(&self.map).into_iter().filter_map(inside).collect();
            }
        }
        if show.contains(Show::REGIONS) {
            scene.marks = marks(&meta.regions, &style, badge.as_ref().map(place_of));
        }

        let mut rectangles = scene.draw(&self.map, &style, &self.pool)?;
        rectangles.extend(badge);
        let composition =
            if rectangles.is_empty() { None } else { Some(VideoOverlayComposition::new(&rectangles)?) };
        Ok(Drawing { composition, refused })
    }

    fn badge(&mut self, content: badge::Content) -> Result<Option<VideoOverlayRectangle>, DrawError> {
        match &self.badge {
            Some((last, badge)) if *last == content => Ok(badge.clone()),
            _ => {
                let badge = badge::draw(&content, &self.pool)?;
                self.badge = Some((content, badge.clone()));
                Ok(badge)
            }
        }
    }
}

/// The colour table of the settings, kept until they change.
fn table<'a>(kept: &'a mut Option<(Colormap, f64, Table)>, settings: &Settings) -> &'a Table {
    let (colormap, opacity) = (settings.colormap, settings.opacity);
    let current = kept.take().filter(|(map, value, _)| (*map, *value) == (colormap, opacity));
    let fresh = || (colormap, opacity, Table::new(colormap, opacity));
    &kept.insert(current.unwrap_or_else(fresh)).2
}

fn place_of(rectangle: &VideoOverlayRectangle) -> Area {
    let (x, y, width, height) = rectangle.render_rectangle();
    let length = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    Area::new(x, y, x.saturating_add(length(width)), y.saturating_add(length(height)))
}

/// An outline in frame pixels with what it touches, `None` where that is outside of the frame.
fn in_frame(outline: Outline, placed: &Placed, style: &Style) -> Option<(Vec<[f64; 2]>, Area)> {
    let points: Vec<_> = outline.into_iter().map(|point| placed.point(point)).collect();
    let start = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let [left, top, right, bottom] = points.iter().fold(start, |[left, top, right, bottom], [x, y]| {
        [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
    });
    let reach = style.reach();
    let area = Area::around(left - reach, top - reach, right + reach, bottom + reach).common(&style.frame)?;
    Some((points, area))
}

impl Scene<'_> {
    fn draw(&self, map: &Map, style: &Style, pool: &Pool) -> Result<Vec<VideoOverlayRectangle>, DrawError> {
        let heat = self.heat.iter().flat_map(|heat| heat.areas.iter().copied());
        let lines = self.outlines.iter().map(|(_, area)| *area);
        let marks = self.marks.iter().map(|mark| mark.area);
        join_overlapping(heat.chain(lines).chain(marks))
            .into_iter()
            .map(|area| self.draw_part(pool.canvas(area)?, map, style))
            .collect()
    }

    fn draw_part(
        &self,
        mut canvas: Canvas,
        map: &Map,
        style: &Style,
    ) -> Result<VideoOverlayRectangle, DrawError> {
        let area = canvas.area();
        if let Some(Heat { placed, levels, table, areas }) = &self.heat
            && areas.iter().any(|place| place.common(&area).is_some())
        {
            heatmap::draw(&mut canvas, map, placed, *levels, table)?;
        }
        let context = canvas.context()?;
        let mut lines = self.outlines.iter().filter(|(_, place)| place.common(&area).is_some()).peekable();
        if lines.peek().is_some() {
            for (points, _) in lines {
                trace(&context, points, self.curved);
            }
            style.stroke(&context)?;
        }
        for mark in self.marks.iter().filter(|mark| mark.area.common(&area).is_some()) {
            mark.draw(&context, style)?;
        }
        drop(context);
        canvas.into_rectangle()
    }
}

/// Adds a closed line to the path: straight from point to point, or as a quadratic B-spline that hides the map's pixels.
fn trace(context: &cairo::Context, points: &[[f64; 2]], curved: bool) {
    let middle = |a: [f64; 2], b: [f64; 2]| [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
    let next = |index: usize| points[(index + 1) % points.len()];
    context.new_sub_path();
    for (index, point) in points.iter().enumerate() {
        if !curved {
            context.line_to(point[0], point[1]);
            continue;
        }
        let start = middle(points[(index + points.len() - 1) % points.len()], *point);
        let end = middle(*point, next(index));
        if index == 0 {
            context.move_to(start[0], start[1]);
        }
        // The same curve with two control points, as cairo wants them.
        let control = |from: [f64; 2]| [0, 1].map(|axis| (from[axis] + 2.0 * point[axis]) / 3.0);
        let (first, second) = (control(start), control(end));
        context.curve_to(first[0], first[1], second[0], second[1], end[0], end[1]);
    }
    context.close_path();
}
