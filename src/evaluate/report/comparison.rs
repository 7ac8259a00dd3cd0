//! The comparison of methods: one HTML file with a table, bars, and the same test images as each method sees them.
//!
//! As in the evaluation report, names are untrusted and escaped, and the page needs nothing else; it has no script at all.

use std::path::Path;

use askama::Template;

use super::format::rounded;
use super::picture::Picture;
use super::view::STYLE;
use super::{Outcome, ReportError, ReportImage, ReportParams, Timing, write_page};
use crate::evaluate::decisions::{Confusion, Rate};
use crate::methods::Level;

const OWN_STYLE: &str = include_str!("../../../templates/comparison.css");

/// Several methods on one product.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// Heading: what was inspected.
    pub title: String,
    /// When it was compared.
    pub date: String,
    /// Device that ran the comparison.
    pub device: String,
    /// What holds for all methods, a few words each.
    pub facts: Vec<String>,
    /// What makes the figures worth less than they look, a sentence each.
    pub notes: Vec<String>,
    /// The methods in the user's order.
    pub methods: Vec<ComparedMethod>,
    /// A few test images, in the order in which they are shown.
    pub examples: Vec<Example>,
}

/// A method and what came of it.
#[derive(Debug, Clone)]
pub struct ComparedMethod {
    /// As the user called it.
    pub name: String,
    /// What it ran with, in a few words; empty if it did not get that far.
    pub description: String,
    /// The figures, or why there are none.
    pub outcome: Result<MethodFigures, String>,
}

/// The figures of a method on the test images.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodFigures {
    /// Area under the ROC curve of the image scores.
    pub image_auroc: f64,
    /// Area under the ROC curve of the pixels, average precision and region overlap; none without masks.
    pub pixels: Option<PixelFigures>,
    /// Decisions at the threshold that the fit has set.
    pub confusion: Confusion,
    /// Mean time of an image.
    pub timing: Timing,
    /// Bytes of the bank.
    pub bank_bytes: u64,
    /// Seconds of the fit; none where the bundle was there before.
    pub fit_seconds: Option<f64>,
}

/// How good a method's maps are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelFigures {
    /// Area under the ROC curve.
    pub auroc: f64,
    /// Average precision.
    pub average_precision: f64,
    /// Region overlap up to 30 % of false positives.
    pub pro: f64,
}

/// A test image as all methods see it.
#[derive(Debug, Clone, Default)]
pub struct Example {
    /// Path as it is shown.
    pub path: String,
    /// Class: `good` or the name of the defect.
    pub label: String,
    /// The truth.
    pub is_defective: bool,
    /// The image, as the bytes of a PNG, JPEG or WebP file.
    pub input: Vec<u8>,
    /// The ground truth, likewise; none for good images and where it is not known.
    pub mask: Option<Vec<u8>>,
    /// What the methods say, in the order of the methods; none for one that failed or left the image out.
    pub results: Vec<Option<ExampleResult>>,
}

/// What a method says of an image.
#[derive(Debug, Clone, Default)]
pub struct ExampleResult {
    /// The image under its anomaly map, as the bytes of a PNG, JPEG or WebP file.
    pub overlay: Vec<u8>,
    /// Score in [0, 1]; 0.5 is the threshold.
    pub normalized: f32,
    /// The decision.
    pub is_anomalous: bool,
}

impl Comparison {
    /// Writes the page to `path`; a failure leaves an older file as it was.
    ///
    /// # Errors
    /// When the file cannot be written, or a picture is not PNG, JPEG or WebP.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        write_page(path.as_ref(), &Page::new(self)?)
    }
}

/// The whole page.
#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    version: &'static str,
    style: &'static str,
    own_style: &'static str,
    columns: Vec<Column>,
    rows: Vec<RowView<'a>>,
    charts: Vec<Chart<'a>>,
    cards: Vec<Card<'a>>,
}

/// A column of the table, and one figure's bars.
struct Column {
    name: &'static str,
    /// What it says, for those who do not know.
    meaning: &'static str,
    scale: Scale,
    /// Whether the largest value is the best one.
    largest_is_best: bool,
    /// Whether a long bar is a fault.
    counts_faults: bool,
    value: fn(&MethodFigures) -> Option<f64>,
    text: fn(&MethodFigures, f64) -> String,
}

/// What the length of a bar stands for.
#[derive(Clone, Copy)]
enum Scale {
    /// The value from 0 to 1.
    Unit,
    /// The value from 0.5, which guessing reaches, to 1.
    AboveGuessing,
    /// The share of the largest value.
    Largest,
}

struct RowView<'a> {
    name: &'a str,
    description: &'a str,
    cells: Vec<Cell>,
    failure: Option<&'a str>,
}

#[derive(Clone)]
struct Cell {
    text: String,
    best: bool,
}

struct Chart<'a> {
    name: &'static str,
    counts_faults: bool,
    meaning: &'static str,
    bars: Vec<Bar<'a>>,
}

struct Bar<'a> {
    name: &'a str,
    cell: Cell,
    /// Parts of the bar in percent of the whole width.
    parts: Vec<f64>,
}

struct Card<'a> {
    example: &'a Example,
    input: Option<Picture<'a>>,
    mask: Option<Picture<'a>>,
    results: Vec<ResultView<'a>>,
}

struct ResultView<'a> {
    name: &'a str,
    overlay: Option<Picture<'a>>,
    /// Key of the outcome, its name and the normalised score; none where there is no result.
    verdict: Option<(&'static str, &'static str, String)>,
}

fn count(rate: Rate) -> String {
    format!("{} of {}", rate.events, rate.trials)
}

/// The columns in their order.
fn columns() -> Vec<Column> {
    use Scale::{AboveGuessing, Largest, Unit};
    let column = |name, meaning, scale, largest_is_best, value, text| Column {
        name,
        meaning,
        scale,
        largest_is_best,
        counts_faults: false,
        value,
        text,
    };
    let faults = |name, meaning, value, text| Column {
        counts_faults: true,
        ..column(name, meaning, Unit, false, value, text)
    };
    let share = |_: &MethodFigures, value: f64| rounded(value);
    let time = |_: &MethodFigures, value: f64| format!("{value:.1}");
    vec![
        column(
            "Image AUROC",
            "how often a defective image scores above a good one; bars start at 0.5, which guessing reaches",
            AboveGuessing,
            true,
            |f| Some(f.image_auroc),
            share,
        ),
        column(
            "Pixel AUROC",
            "the same of defective and good pixels; bars start at 0.5",
            AboveGuessing,
            true,
            |f| f.pixels.map(|p| p.auroc),
            share,
        ),
        column(
            "Pixel AP",
            "precision of the map; strict where defects are small",
            Unit,
            true,
            |f| f.pixels.map(|p| p.average_precision),
            share,
        ),
        column("PRO", "overlap of each defective region", Unit, true, |f| f.pixels.map(|p| p.pro), share),
        faults(
            "False alarms",
            "good parts that are called defective at the threshold of the fit",
            |f| f.confusion.false_alarm_rate().value(),
            |f, _| count(f.confusion.false_alarm_rate()),
        ),
        faults(
            "Missed",
            "defective parts that pass at the threshold of the fit",
            |f| f.confusion.miss_rate().value(),
            |f, _| count(f.confusion.miss_rate()),
        ),
        column(
            STEPS,
            "time of a frame: features (dark), retrieve, score (pale)",
            Largest,
            false,
            |f| Some(f.timing.total),
            time,
        ),
        column(
            "Bank, MB",
            "what is kept of the good images",
            Largest,
            false,
            |f| Some(f.bank_bytes as f64 * 1e-6),
            time,
        ),
        column("Fit, s", "learning from the good images", Largest, false, |f| f.fit_seconds, time),
    ]
}

/// The column whose bars show the three steps.
const STEPS: &str = "Frame, ms";

impl<'a> Page<'a> {
    fn new(comparison: &'a Comparison) -> Result<Self, ReportError> {
        let columns = columns();
        let cells: Vec<Vec<Cell>> = columns.iter().map(|column| column.cells(&comparison.methods)).collect();
        let rows = comparison.methods.iter().enumerate().map(|(i, method)| RowView {
            name: &method.name,
            description: &method.description,
            cells: cells.iter().map(|column| column[i].clone()).collect(),
            failure: method.outcome.as_ref().err().map(String::as_str),
        });
        let rows = rows.collect();
        let charts = columns.iter().zip(&cells).filter_map(|(column, cells)| column.chart(comparison, cells));
        let charts = charts.collect();
        let cards = comparison
            .examples
            .iter()
            .map(|example| Card::new(comparison, example))
            .collect::<Result<_, _>>()?;
        let version = env!("CARGO_PKG_VERSION");
        Ok(Self { comparison, version, style: STYLE, own_style: OWN_STYLE, columns, rows, charts, cards })
    }

    /// Columns of the examples: the image, the truth, and one a method that has figures.
    fn pictures(&self) -> usize {
        2 + self.rows.iter().filter(|row| row.failure.is_none()).count()
    }
}

impl Column {
    fn value(&self, method: &ComparedMethod) -> Option<f64> {
        method.outcome.as_ref().ok().and_then(self.value)
    }

    fn cells(&self, methods: &[ComparedMethod]) -> Vec<Cell> {
        let values: Vec<Option<f64>> = methods.iter().map(|method| self.value(method)).collect();
        let known = values.iter().flatten().copied();
        let best = if self.largest_is_best { known.reduce(f64::max) } else { known.reduce(f64::min) };
        // Of one method, or of several that are alike, none is the best.
        let tells = values.iter().flatten().any(|&value| Some(value) != best);
        let cell = |(method, value): (&ComparedMethod, &Option<f64>)| match (&method.outcome, value) {
            (Ok(figures), &Some(value)) => {
                Cell { text: (self.text)(figures, value), best: tells && Some(value) == best }
            }
            _ => Cell { text: "–".into(), best: false },
        };
        methods.iter().zip(&values).map(cell).collect()
    }

    /// The bars; none where no method has a value.
    fn chart<'a>(&self, comparison: &'a Comparison, cells: &[Cell]) -> Option<Chart<'a>> {
        let measured =
            || comparison.methods.iter().zip(cells).filter(|(method, _)| self.value(method).is_some());
        let largest = measured().filter_map(|(method, _)| self.value(method)).reduce(f64::max)?;
        let length = |value: f64| {
            let share = match self.scale {
                Scale::Unit => value,
                Scale::AboveGuessing => 2.0 * value - 1.0,
                Scale::Largest if largest > 0.0 => value / largest,
                Scale::Largest => 0.0,
            };
            100.0 * share.clamp(0.0, 1.0)
        };
        let parts = |figures: &MethodFigures| match self.name {
            STEPS => {
                let Timing { features, retrieve, score, .. } = figures.timing;
                [features, retrieve, score].map(length).into()
            }
            _ => (self.value)(figures).map(length).into_iter().collect(),
        };
        let bars = measured().filter_map(|(method, cell)| {
            let figures = method.outcome.as_ref().ok()?;
            Some(Bar { name: &method.name, cell: cell.clone(), parts: parts(figures) })
        });
        Some(Chart {
            name: self.name,
            counts_faults: self.counts_faults,
            meaning: self.meaning,
            bars: bars.collect(),
        })
    }
}

impl<'a> Card<'a> {
    fn new(comparison: &'a Comparison, example: &'a Example) -> Result<Self, ReportError> {
        let picture = |bytes: &'a [u8]| Picture::new(bytes, &example.path);
        let view = |(method, result): (&'a ComparedMethod, &'a Option<ExampleResult>)| {
            let overlay = result.as_ref().map(|result| picture(&result.overlay)).transpose()?.flatten();
            let verdict = result.as_ref().map(|result| result.verdict(example));
            Ok(ResultView { name: &method.name, overlay, verdict })
        };
        let results = comparison.methods.iter().zip(&example.results);
        let results = results.filter(|(method, _)| method.outcome.is_ok());
        Ok(Self {
            example,
            input: picture(&example.input)?,
            mask: picture(example.mask.as_deref().unwrap_or_default())?,
            results: results.map(view).collect::<Result<_, _>>()?,
        })
    }
}

impl ExampleResult {
    /// Key of the outcome, its name and the normalised score.
    fn verdict(&self, example: &Example) -> (&'static str, &'static str, String) {
        let image = ReportImage {
            is_defective: example.is_defective,
            level: Level::of(self.is_anomalous, self.normalized.into(), None),
            normalized: self.normalized,
            ..Default::default()
        };
        let outcome = Outcome::of(&image, &ReportParams::default());
        (outcome.key(), outcome.verdict(example.is_defective), format!("{:.3}", self.normalized))
    }
}

#[cfg(test)]
mod tests;
