//! adpublish to files and standard output: what a message says, and that none is lost.

#[path = "publish/levels.rs"]
mod levels;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/results.rs"]
mod results;

use gst::prelude::*;
use pipeline::{failure_at_start, text, wait_until};
use results::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file in a folder of its own.
fn file(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    (folder, path)
}

fn to(path: &Path) -> String {
    format!("file-path={}", path.display())
}

/// Everything in the folder of a file, oldest name first, the file itself last.
fn set_aside(path: &Path) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|file| (file == path, file.clone()));
    files
}

#[test]
fn a_message_says_what_the_frame_carries_and_the_frame_passes_untouched() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&format!("{} camera=line-1", to(&path)));
    let before = glib::DateTime::now_utc().unwrap();
    let frame = bad(3, 15.0);
    let memory = frame.as_ptr();
    line.push(frame);
    let sample = line.pull();
    assert_eq!(sample.buffer().unwrap().as_ptr(), memory, "the frame was copied");
    line.drain();
    let after = glib::DateTime::now_utc().unwrap();
    let messages = read(&path);
    assert_eq!(messages.len(), 1);
    let mut message = messages[0].clone();
    let time = glib::DateTime::from_iso8601(message["time"].as_str().unwrap(), None).unwrap();
    assert!(before <= time && time <= after);
    assert_eq!(message["event"]["start_time"], message["time"]);
    let source = message["source"].as_str().unwrap().to_owned();
    assert!(!source.is_empty());
    let taken = message.as_object_mut().unwrap();
    taken.remove("time");
    taken.remove("source");
    message["event"].as_object_mut().unwrap().remove("start_time");
    let expected = json!({
        "camera": "line-1", "frame": 0, "running_time": 300_000_000, "stream_time": 300_000_000, "pts": 300_000_000,
        "width": WIDTH, "height": HEIGHT, "state": "enter", "anomalous": true, "level": "reject",
        "fresh": true, "score": 15.0, "normalized": 0.75, "threshold": 10.0, "warn": 6.0, "model": "bottle", "method": "cpr",
        "regions": [{"x": 1, "y": 2, "width": 3, "height": 4, "score": 0.75, "area": 9.5}],
        "event": {"id": 1, "start_stream_time": 300_000_000, "start_frame": 0, "frames": 1,
            "peak_score": 15.0, "peak_normalized": 0.75, "peak_frame": 0},
    });
    assert_eq!(message, expected);
    assert_eq!(counts(&line), (1, 0));
}

#[test]
fn every_frame_has_a_message_and_all_are_on_the_disk_at_the_end_of_the_stream() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    (0..500).for_each(|number| line.push(good(number)));
    line.drain();
    assert_eq!(frames(&read(&path)), (0..500).collect::<Vec<_>>());
    assert_eq!(counts(&line), (500, 0));
    assert!(
        read(&path).iter().all(|m| m["camera"].is_null() && m["event"].is_null() && m["state"] == "update")
    );
}

#[test]
fn stopping_without_an_end_of_the_stream_loses_nothing() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    for number in 0..50 {
        line.push(good(number));
        line.pull();
    }
    assert!(stop(&line) < Duration::from_secs(2));
    assert_eq!(read(&path).len(), 50);
    assert_eq!(counts(&line), (50, 0));
}

#[test]
fn published_grows_while_the_stream_goes_on_and_what_it_counts_is_in_the_file() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    line.push(good(0));
    wait_until("the message is published", || counts(&line).0 == 1);
    assert_eq!(read(&path).len(), 1);
}

#[test]
fn anomalies_can_be_told_by_their_begin_and_end_alone() {
    let (_folder, path) = file("events.jsonl");
    let line = publishing(&format!("{} events=transitions", to(&path)));
    let scores = [4.0, 12.0, 19.0, 14.0, 3.0, 4.0, 16.0, 17.0];
    for (number, score) in (0..).zip(scores) {
        line.push(if score > 10.0 { bad(number, score) } else { good(number) });
    }
    line.drain();
    let messages = read(&path);
    let told: Vec<(&str, u64, u64)> = messages
        .iter()
        .map(|m| {
            (m["state"].as_str().unwrap(), m["frame"].as_u64().unwrap(), m["event"]["id"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told, [("enter", 1, 1), ("leave", 4, 1), ("enter", 6, 2), ("end", 7, 2)]);
    let event = &messages[1]["event"];
    assert_eq!(
        (&event["frames"], &event["peak_score"], &event["peak_frame"], &event["start_frame"]),
        (&json!(3), &json!(19.0), &json!(2), &json!(1))
    );
    assert_eq!(event["start_stream_time"], 100_000_000);
    assert_eq!(messages[3]["event"]["frames"], 2);
}

#[test]
fn an_anomaly_that_is_on_ends_with_the_element() {
    let (_folder, path) = file("events.jsonl");
    let line = publishing(&format!("{} events=transitions", to(&path)));
    line.push(bad(0, 12.0));
    line.pull();
    stop(&line);
    let states: Vec<Value> = read(&path).iter().map(|m| m["state"].clone()).collect();
    assert_eq!(states, ["enter", "end"]);
}

#[test]
fn frames_without_a_result_pass_and_are_complained_about_once() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    for number in 0..3 {
        line.push(plain(number));
        line.pull();
    }
    assert!(line.expect_warning().contains("adpublish needs adscore or addetect before it"));
    line.push(good(3));
    line.drain();
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());
    let messages = read(&path);
    let told = |key: &str| messages.iter().map(|message| message[key].clone()).collect::<Vec<_>>();
    assert_eq!(told("state"), ["interrupted", "resumed", "update"]);
    assert_eq!(told("level"), ["none", "none", "normal"]);
    assert_eq!(told("reason"), [json!("no-result"), json!("no-result"), Value::Null]);
    assert_eq!(told("frame"), [0, 3, 3]);
}

#[test]
fn a_camera_that_falls_silent_is_an_interruption_in_a_file_too() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&format!("{} max-silence=1", to(&path)));
    line.push(good(0));
    line.pull();
    wait_until("the notice is there", || read(&path).len() == 2);
    line.push(good(1));
    line.drain();
    stop(&line);
    let states: Vec<Value> = read(&path).iter().map(|message| message["state"].clone()).collect();
    assert_eq!(states, ["update", "interrupted", "resumed", "update"]);
}

#[test]
fn values_that_are_no_numbers_are_null() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    line.push(judged(0, &gstanomaly::meta::AnomalyMeta { warn: Some(f64::NAN), ..result(false, 4.0) }));
    line.drain();
    assert!(read(&path)[0]["warn"].is_null());
}

#[test]
fn a_result_without_a_finite_score_is_none() {
    for score in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let (_folder, path) = file("results.jsonl");
        let line = publishing(&to(&path));
        line.push(judged(0, &result(false, score)));
        line.drain();
        let messages = read(&path);
        assert_eq!(
            (&messages[0]["state"], &messages[0]["reason"]),
            (&json!("interrupted"), &json!("no-result"))
        );
        assert_eq!(messages.len(), 1);
        assert!(line.expect_warning().contains("no result on the frame"));
    }
}

#[test]
fn a_json_file_is_an_array_once_it_is_closed() {
    for count in [0, 1, 3] {
        let (_folder, path) = file("results.json");
        let line = publishing(&format!("{} file-format=json", to(&path)));
        (0..count).for_each(|number| line.push(good(number)));
        line.drain();
        stop(&line);
        let array: Vec<Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        array.iter().for_each(check);
        assert_eq!(frames(&array), (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn json_lines_go_on_in_the_file_that_is_there_without_a_line_torn_by_a_crash() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    line.push(good(0));
    line.drain();
    stop(&line);
    let whole = std::fs::read_to_string(&path).unwrap();
    let torn = format!("{whole}{}", &whole[..whole.len() / 2]);
    std::fs::write(&path, torn).unwrap();
    let line = publishing(&to(&path));
    line.push(good(0));
    line.push(good(1));
    line.drain();
    assert!(std::fs::read_to_string(&path).unwrap().starts_with(&whole));
    assert_eq!(frames(&read(&path)), [0, 0, 1]);
}

#[test]
fn a_json_file_that_is_there_is_set_aside() {
    let (_folder, path) = file("results.json");
    std::fs::write(&path, "[\n{\"torn\"").unwrap();
    let line = publishing(&format!("{} file-format=json", to(&path)));
    line.push(good(0));
    line.drain();
    stop(&line);
    let files = set_aside(&path);
    assert_eq!(files.len(), 2);
    assert_eq!(std::fs::read_to_string(&files[0]).unwrap(), "[\n{\"torn\"");
    assert_eq!(
        serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap().as_array().unwrap().len(),
        1
    );
}

#[test]
fn a_file_that_is_large_enough_is_set_aside_and_none_is_larger() {
    for format in ["json-lines", "json"] {
        let (_folder, path) = file("results.log");
        let line = publishing(&format!("{} max-file-size=2000 file-format={format}", to(&path)));
        (0..60).for_each(|number| line.push(good(number)));
        line.drain();
        stop(&line);
        assert_eq!(counts(&line), (60, 0));
        let files = set_aside(&path);
        assert!(files.len() > 10, "{files:?}");
        let mut found = Vec::new();
        for file in &files {
            let bytes = std::fs::read(file).unwrap();
            assert!(bytes.len() <= 2000, "{} has {} bytes", file.display(), bytes.len());
            match format {
                "json" => found.extend(serde_json::from_slice::<Vec<Value>>(&bytes).unwrap()),
                _ => found.extend(read(file)),
            }
        }
        assert_eq!(frames(&found), (0..60).collect::<Vec<_>>(), "the names sort as the frames came");
    }
}

#[test]
fn a_file_that_is_old_enough_is_set_aside_even_if_nothing_comes() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&format!("{} max-file-time=1", to(&path)));
    line.push(good(0));
    wait_until("the file is set aside", || set_aside(&path).len() == 2);
    line.push(good(1));
    line.drain();
    let files = set_aside(&path);
    assert_eq!((frames(&read(&files[0])), frames(&read(&path))), (vec![0], vec![1]));
}

#[test]
fn a_file_that_somebody_moves_or_removes_is_begun_anew() {
    let (folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    line.push(good(0));
    wait_until("the first message", || counts(&line).0 == 1);
    let moved = folder.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    line.push(good(1));
    wait_until("the second message", || counts(&line).0 == 2);
    assert_eq!((frames(&read(&moved)), frames(&read(&path))), (vec![0], vec![1]));
    std::fs::remove_file(&path).unwrap();
    line.push(good(2));
    line.drain();
    assert_eq!(frames(&read(&path)), [2]);
}

#[test]
fn a_file_that_somebody_copies_and_empties_goes_on_at_its_beginning() {
    for format in ["json-lines", "json"] {
        let (_folder, path) = file("results.json");
        let line = publishing(&format!("{} file-format={format}", to(&path)));
        (0..3).for_each(|number| line.push(good(number)));
        wait_until("three messages", || counts(&line).0 == 3);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        line.push(good(3));
        line.drain();
        line.pipeline.set_state(gst::State::Null).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let found = match format {
            "json" => serde_json::from_slice::<Vec<Value>>(&bytes).unwrap(),
            _ => read(&path),
        };
        assert_eq!(frames(&found), [3], "{format}");
    }
}

#[test]
fn two_elements_cant_write_one_file() {
    let (_folder, path) = file("results.jsonl");
    let _first = publishing(&to(&path));
    let error = failure_at_start(&format!("adpublish {}", to(&path)), &info());
    assert!(error.contains("another adpublish writes to this file"), "{error}");
}

#[test]
fn files_that_cant_be_written_are_errors_at_start() {
    let (folder, path) = file("results.jsonl");
    let missing = folder.path().join("missing/results.jsonl");
    std::fs::write(&path, "").unwrap();
    let below = path.join("results.jsonl");
    let picture = folder.path().join("picture.jpg");
    std::fs::write(&picture, vec![7; 200_000]).unwrap();
    for (settings, expected) in [
        (to(&picture), "picture.jpg: its last line is no JSON object".to_owned()),
        (to(&missing), format!("{}: No such file or directory", missing.display())),
        (to(folder.path()), format!("{}: Is a directory", folder.path().display())),
        (to(&below), format!("{}: Not a directory", below.display())),
        (to(Path::new("/dev/null")), "/dev/null: not a regular file; name one, or 'stdout'".into()),
        ("file-path=\"\"".into(), "file-path is empty; give a file, or 'stdout'".into()),
        ("max-file-size=5".into(), "max-file-size and max-file-time need a file".into()),
        ("max-file-time=5".into(), "max-file-size and max-file-time need a file".into()),
    ] {
        let error = failure_at_start(&format!("adpublish {settings}"), &info());
        assert!(error.contains(&expected), "{error}");
    }
    assert_eq!(std::fs::metadata(&picture).unwrap().len(), 200_000);
}

/// A pipeline in a process of its own that publishes frames on standard output or where `settings` say.
fn child(settings: &str, frames: u64) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "publishes_in_a_process_of_its_own", "--nocapture", "--quiet"]);
    command.env("PUBLISH_SETTINGS", settings).env("PUBLISH_FRAMES", frames.to_string());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

/// Not a test of its own: what [`child`] runs.
#[test]
fn publishes_in_a_process_of_its_own() {
    let Ok(settings) = std::env::var("PUBLISH_SETTINGS") else { return };
    let count: u64 = std::env::var("PUBLISH_FRAMES").unwrap().parse().unwrap();
    let line = publishing(&settings);
    for number in 0..count {
        line.push(good(number));
        line.pull();
        if number + 1 == count / 2 {
            let published = || line.element("publish").property::<u64>("published");
            let start = std::time::Instant::now();
            while published() < count / 2 && start.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(5));
            }
            eprintln!("published {}", published());
        }
    }
    line.src.end_of_stream().unwrap();
    // On a full disk the end waits longer than we do.
    while line.sink.try_pull_sample(gst::ClockTime::from_seconds(1)).is_some() {}
    line.messages(&[gst::MessageType::Error]).iter().for_each(|error| eprintln!("{}", text(error)));
    stop(&line);
    let (published, dropped) = counts(&line);
    eprintln!("published {published} dropped {dropped}");
}

#[test]
fn without_a_file_messages_go_to_standard_output() {
    for format in ["json-lines", "json"] {
        let output = child(&format!("file-format={format}"), 4).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // The test harness has a word of its own before and after.
        let found: Vec<Value> = match format {
            "json" => {
                let array = &text[text.find("[\n{").unwrap()..text.find("\n]\n").unwrap() + 3];
                serde_json::from_str(array).unwrap()
            }
            _ => text.lines().filter(|line| line.starts_with('{')).flat_map(messages).collect(),
        };
        assert_eq!(frames(&found), [0, 1, 2, 3], "{text}");
    }
}

#[test]
fn what_was_counted_survives_a_kill() {
    let (_folder, path) = file("results.jsonl");
    let mut running = child(&to(&path), 1_000_000).spawn().unwrap();
    wait_until("some messages are written", || {
        std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 200_000)
    });
    running.kill().unwrap();
    running.wait().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let whole = &text[..=text.rfind('\n').unwrap()];
    let numbers = frames(&messages(whole));
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_an_error_on_the_bus_and_what_was_counted_is_whole() {
    use std::os::unix::process::CommandExt;
    let (_folder, path) = file("results.jsonl");
    let mut command = child(&format!("{} queue-size=10", to(&path)), 400);
    // A limit on the size of files stands for the end of the disk.
    // SAFETY: signal and setrlimit may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            let limit = libc::rlimit { rlim_cur: 50_000, rlim_max: 50_000 };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let output = command.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("results.jsonl: File too large"), "{log}");
    let counts = log.lines().find_map(|line| {
        let (published, dropped) = line.strip_prefix("published ")?.split_once(" dropped ")?;
        Some((published.parse::<u64>().unwrap(), dropped.parse::<u64>().unwrap()))
    });
    let (published, dropped) = counts.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(published + dropped, 400);
    assert!(dropped > 0);
    let numbers = frames(&read(&path));
    assert_eq!(numbers.len() as u64, published);
    assert!(numbers.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_queue_that_is_too_short_drops_the_oldest_and_counts_them() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&format!("{} queue-size=1", to(&path)));
    (0..2000).for_each(|number| line.push(good(number)));
    line.drain();
    stop(&line);
    let (published, dropped) = counts(&line);
    assert_eq!(published + dropped, 2000);
    let numbers = frames(&read(&path));
    assert_eq!(numbers.len() as u64, published);
    assert!(numbers.is_sorted() && numbers.last() == Some(&1999));
}

#[test]
fn the_counts_begin_anew_with_every_start() {
    let (_folder, path) = file("results.jsonl");
    let line = publishing(&to(&path));
    line.push(good(0));
    line.drain();
    stop(&line);
    assert_eq!(counts(&line), (1, 0));
    line.pipeline.set_state(gst::State::Playing).unwrap();
    assert_eq!(counts(&line), (0, 0));
}

#[test]
fn every_property_has_the_documented_default() {
    pipeline::init();
    let publish = gst::ElementFactory::make("adpublish").build().unwrap();
    let nick = |name: &str| {
        let value = publish.property_value(name);
        glib::EnumValue::from_value(&value).unwrap().1.nick().to_owned()
    };
    assert_eq!((nick("method").as_str(), nick("file-format").as_str()), ("file", "json-lines"));
    assert_eq!(nick("events"), "frames");
    assert_eq!(publish.property::<String>("file-path"), "stdout");
    assert_eq!(publish.property::<u32>("queue-size"), 1000);
    assert_eq!((publish.property::<u32>("heartbeat"), publish.property::<u32>("max-silence")), (10, 10));
    assert_eq!((publish.property::<u64>("max-file-size"), publish.property::<u32>("max-file-time")), (0, 0));
    for name in ["address", "topic", "mqtt-config", "kafka-config", "camera", "state-topic"] {
        assert_eq!(publish.property::<Option<String>>(name), None, "{name}");
    }
}

#[cfg(not(feature = "mqtt"))]
#[test]
fn a_method_that_was_left_out_of_the_build_says_so() {
    let error = failure_at_start("adpublish method=mqtt address=localhost topic=a", &info());
    assert!(error.contains("build it with the cargo feature 'mqtt'"), "{error}");
}
