//! Ctrl-C and a full disk: the old bundle or the new one, never half of one.

use crate::workshop::Workshop;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a shell reports of a program that Ctrl-C stopped.
const INTERRUPTED: i32 = 130;

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(shop: &Workshop, arguments: &str) -> Child {
    let mut command = Command::new(shop.command("").get_program());
    command.args(arguments.split_whitespace()).current_dir(shop.path("")).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let shop = Workshop::new();
    shop.good("good", 40, 1);
    // Large enough that it takes far longer than the signal needs.
    let mut fit = start(&shop, "fit --data good --out models/b --size 1280x1280");
    wait_for("the staging folder", || shop.entries("models").iter().any(|name| name.starts_with(".bundle-")));
    std::thread::sleep(Duration::from_millis(300));
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(fit.id() as libc::pid_t, libc::SIGINT) }, 0);
    assert_eq!(fit.wait().unwrap().code(), Some(INTERRUPTED));
    assert!(shop.entries("models").is_empty(), "{:?}", shop.entries("models"));
}

#[test]
fn ctrl_c_leaves_the_bundles_that_a_comparison_has_finished() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.write("out/compare.json", b"of another comparison");
    let methods = "cpr:size=64x64,patchcore:size=1280x1280";
    let mut compare = start(&shop, &format!("compare --data cloth --methods {methods} --out out"));
    wait_for("the second method", || {
        let entries = shop.entries("out");
        entries.iter().any(|name| name.starts_with(".bundle-"))
            && entries.iter().any(|name| name.starts_with("cpr-"))
    });
    std::thread::sleep(Duration::from_millis(300));
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(compare.id() as libc::pid_t, libc::SIGINT) }, 0);
    assert_eq!(compare.wait().unwrap().code(), Some(INTERRUPTED));
    assert_eq!(shop.entries("out"), ["cpr-size-64x64.bundle"]);
    shop.succeeds("info --verify out/cpr-size-64x64.bundle");
}

/// Lets files grow to `bytes` only, as a full disk does.
fn limit_files(command: &mut Command, bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: between fork and exec only two system calls are made, on values of this closure's own.
    unsafe {
        command.pre_exec(move || {
            // Writing beyond the limit is then an error of the write and not the end of the process.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
}

#[test]
fn a_full_disk_leaves_the_old_bundle() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "models/b");
    let old = shop.bundle("models/b");
    let manifest = old[1].1.len() as u64;
    // The bank's spool, the graph, the bank (12 of 52 kB), the manifest do not fit.
    for bytes in [0, manifest - 1, 20_000, 100_000, 1_000_000, 3_000_000] {
        let mut command = Command::new(shop.command("").get_program());
        let arguments = "fit --data good --out models/b --size 128x128 --seed 3";
        command.args(arguments.split_whitespace()).current_dir(shop.path(""));
        limit_files(&mut command, bytes);
        let output = command.output().unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        let large = bytes == 3_000_000;
        assert_eq!(output.status.code(), Some(if large { 0 } else { 1 }), "{bytes}: {complaint}");
        assert_eq!(shop.entries("models"), ["b"], "{bytes}");
        if !large {
            assert!(
                complaint.contains("models") && complaint.matches("too large").count() == 1,
                "{bytes}: {complaint}"
            );
            assert!(shop.bundle("models/b") == old, "{bytes}: the old bundle has changed");
        }
    }
    assert_eq!(shop.manifest("models/b")["training"]["seed"], 3);
}

#[test]
fn a_disk_too_small_for_the_training_samples_is_named() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    let mut command = Command::new(shop.command("").get_program());
    let arguments = "fit --data good --out models/b --size 64x64 --preset faster --steps 20 --batch 2";
    command.args(arguments.split_whitespace()).current_dir(shop.path(""));
    limit_files(&mut command, 20_000);
    let output = command.output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("adtrain: models: ") && complaint.contains("too large"), "{complaint}");
    assert!(shop.entries("models").is_empty());

    // Ten millions of 2.1 MB.
    let many = "--size 640x640 --steps 10000000 --set learning.samples.queries=10000000";
    shop.fails(&format!("fit --data good --out models/b --preset faster {many}")).says(&[
        "training samples need 20992.6 GB",
        "free in models",
        "--set learning.samples.queries=",
    ]);
}

#[test]
fn a_full_disk_leaves_the_old_calibration() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    shop.good("others", 4, 2);
    let old = shop.bundle("b");
    let mut command = Command::new(shop.command("").get_program());
    command.args("calibrate --model b --normal others".split_whitespace()).current_dir(shop.path(""));
    limit_files(&mut command, 100);
    assert_eq!(command.output().unwrap().status.code(), Some(1));
    assert!(shop.bundle("b") == old);
}

#[test]
fn one_program_at_a_time_calibrates() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    shop.good("others", 4, 2);
    let old = shop.bundle("b");
    let somebody = gstanomaly::bundle::Exclusive::lock(&shop.path("b")).unwrap();
    shop.fails("calibrate --model b --normal others").says(&["another program"]);
    assert!(shop.bundle("b") == old);
    drop(somebody);
    shop.succeeds("calibrate --model b --normal others");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    let mut command = Command::new(shop.command("").get_program());
    command.args("predict --model b good".split_whitespace()).current_dir(shop.path(""));
    let mut predict = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(predict.stdout.take());
    let output = predict.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
