//! What a fit found in its training images: one HTML file with their scores against each other, those that stand out, and typical ones.
//!
//! As in the evaluation report, names are untrusted and escaped, and the page needs nothing else; it has no script at all.

use super::charts;
use super::format::significant;
use super::picture::Picture;
use super::view::STYLE;
use super::{ReportError, write_page};
use askama::Template;
use std::path::Path;

const OWN_STYLE: &str = include_str!("../../../templates/training.css");

/// The training images of a bundle.
#[derive(Debug, Clone, Default)]
pub struct TrainingReport {
    /// Heading: what is inspected.
    pub title: String,
    /// The training folder.
    pub dataset: String,
    /// When it was fitted.
    pub date: String,
    /// Method, with its preset.
    pub method: String,
    /// What else a reader wants to know of the images, a few words each.
    pub facts: Vec<String>,
    /// The raw score from which on a part is called defective.
    pub threshold: f64,
    /// The scores of all images that do not stand out.
    pub usual: Vec<f64>,
    /// The images that stand out, the highest score first.
    pub odd: Vec<TrainingImage>,
    /// Some that do not, for comparison.
    pub typical: Vec<TrainingImage>,
    /// Some of all images; their overlay shows what is taken for the object. None where objects are not told from the background.
    pub foreground: Vec<TrainingImage>,
    /// The arguments with which a fit leaves the odd images out.
    pub exclude: String,
    /// The same, one path in each line, for a list.
    pub list: String,
}

/// A training image.
#[derive(Debug, Clone, Default)]
pub struct TrainingImage {
    /// Its path in the training folder.
    pub path: String,
    /// Its score by a bank without it.
    pub score: f64,
    /// How many times the median that is.
    pub ratio: f64,
    /// How many spreads it is above the median.
    pub spreads: f64,
    /// Near-twins of it, by their paths.
    pub twins: Vec<String>,
    /// The image, as the bytes of a PNG, JPEG or WebP file; empty where there is none.
    pub input: Vec<u8>,
    /// The image under its anomaly map, likewise.
    pub overlay: Vec<u8>,
}

impl TrainingReport {
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
#[template(path = "training.html")]
struct Page<'a> {
    report: &'a TrainingReport,
    version: &'static str,
    style: &'static str,
    own_style: &'static str,
    figure: String,
    threshold: String,
    scored: usize,
    odd: Vec<Card<'a>>,
    typical: Vec<Card<'a>>,
    foreground: Vec<Card<'a>>,
}

struct Card<'a> {
    image: &'a TrainingImage,
    score: String,
    input: Option<Picture<'a>>,
    overlay: Option<Picture<'a>>,
}

impl<'a> Card<'a> {
    fn new(image: &'a TrainingImage) -> Result<Self, ReportError> {
        Ok(Self {
            image,
            score: significant(image.score as f32),
            input: Picture::new(&image.input, &image.path)?,
            overlay: Picture::new(&image.overlay, &image.path)?,
        })
    }

    fn ratio(&self) -> String {
        format!("{:.2}", self.image.ratio)
    }

    fn spreads(&self) -> String {
        format!("{:.1}", self.image.spreads)
    }
}

impl<'a> Page<'a> {
    fn new(report: &'a TrainingReport) -> Result<Self, ReportError> {
        let odd: Vec<f64> = report.odd.iter().map(|image| image.score).collect();
        let cards = |images: &'a [TrainingImage]| images.iter().map(Card::new).collect::<Result<_, _>>();
        Ok(Self {
            report,
            version: env!("CARGO_PKG_VERSION"),
            style: STYLE,
            own_style: OWN_STYLE,
            figure: charts::ranked(&report.usual, &odd, report.threshold)?,
            threshold: significant(report.threshold as f32),
            scored: report.usual.len() + odd.len(),
            odd: cards(&report.odd)?,
            typical: cards(&report.typical)?,
            foreground: cards(&report.foreground)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &str, score: f64) -> TrainingImage {
        let mut png = std::io::Cursor::new(Vec::new());
        image::RgbImage::new(2, 2).write_to(&mut png, image::ImageFormat::Png).unwrap();
        let png = png.into_inner();
        let twins = vec!["twin.png".into()];
        TrainingImage {
            path: path.into(),
            score,
            ratio: 3.0,
            spreads: 6.5,
            twins,
            input: png.clone(),
            overlay: png,
        }
    }

    #[test]
    fn odd_images_are_shown_and_their_names_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("training.html");
        let report = TrainingReport {
            title: "parts".into(),
            threshold: 250.0,
            usual: (0..40).map(|i| 100.0 + f64::from(i)).collect(),
            odd: vec![image("<b>odd.png", 400.0)],
            typical: vec![image("usual.png", 120.0)],
            foreground: vec![image("object.png", 0.0)],
            exclude: "--exclude '<b>odd.png'".into(),
            list: "<b>odd.png\n".into(),
            ..TrainingReport::default()
        };
        report.write(&file).unwrap();
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(!page.contains("<b>odd.png") && page.contains("&#60;b&#62;odd.png"));
        for part in
            ["400.0", "6.5", "3.00", "twin.png", "usual.png", "object.png", "1 of 41", "<circle", "--exclude"]
        {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("src=\"http") && !page.contains("<script"));
        assert_eq!(page.matches("<img").count(), 6);
    }

    #[test]
    fn nothing_odd_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("training.html");
        let usual: Vec<f64> = (0..9).map(f64::from).collect();
        TrainingReport { threshold: 9.0, usual, ..TrainingReport::default() }.write(&file).unwrap();
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(page.contains("No image stands out") && !page.contains("--exclude"));
        assert!(!page.contains("taken for the object"));
        let odd = TrainingImage { input: vec![1, 2, 3], ..TrainingImage::default() };
        assert!(TrainingReport { odd: vec![odd], ..TrainingReport::default() }.write(&file).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), page, "the older one stays");
    }
}
