//! Reads what a topic holds now, from its first record to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::quiet::Quiet;
use crate::{Error, Position, Record, Settings, admin};

/// Calls `on_record` for each committed record that `kafka_topic` holds when the reading reaches its end, in order per
/// partition, and returns where to go on. Blocks: call it from a blocking thread.
///
/// # Errors
/// When the topic does not exist, or when nothing came and no end was seen for `patience`.
pub fn read_to_end(
    settings: &Settings,
    kafka_topic: &str,
    patience: Duration,
    mut on_record: impl FnMut(Record),
) -> Result<Vec<Position>, Error> {
    // A consumer of its own: the end of a partition is reported without the topic's name.
    let consumer: BaseConsumer<Quiet> = settings
        .client(&[
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("group.id", "convoy-reader"),
            // The server says that a partition has ended only after this wait; Kafka's default is half a second.
            ("fetch.wait.max.ms", "10"),
        ])
        .create_with_context(Quiet::default())?;
    let partitions = admin::partitions(&consumer, kafka_topic, patience)?;
    let mut from_start = TopicPartitionList::new();
    for partition in 0..partitions {
        from_start.add_partition_offset(kafka_topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&from_start)?;

    let name: Arc<str> = kafka_topic.into();
    let mut next: BTreeMap<i32, i64> = (0..partitions).map(|partition| (partition, 0)).collect();
    let mut open = next.clone();
    let mut last_news = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let record = Record::copy(&message, Arc::clone(&name));
                next.insert(record.partition, record.offset + 1);
                on_record(record);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) if last_news.elapsed() >= patience => return Err(error.into()),
            // A broker that is just restarting: the client tries again.
            Some(Err(error)) => {
                tracing::debug!(%error, kafka_topic, "reading");
                continue;
            }
            None if last_news.elapsed() < patience => continue,
            None => {
                return Err(Error::Unreachable {
                    servers: settings.bootstrap_servers().to_owned(),
                    reason: format!("{kafka_topic} sent nothing for {patience:?}"),
                });
            }
        }
        last_news = Instant::now();
    }
    Ok(next
        .into_iter()
        .map(|(partition, offset)| Position { partition, offset })
        .collect())
}
