//! A folder to work in, small images, and `adtrain`.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Side of the images; with `--size 64x64` a fit takes a moment.
pub const SIDE: u32 = 64;

/// A temporary folder that `adtrain` runs in.
pub struct Workshop(tempfile::TempDir);

impl Workshop {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `adtrain` with arguments separated by spaces, in the folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("adtrain").unwrap();
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env("XDG_DATA_HOME", self.path("user"))
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .env_remove("GST_ANOMALY_MODELS")
            .timeout(Duration::from_secs(300));
        command
    }

    pub fn succeeds(&self, arguments: &str) -> Output {
        Output::of(self.command(arguments).assert().code(0))
    }

    /// A failure of the work: exit code 1, and a message that names `adtrain` once.
    pub fn fails(&self, arguments: &str) -> Output {
        Output::of(self.command(arguments).assert().code(1))
    }

    /// A wrong command line: exit code 2.
    pub fn refuses(&self, arguments: &str) -> Output {
        Output::of(self.command(arguments).assert().code(2))
    }

    /// Fits `bundle` to `data`.
    pub fn fit(&self, data: &str, bundle: &str) -> Output {
        self.succeeds(&format!("fit --data {data} --out {bundle} --size 64x64"))
    }

    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn save(&self, name: &str, image: &RgbImage) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image.save(path).unwrap();
    }

    /// `count` good images in `folder`, 000.png and so on, different for every `series`.
    pub fn good(&self, folder: &str, count: usize, series: u64) {
        for i in 0..count {
            self.save(&format!("{folder}/{i:03}.png"), &good(1000 * series + i as u64));
        }
    }

    /// A category: 12 images to learn from, 4 good and 4 spotted ones with masks to test with.
    pub fn category(&self, data: &str) {
        self.good(&format!("{data}/train/good"), 12, 1);
        self.good(&format!("{data}/test/good"), 4, 2);
        for i in 0..4 {
            let (image, mask) = spotted(3000 + i, (10 + 8 * i as u32, 20));
            self.save(&format!("{data}/test/spot/{i:03}.png"), &image);
            let path = self.path(&format!("{data}/ground_truth/spot/{i:03}_mask.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            mask.save(path).unwrap();
        }
    }

    /// What lies in a folder, hidden entries too; nothing if there is no folder.
    pub fn entries(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The bytes of every file of a bundle.
    pub fn bundle(&self, bundle: &str) -> Vec<(String, Vec<u8>)> {
        let names = self.entries(bundle);
        assert_eq!(
            names,
            ["bank.safetensors", "bundle.json", "features.onnx", "images.sha256", "training-scores.csv"]
        );
        names
            .into_iter()
            .map(|name| (name.clone(), std::fs::read(self.path(bundle).join(name)).unwrap()))
            .collect()
    }

    pub fn manifest(&self, bundle: &str) -> Value {
        read_json(&self.path(bundle).join("bundle.json"))
    }
}

/// What a run has printed.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    fn of(assert: Assert) -> Self {
        let output = assert.get_output();
        Self {
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    /// Checks that stderr has all of `parts`.
    pub fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "no '{part}' in: {}", self.stderr);
        }
    }
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Woven cloth with noise that `seed` decides.
pub fn good(seed: u64) -> RgbImage {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let noise = (state >> 32 & 7) as u8;
        let thread = if (x / 4 + y / 4) % 2 == 0 { 90 } else { 130 };
        Rgb([thread + noise, thread + noise / 2, thread])
    })
}

/// The same with a bright spot, and the spot's mask.
pub fn spotted(seed: u64, (left, top): (u32, u32)) -> (RgbImage, GrayImage) {
    let inside = |x: u32, y: u32| (left..left + 16).contains(&x) && (top..top + 16).contains(&y);
    let mut image = good(seed);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if inside(x, y) {
            *pixel = Rgb([250, 250, 60]);
        }
    }
    (image, GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if inside(x, y) { 255 } else { 0 }])))
}
