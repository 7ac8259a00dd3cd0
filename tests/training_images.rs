//! What a fit makes of a folder that is not as it should be: copies, near-twins, defective parts among the good ones, images that are
//! to be left out.

#![cfg(feature = "train")]

#[path = "common/product.rs"]
mod product;

use gstanomaly::bundle::{LearnedImages, Manifest, TRAINING_SCORES, TrainingScores, read_manifest};
use gstanomaly::evaluate::{OddParams, odd};
use gstanomaly::methods::fitting::{FitOptions, Progress};
use gstanomaly::methods::{Descriptor, METHODS, hetmm, patchcore};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use product::{FOLDER, Notes, defective, file, good, judge_file, options, scratch};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

type Fit = fn(&FitOptions, &Path, &mut dyn Progress) -> gstanomaly::Result<Manifest>;

/// Good parts of a folder as it should be.
const PARTS: u64 = 24;

/// How the folder of a test is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Clean,
    /// Every image five times.
    Copies,
    /// Beside each image a JPEG of quality 90.
    Jpeg,
    /// Beside each image two with noise of one grey level.
    Noise,
    /// Five frames of each part, with a sensor's noise of two grey levels.
    Burst,
}

/// Noise of `levels` grey levels at most.
fn noisy(image: &RgbImage, seed: u64, levels: i32) -> RgbImage {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut image = image.clone();
    for Rgb(pixel) in image.pixels_mut() {
        for value in pixel {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let noise = (state >> 40) as i32 % (2 * levels + 1) - levels;
            *value = (i32::from(*value) + noise).clamp(0, 255) as u8;
        }
    }
    image
}

impl Folder {
    /// Writes the folder.
    fn write(self, to: &Path) {
        for seed in 0..PARTS {
            let image = good(seed);
            let save = |image: &RgbImage, number: usize| {
                image.save(to.join(format!("{seed:03}_{number}.png"))).unwrap()
            };
            save(&image, 0);
            match self {
                Self::Clean => {}
                Self::Copies => (1..5).for_each(|number| save(&image, number)),
                Self::Jpeg => {
                    let mut bytes = Vec::new();
                    image.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90)).unwrap();
                    std::fs::write(to.join(format!("{seed:03}_1.jpg")), bytes).unwrap();
                }
                Self::Noise => (1..3).for_each(|n| save(&noisy(&image, 100 * seed + n, 1), n as usize)),
                Self::Burst => (1..5).for_each(|n| save(&noisy(&image, 100 * seed + n, 2), n as usize)),
            }
        }
    }

    /// Images beyond the first of each part.
    fn others(self) -> usize {
        PARTS as usize
            * match self {
                Self::Clean => 0,
                Self::Jpeg => 1,
                Self::Noise => 2,
                Self::Copies | Self::Burst => 4,
            }
    }
}

/// Fits a bundle to a folder.
fn fit(method: Fit, name: &str, data: &Path, exclude: &[&str]) -> (PathBuf, Manifest, Vec<String>) {
    let mut options = options(name, (128, 96));
    options.data = data.to_owned();
    options.exclude = exclude.iter().map(|&word| word.into()).collect();
    let out = FOLDER.join(name);
    let mut notes = Notes::default();
    let manifest = method(&options, &out, &mut notes).unwrap();
    (out, manifest, notes.0)
}

/// The bundles of the clean folder.
static CLEAN: LazyLock<Vec<Manifest>> = LazyLock::new(|| {
    let folder = scratch();
    Folder::Clean.write(folder.path());
    let one = |method: &&Descriptor| {
        fit(method.training.fit, &format!("clean-{}", method.name), folder.path(), &[]).1
    };
    METHODS.iter().map(one).collect()
});

/// The threshold stays where that of the clean folder is, within this share of it.
const NEAR: f64 = 0.06;

fn threshold_stays(kind: Folder) {
    let folder = scratch();
    kind.write(folder.path());
    let mut moved: Vec<String> = Vec::new();
    for (Descriptor { name, training, .. }, clean) in METHODS.iter().zip(CLEAN.iter()) {
        let what = format!("{kind:?}-{name}").to_lowercase();
        let (bundle, manifest, notes) = fit(training.fit, &what, folder.path(), &[]);
        let [found, expected] = [&manifest, clean].map(|manifest| manifest.calibration.threshold);
        println!("{what}: {found:.4}, clean {expected:.4}, {} twins", manifest.training.twins);
        if (found / expected - 1.0).abs() >= NEAR {
            moved.push(format!("{what}: {found}, clean {expected}"));
        }
        for seed in 300..312 {
            let anomaly = judge_file(&bundle, &file(&good(seed), &format!("{what}-{seed}.png")));
            assert!(!anomaly.anomalous, "{what}: good part {seed} scores {}, from {found} on", anomaly.score);
        }
        let anomaly = judge_file(&bundle, &file(&defective(320), &format!("{what}-defective.png")));
        assert!(anomaly.anomalous, "{what}: a defect scores {}, from {found} on", anomaly.score);

        let training = &manifest.training;
        let scores = TrainingScores::read(&bundle, &manifest.files).unwrap().unwrap();
        match kind {
            Folder::Copies => {
                assert_eq!((training.images, training.copies), (PARTS as usize, kind.others()), "{what}");
                assert!(notes.iter().any(|note| note.contains("96 of 120 images are copies")), "{notes:?}");
            }
            _ => {
                assert_eq!(training.images, PARTS as usize + kind.others(), "{what}");
                assert_eq!((training.twins, clean.training.twins), (kind.others(), 0), "{what}");
                assert_eq!(scores.twins().len(), training.twins);
                assert!(notes.iter().any(|note| note.contains("near-twins")), "{notes:?}");
            }
        }
        assert_eq!(scores.scores().len(), training.images - training.twins, "{what}");
    }
    assert!(moved.is_empty(), "{moved:?}");
}

#[test]
fn every_image_five_times_is_learned_once() {
    threshold_stays(Folder::Copies);
    let manifest = |name: &str| read_manifest(&FOLDER.join(name)).unwrap();
    for Descriptor { name, .. } in METHODS {
        let (five, clean) = (manifest(&format!("copies-{name}")), manifest(&format!("clean-{name}")));
        assert_eq!(five.calibration, clean.calibration, "{name}");
    }
}

#[test]
fn jpeg_copies_do_not_move_the_threshold() {
    threshold_stays(Folder::Jpeg);
}

#[test]
fn copies_with_noise_do_not_move_the_threshold() {
    threshold_stays(Folder::Noise);
}

#[test]
fn bursts_do_not_move_the_threshold() {
    threshold_stays(Folder::Burst);
}

/// Defective parts among `count` images.
fn contaminated(to: &Path, count: u64, defects: u64) {
    for seed in 0..count {
        // Not all of them at the end, where an even selection would see them alike.
        let image = if seed % (count / defects) == 3 {
            defective_at(seed, seed / (count / defects))
        } else {
            good(seed)
        };
        image.save(to.join(format!("{seed:03}.png"))).unwrap();
    }
}

/// A part with a blot somewhere else each time.
fn defective_at(seed: u64, number: u64) -> RgbImage {
    let mut image = good(seed);
    let (left, top) = (8 + 17 * (number as u32 % 5), 6 + 14 * (number as u32 / 5 % 5));
    let size = 8 + number as u32 % 5;
    for (x, y) in (0..size).flat_map(|y| (0..size).map(move |x| (left + x, top + y))) {
        image.put_pixel(x, y, if (x ^ y) & 2 == 0 { Rgb([250, 20, 20]) } else { Rgb([10, 10, 10]) });
    }
    image
}

/// The numbers of the images that stand out.
fn odd_ones(bundle: &Path, manifest: &Manifest) -> HashSet<usize> {
    let scores = TrainingScores::read(bundle, &manifest.files).unwrap().unwrap();
    let values: Vec<f64> = scores.scores().iter().map(|image| image.score).collect();
    let found = odd(&values, &OddParams::default());
    found.iter().map(|odd| scores.scores()[odd.at].image[..3].parse().unwrap()).collect()
}

#[test]
fn defective_parts_among_good_ones_stand_out() {
    for (count, defects) in [(50, 1), (50, 5)] {
        let folder = scratch();
        contaminated(folder.path(), count, defects);
        let truth: HashSet<usize> =
            (0..defects as usize).map(|i| i * (count / defects) as usize + 3).collect();
        for Descriptor { name, training, .. } in METHODS {
            let what = format!("contaminated-{defects}-{name}");
            let (bundle, manifest, _) = fit(training.fit, &what, folder.path(), &[]);
            let found = odd_ones(&bundle, &manifest);
            println!("{what}: {found:?} of {truth:?}, threshold {}", manifest.calibration.threshold);
            let right = found.intersection(&truth).count();
            assert!(right * 5 >= 4 * truth.len(), "{what}: {found:?} of {truth:?}");
            // Good parts that lie at the edge of what there are of them may be named, too.
            assert!(found.len() - right <= 2, "{what}: {found:?} of {truth:?}");

            // Without them the threshold is that of good parts again. A single one among fifty hardly moves it.
            let list: Vec<String> = truth.iter().map(|number| format!("{number:03}.png")).collect();
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let (_, without, _) = fit(training.fit, &what, folder.path(), &list);
            assert_eq!(without.training.images, (count - defects) as usize);
            let least = if defects > 1 { 1.0 } else { 0.8 };
            assert!(least * without.calibration.threshold < manifest.calibration.threshold, "{what}");
        }
    }
}

#[test]
fn what_is_excluded_is_not_learned_and_recorded() {
    let folder = scratch();
    Folder::Clean.write(folder.path());
    let patterns = ["02?_0.png", "003_*"];
    let (bundle, manifest, notes) = fit(patchcore::fit, "excluded", folder.path(), &patterns);
    assert_eq!(manifest.training.images, PARTS as usize - 5);
    assert_eq!(manifest.training.settings.unwrap()["exclude"], serde_json::json!(patterns));
    assert!(notes.iter().any(|note| note.contains("5 images are left out as --exclude says")), "{notes:?}");
    let learned = LearnedImages::read(&bundle, &manifest.files).unwrap().unwrap();
    assert!(
        learned
            .images()
            .iter()
            .all(|image| !image.name().starts_with("02") && !image.name().starts_with("003"))
    );

    let mut unknown = options("excluded", (128, 96));
    unknown.exclude = vec!["004_0.png".into(), "no-such.png".into()];
    for Descriptor { name, training, .. } in METHODS {
        let error =
            (training.fit)(&unknown, &FOLDER.join("unknown"), &mut Notes::default()).unwrap_err().to_string();
        assert!(error.contains("--exclude") && error.contains("no image to learn from"), "{name}: {error}");
    }
}

#[test]
fn a_bundle_without_scores_opens_with_the_same_results() {
    let folder = scratch();
    Folder::Clean.write(folder.path());
    let (bundle, manifest, _) = fit(hetmm::fit, "with-scores", folder.path(), &[]);
    let probe = file(&defective(9), "with-scores.png");
    let before = judge_file(&bundle, &probe).score;
    assert!(manifest.files.contains_key(TRAINING_SCORES));
    let mut older = manifest.clone();
    older.files.remove(TRAINING_SCORES);
    std::fs::remove_file(bundle.join(TRAINING_SCORES)).unwrap();
    std::fs::write(bundle.join("bundle.json"), serde_json::to_vec(&older).unwrap()).unwrap();
    assert_eq!(judge_file(&bundle, &probe).score, before);
    assert_eq!(TrainingScores::read(&bundle, &older.files).unwrap(), None);
    assert_eq!(LearnedImages::read(&bundle, &older.files).unwrap().unwrap().images().len(), PARTS as usize);
}
