//! What a fit found in its training images: those that stand out, in words and as a page.

use crate::common::pictures::{jpeg, reduce};
use crate::console::Console;
use crate::foreground;
use crate::overlay;
use gstanomaly::bundle::{LearnedImages, Manifest, Training, TrainingScore, TrainingScores};
use gstanomaly::evaluate::{Odd, OddParams, TrainingImage, TrainingReport, odd};
use gstanomaly::frame::{InputSpec, Preprocessor, load_picture};
use gstanomaly::kernels::resize::Bilinear;
use gstanomaly::methods::fitting::Progress;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// Images at most that are named on a terminal.
const NAMED: usize = 10;
/// Images at most that the page shows, and typical ones beside them.
const SHOWN: usize = 60;
const TYPICAL: usize = 6;
/// Longer side of a picture on the page, and the quality of its JPEG.
pub const SIDE: u32 = 400;
pub const QUALITY: u8 = 85;

/// The images that do not count as parts of their own, each number with its word, behind commas; numbers of zero are not told.
pub fn left_out(training: &Training, [skipped, copies]: [&str; 2]) -> String {
    let numbers =
        [(training.skipped, skipped), (training.copies, copies), (training.twins, "near-twins of others")];
    let told = numbers.iter().filter(|(count, _)| *count > 0);
    told.map(|(count, what)| format!(", {count} {what}")).collect()
}

/// The scores of a bundle's training images, and which of them stand out.
pub struct Found {
    scores: TrainingScores,
    odd: Vec<Odd>,
}

impl Found {
    /// What the bundle in the folder `bundle` keeps; none where it keeps nothing of that kind.
    pub fn of(bundle: &Path, manifest: &Manifest) -> anyhow::Result<Option<Self>> {
        let Some(scores) = TrainingScores::read(bundle, &manifest.files)? else { return Ok(None) };
        let values: Vec<f64> = scores.scores().iter().map(|image| image.score).collect();
        Ok(Some(Self { odd: odd(&values, &OddParams::default()), scores }))
    }

    fn images(&self) -> impl Iterator<Item = (&TrainingScore, &Odd)> {
        self.odd.iter().map(|odd| (&self.scores.scores()[odd.at], odd))
    }

    /// The paths of the images that stand out, each followed by its near-twins.
    pub fn paths(&self) -> Vec<&str> {
        self.images()
            .flat_map(|(image, _)| {
                std::iter::once(image.image.as_str()).chain(self.scores.twins_of(&image.image))
            })
            .collect()
    }

    /// A line for each image that stands out, and one that says how many there are beyond those that are named.
    pub fn lines(&self) -> Vec<String> {
        let line = |(image, odd): (&TrainingScore, &Odd)| {
            let twins = match self.scores.twins_of(&image.image).count() {
                0 => String::new(),
                1 => ", as its near-twin".into(),
                twins => format!(", as its {twins} near-twins"),
            };
            format!(
                "{}: score {:.4}, {:.1} times the median, {:.1} spreads above it{twins}",
                printable(&image.image),
                image.score,
                odd.ratio,
                odd.spreads
            )
        };
        let beyond = self.odd.len().saturating_sub(NAMED);
        let beyond = (beyond > 0).then(|| format!("and {beyond} more"));
        self.images().take(NAMED).map(line).chain(beyond).collect()
    }

    /// What a fit says of them; nothing if none stands out.
    pub fn describe(&self, bundle: &Path) -> String {
        let (them, they) = match self.odd.len() {
            0 => return String::new(),
            1 => ("this image".to_owned(), "it"),
            count => (format!("these {count} images"), "them"),
        };
        let then = match self.odd.len() {
            0..=NAMED => format!("to learn without {they}, add {}", arguments(&self.paths())),
            _ => format!(
                "to learn without {they}: adtrain info --odd {} > odd.txt, and the same fit with --exclude @odd.txt",
                quoted(&bundle.to_string_lossy())
            ),
        };
        let lines: String = self.lines().iter().map(|line| format!("\n  {line}")).collect();
        format!(
            "\nlook at {them}, which stand{} out among the others: defective, wrongly framed, or a rare kind of good part?{lines}\n{then}",
            if self.odd.len() == 1 { "s" } else { "" }
        )
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let one = |(image, odd): (&TrainingScore, &Odd)| {
            json!({
                "image": image.image, "score": image.score, "times_median": odd.ratio, "spreads": odd.spreads,
                "twins": self.scores.twins_of(&image.image).collect::<Vec<_>>(),
            })
        };
        self.images().map(one).collect()
    }

    /// Those whose scores are nearest to the median, which do not stand out.
    fn typical(&self) -> Vec<Odd> {
        let scores = self.scores.scores();
        let Some(middle) = scores.get(scores.len() / 2).map(|image| image.score) else { return Vec::new() };
        let mut others: Vec<usize> =
            (0..scores.len()).filter(|&at| self.odd.iter().all(|odd| odd.at != at)).collect();
        let off = |at: usize| (scores[at].score - middle).abs();
        others.sort_by(|&a, &b| off(a).total_cmp(&off(b)));
        let ratio = |at: usize| if middle > 0.0 { scores[at].score / middle } else { 1.0 };
        others.into_iter().take(TYPICAL).map(|at| Odd { at, spreads: 0.0, ratio: ratio(at) }).collect()
    }

    /// Writes the page to `file`; `data` is the training folder, `maps` what was kept of the images' anomaly maps.
    pub fn write(
        &self,
        file: &Path,
        bundle: &Path,
        manifest: &Manifest,
        data: &Path,
        maps: &Maps<'_>,
    ) -> anyhow::Result<()> {
        let learned = LearnedImages::read(bundle, &manifest.files)?.unwrap_or_default();
        let names = learned.images().iter().enumerate().map(|(at, image)| (image.name(), at));
        let numbers: HashMap<String, usize> = names.collect();
        let card = |odd: &Odd, shown: bool| -> anyhow::Result<TrainingImage> {
            let TrainingScore { image, score, .. } = &self.scores.scores()[odd.at];
            let number = numbers.get(image.as_str()).copied();
            let map = number.and_then(|number| maps.kept.get(&number));
            let path = number.map_or(Path::new(image), |number| &learned.images()[number].path);
            let [input, overlay] = match shown {
                true => pictures(&data.join(path), manifest, map)?,
                false => Default::default(),
            };
            Ok(TrainingImage {
                path: image.clone(),
                score: *score,
                ratio: odd.ratio,
                spreads: odd.spreads,
                twins: self.scores.twins_of(image).map(Into::into).collect(),
                input,
                overlay,
            })
        };
        let usual = self.scores.scores().iter().enumerate();
        let usual = usual.filter(|(at, _)| self.odd.iter().all(|odd| odd.at != *at));
        let training = &manifest.training;
        let count = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let facts = [
            count(training.images, "images"),
            count(training.copies, "left out as copies"),
            count(training.twins, "near-twins"),
            count(training.skipped, "left out because they cannot be read"),
        ];
        let paths = self.paths();
        let report = TrainingReport {
            title: manifest.name.clone(),
            dataset: training.dataset.clone(),
            date: training.date.clone(),
            method: manifest.title(),
            facts: facts.into_iter().flatten().collect(),
            threshold: manifest.calibration.threshold,
            usual: usual.map(|(_, image)| image.score).collect(),
            odd: self
                .odd
                .iter()
                .enumerate()
                .map(|(number, odd)| card(odd, number < SHOWN))
                .collect::<anyhow::Result<_>>()?,
            foreground: foreground::pictures(bundle, manifest, &learned, data)?,
            typical: self.typical().iter().map(|odd| card(odd, true)).collect::<anyhow::Result<_>>()?,
            exclude: arguments(&paths),
            list: paths.iter().map(|path| format!("{}\n", word(path))).collect(),
        };
        Ok(report.write(file)?)
    }
}

/// The image in `file` and the same under its anomaly map, small enough for a page; nothing where there is nothing.
fn pictures(file: &Path, manifest: &Manifest, map: Option<&Reduced>) -> anyhow::Result<[Vec<u8>; 2]> {
    // It was there a moment ago, and a page without it is better than none.
    let Ok(picture) = load_picture(file) else { return Ok(Default::default()) };
    let mut small = reduce(overlay::to_rgb(picture.info(), &picture.frame()?, manifest.input.range)?, SIDE);
    let input = jpeg(&small, QUALITY)?;
    let Some(map) = map else { return Ok([input, Vec::new()]) };
    let geometry = *Preprocessor::new(picture.info(), &manifest.input, None)?.geometry();
    overlay::draw_map(&mut small, &map.whole(&manifest.input), manifest.calibration.map, geometry)?;
    Ok([input, jpeg(&small, QUALITY)?])
}

/// What `--exclude` takes for these paths, as a shell reads it.
fn arguments(paths: &[&str]) -> String {
    let words: Vec<String> = paths.iter().map(|path| format!("--exclude {}", quoted(&word(path)))).collect();
    words.join(" ")
}

/// A path as a word that is neither a list nor a comment in one, nor more than one line: `?` stands for any character.
pub fn word(path: &str) -> String {
    let path = printable(path);
    if path.starts_with(['@', '#', '-']) { format!("./{path}") } else { path }
}

/// A path of whoever made the bundle, without what a terminal would take for a command.
fn printable(path: &str) -> String {
    path.replace(char::is_control, "?")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=.,/:@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The console, with the anomaly maps of the images that are scored to calibrate.
pub struct Maps<'a> {
    console: &'a mut Console,
    /// Whether anybody wants to see them.
    wanted: bool,
    /// By the number of the image.
    kept: HashMap<usize, Reduced>,
}

impl<'a> Maps<'a> {
    /// Keeps them if they are `wanted`.
    pub fn new(console: &'a mut Console, wanted: bool) -> Self {
        Self { console, wanted, kept: HashMap::new() }
    }
}

impl Progress for Maps<'_> {
    fn stage(&mut self, name: &str, steps: usize) {
        self.console.stage(name, steps);
    }

    fn advance(&mut self) {
        self.console.advance();
    }

    fn detail(&mut self, text: &str) {
        self.console.detail(text);
    }

    fn note(&mut self, message: &str) {
        self.console.note(message);
    }

    fn interrupted(&self) -> bool {
        self.console.interrupted()
    }

    fn scored(&mut self, image: usize, map: &[f32]) {
        if self.wanted {
            self.kept.insert(image, Reduced::new(map));
        }
    }
}

/// An anomaly map, every eight of whose values in a row are one, and the rows as they are until the size is known.
struct Reduced(Vec<f32>);

/// Values in a row that become one; the sides of an input are multiples of 32.
const STEP: usize = 8;

impl Reduced {
    fn new(map: &[f32]) -> Self {
        Self(map.chunks(STEP).map(|values| values.iter().copied().fold(f32::MIN, f32::max)).collect())
    }

    /// The map at the size of the input, about.
    fn whole(&self, input: &InputSpec) -> Vec<f32> {
        let (height, width) = (input.height as usize, input.width as usize);
        let mut whole = vec![0.0; height * width];
        if self.0.len() == height * (width / STEP) {
            Bilinear::new((height, width / STEP), (height, width)).run(&self.0, &mut whole);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_need_it() {
        let paths = ["train/good/1.png", "it's.png", "@a b.png", "-x.png"];
        let expected =
            r"--exclude train/good/1.png --exclude 'it'\''s.png' --exclude './@a b.png' --exclude ./-x.png";
        assert_eq!(arguments(&paths), expected);
        // Names come from a bundle that somebody else may have made.
        assert_eq!(word("a\u{1b}[31m\nb.png"), "a?[31m?b.png");
    }

    #[test]
    fn a_map_keeps_what_stands_out() {
        let input = InputSpec {
            width: 32,
            height: 32,
            fit: gstanomaly::frame::Fit::Stretch,
            mean: [0.0; 3],
            std: [1.0; 3],
            range: None,
        };
        let map: Vec<f32> = (0..32 * 32).map(|i| if i == 5 * 32 + 12 { 9.0 } else { 1.0 }).collect();
        let whole = Reduced::new(&map).whole(&input);
        assert!(whole[5 * 32 + 12] > 7.0 && (whole[20 * 32 + 12] - 1.0).abs() < 1e-6);
    }
}
