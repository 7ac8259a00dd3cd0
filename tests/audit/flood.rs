//! Thousands of events, as a threshold that is too low makes them.

use crate::line::line;
use crate::recording;
use assert_cmd::Command;
use image::{Rgb, RgbImage};

/// Events of the recording: more than the page shows, and more than have stills.
const EVENTS: usize = 2100;

#[test]
fn thousands_of_events_are_all_in_the_tables_and_the_worst_are_shown() {
    let line = line();
    let grey = |level: u8| RgbImage::from_pixel(64, 64, Rgb([level; 3]));
    std::fs::create_dir(line.path("good")).unwrap();
    for level in 100..106 {
        grey(level).save(line.path("good").join(format!("{level}.ppm"))).unwrap();
    }
    let mut fit = Command::cargo_bin("adtrain").unwrap();
    let arguments = "fit --method patchcore --size 64x64 --set coreset=1 --data good --out grey";
    fit.args(arguments.split_whitespace()).current_dir(line.path("")).assert().success();
    let (good, bad) = (grey(102), RgbImage::from_fn(64, 64, |x, _| Rgb([255 * (x / 8 % 2) as u8; 3])));
    let parts = (0..EVENTS).flat_map(|_| [&good, &bad]);
    recording::record(&line.path("flicker.mkv"), parts).unwrap();

    let every = recording::FRAMES_PER_PART;
    let arguments = format!("--model grey --out found --every {every} flicker.mkv");
    line.succeeds(&arguments).says(&["2100 events, of which the first 1000 have stills", "threshold"]);
    let events = line.events("found");
    assert_eq!(events.len(), EVENTS);
    let stills = line.entries("found").into_iter().filter(|name| name.ends_with(".jpg")).count();
    assert_eq!(stills, 2 * 1000);
    assert!(line.path("found").join(&events[999].overlay).is_file());
    assert_eq!((events[1000].still.as_str(), events[1000].overlay.as_str()), ("", ""));
    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert_eq!(page.matches("<figure").count(), 2000);
    assert_eq!(page.matches("class=\"event\"").count(), 2000);
    assert!(page.contains("the worst 2000 of 2100"), "the page says that there are more");
    let state =
        std::fs::read(line.path("found").join(&events[0].still).with_file_name("state.json")).unwrap();
    assert!(state.len() < 2000, "what is written at every checkpoint stays small: {}", state.len());
}

#[test]
fn stills_that_somebody_has_removed_are_left_out() {
    let line = line();
    line.succeeds(&format!("--model b --out found {}", line.video));
    let event = line.events("found").remove(0);
    std::fs::remove_file(line.path("found").join(&event.still)).unwrap();
    line.succeeds("--model b --out found");
    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert_eq!(page.matches("no picture here").count(), 2);
    assert_eq!(page.matches("data:image/jpeg").count(), 2 * (line.damaged.len() - 1));
}
