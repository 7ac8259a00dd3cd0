//! The data sets of `examples/made_up_parts`: their folders, their masks, and that they can be drawn again.

#![cfg(feature = "train")]

#[path = "../examples/made_up_parts/main.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod made_up_parts;

use clap::ValueEnum;
use made_up_parts::data_set::Plan;
use made_up_parts::{Kind, Product, Random};
use rand::SeedableRng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const COUNT: u32 = 2;

fn draw(kind: Kind, seed: u64, folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let plan = Plan { train: COUNT, good: COUNT, defective: COUNT, seed, ..Plan::of(kind) };
    plan.draw(folder).unwrap();
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn every_product_is_laid_out_as_mvtec_ad_and_drawn_alike_from_the_same_seed() {
    for kind in Kind::value_variants() {
        let scratch = tempfile::tempdir().unwrap();
        let first = draw(*kind, 1, &scratch.path().join("first"));
        let again = draw(*kind, 1, &scratch.path().join("again"));
        assert!(first == again, "{kind:?}: the same seed drew something else");
        let other = draw(*kind, 2, &scratch.path().join("other"));
        assert!(first.keys().eq(other.keys()), "{kind:?}: another seed, other files");
        let differing = first.iter().filter(|(path, bytes)| other[*path] != **bytes).count();
        assert_eq!(differing, first.len(), "{kind:?}: some images do not depend on the seed");

        let in_folder = |folder: &str| first.keys().filter(|path| path.starts_with(folder)).count();
        let (train, good) = (in_folder("train/good"), in_folder("test/good"));
        assert_eq!((train, good), (COUNT as usize, COUNT as usize), "{kind:?}");
        let defective: Vec<_> =
            first.keys().filter(|path| path.starts_with("test") && !path.starts_with("test/good")).collect();
        let classes = defective.len() / COUNT as usize;
        assert!(classes >= 3, "{kind:?}: {classes} classes of defects");
        assert_eq!(in_folder("ground_truth"), defective.len(), "{kind:?}: masks");
        assert_eq!(in_folder("film"), good + defective.len(), "{kind:?}: frames of the film");
        for path in defective {
            let class = path.parent().and_then(Path::file_name).unwrap();
            let mask = format!("{}_mask.png", path.file_stem().unwrap().to_str().unwrap());
            let mask = Path::new("ground_truth").join(class).join(mask);
            let bytes = first.get(&mask).unwrap_or_else(|| panic!("{kind:?}: {} is missing", mask.display()));
            let mask = image::load_from_memory(bytes).unwrap().to_luma8();
            let image = image::load_from_memory(&first[path]).unwrap();
            assert_eq!(mask.dimensions(), (image.width(), image.height()), "{kind:?} {}", path.display());
            assert!(mask.pixels().all(|p| p.0 == [0] || p.0 == [255]), "{kind:?} {}", path.display());
        }
    }
}

/// A part is drawn with and without each of its defects: what differs is in the mask, and the mask is no larger than it must be.
fn masks_match<P: Product>() {
    for (name, defect) in P::DEFECTS {
        for seed in 0..6 {
            let (good, none) = P::sample(None, &mut Random::seed_from_u64(seed));
            assert!(none.is_none(), "a good part has a mask");
            let (bad, mask) = P::sample(Some(*defect), &mut Random::seed_from_u64(seed));
            let mask = mask.expect("a defect has a mask");
            let differs = |x: u32, y: u32| {
                let (a, b) = (good.get_pixel(x, y).0, bad.get_pixel(x, y).0);
                a.iter().zip(b).any(|(a, b)| a.abs_diff(b) > 12)
            };
            let (mut inside, mut explained, mut outside) = (0_u32, 0_u32, 0_u32);
            for (x, y, pixel) in mask.enumerate_pixels() {
                match (pixel.0[0], differs(x, y)) {
                    (0, true) => outside += 1,
                    (0, false) => {}
                    (_, true) => (inside, explained) = (inside + 1, explained + 1),
                    (_, false) => inside += 1,
                }
            }
            let product = std::any::type_name::<P>();
            let area = f64::from(inside) / f64::from(mask.width() * mask.height());
            assert!((0.0003..0.04).contains(&area), "{product} {name} {seed}: {area} of the image");
            assert_eq!(outside, 0, "{product} {name} {seed}: differing pixels outside of the mask");
            assert!(explained > 0, "{product} {name} {seed}: nothing differs in the mask");
        }
    }
}

#[test]
fn what_a_defect_changes_is_in_its_mask() {
    masks_match::<made_up_parts::rings::Part>();
    masks_match::<made_up_parts::rods::Rod>();
    masks_match::<made_up_parts::dark::Tyre>();
    masks_match::<made_up_parts::loose::Nuts>();
    masks_match::<made_up_parts::strips::Strip>();
    masks_match::<made_up_parts::weave::Weave>();
    masks_match::<made_up_parts::leather::Leather>();
    masks_match::<made_up_parts::nonwoven::Nonwoven>();
}
