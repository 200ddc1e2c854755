//! Follows the end of any number of topics on one thread.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::quiet::{Quiet, STATISTICS};
use crate::thread::{self, Thread};
use crate::{
    Bounds, Cursor, Ends, Error, Fetched, Found, Position, Record, Settings, partition_of,
};

/// How long a call about one topic (partitions, end offsets) may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// After so many records at most `on_batch` is called, however many more are there. A guess.
const BATCH_MAX: u32 = 128;

/// How long [`Tail::reach_end`] waits for records before it looks whether there are any.
const SCOUT_AFTER: Duration = Duration::from_millis(20);
/// What is fetched to find out.
const SCOUT_BYTES: usize = 64 * 1024;

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
    /// What [`Tail::reach_end`] needs; made when it is first called.
    scout: Mutex<Option<Arc<Scout>>>,
    settings: Settings,
    positions: Arc<Positions>,
    fetched: Fetched,
    /// How many have asked for each partition of the topics that are followed.
    readers: tokio::sync::Mutex<HashMap<String, Vec<usize>>>,
    stop: Arc<AtomicBool>,
    thread: Option<Thread>,
}

/// Finds out how far a topic goes.
struct Scout {
    newest: Ends,
    /// Looks whether there is anything between the last record that was read and the end.
    cursor: Mutex<Cursor>,
}

impl Tail {
    /// Starts the thread; `on_record` runs on it for each record, and `on_batch` after those that had come together.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take, or no thread can be started.
    pub fn start(
        settings: &Settings,
        name: &str,
        on_record: impl FnMut(Record) + Send + 'static,
        on_batch: impl FnMut() + Send + 'static,
    ) -> Result<Self, Error> {
        let fetched = Fetched::default();
        let consumer: BaseConsumer<Quiet> = settings
            .client(&[
                STATISTICS,
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
            .create_with_context(Quiet::counting(&fetched))?;
        let consumer = Arc::new(consumer);
        let positions = Arc::new(Positions::default());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn(name, {
            let (consumer, positions, stop) = (
                Arc::clone(&consumer),
                Arc::clone(&positions),
                Arc::clone(&stop),
            );
            move || poll(&consumer, &positions, &stop, on_record, on_batch)
        })?;
        Ok(Self {
            consumer,
            ends: Ends::new(settings)?,
            scout: Mutex::default(),
            settings: settings.clone(),
            positions,
            fetched,
            readers: tokio::sync::Mutex::default(),
            stop,
            thread: Some(thread),
        })
    }

    /// Starts following `kafka_topic`, or of it only the partition that murmur2 places `key` in. When this returns, every
    /// record from the start on will be delivered. What is followed already goes on; it is counted how many ask for it. A
    /// call that is given up before it returns has changed nothing.
    ///
    /// # Errors
    /// When the topic does not exist or the cluster does not answer.
    pub async fn follow(
        &self,
        kafka_topic: &str,
        key: Option<&[u8]>,
        start: Start,
    ) -> Result<(), Error> {
        let mut readers = self.readers.lock().await;
        let known = self.positions.get(kafka_topic);
        let mut bounds = Vec::new();
        let partitions = match &known {
            Some(followed) => followed.partitions.len(),
            None => {
                bounds = self.ends.of(kafka_topic, CALL_TIMEOUT).await?;
                readers.insert(kafka_topic.to_owned(), vec![0; bounds.len()]);
                bounds.len()
            }
        };
        let of_topic = readers.entry(kafka_topic.to_owned()).or_default();
        let wanted = wanted(key, partitions);
        let is_new = |partition: i32| of_topic[partition as usize] == 0;
        if wanted.clone().any(is_new) {
            if bounds.is_empty() {
                bounds = self.ends.of(kafka_topic, CALL_TIMEOUT).await?;
            }
            bounds.retain(|of| wanted.contains(&of.partition) && is_new(of.partition));
            let from = start_positions(&bounds, &start);
            let mut list = TopicPartitionList::new();
            for position in &from {
                let offset = Offset::Offset(position.offset);
                list.add_partition_offset(kafka_topic, position.partition, offset)?;
            }
            // Known before the first record can come, so that none is counted as unknown.
            self.positions.add(kafka_topic, partitions, &from);
            self.consumer
                .incremental_assign(&list)
                .inspect_err(|_refused| {
                    let added = from.iter().map(|position| position.partition);
                    self.positions.remove(kafka_topic, added);
                })?;
        }
        for partition in wanted {
            of_topic[partition as usize] += 1;
        }
        Ok(())
    }

    /// One less asks for what it had asked [`Self::follow`] for; what nobody asks for is not followed any more.
    ///
    /// # Errors
    /// When the client refuses, which would be a fault of ours.
    pub async fn unfollow(&self, kafka_topic: &str, key: Option<&[u8]>) -> Result<(), Error> {
        let mut readers = self.readers.lock().await;
        let Some(of_topic) = readers.get_mut(kafka_topic) else {
            return Ok(());
        };
        let mut list = TopicPartitionList::new();
        let mut over = Vec::new();
        for partition in wanted(key, of_topic.len()) {
            let count = &mut of_topic[partition as usize];
            if *count == 1 {
                list.add_partition(kafka_topic, partition);
                over.push(partition);
            }
            *count = count.saturating_sub(1);
        }
        if over.is_empty() {
            return Ok(());
        }
        if of_topic.iter().all(|count| *count == 0) {
            readers.remove(kafka_topic);
        }
        self.positions.remove(kafka_topic, over.into_iter());
        Ok(self.consumer.incremental_unassign(&list)?)
    }

    /// Calls `look` with how far each partition of a topic is read, in their order, and `None` in the place of one that is
    /// not followed; `None` when none is.
    pub fn progress<T>(
        &self,
        kafka_topic: &str,
        look: impl FnOnce(&[Option<Arc<Progress>>]) -> T,
    ) -> Option<T> {
        let followed = self.positions.get(kafka_topic)?;
        Some(look(&followed.partitions))
    }

    /// What it has fetched.
    pub fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    /// Waits until every record that had been acknowledged before this call has been given to the function. Does nothing for
    /// a topic that is not followed.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn reach_end(&self, kafka_topic: &str) -> Result<(), Error> {
        let Some(followed) = self.positions.get(kafka_topic) else {
            return Ok(());
        };
        let scout = self.scout()?;
        let targets = scout.newest_ends(&followed).await?;
        loop {
            let reached = self.reached(kafka_topic, &targets);
            if tokio::time::timeout(SCOUT_AFTER, reached).await.is_ok() {
                return Ok(());
            }
            // The end may be the mark of a transaction, which no reader is given.
            let partitions = followed.partitions.len();
            let committed = self
                .ends
                .latest(kafka_topic, partitions, CALL_TIMEOUT)
                .await?;
            let scout = Arc::clone(&scout);
            let (wanted, of_topic) = (Arc::clone(&targets), Arc::clone(&followed));
            crate::admin::blocking(move || {
                let mut cursor = scout.cursor.lock();
                for (target, end) in wanted.iter().zip(&committed) {
                    if end.offset >= target.offset {
                        of_topic.pass_marks(&mut cursor, *target)?;
                    }
                }
                cursor.rest()
            })
            .await?;
            self.positions.waiters.send_replace(());
        }
    }

    fn scout(&self) -> Result<Arc<Scout>, Error> {
        let mut scout = self.scout.lock();
        if let Some(known) = &*scout {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(Scout::new(&self.settings)?);
        *scout = Some(Arc::clone(&new));
        Ok(new)
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

impl Scout {
    fn new(settings: &Settings) -> Result<Self, Error> {
        let cursor = Cursor::new(settings, SCOUT_BYTES, &Fetched::default())?;
        Ok(Self {
            newest: Ends::uncommitted(settings)?,
            cursor: Mutex::new(cursor),
        })
    }

    /// Where a topic ends, as it was asked after this call: those who ask at the same time share the answer.
    async fn newest_ends(&self, followed: &Followed) -> Result<Arc<[Position]>, Error> {
        let called = Instant::now();
        let mut newest = followed.newest.lock().await;
        if let Some((_, ends)) = newest.as_ref().filter(|(asked, _)| *asked >= called) {
            return Ok(Arc::clone(ends));
        }
        let asked = Instant::now();
        let partitions = followed.partitions.len();
        let ends: Arc<[Position]> = self
            .newest
            .latest(&followed.name, partitions, CALL_TIMEOUT)
            .await?
            .into();
        *newest = Some((asked, Arc::clone(&ends)));
        Ok(ends)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// The partitions that hold records with this key, or with any.
fn wanted(key: Option<&[u8]>, partitions: usize) -> Range<i32> {
    match key {
        Some(key) => {
            let partition = partition_of(key, partitions);
            partition..partition + 1
        }
        None => 0..i32::try_from(partitions).unwrap_or(i32::MAX),
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
    mut on_batch: impl FnMut(),
) {
    // Records since the last call of `on_batch`.
    let mut batch = 0;
    let mut known: HashMap<String, Arc<Followed>> = HashMap::new();
    let mut generation = 0;
    while !stop.load(Ordering::Relaxed) {
        let wait = match batch {
            0 => Duration::from_millis(100),
            _ => Duration::ZERO,
        };
        let polled = consumer.poll(wait);
        if batch == BATCH_MAX || (batch > 0 && polled.is_none()) {
            batch = 0;
            on_batch();
        }
        match polled {
            Some(Ok(message)) => {
                batch += 1;
                let current = positions.generation.load(Ordering::SeqCst);
                if current != generation {
                    generation = current;
                    known.clear();
                }
                let followed = match known.get(message.topic()) {
                    Some(followed) => followed,
                    // Not followed any more: a record that was on its way.
                    None => match positions.get(message.topic()) {
                        None => continue,
                        Some(followed) => {
                            known.entry(message.topic().to_owned()).or_insert(followed)
                        }
                    },
                };
                let Some(progress) = followed.progress(message.partition()) else {
                    continue;
                };
                let offset = message.offset();
                let record = Record::copy(&message, Arc::clone(&followed.name));
                progress.begin(offset);
                on_record(record);
                progress.end(offset);
                if positions.waiters.receiver_count() > 0 {
                    positions.waiters.send_replace(());
                }
            }
            // The client tries again by itself; the part's own health check reports a cluster that is away.
            Some(Err(error)) => tracing::debug!(%error, "following kafka"),
            None => {}
        }
    }
}

/// How far the followed topics are read.
struct Positions {
    followed: Mutex<HashMap<Arc<str>, Arc<Followed>>>,
    /// Changes when `followed` does: the reading thread keeps what it looked up until then.
    generation: AtomicU64,
    waiters: watch::Sender<()>,
}

/// A topic that is followed.
struct Followed {
    name: Arc<str>,
    /// Index is the partition; `None`: this one is not followed.
    partitions: Vec<Option<Arc<Progress>>>,
    /// Where it ended when that was asked last, and when it was asked.
    newest: tokio::sync::Mutex<Option<(Instant, Arc<[Position]>)>>,
}

/// How far a partition is read. The two counters let another reader of the partition take over from this one, or hand
/// over to it, without a gap and without a lock that both hold for each record.
#[derive(Debug)]
pub struct Progress {
    start: i64,
    begun: AtomicI64,
    done: AtomicI64,
}

impl Progress {
    /// At `start`, with no record begun.
    pub fn at(start: i64) -> Self {
        Self {
            start,
            begun: AtomicI64::new(start),
            done: AtomicI64::new(start),
        }
    }

    /// The record at `offset` is about to be given to the function.
    pub fn begin(&self, offset: i64) {
        self.begun.store(offset + 1, Ordering::SeqCst);
    }

    fn end(&self, offset: i64) {
        self.done.store(offset + 1, Ordering::SeqCst);
    }

    /// Every record before this offset has been given to the function, or is being given to it right now.
    pub fn begun(&self) -> i64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The offset after the last record that was begun; `None` as long as there was none.
    pub fn begun_record(&self) -> Option<i64> {
        let begun = self.begun();
        (begun > self.start).then_some(begun)
    }

    /// Every record before this offset has been given to the function.
    pub fn done(&self) -> i64 {
        self.done.load(Ordering::SeqCst)
    }
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            followed: Mutex::default(),
            generation: AtomicU64::new(0),
            waiters: watch::channel(()).0,
        }
    }
}

impl Positions {
    fn get(&self, kafka_topic: &str) -> Option<Arc<Followed>> {
        self.followed.lock().get(kafka_topic).cloned()
    }

    /// Partitions are followed from these positions, beside those that were.
    fn add(&self, kafka_topic: &str, partitions: usize, from: &[Position]) {
        self.change(kafka_topic, |before| {
            let mut progress = before.map_or_else(
                || vec![None; partitions],
                |followed| followed.partitions.clone(),
            );
            for position in from {
                let of_it = Progress::at(position.offset);
                progress[position.partition as usize] = Some(Arc::new(of_it));
            }
            progress
        });
    }

    fn remove(&self, kafka_topic: &str, partitions: impl Iterator<Item = i32>) {
        self.change(kafka_topic, |before| {
            let mut progress = before.map_or_else(Vec::new, |known| known.partitions.clone());
            for partition in partitions {
                progress[partition as usize] = None;
            }
            progress
        });
        // Nobody must wait for what is not followed any more.
        self.waiters.send_replace(());
    }

    fn change(
        &self,
        kafka_topic: &str,
        change: impl FnOnce(Option<&Followed>) -> Vec<Option<Arc<Progress>>>,
    ) {
        let mut all = self.followed.lock();
        let before = all.remove(kafka_topic);
        let partitions = change(before.as_deref());
        if partitions.iter().any(Option::is_some) {
            let name: Arc<str> =
                before.map_or_else(|| kafka_topic.into(), |followed| Arc::clone(&followed.name));
            let followed = Followed {
                name: Arc::clone(&name),
                partitions,
                newest: tokio::sync::Mutex::default(),
            };
            all.insert(name, Arc::new(followed));
        }
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn reached(&self, kafka_topic: &str, targets: &[Position]) -> bool {
        let Some(followed) = self.get(kafka_topic) else {
            return true;
        };
        targets.iter().all(|target| {
            followed
                .progress(target.partition)
                .is_none_or(|progress| progress.done() >= target.offset)
        })
    }
}

impl Followed {
    /// Counts a partition as read up to `target`, before which all transactions are over, if there is no record any more.
    fn pass_marks(&self, scout: &mut Cursor, target: Position) -> Result<(), Error> {
        let Some(progress) = self.progress(target.partition) else {
            return Ok(());
        };
        let done = progress.done();
        if done >= target.offset {
            return Ok(());
        }
        scout.seek(&self.name, target.partition, done)?;
        if matches!(scout.next(CALL_TIMEOUT)?, Found::End) {
            progress.done.fetch_max(target.offset, Ordering::SeqCst);
        }
        Ok(())
    }

    fn progress(&self, partition: i32) -> Option<&Progress> {
        let of_it = self.partitions.get(usize::try_from(partition).ok()?)?;
        of_it.as_deref()
    }
}
