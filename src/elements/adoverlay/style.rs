//! Colours, sizes and shapes that the drawings share.

use super::area::Area;
use crate::methods::Level;
use pango::prelude::*;
use std::f64::consts::{FRAC_PI_2, PI};

/// Red, green, blue.
pub(super) type Colour = [f64; 3];

/// Lines and text.
pub(super) const LIGHT: Colour = [1.0, 1.0, 1.0];
/// Halos of lines and grounds of text.
pub(super) const DARK: Colour = [0.055, 0.065, 0.085];
/// Okabe and Ito's bluish green, orange and vermillion, lightened for dark grounds: told apart by colour-blind people too.
const GOOD: Colour = [0.13, 0.78, 0.56];
const UNUSUAL: Colour = [1.0, 0.76, 0.16];
const BAD: Colour = [0.98, 0.36, 0.22];

/// The colour of a level.
pub(super) fn colour_of(level: Level) -> Colour {
    match level {
        Level::Normal => GOOD,
        Level::Warn => UNUSUAL,
        Level::Reject => BAD,
    }
}

/// Families that are asked for in turn; the last is fontconfig's own fallback.
const FAMILIES: &str = "Inter,Noto Sans,DejaVu Sans,Sans";
/// Text height and line width as parts of the frame's shorter side.
const FONT: f64 = 0.028;
const LINE: f64 = 1.0 / 440.0;
/// Smaller text cannot be read.
const SMALLEST_FONT: f64 = 10.0;
const THINNEST_LINE: f64 = 1.2;
/// Size of small text.
const SMALL: f64 = 0.86;

/// Sizes in pixels that suit a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    /// The whole frame.
    pub(super) frame: Area,
    /// Height of the badge's text.
    pub(super) font: f64,
    /// Height of the labels' text.
    pub(super) small_font: f64,
    /// Width of lines.
    pub(super) line: f64,
}

impl Style {
    pub(super) fn new(frame: Area) -> Self {
        let side = f64::from(frame.width().min(frame.height()));
        let font = (side * FONT).max(SMALLEST_FONT);
        Self {
            frame,
            font,
            small_font: (font * SMALL).max(SMALLEST_FONT),
            line: (side * LINE).max(THINNEST_LINE),
        }
    }

    /// How far a line with its halo reaches to either side.
    pub(super) fn reach(&self) -> f64 {
        self.halo() / 2.0 + 1.0
    }

    fn halo(&self) -> f64 {
        self.line * 1.5 + 1.3
    }

    /// Strokes the path as a light line with a dark halo, which shows on every picture.
    pub(super) fn stroke(&self, context: &cairo::Context) -> Result<(), cairo::Error> {
        context.set_line_cap(cairo::LineCap::Round);
        context.set_line_join(cairo::LineJoin::Round);
        paint(context, DARK, 0.5);
        context.set_line_width(self.halo());
        context.stroke_preserve()?;
        paint(context, LIGHT, 0.95);
        context.set_line_width(self.line);
        context.stroke()
    }
}

/// Sets the colour of what follows.
pub(super) fn paint(context: &cairo::Context, [red, green, blue]: Colour, alpha: f64) {
    context.set_source_rgba(red, green, blue, alpha);
}

/// A closed path with round corners.
pub(super) fn rounded(context: &cairo::Context, x: f64, y: f64, width: f64, height: f64, radius: f64) {
    let radius = radius.min(width / 2.0).min(height / 2.0);
    let (right, bottom) = (x + width - radius, y + height - radius);
    let (left, top) = (x + radius, y + radius);
    context.new_sub_path();
    context.arc(right, top, radius, -FRAC_PI_2, 0.0);
    context.arc(right, bottom, radius, 0.0, FRAC_PI_2);
    context.arc(left, bottom, radius, FRAC_PI_2, PI);
    context.arc(left, top, radius, PI, PI + FRAC_PI_2);
    context.close_path();
}

/// A normalised score as people read it: cut off rather than rounded, so that nothing below the threshold reads 0.50.
pub(super) fn score_text(normalized: f64) -> String {
    if normalized.is_nan() {
        return "\u{2013}".into();
    }
    // Decimal fractions are a little less than they look: without this, 0.29 would read 0.28.
    let hundredths = (normalized.clamp(0.0, 1.0) * 100.0 + 1e-6).floor();
    format!("{:.2}", hundredths / 100.0)
}

/// A line of text that has been laid out.
#[derive(Debug)]
pub(super) struct Text {
    layout: pango::Layout,
    /// Width in pixels.
    pub(super) width: f64,
    /// Height of a capital letter's line in pixels.
    pub(super) height: f64,
}

impl Text {
    pub(super) fn new(text: &str, pixels: f64, weight: pango::Weight) -> Self {
        let context = pangocairo::FontMap::default().create_context();
        if let Ok(mut options) = cairo::FontOptions::new() {
            options.set_antialias(cairo::Antialias::Gray);
            options.set_hint_style(cairo::HintStyle::Slight);
            options.set_hint_metrics(cairo::HintMetrics::Off);
            pangocairo::functions::context_set_font_options(&context, Some(&options));
        }
        let mut font = pango::FontDescription::new();
        font.set_family(FAMILIES);
        font.set_weight(weight);
        font.set_absolute_size(pixels * f64::from(pango::SCALE));
        let layout = pango::Layout::new(&context);
        layout.set_font_description(Some(&font));
        layout.set_text(text);
        let (_, logical) = layout.extents();
        let pixels = |units: i32| f64::from(units) / f64::from(pango::SCALE);
        Self { width: pixels(logical.width()), height: pixels(logical.height()), layout }
    }

    /// Draws it with the upper left corner at a point.
    pub(super) fn show(&self, context: &cairo::Context, x: f64, y: f64) {
        context.move_to(x, y);
        pangocairo::functions::show_layout(context, &self.layout);
        context.new_path();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_agree_with_the_verdict() {
        for (score, text) in
            [(0.0, "0.00"), (0.29, "0.29"), (0.4999, "0.49"), (0.5, "0.50"), (0.83, "0.83"), (1.0, "1.00")]
        {
            assert_eq!(score_text(score), text);
        }
        assert_eq!(score_text(f64::NAN), "\u{2013}");
        assert_eq!(score_text(f64::INFINITY), "1.00");
    }

    #[test]
    fn sizes_follow_the_frame_and_stay_readable() {
        let style = |width, height| Style::new(Area::new(0, 0, width, height));
        assert_eq!(style(128, 96).font, SMALLEST_FONT);
        assert!(style(3840, 2160).font > 2.9 * style(1280, 720).font);
        assert!(style(1, 1).line >= 1.0);
    }
}
