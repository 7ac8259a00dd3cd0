//! The example applications do what they say, on a recording and on a camera of the network.

#![cfg(feature = "train")]

#[path = "common/parts.rs"]
mod parts;

use parts::{BLURRED, CHECKOUT, Camera, FRAMES, GIVEN, example, program, succeeds};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A Python example with arguments separated by spaces, in the folder of the parts.
fn python(example: &str, arguments: &str) -> Command {
    let mut command = program(&GIVEN, &format!("{CHECKOUT}/examples/{example}"));
    command.args(arguments.split_whitespace()).current_dir(&*GIVEN);
    command
}

/// The Rust example.
fn inspect_camera(arguments: &str) -> Command {
    let mut command = example("inspect_camera");
    command.args(arguments.split_whitespace()).current_dir(&*GIVEN);
    command
}

/// Runs a command that must fail with this exit code, and returns what it complained.
fn fails(mut command: Command, code: i32) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {complaint}");
    assert!(!complaint.contains("Traceback") && !complaint.contains("panicked"), "{complaint}");
    complaint
}

/// A program that is running, and the lines that it prints.
struct Running {
    process: Child,
    keyboard: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn new(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { keyboard: process.stdin.take(), process, lines }
    }

    fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// Waits for a line that contains `text`.
    fn expect(&self, text: &str) -> String {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line with '{text}' in {seen:#?}");
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        // SAFETY: the child has not been waited for, so its number is still its own.
        assert_eq!(unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGINT) }, 0);
    }

    /// Waits for its end; the lines that were not read yet.
    fn ends_well(mut self) -> Vec<String> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}");
        self.lines.iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a test that failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What follows `name` in a line: words up to `count` numbers.
fn number_after(line: &str, name: &str) -> f64 {
    let rest = line.split_once(name).unwrap_or_else(|| panic!("no '{name}' in {line}")).1;
    let word = rest.split_whitespace().next().unwrap();
    word.trim_matches(['(', ')', ',']).parse().unwrap_or_else(|e| panic!("{e}: '{word}' in {line}"))
}

/// Whether the recording shows a defect in this frame: scenes of good parts come before those of each defect.
fn shows_defect(frame: usize) -> bool {
    frame < 51 && frame % 17 >= 5
}

#[test]
fn a_line_for_every_frame_with_score_regions_and_map() {
    let printed = succeeds(&mut python("read_results.py", "--model bottle.bundle --maps maps recording.mp4"));
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), FRAMES, "{printed}");
    let mut right = 0;
    let mut anomalous = Vec::new();
    for (frame, line) in lines.iter().enumerate() {
        assert!(
            line.starts_with(&format!("00:00:0{}.{}00 ", frame / 10, frame % 10)),
            "frame {frame}: {line}"
        );
        let (score, threshold) = (number_after(line, "score "), number_after(line, " of "));
        assert_eq!(line.contains(" anomalous "), score >= threshold, "{line}");
        assert_eq!(line.contains(" regions "), score >= threshold, "{line}");
        right += usize::from(frame >= BLURRED && line.contains(" anomalous ") == shows_defect(frame));
        if line.contains(" anomalous ") {
            anomalous.push(frame);
        }
    }
    // Some defects are drawn so faint that they are missed.
    assert!(
        10 * right >= 9 * (FRAMES - BLURRED),
        "{right} of {FRAMES} frames are judged rightly:\n{printed}"
    );

    // The files are the maps of the anomalous frames, as numpy reads them.
    let maps = GIVEN.join("maps");
    let mut saved: Vec<String> =
        std::fs::read_dir(&maps).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    saved.sort();
    assert_eq!(saved, anomalous.iter().map(|frame| format!("{frame:06}.npy")).collect::<Vec<_>>());
    // A picture that is wrong all over has many places that are as wrong as can be.
    for frame in anomalous.into_iter().filter(|&frame| frame >= BLURRED) {
        let line = lines[frame];
        let (shape, values) = numpy(&maps.join(format!("{frame:06}.npy")));
        assert_eq!(shape, "(320, 320)");
        // The first of several, as numpy does.
        let places = values.iter().copied().enumerate().rev();
        let (at, peak) = places.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((peak - number_after(line, "map peak ")).abs() <= 0.0005, "{peak}: {line}");
        // Where the map is highest, the worst region is; both in pixels of the frame of 400x400.
        let pair = |text: &str, by: char| -> (f64, f64) {
            let (a, b) = text.split_once(by).unwrap();
            (a.parse().unwrap(), b.parse().unwrap())
        };
        let word = |name: &str| line.split_once(name).unwrap().1.split_whitespace().nth(2).unwrap();
        let (x, y) = pair(word("map peak"), ',');
        let expected = |place: usize| (place as f64 + 0.5) * 400.0 / 320.0;
        assert!((x - expected(at % 320)).abs() <= 1.0 && (y - expected(at / 320)).abs() <= 1.0, "{line}");
        let (left, top) = pair(word("worst"), ',');
        let (width, height) = pair(line.split_once("worst ").unwrap().1.split_once(' ').unwrap().0, 'x');
        assert!((left..=left + width).contains(&x) && (top..=top + height).contains(&y), "{line}");
    }
}

/// Shape and values of a file of little-endian floats that numpy wrote.
fn numpy(file: &Path) -> (String, Vec<f64>) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': ").unwrap().1.split_once(')').unwrap().0.to_string() + ")";
    (
        shape,
        bytes[start..].chunks_exact(4).map(|v| f32::from_le_bytes(v.try_into().unwrap()).into()).collect(),
    )
}

#[test]
fn an_image_has_the_score_that_adtrain_gives_it() {
    let line = succeeds(&mut python("read_results.py", "--model bottle.bundle photo.png"));
    let mut predict = program(&GIVEN, "adtrain");
    predict.args(["predict", "--model", "bottle.bundle", "--json", "photo.png"]).current_dir(&*GIVEN);
    let predicted: serde_json::Value = serde_json::from_str(&succeeds(&mut predict)).unwrap();
    let score = find(&predicted, "score").unwrap_or_else(|| panic!("{predicted:#}"));
    assert!((number_after(&line, "score ") - score).abs() <= 0.005, "{line} for {score}");
}

/// The first number of that name, wherever it stands.
fn find(value: &serde_json::Value, name: &str) -> Option<f64> {
    match value {
        serde_json::Value::Object(fields) => fields
            .get(name)
            .and_then(serde_json::Value::as_f64)
            .or_else(|| fields.values().find_map(|value| find(value, name))),
        serde_json::Value::Array(items) => items.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

#[test]
fn a_camera_of_the_network_is_read_to_its_end_or_to_ctrl_c() {
    let camera = Camera::new();
    let source = format!("--model bottle.bundle {}", camera.address);
    let whole = Running::new(python("read_results.py", &source));
    let interrupted = Running::new(python("read_results.py", &source));
    interrupted.expect(" anomalous ");
    interrupted.interrupt();
    interrupted.ends_well();
    let lines = whole.ends_well();
    // A camera does not wait: what comes too late passes uninspected.
    assert!(lines.iter().any(|line| line.contains(" good ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains(" anomalous ")), "{lines:#?}");
}

#[test]
fn what_cannot_be_read_is_named() {
    for (arguments, parts) in [
        ("--model missing.bundle recording.mp4", &["read_results: ", "missing.bundle"][..]),
        ("--model bottle.bundle missing.mp4", &["read_results: ", "missing.mp4"]),
        ("--model bottle.bundle bottle.bundle/bundle.json", &["read_results: "]),
        ("--model bottle.bundle rtsp://127.0.0.1:1/stream", &["read_results: "]),
        ("--model bottle.bundle --maps photo.png/maps recording.mp4", &["read_results: ", "photo.png/maps"]),
    ] {
        let complaint = fails(python("read_results.py", arguments), 1);
        for part in parts {
            assert!(complaint.contains(part), "no '{part}' in {complaint}");
        }
    }
    let complaint = fails(python("retune.py", "--model missing.bundle --sink fakesink recording.mp4"), 1);
    assert!(complaint.contains("retune: ") && complaint.contains("missing.bundle"), "{complaint}");
    let complaint = fails(inspect_camera("--model missing.bundle recording.mp4"), 1);
    assert!(complaint.contains("missing.bundle"), "{complaint}");
    let complaint = fails(inspect_camera("--model bottle.bundle missing.mp4"), 1);
    assert!(complaint.contains("missing.mp4"), "{complaint}");
}

#[test]
fn a_wrong_command_line_says_what_is_expected() {
    let retune = |arguments: &str| fails(python("retune.py", arguments), 2);
    assert!(retune("--model b --at 1 colour=red r.mp4").contains("threshold=NUMBER or model=BUNDLE"));
    assert!(retune("--model b --at 1 threshold=high r.mp4").contains("high"));
    assert!(retune("--model b --at soon threshold=1 r.mp4").contains("soon"));
    assert!(retune("--at 1 threshold=1 r.mp4").contains("--model"));
    assert!(fails(python("read_results.py", "r.mp4"), 2).contains("--model"));
    assert!(fails(inspect_camera("--model b"), 2).contains("SOURCE"));
    for example in ["read_results.py", "retune.py"] {
        assert!(succeeds(&mut python(example, "--help")).contains("SOURCE"));
    }
}

/// retune.py on a camera, without a screen.
fn retune(arguments: &str, camera: &Camera) -> Running {
    let mut command = python("retune.py", "--model bottle.bundle --model can.bundle --sink");
    command.arg("fakesink sync=true").args(arguments.split_whitespace()).arg(&camera.address);
    Running::new(command)
}

/// The threshold of a bundle.
fn threshold(bundle: &str) -> f64 {
    let manifest = std::fs::read(GIVEN.join(bundle).join("bundle.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["calibration"]["threshold"].as_f64().unwrap()
}

fn in_use(model: &str, threshold: f64) -> String {
    format!("in use: model {model}, threshold {threshold:.2}")
}

#[test]
fn keys_change_threshold_and_model_while_it_plays() {
    let camera = Camera::new();
    let (bottle, can) = (threshold("bottle.bundle"), threshold("can.bundle"));
    let mut player = retune("", &camera);
    player.expect(&in_use("bottle", bottle));
    player.press("+");
    player.expect(&in_use("bottle", bottle * 1.05));
    player.press("-");
    player.expect(&in_use("bottle", bottle));
    player.press("+");
    player.expect(&in_use("bottle", bottle * 1.05));
    // A threshold that was set holds for every model, until it is taken back.
    player.press("m");
    player.expect(&in_use("can", bottle * 1.05));
    player.press("0");
    player.expect(&in_use("can", can));
    player.press("m");
    player.expect(&in_use("bottle", bottle));
    player.press("q");
    player.ends_well();
}

#[test]
fn changes_come_at_set_times_and_a_bad_model_leaves_the_old_one() {
    let camera = Camera::for_long();
    let player = retune("--at 1 threshold=1 --at 5 model=missing.bundle --at 9 model=can.bundle", &camera);
    player.expect(&in_use("bottle", threshold("bottle.bundle")));
    player.expect(&in_use("bottle", 1.0));
    assert!(player.expect("warning: ").contains("missing.bundle"));
    player.expect(&in_use("can", 1.0));
    player.interrupt();
    player.ends_well();
}

#[test]
fn the_application_in_rust_reports_anomalies_and_sums_up() {
    let printed = succeeds(&mut inspect_camera("--model bottle.bundle recording.mp4"));
    let count = |text: &str| printed.lines().filter(|line| line.contains(text)).count();
    assert!(count("anomaly begins: score ") >= 3 && count("anomaly ends") >= 3, "{printed}");
    for (start, end) in [(0.5, 1.7), (2.2, 3.4), (3.9, 5.1)] {
        let begins = |line: &str| {
            line.contains("anomaly begins") && (start..end).contains(&number_after(line, "0:00:"))
        };
        assert!(printed.lines().any(begins), "none begins from {start} to {end}:\n{printed}");
    }
    let anomalous = number_after(&printed, &format!("{FRAMES} frames inspected, ")) as usize;
    let expected = (0..FRAMES).filter(|&frame| shows_defect(frame)).count();
    assert!((expected - 3..=expected + BLURRED + 3).contains(&anomalous), "{printed}");
    assert_eq!(count("highest score: "), 1);
    // With a threshold that nothing reaches, nothing is found.
    let printed = succeeds(&mut inspect_camera("--model bottle.bundle --threshold 1e9 recording.mp4"));
    assert!(printed.starts_with(&format!("{FRAMES} frames inspected, 0 anomalous")), "{printed}");
}

#[test]
fn ctrl_c_ends_the_application_in_rust_with_its_summary() {
    let camera = Camera::new();
    let running = Running::new(inspect_camera(&format!("--model bottle.bundle {}", camera.address)));
    running.expect("anomaly begins");
    running.interrupt();
    let lines = running.ends_well();
    assert!(lines.iter().any(|line| line.contains(" frames inspected, ")), "{lines:#?}");
}
