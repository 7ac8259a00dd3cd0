//! The good images to learn from.

use super::images::{Entries, IMAGE_EXTENSIONS, Tree};
use super::layout::{self, GOOD_NAMES, TEST, TRAIN, VALIDATION, are, such_as};
use super::visa::Visa;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What was found, and what of the folder is not used.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// What was found.
    pub images: Vec<T>,
    /// A sentence for each kind of files that one would expect to be used, and that is not.
    pub unused: Vec<String>,
    /// What else should be known.
    pub notes: Vec<String>,
}

impl<T> Found<T> {
    pub(super) fn new(images: Vec<T>) -> Self {
        Self { images, unused: Vec::new(), notes: Vec::new() }
    }

    /// What was found; what is not used is told by `note`, or an error where `strict`.
    ///
    /// # Errors
    /// With what is not used, where that is not allowed.
    pub fn settle(self, strict: bool, mut note: impl FnMut(&str)) -> Result<Vec<T>> {
        if strict && let Some(first) = self.unused.first() {
            return Err(Error::Setting(format!("{first} (--strict)")));
        }
        self.unused.iter().chain(&self.notes).for_each(|text| note(text));
        Ok(self.images)
    }
}

/// The good images to learn from, by path: those in `train/good` and the folders in it, or, where there is no `train`, those directly in
/// the folder.
///
/// # Errors
/// If the folder is missing, cannot be read or holds no image.
pub fn training_images(data: &Path) -> Result<Found<PathBuf>> {
    layout::expect_folder(data, "a folder of images")?;
    match layout::child(data, &TRAIN)? {
        Some(train) => of_data_set(data, &train),
        None => match Visa::of(data)? {
            Some(visa) => Ok(Found::new(visa.training())),
            None => of_folder(data, true),
        },
    }
}

/// The images of a folder that has no structure of its own: those directly in it, and, if it is called as good images are, those in the
/// folders in it.
///
/// # Errors
/// If the folder is missing, cannot be read or holds no image.
pub fn folder_images(folder: &Path) -> Result<Found<PathBuf>> {
    of_folder(folder, false)
}

/// The same; `learned` says whether they are good ones to learn from, which may lie in `train/good`.
fn of_folder(folder: &Path, learned: bool) -> Result<Found<PathBuf>> {
    layout::expect_folder(folder, "a folder of images")?;
    if layout::is_good_folder(folder) {
        let tree = Tree::of(folder)?;
        if tree.images.is_empty() {
            return Err(without_images(folder, &[], learned));
        }
        let mut found = Found::new(tree.images);
        found.unused.extend(unexpected(&tree.unexpected, folder));
        return Ok(found);
    }
    let entries = Entries::of(folder)?;
    // What is not used need not be readable.
    let trees = entries
        .folders
        .iter()
        .filter(|inner| !leads_back(inner, folder))
        .filter_map(|inner| Tree::of(inner).ok());
    let inner: Vec<PathBuf> = trees.flat_map(|tree| tree.images).collect();
    if entries.images.is_empty() {
        return Err(without_images(folder, &inner, learned));
    }
    let other = entries.unexpected();
    let mut found = Found::new(entries.images);
    if !inner.is_empty() {
        found.unused.push(format!(
            "{}: {} in folders within it not used, such as {}; name a folder that has all of them directly in it, or put them into \
             train/good, in which folders are looked into",
            folder.display(),
            are(inner.len(), "image"),
            such_as(&inner, folder)
        ));
    }
    found.unused.extend(unexpected(&other, folder));
    Ok(found)
}

/// Whether an entry of `folder` is a link to that folder, or to one around it.
fn leads_back(entry: &Path, folder: &Path) -> bool {
    entry.is_symlink()
        && matches!((entry.canonicalize(), folder.canonicalize()), (Ok(real), Ok(folder)) if folder.starts_with(&real))
}

fn of_data_set(data: &Path, train: &Path) -> Result<Found<PathBuf>> {
    let good = layout::children(train, |name| GOOD_NAMES.contains(&name))?;
    if good.is_empty() {
        return Err(Error::file(
            train,
            format!(
                "good images to learn from belong in train/good (or train/ok, train/normal); {}",
                layout::contents(train)
            ),
        ));
    }
    let mut images = Vec::new();
    let mut others = Vec::new();
    for folder in &good {
        let tree = Tree::of(folder)?;
        images.extend(tree.images);
        others.extend(tree.unexpected);
    }
    if images.is_empty() {
        return Err(without_images(&good[0], &[], true));
    }
    let mut found = Found::new(images);
    found.unused.extend(unexpected(&others, data));
    let beside: Vec<PathBuf> = Tree::of(train)?
        .images
        .into_iter()
        .filter(|path| !good.iter().any(|good| path.starts_with(good)))
        .collect();
    if !beside.is_empty() {
        found.unused.push(format!(
            "{}: {} outside of {} not learned from, such as {}",
            train.display(),
            are(beside.len(), "image"),
            layout::file_name(&good[0]),
            such_as(&beside, train)
        ));
    }
    if let Some(validation) = layout::child(data, &VALIDATION)? {
        let count = Tree::of(&validation)?.images.len();
        if count > 0 {
            found.notes.push(format!(
                "{}: {} not learned from; 'adtrain calibrate --normal' takes good ones, each folder by its name",
                validation.display(),
                are(count, "image")
            ));
        }
    }
    Ok(found)
}

/// What is said of files that are no images by their names.
pub(super) fn unexpected(others: &[PathBuf], folder: &Path) -> Option<String> {
    (!others.is_empty()).then(|| {
        format!(
            "{}: {} not used, such as {}; images end in {}",
            folder.display(),
            are(others.len(), "file"),
            such_as(others, folder),
            IMAGE_EXTENSIONS.join(", ")
        )
    })
}

/// Why there is nothing to learn from, and what to do about it.
fn without_images(folder: &Path, inner: &[PathBuf], learned: bool) -> Error {
    let children = |wanted: &dyn Fn(&str) -> bool| layout::children(folder, wanted).unwrap_or_default();
    let good = children(&|name| GOOD_NAMES.contains(&name));
    let advice = match (good.first(), inner.is_empty()) {
        (_, false) if !learned => "name the folder that has the images directly in it".into(),
        (Some(good), false) => format!("name {}, or make the folder a data set with train/good", good.display()),
        (None, false) if !children(&|name| TEST.contains(&name)).is_empty() => {
            "good images to learn from belong in train/good".into()
        }
        (None, false) => {
            "name the folder that has the images directly in it; good images to learn from may also lie in folders within train/good".into()
        }
        (_, true) => layout::video_advice(folder)
            .unwrap_or_else(|| format!("expected files ending in {}", IMAGE_EXTENSIONS.join(", "))),
    };
    Error::file(folder, format!("no images in this folder: {}; {advice}", layout::contents(folder)))
}
