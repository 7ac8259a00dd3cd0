//! `adtrain predict`: images, folders, videos.

use crate::workshop::{Workshop, read_json};
use gst::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn images_have_the_scores_of_eval() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    shop.succeeds("eval --model b --data cloth --json eval.json");
    let evaluated = read_json(&shop.path("eval.json"));
    let predicted = lines(&shop.succeeds("predict --model b --json --out maps cloth/test").stdout);
    assert_eq!(predicted.len(), 8);
    for (one, other) in predicted.iter().zip(evaluated["per_image"].as_array().unwrap()) {
        assert_eq!(one["path"], format!("cloth/{}", other["path"].as_str().unwrap()));
        assert_eq!((&one["score"], &one["normalized"]), (&other["score"], &other["normalized"]));
        let anomalous = one["anomalous"].as_bool().unwrap();
        assert_eq!(anomalous, one["score"].as_f64() >= one["threshold"].as_f64());
        assert!(anomalous || other["label"] == "good", "{one}");
        assert_eq!(anomalous, !one["regions"].as_array().unwrap().is_empty());
        let level = match (anomalous, one["score"].as_f64() >= one["warn"].as_f64()) {
            (true, _) => "reject",
            (false, true) => "warn",
            (false, false) => "normal",
        };
        assert_eq!((&one["level"], &other["level"]), (&level.into(), &level.into()));
        let overlay = image::open(shop.path(one["overlay"].as_str().unwrap())).unwrap();
        assert_eq!((overlay.width(), overlay.height()), (64, 64));
    }
    assert_eq!(shop.entries("maps").len(), 8);

    let text = shop.succeeds("predict --model b cloth/test/good/000.png cloth/test/spot/000.png").stdout;
    let fields: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!([fields[0][0], fields[1][0]], ["cloth/test/good/000.png", "cloth/test/spot/000.png"]);
    for line in fields {
        let normalized: f64 = line[2].parse().unwrap();
        assert_eq!(line[3], if normalized >= 0.5 { "anomalous" } else { "normal" });
        assert_eq!(line[4] == "reject", line[3] == "anomalous");
        assert!(["normal", "warn", "reject"].contains(&line[4]) && line.len() == 5, "{line:?}");
    }
}

#[test]
fn files_of_the_same_name_have_heatmaps_of_their_own() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    let image = std::fs::read(shop.path("cloth/test/good/000.png")).unwrap();
    // In the folder of the results, too: the image itself must stay.
    shop.write("maps/000.png", &image);
    shop.succeeds(
        "predict --model b --out maps cloth/test/good/000.png cloth/test/spot/000.png maps/000.png",
    );
    assert_eq!(
        shop.entries("maps"),
        ["000-2_anomaly.png", "000-3_anomaly.png", "000.png", "000_anomaly.png"]
    );
    assert_eq!(std::fs::read(shop.path("maps/000.png")).unwrap(), image);
}

#[test]
fn what_cannot_be_judged_is_passed_over() {
    let shop = Workshop::new();
    shop.category("cloth");
    shop.fit("cloth", "b");
    shop.write("broken.png", b"no image");
    shop.write("empty/readme.txt", b"");
    let result = shop.fails("predict --model b broken.png empty missing.png cloth/test/good/000.png");
    result.says(&["broken.png: not a readable image", "empty: holds no images", "missing.png", "3 paths"]);
    assert_eq!(result.stdout.lines().count(), 1);
}

/// Runs a pipeline to its end.
fn play(pipeline: &str) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(pipeline).unwrap();
    let bus = pipeline.bus().unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    let end = end.expect("the pipeline ends");
    assert_eq!(end.type_(), gst::MessageType::Eos, "{end:?}");
}

fn make_video(file: &Path) {
    play(&format!(
        "videotestsrc num-buffers=12 pattern=ball ! video/x-raw,format=I420,width=96,height=64,framerate=10/1 \
         ! jpegenc ! avimux ! filesink location={}",
        file.display()
    ));
}

#[test]
fn videos_are_judged_frame_by_frame() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    make_video(&shop.path("ball.avi"));
    let frames = lines(&shop.succeeds("predict --model b --json --out found --max-stills 3 ball.avi").stdout);
    assert_eq!(frames.len(), 12);
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!((&frame["path"], &frame["frame"]), (&"ball.avi".into(), &i.into()));
        assert!((frame["time"].as_f64().unwrap() - 0.1 * i as f64).abs() < 1e-3, "{frame}");
        assert_eq!(frame["anomalous"], true, "a black ball is not cloth");
    }
    let files = shop.entries("found");
    assert_eq!(
        files,
        [
            "ball_anomaly.jsonl",
            "ball_anomaly_000000.png",
            "ball_anomaly_000001.png",
            "ball_anomaly_000002.png"
        ]
    );
    let log = std::fs::read_to_string(shop.path("found/ball_anomaly.jsonl")).unwrap();
    assert_eq!(lines(&log), frames);
    let text = shop.succeeds("predict --model b ball.avi").stdout;
    assert!(text.lines().nth(3).unwrap().starts_with("ball.avi#t=0.300\t"), "{text}");
}

#[test]
fn a_broken_video_is_an_error_and_not_a_wait() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    shop.write("empty.mp4", b"");
    shop.write("text.mp4", b"this is not a video\n");
    shop.write(
        "noise.mkv",
        &(0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>(),
    );
    play(&format!(
        "audiotestsrc num-buffers=20 ! wavenc ! filesink location={}",
        shop.path("tone.wav").display()
    ));
    make_video(&shop.path("ball.avi"));
    let whole = std::fs::read(shop.path("ball.avi")).unwrap();
    shop.write("header.avi", &whole[..200]);
    let start = Instant::now();
    for file in ["empty.mp4", "text.mp4", "noise.mkv", "tone.wav", "header.avi"] {
        shop.fails(&format!("predict --model b {file}")).says(&[file, "1 of the paths"]);
    }
    assert!(start.elapsed() < Duration::from_secs(100), "{:?}", start.elapsed());
    // The others are judged all the same.
    let result = shop.fails("predict --model b text.mp4 ball.avi good/000.png");
    assert_eq!(result.stdout.lines().count(), 13);
}

#[test]
fn a_damaged_video_is_judged_as_far_as_it_goes_and_told() {
    let shop = Workshop::new();
    shop.good("good", 12, 1);
    shop.fit("good", "b");
    let film = |name: &str, muxer: &str| {
        play(&format!(
            "videotestsrc num-buffers=40 pattern=snow ! video/x-raw,format=I420,width=96,height=64,framerate=10/1 \
             ! jpegenc ! {muxer} ! filesink location={}",
            shop.path(name).display()
        ));
    };
    film("whole.mkv", "matroskamux");
    film("whole.mov", "qtmux faststart=true");
    for (whole, cut) in [("whole.mkv", "cut.mkv"), ("whole.mov", "cut.mov")] {
        let bytes = std::fs::read(shop.path(whole)).unwrap();
        shop.write(cut, &bytes[..bytes.len() / 2]);
    }
    shop.succeeds("predict --model b whole.mkv whole.mov");
    let result = shop.fails("predict --model b --json --out kept cut.mkv cut.mov whole.mkv");
    result.says(&[
        "adtrain: cut.mkv: ends after 0:00:0",
        " of the 0:00:04.0 that it declares",
        "cut.mov: ",
        "2 videos are damaged",
    ]);
    let judged = lines(&result.stdout);
    let of = |name: &str| judged.iter().filter(|line| line["path"] == name).count();
    assert_eq!(of("whole.mkv"), 40);
    assert!(
        (10..30).contains(&of("cut.mkv")) && (10..30).contains(&of("cut.mov")),
        "{} {}",
        of("cut.mkv"),
        of("cut.mov")
    );
    let log = std::fs::read_to_string(shop.path("kept/cut_anomaly.jsonl")).unwrap();
    assert_eq!(lines(&log).len(), of("cut.mkv"), "what was judged is kept");

    // adaudit says the same of it, in the same words.
    let mut audit = assert_cmd::Command::cargo_bin("adaudit").unwrap();
    let audit =
        audit.args(["--model", "b", "--out", "audit", "cut.mkv"]).current_dir(shop.path("")).assert().code(1);
    let told = |text: &str| {
        text.lines().find_map(|line| line.split_once(": cut.mkv: ")).map(|(_, problem)| problem.to_owned())
    };
    let told_by_audit = told(&String::from_utf8_lossy(&audit.get_output().stderr));
    assert!(told_by_audit.is_some() && told_by_audit == told(&result.stderr), "{told_by_audit:?}");

    // Two tracks are named, and the second can be had.
    play(&format!(
        "matroskamux name=mux ! filesink location={} \
         videotestsrc num-buffers=5 ! video/x-raw,width=96,height=64,framerate=10/1 ! jpegenc ! mux. \
         videotestsrc num-buffers=7 ! video/x-raw,width=96,height=64,framerate=10/1 ! jpegenc ! mux.",
        shop.path("two.mkv").display()
    ));
    let first = shop.succeeds("predict --model b two.mkv");
    first.says(&["two.mkv: video track 1 of 2 was inspected; --track N takes another"]);
    assert_eq!(first.stdout.lines().count(), 5);
    assert_eq!(shop.succeeds("predict --model b --track 2 two.mkv").stdout.lines().count(), 7);
    shop.fails("predict --model b --track 3 two.mkv").says(&["two.mkv: has 2 video tracks"]);
}
