//! What somebody has who follows the documentation: the checkout, the programs on the PATH, a data set, a bundle, a
//! recording and a camera. The parts are those that `examples/made_up_parts` draws.
//!
//! Included by `#[path]` into the tests that need it; each uses a part of it.

#![allow(dead_code, reason = "no test needs all of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// The checkout.
pub const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

/// The optional features that the examples are built with: those of this build, so that nothing is built twice.
const FEATURES: &[(&str, bool)] = &[
    ("train", cfg!(feature = "train")),
    ("audit", cfg!(feature = "audit")),
    ("mqtt", cfg!(feature = "mqtt")),
    ("kafka", cfg!(feature = "kafka")),
    ("analytics", cfg!(feature = "analytics")),
    ("analytics-v1_28", cfg!(feature = "analytics-v1_28")),
];

/// Those of them that a build has where nobody chooses.
const DEFAULT_FEATURES: [&str; 4] = ["train", "audit", "mqtt", "kafka"];

/// A folder with what the documentation presupposes, by the names that it uses. It is made once a process.
///
/// - `bottle`, `more-good-images`, `photo.png`: the data set, good images, and an image with a defect
/// - `bottle.bundle`, `can.bundle`: a bundle fitted to it, and another one
/// - `recording.mp4`: a film of good and defective parts
pub static GIVEN: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = process_folder();
    plugin(&folder);
    let done = |command: &mut Command| succeeds(command.current_dir(&folder));
    done(Command::new(EXAMPLES.join("made_up_parts")).arg("bottle"));
    // In a debug build learning takes its time: as few images as are enough to begin with.
    for number in 20..60 {
        std::fs::remove_file(folder.join(format!("bottle/train/good/{number:03}.png"))).unwrap();
    }
    // In the registry's first scan, the system's own plugins may warn about each other.
    done(program(&folder, "gst-inspect-1.0").arg("anomaly").env_remove("G_DEBUG"));
    let fit = |arguments: &str| {
        done(
            program(&folder, "adtrain")
                .args("fit --quiet --data bottle".split(' '))
                .args(arguments.split(' ')),
        )
    };
    fit("--out bottle.bundle");
    fit("--out can.bundle --name can --size 96x96");
    film(&folder, "recording.mp4", 1);
    std::fs::copy(folder.join("bottle/test/scratch/000.png"), folder.join("photo.png")).unwrap();
    done(Command::new("cp").args(["-r", "bottle/test/good", "more-good-images"]));
    folder
});

/// Makes a film of the frames, shown so many times.
fn film(folder: &Path, name: &str, times: usize) {
    let source = format!("multifilesrc loop=true num-buffers={}", times * FRAMES);
    succeeds(
        program(folder, "gst-launch-1.0")
            .arg("-q")
            .args(source.split(' '))
            .args(["location=bottle/film/%03d.png", "caps=image/png,framerate=10/1", "!"])
            .args("pngdec ! videoconvert ! openh264enc bitrate=8000000 ! h264parse ! mp4mux !".split(' '))
            .arg("filesink")
            .arg(format!("location={name}"))
            .current_dir(folder),
    );
}

/// The frames of the recording.
pub const FRAMES: usize = 56;
/// The first frames, before the encoder's picture is good.
pub const BLURRED: usize = 3;

/// The folder of this process, with those of processes that are gone removed.
fn process_folder() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
        if name.strip_prefix("parts-").is_some_and(gone) {
            // Another process may be tidying up, too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = root.join(format!("parts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A folder for GST_PLUGIN_PATH that holds the plugin that this test was built with and nothing else.
fn plugin(folder: &Path) {
    let name = "libgstanomaly.so";
    let built = std::env::current_exe().unwrap().with_file_name(name);
    assert!(built.exists(), "{}: cargo builds it for every test", built.display());
    std::fs::create_dir(folder.join("plugin")).unwrap();
    std::os::unix::fs::symlink(built, folder.join("plugin").join(name)).unwrap();
}

/// A program with the environment that `script/env` gives a user, for this build.
pub fn program(given: &Path, name: &str) -> Command {
    let adtrain = Path::new(env!("CARGO_BIN_EXE_adtrain")).parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let runtime = std::env::var_os("ORT_DYLIB_PATH")
        .unwrap_or_else(|| Path::new(CHECKOUT).join(".runtime/libonnxruntime.so").into());
    let mut command = Command::new(name);
    command
        .env("PATH", format!("{}:{path}", adtrain.display()))
        .env("GST_PLUGIN_PATH", given.join("plugin"))
        // The user's own list of plugins stays as it is.
        .env("GST_REGISTRY", given.join("registry.bin"))
        .env("ORT_DYLIB_PATH", runtime)
        .stdin(Stdio::null());
    command
}

/// An example, built as this test was.
pub fn example(name: &str) -> Command {
    program(&GIVEN, EXAMPLES.join(name).to_str().unwrap())
}

/// Where the examples are. `cargo test` has built them, but not `cargo test --test NAME`.
pub static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    // TARGET/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let features: Vec<&str> = FEATURES.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--examples"]);
    // With the default ones named one by one cargo would build everything of this crate again.
    if features != DEFAULT_FEATURES {
        cargo.args(["--no-default-features", "--features"]).arg(features.join(","));
    }
    cargo.args(["--profile", if profile.ends_with("release") { "release" } else { "dev" }]);
    cargo.arg("--manifest-path").arg(Path::new(CHECKOUT).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    succeeds(&mut cargo);
    profile.join("examples")
});

/// Runs a command that must succeed, and returns what it printed.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A camera on the loopback that sends the recording; it goes when it is dropped.
pub struct Camera {
    process: Child,
    /// Its address.
    pub address: String,
}

impl Camera {
    /// Switches a camera on that shows the recording once.
    pub fn new() -> Self {
        Self::showing("recording.mp4", None)
    }

    /// The same that shows it four times.
    pub fn for_long() -> Self {
        static LONG: LazyLock<()> = LazyLock::new(|| film(&GIVEN, "long.mp4", 4));
        LazyLock::force(&LONG);
        Self::showing("long.mp4", None)
    }

    /// Another one where this one was.
    pub fn again(&self) -> Self {
        let port = self.address.rsplit([':', '/']).nth(1);
        Self::showing("long.mp4", port)
    }

    /// As if the power had gone.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// Stops it in its tracks, or lets it go on.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { libc::SIGSTOP } else { libc::SIGCONT };
        // SAFETY: a signal to a child of ours that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process.id() as libc::pid_t, signal) }, 0);
    }

    fn showing(recording: &str, port: Option<&str>) -> Self {
        let mut process = program(&GIVEN, &format!("{CHECKOUT}/tests/common/rtsp_camera.py"))
            .arg(GIVEN.join(recording))
            .args(port)
            // The server is GStreamer's, its warnings are not ours.
            .env_remove("G_DEBUG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.is_empty(), "the camera does not start: is gir1.2-gst-rtsp-server-1.0 installed?");
        Self { process, address: format!("rtsp://127.0.0.1:{}/stream", port.trim()) }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        // It ends with its input; killing it makes sure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
