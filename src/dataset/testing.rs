//! The images to be judged.

use super::images::{Entries, Tree, list_images};
use super::layout::{self, GROUND_TRUTH, TEST, are, such_as};
use super::masks::{GroundTruth, SUFFIX};
use super::training::Found;
use super::visa::Visa;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// An image to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestImage {
    /// The image file.
    pub path: PathBuf,
    /// Its folder's name: `good` or a kind of defect.
    pub label: String,
    /// Its masks, for a defective image that has some; every one marks defects.
    pub masks: Vec<PathBuf>,
}

impl TestImage {
    /// Whether it is labelled as defective.
    pub fn is_defective(&self) -> bool {
        !layout::is_good(&self.label)
    }
}

/// The test images of an MVTec-style category, by label and name.
///
/// # Errors
/// If there is no `test` folder, or it holds no image.
pub fn test_images(data: &Path) -> Result<Found<TestImage>> {
    layout::expect_folder(data, "a folder with test/good and test/DEFECT")?;
    let Some(test) = layout::child(data, &TEST)? else {
        if let Some(visa) = Visa::of(data)? {
            return Ok(Found::new(visa.testing()));
        }
        let contents = layout::contents(data);
        return Err(Error::file(
            data,
            format!("expected a folder with test/good and test/DEFECT; {contents}"),
        ));
    };
    let ground_truth = GroundTruth::of(data, &test)?;
    let kinds = layout::children(&test, |name| !GROUND_TRUTH.contains(&name))?;
    let mut found = Found::new(Vec::new());
    for kind in &kinds {
        let label = layout::file_name(kind);
        let tree = Tree::of(kind)?;
        found.unused.extend(super::training::unexpected(&tree.unexpected, data));
        for path in tree.images {
            let masks = if layout::is_good(&label) { Vec::new() } else { ground_truth.masks(kind, &path) };
            found.images.push(TestImage { path, label: label.clone(), masks });
        }
    }
    if found.images.is_empty() {
        let contents = layout::contents(&test);
        return Err(Error::file(&test, format!("no test images in test/good or test/DEFECT; {contents}")));
    }
    let loose = Entries::of(&test)?.images;
    if !loose.is_empty() {
        found.unused.push(format!(
            "{}: {} directly in it and neither good nor of a kind of defect: not used, such as {}",
            test.display(),
            are(loose.len(), "image"),
            such_as(&loose, &test)
        ));
    }
    let masks = ground_truth.unused();
    if !masks.is_empty() {
        found.unused.push(format!(
            "{}: {} in ground_truth belong to no test image and were not used, such as {}; the masks of test/KIND/NAME.* are \
             ground_truth/KIND/NAME_mask.*, NAME.* or all images in a folder NAME",
            data.display(),
            layout::counted(masks.len(), "file"),
            such_as(&masks, data)
        ));
    }
    Ok(found)
}

/// An error if there are no good images, or no defective ones, in the data set `data`.
///
/// # Errors
/// With the folders that there are.
pub fn expect_good_and_defective(tests: &[TestImage], data: &Path) -> Result<()> {
    let mut labels: Vec<&str> = tests.iter().map(|test| test.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    for (defective, missing) in [
        (false, "good image in test/good (or test/ok, test/normal)"),
        (true, "defective image in test/DEFECT, any other name"),
    ] {
        if tests.iter().all(|test| test.is_defective() != defective) {
            return Err(Error::file(
                data,
                format!(
                    "there is no {missing}; without both kinds nothing can be measured; test has {}",
                    labels.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// A defective image and its masks.
pub type Defect = (PathBuf, Vec<PathBuf>);

/// Defective images with their masks: the test images of an MVTec-style category that have some, or the images of a folder
/// that have one, `NAME_mask.png`, beside them.
///
/// # Errors
/// If the folder is missing or holds no such pair.
pub fn defect_images(data: &Path) -> Result<Found<Defect>> {
    layout::expect_folder(data, "a folder of defective images with masks")?;
    let is_data_set = layout::child(data, &TEST)?.is_some() || Visa::of(data)?.is_some();
    let mut found = match is_data_set {
        true => {
            let Found { images, unused, notes } = test_images(data)?;
            let defective = images.into_iter().filter(TestImage::is_defective);
            Found { images: defective.map(|image| (image.path, image.masks)).collect(), unused, notes }
        }
        false => Found::new(beside(list_images(data)?)),
    };
    let (pairs, without): (Vec<Defect>, Vec<Defect>) =
        found.images.into_iter().partition(|(_, masks)| !masks.is_empty());
    found.images = pairs;
    if found.images.is_empty() {
        let contents = layout::contents(data);
        return Err(Error::file(
            data,
            format!(
                "no defective image with a mask; expected test/DEFECT and ground_truth/DEFECT, or NAME_mask.png beside an image; {contents}"
            ),
        ));
    }
    if !without.is_empty() {
        let without: Vec<PathBuf> = without.into_iter().map(|(image, _)| image).collect();
        found.unused.push(format!(
            "{}: {} not used for want of a mask, such as {}",
            data.display(),
            are(without.len(), "defective image"),
            such_as(&without, data)
        ));
    }
    Ok(found)
}

/// Images and the masks beside them.
fn beside(files: Vec<PathBuf>) -> Vec<Defect> {
    let key = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut masks: HashMap<String, PathBuf> = HashMap::new();
    let mut images = Vec::new();
    for file in files {
        match key(&file).strip_suffix(SUFFIX) {
            Some(image) => drop(masks.insert(image.to_owned(), file)),
            None => images.push(file),
        }
    }
    let with_mask = |image: PathBuf| {
        let mask = masks.get(&key(&image)).cloned();
        (image, mask.into_iter().collect())
    };
    images.into_iter().map(with_mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_set(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        folder
    }

    /// "LABEL NAME: MASK, MASK" of each image.
    fn found(data: &Path) -> Vec<String> {
        let found = test_images(data).unwrap();
        let of = |path: &PathBuf| path.strip_prefix(data).unwrap().display().to_string();
        let line = |test: &TestImage| {
            format!(
                "{} {}: {}",
                test.label,
                of(&test.path),
                test.masks.iter().map(of).collect::<Vec<_>>().join(", ")
            )
        };
        found.images.iter().map(line).collect()
    }

    #[test]
    fn layouts_of_known_data_sets_are_read() {
        // MVTec LOCO: a folder of masks for an image.
        let loco = data_set(&[
            "test/good/000.png",
            "test/logical/000.png",
            "test/logical/001.png",
            "ground_truth/logical/000/000.png",
            "ground_truth/logical/000/001.png",
            "ground_truth/logical/001/000.png",
        ]);
        assert_eq!(
            found(loco.path()),
            [
                "good test/good/000.png: ",
                "logical test/logical/000.png: ground_truth/logical/000/000.png, ground_truth/logical/000/001.png",
                "logical test/logical/001.png: ground_truth/logical/001/000.png",
            ]
        );
        // MVTec AD 2: the masks lie in the test folder.
        let second = data_set(&[
            "test_public/good/000_regular.png",
            "test_public/bad/000_regular.png",
            "test_public/ground_truth/bad/000_regular_mask.png",
            "test_private/000.png",
        ]);
        assert_eq!(
            found(second.path()),
            [
                "bad test_public/bad/000_regular.png: test_public/ground_truth/bad/000_regular_mask.png",
                "good test_public/good/000_regular.png: ",
            ]
        );
        // As people name them.
        let own = data_set(&[
            "TEST/OK/1.PNG",
            "TEST/.ipynb_checkpoints/1-checkpoint.png",
            "TEST/__MACOSX/1.png",
            "TEST/Scratch/deep/A.JPEG",
            "TEST/Scratch/b.bmp",
            "TEST/Scratch/c.tif",
            "Ground_Truth/scratch/deep/a_MASK.TIF",
            "Ground_Truth/scratch/b.bmp",
            "Ground_Truth/scratch/c_mask.PNG",
            "Ground_Truth/ok/1.png",
        ]);
        assert_eq!(
            found(own.path()),
            [
                "OK TEST/OK/1.PNG: ",
                "Scratch TEST/Scratch/b.bmp: Ground_Truth/scratch/b.bmp",
                "Scratch TEST/Scratch/c.tif: Ground_Truth/scratch/c_mask.PNG",
                "Scratch TEST/Scratch/deep/A.JPEG: Ground_Truth/scratch/deep/a_MASK.TIF",
            ]
        );
        assert!(test_images(own.path()).unwrap().unused.is_empty());
    }

    #[test]
    fn what_is_not_used_is_named() {
        let data = data_set(&[
            "test/good/1.png",
            "test/dent/1.png",
            "test/dent/2.heic",
            "test/loose.png",
            "ground_truth/dent/1_mask.png",
            "ground_truth/dent/1.bmp",
            "ground_truth/dents/7_mask.png",
        ]);
        let unused = test_images(data.path()).unwrap().unused;
        assert_eq!(unused.len(), 3, "{unused:?}");
        assert!(unused[0].contains("1 file is not used, such as test/dent/2.heic"), "{unused:?}");
        assert!(unused[1].contains("loose.png"), "{unused:?}");
        assert!(unused[2].contains("2 files in ground_truth"), "{unused:?}");
        assert!(unused[2].contains("dents/7_mask.png"), "{unused:?}");
    }

    #[test]
    fn good_and_defective_ones_are_expected() {
        let check = |files: &[&str]| {
            let data = data_set(files);
            let tests = test_images(data.path()).unwrap().images;
            expect_good_and_defective(&tests, data.path()).map_err(|e| e.to_string())
        };
        assert!(check(&["test/Normal/1.png", "test/bad/1.png"]).is_ok());
        let error = check(&["test/fine/1.png", "test/bad/1.png"]).unwrap_err();
        assert!(error.contains("test/ok") && error.contains("bad, fine"), "{error}");
        assert!(check(&["test/GOOD/1.png"]).unwrap_err().contains("no defective image"));
    }

    #[test]
    fn masks_beside_images_have_any_ending() {
        let data = data_set(&["a.png", "a_mask.png", "B.jpg", "b_MASK.bmp", "c.png"]);
        let found = defect_images(data.path()).unwrap();
        let names: Vec<Vec<String>> = found
            .images
            .iter()
            .map(|(image, masks)| {
                std::iter::once(image).chain(masks).map(|path| layout::file_name(path)).collect()
            })
            .collect();
        assert_eq!(names, [["B.jpg", "b_MASK.bmp"], ["a.png", "a_mask.png"]]);
        assert!(found.unused[0].contains("1 defective image is not used for want of a mask, such as c.png"));
    }
}
