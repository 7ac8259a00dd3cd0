//! Videos that are cut off, torn or none at all: what could be read counts, and the rest goes on.

use crate::line::{check_events, json_lines, line};

#[test]
fn damaged_videos_are_reported_and_the_rest_goes_on() {
    let line = line();
    let whole = std::fs::read(line.path(&line.video)).unwrap();
    std::fs::create_dir(line.path("in")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(line.path("in").join(name), bytes).unwrap();
    write("a-cut.mkv", &whole[..whole.len() / 2]);
    write("b-empty.mp4", b"");
    write("c-text.avi", b"this is not a video\n");
    let mut torn = whole.clone();
    // Some seconds.
    let (middle, gap) = (torn.len() / 2, torn.len() / 24);
    torn[middle..middle + gap].fill(0x55);
    write("d-torn.mkv", &torn);
    write("e-whole.mkv", &whole);
    let run = line.fails("--model b --out found in missing.mkv");
    run.says(&[
        "in/a-cut.mkv: ends after 0:0",
        "of the 0:02:00.0 that it declares",
        "in/b-empty.mp4: ",
        "in/c-text.avi: ",
        "in/d-torn.mkv: ",
        "missing.mkv: No such file",
        "1 path could not be read, 4 videos are damaged",
    ]);
    assert!(run.stdout.contains("of 5 videos"), "{}", run.stdout);

    let events = line.events("found");
    let of = |name: &str| events.iter().filter(|event| event.video == name).cloned().collect::<Vec<_>>();
    check_events(&of("in/e-whole.mkv"), &line.damaged);
    let cut = of("in/a-cut.mkv");
    assert!(!cut.is_empty() && cut.len() < line.damaged.len());
    check_events(&cut, &line.damaged[..cut.len()]);
    // Behind the torn place it goes on.
    let last = |events: &[crate::line::Event]| events.last().unwrap().start;
    assert!((last(&of("in/d-torn.mkv")) - last(&of("in/e-whole.mkv"))).abs() < 0.5);

    let videos = std::fs::read_to_string(line.path("found/videos.csv")).unwrap();
    let sound = line.videos("found").iter().filter(|video| video["problem"].is_empty()).count();
    assert_eq!(sound, 1, "{videos}");
    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert!(page.contains("<b>4</b> are damaged") && page.contains("that it declares"));

    // It is known the next time, too; one that has ended with an error is tried again.
    let results = line.results("found");
    let again = line.fails("--model b --out found in --json");
    assert_eq!(json_lines(&again.stdout).last().unwrap()["damaged"], 4);
    again.says(&["in/a-cut.mkv: ends after", "4 videos are damaged"]);
    assert!(line.results("found") == results);
    line.succeeds("--model b --out found in --accept-damaged");
    line.fails("--model b --out found").says(&["4 videos are damaged"]);
}

#[test]
fn names_of_videos_are_only_names() {
    let line = line();
    let name = "<script>alert(1)</script>, \"x\"\n.mkv";
    std::fs::copy(line.path(&line.short), line.path(&name.replace('/', "_"))).unwrap();
    std::fs::create_dir(line.path("in")).unwrap();
    std::fs::rename(line.path(&name.replace('/', "_")), line.path("in").join(name.replace('/', "_")))
        .unwrap();
    line.succeeds("--model b --out found in --threshold 0");
    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert!(!page.contains("<script>alert") && page.contains("alert(1)"));
    let events = line.events("found");
    assert_eq!(
        (events.len(), events[0].video.as_str()),
        (1, format!("in/{}", name.replace('/', "_")).as_str())
    );
    assert!(line.path("found").join(&events[0].still).is_file());
}

/// A network that fails says nothing of the parts: no report is written that could be read as if it did.
#[test]
fn a_network_that_fails_is_no_audit() {
    let line = line();
    std::fs::create_dir(line.path("broken")).unwrap();
    for entry in std::fs::read_dir(line.path("b")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), line.path("broken").join(entry.file_name())).unwrap();
    }
    let manifest = line.path("broken/bundle.json");
    let mut changed: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    changed["input"]["std"] = serde_json::json!([1e-36, 1e-36, 1e-36]);
    std::fs::write(&manifest, changed.to_string()).unwrap();
    let run = line.fails(&format!("--model broken --out found {}", line.short));
    run.says(&["not finite"]);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    let files = line.entries("found");
    assert!(!files.iter().any(|name| name.ends_with(".html") || name.ends_with(".csv")), "{files:?}");
}
