//! What each training image scored against the others: what a fit calibrates by, kept with the names of the images.
//!
//! `training-scores.csv` has a line for each image that was scored, the highest score first: its path in the folder that it came from,
//! its score, and the share of the scored images that do not score more. Of thousands of images only an even selection is scored.

use super::{FileInfo, LearnedImages, MANIFEST, regular};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The list's file name.
pub const TRAINING_SCORES: &str = "training-scores.csv";

/// A list larger than this is not one.
const MAX_BYTES: u64 = 64 << 20;

/// The score of a training image against the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingScore {
    /// Its path in the folder that it came from, as [`LearnedImages`] has it.
    pub image: String,
    /// Its image score by a bank without it.
    pub score: f64,
    /// The share of the scored images that do not score more, above 0 and at most 1.
    pub share: f64,
}

/// The scores of the training images, the highest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingScores(Vec<TrainingScore>);

impl TrainingScores {
    /// The `scores` of the `images` of that number in `learned`; images that it does not have are left out.
    pub fn new(learned: &LearnedImages, images: &[usize], scores: &[f64]) -> Self {
        let names = images.iter().map(|&image| learned.images().get(image).map(|image| image.name.clone()));
        let scores = names.zip(scores).filter_map(|(name, &score)| Some((name?, score)));
        let mut all = Self::default();
        all.extend(scores.map(|(image, score)| TrainingScore { image, score, share: 0.0 }));
        all
    }

    /// Adds what other images scored, and ranks all of them anew.
    pub fn extend(&mut self, others: impl IntoIterator<Item = TrainingScore>) {
        self.0.extend(others);
        self.0.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.image.cmp(&b.image)));
        let count = self.0.len();
        let mut higher = 0;
        for at in 0..count {
            if at > 0 && self.0[at].score < self.0[at - 1].score {
                higher = at;
            }
            self.0[at].share = (count - higher) as f64 / count as f64;
        }
    }

    /// The scores of the bundle in the folder `bundle`, whose manifest has these `files`; none where it keeps none, as those of older
    /// versions and of a single image.
    ///
    /// # Errors
    /// If the file is missing though it should be there, cannot be read, or is not a list of images with finite scores.
    pub fn read(bundle: &Path, files: &BTreeMap<String, FileInfo>) -> Result<Option<Self>> {
        let Some(listed) = files.get(TRAINING_SCORES) else { return Ok(None) };
        let file = bundle.join(TRAINING_SCORES);
        let found = match file.metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::file(&file, format!("is missing, though {MANIFEST} lists it")));
            }
            found => regular(&file, found.map_err(|e| Error::io(&file, e))?)?.len(),
        };
        if found != listed.bytes || found > MAX_BYTES {
            let expected = listed.bytes.min(MAX_BYTES);
            return Err(Error::file(&file, format!("expected {expected} bytes, found {found}")));
        }
        let text = std::fs::read(&file).map_err(|e| Error::io(&file, e))?;
        let rows = csv::Reader::from_reader(text.as_slice()).into_deserialize::<TrainingScore>();
        let rows: Vec<TrainingScore> =
            rows.collect::<Result<_, _>>().map_err(|e| Error::file(&file, e.to_string()))?;
        if let Some(row) = rows.iter().find(|row| !row.score.is_finite()) {
            let problem =
                format!("{}: expected a score that is a finite number, found {}", row.image, row.score);
            return Err(Error::file(&file, problem));
        }
        let mut all = Self::default();
        all.extend(rows);
        Ok(Some(all))
    }

    /// The scores, the highest first.
    pub fn scores(&self) -> &[TrainingScore] {
        &self.0
    }

    /// The file's content.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn text(&self) -> Result<Vec<u8>> {
        let problem = |e: String| Error::file(TRAINING_SCORES, e);
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.write_record(["image", "score", "share"]).map_err(|e| problem(e.to_string()))?;
        for row in &self.0 {
            writer.serialize(row).map_err(|e| problem(e.to_string()))?;
        }
        writer.into_inner().map_err(|e| problem(e.to_string()))
    }
}

impl IntoIterator for TrainingScores {
    type Item = TrainingScore;
    type IntoIter = std::vec::IntoIter<TrainingScore>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::LearnedImage;

    fn learned(names: &[&str]) -> LearnedImages {
        let mut learned = LearnedImages::default();
        let one = |name: &&str| LearnedImage { sha256: "0".repeat(64), name: (*name).into() };
        learned.extend(&names.iter().map(one).collect::<Vec<_>>());
        learned
    }

    fn listing(bytes: usize) -> BTreeMap<String, FileInfo> {
        [(TRAINING_SCORES.into(), FileInfo { sha256: String::new(), bytes: bytes as u64 })].into()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let names = ["good/a.png", "good/with, comma and \"quotes\".png", "c.png", "d.png"];
        let scores = TrainingScores::new(&learned(&names), &[2, 0, 1, 7], &[0.1 + 0.2, 5.0, 5.0, 9.0]);
        let found: Vec<(&str, f64, f64)> =
            scores.scores().iter().map(|it| (it.image.as_str(), it.score, it.share)).collect();
        assert_eq!(found, [(names[0], 5.0, 1.0), (names[1], 5.0, 1.0), (names[2], 0.1 + 0.2, 1.0 / 3.0)]);
        let folder = tempfile::tempdir().unwrap();
        let text = scores.text().unwrap();
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
        assert!(read("image,score,share\na.png,high,1\n").contains("high"));
        assert!(read("image,score\na.png,1\n").contains("share"));
        assert!(
            TrainingScores::read(folder.path(), &listing(1)).unwrap_err().to_string().contains("expected 1")
        );
        std::fs::remove_file(folder.path().join(TRAINING_SCORES)).unwrap();
        assert!(
            TrainingScores::read(folder.path(), &listing(1)).unwrap_err().to_string().contains("is missing")
        );
    }
}
