//! Consume, process, produce, each record once: what follows from the records read, and how far they are read, are stored
//! in one transaction.
//!
//! Kafka shares the partitions of a topic out among the members of a group. Each partition that a member is given is
//! opened, which restores what is known about it; then its records come, in order. Every now and then what has come of
//! them is collected and committed with the offsets. A partition that goes away is closed, and what was not committed is
//! forgotten: its next owner starts behind the last commit. Two owners at once can't both commit: Kafka takes the offsets
//! of a transaction only from a member of the group's present generation.
//!
//! An owner must not start before the last transaction of the one before it has ended. So [`run`] asks for the committed
//! offset in a way that waits for that (KIP-447).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::quiet::Quiet;
use crate::transactions::{Failed, Transactions};
use crate::{Error, NewRecord, Position, Record, Settings};

/// Kafka ends a transaction of a process that has died after so long; until then nobody can go on with its partitions.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one call to the cluster about the group's offsets may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// After so long the offsets are asked for again that the cluster did not tell.
const RETRY: Duration = Duration::from_millis(50);
/// So long may a partition's offset be unknown: the transaction timeout, Kafka's look at it every 10 s, and some more.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);
/// What is fetched ahead at most, in KiB, beside the fetches on their way: 0.5 s of 60,000 records of 500 bytes.
const AHEAD_KIB: &str = "16384";

/// What is done with the partitions of one topic. All functions run on the thread of [`run`].
pub trait Tasks: Send + 'static {
    /// Partitions are given to this member, each with how far the group has committed that it was read, if it ever was.
    /// Restores what is known and returns the offsets to start from. May block.
    ///
    /// # Errors
    /// When one can't be restored now: [`run`] then ends with that error.
    fn open(&mut self, partitions: &[(i32, Option<i64>)]) -> Result<Vec<Position>, Error>;
    /// A partition goes away, and with it all that was not committed.
    fn close(&mut self, partition: i32);
    /// The next record of an open partition.
    fn record(&mut self, record: &Record);
    /// All that an open partition holds now has come.
    fn at_end(&mut self, partition: i32);
    /// So much waits to be collected that it should be now.
    fn is_full(&self) -> bool;
    /// What is to be committed of the open partitions. When committing fails, it is collected again.
    fn collect(&mut self) -> Batch;
    /// What was collected last is committed.
    fn committed(&mut self);
}

/// What is committed together.
#[derive(Debug, Default)]
pub struct Batch {
    /// New records.
    pub records: Vec<NewRecord>,
    /// The next records wanted from the partitions that have moved on.
    pub offsets: Vec<Position>,
}

/// Who reads, and what.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The group whose members share the work.
    pub group: String,
    /// This member's own name among all producers of transactions: another that takes it puts an end to this one.
    pub transactional_id: String,
    /// The topic that is read.
    pub kafka_topic: String,
    /// The time between two commits.
    pub interval: Duration,
    /// After so long a silence of a member its partitions go to others. Apache Kafka takes no less than 6 s.
    pub session_timeout: Duration,
}

/// Works as a member of the group until `stop`; then commits, leaves the group and returns. Blocks: it belongs on a thread of
/// its own.
///
/// # Errors
/// A user's setting that librdkafka does not take; a cluster without transactions, or that does not answer; a partition that
/// can't be opened; records that Kafka refuses. Nothing of what was not committed is stored; it may be called again, with
/// fresh tasks.
pub fn run<T: Tasks>(
    settings: &Settings,
    reader: &Reader,
    tasks: T,
    stop: &Arc<AtomicBool>,
    on_commit: impl Fn(Duration),
) -> Result<(), Error> {
    let session_timeout_ms = reader.session_timeout.as_millis().to_string();
    let config = settings.client(&[
        ("group.id", &reader.group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", "read_committed"),
        // What retention has removed is gone.
        ("auto.offset.reset", "earliest"),
        // Only what moves to another member is taken away from this one.
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", &session_timeout_ms),
        ("heartbeat.interval.ms", "1000"),
        ("queued.max.messages.kbytes", AHEAD_KIB),
        ("fetch.error.backoff.ms", "50"),
        ("fetch.wait.max.ms", "100"),
    ]);
    let consumer: BaseConsumer<Context<T>> = config.create_with_context(Context {
        quiet: Quiet::default(),
        kafka_topic: Arc::from(reader.kafka_topic.as_str()),
        tasks: Mutex::new(tasks),
        failed: Mutex::default(),
        stop: Arc::clone(stop),
    })?;
    let mut transactions =
        Transactions::start(settings, &reader.transactional_id, TRANSACTION_TIMEOUT)?;
    consumer.subscribe(&[&reader.kafka_topic])?;
    let context = consumer.context();
    let mut due = Instant::now() + reader.interval;
    while !stop.load(Ordering::SeqCst) {
        context.take(consumer.poll(due.saturating_duration_since(Instant::now())));
        if let Some(error) = context.failed.lock().take() {
            return Err(error);
        }
        if transactions.is_in_doubt() {
            transactions =
                Transactions::start(settings, &reader.transactional_id, TRANSACTION_TIMEOUT)?;
        }
        if Instant::now() >= due || context.tasks.lock().is_full() {
            commit(&consumer, &mut transactions, &on_commit)?;
            due = Instant::now() + reader.interval;
        }
    }
    commit(&consumer, &mut transactions, &on_commit)
}

/// Commits what there is. What Kafka did not take for a reason that will pass is collected again the next time.
fn commit<T: Tasks>(
    consumer: &BaseConsumer<Context<T>>,
    transactions: &mut Transactions,
    on_commit: &impl Fn(Duration),
) -> Result<(), Error> {
    let context = consumer.context();
    let batch = context.tasks.lock().collect();
    if batch.records.is_empty() && batch.offsets.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    let records: Vec<&NewRecord> = batch.records.iter().collect();
    let mut offsets = TopicPartitionList::new();
    for next in &batch.offsets {
        let offset = Offset::Offset(next.offset);
        offsets.add_partition_offset(&context.kafka_topic, next.partition, offset)?;
    }
    let Some(member) = consumer.group_metadata() else {
        return Ok(());
    };
    // One that has lost its place may be without a name and a generation until it joins again, and Kafka takes the offsets
    // of a transaction from a nobody. Asked after the name was: a name from before the loss is refused.
    if consumer.assignment_lost() {
        return Ok(());
    }
    match transactions.commit_read(&records, &offsets, &member) {
        Ok(_) => {
            context.tasks.lock().committed();
            on_commit(started.elapsed());
            Ok(())
        }
        Err(Failed::Again(error)) => {
            tracing::debug!(%error, "not committed; trying again");
            std::thread::sleep(RETRY);
            Ok(())
        }
        Err(Failed::Fenced(error) | Failed::Refused(_, error)) => Err(error),
    }
}

/// What the consumer's callbacks need; they run on the thread that polls. So the locks are never waited for.
struct Context<T> {
    quiet: Quiet,
    kafka_topic: Arc<str>,
    tasks: Mutex<T>,
    /// Why a partition could not be opened.
    failed: Mutex<Option<Error>>,
    stop: Arc<AtomicBool>,
}

impl<T: Tasks> Context<T> {
    fn take(&self, found: Option<Result<BorrowedMessage<'_>, KafkaError>>) {
        match found {
            Some(Ok(message)) => {
                let record = Record::copy(&message, Arc::clone(&self.kafka_topic));
                self.tasks.lock().record(&record);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => self.tasks.lock().at_end(partition),
            // The client tries again by itself; the part's own health check reports a cluster that is away.
            Some(Err(error)) => tracing::debug!(%error, "reading as a member of a group"),
            None => {}
        }
    }

    /// Where the group is with these partitions, when no transaction can change that any more.
    fn committed_offsets(
        &self,
        consumer: &BaseConsumer<Self>,
        of: &TopicPartitionList,
    ) -> Result<TopicPartitionList, Error> {
        let mut asked = TopicPartitionList::new();
        for element in of.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        let deadline = Instant::now() + OPEN_PATIENCE;
        loop {
            let error = match consumer.committed_offsets(asked.clone(), CALL_TIMEOUT) {
                Ok(known) => match known.elements().iter().find_map(|of| of.error().err()) {
                    None => return Ok(known),
                    Some(error) => error,
                },
                Err(error) => error,
            };
            if self.stop.load(Ordering::SeqCst)
                || consumer.assignment_lost()
                || Instant::now() >= deadline
            {
                return Err(error.into());
            }
            std::thread::sleep(RETRY);
        }
    }

    fn open(
        &self,
        consumer: &BaseConsumer<Self>,
        new: &TopicPartitionList,
    ) -> Result<TopicPartitionList, Error> {
        let committed = self.committed_offsets(consumer, new)?;
        let opened: Vec<_> = committed
            .elements()
            .iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => (element.partition(), Some(offset)),
                _ => (element.partition(), None),
            })
            .collect();
        let mut starts = TopicPartitionList::new();
        for start in self.tasks.lock().open(&opened)? {
            let offset = Offset::Offset(start.offset);
            starts.add_partition_offset(&self.kafka_topic, start.partition, offset)?;
        }
        Ok(starts)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, new: &TopicPartitionList) {
        let assigned = match self.open(consumer, new) {
            Ok(starts) => match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_assign(&starts),
                _ => consumer.assign(&starts),
            }
            .map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = assigned {
            *self.failed.lock() = Some(error);
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, old: &TopicPartitionList) {
        for element in old.elements() {
            self.tasks.lock().close(element.partition());
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(old),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            tracing::error!(%error, "can't let go of partitions");
        }
    }
}

impl<T: Tasks> ClientContext for Context<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }
}

impl<T: Tasks> ConsumerContext for Context<T> {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions);
            }
            _ => self.revoke(consumer, partitions),
        }
    }
}
