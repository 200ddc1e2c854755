//! Asks where a topic's partitions begin and end, again and again on one connection: for the lag of a reader, and to
//! know whether the cluster answers.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::quiet::Quiet;
use crate::{Error, Position, Settings, admin};

/// The records that a partition holds: from `first`, and before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Partition number, from 0.
    pub partition: i32,
    /// Offset of the oldest record that is still there.
    pub first: i64,
    /// Offset that the next record will get.
    pub end: i64,
}

/// Cheap to ask; does not read any record.
pub struct Ends {
    consumer: Arc<BaseConsumer<Quiet>>,
}

impl Ends {
    /// Connects when it is first asked.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::seeing(settings, "read_committed")
    }

    /// The same, but a partition ends behind what a transaction has written that is not committed: no record which was
    /// acknowledged before the call is behind that end.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn uncommitted(settings: &Settings) -> Result<Self, Error> {
        Self::seeing(settings, "read_uncommitted")
    }

    fn seeing(settings: &Settings, isolation: &str) -> Result<Self, Error> {
        let consumer = settings
            .client(&[("group.id", "convoy-ends"), ("isolation.level", isolation)])
            .create_with_context(Quiet::default())?;
        Ok(Self {
            consumer: Arc::new(consumer),
        })
    }

    /// The offset of the first record of each partition that is not older than `timestamp_ms`, milliseconds since the
    /// Unix epoch; the partition's end where there is none.
    ///
    /// # Errors
    /// As for [`Self::of`].
    pub async fn since(
        &self,
        kafka_topic: &str,
        timestamp_ms: i64,
        timeout: Duration,
    ) -> Result<Vec<Position>, Error> {
        let bounds = self.of(kafka_topic, timeout).await?;
        let consumer = Arc::clone(&self.consumer);
        let kafka_topic = kafka_topic.to_owned();
        admin::blocking(move || {
            let mut asked = TopicPartitionList::new();
            for bounds in &bounds {
                let time = Offset::Offset(timestamp_ms);
                asked.add_partition_offset(&kafka_topic, bounds.partition, time)?;
            }
            let found = consumer.offsets_for_times(asked, timeout)?;
            Ok(bounds
                .iter()
                .map(|bounds| {
                    let found = found.find_partition(&kafka_topic, bounds.partition);
                    Position {
                        partition: bounds.partition,
                        offset: match found.map(|element| element.offset()) {
                            Some(Offset::Offset(offset)) => offset,
                            _ => bounds.end,
                        },
                    }
                })
                .collect())
        })
        .await
    }

    /// Where each of the first `partitions` of a topic ends: one request for each node of the cluster.
    ///
    /// # Errors
    /// When the cluster does not answer within `timeout`.
    pub async fn latest(
        &self,
        kafka_topic: &str,
        partitions: usize,
        timeout: Duration,
    ) -> Result<Vec<Position>, Error> {
        let consumer = Arc::clone(&self.consumer);
        let kafka_topic = kafka_topic.to_owned();
        admin::blocking(move || {
            let mut asked = TopicPartitionList::new();
            for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
                asked.add_partition_offset(&kafka_topic, partition, Offset::End)?;
            }
            let found = consumer.offsets_for_times(asked, timeout)?;
            found
                .elements()
                .iter()
                .map(|element| match (element.error(), element.offset()) {
                    (Ok(()), Offset::Offset(offset)) => Ok(Position {
                        partition: element.partition(),
                        offset,
                    }),
                    (Err(error), _) => Err(error.into()),
                    (Ok(()), _) => Err(Error::NoTopic(kafka_topic.clone())),
                })
                .collect()
        })
        .await
    }

    /// The bounds of each partition of `kafka_topic`, in their order.
    ///
    /// # Errors
    /// When the topic does not exist, or the cluster does not answer; each of the calls (one, and one per partition)
    /// may take `timeout`.
    pub async fn of(&self, kafka_topic: &str, timeout: Duration) -> Result<Vec<Bounds>, Error> {
        let consumer = Arc::clone(&self.consumer);
        let kafka_topic = kafka_topic.to_owned();
        admin::blocking(move || {
            let partitions = admin::partitions(&consumer, &kafka_topic, timeout)?;
            (0..partitions)
                .map(|partition| {
                    let (first, end) = admin::bounds(&consumer, &kafka_topic, partition, timeout)?;
                    Ok(Bounds {
                        partition,
                        first,
                        end,
                    })
                })
                .collect()
        })
        .await
    }
}
