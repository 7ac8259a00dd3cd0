//! The report's figures, as SVG to be put into a page.

use std::fmt::Display;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::ReportError;

/// The colours of the page's style sheet.
const GOOD: RGBColor = RGBColor(0x2f, 0x7f, 0x86);
const DEFECTIVE: RGBColor = RGBColor(0xd9, 0x5d, 0x39);
const AMBER: RGBColor = RGBColor(0xc9, 0x8a, 0x1b);
const INK: RGBColor = RGBColor(0x5b, 0x67, 0x70);
const GRID: RGBColor = RGBColor(0xe9, 0xec, 0xee);
const AXIS: RGBColor = RGBColor(0xc3, 0xca, 0xcf);

/// Drawn this much larger than shown: the coordinates of the backend are whole pixels.
const SCALE: u32 = 4;
/// Width and height as shown, in pixels.
const HISTOGRAM: (u32, u32) = (1160, 270);
const CURVES: (u32, u32) = (400, 310);
const FONT_SIZE: u32 = 16;
/// Bars of the histogram; even, so that the threshold at 0.5 lies between two of them.
const BARS: usize = 40;

type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// A curve within the unit square.
pub(super) struct Curve {
    pub points: Vec<(f64, f64)>,
    /// The main curve is drawn strong and over the others.
    pub main: bool,
}

/// What a figure of curves shows.
pub(super) struct CurveFigure<'a> {
    pub x: &'a str,
    pub y: &'a str,
    pub curves: Vec<Curve>,
    /// Where the threshold in use puts the main curve.
    pub mark: Option<(f64, f64)>,
    /// The area below the main curve is shaded up to here.
    pub shade: Option<f64>,
    /// Draw the diagonal, which is what guessing would reach.
    pub diagonal: bool,
}

/// Curves in the unit square.
pub(super) fn curves(figure: &CurveFigure) -> Result<String, ReportError> {
    draw(CURVES, (1.0, 1.0), (figure.x, figure.y), |plot| {
        if figure.diagonal {
            dashed(plot, [(0.0, 0.0), (1.0, 1.0)], AXIS)?;
        }
        for curve in figure.curves.iter().filter(|curve| !curve.main) {
            plot.draw_series([PathElement::new(curve.points.clone(), INK.mix(0.55).stroke_width(SCALE))])?;
        }
        for curve in figure.curves.iter().filter(|curve| curve.main) {
            if let Some(limit) = figure.shade {
                plot.draw_series([Polygon::new(area_up_to(limit, &curve.points), GOOD.mix(0.12))])?;
                dashed(plot, [(limit, 0.0), (limit, 1.0)], INK)?;
            }
            plot.draw_series([PathElement::new(curve.points.clone(), GOOD.stroke_width(5 * SCALE / 2))])?;
        }
        if let Some(mark) = figure.mark {
            plot.draw_series([Circle::new(mark, 6 * SCALE, WHITE.filled())])?;
            plot.draw_series([Circle::new(mark, 4 * SCALE, DEFECTIVE.filled())])?;
        }
        Ok(())
    })
}

/// Histogram of normalised scores, good and defective over each other, with the threshold at 0.5 and the warn level, if there is one.
pub(super) fn histogram(good: &[f32], defective: &[f32], warn: Option<f32>) -> Result<String, ReportError> {
    let (good, defective) = (count(good), count(defective));
    let highest = good.iter().chain(&defective).copied().max().unwrap_or(0).max(4);
    draw(HISTOGRAM, (1.0, highest as f64 * 1.08), ("normalised score", "images"), |plot| {
        for (bars, colour) in [(good, GOOD), (defective, DEFECTIVE)] {
            plot.draw_series(bars.iter().enumerate().filter(|(_, count)| **count > 0).map(
                |(bar, &count)| {
                    let left = bar as f64 / BARS as f64;
                    let corners = [(left, 0.0), (left + 1.0 / BARS as f64, count as f64)];
                    let mut bar = Rectangle::new(corners, colour.mix(0.72).filled());
                    bar.set_margin(0, 0, SCALE, SCALE);
                    bar
                },
            ))?;
        }
        let mut line = |at: f64, colour| dashed(plot, [(at, 0.0), (at, highest as f64 * 1.08)], colour);
        if let Some(warn) = warn {
            line(warn.into(), AMBER)?;
        }
        line(0.5, INK)
    })
}

/// The scores of training images in their order, those that stand out over the others, with the threshold.
pub(super) fn ranked(usual: &[f64], odd: &[f64], threshold: f64) -> Result<String, ReportError> {
    let mut all: Vec<(f64, bool)> =
        usual.iter().map(|&score| (score, false)).chain(odd.iter().map(|&score| (score, true))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let highest = all.last().map_or(0.0, |last| last.0).max(threshold).max(f64::MIN_POSITIVE);
    let right = all.len().max(2) as f64;
    draw(
        HISTOGRAM,
        (right + 1.0, 1.08 * highest),
        ("images, in the order of their scores", "score"),
        |plot| {
            dashed(plot, [(0.0, threshold), (right + 1.0, threshold)], INK)?;
            for (at, (score, is_odd)) in all.into_iter().enumerate() {
                let (size, colour) = if is_odd { (5, DEFECTIVE) } else { (3, GOOD) };
                let point = (at as f64 + 1.0, score.max(0.0));
                plot.draw_series([Circle::new(point, size * SCALE, colour.mix(0.8).filled())])?;
            }
            Ok(())
        },
    )
}

/// The two parts of the loss by training step.
pub(super) fn learning(alike: Vec<(f64, f64)>, apart: Vec<(f64, f64)>) -> Result<String, ReportError> {
    let all = || alike.iter().chain(&apart);
    let largest = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0, f64::max);
    let (right, top) =
        (largest(|point| point.0).max(1.0), 1.05 * largest(|point| point.1).max(f64::MIN_POSITIVE));
    draw(CURVES, (right, top), ("step", "loss"), |plot| {
        plot.draw_series([PathElement::new(apart.clone(), INK.mix(0.55).stroke_width(2 * SCALE))])?;
        plot.draw_series([PathElement::new(alike.clone(), GOOD.stroke_width(5 * SCALE / 2))])?;
        Ok(())
    })
}

fn count(scores: &[f32]) -> [usize; BARS] {
    let mut bars = [0; BARS];
    for score in scores {
        bars[((score.max(0.0) * BARS as f32) as usize).min(BARS - 1)] += 1;
    }
    bars
}

/// The outline of what lies below `points` up to `limit`.
fn area_up_to(limit: f64, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let inside = points.iter().take_while(|point| point.0 <= limit).count();
    let mut outline = points[..inside].to_vec();
    if let (Some(&(x0, y0)), Some(&(x1, y1))) = (outline.last(), points.get(inside)) {
        outline.push((limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)));
    }
    outline.extend([(limit, 0.0), (0.0, 0.0)]);
    outline
}

type Drawn<'b> = Result<(), DrawingAreaErrorKind<<SVGBackend<'b> as DrawingBackend>::ErrorType>>;

fn dashed<'b>(plot: &mut Plot<'_, 'b>, ends: [(f64, f64); 2], colour: RGBColor) -> Drawn<'b> {
    let (dash, gap) = (5 * SCALE, 4 * SCALE);
    plot.draw_series(DashedLineSeries::new(ends, dash, gap, colour.stroke_width(3 * SCALE / 2)))?;
    Ok(())
}

/// A figure of this width and height with axes from 0 to `right` and from 0 to `top`.
fn draw(
    (width, height): (u32, u32),
    (right, top): (f64, f64),
    (x, y): (&str, &str),
    content: impl for<'b> FnOnce(&mut Plot<'_, 'b>) -> Drawn<'b>,
) -> Result<String, ReportError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (width * SCALE, height * SCALE)).into_drawing_area();
        let text = ("sans-serif", FONT_SIZE * SCALE).into_font().color(&INK);
        let mut plot = ChartBuilder::on(&root)
            .margin(8 * SCALE)
            .margin_right(16 * SCALE)
            .x_label_area_size(44 * SCALE)
            .y_label_area_size(54 * SCALE)
            .build_cartesian_2d(0.0..right, 0.0..top)
            .map_err(failed)?;
        let label = |limit: f64| {
            move |value: &f64| match limit {
                limit if limit > 1.0 => format!("{value:.0}"),
                limit if limit > 0.5 => format!("{value:.1}"),
                _ => format!("{value:.2}"),
            }
        };
        plot.configure_mesh()
            .max_light_lines(0)
            .x_labels(6)
            .y_labels(6)
            .set_all_tick_mark_size(5 * SCALE)
            .bold_line_style(GRID.stroke_width(SCALE))
            .axis_style(AXIS.stroke_width(SCALE))
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_label_formatter(&label(right))
            .y_label_formatter(&label(top))
            .x_desc(x)
            .y_desc(y)
            .draw()
            .map_err(failed)?;
        content(&mut plot).map_err(failed)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl Display) -> ReportError {
    ReportError::Figure(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_outside_the_axis_go_into_the_outer_bars() {
        let bars = count(&[-1.0, 0.0, 0.499, 0.5, 1.0, 7.0]);
        assert_eq!((bars[0], bars[BARS / 2 - 1], bars[BARS / 2], bars[BARS - 1]), (2, 1, 1, 2));
    }

    #[test]
    fn the_shade_ends_at_the_limit() {
        let outline = area_up_to(0.3, &[(0.0, 0.0), (0.2, 0.5), (0.4, 0.7), (1.0, 1.0)]);
        assert_eq!(outline.len(), 5);
        assert!((outline[2].0 - 0.3).abs() < 1e-12 && (outline[2].1 - 0.6).abs() < 1e-12);
    }

    #[test]
    fn figures_hold_text_and_curves() {
        let [plain, figure] = [None, Some(0.4)].map(|warn| histogram(&[0.1, 0.2], &[0.7], warn).unwrap());
        // The dashes of the warn level.
        assert!(figure.contains("#C98A1B") && !plain.contains("#C98A1B"), "{figure}");
        assert!(figure.contains("normalised score") && figure.matches("<rect").count() >= 3);
        let main = Curve { points: vec![(0.0, 0.0), (0.1, 0.9), (1.0, 1.0)], main: true };
        let figure = CurveFigure {
            x: "false alarm rate",
            y: "found",
            curves: vec![main],
            mark: Some((0.1, 0.9)),
            shade: Some(0.3),
            diagonal: true,
        };
        let svg = curves(&figure).unwrap();
        assert!(svg.contains("false alarm rate") && svg.contains("<polyline") && svg.contains("<circle"));
    }
}
