//! What the template shows: every number already rounded, every list already in order.

use std::collections::BTreeMap;

use askama::Template;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::charts::{self, Curve, CurveFigure};
use super::format::{percent, rounded, significant};
use super::order::{self, Outcome};
use super::picture::Picture;
use super::{LearningPoint, Report, ReportError, ReportImage, ReportParams};
use crate::evaluate::decisions::{Confusion, Rate};
use crate::evaluate::levels::LevelCounts;
use crate::evaluate::metrics::{MetricParams, image_metrics};

const SCRIPT: &str = include_str!("../../../templates/report.js");
pub(super) const STYLE: &str = include_str!("../../../templates/report.css");

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    report: &'a Report,
    version: &'static str,
    style: &'static str,
    script: &'static str,
    script_hash: String,
    confusion: Confusion,
    /// Of good and of defective images; none where the model has no warn level.
    levels: Option<(LevelCounts, LevelCounts)>,
    found: RateView,
    false_alarms: RateView,
    metrics: Vec<MetricView>,
    figures: Vec<Figure>,
    histogram: String,
    timing: Vec<TimingPart>,
    alternatives: Vec<Alternative>,
    classes: Vec<ClassView>,
    cards: Vec<Card<'a>>,
    outcomes: Vec<(&'static str, &'static str, usize)>,
    rows: Vec<Row<'a>>,
}

/// A rate and how sure it is.
struct RateView {
    percent: String,
    confidence: String,
}

struct MetricView {
    name: &'static str,
    value: String,
    meaning: String,
}

struct Figure {
    title: &'static str,
    svg: String,
    /// Name of the main curve and of the other one, if there is one.
    legend: (&'static str, Option<&'static str>),
    mark: bool,
}

struct TimingPart {
    name: &'static str,
    milliseconds: String,
    /// Share of the sum.
    percent: f64,
}

/// What another threshold would do.
struct Alternative {
    name: &'static str,
    threshold: String,
    confusion: Confusion,
    current: bool,
}

struct ClassView {
    name: String,
    is_defective: bool,
    images: usize,
    wrong: usize,
    right_percent: String,
    lowest: String,
    highest: String,
    auroc: String,
}

struct Card<'a> {
    row: Row<'a>,
    input: Option<Picture<'a>>,
    overlay: Option<Picture<'a>>,
    mask: Option<Picture<'a>>,
}

struct Row<'a> {
    image: &'a ReportImage,
    outcome: Outcome,
    score: String,
    normalized: String,
    /// Normalised score in percent, for the gauge.
    percent: f32,
}

impl<'a> Page<'a> {
    pub(super) fn new(report: &'a Report, params: &ReportParams) -> Result<Self, ReportError> {
        let broken = |image: &&ReportImage| !(image.score.is_finite() && image.normalized.is_finite());
        if let Some(&ReportImage { ref path, score, normalized, .. }) = report.images.iter().find(broken) {
            return Err(ReportError::NotFinite { image: path.clone(), score, normalized });
        }
        let order = order::by_interest(&report.images, params);
        let shown = order::choose_shown(&report.images, &order, params);
        let row = |index: &usize| Row::new(&report.images[*index], params);
        let rows: Vec<Row> = order.iter().map(row).collect();
        let cards = shown.iter().map(|index| Card::new(row(index))).collect::<Result<Vec<_>, _>>()?;
        let confusion = report.confusion();
        Ok(Self {
            report,
            version: env!("CARGO_PKG_VERSION"),
            style: STYLE,
            script: SCRIPT,
            script_hash: base64::Engine::encode(&STANDARD, Sha256::digest(SCRIPT)),
            confusion,
            levels: report.model.warn.map(|_| (report.levels(false), report.levels(true))),
            found: RateView::new(confusion.recall()),
            false_alarms: RateView::new(confusion.false_alarm_rate()),
            metrics: metric_views(report),
            figures: figures(report, &confusion)?,
            histogram: charts::histogram(
                &normalized_of(report, false),
                &normalized_of(report, true),
                report.model.warn.map(|warn| warn.normalized),
            )?,
            timing: timing_parts(report),
            alternatives: alternatives(report, confusion),
            classes: class_views(report),
            outcomes: count_outcomes(&cards),
            cards,
            rows,
        })
    }

    fn good_images(&self) -> usize {
        self.confusion.good()
    }

    fn defective_images(&self) -> usize {
        self.confusion.defective()
    }

    fn threshold(&self) -> String {
        significant(self.report.model.threshold)
    }

    fn warn_level(&self) -> Option<String> {
        self.report.model.warn.map(|warn| significant(warn.score))
    }

    fn per_second(&self) -> Option<String> {
        let timing = self.report.timing.filter(|timing| timing.total > 0.0)?;
        Some(format!("{:.0}", 1000.0 / timing.total))
    }

    fn total_milliseconds(&self) -> String {
        self.report.timing.map_or_else(String::new, |timing| format!("{:.1}", timing.total))
    }
}

impl RateView {
    fn new(rate: Rate) -> Self {
        let percent = rate.value().map_or_else(|| "–".into(), percent);
        let confidence = rate.confidence().map_or_else(String::new, |(low, high)| {
            format!("95 % confidence: {:.1} – {:.1} %", 100.0 * low, 100.0 * high)
        });
        Self { percent, confidence }
    }
}

impl<'a> Row<'a> {
    fn new(image: &'a ReportImage, params: &ReportParams) -> Self {
        Self {
            image,
            outcome: Outcome::of(image, params),
            score: significant(image.score),
            normalized: format!("{:.3}", image.normalized),
            percent: 100.0 * image.normalized.clamp(0.0, 1.0),
        }
    }

    fn key(&self) -> &'static str {
        self.outcome.key()
    }

    fn verdict(&self) -> &'static str {
        self.outcome.verdict(self.image.is_defective)
    }
}

impl<'a> Card<'a> {
    fn new(row: Row<'a>) -> Result<Self, ReportError> {
        let image = row.image;
        let picture = |bytes: &'a [u8]| Picture::new(bytes, &image.path);
        Ok(Self {
            input: picture(&image.input)?,
            overlay: picture(&image.overlay)?,
            mask: picture(image.mask.as_deref().unwrap_or_default())?,
            row,
        })
    }
}

fn count_outcomes(cards: &[Card]) -> Vec<(&'static str, &'static str, usize)> {
    let names = [
        (Outcome::Missed, "Missed"),
        (Outcome::FalseAlarm, "False alarms"),
        (Outcome::Borderline, "Borderline"),
        (Outcome::Correct, "Correct"),
    ];
    let count = |outcome| cards.iter().filter(|card| card.row.outcome == outcome).count();
    names.into_iter().map(|(outcome, name)| (outcome.key(), name, count(outcome))).collect()
}

fn metric_views(report: &Report) -> Vec<MetricView> {
    let mut views = Vec::new();
    let mut add =
        |name, value, meaning: String| views.push(MetricView { name, value: rounded(value), meaning });
    if let Some(metrics) = &report.image_metrics {
        add("Image AUROC", metrics.auroc, "A defective image scores above a good one this often.".into());
        add("Image AP", metrics.average_precision, "Mean precision over all recalls.".into());
        let threshold = significant(metrics.f1_max_threshold);
        add("Image F1 max", metrics.f1_max, format!("Best balance, at a threshold of {threshold}."));
    }
    if let Some(metrics) = &report.pixel_metrics {
        add(
            "Pixel AUROC",
            metrics.ranking.auroc,
            "A defective pixel scores above a good one this often.".into(),
        );
        add("Pixel AP", metrics.ranking.average_precision, "Strict where defects are small.".into());
        let limit = format!("{:.0} %", 100.0 * metrics.fpr_limit);
        add(
            "PRO",
            metrics.pro,
            format!("Overlap of the {} regions, up to {limit} of false pixels.", metrics.regions),
        );
    }
    views
}

fn figures(report: &Report, confusion: &Confusion) -> Result<Vec<Figure>, ReportError> {
    let pixels = report.pixel_metrics.as_ref();
    let mut figures = Vec::new();
    if let Some(metrics) = &report.image_metrics {
        let legend = ("images", pixels.map(|_| "pixels"));
        let recall = confusion.recall().value();
        let main = |points| Curve { points, main: true };
        let other = |points| Curve { points, main: false };

        let mut curves = vec![main(metrics.roc().collect())];
        curves.extend(pixels.map(|pixels| other(pixels.ranking.roc().collect())));
        let (x, y, mark) = ("false alarm rate", "found", confusion.false_alarm_rate().value().zip(recall));
        let svg = charts::curves(&CurveFigure { x, y, curves, mark, shade: None, diagonal: true })?;
        figures.push(Figure { title: "ROC", svg, legend, mark: mark.is_some() });

        let mut curves = vec![main(metrics.precision_recall().collect())];
        curves.extend(pixels.map(|pixels| other(pixels.ranking.precision_recall().collect())));
        let (x, y, mark) = ("recall", "precision", recall.zip(confusion.precision().value()));
        let svg = charts::curves(&CurveFigure { x, y, curves, mark, shade: None, diagonal: false })?;
        figures.push(Figure { title: "Precision and recall", svg, legend, mark: mark.is_some() });
    }
    if let Some(metrics) = pixels {
        let points =
            metrics.pro_curve.iter().map(|point| (point.false_positive_rate, point.overlap)).collect();
        let (x, y, shade) = ("false pixels", "region overlap", Some(metrics.fpr_limit));
        let curves = vec![Curve { points, main: true }];
        let svg = charts::curves(&CurveFigure { x, y, curves, mark: None, shade, diagonal: false })?;
        figures.push(Figure { title: "Region overlap (PRO)", svg, legend: ("regions", None), mark: false });
    }
    if !report.learning.is_empty() {
        let curve = |part: fn(&LearningPoint) -> f64| {
            report.learning.iter().map(|point| (point.step as f64, part(point))).collect()
        };
        let svg = charts::learning(curve(|point| point.alike), curve(|point| point.apart))?;
        let legend = ("pairs that should be alike", Some("pairs that should differ"));
        figures.push(Figure { title: "Learning", svg, legend, mark: false });
    }
    Ok(figures)
}

fn normalized_of(report: &Report, defective: bool) -> Vec<f32> {
    report
        .images
        .iter()
        .filter(|image| image.is_defective == defective)
        .map(|image| image.normalized)
        .collect()
}

fn timing_parts(report: &Report) -> Vec<TimingPart> {
    let Some(timing) = report.timing else { return Vec::new() };
    let parts = [("features", timing.features), ("retrieve", timing.retrieve), ("score", timing.score)];
    let sum: f64 = parts.iter().map(|part| part.1).sum();
    let percent = |part: f64| if sum > 0.0 { 100.0 * part / sum } else { 0.0 };
    let view = |(name, part)| TimingPart { name, milliseconds: format!("{part:.1}"), percent: percent(part) };
    parts.map(view).into()
}

/// The threshold in use beside those that a user would ask for next.
fn alternatives(report: &Report, confusion: Confusion) -> Vec<Alternative> {
    let scores = || report.images.iter().map(|image| (image.is_defective, image.score));
    let of_class = |defective| scores().filter(move |score| score.0 == defective).map(|score| score.1);
    let (Some(lowest_defective), Some(highest_good)) =
        (of_class(true).min_by(f32::total_cmp), of_class(false).max_by(f32::total_cmp))
    else {
        return Vec::new();
    };
    let no_false_alarm = of_class(true)
        .filter(|&score| score > highest_good)
        .min_by(f32::total_cmp)
        .unwrap_or_else(|| highest_good.next_up());
    let mut thresholds = vec![("no defect missed", lowest_defective), ("no false alarm", no_false_alarm)];
    thresholds.extend(report.image_metrics.as_ref().map(|metrics| ("best F1", metrics.f1_max_threshold)));

    let current = report.model.threshold;
    let mut alternatives =
        vec![Alternative { name: "in use", threshold: significant(current), confusion, current: true }];
    alternatives.extend(thresholds.into_iter().map(|(name, threshold)| Alternative {
        name,
        threshold: significant(threshold),
        confusion: Confusion::at_threshold(threshold, scores()),
        current: false,
    }));
    alternatives
}

fn class_views(report: &Report) -> Vec<ClassView> {
    let mut classes: BTreeMap<(bool, &str), Vec<&ReportImage>> = BTreeMap::new();
    for image in &report.images {
        classes.entry((image.is_defective, &image.label)).or_default().push(image);
    }
    let good: Vec<f32> = report.images.iter().filter(|image| !image.is_defective).map(|i| i.score).collect();
    classes
        .into_iter()
        .map(|((is_defective, name), images)| class_view(name, is_defective, &images, &good))
        .collect()
}

fn class_view(name: &str, is_defective: bool, images: &[&ReportImage], good: &[f32]) -> ClassView {
    let scores: Vec<f32> = images.iter().map(|image| image.score).collect();
    let wrong = images.iter().filter(|image| image.is_anomalous() != is_defective).count();
    let right = Rate { events: images.len() - wrong, trials: images.len() };
    let extreme = |score: Option<f32>| score.map_or_else(String::new, significant);
    let auroc = || {
        let labels: Vec<bool> = good.iter().map(|_| false).chain(scores.iter().map(|_| true)).collect();
        image_metrics(&labels, &[good, &scores].concat(), &MetricParams::default()).ok()
    };
    let auroc = if is_defective { auroc() } else { None };
    ClassView {
        name: name.to_owned(),
        is_defective,
        images: images.len(),
        wrong,
        right_percent: right.value().map_or_else(String::new, percent),
        lowest: extreme(scores.iter().copied().min_by(f32::total_cmp)),
        highest: extreme(scores.iter().copied().max_by(f32::total_cmp)),
        auroc: auroc.map_or_else(|| "–".into(), |metrics| rounded(metrics.auroc)),
    }
}
