//! The element's properties.

use super::super::guard;
use gst::prelude::*;
use std::path::PathBuf;

/// Where messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAdPublishMethod")]
#[repr(i32)]
pub enum Method {
    /// To a file or standard output.
    #[default]
    #[enum_value(name = "File or standard output", nick = "file")]
    File = 1,
    /// To an MQTT broker.
    #[enum_value(name = "MQTT broker", nick = "mqtt")]
    Mqtt = 2,
    /// To a Kafka broker.
    #[enum_value(name = "Kafka broker", nick = "kafka")]
    Kafka = 3,
}

/// How messages lie in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAdPublishFileFormat")]
#[repr(i32)]
pub enum FileFormat {
    /// The file is one JSON array.
    #[enum_value(name = "The file is one JSON array, complete once it is closed", nick = "json")]
    Json = 1,
    /// Every line is a JSON object.
    #[default]
    #[enum_value(name = "Every line is a JSON object", nick = "json-lines")]
    JsonLines = 2,
}

/// What a message is sent for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstAdPublishEvents")]
#[repr(i32)]
pub enum Events {
    /// Every frame.
    #[default]
    #[enum_value(name = "Every frame", nick = "frames")]
    Frames,
    /// The begin and the end of an anomaly.
    #[enum_value(name = "When an anomaly begins and ends", nick = "transitions")]
    Transitions,
}

/// The `file-path` that stands for standard output.
pub(super) const STDOUT: &str = "stdout";

/// The values of the properties.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) method: Method,
    pub(super) file_path: Option<PathBuf>,
    pub(super) file_format: FileFormat,
    /// Bytes; 0: no limit.
    pub(super) max_file_size: u64,
    /// Seconds; 0: no limit.
    pub(super) max_file_time: u32,
    pub(super) address: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) mqtt_config: Option<PathBuf>,
    pub(super) kafka_config: Option<PathBuf>,
    pub(super) camera: Option<String>,
    pub(super) events: Events,
    /// Messages.
    pub(super) queue_size: u32,
    pub(super) state_topic: Option<String>,
    /// Seconds; 0: none.
    pub(super) heartbeat: u32,
    /// Seconds; 0: never too long.
    pub(super) max_silence: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            method: Method::default(),
            file_path: Some(STDOUT.into()),
            file_format: FileFormat::default(),
            max_file_size: 0,
            max_file_time: 0,
            address: None,
            topic: None,
            mqtt_config: None,
            kafka_config: None,
            camera: None,
            events: Events::default(),
            queue_size: 1000,
            state_topic: None,
            heartbeat: 10,
            max_silence: 10,
        }
    }
}

fn text(name: &'static str, nick: &'static str, blurb: &'static str) -> glib::ParamSpec {
    glib::ParamSpecString::builder(name).nick(nick).blurb(blurb).mutable_ready().build()
}

fn count(name: &'static str, nick: &'static str, blurb: &'static str) -> glib::ParamSpec {
    glib::ParamSpecUInt64::builder(name).nick(nick).blurb(blurb).read_only().build()
}

/// The specifications.
pub(super) fn properties() -> Vec<glib::ParamSpec> {
    let default = Settings::default();
    vec![
        glib::ParamSpecEnum::builder_with_default("method", default.method)
            .nick("Method")
            .blurb("Where messages go")
            .mutable_ready()
            .build(),
        glib::ParamSpecString::builder("file-path")
            .nick("File path")
            .blurb("[method=file] File to add messages to; 'stdout' = standard output")
            .default_value(STDOUT)
            .mutable_ready()
            .build(),
        glib::ParamSpecEnum::builder_with_default("file-format", default.file_format)
            .nick("File format")
            .blurb("[method=file] How messages lie in the file; a crash leaves json-lines readable, and json without its end")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt64::builder("max-file-size")
            .nick("Maximum file size")
            .blurb("[method=file] Bytes after which the file is set aside under a name with the time, and a new one begun (0 = no limit)")
            .default_value(default.max_file_size)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-file-time")
            .nick("Maximum file time")
            .blurb("[method=file] Seconds after which the file is set aside and a new one begun (0 = no limit)")
            .default_value(default.max_file_time)
            .mutable_ready()
            .build(),
        text(
            "address",
            "Address",
            "[method=mqtt|kafka] The broker, HOST or HOST:PORT, with mqtts:// or kafkas:// before it for TLS; Kafka: several with commas",
        ),
        text("topic", "Topic", "[method=mqtt|kafka] Topic of the messages"),
        text(
            "mqtt-config",
            "MQTT configuration",
            "[method=mqtt] JSON file with client-id, username, password, TLS, ssl_CA_certificate, ssl_client_certificate, \
             ssl_private_key; its address, topic and state-topic go before the properties",
        ),
        text(
            "kafka-config",
            "Kafka configuration",
            "[method=kafka] JSON file with the keys of mqtt-config, and sasl-mechanism (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512)",
        ),
        text("camera", "Camera", "Name of the camera, in every message; with Kafka also the messages' key"),
        glib::ParamSpecEnum::builder_with_default("events", default.events)
            .nick("Events")
            .blurb("What a message is sent for")
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("queue-size")
            .nick("Queue size")
            .blurb("Messages that may wait for delivery; when there are more, the oldest is dropped")
            .minimum(1)
            .default_value(default.queue_size)
            .mutable_ready()
            .build(),
        text(
            "state-topic",
            "State topic",
            "[method=mqtt|kafka] Topic of the camera's state, retained by MQTT brokers. MQTT: unless set TOPIC/state, with /CAMERA behind it \
             where there is a camera; empty: none. Kafka: none unless set",
        ),
        glib::ParamSpecUInt::builder("heartbeat")
            .nick("Heartbeat")
            .blurb("[method=mqtt|kafka] Seconds between two messages with the state, which is sent at every change as well (0 = at changes alone)")
            .default_value(default.heartbeat)
            .mutable_ready()
            .build(),
        glib::ParamSpecUInt::builder("max-silence")
            .nick("Maximum silence")
            .blurb("Seconds without a frame after which inspection counts as interrupted, and a message says so (0 = never)")
            .default_value(default.max_silence)
            .mutable_ready()
            .build(),
        count(
            "published",
            "Published",
            "Messages since the start that were delivered: on the disk, or acknowledged by the broker",
        ),
        count("dropped", "Dropped", "Messages since the start that were given up"),
    ]
}

impl Settings {
    /// Takes over a property's value.
    ///
    /// # Errors
    /// If it is text that is not UTF-8.
    pub(super) fn set(&mut self, value: &glib::Value, pspec: &glib::ParamSpec) -> Result<(), String> {
        match pspec.name() {
            "method" => self.method = value.get().expect("checked by GObject"),
            "file-path" => self.file_path = guard::file_name(value),
            "file-format" => self.file_format = value.get().expect("checked by GObject"),
            "max-file-size" => self.max_file_size = value.get().expect("checked by GObject"),
            "max-file-time" => self.max_file_time = value.get().expect("checked by GObject"),
            "address" => self.address = guard::text(value)?,
            "topic" => self.topic = guard::text(value)?,
            "mqtt-config" => self.mqtt_config = guard::file_name(value),
            "kafka-config" => self.kafka_config = guard::file_name(value),
            "camera" => self.camera = guard::text(value)?,
            "events" => self.events = value.get().expect("checked by GObject"),
            "queue-size" => self.queue_size = value.get().expect("checked by GObject"),
            "state-topic" => self.state_topic = guard::text(value)?,
            "heartbeat" => self.heartbeat = value.get().expect("checked by GObject"),
            "max-silence" => self.max_silence = value.get().expect("checked by GObject"),
            _ => unimplemented!("GObject only sets properties that exist"),
        }
        Ok(())
    }

    /// A property's value; the counters are not settings.
    pub(super) fn get(&self, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "method" => self.method.to_value(),
            "file-path" => self.file_path.to_value(),
            "file-format" => self.file_format.to_value(),
            "max-file-size" => self.max_file_size.to_value(),
            "max-file-time" => self.max_file_time.to_value(),
            "address" => self.address.to_value(),
            "topic" => self.topic.to_value(),
            "mqtt-config" => self.mqtt_config.to_value(),
            "kafka-config" => self.kafka_config.to_value(),
            "camera" => self.camera.to_value(),
            "events" => self.events.to_value(),
            "queue-size" => self.queue_size.to_value(),
            "state-topic" => self.state_topic.to_value(),
            "heartbeat" => self.heartbeat.to_value(),
            "max-silence" => self.max_silence.to_value(),
            _ => unimplemented!("GObject only reads properties that exist"),
        }
    }
}
