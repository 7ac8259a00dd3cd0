//! adpublish to a broker of the Kafka protocol: tansu, which dies and comes back, lacks the topic, or says nothing at all.

#![cfg(feature = "kafka")]

#[path = "common/broker.rs"]
mod broker;
#[path = "common/pipeline.rs"]
mod pipeline;
#[path = "common/results.rs"]
mod results;

use broker::{Tansu, certificates, free_port, mute};
use pipeline::{failure_at_start, wait_until};
use results::*;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::UnknownTopicHandling;
use rskafka::record::Record;
use serde_json::Value;
use std::time::{Duration, Instant};

const TOPIC: &str = "anomalies";

fn kafka(address: &str) -> String {
    format!("method=kafka address={address} topic={TOPIC}")
}

/// All records of the topic by partition.
fn records(broker: &Tansu) -> Vec<Vec<Record>> {
    records_of(broker, TOPIC)
}

fn records_of(broker: &Tansu, name: &str) -> Vec<Vec<Record>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = ClientBuilder::new(vec![broker.address()]).build().await.unwrap();
        let topics = client.list_topics().await.unwrap();
        let topic = topics.into_iter().find(|topic| topic.name == name).unwrap();
        let mut all = Vec::new();
        for partition in topic.partitions {
            let partition =
                client.partition_client(name, partition, UnknownTopicHandling::Error).await.unwrap();
            let mut records = Vec::new();
            loop {
                let next = records.len() as i64;
                let (more, end) = partition.fetch_records(next, 1..10_000_000, 200).await.unwrap();
                records.extend(more.into_iter().map(|record| record.record));
                if records.len() as i64 >= end {
                    break;
                }
            }
            all.push(records);
        }
        all
    })
}

fn values(records: &[Record]) -> Vec<Value> {
    records
        .iter()
        .flat_map(|record| messages(std::str::from_utf8(record.value.as_ref().unwrap()).unwrap()))
        .collect()
}

#[test]
fn messages_arrive_in_order_in_the_partition_of_their_camera() {
    let Some(broker) = Tansu::start() else { return };
    broker.create(TOPIC, 3);
    for camera in ["line-1", "line-2"] {
        let line = publishing(&format!("{} camera={camera}", kafka(&broker.address())));
        (0..300).for_each(|number| line.push(if number == 7 { bad(number, 15.0) } else { good(number) }));
        line.drain();
        assert_eq!(counts(&line), (300, 0), "{:?}", line.messages(&[gst::MessageType::Warning]));
    }
    let partitions = records(&broker);
    assert_eq!(partitions.len(), 3);
    for camera in ["line-1", "line-2"] {
        let key = |record: &&Record| record.key.as_deref() == Some(camera.as_bytes());
        let holders: Vec<&Vec<Record>> = partitions.iter().filter(|p| p.iter().any(|r| key(&r))).collect();
        assert_eq!(holders.len(), 1, "one camera, one partition");
        let ours: Vec<Record> = holders[0].iter().filter(key).cloned().collect();
        let values = values(&ours);
        assert_eq!(frames(&values), (0..300).collect::<Vec<_>>());
        assert!(values.iter().all(|value| value["camera"] == camera));
        let time = glib::DateTime::from_iso8601(values[0]["time"].as_str().unwrap(), None).unwrap();
        assert_eq!(ours[0].timestamp.timestamp(), time.to_unix());
    }
}

#[test]
fn a_broker_that_dies_is_missed_and_found_again() {
    let Some(mut broker) = Tansu::start() else { return };
    broker.create(TOPIC, 1);
    let line = publishing(&kafka(&broker.address()));
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
    broker.kill();
    push(50);
    let warning = line.expect_warning();
    assert!(warning.contains(&format!("Kafka broker {}: ", broker.address())), "{warning}");
    broker.come_back();
    broker.create(TOPIC, 1);
    let back = Instant::now();
    wait_until("messages flow again", || counts(&line).0 > 20);
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    push(10);
    line.drain();
    assert_eq!(counts(&line), (80, 0));
    let mut frames = frames(&values(&records(&broker)[0]));
    frames.dedup();
    assert_eq!(frames, (20..80).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_unknown_is_a_warning_and_messages_wait_for_it() {
    let Some(broker) = Tansu::start() else { return };
    let line = publishing(&kafka(&broker.address()));
    line.push(good(0));
    let warning = line.expect_warning();
    assert!(warning.contains("there is no topic 'anomalies'; create it"), "{warning}");
    assert_eq!(counts(&line), (0, 0));
    broker.create(TOPIC, 1);
    wait_until("the message arrives", || counts(&line).0 == 1);
}

#[test]
fn a_heart_beats_in_the_topic_of_states_with_the_camera_as_its_key() {
    let Some(broker) = Tansu::start() else { return };
    broker.create(TOPIC, 1);
    broker.create("states", 1);
    let settings = format!("{} camera=line-1 state-topic=states heartbeat=1", kafka(&broker.address()));
    let line = publishing(&settings);
    line.push(good(0));
    let states = || records_of(&broker, "states").remove(0);
    wait_until("two heartbeats", || states().len() >= 4);
    line.push(bad(1, 15.0));
    line.drain();
    stop(&line);
    let records = states();
    assert!(records.iter().all(|record| record.key.as_deref() == Some(b"line-1")));
    let states = values(&records);
    let levels: Vec<&str> = states.iter().map(|state| state["level"].as_str().unwrap()).collect();
    assert!(levels.windows(2).any(|pair| pair == ["normal", "normal"]), "{levels:?}");
    let last = states.last().unwrap();
    assert_eq!((&last["online"], &last["reason"]), (&false.into(), &"stopped".into()));
    assert_eq!(counts(&line), (2, 0), "states are not counted");
    assert_eq!(frames(&values(&self::records(&broker)[0])), [0, 1], "and are in no other topic");
}

#[test]
fn states_that_have_no_topic_are_a_warning_and_messages_flow() {
    let Some(broker) = Tansu::start() else { return };
    broker.create(TOPIC, 1);
    let line = publishing(&format!("{} state-topic=states heartbeat=1", kafka(&broker.address())));
    let warning = line.expect_warning();
    assert!(warning.contains("state-topic: there is no topic 'states'; create it"), "{warning}");
    (0..3).for_each(|number| line.push(good(number)));
    wait_until("the messages arrive", || counts(&line).0 == 3);
    // Two heartbeats later nothing new is said, and as soon as the topic is there it is used.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(line.messages(&[gst::MessageType::Warning, gst::MessageType::Info]).is_empty());
    broker.create("states", 1);
    wait_until("a state arrives", || !records_of(&broker, "states").remove(0).is_empty());
}

#[test]
fn nobody_at_the_address_is_a_warning_and_the_oldest_are_dropped_and_counted() {
    let port = free_port();
    let line = publishing(&format!("{} queue-size=10", kafka(&format!("127.0.0.1:{port}"))));
    for number in 0..100 {
        line.push(good(number));
        line.pull();
    }
    let warning = line.expect_warning();
    assert!(warning.contains("Connection refused"), "{warning}");
    assert_eq!(counts(&line), (0, 90));
    assert!(stop(&line) < Duration::from_secs(2));
    assert_eq!(counts(&line), (0, 100));
}

#[test]
fn a_broker_that_accepts_and_never_answers_holds_up_neither_video_nor_stop() {
    let (_listener, port) = mute();
    let line = publishing(&kafka(&format!("127.0.0.1:{port}")));
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
fn tls_works_with_the_right_authority_and_is_refused_with_another() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let Some(broker) = Tansu::secure(folder.path()) else { return };
    broker.create(TOPIC, 1);
    let with = |ca: String| {
        std::fs::write(
            path("kafka.json"),
            serde_json::json!({"TLS": true, "ssl_CA_certificate": ca}).to_string(),
        )
        .unwrap();
        publishing(&format!("{} kafka-config={}", kafka(&broker.address()), path("kafka.json")))
    };
    let line = with(path("ca.pem"));
    line.push(good(0));
    wait_until("the message is acknowledged", || counts(&line).0 == 1);
    assert!(line.messages(&[gst::MessageType::Warning]).is_empty());

    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    let line = with(other.path().join("ca.pem").display().to_string());
    let warning = line.expect_warning();
    assert!(warning.contains("invalid peer certificate"), "{warning}");
    assert!(stop(&line) < Duration::from_secs(2));
}

#[test]
fn what_can_be_known_at_start_is_an_error_at_start() {
    for (settings, expected) in [
        ("topic=a", "address is not set"),
        ("address=localhost", "topic is not set"),
        ("topic=a address=localhost:0", "address 'localhost:0': the port is not one"),
        ("topic=a address=a:1,mqtt://b", "address 'mqtt://b': 'mqtt' is not known here"),
        ("topic=a address=kafkas://[::1]", "with TLS an IPv6 broker must be given by its name"),
        ("topic=a address=a kafka-config=/none.json", "/none.json: No such file or directory"),
    ] {
        let error = failure_at_start(&format!("adpublish method=kafka {settings}"), &info());
        assert!(error.contains(expected), "{error}");
    }
}
