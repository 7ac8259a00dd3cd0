//! VisA as it is published: images of an object in `Data/Images`, and which of them are for what in a table for all objects,
//! `split_csv/1cls.csv`, beside the objects' folders.

use super::layout;
use super::testing::TestImage;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The table with the split that has no defective images to learn from.
const TABLE: &str = "split_csv/1cls.csv";
/// Where the images of an object are.
const IMAGES: &str = "Data/Images";

/// A line of the table; paths are those from its folder's folder on.
#[derive(Debug, Deserialize)]
struct Row {
    object: String,
    split: String,
    label: String,
    image: PathBuf,
    mask: Option<PathBuf>,
}

/// The images of an object.
#[derive(Debug)]
pub(super) struct Visa {
    root: PathBuf,
    rows: Vec<Row>,
}

impl Visa {
    /// What the table says of the object in the folder `data`; none where that is not an object of VisA.
    ///
    /// # Errors
    /// If the table cannot be read, or says nothing of the object.
    pub fn of(data: &Path) -> Result<Option<Self>> {
        if !data.join(IMAGES).is_dir() {
            return Ok(None);
        }
        let whole = data.canonicalize().map_err(|e| Error::io(data, e))?;
        let (Some(root), object) = (whole.parent(), layout::file_name(&whole)) else { return Ok(None) };
        // As the user has called the folder, where that is possible.
        let root = match data.parent() {
            Some(parent) if data.file_name().is_some() && !parent.as_os_str().is_empty() => parent,
            _ => root,
        };
        let table = root.join(TABLE);
        let problem = |e: &dyn std::fmt::Display| Error::file(&table, e.to_string());
        if !table.exists() {
            return Err(Error::file(
                data,
                format!(
                    "looks like an object of VisA, but {} is not there, which says what its images are for; put it there, or the images into \
                     train/good, test/good and test/DEFECT",
                    table.display()
                ),
            ));
        }
        let mut reader = csv::Reader::from_path(&table).map_err(|e| problem(&e))?;
        let rows: Vec<Row> = reader.deserialize().collect::<csv::Result<_>>().map_err(|e| problem(&e))?;
        let rows: Vec<Row> = rows.into_iter().filter(|row| row.object == object).collect();
        match rows.is_empty() {
            true => Err(problem(&format!("has no line with the object {object}"))),
            false => Ok(Some(Self { root: root.to_owned(), rows })),
        }
    }

    /// The good images to learn from.
    pub fn training(&self) -> Vec<PathBuf> {
        let rows = self.rows.iter().filter(|row| row.split == "train" && layout::is_good(&row.label));
        rows.map(|row| self.root.join(&row.image)).collect()
    }

    /// The images to be judged.
    pub fn testing(&self) -> Vec<TestImage> {
        let one = |row: &Row| TestImage {
            path: self.root.join(&row.image),
            label: row.label.clone(),
            masks: row
                .mask
                .iter()
                .filter(|mask| !mask.as_os_str().is_empty())
                .map(|mask| self.root.join(mask))
                .collect(),
        };
        self.rows.iter().filter(|row| row.split == "test").map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{test_images, training_images};
    use std::path::Path;

    #[test]
    fn the_table_says_what_images_are_for() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("candle");
        for name in ["Normal/0.JPG", "Normal/1.JPG", "Anomaly/0.JPG"] {
            let file = data.join("Data/Images").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        let error = training_images(&data).unwrap_err().to_string();
        assert!(error.contains("split_csv/1cls.csv"), "{error}");
        let table = "object,split,label,image,mask\n\
            candle,train,normal,candle/Data/Images/Normal/0.JPG,\n\
            candle,test,normal,candle/Data/Images/Normal/1.JPG,\n\
            candle,test,anomaly,candle/Data/Images/Anomaly/0.JPG,candle/Data/Masks/Anomaly/0.png\n\
            capsules,train,normal,capsules/Data/Images/Normal/7.JPG,\n";
        std::fs::create_dir(folder.path().join("split_csv")).unwrap();
        std::fs::write(folder.path().join("split_csv/1cls.csv"), table).unwrap();
        let of = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
        let training: Vec<String> =
            training_images(&data).unwrap().images.iter().map(|path| of(path)).collect();
        assert_eq!(training, ["candle/Data/Images/Normal/0.JPG"]);
        let tests = test_images(&data).unwrap().images;
        assert_eq!(tests.iter().map(|test| test.is_defective()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(of(&tests[1].path), "candle/Data/Images/Anomaly/0.JPG");
        assert_eq!(of(&tests[1].masks[0]), "candle/Data/Masks/Anomaly/0.png");
        std::fs::rename(&data, folder.path().join("pcb9")).unwrap();
        let error = test_images(&folder.path().join("pcb9")).unwrap_err().to_string();
        assert!(error.contains("pcb9"), "{error}");
    }
}
