//! `method=mqtt`: QoS 1, so that a message counts as published once the broker has acknowledged it.

use super::address::Scheme;
use super::broker::{ACKNOWLEDGE_LIMIT, CONNECT_LIMIT, Client, deliver, until_done};
use super::config::{Config, Endpoint};
use super::queue::{Message, Queue};
use super::report::Report;
use super::settings::Settings;
use super::status::Terms;
use super::trouble::{self, GONE};
use super::worker::Job;
use crate::{Error, Result};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, QoS,
    TlsConfiguration, Transport,
};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

const SCHEME: Scheme =
    Scheme { plain: &["mqtt", "tcp"], secure: &["mqtts", "ssl"], port: 1883, secure_port: 8883 };

/// Messages that may be on their way without being acknowledged.
const WINDOW: u16 = 64;
/// How often an idle connection is tried.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The largest packet that the protocol can describe.
const LARGEST_PACKET: usize = 268_435_460;
/// The largest packet that a broker may send us; acknowledgements are small.
const LARGEST_ANSWER: usize = 64 * 1024;
/// The longest topic that the protocol can describe, in bytes.
const LONGEST_TOPIC: usize = 65_535;
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_millis(200);

/// What the settings ask for.
///
/// # Errors
/// If something is missing, malformed, or can't be read.
pub(super) fn prepare(settings: &Settings, terms: &Terms) -> Result<Job> {
    let config = Config::load(settings.mqtt_config.as_deref())?;
    if config.mechanism.is_some() {
        return Err(Error::Setting("mqtt-config: sasl-mechanism is for Kafka".into()));
    }
    let endpoint = config.endpoint(&SCHEME, settings.address.as_deref(), settings.topic.as_deref())?;
    check_topic("topic", &endpoint.topic)?;
    let state_topic = state_topic(settings, &config, &endpoint.topic)?;
    let [address] = endpoint.addresses.as_slice() else {
        return Err(Error::Setting(format!("address '{}': MQTT takes one", endpoint.name())));
    };
    // Two clients of the same name would throw each other out.
    let id = config.client_id.clone().filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| format!("adpublish-{}", glib::uuid_string_random()));
    // The client puts host and port together itself.
    let host = if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() };
    let mut options = MqttOptions::new(id, host, address.port);
    options
        .set_keep_alive(KEEP_ALIVE)
        .set_inflight(WINDOW)
        .set_max_packet_size(LARGEST_ANSWER, LARGEST_PACKET);
    if let Some(tls) = &endpoint.tls {
        options.set_transport(Transport::Tls(TlsConfiguration::Rustls(tls.clone())));
    }
    if let Some((name, password)) = &endpoint.credentials {
        options.set_credentials(name, password);
    }
    if let Some(topic) = &state_topic {
        options.set_last_will(LastWill::new(topic, terms.last_will(), QoS::AtLeastOnce, true));
    }
    let states = state_topic.is_some();
    let client = Mqtt { endpoint, options, state_topic };
    Ok(Job { deliver: Box::new(move |queue, report| deliver(queue, report, client)), states })
}

/// Where the state goes, if it is wanted: cameras that share a topic have one each.
fn state_topic(settings: &Settings, config: &Config, topic: &str) -> Result<Option<String>> {
    let state = match config.state_topic.as_ref().or(settings.state_topic.as_ref()) {
        Some(given) => given.clone(),
        None => match settings.camera.as_deref().filter(|camera| !camera.is_empty()) {
            None => format!("{topic}/state"),
            Some(camera) => {
                let usable = |c: char| if "+#".contains(c) || c.is_control() { '_' } else { c };
                format!("{topic}/state/{}", camera.chars().map(usable).collect::<String>())
            }
        },
    };
    if state.is_empty() {
        return Ok(None);
    }
    check_topic("state-topic", &state)?;
    Ok(Some(state))
}

fn check_topic(property: &str, topic: &str) -> Result<()> {
    let problem = if topic.contains(['+', '#']) {
        "'+' and '#' are for those who subscribe"
    } else if topic.contains('\0') || topic.len() > LONGEST_TOPIC {
        "not a name that MQTT knows"
    } else {
        return Ok(());
    };
    Err(Error::Setting(format!("{property} '{topic}': {problem}")))
}

struct Mqtt {
    endpoint: Endpoint,
    options: MqttOptions,
    state_topic: Option<String>,
}

/// Something that was handed over.
struct Sent {
    /// None: a state, which nobody needs when another has come.
    message: Option<Message>,
    /// The number under which it will be acknowledged, once it is under way.
    packet: Option<u16>,
}

impl Client for Mqtt {
    async fn session(&mut self, queue: &Queue, report: &mut Report) -> Result<(), String> {
        // A client of its own for every connection: it starts with nothing on its way, and what was on the way before is ours to repeat.
        let (client, mut connection) = AsyncClient::new(self.options.clone(), WINDOW.into());
        let name = self.endpoint.name();
        match until_done(queue, timeout(CONNECT_LIMIT, connection.poll())).await {
            None => return Ok(()),
            Some(Err(_)) => {
                return Err(format!("MQTT broker {name}: does not answer within {CONNECT_LIMIT:?}"));
            }
            Some(Ok(Err(e))) => {
                return Err(format!("MQTT broker {name}: {}", self.endpoint.explain(&describe(&e))));
            }
            Some(Ok(Ok(_))) => (),
        }
        let mut sent = VecDeque::new();
        let well = || report.well(|| format!("delivering to the MQTT broker {name}"));
        let result = self.exchange(&client, connection, queue, &mut sent, well).await;
        let left: Vec<Message> = sent.into_iter().filter_map(|sent: Sent| sent.message).collect();
        queue.put_back(left.into_iter());
        result.map_err(|trouble| format!("MQTT broker {name}: {}", self.endpoint.explain(&trouble)))
    }
}

impl Mqtt {
    /// Hands messages over and waits for their acknowledgements until the queue is done; what is left in `sent` on failure has none.
    ///
    /// `well` is called when something was acknowledged or none waits to be: that the broker lets us in says little.
    async fn exchange(
        &self,
        client: &AsyncClient,
        connection: EventLoop,
        queue: &Queue,
        sent: &mut VecDeque<Sent>,
        mut well: impl FnMut(),
    ) -> Result<(), String> {
        let (events, mut coming) = mpsc::channel(WINDOW.into());
        let mut tasks = JoinSet::new();
        tasks.spawn(run(connection, events));
        let mut progress = Instant::now();
        // A broker that has died may have forgotten the state.
        let mut announced = 0;
        loop {
            let listener = queue.listen();
            while sent.len() < usize::from(WINDOW)
                && let Some((topic, retain, payload, message)) = self.next(queue, &mut announced)
            {
                if sent.is_empty() {
                    progress = Instant::now();
                }
                let handed = client.try_publish(topic, QoS::AtLeastOnce, retain, payload);
                sent.push_back(Sent { message, packet: None });
                handed.map_err(|e| e.to_string())?;
            }
            if sent.is_empty() {
                well();
            }
            if sent.is_empty() && queue.done() {
                // The broker may be gone; it was given what there was.
                let _ = timeout(FAREWELL, farewell(client, &mut coming)).await;
                return Ok(());
            }
            tokio::select! {
                event = coming.recv() => match event {
                    Some(Ok(Event::Outgoing(Outgoing::Publish(packet)))) => {
                        if let Some(next) = sent.iter_mut().find(|sent| sent.packet.is_none()) {
                            next.packet = Some(packet);
                        }
                    }
                    Some(Ok(Event::Incoming(Packet::PubAck(ack)))) => {
                        if let Some(place) = sent.iter().position(|sent| sent.packet == Some(ack.pkid)) {
                            let message = sent.remove(place).is_some_and(|sent| sent.message.is_some());
                            queue.publish(usize::from(message));
                            well();
                            progress = Instant::now();
                        }
                    }
                    Some(Ok(_)) => (),
                    Some(Err(e)) => return Err(describe(&e)),
                    None => return Err(GONE.into()),
                },
                () = listener => (),
                () = sleep_until(progress + ACKNOWLEDGE_LIMIT), if !sent.is_empty() => {
                    return Err(format!("does not acknowledge messages within {ACKNOWLEDGE_LIMIT:?}"));
                }
            }
        }
    }

    /// What is to be sent next: a new state before the messages that wait. Its topic, whether it is retained, its bytes and, unless it is a
    /// state, the message.
    fn next(&self, queue: &Queue, announced: &mut u64) -> Option<(&str, bool, Vec<u8>, Option<Message>)> {
        if let Some(topic) = &self.state_topic
            && let Some(state) = queue.announced(announced)
        {
            return Some((topic, true, state, None));
        }
        let message = queue.take()?;
        Some((&self.endpoint.topic, false, message.json.clone(), Some(message)))
    }
}

/// Drives a connection. In a task of its own, so that nothing of it is cut off half-way while we look at the queue.
async fn run(mut connection: EventLoop, events: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = connection.poll().await;
        let failed = event.is_err();
        if events.send(event).await.is_err() || failed {
            return;
        }
    }
}

async fn farewell(client: &AsyncClient, coming: &mut mpsc::Receiver<Result<Event, ConnectionError>>) {
    if client.try_disconnect().is_ok() {
        while let Some(Ok(event)) = coming.recv().await {
            if event == Event::Outgoing(Outgoing::Disconnect) {
                return;
            }
        }
    }
}

/// The client's words, but for those that nobody would understand.
fn describe(error: &ConnectionError) -> String {
    use rumqttc::{ConnectReturnCode, Error as Packets, StateError};
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let hint = match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                    "; check username and password in mqtt-config"
                }
                ConnectReturnCode::BadClientId => "; give another client-id in mqtt-config",
                _ => "",
            };
            format!("refuses us: {code:?}{hint}")
        }
        ConnectionError::Io(e)
        | ConnectionError::Tls(rumqttc::TlsError::Io(e))
        | ConnectionError::MqttState(StateError::Io(e) | StateError::Deserialization(Packets::Io(e))) => {
            trouble::io(e)
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => GONE.into(),
        ConnectionError::MqttState(StateError::AwaitPingResp | StateError::CollisionTimeout)
        | ConnectionError::NetworkTimeout
        | ConnectionError::FlushTimeout => "does not answer any more".into(),
        ConnectionError::MqttState(StateError::Deserialization(_)) | ConnectionError::NotConnAck(_) => {
            "answers with something that is not MQTT 3.1.1; check the port, and whether it wants TLS (mqtts://)".into()
        }
        e => e.to_string(),
    }
}
