//! Kafka, as far as the broker can tell: partitions with offsets, transactions that readers see when they are committed,
//! and transactional producers of which the newest with a name ends the ones before it.
//!
//! It knows no time: who calls decides when a request arrives and when a marker is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka::Record;

/// The session topic has the first partitions, the message topic the rest.
pub(super) const SESSION_PARTITIONS: usize = 2;
pub(super) const PARTITIONS: usize = 4;
pub(super) const SESSION_TOPIC: &str = "sessions";
pub(super) const MESSAGE_TOPIC: &str = "messages";

/// What a producer gives to Kafka.
#[derive(Clone, Debug)]
pub(super) struct ToAppend {
    /// Of all partitions, those of the session topic first.
    pub(super) partition: usize,
    pub(super) key: String,
    pub(super) value: Option<Bytes>,
    pub(super) headers: Vec<(String, Bytes)>,
}

struct Entry {
    /// `None`: a marker, or one that was compacted away.
    record: Option<Record>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Visible,
    Open,
    Aborted,
}

#[derive(Default)]
struct Transactional {
    epoch: u32,
    /// By partition, the offsets of the transaction that is not over.
    open: BTreeMap<usize, Vec<i64>>,
    /// How it ends, when that is decided; the partitions in `open` wait for their markers.
    ending: Option<bool>,
    /// How many transactions have begun.
    begun: u64,
}

/// Why a transactional producer gets nothing done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is a newer one, or Kafka gave it up.
    Fenced,
    /// The transaction before has not ended everywhere.
    Busy,
}

#[derive(Default)]
pub(super) struct Log {
    partitions: [Vec<Entry>; PARTITIONS],
    producers: BTreeMap<String, Transactional>,
}

impl Log {
    pub(super) fn append(&mut self, record: ToAppend, now_ms: i64) -> i64 {
        self.push(record, now_ms, State::Visible)
    }

    fn push(&mut self, new: ToAppend, now_ms: i64, state: State) -> i64 {
        let entries = &mut self.partitions[new.partition];
        let offset = entries.len() as i64;
        let (kafka_topic, first) = match new.partition < SESSION_PARTITIONS {
            true => (SESSION_TOPIC, 0),
            false => (MESSAGE_TOPIC, SESSION_PARTITIONS),
        };
        let record = Record {
            kafka_topic: kafka_topic.into(),
            partition: (new.partition - first) as i32,
            offset,
            timestamp_ms: now_ms,
            key: Some(new.key.into()),
            value: new.value,
            headers: new.headers,
        };
        entries.push(Entry {
            record: Some(record),
            state,
        });
        offset
    }

    /// A new producer of this name. Busy: ask again; the one before can do nothing any more already.
    pub(super) fn start(&mut self, id: &str) -> Result<u32, Refusal> {
        let producer = self.producers.entry(id.to_owned()).or_default();
        if producer.ending.is_some() {
            return Err(Refusal::Busy);
        }
        producer.epoch += 1;
        if producer.open.is_empty() {
            return Ok(producer.epoch);
        }
        producer.ending = Some(false);
        Err(Refusal::Busy)
    }

    pub(super) fn append_in_transaction(
        &mut self,
        (id, epoch): &(String, u32),
        records: Vec<ToAppend>,
        now_ms: i64,
    ) -> Result<Vec<i64>, Refusal> {
        let producer = self.current(id, *epoch)?;
        if producer.ending.is_some() {
            return Err(Refusal::Busy);
        }
        producer.begun += u64::from(producer.open.is_empty());
        let mut offsets = Vec::new();
        for record in records {
            let partition = record.partition;
            let offset = self.push(record, now_ms, State::Open);
            offsets.push(offset);
            let producer = self.producers.get_mut(id).expect("it was there");
            producer.open.entry(partition).or_default().push(offset);
        }
        Ok(offsets)
    }

    /// Decides that the transaction is stored; readers see it when its markers are written.
    pub(super) fn commit(&mut self, (id, epoch): &(String, u32)) -> Result<(), Refusal> {
        let producer = self.current(id, *epoch)?;
        if !producer.open.is_empty() {
            producer.ending.get_or_insert(true);
        }
        Ok(())
    }

    fn current(&mut self, id: &str, epoch: u32) -> Result<&mut Transactional, Refusal> {
        self.producers
            .get_mut(id)
            .filter(|producer| producer.epoch == epoch)
            .ok_or(Refusal::Fenced)
    }

    /// Which transaction of a producer is open, and not decided on.
    pub(super) fn open(&self, id: &str) -> Option<u64> {
        let producer = self.producers.get(id)?;
        (producer.ending.is_none() && !producer.open.is_empty()).then_some(producer.begun)
    }

    /// Kafka has waited for too long.
    pub(super) fn give_up(&mut self, id: &str, transaction: u64) {
        if self.open(id) == Some(transaction) {
            let producer = self.producers.get_mut(id).expect("it is open");
            producer.epoch += 1;
            producer.ending = Some(false);
        }
    }

    /// The partitions that wait for the marker of a transaction that is decided on.
    pub(super) fn unmarked(&self, id: &str) -> Vec<usize> {
        let ending = self.producers.get(id).filter(|p| p.ending.is_some());
        ending.map_or_else(Vec::new, |p| p.open.keys().copied().collect())
    }

    pub(super) fn mark(&mut self, id: &str, partition: usize) {
        let Some(producer) = self.producers.get_mut(id) else {
            return;
        };
        // It may have been written already, for who asked again.
        let Some(is_stored) = producer.ending else {
            return;
        };
        let Some(offsets) = producer.open.remove(&partition) else {
            return;
        };
        if producer.open.is_empty() {
            producer.ending = None;
        }
        let entries = &mut self.partitions[partition];
        for offset in offsets {
            entries[offset as usize].state = match is_stored {
                true => State::Visible,
                false => State::Aborted,
            };
        }
        entries.push(Entry {
            record: None,
            state: State::Visible,
        });
    }

    /// Up to where a partition can be read: an open transaction hides what is behind it.
    pub(super) fn end(&self, partition: usize) -> i64 {
        let first_open = |producer: &Transactional| producer.open.get(&partition)?.first().copied();
        let open = self.producers.values().filter_map(first_open).min();
        open.unwrap_or(self.partitions[partition].len() as i64)
    }

    pub(super) fn read(&self, partition: usize, from: i64, to: i64) -> Vec<Record> {
        self.partitions[partition][from as usize..to as usize]
            .iter()
            .filter(|entry| entry.state == State::Visible)
            .filter_map(|entry| entry.record.clone())
            .collect()
    }

    /// All that can be read of a partition.
    pub(super) fn all(&self, partition: usize) -> Vec<Record> {
        self.read(partition, 0, self.end(partition))
    }

    /// Removes what a later record of the same key has replaced, as far as it is older than `before_ms`.
    pub(super) fn compact(&mut self, before_ms: i64) {
        for partition in 0..SESSION_PARTITIONS {
            let end = self.end(partition) as usize;
            let mut seen: BTreeSet<Arc<[u8]>> = BTreeSet::new();
            for entry in self.partitions[partition][..end].iter_mut().rev() {
                let Some(record) = entry
                    .record
                    .as_ref()
                    .filter(|_| entry.state == State::Visible)
                else {
                    continue;
                };
                let key: Arc<[u8]> = record.key.as_deref().unwrap_or_default().into();
                if !seen.insert(key) && record.timestamp_ms < before_ms {
                    entry.record = None;
                }
            }
        }
    }
}
