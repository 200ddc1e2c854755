//! A record as it was read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers, Message};

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
    /// Headers in their order; a header without a value has an empty one, and one whose name is not UTF-8 is left out.
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
                let all = 0..headers.count();
                all.filter_map(|at| header(headers, at)).collect()
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

/// Kafka's protocol has text for a header's name, but any producer can write what is none, and no broker checks it. There
/// rdkafka panics; so that one such record does not end whoever reads it, now and after each restart, it is passed over.
fn header(headers: &BorrowedHeaders, at: usize) -> Option<(String, Bytes)> {
    let read = || {
        let header = headers.try_get(at)?;
        let value = Bytes::copy_from_slice(header.value.unwrap_or_default());
        Some((header.key.to_owned(), value))
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(None)
}
