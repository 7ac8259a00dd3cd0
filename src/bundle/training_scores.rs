//! What each training image scored against the others: what a fit calibrates by, kept with the names of the images.
//!
//! `training-scores.csv` has a line for each image that was scored, the highest score first: its path in the folder that it came from,
//! its score, and the share of the scored images that do not score more. Of thousands of images only an even selection is scored.
//! Lines without a score follow: near-twins, for which one image of the group is scored, and the name of that one. Names that a
//! spreadsheet would take for formulas have an apostrophe before them.

use super::listed::read_listed;
use super::{FileInfo, LearnedImage, LearnedImages};
use crate::error::{Error, Result};
use crate::text::{cell, from_cell};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The list's file name.
pub const TRAINING_SCORES: &str = "training-scores.csv";

/// A list larger than this is not one.
const MAX_BYTES: u64 = 64 << 20;

/// The score of a training image against the others.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingScore {
    /// Its path in the folder that it came from, as [`LearnedImages`] has it.
    pub image: String,
    /// Its image score by a bank without it.
    pub score: f64,
    /// The share of the scored images that do not score more, above 0 and at most 1.
    pub share: f64,
}

/// A training image that is a near-twin of a scored one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrainingTwin {
    /// Its path in the folder that it came from.
    pub image: String,
    /// The image that was scored for both.
    pub twin_of: String,
}

/// The scores of the training images, the highest first, and their near-twins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingScores {
    scores: Vec<TrainingScore>,
    twins: Vec<TrainingTwin>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Row {
    image: String,
    score: Option<f64>,
    share: Option<f64>,
    #[serde(default)]
    twin_of: Option<String>,
}

impl TrainingScores {
    /// The `scores` of the `images` of that number in `learned`, and the `twins` for which these stand, by the numbers of both; images
    /// that `learned` does not have are left out.
    pub fn new(
        learned: &LearnedImages,
        images: &[usize],
        scores: &[f64],
        twins: impl IntoIterator<Item = (usize, usize)>,
    ) -> Self {
        let name = |image: usize| learned.images().get(image).map(LearnedImage::name);
        let scored = images.iter().zip(scores);
        let scores = scored.filter_map(|(&image, &score)| Some((name(image)?, score)));
        let scores = scores.map(|(image, score)| TrainingScore { image, score, share: 0.0 }).collect();
        let twins = twins.into_iter().filter(|(_, of)| images.contains(of));
        let twins =
            twins.filter_map(|(twin, of)| Some(TrainingTwin { image: name(twin)?, twin_of: name(of)? }));
        Self::default().with(Self { scores, twins: twins.collect() })
    }

    /// These scores and `others`, ranked together.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.twins.extend(others.twins);
        self.twins.sort();
        self.scores.extend(others.scores);
        self.scores.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.image.cmp(&b.image)));
        let count = self.scores.len();
        let mut higher = 0;
        for at in 0..count {
            if at > 0 && self.scores[at].score < self.scores[at - 1].score {
                higher = at;
            }
            self.scores[at].share = (count - higher) as f64 / count as f64;
        }
        self
    }

    /// The scores of the bundle in the folder `bundle`, whose manifest has these `files`; none where it keeps none, as those of older
    /// versions and of a single image.
    ///
    /// # Errors
    /// If the file is missing though it should be there, cannot be read, or is not a list of images with finite scores.
    pub fn read(bundle: &Path, files: &BTreeMap<String, FileInfo>) -> Result<Option<Self>> {
        let Some((file, text)) = read_listed(bundle, TRAINING_SCORES, files, MAX_BYTES)? else {
            return Ok(None);
        };
        let mut all = Self::default();
        for row in csv::Reader::from_reader(text.as_slice()).into_deserialize::<Row>() {
            let Row { image, score, share, twin_of } = row.map_err(|e| Error::file(&file, e.to_string()))?;
            let image = from_cell(&image).to_owned();
            let twin_of = twin_of.map(|name| from_cell(&name).to_owned());
            match (score.zip(share), twin_of.filter(|name| !name.is_empty())) {
                (Some((score, share)), None) if score.is_finite() => {
                    all.scores.push(TrainingScore { image, score, share });
                }
                (None, Some(twin_of)) => all.twins.push(TrainingTwin { image, twin_of }),
                _ => {
                    let problem = format!(
                        "{image}: expected either a finite score and its share, or the image whose twin it is"
                    );
                    return Err(Error::file(&file, problem));
                }
            }
        }
        Ok(Some(Self::default().with(all)))
    }

    /// The scores, the highest first.
    pub fn scores(&self) -> &[TrainingScore] {
        &self.scores
    }

    /// The images that are near-twins of scored ones.
    pub fn twins(&self) -> &[TrainingTwin] {
        &self.twins
    }

    /// The near-twins of the scored `image`.
    pub fn twins_of<'a>(&'a self, image: &'a str) -> impl Iterator<Item = &'a str> {
        self.twins.iter().filter(move |twin| twin.twin_of == image).map(|twin| twin.image.as_str())
    }

    /// The file's content.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn text(&self) -> Result<Vec<u8>> {
        let problem = |e: String| Error::file(TRAINING_SCORES, e);
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.write_record(["image", "score", "share", "twin_of"]).map_err(|e| problem(e.to_string()))?;
        let scores = self.scores.iter().map(|TrainingScore { image, score, share }| Row {
            image: cell(image).into(),
            score: Some(*score),
            share: Some(*share),
            twin_of: None,
        });
        let twins = self.twins.iter().map(|TrainingTwin { image, twin_of }| Row {
            image: cell(image).into(),
            score: None,
            share: None,
            twin_of: Some(cell(twin_of).into()),
        });
        for row in scores.chain(twins) {
            writer.serialize(row).map_err(|e| problem(e.to_string()))?;
        }
        writer.into_inner().map_err(|e| problem(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(names: &[&str]) -> LearnedImages {
        let mut learned = LearnedImages::default();
        let one = |name: &&str| LearnedImage { sha256: "0".repeat(64), path: (*name).into() };
        learned.extend(&names.iter().map(one).collect::<Vec<_>>());
        learned
    }

    fn listing(bytes: usize) -> BTreeMap<String, FileInfo> {
        [(TRAINING_SCORES.into(), FileInfo { sha256: String::new(), bytes: bytes as u64 })].into()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let names = ["=1+1.png", "good/with, comma and \"quotes\".png", "c.png", "d.png"];
        let twins = [(3, 1), (3, 3)];
        let scores = TrainingScores::new(&learned(&names), &[2, 0, 1, 7], &[0.1 + 0.2, 5.0, 5.0, 9.0], twins);
        assert_eq!(scores.twins_of(names[1]).collect::<Vec<_>>(), ["d.png"]);
        assert_eq!(scores.twins().len(), 1, "of images that were scored");
        let found: Vec<(&str, f64, f64)> =
            scores.scores().iter().map(|it| (it.image.as_str(), it.score, it.share)).collect();
        assert_eq!(found, [(names[0], 5.0, 1.0), (names[1], 5.0, 1.0), (names[2], 0.1 + 0.2, 1.0 / 3.0)]);
        let folder = tempfile::tempdir().unwrap();
        let text = scores.text().unwrap();
        assert!(String::from_utf8_lossy(&text).contains("\n'=1+1.png,5"), "no formula in a spreadsheet");
        std::fs::write(folder.path().join(TRAINING_SCORES), &text).unwrap();
        assert_eq!(TrainingScores::read(folder.path(), &listing(text.len())).unwrap(), Some(scores));
        assert_eq!(TrainingScores::read(folder.path(), &BTreeMap::new()).unwrap(), None);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            std::fs::write(folder.path().join(TRAINING_SCORES), text).unwrap();
            TrainingScores::read(folder.path(), &listing(text.len())).unwrap_err().to_string()
        };
        assert!(read("image,score,share\na.png,NaN,1\n").contains("finite"));
        assert!(read("image,score,share\na.png,high,1\n").contains("invalid float"));
        assert!(read("image,score\na.png,1\n").contains("share"));
        assert!(read("image,score,share,twin_of\na.png,,,\n").contains("twin"));
        assert!(read("image,score,share,twin_of\na.png,1,1,b.png\n").contains("twin"));
        assert!(
            TrainingScores::read(folder.path(), &listing(1)).unwrap_err().to_string().contains("expected 1")
        );
        std::fs::remove_file(folder.path().join(TRAINING_SCORES)).unwrap();
        assert!(
            TrainingScores::read(folder.path(), &listing(1)).unwrap_err().to_string().contains("is missing")
        );
    }
}
