//! A small synthetic product: images of good and of defective parts, and bundles fitted to the good ones.
//!
//! Included by `#[path]` into the tests that need it; each uses a part of it.

#![allow(dead_code, reason = "no test needs all of it")]

#[cfg(feature = "train")]
pub use fitting::*;

use gstanomaly::bundle::{Bundle, open_shared};
use gstanomaly::frame::{Picture, load_picture};
use gstanomaly::methods::{Anomaly, Retriever, ScoreOptions, Scorer};
use gstanomaly::network::{Device, FeatureExtractor};
use image::{Rgb, RgbImage};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Size of the product's images; not square, so that a mix-up of the sides shows.
pub const WIDTH: u32 = 96;
/// See [`WIDTH`].
pub const HEIGHT: u32 = 80;
/// Where the defect is: x, y, width, height.
pub const DEFECT: (u32, u32, u32, u32) = (58, 18, 20, 16);
/// Good images that bundles are fitted to.
pub const GOOD_IMAGES: u64 = 16;

/// A good part: stripes and a disc, each time shifted a little and lit a little differently, with a sensor's noise.
pub fn good(seed: u64) -> RgbImage {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as i32
    };
    let (dx, dy) = (random() % 5 - 2, random() % 5 - 2);
    let light = random() % 25 - 12;
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (x, y) = (x as i32 + dx, y as i32 + dy);
        let stripes = if (x / 8 + y / 16) % 2 == 0 { 90 } else { 120 };
        let disc = (x - 30).pow(2) + (y - 44).pow(2) < 18 * 18;
        let base = if disc { [200, 170, 60] } else { [stripes, stripes + 10, stripes + 20] };
        let noise = random() % 13 - 6;
        Rgb(base.map(|value| (value + light + noise).clamp(0, 255) as u8))
    })
}

/// The same part with a defect at [`DEFECT`].
pub fn defective(seed: u64) -> RgbImage {
    let mut image = good(seed);
    let (left, top, width, height) = DEFECT;
    for y in top..top + height {
        for x in left..left + width {
            image.put_pixel(x, y, Rgb(if (x ^ y) & 2 == 0 { [250, 20, 20] } else { [10, 10, 10] }));
        }
    }
    image
}

/// The folder of this process, with those of processes that are gone removed.
pub static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        if name.strip_prefix("product-").is_some_and(gone) {
            // Another process may be tidying up, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = root.join(format!("product-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
});

/// Changes the manifest of a bundle.
pub fn change_manifest(bundle: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let file = bundle.join("bundle.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    std::fs::write(&file, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// Writes a bundle's parameters anew, as somebody else might.
pub fn change_params(bundle: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    change_manifest(bundle, |manifest| change(&mut manifest["params"]));
}

/// What a bundle says of a picture whose pixels the network sees so strongly that it computes no numbers any more.
pub fn overflow(bundle: &Path) -> String {
    let folder = scratch();
    copy(bundle, folder.path());
    change_manifest(folder.path(), |manifest| {
        manifest["input"]["std"] = serde_json::json!([1e-36, 1e-36, 1e-36])
    });
    let picture = load_picture(&file(&defective(3), "overflow.png")).unwrap();
    judge(open_shared(folder.path()).unwrap(), &picture, &ScoreOptions::default()).unwrap_err().to_string()
}

/// Changes the bytes of a tensor of the bank, which keeps its size.
pub fn change_tensor(bundle: &Path, name: &str, change: impl FnOnce(&mut [u8])) {
    let file = bundle.join("bank.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let range = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data = tensors.tensor(name).unwrap().data();
        let start = data.as_ptr() as usize - bytes.as_ptr() as usize;
        start..start + data.len()
    };
    change(&mut bytes[range]);
    std::fs::write(&file, bytes).unwrap();
}

static SQUARE: LazyLock<PathBuf> = LazyLock::new(|| kept("square"));
static WIDE: LazyLock<PathBuf> = LazyLock::new(|| kept("wide"));

/// One of the bundles that all tests share. `ANOMALY_BUNDLES` names a folder that keeps them: what a build with the feature
/// `train` has fitted serves one without it.
fn kept(name: &str) -> PathBuf {
    let Some(folder) = std::env::var_os("ANOMALY_BUNDLES").map(PathBuf::from) else {
        return fitted(name, &FOLDER.join(name));
    };
    let bundle = folder.join(name);
    if bundle.exists() { bundle } else { fitted(name, &bundle) }
}

#[cfg(feature = "train")]
fn fitted(name: &str, out: &Path) -> PathBuf {
    match name {
        "square" => fit_to(out, name, (64, 64), Foreground::Off),
        "wide" => fit_to(out, name, (128, 96), Foreground::On),
        _ => unreachable!("no bundle {name}"),
    }
    out.into()
}

#[cfg(not(feature = "train"))]
fn fitted(_name: &str, out: &Path) -> PathBuf {
    panic!(
        "{}: not there, and this build cannot fit it. Run a test with the feature train and ANOMALY_BUNDLES set first, \
         as script/debian13 does",
        out.display()
    );
}

/// A bundle for 64x64 without a foreground.
pub fn square() -> &'static Path {
    &SQUARE
}

/// A bundle for 128x96 with a foreground.
pub fn wide() -> &'static Path {
    &WIDE
}

/// A folder that goes when it is dropped.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(&*FOLDER).unwrap()
}

/// A copy of a bundle that may be spoilt.
pub fn copy(bundle: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(bundle).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// An image as a PNG file.
pub fn file(image: &RgbImage, name: &str) -> PathBuf {
    let path = FOLDER.join(name);
    image.save(&path).unwrap();
    path
}

/// What the three functions of the core say of a picture.
pub fn judge(bundle: Arc<Bundle>, picture: &Picture, options: &ScoreOptions) -> gstanomaly::Result<Anomaly> {
    let network = bundle.network(Device::Cpu, 0)?;
    let mut extractor = FeatureExtractor::new(bundle.clone(), network, picture.info(), None)?;
    let features = extractor.extract(&picture.frame()?)?;
    let retrieval = Retriever::new(bundle.clone()).retrieve(&features, 0)?;
    Scorer::new(bundle).score(&retrieval, options)
}

/// What the three functions of the core say of an image file.
pub fn judge_file(bundle: &Path, file: &Path) -> Anomaly {
    let bundle = open_shared(bundle).unwrap();
    judge(bundle, &load_picture(file).unwrap(), &ScoreOptions::default()).unwrap()
}

#[cfg(feature = "train")]
mod fitting {
    use super::{FOLDER, GOOD_IMAGES, good, scratch};
    use gstanomaly::bundle::Manifest;
    use gstanomaly::frame::Fit;
    use gstanomaly::methods::cpr;
    use gstanomaly::methods::cpr::train::{Learning, Preset};
    pub use gstanomaly::methods::fitting::{FitOptions, Foreground, InputSize, Progress, UpdateOptions};
    use gstanomaly::network::backbone::Backbone;
    use gstanomaly::network::{Device, Precision};
    use image::RgbImage;
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;

    static IMAGES: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = FOLDER.join("good");
        std::fs::create_dir_all(&folder).unwrap();
        for seed in 0..GOOD_IMAGES {
            good(seed).save(folder.join(format!("{seed:03}.png"))).unwrap();
        }
        folder
    });

    /// Nobody who watches.
    pub struct Quiet;

    impl Progress for Quiet {
        fn stage(&mut self, _name: &str, _steps: usize) {}
        fn advance(&mut self) {}
        fn note(&mut self, _message: &str) {}
    }

    /// What the user is told.
    #[derive(Default)]
    pub struct Notes(pub Vec<String>);

    impl Progress for Notes {
        fn stage(&mut self, _name: &str, _steps: usize) {}
        fn advance(&mut self) {}
        fn note(&mut self, message: &str) {
            self.0.push(message.into());
        }
    }

    /// What somebody does when a stage begins, and whether that is to stop the work.
    pub struct Stages<F>(pub F, bool);

    impl<F: FnMut(&str) -> bool> Stages<F> {
        /// `act` is told the name of each stage.
        pub fn new(act: F) -> Self {
            Self(act, false)
        }
    }

    impl<F: FnMut(&str) -> bool> Progress for Stages<F> {
        fn stage(&mut self, name: &str, _steps: usize) {
            self.1 |= (self.0)(name);
        }
        fn advance(&mut self) {}
        fn note(&mut self, _message: &str) {}
        fn interrupted(&self) -> bool {
            self.1
        }
    }

    /// A branch that learns nothing much, and fast, with its checkpoint beside the bundle `out`.
    pub fn quick_learning(out: &Path) -> Learning {
        Learning {
            steps: Some(2),
            batch: Some(2),
            ..Learning::new(Preset::Faster, out.with_extension("checkpoint"))
        }
    }

    /// The images of a folder for a bundle, on a day of their own.
    pub fn adding(folder: &Path) -> UpdateOptions {
        UpdateOptions {
            add: folder.to_owned(),
            strict: true,
            device: Device::Cpu,
            threads: 0,
            scratch: FOLDER.clone(),
            date: "2025-02-02".into(),
        }
    }

    /// What CPR is fitted with, and what other methods start from.
    pub fn options(name: &str, size: (u32, u32)) -> FitOptions {
        FitOptions {
            name: name.into(),
            data: IMAGES.clone(),
            dataset: "synthetic".into(),
            exclude: Vec::new(),
            backbone: Backbone::open(concat!(env!("CARGO_MANIFEST_DIR"), "/models/efficientnet-lite0.onnx"))
                .unwrap(),
            precision: Precision::F32,
            layers: Vec::new(),
            size: InputSize::Fixed(size.0, size.1),
            fit: Fit::Stretch,
            range: Default::default(),
            foreground: Foreground::Auto,
            set: Vec::new(),
            seed: 0,
            strict: true,
            device: Device::Cpu,
            threads: 0,
            scratch: FOLDER.clone(),
            date: "2025-01-01".into(),
            learning: None,
        }
    }

    /// A folder with these good images in it.
    pub fn folder_of(images: &[RgbImage]) -> tempfile::TempDir {
        let folder = scratch();
        for (number, image) in images.iter().enumerate() {
            image.save(folder.path().join(format!("{number:03}.png"))).unwrap();
        }
        folder
    }

    /// Fits a bundle of any method called `name`, with settings "name=value".
    pub fn fit_method(
        method: impl Fn(&FitOptions, &Path, &mut dyn Progress) -> gstanomaly::Result<Manifest>,
        name: &str,
        settings: &[(&str, &str)],
        data: Option<&Path>,
    ) -> gstanomaly::Result<PathBuf> {
        let mut options = options(name, (128, 96));
        options.set = settings.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        if let Some(data) = data {
            options.data = data.to_owned();
        }
        let out = FOLDER.join(name);
        method(&options, &out, &mut Quiet)?;
        Ok(out)
    }

    /// Fits a CPR bundle called `name` for an input of `size`.
    pub fn fit(name: &str, size: (u32, u32), foreground: Foreground) -> PathBuf {
        let out = FOLDER.join(name);
        fit_to(&out, name, size, foreground);
        out
    }

    pub(super) fn fit_to(out: &Path, name: &str, size: (u32, u32), foreground: Foreground) {
        let set = vec![("top".into(), "200".into())];
        cpr::fit(&FitOptions { foreground, set, ..options(name, size) }, out, &mut Quiet).unwrap();
    }
}
