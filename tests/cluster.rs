//! The audit beyond one machine: `examples/audit_ray.py` on a local Ray cluster of two nodes one of which dies, and the Kubernetes job.
//!
//! `script/ray` fetches what Python needs. Where that is impossible the tests say so and pass.

#![cfg(feature = "audit")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

#[path = "audit/line.rs"]
#[allow(dead_code, reason = "shared with tests/audit.rs")]
mod line;
#[path = "../examples/made_up_recording.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod recording;

use line::{check_events, line};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What `script/ray` ends with where the packages cannot be fetched.
const UNREACHABLE: i32 = 3;

/// A Python with Ray; none where it cannot be had.
fn python() -> Option<PathBuf> {
    let output = Command::new(Path::new(ROOT).join("script/ray")).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())),
        Some(UNREACHABLE) => {
            println!("SKIPPED: Ray cannot be fetched from here: {complaint}");
            None
        }
        _ => panic!("script/ray: {complaint}"),
    }
}

fn run(python: &Path, script: &str, arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(python);
    command.arg(Path::new(ROOT).join(script)).args(arguments).current_dir(folder);
    // Ray asks the network what it need not know.
    command.env("RAY_USAGE_STATS_ENABLED", "0").env("RAY_ADAUDIT", env!("CARGO_BIN_EXE_adaudit"));
    let output = command.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn two_nodes_share_the_videos_and_a_dead_one_loses_nothing() {
    let Some(python) = python() else { return };
    let line = line();
    std::fs::create_dir(line.path("in")).unwrap();
    for name in ["a.mkv", "b.mkv", "c.mkv", "d.mkv"] {
        std::fs::copy(line.path(&line.video), line.path("in").join(name)).unwrap();
    }
    std::fs::write(line.path("in/e-damaged.mkv"), b"no video").unwrap();
    let output = run(&python, "tests/audit/cluster.py", &[ROOT], &line.path(""));
    assert!(output.status.success());
    let root = line.path("in");
    let events = line.events("clustered");
    for name in ["a.mkv", "b.mkv", "c.mkv", "d.mkv"] {
        let path = root.join(name).canonicalize().unwrap();
        let of: Vec<_> = events.iter().filter(|event| Path::new(&event.video) == path).cloned().collect();
        check_events(&of, &line.damaged);
    }
    assert_eq!(events.len(), 4 * line.damaged.len());
    // As one machine would have it, bit for bit.
    let absolute = root.canonicalize().unwrap();
    line.fails(&format!("--model b --out alone --threads 1 {}", absolute.display()));
    assert!(line.results("clustered") == line.results("alone"));
}

#[test]
fn the_job_for_kubernetes_is_one() {
    let Some(python) = python() else { return };
    let output = run(&python, "tests/audit/job.py", &["examples/audit-job.yaml"], Path::new(ROOT));
    assert!(output.status.success());
}
