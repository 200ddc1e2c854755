//! Persistent sessions and the records that they have to get, each once and in order.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use kafka::{Producer, ToSend};
use mqtt::packet::Ack;
use mqtt::{Packet, Version};

use crate::client::{Client, Options, Stamp, payload};
use crate::kafka_server::Kafka;

const PAYLOAD_BYTES: usize = 100;
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Nothing for so long, and the rest never comes.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// A client whose session outlives its connection.
pub(crate) const PERSISTENT: Options = Options {
    version: Version::V5,
    clean_start: false,
    keep_alive_s: 0,
    session_expiry_s: 3600,
};

/// Writes messages straight to Kafka.
pub(crate) struct Writer {
    producer: Producer,
    kafka_topic: String,
    value: Vec<u8>,
    /// Of all keys and values.
    pub(crate) bytes: u64,
}

impl Writer {
    pub(crate) fn new(kafka: &Kafka) -> anyhow::Result<Self> {
        Ok(Self {
            producer: Producer::new(&kafka.settings(), QUEUE_BYTES)?,
            kafka_topic: kafka.topic("messages"),
            value: payload(PAYLOAD_BYTES),
            bytes: 0,
        })
    }

    /// Number `sequence` of topic number `at`.
    pub(crate) async fn write(&mut self, topic: &str, at: usize, sequence: u32) {
        let stamp = Stamp {
            publisher: at as u32,
            sequence,
            sent_ns: 0,
        };
        stamp.write(&mut self.value);
        let record = ToSend {
            kafka_topic: &self.kafka_topic,
            partition: None,
            key: Some(topic.as_bytes()),
            value: Some(&self.value),
            headers: &[],
        };
        while self.producer.send(&record, None).is_err() {
            self.producer.has_room().await;
        }
        self.bytes += (topic.len() + self.value.len()) as u64;
    }

    /// Waits until Kafka has all.
    pub(crate) async fn finish(&self) -> anyhow::Result<()> {
        Ok(self.producer.flush(SILENCE).await?)
    }
}

/// Takes the next message, which must be this one.
pub(crate) async fn next_is(client: &mut Client, at: usize, expected: u32) -> anyhow::Result<()> {
    let packet = tokio::time::timeout(SILENCE, client.next())
        .await
        .with_context(|| format!("session {at} has waited for number {expected} in vain"))??;
    let Some(Packet::Publish(publish)) = packet else {
        bail!("session {at}: {packet:?} instead of a message");
    };
    let stamp = Stamp::read(&publish.payload).context("a payload of another form")?;
    ensure!(
        (stamp.publisher as usize, stamp.sequence) == (at, expected),
        "session {at} got {stamp:?} instead of number {expected}"
    );
    let id = publish
        .packet_id
        .context("a QoS 1 message has an identifier")?;
    client.send(&Packet::PubAck(Ack::success(id))).await
}
