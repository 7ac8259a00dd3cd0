//! `method=kafka`: a message counts as published once all replicas in sync have it.

use super::address::Scheme;
use super::broker::{ACKNOWLEDGE_LIMIT, CONNECT_LIMIT, Client, deliver, until_done};
use super::config::{Config, Endpoint, Mechanism};
use super::queue::{Message, Queue};
use super::report::Report;
use super::settings::Settings;
use super::worker::Job;
use crate::Result;
use rskafka::BackoffConfig;
use rskafka::client::error::{Error as ClientError, ProtocolError};
use rskafka::client::partition::{Compression, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client as KafkaClient, ClientBuilder, Credentials, SaslConfig};
use rskafka::record::Record;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::timeout;

const SCHEME: Scheme = Scheme { plain: &["kafka"], secure: &["kafkas"], port: 9092, secure_port: 9093 };

/// Messages in one request.
const BATCH: usize = 500;
/// Bytes in one request, half of what a broker takes unless it was told otherwise.
const BATCH_BYTES: usize = 512 * 1024;
/// How long the client library tries by itself.
const RETRIES: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_millis(500),
    base: 2.0,
    deadline: Some(Duration::from_secs(1)),
};

/// What the settings ask for.
///
/// # Errors
/// If something is missing, malformed, or can't be read.
pub(super) fn prepare(settings: &Settings) -> Result<Job> {
    let config = Config::load(settings.kafka_config.as_deref())?;
    let endpoint = config.endpoint(&SCHEME, settings.address.as_deref(), settings.topic.as_deref())?;
    let state_topic = config.state_topic.as_ref().or(settings.state_topic.as_ref());
    let client = Kafka {
        endpoint,
        state_topic: state_topic.filter(|topic| !topic.is_empty()).cloned(),
        unknown: None,
        client_id: config.client_id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "adpublish".into()),
        mechanism: config.mechanism.unwrap_or_default(),
        key: settings.camera.clone().map(String::into_bytes),
    };
    let states = client.state_topic.is_some();
    Ok(Job { deliver: Box::new(move |queue, report| deliver(queue, report, client)), states })
}

struct Kafka {
    endpoint: Endpoint,
    state_topic: Option<String>,
    /// Why states are not sent, once it was said.
    unknown: Option<String>,
    client_id: String,
    mechanism: Mechanism,
    /// Messages of the same key stay in order.
    key: Option<Vec<u8>>,
}

impl Client for Kafka {
    async fn session(&mut self, queue: &Queue, report: &mut Report) -> Result<(), String> {
        let name = self.endpoint.name();
        let (client, partition) = match until_done(queue, timeout(CONNECT_LIMIT, self.connect())).await {
            None => return Ok(()),
            Some(Err(_)) => {
                return Err(format!("Kafka broker {name}: does not answer within {CONNECT_LIMIT:?}"));
            }
            Some(Ok(Err(trouble))) => {
                return Err(format!("Kafka broker {name}: {}", self.endpoint.explain(&trouble)));
            }
            Some(Ok(Ok(connected))) => connected,
        };
        self.send(&client, &partition, queue, report)
            .await
            .map_err(|trouble| format!("Kafka broker {name}: {}", self.endpoint.explain(&trouble)))
    }
}

impl Kafka {
    async fn connect(&self) -> Result<(KafkaClient, PartitionClient), String> {
        let addresses = self.endpoint.addresses.iter().map(ToString::to_string).collect();
        let mut builder =
            ClientBuilder::new(addresses).client_id(self.client_id.as_str()).backoff_config(RETRIES);
        if let Some(tls) = &self.endpoint.tls {
            builder = builder.tls_config(tls.clone());
        }
        if let Some((name, password)) = self.endpoint.credentials.clone() {
            let credentials = Credentials::new(name, password);
            builder = builder.sasl_config(match self.mechanism {
                Mechanism::Plain => SaslConfig::Plain(credentials),
                Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
                Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
            });
        }
        let client = builder.build().await.map_err(|e| e.to_string())?;
        let partition = self.partition(&client, &self.endpoint.topic).await?;
        Ok((client, partition))
    }

    /// The partition of a topic that the camera's messages go to.
    async fn partition(&self, client: &KafkaClient, topic: &str) -> Result<PartitionClient, String> {
        let topics = client.list_topics().await.map_err(|e| e.to_string())?;
        let found = topics.into_iter().find(|found| found.name == topic);
        let partitions: Vec<i32> = found.into_iter().flat_map(|found| found.partitions).collect();
        let Some(&partition) = partitions.get(self.place(partitions.len())) else {
            return Err(format!("there is no topic '{topic}'; create it"));
        };
        client
            .partition_client(topic, partition, UnknownTopicHandling::Error)
            .await
            .map_err(|e| e.to_string())
    }

    /// Which of so many partitions a camera's messages go to, always the same.
    fn place(&self, partitions: usize) -> usize {
        let hash = Sha256::digest(self.key.as_deref().unwrap_or_default());
        let number = hash.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
        number.checked_rem(partitions as u64).unwrap_or_default() as usize
    }

    async fn send(
        &mut self,
        client: &KafkaClient,
        partition: &PartitionClient,
        queue: &Queue,
        report: &mut Report,
    ) -> Result<(), String> {
        let mut most = BATCH;
        // When a message was acknowledged or none waits to be: that the broker lets us in says little.
        let name = self.endpoint.name();
        let well = |report: &mut Report| report.well(|| format!("delivering to the Kafka broker {name}"));
        let mut states = None;
        let mut announced = 0;
        loop {
            let listener = queue.listen();
            if let Some(state) = queue.announced(&mut announced) {
                self.announce(client, &mut states, state, report).await?;
            }
            let batch = take(queue, most);
            if batch.is_empty() {
                well(report);
                if queue.done() {
                    return Ok(());
                }
                listener.await;
                continue;
            }
            let records = batch.iter().map(|message| self.record(message)).collect();
            match timeout(ACKNOWLEDGE_LIMIT, partition.produce(records, Compression::NoCompression)).await {
                Ok(Ok(_)) => {
                    queue.publish(batch.len());
                    well(report);
                }
                Ok(Err(e)) if too_large(&e) && batch.len() > 1 => {
                    most = 1;
                    queue.put_back(batch.into_iter());
                }
                Ok(Err(e)) if too_large(&e) => {
                    queue.give_up(1);
                    let bytes = batch[0].json.len();
                    report.warn(format!(
                        "a message of {bytes} bytes is dropped: it is larger than the topic takes"
                    ));
                }
                Ok(Err(e)) => {
                    queue.put_back(batch.into_iter());
                    return Err(e.to_string());
                }
                Err(_) => {
                    queue.put_back(batch.into_iter());
                    return Err(format!("does not acknowledge messages within {ACKNOWLEDGE_LIMIT:?}"));
                }
            }
        }
    }

    /// Sends a state. Where it cannot go, messages go on without.
    async fn announce(
        &mut self,
        client: &KafkaClient,
        states: &mut Option<PartitionClient>,
        state: Vec<u8>,
        report: &mut Report,
    ) -> Result<(), String> {
        let Some(topic) = self.state_topic.clone() else { return Ok(()) };
        let partition = match states {
            Some(partition) => partition,
            None => match timeout(CONNECT_LIMIT, self.partition(client, &topic)).await {
                Ok(Ok(partition)) => states.insert(partition),
                Ok(Err(trouble)) => {
                    self.refuse(format!("state-topic: {trouble}"), report);
                    return Ok(());
                }
                Err(_) => return Err(format!("does not answer within {CONNECT_LIMIT:?}")),
            },
        };
        let records = vec![self.record(&Message { json: state, time: glib::real_time() })];
        match timeout(ACKNOWLEDGE_LIMIT, partition.produce(records, Compression::NoCompression)).await {
            Ok(Ok(_)) => self.unknown = None,
            Ok(Err(e)) => {
                *states = None;
                self.refuse(format!("state-topic '{topic}': {e}"), report);
            }
            Err(_) => return Err(format!("does not acknowledge messages within {ACKNOWLEDGE_LIMIT:?}")),
        }
        Ok(())
    }

    fn refuse(&mut self, trouble: String, report: &Report) {
        if self.unknown.as_ref() != Some(&trouble) {
            let name = self.endpoint.name();
            report.remark(&format!("Kafka broker {name}: {trouble}; the state is not sent, messages are"));
            self.unknown = Some(trouble);
        }
    }

    fn record(&self, message: &Message) -> Record {
        Record {
            key: self.key.clone(),
            value: Some(message.json.clone()),
            headers: Default::default(),
            timestamp: chrono::DateTime::from_timestamp_micros(message.time).unwrap_or_default(),
        }
    }
}

fn take(queue: &Queue, most: usize) -> Vec<Message> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < most
        && bytes < BATCH_BYTES
        && let Some(message) = queue.take()
    {
        bytes += message.json.len();
        batch.push(message);
    }
    batch
}

fn too_large(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::ServerError {
            protocol_error: ProtocolError::MessageTooLarge | ProtocolError::RecordListTooLarge,
            ..
        }
    )
}
