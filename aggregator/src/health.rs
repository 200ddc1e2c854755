//! Whether Kafka answers, and how far behind its end we are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka::{Bounds, Ends};
use service::Shutdown;
use service::admin::Ready;

use crate::run::Shared;

/// How often Kafka is asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps `ready` and the lag true until `shutdown`.
pub(crate) async fn run(
    shared: &Shared,
    ends: &Ends,
    updates_topic: &str,
    ready: &Ready,
    shutdown: &Shutdown,
) {
    let checks = async {
        loop {
            match ends.of(updates_topic, TIMEOUT).await {
                Ok(bounds) => {
                    shared.answers_since.lock().get_or_insert_with(Instant::now);
                    let lag = lag(&shared.next.lock(), &bounds);
                    shared.metrics.lag_records.set(lag);
                    became(ready, Ok(()));
                }
                Err(error) => {
                    *shared.answers_since.lock() = None;
                    became(ready, Err(format!("kafka does not answer: {error}")));
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    shutdown.run_until_cancelled(checks).await;
    ready.set(Err("shutting down".into()));
}

fn became(ready: &Ready, state: Result<(), String>) {
    match (ready.get(), &state) {
        (Ok(()), Err(reason)) => tracing::warn!("{reason}; trying on"),
        (Err(_), Ok(())) => tracing::info!("in step with kafka"),
        _ => {}
    }
    ready.set(state);
}

/// Records that Kafka holds of the partitions that are ours, by the next offset wanted, and that are not counted. A
/// producer's transactions leave one more at the end of a partition, which no reader sees.
fn lag(next: &BTreeMap<i32, i64>, bounds: &[Bounds]) -> i64 {
    bounds
        .iter()
        .filter_map(|bounds| {
            // What has left the log can't be read any more.
            let next = next.get(&bounds.partition)?.max(&bounds.first);
            Some((bounds.end - next).max(0))
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_only_what_can_still_be_read() {
        let next = BTreeMap::from([(0, 7), (1, 12), (2, 0)]);
        let bounds = |partition, first, end| Bounds {
            partition,
            first,
            end,
        };
        assert_eq!(lag(&next, &[bounds(0, 0, 10)]), 3);
        assert_eq!(lag(&next, &[bounds(0, 9, 10), bounds(2, 5, 9)]), 1 + 4);
        // We may have read more since the bounds were asked for, and others have the other partitions.
        assert_eq!(lag(&next, &[bounds(1, 0, 10), bounds(3, 0, 10)]), 0);
    }
}
