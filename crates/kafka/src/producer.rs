//! The producer: idempotent, `acks=all`, bounded by bytes, and it says of each record whether Kafka has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::util::IntoOpaque;
use tokio::sync::{Notify, oneshot};

use crate::{Error, Position, Settings};

/// What is called, once, on the producer's own thread when Kafka has acknowledged a record (with where it is) or
/// refused it. It must be short.
pub type OnDelivery = Box<dyn FnOnce(Result<Position, Error>) + Send + Sync>;

/// A record to send.
pub struct ToSend<'a> {
    /// The Kafka topic.
    pub kafka_topic: &'a str,
    /// Where it goes; `None`: the key decides, by murmur2, as Java's producer does it.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in their order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A record that waits to be stored, with its own copy of the bytes.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The Kafka topic; shared, since many records have the same.
    pub kafka_topic: Arc<str>,
    /// Where it goes; `None`: the key decides, as in [`ToSend`].
    pub partition: Option<i32>,
    /// The key.
    pub key: Vec<u8>,
    /// `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in their order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl NewRecord {
    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// Lends it to a producer.
    pub fn with<T>(&self, send: impl FnOnce(&ToSend<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        send(&self.lent(&headers))
    }

    /// The same for as long as one likes, with headers that are lent, too.
    pub fn lent<'a>(&'a self, headers: &'a [(&'a str, &'a [u8])]) -> ToSend<'a> {
        ToSend {
            kafka_topic: &self.kafka_topic,
            partition: self.partition,
            key: Some(&self.key),
            value: self.value.as_deref(),
            headers,
        }
    }
}

/// The producer's queue is full: try again after [`Producer::has_room`]. Hands the callback back.
pub struct Full(pub Option<OnDelivery>);

/// Sends records. Cheap to clone.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<ThreadedProducer<Context>>,
    room: Arc<Notify>,
}

impl Producer {
    /// A producer that keeps at most `queue_bytes` of records that Kafka has not acknowledged yet.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take.
    pub fn new(settings: &Settings, queue_bytes: usize) -> Result<Self, Error> {
        let room = Arc::new(Notify::new());
        let queue_kbytes = (queue_bytes / 1024).max(1).to_string();
        let inner = settings
            .client(&[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                // Java's partitioner, so that other producers' records of a key land on the same partition.
                ("partitioner", "murmur2_random"),
                // At a few thousand records a second each partition's batch then holds several: measured with 2,500 a second over 6
                // partitions, a quarter less CPU than with 1 ms (docs/benchmarks.md says how).
                ("linger.ms", "5"),
                // A record is not given up while Kafka is away; the queue's bound is what limits the wait.
                ("message.timeout.ms", "0"),
                ("queue.buffering.max.kbytes", &queue_kbytes),
                ("queue.buffering.max.messages", "1000000"),
            ])
            .create_with_context(Context {
                room: Arc::clone(&room),
            })?;
        Ok(Self {
            inner: Arc::new(inner),
            room,
        })
    }

    /// Puts a record into the queue.
    ///
    /// # Errors
    /// [`Full`] when the queue is. A record that can't be sent at all is reported to `on_delivery`.
    pub fn send(&self, record: &ToSend<'_>, on_delivery: Option<OnDelivery>) -> Result<(), Full> {
        let callback = Box::new(Callback(Mutex::new(on_delivery)));
        match self.inner.send(base_record(record, callback)) {
            Ok(()) => Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), base)) => {
                Err(Full(base.delivery_opaque.0.into_inner()))
            }
            Err((error, base)) => {
                if let Some(on_delivery) = base.delivery_opaque.0.into_inner() {
                    on_delivery(Err(error.into()));
                }
                Ok(())
            }
        }
    }

    /// Stores one record and waits until Kafka has it.
    ///
    /// # Errors
    /// When Kafka refuses it, or the producer ends.
    pub async fn append(&self, record: &ToSend<'_>) -> Result<Position, Error> {
        let (answer, answered) = oneshot::channel();
        let answer = Mutex::new(Some(answer));
        let mut on_delivery: Option<OnDelivery> = Some(Box::new(move |result| {
            // Whoever waited may have given up.
            let _gone = answer.into_inner().map(|answer| answer.send(result));
        }));
        while let Err(Full(back)) = self.send(record, on_delivery) {
            on_delivery = back;
            self.has_room().await;
        }
        answered.await.unwrap_or(Err(Error::Ended))
    }

    /// Waits until a record has left the queue, or 100 ms: whoever found it full may try again.
    pub async fn has_room(&self) {
        // The bound covers the record that left between the failed try and this call.
        let _elapsed = tokio::time::timeout(Duration::from_millis(100), self.room.notified()).await;
    }

    /// Asks the cluster whether it is there.
    ///
    /// # Errors
    /// When nothing answers within `timeout`.
    pub async fn probe(&self, timeout: Duration) -> Result<(), Error> {
        let producer = self.clone();
        tokio::task::spawn_blocking(move || {
            let client = producer.inner.client();
            client.fetch_metadata(None, timeout).map(drop)
        })
        .await
        .expect("a call into librdkafka does not panic")
        .map_err(Error::from)
    }

    /// Records that Kafka has not acknowledged yet.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.inner.in_flight_count()).unwrap_or(0)
    }

    /// Waits until Kafka has acknowledged all, at most `timeout`.
    ///
    /// # Errors
    /// When the time was not enough.
    pub async fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let producer = self.clone();
        tokio::task::spawn_blocking(move || producer.inner.flush(timeout))
            .await
            .expect("flush does not panic")
            .map_err(Error::from)
    }
}

/// A record as the client takes it.
pub(crate) fn base_record<'a, O: IntoOpaque>(
    record: &ToSend<'a>,
    opaque: O,
) -> BaseRecord<'a, [u8], [u8], O> {
    let mut base = BaseRecord::with_opaque_to(record.kafka_topic, opaque);
    base.partition = record.partition;
    base.key = record.key;
    base.payload = record.value;
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(*value),
            });
        }
        base.headers = Some(headers);
    }
    base
}

struct Callback(Mutex<Option<OnDelivery>>);

struct Context {
    room: Arc<Notify>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::settings::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Callback>;

    fn delivery(&self, result: &DeliveryResult<'_>, callback: Self::DeliveryOpaque) {
        // One waiter for each record that left, so that paused connections wake one by one, not as a herd.
        self.room.notify_one();
        if let Some(on_delivery) = callback.0.into_inner() {
            on_delivery(match result {
                Ok(message) => Ok(Position {
                    partition: message.partition(),
                    offset: message.offset(),
                }),
                Err((error, _)) => Err(error.clone().into()),
            });
        }
    }
}
