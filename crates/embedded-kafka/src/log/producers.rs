//! What a partition knows of its producers: sequence numbers, open transactions and aborted ones.
//!
//! All of it is derived from the log and built again by recovery.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use kafka_protocol::ResponseError;

use super::batch::Header;

/// Batches remembered to recognise one that is sent again; a client has at most five in flight.
const BATCHES_REMEMBERED: usize = 5;
/// Kafka's `producer.id.expiration.ms`.
const EXPIRATION_MS: i64 = 86_400_000;

#[derive(Debug, Default)]
pub(crate) struct Producers {
    producers: HashMap<i64, Producer>,
    /// First offset of each open transaction → its producer.
    open: BTreeMap<i64, i64>,
    /// In the order of their markers.
    aborted: Vec<Aborted>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Appended>,
    open_since: Option<i64>,
    last_append_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Appended {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

/// A transaction that was aborted on this partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    pub(crate) first_offset: i64,
    /// The offset of its marker.
    pub(crate) last_offset: i64,
}

impl Producers {
    /// Whether a batch continues its producer's sequence. `Ok(Some(offset))`: it was appended before, there.
    pub(crate) fn check(&self, header: &Header) -> Result<Option<i64>, ResponseError> {
        let Some(producer) = self.producers.get(&header.producer_id) else {
            return Ok(None);
        };
        if header.producer_epoch < producer.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if header.producer_epoch > producer.epoch {
            return if header.base_sequence == 0 {
                Ok(None)
            } else {
                Err(ResponseError::OutOfOrderSequenceNumber)
            };
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        if let Some(same) = producer
            .batches
            .iter()
            .find(|b| (b.first_sequence, b.last_sequence) == (first, last))
        {
            return Ok(Some(same.base_offset));
        }
        match producer.batches.back() {
            Some(newest) if first != newest.last_sequence.wrapping_add(1) & i32::MAX => {
                Err(ResponseError::OutOfOrderSequenceNumber)
            }
            _ => Ok(None),
        }
    }

    /// Takes a data batch that was appended into account.
    pub(crate) fn appended(&mut self, header: &Header, now_ms: i64) {
        if header.producer_id < 0 || header.base_sequence < 0 {
            return; // no sequence to follow: a plain batch, or what compaction left of a marker
        }
        let producer = self.entry(header, now_ms);
        producer.batches.push_back(Appended {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
        });
        if producer.batches.len() > BATCHES_REMEMBERED {
            producer.batches.pop_front();
        }
        if header.is_transactional() && producer.open_since.is_none() {
            producer.open_since = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// Takes a marker that was appended into account.
    pub(crate) fn ended(&mut self, header: &Header, committed: bool, now_ms: i64) {
        let Some(first_offset) = self.entry(header, now_ms).open_since.take() else {
            return;
        };
        self.open.remove(&first_offset);
        if !committed {
            let (producer_id, last_offset) = (header.producer_id, header.base_offset);
            self.aborted.push(Aborted {
                producer_id,
                first_offset,
                last_offset,
            });
        }
    }

    fn entry(&mut self, header: &Header, now_ms: i64) -> &mut Producer {
        let producer = self
            .producers
            .entry(header.producer_id)
            .or_insert_with(|| Producer {
                epoch: header.producer_epoch,
                batches: VecDeque::new(),
                open_since: None,
                last_append_ms: now_ms,
            });
        if header.producer_epoch > producer.epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.last_append_ms = now_ms;
        producer
    }

    pub(crate) fn has_open_transaction(&self, producer_id: i64) -> bool {
        self.producers
            .get(&producer_id)
            .is_some_and(|producer| producer.open_since.is_some())
    }

    /// First offset of the oldest open transaction: readers of committed records stop before it.
    pub(crate) fn first_open_offset(&self) -> Option<i64> {
        self.open.keys().next().copied()
    }

    /// The aborted transactions that have records or their marker in the range.
    pub(crate) fn aborted_in(&self, from: i64, until: i64) -> Vec<Aborted> {
        let first = self
            .aborted
            .partition_point(|aborted| aborted.last_offset < from);
        self.aborted[first..]
            .iter()
            .filter(|aborted| aborted.first_offset < until)
            .copied()
            .collect()
    }

    /// Base offset of each producer's newest batch: compaction keeps its header, and so the sequence.
    pub(crate) fn newest_batches(&self) -> HashSet<i64> {
        self.producers
            .values()
            .filter_map(|producer| Some(producer.batches.back()?.base_offset))
            .collect()
    }

    /// Forgets what lies before the log's start, and producers long silent.
    pub(crate) fn trim(&mut self, log_start: i64, now_ms: i64) {
        self.aborted
            .retain(|aborted| aborted.last_offset >= log_start);
        self.producers.retain(|_, producer| {
            producer.open_since.is_some() || producer.last_append_ms + EXPIRATION_MS > now_ms
        });
    }

    /// Forgets aborted transactions whose records and markers compaction has removed.
    pub(crate) fn forget_aborted(&mut self, markers: &[i64]) {
        self.aborted
            .retain(|aborted| !markers.contains(&aborted.last_offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base_offset: i64, epoch: i16, sequence: i32, count: i32) -> Header {
        Header {
            base_offset,
            total_bytes: 0,
            attributes: 0x10,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 1,
            producer_epoch: epoch,
            base_sequence: sequence,
            count,
        }
    }

    #[test]
    fn sequences_go_on_repeat_or_are_refused() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, 0, 0, 3), 0);
        assert_eq!(producers.check(&batch(-1, 0, 3, 2)), Ok(None), "continues");
        assert_eq!(
            producers.check(&batch(-1, 0, 0, 3)),
            Ok(Some(0)),
            "sent again"
        );
        assert_eq!(
            producers.check(&batch(-1, 0, 5, 1)),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
        assert_eq!(
            producers.check(&batch(-1, 1, 0, 1)),
            Ok(None),
            "a new epoch starts at 0"
        );
        assert_eq!(
            producers.check(&batch(-1, 1, 3, 1)),
            Err(ResponseError::OutOfOrderSequenceNumber)
        );
        producers.appended(&batch(3, 1, 0, 1), 0);
        assert_eq!(
            producers.check(&batch(-1, 0, 3, 1)),
            Err(ResponseError::InvalidProducerEpoch)
        );
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.appended(&batch(0, 0, i32::MAX - 1, 2), 0);
        assert_eq!(producers.check(&batch(-1, 0, 0, 1)), Ok(None));
    }

    #[test]
    fn an_open_transaction_holds_readers_back_until_its_marker() {
        let mut producers = Producers::default();
        producers.appended(&batch(10, 0, 0, 1), 0);
        producers.appended(&batch(11, 0, 1, 1), 0);
        assert_eq!(producers.first_open_offset(), Some(10));
        producers.ended(&batch(12, 0, -1, 1), false, 0);
        assert_eq!(producers.first_open_offset(), None);
        assert_eq!(producers.aborted_in(0, 11).len(), 1);
        assert_eq!(producers.aborted_in(13, 20).len(), 0);
    }
}
