//! Follows the end of any number of topics on one thread.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::quiet::Quiet;
use crate::{Bounds, Ends, Error, Position, Record, Settings};

/// How long a call about one topic (partitions, end offsets) may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to start following a topic.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the end as it is now: only later records come.
    End,
    /// From these positions; partitions that are not named start at their first record.
    At(Vec<Position>),
}

/// Follows topics; each record that comes is given to one function, in order per partition.
/// Topics are added and removed while it runs. Dropping it stops the thread.
pub struct Tail {
    consumer: Arc<BaseConsumer<Quiet>>,
    /// Asks on a connection of its own: on the reading one, each answer would wait for the fetch before it.
    ends: Ends,
    positions: Arc<Positions>,
    changing: tokio::sync::Mutex<()>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tail {
    /// Starts the thread; `on_record` runs on it.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take, or no thread can be started.
    pub fn start(
        settings: &Settings,
        name: &str,
        on_record: impl FnMut(Record) + Send + 'static,
    ) -> Result<Self, Error> {
        let consumer: BaseConsumer<Quiet> = settings
            .client(&[
                ("group.id", "convoy-tail"),
                ("enable.auto.commit", "false"),
                ("isolation.level", "read_committed"),
                // A record that retention removed before we read it: go on with the oldest that is there.
                ("auto.offset.reset", "earliest"),
                // What the client reads ahead of us, at most.
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.error.backoff.ms", "50"),
                // A topic that is added waits for the fetch that is under way: not longer than this.
                ("fetch.wait.max.ms", "100"),
            ])
            .create_with_context(Quiet)?;
        let consumer = Arc::new(consumer);
        let positions = Arc::new(Positions::default());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn({
                let (consumer, positions, stop) = (
                    Arc::clone(&consumer),
                    Arc::clone(&positions),
                    Arc::clone(&stop),
                );
                move || poll(&consumer, &positions, &stop, on_record)
            })
            .map_err(|error| Error::Setting {
                name: "threads".into(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            consumer,
            ends: Ends::new(settings)?,
            positions,
            changing: tokio::sync::Mutex::new(()),
            stop,
            thread: Some(thread),
        })
    }

    /// Starts following `kafka_topic`. When this returns, every record from the start on will be delivered.
    /// Does nothing when it is followed already.
    ///
    /// # Errors
    /// When the topic does not exist or the cluster does not answer.
    pub async fn follow(&self, kafka_topic: &str, start: Start) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        if self.positions.follows(kafka_topic) {
            return Ok(());
        }
        let bounds = self.ends.of(kafka_topic, CALL_TIMEOUT).await?;
        let from = start_positions(&bounds, &start);
        let mut list = TopicPartitionList::new();
        for position in &from {
            let offset = Offset::Offset(position.offset);
            list.add_partition_offset(kafka_topic, position.partition, offset)?;
        }
        // Known before the first record can come, so that none is counted as unknown.
        self.positions.add(&kafka_topic.into(), &from);
        self.consumer.incremental_assign(&list).map_err(|error| {
            self.positions.remove(kafka_topic);
            error.into()
        })
    }

    /// Stops following `kafka_topic`.
    ///
    /// # Errors
    /// When the client refuses, which would be a fault of ours.
    pub async fn unfollow(&self, kafka_topic: &str) -> Result<(), Error> {
        let _one_at_a_time = self.changing.lock().await;
        let partitions = self.positions.remove(kafka_topic);
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(kafka_topic, i32::try_from(partition).unwrap_or(i32::MAX));
        }
        if partitions > 0 {
            self.consumer.incremental_unassign(&list)?;
        }
        Ok(())
    }

    /// Waits until every record before each of `targets` has been given to the function. Partitions of a topic that
    /// is not followed count as reached.
    pub async fn reached(&self, kafka_topic: &str, targets: &[Position]) {
        let mut changes = self.positions.waiters.subscribe();
        while !self.positions.reached(kafka_topic, targets) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows kafka had panicked");
        }
    }
}

fn start_positions(bounds: &[Bounds], start: &Start) -> Vec<Position> {
    let offset = |bounds: &Bounds| match start {
        Start::End => bounds.end,
        Start::At(at) => at
            .iter()
            .find(|at| at.partition == bounds.partition)
            .map_or(bounds.first, |at| at.offset),
    };
    bounds
        .iter()
        .map(|bounds| Position {
            partition: bounds.partition,
            offset: offset(bounds),
        })
        .collect()
}

fn poll(
    consumer: &BaseConsumer<Quiet>,
    positions: &Positions,
    stop: &AtomicBool,
    mut on_record: impl FnMut(Record),
) {
    let mut names: HashMap<String, Arc<str>> = HashMap::new();
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let name = match names.get(message.topic()) {
                    Some(name) => Arc::clone(name),
                    None => {
                        let name: Arc<str> = message.topic().into();
                        names.insert(message.topic().to_owned(), Arc::clone(&name));
                        name
                    }
                };
                let (partition, offset) = (message.partition(), message.offset());
                let record = Record::copy(&message, Arc::clone(&name));
                on_record(record);
                positions.advance(&name, partition, offset + 1);
            }
            // The client tries again by itself; the part's own health check reports a cluster that is away.
            Some(Err(error)) => tracing::debug!(%error, "following kafka"),
            None => {}
        }
    }
}

/// The next offset of each followed partition; index is the partition.
struct Positions {
    next: Mutex<HashMap<Arc<str>, Vec<i64>>>,
    waiters: watch::Sender<()>,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            next: Mutex::default(),
            waiters: watch::channel(()).0,
        }
    }
}

impl Positions {
    fn follows(&self, kafka_topic: &str) -> bool {
        self.next.lock().contains_key(kafka_topic)
    }

    fn add(&self, kafka_topic: &Arc<str>, from: &[Position]) {
        let offsets = from.iter().map(|position| position.offset).collect();
        self.next.lock().insert(Arc::clone(kafka_topic), offsets);
    }

    /// Returns how many partitions it had.
    fn remove(&self, kafka_topic: &str) -> usize {
        let removed = self.next.lock().remove(kafka_topic);
        // Nobody must wait for what is not followed any more.
        self.waiters.send_replace(());
        removed.map_or(0, |offsets| offsets.len())
    }

    fn advance(&self, kafka_topic: &str, partition: i32, next: i64) {
        if let Some(slot) = self
            .next
            .lock()
            .get_mut(kafka_topic)
            .and_then(|offsets| offsets.get_mut(usize::try_from(partition).ok()?))
        {
            *slot = next;
        }
        if self.waiters.receiver_count() > 0 {
            self.waiters.send_replace(());
        }
    }

    fn reached(&self, kafka_topic: &str, targets: &[Position]) -> bool {
        let next = self.next.lock();
        let Some(offsets) = next.get(kafka_topic) else {
            return true;
        };
        targets.iter().all(|target| {
            usize::try_from(target.partition)
                .ok()
                .and_then(|partition| offsets.get(partition))
                .is_none_or(|next| *next >= target.offset)
        })
    }
}
