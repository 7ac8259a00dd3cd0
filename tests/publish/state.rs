//! The state topic: who joins late, or whose camera dies, does not take silence for good parts.

use super::*;
use broker::{Process, program};
use std::process::{Command, Stdio};

/// Reads the states of a broker, one after the other; the retained one comes first.
struct States(std::sync::mpsc::Receiver<Value>, #[allow(dead_code, reason = "ends with us")] Process);

impl States {
    fn of(broker: &Mosquitto, topic: &str) -> Self {
        let mut command = Command::new(program("mosquitto_sub").unwrap());
        command.args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-t", topic, "-q", "1"]);
        let mut process = Process::piped(&mut command);
        let lines = process.lines();
        let (send, states) = std::sync::mpsc::channel();
        std::thread::spawn(move || lines.for_each(|line| drop(send.send(message(&line)))));
        Self(states, process)
    }

    /// The next state of which `wanted` is true.
    fn expect(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let left = Duration::from_secs(30).saturating_sub(start.elapsed());
            let state = self.0.recv_timeout(left).unwrap_or_else(|e| panic!("{what}: {e}"));
            if wanted(&state) {
                return state;
            }
        }
    }

    fn input(&self, input: &str) -> Value {
        self.expect(input, |state| state["input"] == input)
    }

    fn level(&self, level: &str) -> Value {
        self.expect(level, |state| state["level"] == level)
    }

    fn offline(&self) -> Value {
        self.expect("offline", |state| state["online"] == false)
    }
}

const STATE: &str = "line/anomalies/state/line-1";

fn camera(broker: &Mosquitto) -> String {
    format!("{} camera=line-1", mqtt(&broker.address()))
}

#[test]
fn who_joins_late_knows_the_state_and_hears_of_every_change() {
    let broker = Mosquitto::start();
    let line = publishing(&camera(&broker));
    let first = States::of(&broker, STATE).input("waiting");
    assert_eq!((&first["level"], &first["last_frame"]), (&"none".into(), &Value::Null));
    for number in 0..3 {
        line.push(judged(number, &result(false, 4.0 + number as f64)));
        line.pull();
    }
    let late = States::of(&broker, STATE);
    let state = late.level("warn");
    assert_eq!((&state["online"], &state["camera"]), (&true.into(), &"line-1".into()));
    assert_eq!(state["heartbeat"], 10);
    line.push(bad(3, 15.0));
    let state = late.level("reject");
    let count = |key: &str| state[key].as_u64().unwrap();
    assert_eq!(["frames", "inspected", "warned", "rejected"].map(count), [4, 4, 1, 1]);
    assert!(state["since"].as_str() <= state["time"].as_str());
    // A frame that carries the result of another counts as a frame alone, and one without a result says nothing of the part.
    line.push(judged(4, &gstanomaly::meta::AnomalyMeta { fresh: false, ..result(true, 15.0) }));
    line.push(plain(5));
    let state = late.input("no-result");
    assert_eq!((&state["level"], &state["frames"]), (&"none".into(), &6.into()));
    assert_eq!(state["inspected"], 4);
    line.push(judged(6, &result(false, 7.0)));
    late.level("warn");
    line.src.end_of_stream().unwrap();
    assert_eq!(late.input("ended")["level"], "none");
    stop(&line);
    let state = late.offline();
    assert_eq!((&state["reason"], &state["level"]), (&"stopped".into(), &"none".into()));
    assert!(state["time"].is_string());
    assert_eq!(States::of(&broker, STATE).offline(), state, "it is retained");
    assert_eq!(counts(&line), (8, 0), "states are not counted as messages, notices are");
}

#[test]
fn a_process_that_is_killed_is_offline_at_once() {
    let broker = Mosquitto::start();
    let states = States::of(&broker, STATE);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "state::publishes_until_it_is_killed", "--nocapture"]);
    command.env("PUBLISH_SETTINGS", camera(&broker)).stdout(Stdio::null());
    let mut process = Process::start(&mut command);
    states.level("normal");
    let killed = Instant::now();
    process.kill();
    let will = states.offline();
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
    assert_eq!((&will["reason"], &will["level"]), (&"lost".into(), &"none".into()));
    assert!(will["time"].is_null(), "the broker does not say when");
    assert_eq!(States::of(&broker, STATE).offline(), will, "it is retained");
}

/// Not a test of its own: what the test above kills.
#[test]
fn publishes_until_it_is_killed() {
    let Ok(settings) = std::env::var("PUBLISH_SETTINGS") else { return };
    let line = publishing(&settings);
    for number in 0.. {
        line.push(good(number));
        line.pull();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_camera_that_falls_silent_is_told_from_one_that_sees_good_parts() {
    let broker = Mosquitto::start();
    let states = States::of(&broker, STATE);
    let reader = Subscriber::new(broker.port, "line/anomalies", &[]);
    let line = publishing(&format!("{} events=transitions max-silence=1", camera(&broker)));
    line.push(good(0));
    states.level("normal");
    let state = states.input("no-frames");
    assert_eq!((&state["online"], &state["level"]), (&true.into(), &"none".into()));
    let notice = message(&reader.next());
    assert_eq!((&notice["state"], &notice["reason"]), (&"interrupted".into(), &"no-frames".into()));
    assert_eq!((&notice["frame"], &notice["level"]), (&1.into(), &"none".into()));
    line.push(good(1));
    let resumed = message(&reader.next());
    assert_eq!((&resumed["state"], &resumed["reason"]), (&"resumed".into(), &"no-frames".into()));
    assert_eq!(resumed["since"], notice["time"]);
    states.level("normal");
}

#[test]
fn a_heart_beats_while_nothing_changes_and_tells_a_picture_that_stands_still() {
    let broker = Mosquitto::start();
    let states = States::of(&broker, STATE);
    let line = publishing(&format!("{} heartbeat=1", camera(&broker)));
    line.push(good(0));
    let first = states.level("normal");
    let start = Instant::now();
    for number in 1..4 {
        line.push(good(number));
    }
    let second = states.level("normal");
    states.level("normal");
    assert!(start.elapsed() > Duration::from_millis(1500) && start.elapsed() < Duration::from_secs(10));
    assert_eq!(first["since"], second["since"]);
    assert_eq!((&first["same_score"], &second["same_score"]), (&1.into(), &4.into()));
    assert_eq!(second["published"], 4);
}

#[test]
fn a_broker_that_has_forgotten_all_hears_the_state_again() {
    let mut broker = Mosquitto::with("allow_anonymous true\nautosave_interval 100000\n");
    let line = publishing(&camera(&broker));
    line.push(good(0));
    States::of(&broker, STATE).level("normal");
    broker.kill();
    broker.forget();
    broker.come_back();
    States::of(&broker, STATE).level("normal");
}

#[test]
fn the_state_goes_where_it_is_wanted() {
    let broker = Mosquitto::start();
    let all = Subscriber::new(broker.port, "#", &[]);
    let quiet = format!("{} state-topic=\"\"", camera(&broker));
    let line = publishing(&quiet);
    line.push(good(0));
    assert_eq!(message(&all.next())["state"], "update");
    stop(&line);
    for (settings, topic) in [
        (mqtt(&broker.address()), "line/anomalies/state"),
        (format!("{} camera=hall+7/#2", mqtt(&broker.address())), "line/anomalies/state/hall_7/_2"),
        (format!("{} state-topic=plant/cameras/7", camera(&broker)), "plant/cameras/7"),
    ] {
        let line = publishing(&settings);
        States::of(&broker, topic).input("waiting");
        stop(&line);
    }
    let file = tempfile::tempdir().unwrap();
    let path = config(file.path(), &serde_json::json!({"state-topic": "from/the/file"}));
    let line = publishing(&format!("{} mqtt-config={}", camera(&broker), path.display()));
    States::of(&broker, "from/the/file").input("waiting");
    stop(&line);
    let error = failure_at_start(&format!("adpublish {} state-topic=a/#", camera(&broker)), &info());
    assert!(error.contains("state-topic 'a/#': '+' and '#' are for those who subscribe"), "{error}");
}
