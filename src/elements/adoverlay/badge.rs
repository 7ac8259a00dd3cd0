//! The badge in the upper left corner: verdict, score, and a bar with a tick at the threshold.

use super::area::Area;
use super::canvas::{DrawError, Pool};
use super::style::{Colour, DARK, LIGHT, Style, Text, colour_of, paint, rounded, score_text};
use crate::meta::AnomalyMeta;
use crate::methods::Level;
use gst_video::VideoOverlayRectangle;
use std::f64::consts::TAU;

/// Opacity of a score that was not computed on this frame.
const STALE: f64 = 0.45;
/// The badge may cover this part of the frame; a smaller form is taken where it would be more.
const LARGEST_PART: f64 = 0.4;

// Distances in text heights.
const PADDING: f64 = 0.55;
const ICON: f64 = 1.1;
const GAP: f64 = 0.42;
const SCORE_GAP: f64 = 0.75;
const BAR: f64 = 0.26;
const BAR_GAP: f64 = 0.34;
const MARGIN: f64 = 0.6;
const EDGE: f64 = 0.14;

/// What a badge says; the same content is not drawn twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    level: Level,
    fresh: bool,
    score: String,
    style: Style,
}

impl Content {
    pub(super) fn new(meta: &AnomalyMeta, style: Style) -> Self {
        Self { level: meta.level(), fresh: meta.fresh, score: score_text(meta.normalized), style }
    }
}

/// Forms from complete to smallest: with verdict, with score, with bar.
const FORMS: [(bool, bool, bool); 4] =
    [(true, true, true), (true, true, false), (false, true, false), (false, false, false)];

struct Layout {
    verdict: Option<Text>,
    score: Option<Text>,
    bar: bool,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    row: f64,
}

/// Draws the badge, `None` where the frame has no room for it.
pub(super) fn draw(content: &Content, pool: &Pool) -> Result<Option<VideoOverlayRectangle>, DrawError> {
    let Some(layout) = FORMS.into_iter().find_map(|form| Layout::new(content, form)) else { return Ok(None) };
    let around = Area::around(layout.x, layout.y, layout.x + layout.width, layout.y + layout.height);
    let canvas = pool.canvas(around)?;
    layout.draw(&canvas.context()?, content)?;
    canvas.into_rectangle().map(Some)
}

impl Layout {
    /// `None` where the form does not fit.
    fn new(content: &Content, (verdict, score, bar): (bool, bool, bool)) -> Option<Self> {
        let style = &content.style;
        let em = style.font;
        let [frame_width, frame_height] = [style.frame.width(), style.frame.height()].map(f64::from);
        let margin = (MARGIN * em).min(frame_width / 20.0).min(frame_height / 20.0).floor();
        let smallest = (2.0 * PADDING + ICON) * em;
        if smallest + margin > frame_width.min(frame_height) {
            return None;
        }
        let verdict = verdict.then(|| {
            let text = match content.level {
                Level::Normal => "OK",
                Level::Warn => "WARNING",
                Level::Reject => "ANOMALY",
            };
            Text::new(text, em, pango::Weight::Bold)
        });
        let score = score.then(|| Text::new(&content.score, em, pango::Weight::Medium));
        let parts = [(&verdict, GAP), (&score, if verdict.is_some() { SCORE_GAP } else { GAP })];
        let text_width: f64 =
            parts.iter().filter_map(|(text, gap)| text.as_ref().map(|text| text.width + gap * em)).sum();
        let text_height = parts.iter().filter_map(|(text, _)| text.as_ref().map(|text| text.height));
        let row = text_height.fold(ICON * em, f64::max);
        let width = (2.0 * PADDING + ICON) * em + text_width;
        let bar_height = if bar { (BAR + BAR_GAP) * em } else { 0.0 };
        let height = row + 2.0 * 0.7 * PADDING * em + bar_height;
        let (width, height) = (width.ceil(), height.ceil());
        let fits = width + margin <= frame_width
            && height + margin <= frame_height
            && width * height <= LARGEST_PART * frame_width * frame_height;
        fits.then_some(Self { verdict, score, bar, x: margin, y: margin, width, height, row })
    }

    fn draw(&self, context: &cairo::Context, content: &Content) -> Result<(), cairo::Error> {
        let em = content.style.font;
        let colour = colour_of(content.level);
        let dimmed = if content.fresh { 1.0 } else { STALE };
        rounded(context, self.x, self.y, self.width, self.height, 0.5 * em);
        paint(context, DARK, 0.8);
        context.fill()?;
        if content.level != Level::Normal {
            // From afar its colour is seen where the text cannot be read.
            let line = EDGE * em;
            let (width, height) = (self.width - line, self.height - line);
            rounded(context, self.x + line / 2.0, self.y + line / 2.0, width, height, 0.5 * em - line / 2.0);
            paint(context, colour, 1.0);
            context.set_line_width(line);
            context.stroke()?;
        }

        let top = self.y + 0.7 * PADDING * em;
        let mut x = self.x + PADDING * em;
        let middle = top + self.row / 2.0;
        match content.level {
            Level::Normal => check_mark(context, x, middle, ICON * em, colour)?,
            Level::Warn => attention_sign(context, x, middle, ICON * em, colour)?,
            Level::Reject => warning_sign(context, x, middle, ICON * em, colour)?,
        }
        x += (ICON + GAP) * em;
        if let Some(verdict) = &self.verdict {
            paint(context, colour, 1.0);
            verdict.show(context, x, middle - verdict.height / 2.0);
        }
        if let Some(score) = &self.score {
            paint(context, LIGHT, dimmed);
            let right = self.x + self.width - PADDING * em;
            score.show(context, right - score.width, middle - score.height / 2.0);
        }
        if self.bar {
            self.draw_bar(context, content, top + self.row + BAR_GAP * em * 0.7, (colour, dimmed))?;
        }
        Ok(())
    }

    fn draw_bar(
        &self,
        context: &cairo::Context,
        content: &Content,
        y: f64,
        (colour, dimmed): (Colour, f64),
    ) -> Result<(), cairo::Error> {
        let em = content.style.font;
        let (x, height) = (self.x + PADDING * em, BAR * em);
        let width = self.width - 2.0 * PADDING * em;
        rounded(context, x, y, width, height, height / 2.0);
        paint(context, LIGHT, 0.2);
        context.fill()?;
        let part = content.score.parse::<f64>().unwrap_or(0.0);
        if part > 0.0 {
            rounded(context, x, y, (width * part).max(height), height, height / 2.0);
            paint(context, colour, dimmed);
            context.fill()?;
        }
        let tick = (0.1 * em).max(1.0);
        context.rectangle(x + (width - tick) / 2.0, y - 0.1 * em, tick, height + 0.2 * em);
        paint(context, LIGHT, 1.0);
        context.fill()
    }
}

fn check_mark(
    context: &cairo::Context,
    x: f64,
    middle: f64,
    size: f64,
    colour: Colour,
) -> Result<(), cairo::Error> {
    let radius = size / 2.0;
    context.new_path();
    context.arc(x + radius, middle, radius, 0.0, TAU);
    paint(context, colour, 1.0);
    context.fill()?;
    let point = |across: f64, down: f64| (x + across * size, middle + (down - 0.5) * size);
    for (index, (across, down)) in [(0.28, 0.53), (0.44, 0.68), (0.73, 0.35)].into_iter().enumerate() {
        let (x, y) = point(across, down);
        if index == 0 { context.move_to(x, y) } else { context.line_to(x, y) }
    }
    paint(context, DARK, 1.0);
    context.set_line_width(0.13 * size);
    context.set_line_cap(cairo::LineCap::Round);
    context.set_line_join(cairo::LineJoin::Round);
    context.stroke()
}

/// An exclamation mark on a diamond, which differs from the other two signs by its shape as well.
fn attention_sign(
    context: &cairo::Context,
    x: f64,
    middle: f64,
    size: f64,
    colour: Colour,
) -> Result<(), cairo::Error> {
    let round = 0.14 * size;
    let (centre, reach) = (x + 0.5 * size, 0.5 * size - round / 2.0);
    context.move_to(centre, middle - reach);
    context.line_to(centre + reach, middle);
    context.line_to(centre, middle + reach);
    context.line_to(centre - reach, middle);
    context.close_path();
    paint(context, colour, 1.0);
    context.set_line_join(cairo::LineJoin::Round);
    context.set_line_width(round);
    context.stroke_preserve()?;
    context.fill()?;
    exclamation_mark(
        context,
        centre,
        [middle - 0.22 * size, middle + 0.04 * size, middle + 0.24 * size],
        size,
    )
}

fn warning_sign(
    context: &cairo::Context,
    x: f64,
    middle: f64,
    size: f64,
    colour: Colour,
) -> Result<(), cairo::Error> {
    let top = middle - 0.5 * size;
    // The line rounds the corners.
    let round = 0.14 * size;
    context.move_to(x + 0.5 * size, top + 0.06 * size + round / 2.0);
    context.line_to(x + size - round / 2.0, top + 0.95 * size - round / 2.0);
    context.line_to(x + round / 2.0, top + 0.95 * size - round / 2.0);
    context.close_path();
    paint(context, colour, 1.0);
    context.set_line_join(cairo::LineJoin::Round);
    context.set_line_width(round);
    context.stroke_preserve()?;
    context.fill()?;
    exclamation_mark(context, x + 0.5 * size, [top + 0.38 * size, top + 0.6 * size, top + 0.79 * size], size)
}

/// On a sign of this size; the stroke's ends and the middle of the dot lie at these heights.
fn exclamation_mark(
    context: &cairo::Context,
    centre: f64,
    [top, bottom, dot]: [f64; 3],
    size: f64,
) -> Result<(), cairo::Error> {
    paint(context, DARK, 1.0);
    context.set_line_cap(cairo::LineCap::Round);
    context.set_line_width(0.12 * size);
    context.move_to(centre, top);
    context.line_to(centre, bottom);
    context.stroke()?;
    context.arc(centre, dot, 0.075 * size, 0.0, TAU);
    context.fill()
}
