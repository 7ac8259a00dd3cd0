//! Masks that say which pixels of a test image are defective: which files they are, and what is in them.

use super::images::find_images;
use super::layout::{self, GROUND_TRUTH};
use crate::error::{Error, Result};
use crate::frame::{Geometry, Mask};
use ndarray::Array2;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What the name of a mask ends in, behind that of its image, lower case.
pub(super) const SUFFIX: &str = "_mask";

/// Reads the masks of `image`, all of which mark defects, as one.
///
/// # Errors
/// If a file is not an image, or their sizes differ.
pub fn read_masks(paths: &[PathBuf], image: &Path) -> Result<Mask> {
    let Some((first, others)) = paths.split_first() else {
        return Err(Error::file(image, "has no mask"));
    };
    let mut all = Mask::read(first)?;
    for path in others {
        all = all.or(&Mask::read(path)?).map_err(|e| Error::file(path, e.to_string()))?;
    }
    Ok(all)
}

/// Reads the masks of `image` at the network's resolution; everything that is not background is defective, as [`Mask::read`] has it.
/// None if they mark no pixel.
///
/// The result covers the part of the input that shows the image, `geometry.target`: rows x columns. Masks must have
/// the size of their image. They are sampled at the nearest pixel, so that they stay black and white.
///
/// # Errors
/// If a file is not an image or has another size than the frame of `geometry`.
pub fn load_mask(paths: &[PathBuf], image: &Path, geometry: &Geometry) -> Result<Option<Array2<bool>>> {
    let mask = read_masks(paths, image)?;
    if mask.size() != geometry.frame {
        let ((width, height), (image_width, image_height)) = (mask.size(), geometry.frame);
        let file = paths.first().map_or(image, PathBuf::as_path);
        return Err(Error::file(
            file,
            format!(
                "the mask is {width}x{height}, its image {} {image_width}x{image_height}",
                image.display()
            ),
        ));
    }
    if mask.is_empty() {
        return Ok(None);
    }
    Ok(Some(at_input(geometry, |x, y| mask.get(x, y))))
}

/// A mask of the frame at the network's resolution: the part of the input that shows the image, rows x columns, each sampled at the nearest
/// pixel of the frame, for which `is_defective(x, y)` is asked.
pub fn at_input(geometry: &Geometry, is_defective: impl Fn(u32, u32) -> bool) -> Array2<bool> {
    let Geometry { source, target, .. } = *geometry;
    let nearest =
        |i: usize, from: u32, to: u32| ((i as u64 * 2 + 1) * u64::from(from) / (2 * u64::from(to))) as u32;
    Array2::from_shape_fn((target.height as usize, target.width as usize), |(y, x)| {
        let x = source.x + nearest(x, source.width, target.width);
        let y = source.y + nearest(y, source.height, target.height);
        is_defective(x, y)
    })
}

/// The masks of a data set, by the images that they belong to.
#[derive(Debug, Default)]
pub(super) struct GroundTruth {
    /// By KIND/NAME of the image, as it is written and in lower case.
    exact: HashMap<String, Candidates>,
    lower: HashMap<String, Candidates>,
    files: BTreeSet<PathBuf>,
    used: RefCell<BTreeSet<PathBuf>>,
}

/// Files that may be the masks of an image, the better guesses first.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// NAME_mask.png, NAME.png
    named: BTreeSet<(Rank, PathBuf)>,
    /// NAME/000.png, NAME/001.png, ...
    in_folder: BTreeSet<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Suffix,
    Name,
}

impl GroundTruth {
    /// The files in the folders `ground_truth` of `data` and of `test`.
    ///
    /// # Errors
    /// If there are several of one name, or they cannot be read.
    pub fn of(data: &Path, test: &Path) -> Result<Self> {
        let mut found = Self::default();
        for parent in [data, test] {
            let Some(root) = layout::child(parent, &GROUND_TRUTH)? else { continue };
            for file in find_images(&root)? {
                found.add(&root, file);
            }
        }
        Ok(found)
    }

    fn add(&mut self, root: &Path, file: PathBuf) {
        let inner = file.strip_prefix(root).unwrap_or(&file);
        let folder = inner.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let stem = inner.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        // Masks of good images mark nothing.
        let kind = inner.components().next().map(|kind| kind.as_os_str().to_string_lossy().into_owned());
        if kind.is_some_and(|kind| layout::is_good(&kind)) {
            return;
        }
        let mut put = |key: String, change: &dyn Fn(&mut Candidates)| {
            change(self.exact.entry(key.clone()).or_default());
            change(self.lower.entry(key.to_lowercase()).or_default());
        };
        let named = |rank| {
            let file = file.clone();
            move |to: &mut Candidates| _ = to.named.insert((rank, file.clone()))
        };
        put(format!("{folder}/{stem}"), &named(Rank::Name));
        if let Some(cut) = stem.len().checked_sub(SUFFIX.len())
            && stem.get(cut..).is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
        {
            put(format!("{folder}/{}", &stem[..cut]), &named(Rank::Suffix));
        }
        put(folder, &|to| _ = to.in_folder.insert(file.clone()));
        self.files.insert(file);
    }

    /// The masks of the image `path` of the folder `kind`.
    pub fn masks(&self, kind: &Path, path: &Path) -> Vec<PathBuf> {
        let inner = path.strip_prefix(kind).unwrap_or(path).with_extension("");
        let key = format!("{}/{}", layout::file_name(kind), inner.display());
        let candidates = self.exact.get(&key).or_else(|| self.lower.get(&key.to_lowercase()));
        let Some(Candidates { named, in_folder }) = candidates else { return Vec::new() };
        let masks: Vec<PathBuf> = match named.first() {
            Some((_, file)) => vec![file.clone()],
            None => in_folder.iter().cloned().collect(),
        };
        self.used.borrow_mut().extend(masks.iter().cloned());
        masks
    }

    /// The files that no image has asked for.
    pub fn unused(&self) -> Vec<PathBuf> {
        self.files.difference(&self.used.borrow()).cloned().collect()
    }
}
