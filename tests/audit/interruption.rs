//! Kills, Ctrl-C, a full disk, two at a time: nothing twice, nothing lost.

use crate::line::{Line, check_events, fit, line, wait_for};
use crate::recording;
use serde_json::Value;
use std::process::Child;
use std::time::{Duration, Instant};

/// What a shell reports of a program that Ctrl-C stopped.
const INTERRUPTED: i32 = 130;

/// The states of the videos in a folder of results.
fn states(line: &Line, out: &str) -> Vec<Value> {
    let results = line.results(out);
    let states = results.iter().filter(|(name, _)| name.ends_with("state.json"));
    states.map(|(_, text)| serde_json::from_slice(text).unwrap()).collect()
}

/// Frames that the checkpoints of a folder know of.
fn kept(line: &Line, out: &str) -> u64 {
    states(line, out).iter().map(|state| state["frames"].as_u64().unwrap()).sum()
}

fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
}

#[test]
fn killed_three_times_the_result_is_the_same() {
    let line = line();
    let arguments = format!("--threads 1 --model b {} good.mkv", line.video);
    line.succeeds(&format!("{arguments} --out whole"));
    let mut before = 0;
    for round in 0..3 {
        let mut audit = line.start(&format!("{arguments} --out killed"));
        let started = Instant::now();
        if round == 2 {
            // Before anything is kept, as likely as not.
            std::thread::sleep(Duration::from_millis(700));
        } else {
            wait_for("a checkpoint", || {
                kept(&line, "killed") > before || audit.try_wait().unwrap().is_some()
            });
        }
        // It may have been faster.
        if audit.try_wait().unwrap().is_none() {
            signal(&audit, libc::SIGKILL);
        }
        let status = audit.wait().unwrap();
        let now = kept(&line, "killed");
        println!("killed after {:?}, {now} frames are kept, {status}", started.elapsed());
        assert!(now >= before);
        before = now;
    }
    // As a kill in the middle of writing leaves them.
    let videos = std::fs::read_dir(line.path("killed/videos")).unwrap().map(|entry| entry.unwrap().path());
    for folder in videos.chain([line.path("killed")]) {
        std::fs::write(folder.join(".unfinished-x"), "half").unwrap();
    }
    line.succeeds(&format!("{arguments} --out killed"));
    let [killed, whole] = ["killed", "whole"].map(|folder| line.results(folder));
    let differing: Vec<&String> =
        killed.keys().chain(whole.keys()).filter(|name| killed.get(*name) != whole.get(*name)).collect();
    assert!(differing.is_empty(), "{differing:?}");
    check_events(&line.events("killed"), &line.damaged);
}

#[test]
fn ctrl_c_keeps_everything() {
    let line = line();
    let started = Instant::now();
    line.succeeds(&format!("--threads 1 --model b {} --out once", line.video));
    // However fast the machine is, there is time to stop it.
    let copies = (10.0 / started.elapsed().as_secs_f64()).ceil() as usize;
    let videos: Vec<String> = (0..copies).map(|copy| format!("copy{copy}.mkv")).collect();
    videos.iter().for_each(|video| {
        std::fs::copy(line.path(&line.video), line.path(video)).unwrap();
    });
    let arguments = format!("--threads 1 --model b {}", videos.join(" "));
    line.succeeds(&format!("{arguments} --out whole"));
    let mut rounds = 0;
    loop {
        let before = kept(&line, "stopped");
        let mut audit = line.start(&format!("{arguments} --out stopped"));
        let written = || {
            let results = line.results("stopped");
            let records = results.iter().filter(|(name, _)| name.ends_with("frames.bin"));
            records.map(|(_, bytes)| bytes.len() as u64 / 40).sum::<u64>()
        };
        wait_for("a frame", || written() > before || audit.try_wait().unwrap().is_some());
        if audit.try_wait().unwrap().is_some() {
            break;
        }
        signal(&audit, libc::SIGINT);
        let code = audit.wait().unwrap().code();
        if code == Some(0) {
            break;
        }
        assert_eq!(code, Some(INTERRUPTED));
        assert!(kept(&line, "stopped") > before);
        rounds += 1;
    }
    assert!(rounds > 0, "it was too fast to be stopped");
    line.succeeds(&format!("{arguments} --out stopped"));
    assert!(line.results("stopped") == line.results("whole"));
}

#[test]
fn a_torn_state_is_named() {
    let line = line();
    line.succeeds(&format!("--model b --out found {}", line.short));
    let file = |end: &str| {
        let name = line.entries("found").into_iter().find(|name| name.ends_with(end)).unwrap();
        line.path("found").join(name)
    };
    let records = file("frames.bin");
    std::fs::write(&records, b"short").unwrap();
    line.fails(&format!("--model b --out found {}", line.short)).says(&["frames.bin", "expected 12 records"]);
    std::fs::write(file("state.json"), b"{").unwrap();
    // The others do not suffer from it, whether it is among those that were named or lies there from before.
    let run = line.fails(&format!("--model b --out found good.mkv {}", line.short));
    run.says(&["state.json", "remove its folder", "1 path could not be read"]);
    assert!(run.stdout.contains("of 1 video"), "{}", run.stdout);
    let run = line.fails("--model b --out found good.mkv");
    run.says(&["state.json", "remove its folder", "1 path could not be read"]);
    std::fs::remove_dir_all(records.parent().unwrap()).unwrap();
    line.succeeds(&format!("--model b --out found {}", line.short));
}

#[test]
fn two_at_a_time_leave_each_other_alone() {
    let line = line();
    let arguments = format!("--threads 1 --model b --out found {}", line.video);
    let mut first = line.start(&arguments);
    wait_for("the first one", || line.entries("found").iter().any(|name| name.ends_with("frames.bin")));
    line.fails(&arguments).says(&["1 video is left to another adaudit"]);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    line.succeeds(&arguments);
    check_events(&line.events("found"), &line.damaged);
}

#[test]
fn a_full_disk_is_named_and_the_audit_goes_on_when_there_is_room() {
    let line = line();
    let arguments = format!("--threads 1 --model b --out found {}", line.video);
    let mut command = std::process::Command::new(line.command("").get_program());
    command.args(arguments.split_whitespace()).current_dir(line.path(""));
    let limit = libc::rlimit { rlim_cur: 8000, rlim_max: 8000 };
    // SAFETY: between fork and exec only two system calls are made, on values of this closure's own.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, move || {
            // Writing beyond the limit is then an error of the write and not the end of the process.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let output = command.output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("found/videos") && complaint.contains("too large"), "{complaint}");
    line.succeeds(&arguments);
    line.succeeds(&format!("--threads 1 --model b --out whole {}", line.video));
    assert!(line.results("found") == line.results("whole"));
}

/// Resident memory of a process in kB.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// An hour of stream time, killed three times: the same events as an uninterrupted run, and no more memory at its end.
#[test]
#[ignore = "takes about ten minutes in a release build"]
fn an_hour() {
    let line = line();
    fit(&line.path("bundle"));
    let minutes = std::env::var("AUDIT_MINUTES").map_or(60.0, |minutes| minutes.parse().unwrap());
    let start = Instant::now();
    let damaged = recording::write(&line.path("hour.mkv"), minutes).unwrap();
    println!("{minutes} minutes with {} damaged parts, drawn in {:?}", damaged.len(), start.elapsed());

    let start = Instant::now();
    let mut audit = line.start("--model bundle --out whole hour.mkv");
    let mut memory = Vec::new();
    while audit.try_wait().unwrap().is_none() {
        memory.extend(resident(audit.id()));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(audit.wait().unwrap().code(), Some(0));
    println!("audited in {:?}", start.elapsed());
    check_events(&line.events("whole"), &damaged);
    // The last tenth is for tables and page.
    let at = |tenths: usize| memory[memory.len() * tenths / 10..][..memory.len() / 10].iter().max().unwrap();
    println!("resident memory by tenths of the time, kB: {:?}", (0..10).map(at).collect::<Vec<_>>());
    assert!(*at(8) < at(2) + at(2) / 20, "it grows: {memory:?}");

    for round in 0..3u64 {
        let mut audit = line.start("--model bundle --out killed hour.mkv");
        std::thread::sleep(Duration::from_secs(20 + 11 * round));
        signal(&audit, libc::SIGKILL);
        audit.wait().unwrap();
        println!("killed, {} frames are kept", kept(&line, "killed"));
    }
    line.succeeds("--model bundle --out killed hour.mkv");
    assert!(line.results("killed") == line.results("whole"));
}
