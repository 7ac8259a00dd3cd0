//! Recordings as they come: what a player shows is what is inspected, at its times, and what is odd is said.

use crate::film::{H264, JPEG, STEP, Track, Values, film, play, rings, shift_clock, turn, unmark};
use crate::line::{Line, json_lines, line};
use image::RgbImage;
use image::imageops::rotate270;

/// Frames of a recording, and those that are damaged.
const FRAMES: u64 = 60;
const DAMAGED: std::ops::Range<u64> = 40..44;
/// What H.264 makes of a good ring is not as good as what the bundle has learned from.
const COARSE: &str = "--threshold 335";

fn one(frames: Vec<(u64, RgbImage)>, encoder: &'static str) -> [Track; 1] {
    [Track { frames, encoder }]
}

fn seconds(frames: u64) -> f64 {
    (frames * STEP) as f64 / 1e3
}

/// Expects one event, in the damaged frames and at their time.
fn expect_event(line: &Line, out: &str, shift: f64) {
    let events = line.events(out);
    let times: Vec<_> = events.iter().map(|event| (event.start, event.end)).collect();
    assert_eq!(events.len(), 1, "{times:?}");
    let wanted = [DAMAGED.start, DAMAGED.end].map(|frame| seconds(frame) + shift);
    assert!((times[0].0 - wanted[0]).abs() < 0.02 && (times[0].1 - wanted[1]).abs() < 0.02, "{times:?}");
}

fn close(text: &str, seconds: f64) -> bool {
    (text.parse::<f64>().unwrap() - seconds).abs() < 0.02
}

#[test]
fn a_transport_stream_counts_from_its_first_frame() {
    let line = line();
    film(&line.path("lead.ts"), "mpegtsmux", &one(rings(FRAMES, DAMAGED), H264));
    // Recorders let the clock run ahead of what it is for by up to seconds.
    let mut stream = std::fs::read(line.path("lead.ts")).unwrap();
    shift_clock(&mut stream, 0.0, -2.0, Values::Reference);
    std::fs::write(line.path("lead.ts"), stream).unwrap();
    line.succeeds(&format!("--model b --out found lead.ts {COARSE}"));
    expect_event(&line, "found", 0.0);
    let video = &line.videos("found")[0];
    assert!(close(&video["seconds"], seconds(FRAMES)) && video["frames"] == "60", "{video:?}");
    assert_eq!((video["problem"].as_str(), video["note"].as_str()), ("", ""));
}

#[test]
fn jumps_of_the_clock_are_named_and_the_time_goes_on() {
    let line = line();
    film(&line.path("even.ts"), "mpegtsmux", &one(rings(FRAMES, DAMAGED), H264));
    let even = std::fs::read(line.path("even.ts")).unwrap();
    for (name, by, told) in [
        ("ahead.ts", 4900.0, "its clock jumps ahead by 1:21:40.0 at 0:00:0"),
        ("back.ts", -3.0, "its clock jumps back by 0:00:03.0 at 0:00:0"),
        ("far.ts", -30_000.0, "its clock jumps back by 8:20:00.0 at 0:00:0"),
    ] {
        let mut stream = even.clone();
        shift_clock(&mut stream, 0.5, by, Values::All);
        std::fs::write(line.path(name), stream).unwrap();
        let run = line.succeeds(&format!("--model b --out {name}.out {name} {COARSE}"));
        run.says(&[told, "times go on from there"]);
        expect_event(&line, &format!("{name}.out"), 0.0);
        let video = &line.videos(&format!("{name}.out"))[0];
        assert!(close(&video["seconds"], seconds(FRAMES)), "{video:?}");
        assert_eq!((video["problem"].as_str(), video["clock_jumps"].as_str()), ("", "1"));
    }
    // Several recordings in one file; what was cut off at its end has no length to be measured by.
    let many = [&even[..], &even, &even].concat();
    std::fs::write(line.path("many.ts"), many).unwrap();
    let run = line.succeeds(&format!("--model b --out many many.ts --json {COARSE}"));
    let told = json_lines(&run.stdout);
    let video = told.iter().find(|line| line["type"] == "video").unwrap();
    assert_eq!((&video["frames"], &video["clock_jumps"]), (&(3 * FRAMES).into(), &2.into()), "{video}");
    assert!((video["seconds"].as_f64().unwrap() - 3.0 * seconds(FRAMES)).abs() < 0.02, "{video}");
    assert_eq!(line.events("many").len(), 3);
}

/// Frames at uneven times, with pauses: as a phone in the dark, or a recorder of a screen.
fn uneven() -> Vec<(u64, RgbImage)> {
    let mut time = 0;
    let mut frames = rings(200, 0..0);
    for (i, (at, _)) in frames.iter_mut().enumerate() {
        time += [33, 40, 66, 33, 120, 33, 250, 33][i % 8] + if i % 25 == 24 { 1500 } else { 0 };
        *at = time;
    }
    frames
}

#[test]
fn a_variable_frame_rate_is_no_damage_and_damage_in_it_is() {
    let line = line();
    film(&line.path("uneven.mkv"), "matroskamux", &one(uneven(), JPEG));
    let run = line.succeeds("--model b --out found uneven.mkv --every 20");
    run.says(&["uneven.mkv: no frames in 8 places, 0:00:1"]);
    let video = &line.videos("found")[0];
    assert_eq!((video["problem"].as_str(), video["gaps"].as_str()), ("", "8"), "{video:?}");
    assert!((video["gap_seconds"].parse::<f64>().unwrap() - 12.0).abs() < 1.0, "{video:?}");
    let page = std::fs::read_to_string(line.path("found/index.html")).unwrap();
    assert!(page.contains("no frames in 8 places") && !page.contains("are damaged"));

    // Long intervals all along are the rhythm of the recording.
    let slow = rings(30, 0..0).into_iter().map(|(time, image)| (time * 10, image)).collect();
    film(&line.path("slow.mkv"), "matroskamux", &one(slow, JPEG));
    line.succeeds("--model b --out slow slow.mkv --every 10");
    assert_eq!(line.videos("slow")[0]["note"], "");

    let mut torn = std::fs::read(line.path("uneven.mkv")).unwrap();
    let (at, length) = (torn.len() / 2, torn.len() / 20);
    torn[at..at + length].fill(0x55);
    std::fs::write(line.path("torn.mkv"), torn).unwrap();
    line.fails("--model b --out torn torn.mkv --every 20").says(&[
        "torn.mkv: ",
        "not inspected",
        "1 video is damaged",
    ]);
    assert!(line.videos("torn")[0]["note"].starts_with("no frames in "));
}

#[test]
fn of_two_tracks_the_marked_or_the_wanted_one_is_inspected_and_named() {
    let line = line();
    let track = |damaged| Track { frames: rings(FRAMES, damaged), encoder: JPEG };
    film(&line.path("two.mkv"), "matroskamux", &[track(0..0), track(DAMAGED)]);
    let run = line.succeeds("--model b --out first two.mkv");
    run.says(&["two.mkv: video track 1 of 2 was inspected; --track N takes another"]);
    assert!(line.events("first").is_empty());
    line.fails("--model b --out first --track 2 two.mkv").says(&["--track was of each file and is now 2"]);

    let run = line.succeeds("--model b --out second --track 2 two.mkv --json");
    let told = json_lines(&run.stdout);
    let video = told.iter().find(|line| line["type"] == "video").unwrap();
    assert_eq!((&video["track"], &video["tracks"]), (&2.into(), &2.into()));
    expect_event(&line, "second", 0.0);
    let video = &line.videos("second")[0];
    assert_eq!((video["track"].as_str(), video["tracks"].as_str()), ("2", "2"));
    let page = std::fs::read_to_string(line.path("second/index.html")).unwrap();
    assert!(page.contains("track 2 of 2"));

    let mut marked = std::fs::read(line.path("two.mkv")).unwrap();
    unmark(&mut marked, 0);
    std::fs::write(line.path("marked.mkv"), marked).unwrap();
    line.succeeds("--model b --out marked marked.mkv").says(&["video track 2 of 2"]);
    expect_event(&line, "marked", 0.0);

    line.fails("--model b --out third --track 3 two.mkv").says(&["has 2 video tracks", "1 video is damaged"]);
    line.fails("--model b --out single --track 2 good.mkv").says(&["has one video track; leave --track out"]);
    line.refuses("--model b --out third --track 0 two.mkv");
}

#[test]
fn frames_are_turned_as_the_container_says() {
    let line = line();
    // A camera on its side: what it records is turned, and the file says how to turn it back.
    let side = rings(20, 0..20).into_iter().map(|(time, image)| {
        let wide = RgbImage::from_fn(500, 400, |x, y| *image.get_pixel(x.min(399), y));
        (time, rotate270(&wide))
    });
    film(&line.path("side.mp4"), "mp4mux", &one(side.collect(), H264));
    let mut file = std::fs::read(line.path("side.mp4")).unwrap();
    turn(&mut file, [[0, 1], [-1, 0]]);
    std::fs::write(line.path("side.mp4"), file).unwrap();
    line.succeeds("--model b --out side side.mp4 --threshold 0");
    let still = image::open(line.path("side").join(&line.events("side")[0].still)).unwrap().into_rgb8();
    assert_eq!(still.dimensions(), (500, 400), "it lies as the part did");
    // The mark is where it was, and red.
    let mark = |image: &RgbImage| {
        let red =
            image.enumerate_pixels().filter(|(.., pixel)| pixel[0] > 180 && pixel[1] < 90 && pixel[2] < 90);
        red.map(|(x, y, _)| (x, y))
            .fold((u32::MAX, u32::MAX), |least, at| (least.0.min(at.0), least.1.min(at.1)))
    };
    let (x, y) = mark(&still);
    assert!(x.abs_diff(150) < 8 && y.abs_diff(150) < 8, "{x} {y}");
}

#[test]
fn recordings_behind_each_other_in_one_file_are_all_inspected_or_that_is_said() {
    let line = line();
    film(&line.path("a.mkv"), "matroskamux", &one(rings(FRAMES, 0..0), JPEG));
    film(&line.path("b.mkv"), "matroskamux", &one(rings(FRAMES, DAMAGED), JPEG));
    let join = |name: &str, files: [&str; 2]| {
        let bytes = files.map(|file| std::fs::read(line.path(file)).unwrap()).concat();
        std::fs::write(line.path(name), bytes).unwrap();
    };
    join("both.mkv", ["a.mkv", "b.mkv"]);
    line.succeeds("--model b --out both both.mkv").says(&["its clock jumps back by 0:00:12.0 at 0:00:12.0"]);
    expect_event(&line, "both", seconds(FRAMES));
    let video = &line.videos("both")[0];
    assert_eq!((video["frames"].as_str(), video["problem"].as_str()), ("120", ""), "{video:?}");
    assert!(close(&video["seconds"], 2.0 * seconds(FRAMES)), "{video:?}");

    // The second is of another kind: it cannot be decoded as the first.
    film(&line.path("c.mkv"), "matroskamux", &one(rings(FRAMES, DAMAGED), H264));
    join("kinds.mkv", ["a.mkv", "c.mkv"]);
    line.fails("--model b --out kinds kinds.mkv").says(&["not inspected", "1 video is damaged"]);
    // A player of MP4 ends where the first one does.
    film(&line.path("a.mp4"), "mp4mux", &one(rings(FRAMES, 0..0), H264));
    join("both.mp4", ["a.mp4", "a.mp4"]);
    line.fails("--model b --out mp4 both.mp4").says(&[
        "both.mp4: the last 5",
        " % of the file (",
        "not inspected",
    ]);
    // Recorders fill their files up.
    let mut padded = std::fs::read(line.path("a.mp4")).unwrap();
    padded.resize(2 * padded.len(), 0);
    std::fs::write(line.path("padded.mp4"), padded).unwrap();
    line.succeeds("--model b --out padded padded.mp4");
}

#[test]
fn frames_that_cannot_be_decoded_are_counted() {
    let line = line();
    film(&line.path("torn.mp4"), "mp4mux", &one(rings(FRAMES, DAMAGED), H264));
    let mut torn = std::fs::read(line.path("torn.mp4")).unwrap();
    let (at, length) = (torn.len() / 4, torn.len() / 3);
    torn[at..at + length].fill(0x55);
    std::fs::write(line.path("torn.mp4"), torn).unwrap();
    line.fails("--model b --out found torn.mp4")
        .says(&[" of 60 frames could not be decoded", "1 video is damaged"]);
}

#[test]
fn sound_alone_is_no_damaged_video() {
    let line = line();
    let sound = "audiotestsrc num-buffers=100 ! audioconvert";
    let cover = "taginject tags=title=song";
    for (name, muxer) in [
        ("sound.mkv", "opusenc ! matroskamux"),
        ("sound.mp4", "avenc_aac ! mp4mux"),
        ("sound.ts", "avenc_aac ! aacparse ! mpegtsmux"),
        ("sound.avi", "avimux"),
    ] {
        play(&format!("{sound} ! {cover} ! {muxer} ! filesink location={}", line.path(name).display()));
        let run = line.fails(&format!("--model b --out {name}.out {name}"));
        assert!(
            run.stderr.lines().any(|line| line == format!("adaudit: {name}: has no video")),
            "{}",
            run.stderr
        );
        assert!(run.stderr.ends_with("adaudit: 1 file has no video\n"), "{}", run.stderr);
        assert!(run.stderr.lines().all(|line| line.len() < 100), "{}", run.stderr);
        assert_eq!(line.videos(&format!("{name}.out"))[0]["problem"], "has no video");
    }
    line.succeeds("--model b --out mixed good.mkv sound.mkv --accept-damaged");
}

#[test]
fn a_cover_and_sound_that_is_longer_are_no_damage() {
    let line = line();
    let ring = &rings(1, 0..0)[0].1;
    (0..20).for_each(|i| ring.save(line.path(&format!("{i}.png"))).unwrap());
    let make = |name: &str, muxer: &str, count: u32, encoder: &str| {
        play(&format!(
            "{muxer} name=mux ! filesink location={} \
             multifilesrc location={} stop-index={} caps=image/png,framerate=5/1 ! pngdec ! videoconvert ! {encoder} ! queue ! mux. \
             audiotestsrc num-buffers=600 ! opusenc ! queue max-size-time=0 max-size-buffers=0 max-size-bytes=0 ! mux.",
            line.path(name).display(),
            line.path("%d.png").display(),
            count - 1,
        ));
    };
    make("cover.mkv", "matroskamux", 1, JPEG);
    line.fails("--model b --out cover cover.mkv").says(&["cover.mkv: has no video", "1 file has no video"]);
    assert_eq!(line.videos("cover")[0]["inspected"], "0");
    make("long.mkv", "matroskamux", 20, JPEG);
    line.succeeds("--model b --out mkv long.mkv").says(&["its video ends at 0:00:04.0, its sound at 0:00:1"]);
    make("long.mp4", "mp4mux", 20, H264);
    line.succeeds("--model b --out mp4 long.mp4");
}

#[test]
fn packets_that_are_missing_are_damage_and_programs_are_counted() {
    const PACKET: usize = 188;
    let line = line();
    film(&line.path("whole.ts"), "mpegtsmux", &one(rings(FRAMES, DAMAGED), H264));
    let whole = std::fs::read(line.path("whole.ts")).unwrap();
    let middle = whole.len() / PACKET / 2 * PACKET;
    let mut torn = whole.clone();
    torn[middle..middle + 20 * PACKET].fill(0x55);
    let lost = [&whole[..middle], &whole[middle + 20 * PACKET..]].concat();
    for (name, bytes, told) in [
        ("torn.ts", torn, "3760 bytes are no packets"),
        ("lost.ts", lost, "packets are missing in 1 place"),
        ("cut.ts", whole[..middle + 100].to_vec(), "it is cut off within a packet"),
    ] {
        std::fs::write(line.path(name), bytes).unwrap();
        line.fails(&format!("--model b --out {name}.out {name}")).says(&[told, "1 video is damaged"]);
    }
    let track = || Track { frames: rings(20, 0..0), encoder: H264 };
    let programs = "mpegtsmux prog-map=program_map,sink_65=10,sink_66=20";
    film(&line.path("two.ts"), programs, &[track(), track()]);
    line.succeeds("--model b --out two two.ts").says(&["one of 2 programs was inspected"]);
}

#[test]
fn parts_and_interruptions_come_to_the_same() {
    let line = line();
    std::fs::create_dir(line.path("odd")).unwrap();
    let path = |name: &str| line.path("odd").join(name);
    film(&path("jump.ts"), "mpegtsmux", &one(rings(FRAMES, DAMAGED), H264));
    let mut stream = std::fs::read(path("jump.ts")).unwrap();
    shift_clock(&mut stream, 0.5, 4900.0, Values::All);
    std::fs::write(path("jump.ts"), stream).unwrap();
    let track = |damaged| Track { frames: rings(FRAMES, damaged), encoder: JPEG };
    film(&path("two.mkv"), "matroskamux", &[track(0..0), track(DAMAGED)]);
    film(&path("uneven.mkv"), "matroskamux", &one(uneven(), JPEG));
    let joined = std::fs::read(path("two.mkv")).unwrap();
    std::fs::write(path("joined.mkv"), [&joined[..], &joined].concat()).unwrap();
    play(&format!(
        "audiotestsrc num-buffers=100 ! opusenc ! matroskamux ! filesink location={}",
        path("sound.mkv").display()
    ));
    let arguments = "--model b --every 3 --threads 1 odd";
    line.fails(&format!("{arguments} --out whole"))
        .says(&["1 file has no video", "uneven.mkv: no frames in 8 places"]);
    // As a task of a cluster, which takes a file without video for a result.
    for part in 0..3 {
        line.succeeds(&format!(
            "{arguments} --out parts --part {part}/3 --no-report --accept-damaged --json"
        ));
    }
    line.fails("--model b --every 3 --threads 1 --out parts");
    assert!(line.results("parts") == line.results("whole"));
    // Killed wherever it is.
    for wait in [300, 700, 1100] {
        let mut audit = line.start(&format!("{arguments} --out killed"));
        std::thread::sleep(std::time::Duration::from_millis(wait));
        audit.kill().unwrap();
        audit.wait().unwrap();
    }
    line.fails(&format!("{arguments} --out killed"));
    assert!(line.results("killed") == line.results("whole"));
}

#[test]
fn an_avi_file_is_seen_to_its_end_or_that_is_said() {
    let line = line();
    film(&line.path("whole.avi"), "avimux", &one(rings(FRAMES, DAMAGED), JPEG));
    let whole = std::fs::read(line.path("whole.avi")).unwrap();
    line.succeeds("--model b --out whole whole.avi");
    expect_event(&line, "whole", 0.0);
    std::fs::write(line.path("cut.avi"), &whole[..whole.len() / 2]).unwrap();
    line.fails("--model b --out cut cut.avi").says(&[
        "cut.avi: ends after ",
        " kB of the ",
        "that it declares",
    ]);
    std::fs::write(line.path("twice.avi"), [&whole[..], &whole].concat()).unwrap();
    line.fails("--model b --out twice twice.avi").says(&["the last 50 % of the file (", "not inspected"]);
}
