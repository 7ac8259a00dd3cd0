//! The level of a frame: normal, warn or reject.

use crate::pipeline::{Line, chain, info_of, result};
use crate::product::{self, defective, good, square};
use crate::scored;
use gst::prelude::*;
use gstanomaly::elements::adscore::AnomalyMessage;

/// What a frame comes to, with its raw score and the warn level in use.
#[derive(Debug, PartialEq)]
struct Judged {
    level: String,
    score: f64,
    warn: Option<f64>,
}

fn judged(line: &Line, image: &image::RgbImage, number: u64) -> Judged {
    let sample = line.pass(image, number);
    let found = result(sample.buffer().unwrap()).unwrap();
    let level: String = found.get("level").unwrap();
    assert_eq!(level == "reject", found.get::<bool>("anomalous").unwrap());
    Judged { level, score: found.get("score").unwrap(), warn: found.get("warn").ok() }
}

#[test]
fn each_level_shows_on_the_frame_and_in_the_messages() {
    let line = scored("messages=levels");
    let element = line.element("score");
    let (mut calm, mut unusual) = (good(75), good(76));
    let scores = [&calm, &unusual].map(|image| judged(&line, image, 0).score);
    if scores[0] > scores[1] {
        std::mem::swap(&mut calm, &mut unusual);
    }
    assert_ne!(scores[0], scores[1]);
    // The level itself is in warn.
    element.set_property("warn", scores[0].max(scores[1]));
    assert_eq!(judged(&line, &calm, 0).level, "normal");
    line.anomalies();
    let bad = defective(77);
    for (messages, expected) in [
        ("levels", ["1 level warn", "3 enter reject", "4 leave warn", "5 level normal"].as_slice()),
        ("transitions", ["3 enter reject", "4 leave warn"].as_slice()),
        (
            "all",
            [
                "0 update normal",
                "1 update warn",
                "2 update warn",
                "3 enter reject",
                "4 leave warn",
                "5 update normal",
            ]
            .as_slice(),
        ),
        ("none", [].as_slice()),
    ] {
        element.set_property_from_str("messages", messages);
        let mut told = Vec::new();
        for (number, (image, level)) in (0..).zip([
            (&calm, "normal"),
            (&unusual, "warn"),
            (&unusual, "warn"),
            (&bad, "reject"),
            (&unusual, "warn"),
            (&calm, "normal"),
        ]) {
            let found = judged(&line, image, number);
            assert_eq!(found.level, level, "{number}");
            for message in line.anomalies() {
                let parsed = AnomalyMessage::from_structure(&message).unwrap();
                assert_eq!((parsed.score, parsed.warn), (found.score, found.warn));
                assert_eq!(parsed.level().name(), message.get::<&str>("level").unwrap());
                told.push(format!("{number} {} {}", parsed.state.name(), parsed.level().name()));
            }
        }
        assert_eq!(told, expected, "{messages}");
    }
}

#[test]
fn the_warn_level_moves_with_the_threshold_and_never_exceeds_it() {
    let line = scored("");
    let element = line.element("score");
    assert!(element.property::<f64>("warn").is_nan());
    let calibration = gstanomaly::bundle::read_manifest(square()).unwrap().calibration;
    let own = calibration.score();
    let warn = |number| judged(&line, &good(78), number).warn.unwrap();
    assert_eq!(warn(0), calibration.warn.unwrap());
    for (number, threshold) in (1..).zip([2.0 * own.threshold, 0.5 * (own.min + own.threshold)]) {
        element.set_property("threshold", threshold);
        let moved = gstanomaly::bundle::ScoreRange::around(threshold, own.min);
        let place = own.normalise(calibration.warn.unwrap());
        assert!((moved.normalise(warn(number)) - place).abs() < 1e-9, "{threshold}");
    }
    element.set_property("threshold", f64::NAN);
    element.set_property("warn", 1.5 * own.threshold);
    assert_eq!(warn(3), own.threshold);
    element.set_property("threshold", 3.0 * own.threshold);
    assert_eq!(warn(4), 1.5 * own.threshold, "what the user has set does not move");
    element.set_property("warn", f64::NAN);
    element.set_property("threshold", f64::NAN);
    assert_eq!(warn(5), calibration.warn.unwrap());
}

#[test]
fn a_bundle_without_a_warn_level_knows_two_levels() {
    let folder = product::scratch();
    product::copy(square(), folder.path());
    product::change_manifest(folder.path(), |manifest| {
        let calibration = manifest["calibration"].as_object_mut().unwrap();
        calibration.remove("warn").unwrap();
        calibration.remove("false_alarms").unwrap();
    });
    let description = chain(folder.path()).replace("adscore", "adscore messages=levels");
    let line = Line::playing(&description, &info_of(&good(79)));
    let found = [good(79), defective(79), good(80)].map(|image| judged(&line, &image, 0));
    assert_eq!(found.each_ref().map(|found| found.level.as_str()), ["normal", "reject", "normal"]);
    assert!(found.iter().all(|found| found.warn.is_none()));
    let told = line.anomalies();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|message| !message.has_field("warn")));
    // The user can set one all the same.
    line.element("score").set_property("warn", found[0].score);
    let image = good(79);
    assert_eq!(judged(&line, &image, 1).level, "warn");
}

#[test]
fn what_does_not_count_as_anomalous_is_in_warn() {
    let line = scored("hold=2");
    let levels =
        (0..).zip([defective(81), defective(82), good(81)]).map(|(n, image)| judged(&line, &image, n).level);
    assert_eq!(levels.collect::<Vec<_>>(), ["warn", "reject", "reject"], "hold");
    let line = scored("min-area=1e9");
    assert_eq!(judged(&line, &defective(83), 0).level, "warn");
}
