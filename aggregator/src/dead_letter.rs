//! Where records go that say nothing, each once.
//!
//! | part | content |
//! |---|---|
//! | key | `<topic>/<partition>` of the record, so that its dead letters keep their order |
//! | value | the first [`VALUE_BYTES_MAX`] bytes of its value |
//! | header `reason` | why, at most [`TEXT_BYTES_MAX`] bytes |
//! | headers `topic`, `partition`, `offset` | where the record stands |
//! | header `key` | the first [`TEXT_BYTES_MAX`] bytes of its key; missing when it has none |
//! | header `bytes` | how long its value is |
//!
//! The dead letters themselves say how far this work has got: those of one partition are in the order of its records,
//! and the producer is idempotent, so all up to the highest `offset` are there. A new start reads that and goes on
//! behind it: no offset to commit, nothing to fall out of step.

use std::collections::BTreeMap;
use std::str;
use std::sync::Arc;

use kafka::{Bounds, OnDelivery, Producer, Record, Settings, ToSend};
use service::Shutdown;
use tokio::runtime::Handle;

use crate::metrics::Metrics;
use crate::restore::PATIENCE;

/// So much of a value is kept: enough to see what it is; a record of many megabytes is not copied whole.
pub(crate) const VALUE_BYTES_MAX: usize = 4096;
/// So much of the reason and of the key is kept.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// The highest offset of each partition that is in the dead letters.
pub(crate) type Done = BTreeMap<i32, i64>;

/// Writes dead letters.
pub(crate) struct DeadLetters {
    kafka_topic: String,
    producer: Producer,
    done: Done,
    metrics: Arc<Metrics>,
    runtime: Handle,
    shutdown: Shutdown,
}

impl DeadLetters {
    /// Goes on behind `done`. To be called on the runtime.
    pub(crate) fn new(
        kafka_topic: String,
        producer: Producer,
        done: Done,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            kafka_topic,
            producer,
            done,
            metrics,
            runtime: Handle::current(),
            shutdown,
        }
    }

    /// Writes `record` unless it was written before. Blocks while the producer's queue is full, which is while Kafka
    /// is away: reading then waits too.
    pub(crate) fn write(&mut self, record: &Record, reason: &str) {
        let done = self.done.entry(record.partition).or_insert(-1);
        if record.offset <= *done {
            return;
        }
        *done = record.offset;
        let letter = Letter::of(record, reason);
        let headers = letter.headers();
        let to_send = ToSend {
            kafka_topic: &self.kafka_topic,
            partition: None,
            key: Some(letter.key.as_bytes()),
            value: Some(letter.value),
            headers: &headers,
        };
        let metrics = Arc::clone(&self.metrics);
        let at = (record.partition, record.offset);
        let mut on_delivery: Option<OnDelivery> = Some(Box::new(move |result| match result {
            Ok(_) => {
                metrics.dead_letters.inc();
            }
            Err(error) => {
                metrics.produce_errors.inc();
                tracing::error!(%error, partition = at.0, offset = at.1, "dead letter lost");
            }
        }));
        while let Err(full) = self.producer.send(&to_send, on_delivery.take()) {
            if self.shutdown.is_cancelled() {
                // The next start finds that this one is missing.
                return;
            }
            on_delivery = full.0;
            self.runtime.block_on(self.producer.has_room());
        }
    }
}

/// Reads from the dead letters how far this work has got. Blocks.
///
/// `ends` are those of the positions' topic now: a higher offset is of an earlier topic of that name.
pub(crate) fn done(
    settings: &Settings,
    kafka_topic: &str,
    updates_topic: &str,
    ends: &[Bounds],
) -> Result<Done, kafka::Error> {
    let mut done = Done::new();
    kafka::read_to_end(settings, kafka_topic, PATIENCE, |letter| {
        if let Some((partition, offset)) = stands_for(&letter, updates_topic) {
            let highest = done.entry(partition).or_insert(offset);
            *highest = offset.max(*highest);
        }
    })?;
    done.retain(|partition, offset| {
        ends.iter()
            .any(|bounds| bounds.partition == *partition && *offset < bounds.end)
    });
    Ok(done)
}

/// Partition and offset of the record that a dead letter stands for; none when somebody else wrote it.
fn stands_for(letter: &Record, updates_topic: &str) -> Option<(i32, i64)> {
    let text = |name| str::from_utf8(letter.header(name)?).ok();
    if text("topic")? != updates_topic {
        return None;
    }
    Some((
        text("partition")?.parse().ok()?,
        text("offset")?.parse().ok()?,
    ))
}

/// A dead letter, ready to send.
struct Letter<'a> {
    key: String,
    value: &'a [u8],
    partition: String,
    offset: String,
    bytes: String,
    reason: &'a str,
    record: &'a Record,
}

impl<'a> Letter<'a> {
    fn of(record: &'a Record, reason: &'a str) -> Self {
        let value = record.value.as_deref().unwrap_or_default();
        Self {
            key: format!("{}/{}", record.kafka_topic, record.partition),
            value: first(value, VALUE_BYTES_MAX),
            partition: record.partition.to_string(),
            offset: record.offset.to_string(),
            bytes: value.len().to_string(),
            // A parser quotes what it met, however long that is.
            reason: &reason[..reason.floor_char_boundary(TEXT_BYTES_MAX)],
            record,
        }
    }

    fn headers(&self) -> Vec<(&'static str, &[u8])> {
        let mut headers = vec![
            ("reason", self.reason.as_bytes()),
            ("topic", self.record.kafka_topic.as_bytes()),
            ("partition", self.partition.as_bytes()),
            ("offset", self.offset.as_bytes()),
            ("bytes", self.bytes.as_bytes()),
        ];
        if let Some(key) = &self.record.key {
            headers.push(("key", first(key, TEXT_BYTES_MAX)));
        }
        headers
    }
}

fn first(bytes: &[u8], max: usize) -> &[u8] {
    &bytes[..bytes.len().min(max)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn record(key: Option<&[u8]>, value: &[u8]) -> Record {
        Record {
            kafka_topic: "vehicle_updates".into(),
            partition: 3,
            offset: 41,
            timestamp_ms: 0,
            key: key.map(Bytes::copy_from_slice),
            value: Some(Bytes::copy_from_slice(value)),
            headers: vec![],
        }
    }

    #[test]
    fn a_letter_names_its_record_and_is_short_however_long_that_is() {
        let huge = vec![b'x'; 10_000_000];
        let record = record(Some(&huge), &huge);
        let reason = "ä".repeat(1000);
        let letter = Letter::of(&record, &reason);
        assert_eq!(letter.key, "vehicle_updates/3");
        assert_eq!(letter.value.len(), VALUE_BYTES_MAX);
        let short = "ä".repeat(TEXT_BYTES_MAX / 2);
        assert_eq!(
            letter.headers(),
            [
                ("reason", short.as_bytes()),
                ("topic", b"vehicle_updates"),
                ("partition", b"3"),
                ("offset", b"41"),
                ("bytes", b"10000000"),
                ("key", &huge[..TEXT_BYTES_MAX]),
            ]
        );
    }

    #[test]
    fn a_letter_says_which_record_it_stands_for() {
        let bad = record(None, b"?");
        let letter = Letter::of(&bad, "reason");
        let mut written = record(None, b"?");
        written.headers = letter
            .headers()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value)))
            .collect();
        assert_eq!(stands_for(&written, "vehicle_updates"), Some((3, 41)));
        assert_eq!(stands_for(&written, "another_topic"), None);
        written.headers.retain(|(name, _)| name != "offset");
        assert_eq!(stands_for(&written, "vehicle_updates"), None);
    }
}
