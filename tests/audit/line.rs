//! A production line: its recordings, the bundle of its parts, and `adaudit` in a folder.

use crate::recording;
use assert_cmd::Command;
use gst::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

/// What all tests share: made once, never written to.
struct Shared {
    folder: tempfile::TempDir,
    damaged: Vec<(f64, f64)>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    fit(&folder.path().join("b"));
    let damaged = recording::write(&folder.path().join("line.mkv"), 2.0).unwrap();
    assert!(damaged.len() >= 3, "{damaged:?}");
    // Too short for a damaged part.
    for (name, minutes) in [("good.mkv", 0.3), ("short.mkv", 0.1)] {
        assert!(recording::write(&folder.path().join(name), minutes).unwrap().is_empty());
    }
    Shared { folder, damaged }
});

/// Fits a bundle to the good parts, and sets its threshold by a recording of them.
pub fn fit(bundle: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = recording::good_parts();
    for name in ["good", "frames"] {
        std::fs::create_dir(path(name)).unwrap();
    }
    for (i, image) in good.iter().enumerate() {
        image.save(path(&format!("good/{i:03}.ppm"))).unwrap();
    }
    recording::record(&path("good.mkv"), good.iter()).unwrap();
    play(&format!(
        "filesrc location={0}/good.mkv ! decodebin ! videoconvert ! pngenc compression-level=1 ! multifilesink location={0}/frames/%03d.png",
        folder.path().display()
    ));
    let adtrain = |arguments: &str| {
        let mut command = Command::cargo_bin("adtrain").unwrap();
        command.args(arguments.split_whitespace()).arg(bundle).current_dir(folder.path()).assert().success();
    };
    adtrain("fit --size 192x192 --foreground off --name rings --data good --out");
    // Far above what good rings reach: these tests are about when something is seen, not about how little of it.
    adtrain("calibrate --normal frames --false-alarms 1e-4 --model");
}

/// Runs a pipeline to its end.
pub fn play(pipeline: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(pipeline).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let wanted = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(120), &wanted);
    pipeline.set_state(gst::State::Null).unwrap();
    let end = end.expect("the pipeline ends");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
}

/// A folder with the line's recordings and its bundle `b`.
pub struct Line {
    folder: tempfile::TempDir,
    /// The recording of two minutes.
    pub video: String,
    /// Some seconds of good parts.
    pub short: String,
    /// Frames of `good.mkv`.
    pub good_frames: u64,
    /// When damaged parts are in the recording, in seconds.
    pub damaged: Vec<(f64, f64)>,
}

/// A folder of a test's own.
pub fn line() -> Line {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "line.mkv", "good.mkv", "short.mkv"] {
        std::os::unix::fs::symlink(SHARED.folder.path().join(name), folder.path().join(name)).unwrap();
    }
    let damaged = SHARED.damaged.clone();
    Line { folder, video: "line.mkv".into(), short: "short.mkv".into(), good_frames: 36, damaged }
}

impl Line {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `adaudit` with arguments separated by spaces, in the folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::cargo_bin("adaudit").unwrap();
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .timeout(Duration::from_secs(300));
        command
    }

    /// The same to be watched and killed.
    pub fn start(&self, arguments: &str) -> std::process::Child {
        let mut command = std::process::Command::new(self.command("").get_program());
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap()
    }

    fn run(&self, arguments: &str, code: i32) -> Output {
        let assert = self.command(arguments).assert().code(code);
        let output = assert.get_output();
        Output {
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }

    pub fn succeeds(&self, arguments: &str) -> Output {
        self.run(arguments, 0)
    }

    /// A failure of the work.
    pub fn fails(&self, arguments: &str) -> Output {
        self.run(arguments, 1)
    }

    /// A wrong command line.
    pub fn refuses(&self, arguments: &str) -> Output {
        self.run(arguments, 2)
    }

    /// What lies in a folder and the folders in it, hidden files too.
    pub fn entries(&self, folder: &str) -> Vec<String> {
        self.files(folder).into_keys().collect()
    }

    /// Every file of the results but the locks.
    pub fn results(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files(folder);
        files.retain(|name, _| !name.ends_with(".lock"));
        files
    }

    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let (root, mut files, mut waiting) = (self.path(folder), BTreeMap::new(), vec![self.path(folder)]);
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    match std::fs::read(&path) {
                        Ok(bytes) => _ = files.insert(name, bytes),
                        // An audit that still runs may have renamed it since.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display()),
                    }
                }
            }
        }
        files
    }

    /// The lines of a folder's videos.csv, by their columns.
    pub fn videos(&self, folder: &str) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path(folder).join("videos.csv")).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    }

    /// The events of a folder's results.
    pub fn events(&self, folder: &str) -> Vec<Event> {
        events(&self.path(folder).join("events.csv"))
    }
}

/// What a run has printed.
#[derive(Debug)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Checks that stderr has all of `parts`.
    pub fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "no '{part}' in: {}", self.stderr);
        }
    }
}

/// A line of events.csv.
#[derive(Clone, Debug)]
pub struct Event {
    pub video: String,
    pub start: f64,
    pub end: f64,
    pub peak: f64,
    pub peak_score: f64,
    pub frames: u64,
    pub regions: Value,
    pub still: String,
    pub overlay: String,
}

pub fn events(table: &Path) -> Vec<Event> {
    let mut reader = csv::Reader::from_path(table).unwrap();
    let rows = reader.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let row = row.unwrap();
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        Event {
            video: row["video"].clone(),
            start: number("start"),
            end: number("end"),
            peak: number("peak"),
            peak_score: number("peak_score"),
            frames: row["frames"].parse().unwrap(),
            regions: serde_json::from_str(&row["regions"]).unwrap(),
            still: row["still"].clone(),
            overlay: row["overlay"].clone(),
        }
    })
    .collect()
}

/// Checks that there is an event for each damaged part, at its time, and no other.
pub fn check_events(events: &[Event], damaged: &[(f64, f64)]) {
    let times = |event: &Event| (event.start, event.end, event.peak_score);
    let all: Vec<_> = events.iter().map(times).collect();
    assert_eq!(events.len(), damaged.len(), "{all:?} instead of {damaged:?}");
    for (event, &(start, end)) in events.iter().zip(damaged) {
        assert!((event.start - start).abs() <= 0.5, "{:?} instead of {start}", times(event));
        assert!((event.end - end).abs() <= 0.5, "{:?} instead of {end}", times(event));
        assert!((event.start..event.end).contains(&event.peak), "{event:?}");
        assert!(!event.regions.as_array().unwrap().is_empty(), "{event:?}");
    }
}

pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Waits until `done`.
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
