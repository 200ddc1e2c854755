//! Stores what belongs together: a QoS 2 message with its packet identifier, a session's end with its will.
//!
//! With transactions, many clients' entries share one: while a transaction is committed, the next ones gather. Without
//! them the records of an entry are written one after the other, and a crash may come in between.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kafka::{Error, Failed, NewRecord, Position, Producer, Transactions};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// Entries in one transaction at most, and bytes. A guess: Kafka's own time for a transaction is some milliseconds.
const GROUP_MAX: usize = 2000;
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// How long to wait before a transaction that failed is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// Called once, when all records of an entry are stored, with where they are, or when none is and none will be.
pub(crate) type Then = Box<dyn FnOnce(Result<Vec<Position>, Error>) + Send>;

struct Entry {
    records: Vec<NewRecord>,
    bytes: usize,
    then: Then,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ledger(How);

#[derive(Clone)]
enum How {
    Together(Arc<Waiting>),
    OneByOne(Producer),
}

struct Waiting {
    queue: Mutex<Queue>,
    /// There is an entry, or the end has come.
    news: Condvar,
    room: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    is_over: bool,
}

/// What a transaction's thread needs.
pub(crate) struct Committing {
    pub(crate) settings: kafka::Settings,
    /// Names this run of the node to Kafka.
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    /// Whether nobody has declared this node dead; asked when Kafka takes no more from its producer. It may block.
    pub(crate) still_lives: Box<dyn Fn() -> bool + Send>,
}

impl Ledger {
    /// Writes without transactions.
    pub(crate) fn one_by_one(producer: Producer) -> Self {
        Self(How::OneByOne(producer))
    }

    /// Writes in transactions once [`Self::start`] was called; at most `bytes_max` wait.
    pub(crate) fn together(bytes_max: usize) -> Self {
        Self(How::Together(Arc::new(Waiting {
            queue: Mutex::default(),
            news: Condvar::new(),
            room: Notify::new(),
            bytes_max,
        })))
    }

    /// Whether an entry is stored as a whole or not at all.
    pub(crate) fn is_together(&self) -> bool {
        matches!(self.0, How::Together(_))
    }

    /// Starts the thread that commits.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(&self, first: Transactions, committing: Committing) -> anyhow::Result<()> {
        if let How::Together(waiting) = &self.0 {
            let waiting = Arc::clone(waiting);
            kafka::thread::spawn("kafka-commit", move || {
                commit_all(&waiting, first, &committing);
            })?;
        }
        Ok(())
    }

    /// What is stored now is stored; the rest is refused. With [`Self::one_by_one`] nothing waits here.
    pub(crate) fn stop(&self) {
        if let How::Together(waiting) = &self.0 {
            waiting.queue.lock().is_over = true;
            waiting.news.notify_all();
            waiting.room.notify_waiters();
        }
    }

    /// Stores records; waits only for room.
    pub(crate) async fn store(&self, records: Vec<NewRecord>, then: Then) {
        match &self.0 {
            How::Together(waiting) => waiting.push(records, then).await,
            How::OneByOne(producer) => one_by_one(producer, records, then).await,
        }
    }
}

/// Several answers that are one.
struct Answers {
    left: usize,
    positions: Vec<Option<Position>>,
    error: Option<Error>,
    then: Option<Then>,
}

async fn one_by_one(producer: &Producer, records: Vec<NewRecord>, then: Then) {
    let answers = Arc::new(Mutex::new(Answers {
        left: records.len(),
        positions: vec![None; records.len()],
        error: None,
        then: Some(then),
    }));
    for (at, record) in records.iter().enumerate() {
        let answers = Arc::clone(&answers);
        let mut on_delivery: Option<kafka::OnDelivery> = Some(Box::new(move |result| {
            let mut all = answers.lock();
            match result {
                Ok(position) => all.positions[at] = Some(position),
                Err(error) => all.error = Some(error),
            }
            all.left -= 1;
            if all.left == 0
                && let Some(then) = all.then.take()
            {
                let result = match all.error.take() {
                    Some(error) => Err(error),
                    None => Ok(all.positions.iter().flatten().copied().collect()),
                };
                drop(all);
                then(result);
            }
        }));
        loop {
            match record.with(|record| producer.send(record, on_delivery.take())) {
                Ok(()) => break,
                Err(kafka::Full(back)) => on_delivery = back,
            }
            producer.has_room().await;
        }
    }
}

impl Waiting {
    async fn push(&self, records: Vec<NewRecord>, then: Then) {
        let bytes = records.iter().map(NewRecord::bytes).sum();
        let mut entry = Some(Entry {
            records,
            bytes,
            then,
        });
        loop {
            let room = self.room.notified();
            let refused = {
                let mut queue = self.queue.lock();
                if queue.is_over {
                    entry.take()
                } else if queue.bytes < self.bytes_max {
                    queue.bytes += bytes;
                    queue.entries.extend(entry.take());
                    self.news.notify_one();
                    return;
                } else {
                    None
                }
            };
            if let Some(entry) = refused {
                return (entry.then)(Err(Error::Ended));
            }
            room.await;
        }
    }

    /// The next entries to commit; none at the end.
    fn take(&self) -> Vec<Entry> {
        let mut queue = self.queue.lock();
        while queue.entries.is_empty() && !queue.is_over {
            self.news.wait(&mut queue);
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP_MAX
            && bytes < GROUP_BYTES_MAX
            && let Some(entry) = queue.entries.pop_front()
        {
            bytes += entry.bytes;
            group.push(entry);
        }
        queue.bytes -= bytes;
        drop(queue);
        self.room.notify_waiters();
        group
    }
}

fn commit_all(waiting: &Waiting, mut transactions: Transactions, committing: &Committing) {
    loop {
        let mut group = waiting.take();
        if group.is_empty() {
            return;
        }
        while !group.is_empty() {
            if transactions.is_in_doubt() {
                tracing::info!("kafka may end a transaction twice: going on with a new producer");
                match renew(waiting, committing) {
                    Some(renewed) => transactions = renewed,
                    None => return give_up(waiting, group),
                }
            }
            let records: Vec<&NewRecord> = group.iter().flat_map(|entry| &entry.records).collect();
            match transactions.commit(&records) {
                Ok(positions) => {
                    let mut positions = positions.into_iter();
                    for entry in group.drain(..) {
                        let of_entry = positions.by_ref().take(entry.records.len()).collect();
                        (entry.then)(Ok(of_entry));
                    }
                }
                Err(Failed::Refused(at, error)) => {
                    tracing::warn!(%error, "kafka refused a record");
                    let entry = group.remove(entry_of(&group, at));
                    (entry.then)(Err(error));
                }
                Err(Failed::Again(error)) => {
                    tracing::debug!(%error, "a transaction is tried again");
                    if waiting.queue.lock().is_over {
                        return give_up(waiting, group);
                    }
                    std::thread::sleep(RETRY);
                }
                Err(Failed::Fenced(error)) => {
                    tracing::warn!(%error, "kafka takes no more of this node's transactions");
                    match renew(waiting, committing) {
                        Some(renewed) => transactions = renewed,
                        None => return give_up(waiting, group),
                    }
                }
            }
        }
    }
}

/// Which entry has the record with this index.
fn entry_of(group: &[Entry], at: usize) -> usize {
    let mut end = 0;
    group
        .iter()
        .position(|entry| {
            end += entry.records.len();
            at < end
        })
        .expect("the index is of a record of the group")
}

/// A new producer, unless another node has ended the one before it. What that one had begun is not stored: Kafka gave
/// it up.
fn renew(waiting: &Waiting, committing: &Committing) -> Option<Transactions> {
    loop {
        let started = Transactions::start(&committing.settings, &committing.id, committing.timeout);
        if waiting.queue.lock().is_over {
            return None;
        }
        match started {
            Ok(transactions) => return (committing.still_lives)().then_some(transactions),
            Err(error) => {
                tracing::debug!(%error, "transactions can't be started again yet");
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn give_up(waiting: &Waiting, group: Vec<Entry>) {
    let rest = {
        let mut queue = waiting.queue.lock();
        queue.is_over = true;
        std::mem::take(&mut queue.entries)
    };
    waiting.room.notify_waiters();
    for entry in group.into_iter().chain(rest) {
        (entry.then)(Err(Error::Ended));
    }
}
