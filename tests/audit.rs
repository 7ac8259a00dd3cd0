//! What `adaudit` promises: every event at its time and none on good parts, the same result however often it was killed, damaged videos
//! reported, clear complaints.
//!
//! The recording is made up: rings that pass a camera, some of them damaged at known times. It lasts two minutes; an hour is audited by
//!
//!     cargo test --release --test audit -- --ignored --nocapture an_hour

#![cfg(feature = "audit")]

#[path = "audit/damage.rs"]
mod damage;
#[path = "audit/film.rs"]
mod film;
#[path = "audit/flood.rs"]
mod flood;
#[path = "audit/interruption.rs"]
mod interruption;
#[path = "audit/line.rs"]
mod line;
#[path = "../examples/made_up_recording.rs"]
#[allow(dead_code, reason = "its main is for people")]
mod recording;
#[path = "audit/recordings.rs"]
mod recordings;
#[path = "audit/tables.rs"]
mod tables;

use line::{check_events, json_lines, line};

#[test]
fn every_event_is_found_and_none_on_good_parts() {
    let line = line();
    let run = line.succeeds(&format!("--model b --out found {}", line.video));
    let events = line.events("found");
    check_events(&events, &line.damaged);
    let told = format!("{} events in 0:02:00.0 of 1 video", line.damaged.len());
    assert!(run.stdout.starts_with(&told) && run.stdout.ends_with("\nfound/index.html\n"), "{}", run.stdout);

    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert_eq!(page.matches("data:image/jpeg;base64,").count(), 2 * events.len());
    assert_eq!(page.matches("class=\"event\"").count(), events.len());
    let addresses: Vec<&str> =
        page.split("://").skip(1).filter(|at| !at.starts_with("www.w3.org/2000/svg")).collect();
    assert!(page.contains("default-src 'none'") && addresses.is_empty(), "the page needs no network");
    for event in &events {
        for still in [&event.still, &event.overlay] {
            let image = image::open(line.path("found").join(still)).unwrap();
            assert_eq!((image.width(), image.height()), (400, 400));
        }
    }
    let videos = std::fs::read_to_string(line.path("found/videos.csv")).unwrap();
    assert!(videos.contains(&format!("{},120.000,240,240,{},,", line.video, events.len())), "{videos}");

    // Nothing is left to do, and the result stays as it is.
    let before = line.results("found");
    let again = line.succeeds(&format!("--model b --out found {} --json", line.video));
    assert_eq!(json_lines(&again.stdout).last().unwrap()["inspected"], 0);
    assert!(line.results("found") == before);
    line.succeeds("--model b --out found");
    assert!(line.results("found") == before, "without a video it is made anew of what is there");
}

#[test]
fn frames_are_left_out_and_events_held() {
    let line = line();
    let run = line.succeeds(&format!("--model b --out found --every 2 --hold 2 {} --json", line.video));
    let lines = json_lines(&run.stdout);
    let done = lines.last().unwrap();
    assert_eq!((&done["type"], &done["inspected"]), (&"done".into(), &120.into()));
    let events: Vec<_> = lines.iter().filter(|line| line["type"] == "event").collect();
    assert_eq!(events.len(), line.damaged.len());
    for (event, (start, end)) in events.iter().zip(&line.damaged) {
        assert!((event["start"].as_f64().unwrap() - start).abs() <= 0.5, "{event}");
        assert!((event["end"].as_f64().unwrap() - end).abs() <= 0.5, "{event}");
        assert!(line.path(event["overlay"].as_str().unwrap()).is_file());
    }
    check_events(&line.events("found"), &line.damaged);
    // No part stays for so long.
    let run = line.succeeds(&format!("--model b --out none --hold 9 {} --json", line.video));
    assert_eq!(json_lines(&run.stdout).last().unwrap()["events"], 0);
    assert!(line.entries("none/videos").iter().all(|name| !name.ends_with(".jpg")));
    assert!(std::fs::read_to_string(line.path("none/index.html")).unwrap().contains("No defect was seen"));
}

#[test]
fn thresholds_areas_and_masks_are_those_of_adscore() {
    let line = line();
    let count = |out: &str, options: &str| {
        let run = line.succeeds(&format!("--model b --out {out} {options} {} --json", line.video));
        json_lines(&run.stdout).last().unwrap()["events"].as_u64().unwrap()
    };
    assert_eq!(count("high", "--threshold 1e6"), 0);
    assert_eq!(count("low", "--threshold 0"), 1, "everything is one event");
    assert_eq!(count("large", "--min-area 1000000"), 0, "a region larger than the frame");
    image::GrayImage::new(8, 8).save(line.path("black.png")).unwrap();
    line.fails(&format!("--model b --out masked --ignore-mask black.png {}", line.video))
        .says(&["black.png", "nothing would be inspected"]);
    image::GrayImage::from_fn(16, 16, |x, y| image::Luma([if x + y == 0 { 255 } else { 0 }]))
        .save(line.path("corner.png"))
        .unwrap();
    // There is no part in the corner, though a ring may lie there in a light that no good one had.
    let seen = count("corner", "--ignore-mask corner.png");
    assert!(seen < line.damaged.len() as u64, "{seen}");
}

#[test]
fn several_at_a_time_and_parts_come_to_the_same() {
    let line = line();
    for name in ["many/a.mkv", "many/b/c.mkv", "many/d.mkv"] {
        std::fs::create_dir_all(line.path(name).parent().unwrap()).unwrap();
        std::fs::copy(line.path(&line.video), line.path(name)).unwrap();
    }
    line.succeeds("--model b --out one --threads 1 many");
    line.succeeds("--model b --out two --threads 2 --jobs 2 many");
    assert!(line.results("one") == line.results("two"));
    let events = line.events("one");
    assert_eq!(events.len(), 3 * line.damaged.len());
    // As on three machines: whoever is last puts it together.
    for part in 0..3 {
        line.succeeds(&format!("--model b --out three --threads 1 --part {part}/3 many"));
    }
    assert!(line.results("three") == line.results("one"));
    // A video that has changed is audited anew, the others are not.
    std::fs::copy(line.path("good.mkv"), line.path("many/d.mkv")).unwrap();
    let run = line.succeeds("--model b --out one --threads 1 many --json");
    let done = json_lines(&run.stdout).pop().unwrap();
    assert_eq!(
        (&done["inspected"], &done["events"]),
        (&line.good_frames.into(), &(2 * line.damaged.len()).into())
    );
}

#[test]
fn other_settings_and_strange_folders_are_refused() {
    let line = line();
    line.succeeds(&format!("--model b --out found {}", line.short));
    line.fails(&format!("--model b --out found --every 3 {}", line.short)).says(&[
        "found: holds an audit with other settings",
        "--every was 1 and is now 3",
        "another --out",
    ]);
    let before = line.results("found");
    std::fs::create_dir(line.path("mine")).unwrap();
    std::fs::write(line.path("mine/index.html"), "mine").unwrap();
    line.fails(&format!("--model b --out mine {}", line.short)).says(&["mine", "index.html"]);
    assert_eq!(line.entries("mine"), ["index.html"], "nothing is put into a folder of somebody else's");
    line.fails(&format!("--model b --out {0}/x {0}", line.short)).says(&["short.mkv"]);
    line.fails(&format!("--model missing --out other {}", line.short)).says(&["missing"]);
    line.fails("--model b --out other nothing.mkv").says(&["nothing.mkv", "nothing to audit"]);
    line.fails("--model b --out other").says(&["other: no such folder"]);
    assert!(!line.path("other").exists());
    for wrong in ["--every 0", "--jobs 0", "--part 2/2", "--threshold nan", "--min-area -1", "--hold x"] {
        let complaint = line.refuses(&format!("--model b --out other {wrong} {}", line.short)).stderr;
        assert!(complaint.contains(wrong.split(' ').next().unwrap()), "{complaint}");
    }
    assert!(line.results("found") == before);
}
