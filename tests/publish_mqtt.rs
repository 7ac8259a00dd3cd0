//! adpublish to MQTT: mosquitto, which dies and comes back, refuses, or says nothing at all.

#![cfg(feature = "mqtt")]

#[path = "common/broker.rs"]
mod broker;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/results.rs"]
mod results;
#[path = "publish/state.rs"]
mod state;

use broker::{Mosquitto, Subscriber, certificates, expired_certificates, free_port, mute};
use gst::prelude::*;
use pipeline::{Line, failure_at_start, wait_until};
use results::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn mqtt(address: &str) -> String {
    format!("method=mqtt address={address} topic=line/anomalies")
}

fn message(text: &str) -> Value {
    messages(text).remove(0)
}

/// The number of the frame that a message is about.
fn frame(text: &str) -> u64 {
    message(text)["frame"].as_u64().unwrap()
}

/// Writes a configuration file.
fn config(folder: &Path, config: &Value) -> PathBuf {
    let path = folder.join("mqtt.json");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let broker = Mosquitto::start();
    let reader = Subscriber::new(broker.port, "line/anomalies", &[]);
    let line = publishing(&format!("{} camera=line-1", mqtt(&broker.address())));
    for number in 0..200 {
        line.push(if number % 50 == 0 { bad(number, 15.0) } else { good(number) });
    }
    line.drain();
    assert_eq!(counts(&line), (200, 0));
    for number in 0..200 {
        let message = message(&reader.next());
        assert_eq!((&message["frame"], &message["camera"]), (&number.into(), &"line-1".into()));
    }
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Error]).is_empty());
}

#[test]
fn a_broker_that_dies_is_missed_and_found_again_and_nothing_is_lost_while_the_queue_holds() {
    let mut broker = Mosquitto::start();
    let reader = Subscriber::new(broker.port, "line/anomalies", &[]);
    let line = publishing(&mqtt(&broker.address()));
    let mut number = 0;
    let mut push = |count: u64| {
        for _ in 0..count {
            line.push(good(number));
            line.pull();
            number += 1;
        }
    };
    push(20);
    wait_until("the first messages are acknowledged", || counts(&line).0 == 20);
    // A broker acknowledges before it has passed a message on or written it down; what it had in hand then dies with it, whatever we do.
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.insert(frame(&reader.next()));
    }
    broker.kill();
    push(300);
    let warning = line.expect_warning();
    assert!(warning.contains(&format!("MQTT broker {}: ", broker.address())), "{warning}");
    broker.come_back();
    let back = Instant::now();
    wait_until("messages flow again", || counts(&line).0 > 20);
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    push(10);
    line.drain();
    assert_eq!(counts(&line), (330, 0));
    // At least once: a message whose acknowledgement was lost comes twice.
    while seen.len() < 330 {
        seen.insert(frame(&reader.next()));
    }
    assert!(seen.into_iter().eq(0..330));
    assert_eq!(line.messages(&[gst::MessageType::Info]).len(), 1, "that it works again is said once");
}

#[test]
fn while_the_broker_is_away_the_oldest_are_dropped_and_counted() {
    let port = free_port();
    let line = publishing(&format!("{} queue-size=10", mqtt(&format!("localhost:{port}"))));
    for number in 0..100 {
        line.push(good(number));
        line.pull();
    }
    wait_until("the surplus is dropped", || counts(&line).1 == 90);
    assert_eq!(counts(&line), (0, 90));
    assert!(line.expect_warning().contains("Connection refused"));
    assert!(stop(&line) < Duration::from_secs(2));
    assert_eq!(counts(&line), (0, 100));
    assert!(line.messages(&[gst::MessageType::Error]).is_empty());
}

#[test]
fn a_broker_that_accepts_and_never_answers_holds_up_neither_video_nor_stop() {
    let (_listener, port) = mute();
    let line = publishing(&mqtt(&format!("127.0.0.1:{port}")));
    let start = Instant::now();
    for number in 0..100 {
        line.push(good(number));
        line.pull();
    }
    assert!(start.elapsed() < Duration::from_secs(1), "the video waits");
    let warning = line.expect_warning();
    assert!(warning.contains("does not answer within 3s"), "{warning}");
    assert!(stop(&line) < Duration::from_secs(2));
    assert_eq!(counts(&line), (0, 100));
}

#[test]
fn stopping_while_the_end_of_the_stream_waits_for_a_mute_broker_is_quick() {
    let (_listener, port) = mute();
    let line = publishing(&mqtt(&format!("127.0.0.1:{port}")));
    line.push(good(0));
    line.pull();
    line.src.end_of_stream().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!line.sink.is_eos(), "the end did not wait");
    assert!(stop(&line) < Duration::from_secs(2));
    assert_eq!(counts(&line), (0, 1));
}

#[test]
fn a_broker_that_freezes_is_left_and_found_again() {
    let broker = Mosquitto::start();
    let line = publishing(&mqtt(&broker.address()));
    line.push(good(0));
    wait_until("the first message", || counts(&line).0 == 1);
    broker.freeze(true);
    line.push(good(1));
    let warning = line.expect_warning();
    assert!(warning.contains("does not acknowledge messages within 5s"), "{warning}");
    broker.freeze(false);
    let back = Instant::now();
    wait_until("messages flow again", || counts(&line).0 == 2);
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
}

#[test]
fn a_broker_that_refuses_is_a_warning_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with("allow_anonymous false\n");
    let file = config(folder.path(), &serde_json::json!({"username": "me", "password": "wrong"}));
    let line = publishing(&format!("{} mqtt-config={}", mqtt(&broker.address()), file.display()));
    let warning = line.expect_warning();
    assert!(warning.contains("refuses us: NotAuthorized"), "{warning}");
}

#[test]
fn the_configuration_file_goes_before_the_properties_and_says_who_we_are() {
    let folder = tempfile::tempdir().unwrap();
    let passwords = folder.path().join("passwords");
    let status = std::process::Command::new("mosquitto_passwd")
        .args(["-c", "-b", passwords.to_str().unwrap(), "me", "secret"])
        .status();
    assert!(status.unwrap().success());
    let broker = Mosquitto::with(&format!("allow_anonymous false\npassword_file {}\n", passwords.display()));
    let reader = Subscriber::new(broker.port, "other", &["-u", "me", "-P", "secret"]);
    let file = config(
        folder.path(),
        &serde_json::json!({"address": broker.address(), "topic": "other", "client-id": "camera-7",
            "username": "me", "password": "secret"}),
    );
    let line = publishing(&format!("{} mqtt-config={}", mqtt("nowhere.invalid"), file.display()));
    line.push(good(0));
    assert_eq!(message(&reader.next())["frame"], 0);
}

/// A broker with a certificate, and the folder with that and its authority.
fn secure() -> (tempfile::TempDir, Mosquitto) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}\n",
        file("server.pem"),
        file("server.key")
    ));
    (folder, broker)
}

#[test]
fn tls_works_with_the_right_authority_and_is_refused_with_another() {
    let (folder, broker) = secure();
    let ca = folder.path().join("ca.pem");
    let reader = Subscriber::new(broker.port, "line/anomalies", &["--cafile", ca.to_str().unwrap()]);
    let file = config(folder.path(), &serde_json::json!({"TLS": true, "ssl_CA_certificate": ca}));
    let with = |address: &str, file: &Path| format!("{} mqtt-config={}", mqtt(address), file.display());
    let line = publishing(&with(&format!("localhost:{}", broker.port), &file));
    line.push(good(0));
    assert_eq!(message(&reader.next())["frame"], 0);
    drop(line);

    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let file = config(other.path(), &serde_json::json!({"ssl_CA_certificate": other.path().join("ca.pem")}));
    let line = publishing(&with(&format!("mqtts://localhost:{}", broker.port), &file));
    line.push(good(0));
    let warning = line.expect_warning();
    assert!(warning.contains("invalid peer certificate"), "{warning}");
    assert!(stop(&line) < Duration::from_secs(2));

    // Without TLS a secure broker hangs up.
    let line = publishing(&mqtt(&broker.address()));
    let warning = line.expect_warning();
    assert!(warning.contains(&format!("MQTT broker {}", broker.address())), "{warning}");
}

#[test]
fn a_certificate_that_has_expired_is_one_warning_with_the_date() {
    let folder = tempfile::tempdir().unwrap();
    expired_certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}\n",
        file("server.pem"),
        file("server.key")
    ));
    let path = config(folder.path(), &serde_json::json!({"ssl_CA_certificate": file("ca.pem")}));
    let address = format!("mqtts://localhost:{}", broker.port);
    let line = publishing(&format!("{} mqtt-config={}", mqtt(&address), path.display()));
    let warning = line.expect_warning();
    assert!(
        warning.contains(
            "invalid peer certificate: it expired on 2020-01-02 00:00 UTC; renew it, or set the clock"
        ),
        "{warning}"
    );
    // Four attempts later nothing new was said.
    std::thread::sleep(Duration::from_millis(3500));
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());
}

#[test]
fn reasons_that_take_turns_are_said_once_each() {
    let mut broker = Mosquitto::start();
    let line = publishing(&mqtt(&broker.address()));
    line.push(good(0));
    wait_until("the first message", || counts(&line).0 == 1);
    broker.kill();
    let mut warnings = vec![line.expect_warning()];
    std::thread::sleep(Duration::from_millis(3500));
    warnings.extend(line.messages(&[gst::MessageType::Warning]).iter().map(pipeline::text));
    assert!(warnings[0].contains("has closed the connection"), "{warnings:?}");
    assert!(
        warnings.len() <= 2 && !warnings.iter().any(|text| text.contains("serialization")),
        "{warnings:?}"
    );
}

#[test]
fn a_port_of_another_protocol_is_called_that() {
    let (folder, broker) = secure();
    let line = publishing(&mqtt(&broker.address()));
    let warning = line.expect_warning();
    assert!(warning.contains("has closed the connection") || warning.contains("not MQTT"), "{warning}");
    let plain = Mosquitto::start();
    let file =
        config(folder.path(), &serde_json::json!({"ssl_CA_certificate": folder.path().join("ca.pem")}));
    let address = format!("mqtts://localhost:{}", plain.port);
    let line = publishing(&format!("{} mqtt-config={}", mqtt(&address), file.display()));
    let warning = line.expect_warning();
    assert!(
        warning.contains("has closed the connection") || warning.contains("not answer in TLS"),
        "{warning}"
    );
}

#[test]
fn a_broker_that_wants_a_certificate_of_ours_says_so_in_words() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true\n",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    ));
    let path = config(folder.path(), &serde_json::json!({"ssl_CA_certificate": file("ca.pem")}));
    let address = format!("mqtts://localhost:{}", broker.port);
    let line = publishing(&format!("{} mqtt-config={}", mqtt(&address), path.display()));
    let warning = line.expect_warning();
    assert!(warning.contains("wants a certificate of this client; set ssl_client_certificate"), "{warning}");
}

#[test]
fn what_can_be_known_at_start_is_an_error_at_start() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "no certificate").unwrap();
    let certificate = |keys: Value| {
        let mut all = keys;
        all["TLS"] = true.into();
        all
    };
    let ca = path("ca.pem");
    for (config, expected) in [
        ("{".to_owned(), "mqtt.json: EOF while parsing".to_owned()),
        (r#"{"adress": "a"}"#.into(), "unknown field `adress`, expected one of `address`, `topic`".into()),
        (r#"{"sasl-mechanism": "PLAIN"}"#.into(), "sasl-mechanism is for Kafka".into()),
        (r#"{"password": "a"}"#.into(), "there is a password, but no username".into()),
        (
            serde_json::json!({"ssl_CA_certificate": ca}).to_string(),
            "ca.pem is given, yet TLS is off; set \"TLS\": true".into(),
        ),
        (
            certificate(serde_json::json!({"ssl_CA_certificate": path("none.pem")})).to_string(),
            "none.pem: I/O error: No such file".into(),
        ),
        (
            certificate(serde_json::json!({"ssl_CA_certificate": path("text")})).to_string(),
            "text: no certificate in PEM form in it".into(),
        ),
        (
            certificate(serde_json::json!({"ssl_CA_certificate": ca, "ssl_client_certificate": ca}))
                .to_string(),
            "ssl_client_certificate and ssl_private_key belong together".into(),
        ),
        (
            certificate(serde_json::json!({"ssl_CA_certificate": ca, "ssl_client_certificate": ca,
                "ssl_private_key": path("server.key")}))
            .to_string(),
            "ca.pem: does not work with".into(),
        ),
        (
            certificate(serde_json::json!({"ssl_CA_certificate": ca, "ssl_verify": 0})).to_string(),
            "the broker's certificate is always checked".into(),
        ),
    ] {
        std::fs::write(path("mqtt.json"), config).unwrap();
        let settings = format!("{} mqtt-config={}", mqtt("localhost"), path("mqtt.json").display());
        let error = failure_at_start(&format!("adpublish {settings}"), &info());
        assert!(error.contains(&expected), "{error}");
    }
    for (settings, expected) in [
        ("topic=a", "address is not set; give the broker's HOST:PORT"),
        ("address=localhost", "topic is not set"),
        ("address=localhost topic=a/+", "topic 'a/+': '+' and '#' are for those who subscribe"),
        ("topic=a address=localhost:http", "address 'localhost:http': "),
        (
            "topic=a address=http://localhost",
            "address 'http://localhost': 'http' is not known here; give HOST:PORT",
        ),
        ("topic=a address=a:1,b:2", "address 'a:1,b:2': MQTT takes one"),
        ("topic=a address=a mqtt-config=/none.json", "/none.json: No such file or directory"),
    ] {
        let error = failure_at_start(&format!("adpublish method=mqtt {settings}"), &info());
        assert!(error.contains(expected), "{error}");
    }
}

/// A line at 30 frames a second; the times at which frames came out.
fn at_speed(line: &Line, frames: std::ops::Range<u64>) -> Vec<Instant> {
    let interval = Duration::from_secs(1) / 30;
    let start = Instant::now();
    let mut out = Vec::new();
    for number in frames.clone() {
        let due = start + interval * u32::try_from(number - frames.start).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        line.push(good(number));
        line.pull();
        out.push(Instant::now());
    }
    out
}

/// The longest time between two frames.
fn longest(times: &[Instant]) -> Duration {
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

/// The run of five minutes: `PUBLISH_SECONDS=300 cargo test --release --test publish_mqtt -- --ignored --nocapture`.
#[test]
#[ignore = "five minutes"]
fn a_broker_that_is_killed_ten_times_never_holds_up_the_video() {
    const KILLS: u32 = 10;
    let seconds = std::env::var("PUBLISH_SECONDS").map_or(300, |text| text.parse().unwrap());
    let mut broker = Mosquitto::start();
    let reader = Subscriber::new(broker.port, "line/anomalies", &[]);
    // Shorter than a broker is away, so that messages are dropped.
    let line = publishing(&format!("{} queue-size=100", mqtt(&broker.address())));
    let total = 30 * seconds;
    let cycle = Duration::from_secs(seconds) / KILLS;
    let publish = line.element("publish");
    let published = move || publish.property::<u64>("published");
    // The same without adpublish: its gaps are the machine's.
    let (times, others, recoveries) = std::thread::scope(|scope| {
        let control = scope.spawn(|| longest(&at_speed(&Line::playing("identity", &info()), 0..total)));
        let chaos = scope.spawn(|| {
            let mut recoveries = Vec::new();
            for _ in 0..KILLS {
                std::thread::sleep(cycle / 2);
                broker.kill();
                std::thread::sleep(cycle / 4);
                let before = published();
                let back = Instant::now();
                broker.come_back();
                while published() == before && back.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                recoveries.push(back.elapsed());
                std::thread::sleep((cycle / 4).saturating_sub(back.elapsed()));
            }
            recoveries
        });
        let times = at_speed(&line, 0..total);
        (times, control.join().unwrap(), chaos.join().unwrap())
    });
    line.drain();
    let stopped = stop(&line);
    let (published, dropped) = counts(&line);
    let gap = longest(&times);
    let mut seen = BTreeSet::new();
    let mut twice = 0;
    while let Some(text) = reader.next_within(Duration::from_secs(3)) {
        if !seen.insert(frame(&text)) {
            twice += 1;
        }
    }
    println!(
        "{total} frames: {published} published, {dropped} dropped, {} different ones received, {twice} twice; \
         longest gap {gap:?} (without adpublish {others:?}); recoveries {recoveries:?}; stop {stopped:?}",
        seen.len()
    );
    assert_eq!(published + dropped, total);
    // What was acknowledged has arrived. So may have a few that were dropped later, because the broker died before it could say so.
    let in_doubt = u64::from(KILLS) * 64;
    assert!((published..=published + in_doubt).contains(&(seen.len() as u64)));
    assert!(gap < Duration::from_millis(100));
    assert!(recoveries.iter().all(|&recovery| recovery < Duration::from_secs(5)));
    assert!(stopped < Duration::from_secs(2));
}
