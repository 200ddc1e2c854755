//! A record as it was read.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers, Message};

/// A partition and the offset of the next record wanted from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Partition number, from 0.
    pub partition: i32,
    /// Offset of the next record.
    pub offset: i64,
}

/// One record, with its own copy of the bytes.
#[derive(Clone, Debug)]
pub struct Record {
    /// The Kafka topic; shared, since many records have the same.
    pub kafka_topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch: when it was created, or appended, as the topic is set up; 0 when unknown.
    pub timestamp_ms: i64,
    /// The key, if it has one.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in their order; a header without a value has an empty one.
    pub headers: Vec<(String, Bytes)>,
}

impl Record {
    pub(crate) fn copy(message: &BorrowedMessage<'_>, kafka_topic: Arc<str>) -> Self {
        Self {
            kafka_topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers
                    .iter()
                    .map(|header| {
                        (
                            header.key.to_owned(),
                            Bytes::copy_from_slice(header.value.unwrap_or_default()),
                        )
                    })
                    .collect()
            }),
        }
    }

    /// The value of the first header with this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}
