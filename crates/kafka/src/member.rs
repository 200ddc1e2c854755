//! A member of a consumer group: Kafka shares the partitions of some topics out among all members, on whatever node they
//! are, and each record is finished one by one, in any order.
//!
//! The member has a thread of its own with a consumer. Each partition that it is given is an assignment with a number of
//! its own. A record is *taken* when the receiver has it, *begun* when it is on its way to somebody, and *finished*; the
//! lowest unfinished offset is committed now and then, and when a partition goes away. A record that the receiver has no
//! room for waits here and its partition is paused: nothing more of it is fetched, so that memory is bounded.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::oneshot;

use crate::quiet::{Quiet, STATISTICS};
use crate::thread::{self, Thread};
use crate::window::Window;
use crate::{Error, Fetched, Record, Settings, admin};

/// How often the group's coordinator is asked whether partitions move: that is how long a new member waits for its own.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often what was finished is committed: what was finished since comes again after a crash.
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// How long a partition that goes to another member waits for what is on its way here, so that it does not come twice. A
/// guess: far above what a client on a mobile network needs that acknowledges what it gets.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);
/// How long one call to the cluster about the group's offsets may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the thread looks around when no record comes, and when a record waits for room.
const IDLE: Duration = Duration::from_millis(100);
const WAITING: Duration = Duration::from_millis(5);
/// After so long the commits are asked for again that the cluster did not tell.
const RETRY: Duration = Duration::from_millis(50);

/// Numbers assignments; 0 is none.
static ASSIGNMENTS: AtomicU32 = AtomicU32::new(1);

/// Which group to be a member of.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in Kafka.
    pub id: String,
    /// The topics whose partitions are shared out.
    pub kafka_topics: Vec<String>,
    /// After so long a silence of a member its partitions go to others. Apache Kafka takes no less than 6 s.
    pub session_timeout: Duration,
    /// What is fetched ahead at most, in bytes, beside the one fetch that is on its way.
    pub ahead_bytes: usize,
}

/// Gets what a member gets. Its functions run on the member's thread.
pub trait Receiver: Send + Sync + 'static {
    /// A partition is given to this member, as the assignment with this number.
    fn assigned(&self, assignment: u32);
    /// A record has come.
    fn record(&self, assignment: u32, record: &Record) -> Taken;
    /// The partition goes away: what was not begun must be forgotten, and [`Held::begin`] says no to it from now on.
    fn revoking(&self, assignment: u32);
    /// It is gone.
    fn revoked(&self, assignment: u32);
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is not finished until [`Held::finish`] says so.
    Held,
    /// It needs nothing more.
    Finished,
    /// There is no room: it is offered again after [`Held::made_room`], and no other of its partition comes before it.
    Full,
}

/// The records that a member holds. It is made before the member, so that the receiver can know it.
#[derive(Default)]
pub struct Held {
    partitions: Mutex<HashMap<u32, Partition>>,
    /// Something was finished.
    finished: Condvar,
    /// There may be room for what waits.
    has_room: AtomicBool,
}

struct Partition {
    kafka_topic: Arc<str>,
    number: i32,
    window: Window,
}

impl Held {
    /// A record is about to go to somebody who can't be made to forget it; `once`: then it must go to nobody else, ever.
    /// Returns whether it may: not when its partition is another member's by now.
    pub fn begin(&self, assignment: u32, offset: i64, once: bool) -> bool {
        self.with(assignment, |window| window.begin(offset, once))
            .unwrap_or(false)
    }

    /// A record that was begun will not be finished by who had it; returns whether somebody else may get it here.
    pub fn take_back(&self, assignment: u32, offset: i64) -> bool {
        let is_ours = self.with(assignment, |window| window.take_back(offset));
        self.finished.notify_all();
        is_ours.unwrap_or(false)
    }

    /// A record is finished. Saying so again, or of one that is not held, does nothing.
    pub fn finish(&self, assignment: u32, offset: i64) {
        self.with(assignment, |window| window.finish(offset));
        self.finished.notify_all();
    }

    /// There may be room for what [`Receiver::record`] had none for.
    pub fn made_room(&self) {
        self.has_room.store(true, Ordering::SeqCst);
    }

    fn with<T>(&self, assignment: u32, act: impl FnOnce(&mut Window) -> T) -> Option<T> {
        let mut partitions = self.partitions.lock();
        let partition = partitions.get_mut(&assignment)?;
        Some(act(&mut partition.window))
    }

    /// The commits that are due, of the partitions that `which` names.
    fn due(&self, which: impl Fn(u32, &Window) -> bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (assignment, partition) in &mut *self.partitions.lock() {
            if !which(*assignment, &partition.window) {
                continue;
            }
            let Some((offset, metadata)) = partition.window.due() else {
                continue;
            };
            let mut element = list.add_partition(&partition.kafka_topic, partition.number);
            if element.set_offset(Offset::Offset(offset)).is_ok() {
                element.set_metadata(metadata);
            }
        }
        list
    }

    /// What was committed may not have been taken: it is due again.
    fn commit_again(&self) {
        for partition in self.partitions.lock().values_mut() {
            partition.window.commit_again();
        }
    }
}

/// One node in a consumer group, on a thread of its own. Dropping it makes it leave the group, some time later; [`Self::leave`] waits for that.
pub struct Member {
    stop: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Member {
    /// Starts to join a group. When this returns, the group has an offset for each partition: one that it had, or else the
    /// partition's end as it is now. So whatever is produced from now on comes to some member, however long the joining
    /// takes.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take, a topic that is not there, or a cluster that does not answer.
    pub async fn join(
        settings: &Settings,
        group: Group,
        held: Arc<Held>,
        receiver: impl Receiver,
        fetched: &Fetched,
    ) -> Result<Self, Error> {
        let session_timeout_ms = group.session_timeout.as_millis().to_string();
        let heartbeat = HEARTBEAT.min(group.session_timeout / 3);
        let heartbeat_ms = heartbeat.as_millis().to_string();
        let ahead_kbytes = group.ahead_bytes.div_ceil(1024).max(1).to_string();
        let config = settings.client(&[
            STATISTICS,
            ("group.id", &group.id),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            // A partition that is new: all of it is for the group. What retention has removed is gone.
            ("auto.offset.reset", "earliest"),
            // Only what moves to another member is taken away from this one.
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", &session_timeout_ms),
            ("heartbeat.interval.ms", &heartbeat_ms),
            ("queued.max.messages.kbytes", &ahead_kbytes),
            ("fetch.error.backoff.ms", "50"),
            ("fetch.wait.max.ms", "100"),
        ]);
        let stop = Arc::new(AtomicBool::new(false));
        let context = Context {
            quiet: Quiet::counting(fetched),
            held,
            receiver: Box::new(receiver),
            starts: Mutex::default(),
            current: Mutex::default(),
            stop: Arc::clone(&stop),
        };
        let (tell, prepared) = oneshot::channel();
        let consumer: BaseConsumer<Context> = config.create_with_context(context)?;
        let thread = thread::spawn("kafka-member", move || {
            let result = prepare(&consumer, &group.kafka_topics).and_then(|()| {
                let topics: Vec<&str> = group.kafka_topics.iter().map(String::as_str).collect();
                Ok(consumer.subscribe(&topics)?)
            });
            let is_ready = result.is_ok();
            // Who asked may have given up; then the member is stopped, too.
            let _gone = tell.send(result);
            if is_ready {
                poll(&consumer);
            }
        })?;
        let member = Self {
            stop,
            thread: Some(thread),
        };
        match prepared.await {
            Ok(result) => result.map(|()| member),
            Err(_) => Err(Error::Unreachable {
                servers: settings.bootstrap_servers().to_owned(),
                reason: "the thread of a group's member has ended".into(),
            }),
        }
    }

    /// Commits what is finished, leaves the group, and waits until that is done. Blocks.
    pub fn leave(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Gives a group without offsets its start: the ends as they are now. Two first members on two nodes may do so at once;
/// then the later one counts, so little lies between looking and committing.
fn prepare(consumer: &BaseConsumer<Context>, kafka_topics: &[String]) -> Result<(), Error> {
    let mut all = TopicPartitionList::new();
    for kafka_topic in kafka_topics {
        for partition in 0..admin::partitions(consumer, kafka_topic, CALL_TIMEOUT)? {
            all.add_partition(kafka_topic, partition);
        }
    }
    let known = consumer.committed_offsets(all, CALL_TIMEOUT)?;
    let mut starts = BTreeMap::new();
    let mut missing = TopicPartitionList::new();
    for element in known.elements() {
        element.error()?;
        if !matches!(element.offset(), Offset::Offset(_)) {
            let (kafka_topic, partition) = (element.topic(), element.partition());
            let (_, end) = admin::bounds(consumer, kafka_topic, partition, CALL_TIMEOUT)?;
            missing.add_partition(kafka_topic, partition);
            starts.insert((kafka_topic.to_owned(), partition), end);
        }
    }
    if starts.is_empty() {
        return Ok(());
    }
    let known = consumer.committed_offsets(missing, CALL_TIMEOUT)?;
    let mut first = TopicPartitionList::new();
    for element in known.elements() {
        let place = (element.topic().to_owned(), element.partition());
        if !matches!(element.offset(), Offset::Offset(_))
            && let Some(end) = starts.get(&place)
        {
            first.add_partition_offset(&place.0, place.1, Offset::Offset(*end))?;
        }
    }
    *consumer.context().starts.lock() = starts;
    if first.count() == 0 {
        return Ok(());
    }
    match consumer.commit(&first, CommitMode::Sync) {
        // It has members by now, who gave it its start.
        Err(error) if is_alive(&error) => Ok(()),
        result => Ok(result?),
    }
}

/// Only members may commit for a group that has some.
fn is_alive(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
        )
    )
}

/// Until the member is stopped. Dropping the consumer then takes the partitions away from it, and leaves the group.
fn poll(consumer: &BaseConsumer<Context>) {
    let context = consumer.context();
    let mut committed_at = Instant::now();
    while !context.stop.load(Ordering::SeqCst) {
        if context.held.has_room.swap(false, Ordering::SeqCst) {
            context.offer_again(consumer);
        }
        let wait = match context.current.lock().waiting.is_empty() {
            true => IDLE,
            false => WAITING,
        };
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                let current = context
                    .current
                    .lock()
                    .find(message.topic(), message.partition());
                if let Some((assignment, kafka_topic)) = current {
                    let record = Record::copy(&message, kafka_topic);
                    context.take(consumer, assignment, record);
                }
            }
            // The client tries again by itself; the part's own health check reports a cluster that is away.
            Some(Err(error)) => tracing::debug!(%error, "reading as a member of a group"),
            None => {}
        }
        if committed_at.elapsed() >= COMMIT_INTERVAL {
            committed_at = Instant::now();
            let due = context.held.due(|_, window| !window.is_revoked());
            if due.count() > 0
                && let Err(error) = consumer.commit(&due, CommitMode::Async)
            {
                tracing::debug!(%error, "can't commit for a group; trying again");
                context.held.commit_again();
            }
        }
    }
}

/// What the consumer's callbacks need; they run on the thread that polls.
struct Context {
    quiet: Quiet,
    held: Arc<Held>,
    receiver: Box<dyn Receiver>,
    /// Where this member found the ends of partitions for which the group had no offset.
    starts: Mutex<BTreeMap<(String, i32), i64>>,
    current: Mutex<Current>,
    stop: Arc<AtomicBool>,
}

/// The partitions that the member has. Of the thread that polls alone: the lock is never waited for.
#[derive(Default)]
struct Current {
    assignments: HashMap<Arc<str>, HashMap<i32, u32>>,
    /// Records that there was no room for, one for each partition that is paused.
    waiting: BTreeMap<u32, Record>,
}

impl Current {
    fn find(&self, kafka_topic: &str, partition: i32) -> Option<(u32, Arc<str>)> {
        let (name, partitions) = self.assignments.get_key_value(kafka_topic)?;
        Some((*partitions.get(&partition)?, Arc::clone(name)))
    }
}

impl Context {
    fn take(&self, consumer: &BaseConsumer<Self>, assignment: u32, record: Record) {
        // Taken before it is given: it may be finished before the receiver returns.
        let is_wanted = self
            .held
            .with(assignment, |window| window.take(record.offset));
        if is_wanted != Some(true) {
            return;
        }
        match self.receiver.record(assignment, &record) {
            Taken::Held => {}
            Taken::Finished => self.held.finish(assignment, record.offset),
            Taken::Full => {
                let list = only(&record);
                // What was fetched already is given back: it is fetched again when the partition goes on.
                if let Err(error) = consumer.pause(&list) {
                    tracing::error!(%error, "can't pause a partition");
                }
                self.current.lock().waiting.insert(assignment, record);
            }
        }
    }

    /// Offers what waits; goes on with the partitions where that was taken.
    fn offer_again(&self, consumer: &BaseConsumer<Self>) {
        let waiting = std::mem::take(&mut self.current.lock().waiting);
        for (assignment, record) in waiting {
            match self.receiver.record(assignment, &record) {
                Taken::Full => {
                    self.current.lock().waiting.insert(assignment, record);
                    continue;
                }
                Taken::Finished => self.held.finish(assignment, record.offset),
                Taken::Held => {}
            }
            if let Err(error) = consumer.resume(&only(&record)) {
                tracing::error!(%error, "can't go on with a partition");
            }
        }
    }

    /// Partitions are given to this member. They start where the group is.
    fn assign(&self, consumer: &BaseConsumer<Self>, new: &TopicPartitionList) {
        let mut starts = TopicPartitionList::new();
        let committed = self.committed(consumer, new);
        for element in new.elements() {
            let (kafka_topic, partition) = (element.topic(), element.partition());
            let place = (kafka_topic.to_owned(), partition);
            let known = committed
                .as_ref()
                .and_then(|list| list.find_partition(kafka_topic, partition))
                .and_then(|found| offset_and_metadata(&found));
            let (offset, window) = match known {
                Some((offset, metadata)) => (
                    Offset::Offset(offset),
                    Window::resume(offset, metadata.as_deref().unwrap_or("")),
                ),
                None => match self
                    .starts
                    .lock()
                    .get(&place)
                    .filter(|_| committed.is_some())
                {
                    Some(start) => (Offset::Offset(*start), Window::resume(*start, "")),
                    // Of a partition that came later, all; of one whose commit could not be read, what librdkafka finds.
                    None => (Offset::Stored, Window::default()),
                },
            };
            let mut start = starts.add_partition(kafka_topic, partition);
            if let Err(error) = start.set_offset(offset) {
                tracing::error!(%error, "can't set where a partition starts");
            }
            let assignment = ASSIGNMENTS.fetch_add(1, Ordering::Relaxed);
            let name: Arc<str> = kafka_topic.into();
            self.held.partitions.lock().insert(
                assignment,
                Partition {
                    kafka_topic: Arc::clone(&name),
                    number: partition,
                    window,
                },
            );
            self.receiver.assigned(assignment);
            self.current
                .lock()
                .assignments
                .entry(name)
                .or_default()
                .insert(partition, assignment);
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&starts),
            _ => consumer.assign(&starts),
        };
        if let Err(error) = result {
            tracing::error!(%error, "can't take the partitions of a group");
        }
    }

    /// What the group has committed; asked again for as long as the cluster does not say.
    fn committed(
        &self,
        consumer: &BaseConsumer<Self>,
        of: &TopicPartitionList,
    ) -> Option<TopicPartitionList> {
        let mut asked = TopicPartitionList::new();
        for element in of.elements() {
            asked.add_partition(element.topic(), element.partition());
        }
        while !self.stop.load(Ordering::SeqCst) {
            match consumer.committed_offsets(asked.clone(), CALL_TIMEOUT) {
                Ok(known) if known.elements().iter().all(|of| of.error().is_ok()) => {
                    return Some(known);
                }
                Ok(_) => tracing::debug!("a partition's commit can't be read"),
                Err(error) => tracing::debug!(%error, "can't read the commits of a group"),
            }
            if consumer.assignment_lost() {
                break;
            }
            std::thread::sleep(RETRY);
        }
        None
    }

    /// Partitions go away: what is on its way is waited for, and what is finished is committed.
    fn revoke(&self, consumer: &BaseConsumer<Self>, old: &TopicPartitionList) {
        let mut gone = Vec::new();
        for element in old.elements() {
            let mut current = self.current.lock();
            let of_topic = current.assignments.get_mut(element.topic());
            if let Some(assignment) = of_topic.and_then(|all| all.remove(&element.partition())) {
                if let Some(record) = current.waiting.remove(&assignment)
                    // Else librdkafka still has it paused when it comes back.
                    && let Err(error) = consumer.resume(&only(&record))
                {
                    tracing::error!(%error, "can't go on with a partition");
                }
                gone.push(assignment);
            }
        }
        for assignment in &gone {
            self.held.with(*assignment, Window::revoke);
            self.receiver.revoking(*assignment);
        }
        // A member that was away for too long has lost them already: others have them, and commit.
        if !consumer.assignment_lost() {
            self.drain(&gone);
            let due = self.held.due(|assignment, _| gone.contains(&assignment));
            if due.count() > 0
                && let Err(error) = consumer.commit(&due, CommitMode::Sync)
            {
                tracing::warn!(%error, "can't commit for a group: messages may come twice");
            }
        }
        for assignment in gone {
            self.held.partitions.lock().remove(&assignment);
            self.receiver.revoked(assignment);
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(old),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            tracing::error!(%error, "can't let go of partitions");
        }
    }

    fn drain(&self, gone: &[u32]) {
        let deadline = Instant::now() + DRAIN_PATIENCE;
        let mut partitions = self.held.partitions.lock();
        let has_begun = |partitions: &HashMap<u32, Partition>| {
            let mut windows = gone.iter().filter_map(|at| partitions.get(at));
            windows.any(|partition| partition.window.has_begun())
        };
        while has_begun(&partitions)
            && !self
                .held
                .finished
                .wait_until(&mut partitions, deadline)
                .timed_out()
        {}
        for assignment in gone {
            if let Some(partition) = partitions.get_mut(assignment) {
                partition.window.finish_once();
            }
        }
    }
}

fn only(record: &Record) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&record.kafka_topic, record.partition);
    list
}

/// What a commit says; `None` where there is none. Anybody can commit for a group, and where the metadata is not UTF-8,
/// rdkafka panics: it is passed over then.
fn offset_and_metadata(committed: &TopicPartitionListElem<'_>) -> Option<(i64, Option<String>)> {
    let Offset::Offset(offset) = committed.offset() else {
        return None;
    };
    let read = || committed.metadata().to_owned();
    Some((offset, catch_unwind(AssertUnwindSafe(read)).ok()))
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.quiet.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.quiet.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.quiet.stats(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // Kafka refuses a commit that meets a change of the group, and librdkafka tells nobody what became of one that
        // was not waited for.
        self.held.commit_again();
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            _ => self.revoke(consumer, partitions),
        }
    }
}
