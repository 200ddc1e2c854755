//! A message on its way from Kafka to subscribers: what is only needed when somebody wants it is made then, and once.

use std::cell::OnceCell;
use std::sync::Arc;

use kafka::Record;
use mqtt::session::{Extra, Message, Origin};

use crate::logs::Logs;
use crate::record;

/// A record that is a message, or a message of the node's own.
pub(crate) struct Routed<'a> {
    topic: &'a str,
    record: Option<(&'a Record, Origin)>,
    message: OnceCell<Option<Arc<Message>>>,
    source: OnceCell<Extra>,
}

impl<'a> Routed<'a> {
    /// A record whose MQTT topic is known; `None` when it is of a topic that no message is read from.
    pub(crate) fn of(record: &'a Record, topic: &'a str, logs: &Logs) -> Option<Self> {
        let log = logs.number(&record.kafka_topic, record.partition)?;
        let origin = Origin {
            log,
            offset: record.offset,
        };
        Some(Self {
            topic,
            record: Some((record, origin)),
            message: OnceCell::new(),
            source: OnceCell::new(),
        })
    }

    /// A message of the node's own, which is in no log.
    pub(crate) fn made(message: &'a Arc<Message>) -> Self {
        Self {
            topic: message.topic().as_str(),
            record: None,
            message: OnceCell::from(Some(Arc::clone(message))),
            source: OnceCell::new(),
        }
    }

    /// Its MQTT topic.
    pub(crate) fn topic(&self) -> &str {
        self.topic
    }

    /// Where it is in the log.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.record.map(|(_, origin)| origin)
    }

    /// Client identifier of the publisher, where it is known.
    pub(crate) fn publisher(&self) -> Option<&[u8]> {
        let (record, _) = self.record?;
        record.header(record::CLIENT).map(|client| &client[..])
    }

    /// The message; `None` when it has expired, or can't be one.
    pub(crate) fn message(&self) -> Option<&Arc<Message>> {
        self.message
            .get_or_init(|| {
                let (record, origin) = self.record?;
                let message = record::message(record, self.topic)?;
                Some(Arc::new(message.at(origin, record.timestamp_ms)))
            })
            .as_ref()
    }

    /// Where it is in Kafka, as user properties for those who asked.
    pub(crate) fn source(&self) -> Option<Extra> {
        let (record, _) = self.record?;
        let made = self.source.get_or_init(|| {
            record::source(
                &record.kafka_topic,
                record.partition,
                record.offset,
                record.timestamp_ms,
            )
        });
        Some(Extra::clone(made))
    }
}
