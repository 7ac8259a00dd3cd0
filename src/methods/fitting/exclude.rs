//! Which of the images that were found are not to be learned from.

use crate::error::{Error, Result};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use wildmatch::WildMatch;

/// How a word begins that names a list instead of an image.
const LIST: char = '@';

/// The words for which `@FILE` stands, a line each of that file; other words stand for themselves. What follows a `#` at the beginning
/// of a line, and empty lines, say nothing.
///
/// # Errors
/// If a list cannot be read or is empty.
pub fn excluded(words: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for word in words {
        let Some(file) = word.strip_prefix(LIST) else {
            found.push(word.clone());
            continue;
        };
        let file = Path::new(file);
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file, e))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let before = found.len();
        found.extend(lines.map(String::from));
        if found.len() == before {
            return Err(Error::file(file, "is empty; expected a path, a name or a pattern in each line"));
        }
    }
    Ok(found)
}

/// The images of the folder `data` that none of the `patterns` means, and the number of those that are left out. A pattern is the path
/// of a file, its path in `data`, its name, or one of the two with `*` and `?` in it.
///
/// # Errors
/// If a pattern means no image, or none is left.
pub(super) fn without(
    paths: Vec<PathBuf>,
    data: &Path,
    patterns: &[String],
) -> Result<(Vec<PathBuf>, usize)> {
    // Links lead to the same file by another path.
    let real: OnceCell<Vec<Option<PathBuf>>> = OnceCell::new();
    let real = || real.get_or_init(|| paths.iter().map(|path| path.canonicalize().ok()).collect());
    let names_of = |path: &PathBuf| {
        let inside = path.strip_prefix(data).unwrap_or(path).to_string_lossy().into_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [path.to_string_lossy().into_owned(), inside, name]
    };
    // Without a pattern there is nothing to compare with.
    let names: Vec<[String; 3]> = paths.iter().filter(|_| !patterns.is_empty()).map(names_of).collect();
    let mut out: HashSet<usize> = HashSet::new();
    for pattern in patterns {
        let wild = WildMatch::new(pattern.strip_prefix("./").unwrap_or(pattern));
        let file = Path::new(pattern).canonicalize().ok();
        let means = |image: usize| {
            names[image].iter().any(|name| wild.matches(name)) || file.is_some() && real()[image] == file
        };
        let found: Vec<usize> = (0..paths.len()).filter(|&image| means(image)).collect();
        if found.is_empty() {
            let first = names.first().map(|names| names[1].clone()).unwrap_or_default();
            return Err(Error::Setting(format!(
                "--exclude {pattern}: no image to learn from is called that; expected the path of one, its path in {}, such as {first}, \
                 its name, or a pattern such as 'scratched_*'",
                data.display()
            )));
        }
        out.extend(found);
    }
    if out.len() == paths.len() && !paths.is_empty() {
        return Err(Error::Setting(format!(
            "--exclude leaves out all {} images of {}: none is left to learn from",
            paths.len(),
            data.display()
        )));
    }
    let kept = paths.into_iter().enumerate().filter(|(image, _)| !out.contains(image));
    Ok((kept.map(|(_, path)| path).collect(), out.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| Path::new("parts").join(name)).collect()
    }

    fn left(patterns: &[&str]) -> Result<Vec<String>> {
        let all = paths(&["train/good/a1.png", "train/good/a2.png", "train/good/b[1].png"]);
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let (kept, out) = without(all, Path::new("parts"), &patterns)?;
        assert_eq!(kept.len() + out, 3);
        Ok(kept.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn images_are_named_by_path_name_and_pattern() {
        for pattern in ["a1.png", "train/good/a1.png", "parts/train/good/a1.png", "?1.png", "./parts/*/a1.*"]
        {
            assert_eq!(left(&[pattern]).unwrap(), ["a2.png", "b[1].png"], "{pattern}");
        }
        assert_eq!(left(&["a*"]).unwrap(), ["b[1].png"]);
        assert_eq!(left(&["b[1].png", "a1.png", "a1.png"]).unwrap(), ["a2.png"]);
        assert_eq!(left(&[]).unwrap().len(), 3);
    }

    #[test]
    fn what_means_nothing_or_everything_is_an_error() {
        let error = left(&["a1.png", "c*"]).unwrap_err().to_string();
        assert!(error.contains("--exclude c*") && error.contains("train/good/a1.png"), "{error}");
        assert!(left(&["*"]).unwrap_err().to_string().contains("all 3 images"));
        assert!(left(&["a"]).is_err() && left(&[""]).is_err(), "a part of a name is not a name");
    }

    #[test]
    fn lists_have_a_line_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list.txt");
        std::fs::write(&list, "# odd ones\ntrain/good/a1.png\r\n\n  b*  \n").unwrap();
        let words = ["first.png".to_owned(), format!("@{}", list.display())];
        assert_eq!(excluded(&words).unwrap(), ["first.png", "train/good/a1.png", "b*"]);
        std::fs::write(&list, "# nothing\n").unwrap();
        assert!(excluded(&words).unwrap_err().to_string().contains("is empty"));
        assert!(excluded(&["@/no/such/list".into()]).unwrap_err().to_string().contains("/no/such/list"));
    }

    #[test]
    fn stars_are_tried_at_every_place() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("**a", "bba", true),
            ("a*b*c", "axbxbxc", true),
            ("a*b*c", "axbxbx", false),
            ("?", "", false),
            ("M?rz", "März", true),
        ] {
            assert_eq!(WildMatch::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
