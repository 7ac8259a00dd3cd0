//! What the files of a folder have that not everybody who made them knows of, told once for each kind.

use super::Traits;
use std::path::{Path, PathBuf};

/// The numbers of such files, and the first of each kind.
#[derive(Clone, Debug, Default)]
pub struct TraitCounts {
    turned: Count,
    transparent: Count,
    more_pictures: Count,
    deep: Count,
    all: usize,
}

#[derive(Clone, Debug, Default)]
struct Count(usize, Option<PathBuf>);

impl Count {
    fn add(&mut self, path: &Path, has: bool) {
        if has {
            self.0 += 1;
            self.1.get_or_insert_with(|| path.to_owned());
        }
    }

    /// "3 images (a.png first) are ..."
    fn sentence(&self, what: &str) -> Option<String> {
        let Self(count, Some(first)) = self else { return None };
        let first = first.display().to_string().replace(char::is_control, "?");
        Some(match count {
            1 => format!("1 image ({first}) {what}"),
            count => format!("{count} images (the first: {first}) {what}"),
        })
    }
}

impl TraitCounts {
    /// Counts a file.
    pub fn add(&mut self, path: &Path, traits: Traits) {
        let Traits { turned, transparent, more_pictures, deep } = traits;
        self.turned.add(path, turned);
        self.transparent.add(path, transparent);
        self.more_pictures.add(path, more_pictures);
        self.deep.add(path, deep);
        self.all += 1;
    }

    /// A sentence for each kind of which there are some.
    pub fn notes(&self) -> Vec<String> {
        let mixed = if self.deep.0 < self.all {
            self.deep.sentence("with 16 bits a channel lie among others with 8 bits")
        } else {
            None
        };
        let kinds = [
            self.turned.sentence(
                "with an orientation tag: turned as it says; in a pipeline 'videoflip video-direction=auto' does that",
            ),
            self.transparent.sentence("with transparent pixels: their colour counts as if they were opaque"),
            self.more_pictures.sentence("with more pictures than one, as animated and multi-page files have: only the first is used"),
            mixed,
        ];
        kinds.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_with_its_number() {
        let mut counts = TraitCounts::default();
        counts.add(Path::new("a.png"), Traits::default());
        assert!(counts.notes().is_empty());
        let turned = Traits { turned: true, ..Traits::default() };
        counts.add(Path::new("b.jpg"), turned);
        counts.add(Path::new("c.jpg"), Traits { deep: true, ..turned });
        let notes = counts.notes();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("2 images (the first: b.jpg) with an orientation tag"), "{notes:?}");
        assert!(notes[1].starts_with("1 image (c.jpg) with 16 bits"), "{notes:?}");
    }
}
