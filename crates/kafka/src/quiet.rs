//! What readers do with librdkafka's log: the end of a partition is no error, and a cluster that is away is reported by
//! the parts themselves, once. And how many bytes a reader has fetched, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

#[derive(Default)]
pub(crate) struct Quiet {
    fetched: Option<Fetched>,
    /// What this client has added to `fetched`.
    added: AtomicU64,
}

/// Bytes of records that one reader or several have fetched from Kafka, framing included; librdkafka says so once a second.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Fetched(Arc<AtomicU64>);

impl Fetched {
    /// The bytes until now.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The setting that makes librdkafka report what [`Fetched`] holds.
pub(crate) const STATISTICS: (&str, &str) = ("statistics.interval.ms", "1000");

impl Quiet {
    /// For a client with [`STATISTICS`].
    pub(crate) fn counting(fetched: &Fetched) -> Self {
        Self {
            fetched: Some(fetched.clone()),
            added: AtomicU64::new(0),
        }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        crate::settings::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }

    fn stats(&self, statistics: Statistics) {
        if let Some(fetched) = &self.fetched {
            let bytes = u64::try_from(statistics.rxmsg_bytes).unwrap_or(0);
            let before = self.added.swap(bytes, Ordering::Relaxed);
            fetched
                .0
                .fetch_add(bytes.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

impl ConsumerContext for Quiet {}
