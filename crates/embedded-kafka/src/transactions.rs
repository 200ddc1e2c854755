//! The transaction coordinator.
//!
//! Every change of a transaction is first a record of the compacted topic `__transaction_state` (key: transactional
//! id, value: JSON), then it counts. Ending one is two such steps, `Prepare…` before the markers and `Complete…` after
//! them, so that a restart in between finishes what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::groups::{Committed, Groups, Place};
use crate::log::segment::now_ms;
use crate::producer_ids::ProducerIds;
use crate::topics::{Topic, Topics};

/// Kafka's `transaction.max.timeout.ms` and `transactional.id.expiration.ms`.
const TIMEOUT_MS_MAX: i32 = 900_000;
const EXPIRATION_MS: i64 = 7 * 86_400_000;

/// Who says it is the producer of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transaction {
    producer_id: i64,
    epoch: i16,
    timeout_ms: i32,
    phase: Phase,
    partitions: BTreeSet<Place>,
    /// By group, to be committed with the transaction.
    offsets: BTreeMap<String, Vec<(Place, Committed)>>,
    started_ms: i64,
    changed_ms: i64,
}

impl Transaction {
    fn check(&self, producer: Producer) -> Result<(), ResponseError> {
        if producer.id != self.producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer.epoch == self.epoch {
            Ok(())
        } else {
            Err(ResponseError::ProducerFenced)
        }
    }

    fn begin(&mut self) -> Result<(), ResponseError> {
        match self.phase {
            Phase::Ongoing => {}
            Phase::PrepareCommit | Phase::PrepareAbort => {
                return Err(ResponseError::ConcurrentTransactions);
            }
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => {
                self.phase = Phase::Ongoing;
                self.started_ms = now_ms();
            }
        }
        Ok(())
    }

    fn deadline_ms(&self) -> Option<i64> {
        (self.phase == Phase::Ongoing).then(|| self.started_ms + i64::from(self.timeout_ms))
    }
}

type Entry = Arc<Mutex<Transaction>>;

/// Locks are taken in this order: the map, one transaction, a partition or the groups.
#[derive(Debug)]
pub(crate) struct Transactions {
    topic: Arc<Topic>,
    topics: Arc<Topics>,
    groups: Arc<Groups>,
    ids: Arc<ProducerIds>,
    all: Mutex<BTreeMap<String, Entry>>,
    /// A deadline may be earlier than the timer thinks.
    changed: Notify,
}

impl Transactions {
    /// Reads the topic from its start and finishes what was decided.
    pub(crate) fn open(
        topic: Arc<Topic>,
        topics: Arc<Topics>,
        groups: Arc<Groups>,
        ids: Arc<ProducerIds>,
    ) -> io::Result<Transactions> {
        let mut all: BTreeMap<String, Transaction> = BTreeMap::new();
        let partition = topic.partition(0).ok_or(io::ErrorKind::NotFound)?;
        let mut foreign = 0;
        partition.for_each(|key, value| {
            let id = String::from_utf8_lossy(key).into_owned();
            match value.map(serde_json::from_slice) {
                Some(Ok(transaction)) => {
                    all.insert(id, transaction);
                }
                Some(Err(_)) => foreign += 1,
                None => {
                    all.remove(&id);
                }
            }
        })?;
        if foreign > 0 {
            tracing::warn!(
                topic = topic.name,
                records = foreign,
                "skipped records that are not transactions"
            );
        }
        let all = all
            .into_iter()
            .map(|(id, transaction)| (id, Arc::new(Mutex::new(transaction))))
            .collect();
        let transactions = Transactions {
            topic,
            topics,
            groups,
            ids,
            all: Mutex::new(all),
            changed: Notify::new(),
        };
        for (id, entry) in transactions.entries() {
            let transaction = &mut *entry.lock();
            if let Phase::PrepareCommit | Phase::PrepareAbort = transaction.phase {
                transactions
                    .finish(&id, transaction)
                    .map_err(io::Error::other)?;
            }
        }
        Ok(transactions)
    }

    /// Gives a producer its id and epoch: whoever used the transactional id before is fenced, and what it left open
    /// is aborted. A producer that recovers from an error says who it `is`.
    pub(crate) fn init(
        &self,
        id: &str,
        timeout_ms: i32,
        is: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let mut all = self.all.lock();
        let Some(entry) = all.get(id).cloned() else {
            let transaction = Transaction {
                producer_id: self.ids.next()?,
                epoch: 0,
                timeout_ms,
                phase: Phase::Empty,
                partitions: BTreeSet::new(),
                offsets: BTreeMap::new(),
                started_ms: 0,
                changed_ms: now_ms(),
            };
            self.store(id, &transaction)?;
            let producer = Producer {
                id: transaction.producer_id,
                epoch: 0,
            };
            all.insert(id.to_owned(), Arc::new(Mutex::new(transaction)));
            return Ok(producer);
        };
        drop(all);
        let transaction = &mut *entry.lock();
        if let Some(producer) = is {
            transaction
                .check(producer)
                .map_err(|_| ResponseError::ProducerFenced)?;
        }
        self.settle(id, transaction)?;
        let mut next = Transaction {
            timeout_ms,
            phase: Phase::Empty,
            changed_ms: now_ms(),
            ..transaction.clone()
        };
        if next.epoch >= i16::MAX - 1 {
            (next.producer_id, next.epoch) = (self.ids.next()?, 0);
        } else {
            next.epoch += 1;
        }
        self.store(id, &next)?;
        *transaction = next;
        Ok(Producer {
            id: transaction.producer_id,
            epoch: transaction.epoch,
        })
    }

    pub(crate) fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: impl IntoIterator<Item = Place>,
    ) -> Result<(), ResponseError> {
        self.change(id, producer, |transaction| {
            transaction.begin()?;
            transaction.partitions.extend(partitions);
            Ok(())
        })
    }

    /// Announces that offsets of a group will follow.
    pub(crate) fn add_offsets(&self, id: &str, producer: Producer) -> Result<(), ResponseError> {
        self.change(id, producer, Transaction::begin)
    }

    /// Keeps offsets to be committed with the transaction.
    pub(crate) fn commit_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        offsets: Vec<(Place, Committed)>,
    ) -> Result<(), ResponseError> {
        self.change(id, producer, |transaction| {
            if transaction.phase != Phase::Ongoing {
                return Err(ResponseError::InvalidTxnState);
            }
            let pending = transaction.offsets.entry(group.to_owned()).or_default();
            pending.retain(|(place, _)| !offsets.iter().any(|(newer, _)| newer == place));
            pending.extend(offsets);
            Ok(())
        })
    }

    /// Appends to a partition that is part of the transaction, and keeps it from ending meanwhile.
    pub(crate) fn append<T>(
        &self,
        id: &str,
        producer: Producer,
        place: &Place,
        append: impl FnOnce() -> Result<T, ResponseError>,
    ) -> Result<T, ResponseError> {
        let entry = self.entry(id)?;
        let transaction = entry.lock();
        // Producers are told the old name of the error here: the new one came with a later version of Produce.
        transaction.check(producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        if transaction.phase != Phase::Ongoing || !transaction.partitions.contains(place) {
            return Err(ResponseError::InvalidTxnState);
        }
        append()
    }

    pub(crate) fn end(
        &self,
        id: &str,
        producer: Producer,
        commits: bool,
    ) -> Result<(), ResponseError> {
        let entry = self.entry(id)?;
        let transaction = &mut *entry.lock();
        transaction.check(producer)?;
        match (transaction.phase, commits) {
            (Phase::CompleteCommit, true) | (Phase::CompleteAbort, false) => Ok(()), // asked again
            (Phase::PrepareCommit, true) | (Phase::PrepareAbort, false) => {
                self.finish(id, transaction)
            }
            (Phase::Ongoing, _) => self.decide(id, transaction, transaction.epoch, commits),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Whether an open transaction will commit or drop an offset of this group.
    pub(crate) fn has_pending(&self, group: &str, place: &Place) -> bool {
        self.entries().iter().any(|(_, entry)| {
            let transaction = entry.lock();
            transaction
                .offsets
                .get(group)
                .is_some_and(|offsets| offsets.iter().any(|(other, _)| other == place))
        })
    }

    /// Forgets transactional ids that were not used for long.
    pub(crate) fn expire(&self, now_ms: i64) -> Result<(), ResponseError> {
        let mut all = self.all.lock();
        let is_old = |entry: &Entry| {
            let transaction = entry.lock();
            transaction.phase != Phase::Ongoing && now_ms - transaction.changed_ms > EXPIRATION_MS
        };
        for id in all
            .iter()
            .filter(|(_, entry)| is_old(entry))
            .map(|(id, _)| id.clone())
            .collect::<Vec<_>>()
        {
            self.put(&id, None)?;
            all.remove(&id);
        }
        Ok(())
    }

    /// Aborts transactions that take longer than their producer promised, for ever; sleeps while there is none.
    pub(crate) async fn run_timers(&self) {
        loop {
            let next = self
                .entries()
                .iter()
                .filter_map(|(_, entry)| entry.lock().deadline_ms())
                .min();
            let Some(at) = next else {
                self.changed.notified().await;
                continue;
            };
            let wait = Duration::from_millis(u64::try_from(at - now_ms()).unwrap_or(0));
            tokio::select! {
                () = self.changed.notified() => continue,
                () = tokio::time::sleep(wait) => {}
            }
            for (id, entry) in self.entries() {
                let transaction = &mut *entry.lock();
                if transaction
                    .deadline_ms()
                    .is_some_and(|deadline| deadline <= now_ms())
                {
                    tracing::info!(transactional_id = id, "transaction timed out");
                    if let Err(error) = self.settle(&id, transaction) {
                        tracing::error!(transactional_id = id, %error, "cannot abort, will try again");
                    }
                }
            }
        }
    }

    /// Leaves nothing open: finishes what was decided, aborts what was not and fences its producer.
    fn settle(&self, id: &str, transaction: &mut Transaction) -> Result<(), ResponseError> {
        match transaction.phase {
            Phase::Ongoing => {
                self.decide(id, transaction, transaction.epoch.saturating_add(1), false)
            }
            Phase::PrepareCommit | Phase::PrepareAbort => self.finish(id, transaction),
            Phase::Empty | Phase::CompleteCommit | Phase::CompleteAbort => Ok(()),
        }
    }

    fn decide(
        &self,
        id: &str,
        transaction: &mut Transaction,
        epoch: i16,
        commits: bool,
    ) -> Result<(), ResponseError> {
        let phase = if commits {
            Phase::PrepareCommit
        } else {
            Phase::PrepareAbort
        };
        let next = Transaction {
            phase,
            epoch,
            changed_ms: now_ms(),
            ..transaction.clone()
        };
        self.store(id, &next)?;
        *transaction = next;
        self.finish(id, transaction)
    }

    /// Writes markers and offsets; done twice it changes nothing more.
    fn finish(&self, id: &str, transaction: &mut Transaction) -> Result<(), ResponseError> {
        let commits = transaction.phase == Phase::PrepareCommit;
        for (topic, index) in &transaction.partitions {
            // A topic may have been deleted meanwhile: then there is nothing to mark.
            let Some(topic) = self.topics.get(topic) else {
                continue;
            };
            let Some(partition) = topic.partition(*index) else {
                continue;
            };
            partition.append_marker(
                transaction.producer_id,
                transaction.epoch,
                commits,
                &topic.config(),
            )?;
        }
        if commits {
            for (group, offsets) in &transaction.offsets {
                self.groups.commit(group, offsets.clone())?;
            }
        }
        let phase = if commits {
            Phase::CompleteCommit
        } else {
            Phase::CompleteAbort
        };
        let (partitions, offsets) = (BTreeSet::new(), BTreeMap::new());
        let next = Transaction {
            phase,
            partitions,
            offsets,
            changed_ms: now_ms(),
            ..transaction.clone()
        };
        self.store(id, &next)?;
        *transaction = next;
        Ok(())
    }

    fn change(
        &self,
        id: &str,
        producer: Producer,
        change: impl FnOnce(&mut Transaction) -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        let entry = self.entry(id)?;
        let transaction = &mut *entry.lock();
        transaction.check(producer)?;
        let mut next = transaction.clone();
        change(&mut next)?;
        next.changed_ms = now_ms();
        self.store(id, &next)?;
        let has_begun = transaction.phase != Phase::Ongoing;
        *transaction = next;
        if has_begun {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn entry(&self, id: &str) -> Result<Entry, ResponseError> {
        self.all
            .lock()
            .get(id)
            .cloned()
            .ok_or(ResponseError::InvalidProducerIdMapping)
    }

    fn entries(&self) -> Vec<(String, Entry)> {
        self.all
            .lock()
            .iter()
            .map(|(id, entry)| (id.clone(), entry.clone()))
            .collect()
    }

    fn store(&self, id: &str, transaction: &Transaction) -> Result<(), ResponseError> {
        self.put(
            id,
            Some(serde_json::to_vec(transaction).map_err(|_| ResponseError::UnknownServerError)?),
        )
    }

    fn put(&self, id: &str, value: Option<Vec<u8>>) -> Result<(), ResponseError> {
        let partition = self
            .topic
            .partition(0)
            .ok_or(ResponseError::CoordinatorNotAvailable)?;
        partition.append_own(&[(id.as_bytes().to_vec(), value)], &self.topic.config())
    }
}
