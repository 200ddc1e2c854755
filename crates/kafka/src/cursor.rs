//! Reads one partition at a time, from any offset, as often as one likes: for catching up and for looking things up.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::quiet::{Quiet, STATISTICS};
use crate::{Error, Fetched, Record, Settings};

/// A reader that can be put anywhere. It blocks: it belongs on a thread of its own.
pub struct Cursor {
    consumer: BaseConsumer<Quiet>,
    at: Option<(Arc<str>, i32)>,
}

/// What [`Cursor::next`] finds.
#[derive(Debug)]
pub enum Found {
    /// The next committed record.
    Record(Record),
    /// There is no more: the partition ends here, for now.
    End,
    /// Nothing came in the time that was given.
    Nothing,
}

impl Cursor {
    /// A reader of committed records; `ahead_bytes` is what it fetches ahead at most, rounded up to 1 KiB, beside the one
    /// fetch that is on its way.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take.
    pub fn new(settings: &Settings, ahead_bytes: usize, fetched: &Fetched) -> Result<Self, Error> {
        let ahead_kbytes = ahead_bytes.div_ceil(1024).max(1).to_string();
        let consumer = settings
            .client(&[
                STATISTICS,
                ("group.id", "convoy-cursor"),
                ("enable.auto.commit", "false"),
                ("enable.partition.eof", "true"),
                ("isolation.level", "read_committed"),
                // What retention has removed is gone: go on with the oldest record that is there.
                ("auto.offset.reset", "earliest"),
                ("queued.max.messages.kbytes", &ahead_kbytes),
                ("fetch.error.backoff.ms", "50"),
                // The end of a partition is known after this wait.
                ("fetch.wait.max.ms", "10"),
            ])
            .create_with_context(Quiet::counting(fetched))?;
        Ok(Self { consumer, at: None })
    }

    /// Goes to an offset of a partition.
    ///
    /// # Errors
    /// When the client refuses, which would be a fault of ours.
    pub fn seek(
        &mut self,
        kafka_topic: &Arc<str>,
        partition: i32,
        offset: i64,
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(kafka_topic, partition, Offset::Offset(offset.max(0)))?;
        self.consumer.assign(&list)?;
        self.at = Some((Arc::clone(kafka_topic), partition));
        Ok(())
    }

    /// Stops reading until the next [`Self::seek`].
    ///
    /// # Errors
    /// When the client refuses, which would be a fault of ours.
    pub fn rest(&mut self) -> Result<(), Error> {
        self.at = None;
        Ok(self.consumer.unassign()?)
    }

    /// The next record, in order.
    ///
    /// # Errors
    /// What Kafka said; the client tries again by itself, so another call may succeed.
    pub fn next(&mut self, wait: Duration) -> Result<Found, Error> {
        let found = self.consumer.poll(wait);
        let Some((kafka_topic, partition)) = &self.at else {
            return Ok(Found::Nothing);
        };
        match found {
            Some(Ok(message)) => {
                let record = Record::copy(&message, Arc::clone(kafka_topic));
                let is_ours = record.partition == *partition;
                Ok(if is_ours {
                    Found::Record(record)
                } else {
                    Found::Nothing
                })
            }
            Some(Err(KafkaError::PartitionEOF(ended))) if ended == *partition => Ok(Found::End),
            Some(Err(KafkaError::PartitionEOF(_))) | None => Ok(Found::Nothing),
            Some(Err(error)) => Err(error.into()),
        }
    }
}
