//! `Fetch`: batches out of the log, waiting for them where there are none yet.
//!
//! Fetch sessions are not offered (session id 0): each request names all its partitions.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::*;
use kafka_protocol::messages::*;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Call;
use crate::log::partition::Read;
use crate::log::{Isolation, Partition};

/// Records in one answer, whatever the client asks for (but at least one batch): bounds the memory of a connection.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Longest wait, whatever the client asks for.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub(super) async fn fetch(call: &Call<'_>, request: FetchRequest) -> FetchResponse {
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
    let deadline = Instant::now() + wait;
    let waiter = Waiter::default();
    loop {
        let attempt = read_all(call, &request, &waiter.notify);
        let is_enough = attempt.bytes >= usize::try_from(request.min_bytes).unwrap_or(0);
        if is_enough
            || attempt.has_error
            || attempt.waits_for.is_empty()
            || Instant::now() >= deadline
        {
            waiter.forget(&attempt.waits_for);
            return FetchResponse::default().with_responses(attempt.topics);
        }
        let guard = Forget {
            waiter: &waiter,
            partitions: attempt.waits_for,
        };
        drop(attempt.topics);
        let timed_out = timeout_at(deadline, waiter.notify.notified())
            .await
            .is_err();
        drop(guard);
        if timed_out {
            tracing::trace!("nothing new to fetch");
        }
    }
}

#[derive(Default)]
struct Waiter {
    notify: Arc<Notify>,
}

impl Waiter {
    fn forget(&self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            partition.forget(&self.notify);
        }
    }
}

/// Takes the waiter back from its partitions, also when the connection ends in the middle of the wait.
struct Forget<'a> {
    waiter: &'a Waiter,
    partitions: Vec<Arc<Partition>>,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.waiter.forget(&self.partitions);
    }
}

struct Attempt {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    has_error: bool,
    /// The partitions that will notify the waiter.
    waits_for: Vec<Arc<Partition>>,
}

fn read_all(call: &Call<'_>, request: &FetchRequest, waiter: &Arc<Notify>) -> Attempt {
    let isolation = if request.isolation_level == 1 {
        Isolation::Committed
    } else {
        Isolation::Uncommitted
    };
    let budget = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(RESPONSE_BYTES_MAX);
    let mut attempt = Attempt {
        topics: Vec::new(),
        bytes: 0,
        has_error: false,
        waits_for: Vec::new(),
    };
    for wanted in &request.topics {
        let topic = call.node.topics.get(&wanted.topic);
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for want in &wanted.partitions {
            let partition = topic
                .as_ref()
                .and_then(|topic| topic.partition(want.partition));
            let max_bytes = usize::try_from(want.partition_max_bytes)
                .unwrap_or(0)
                .min(budget - attempt.bytes.min(budget));
            // The first batch comes whole however large it is: a reader must not get stuck on it.
            let at_least_one = attempt.bytes == 0;
            let result = match &partition {
                None => Err(ResponseError::UnknownTopicOrPartition),
                Some(_) if want.current_leader_epoch > 0 => Err(ResponseError::UnknownLeaderEpoch),
                Some(partition) => partition.read(
                    want.fetch_offset,
                    max_bytes,
                    isolation,
                    at_least_one,
                    Some(waiter),
                ),
            };
            attempt.has_error |= result.is_err();
            attempt.bytes += result.as_ref().map_or(0, |read| read.records.len());
            if result.is_ok() {
                attempt.waits_for.extend(partition);
            }
            partitions.push(answer(want.partition, isolation, result));
        }
        attempt.topics.push(
            FetchableTopicResponse::default()
                .with_topic(wanted.topic.clone())
                .with_partitions(partitions),
        );
    }
    attempt
}

fn answer(index: i32, isolation: Isolation, result: Result<Read, ResponseError>) -> PartitionData {
    let data = PartitionData::default()
        .with_partition_index(index)
        .with_preferred_read_replica(BrokerId(-1));
    let read = match result {
        Ok(read) => read,
        Err(error) => {
            return data
                .with_error_code(error.code())
                .with_high_watermark(-1)
                .with_records(Some(Default::default()));
        }
    };
    let aborted = |aborted: crate::log::Aborted| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(aborted.producer_id))
            .with_first_offset(aborted.first_offset)
    };
    data.with_high_watermark(read.offsets.next)
        .with_last_stable_offset(read.offsets.last_stable)
        .with_log_start_offset(read.offsets.start)
        .with_aborted_transactions(
            (isolation == Isolation::Committed)
                .then(|| read.aborted.into_iter().map(aborted).collect()),
        )
        .with_records(Some(read.records))
}
