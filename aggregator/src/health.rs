//! Whether Kafka answers, and how far behind its end we are.

use std::time::Duration;

use kafka::{Bounds, Ends};
use service::Shutdown;
use service::admin::Ready;

use crate::run::Shared;
use crate::state::State;

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
                    let lag = lag(&shared.state.lock(), &bounds);
                    shared.metrics.lag_records.set(lag);
                    became(ready, Ok(()));
                }
                Err(error) => became(ready, Err(format!("kafka does not answer: {error}"))),
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

/// Records that Kafka holds and we have not counted. A producer's transactions leave one more at the end of a
/// partition, which no reader sees.
fn lag(state: &State, bounds: &[Bounds]) -> i64 {
    bounds
        .iter()
        .map(|bounds| {
            // What has left the log can't be read any more.
            let next = state.next_offset(bounds.partition).max(bounds.first);
            (bounds.end - next).max(0)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_only_what_can_still_be_read() {
        let mut state = State::default();
        state.reached(0, 7);
        state.reached(1, 12);
        let bounds = |partition, first, end| Bounds {
            partition,
            first,
            end,
        };
        assert_eq!(lag(&state, &[bounds(0, 0, 10)]), 3);
        assert_eq!(lag(&state, &[bounds(0, 9, 10), bounds(2, 5, 9)]), 1 + 4);
        // We may have read more since the bounds were asked for.
        assert_eq!(lag(&state, &[bounds(1, 0, 10)]), 0);
    }
}
