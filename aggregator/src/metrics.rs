//! What the aggregator tells Prometheus.
//!
//! | metric | |
//! |---|---|
//! | `aggregator_records_total` | positions and removals counted |
//! | `aggregator_invalid_records_total` | records read that say nothing |
//! | `aggregator_dead_letters_total` | of those, written to the dead letters |
//! | `aggregator_late_records_total` | positions that no minute counts: too late, or of a clock far ahead |
//! | `aggregator_totals_published_total` | totals, tombstones and frames that Kafka has committed |
//! | `aggregator_restarts_total` | times that work began anew after Kafka had refused it |
//! | `aggregator_publish_seconds` | how long a transaction with totals took |
//! | `aggregator_commit_seconds` | how long a transaction of the first stage took |
//! | `aggregator_lag_records` | records in this instance's partitions that are not counted yet |
//! | `aggregator_partitions` | how many partitions of the positions this instance has |
//! | `aggregator_vehicles`, `aggregator_companies` | how many there are now; over all instances they add up |
//! | `aggregator_passengers{company}` | on board, of the [`COMPANIES_MAX`] companies with the most vehicles |
//!
//! Each instance tells of its own share.

use std::sync::Arc;

use fleet::CompanyTotal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::run::Shared;

/// Names come from outside: whoever can publish a position can make up a company, but not more series than this.
const COMPANIES_MAX: usize = 20;

/// Counted while it runs.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) records: Counter,
    pub(crate) invalid_records: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) totals_published: Counter,
    pub(crate) late_records: Counter,
    pub(crate) restarts: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) publish_seconds: Histogram,
    pub(crate) lag_records: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            invalid_records: Counter::default(),
            dead_letters: Counter::default(),
            totals_published: Counter::default(),
            late_records: Counter::default(),
            restarts: Counter::default(),
            publish_seconds: seconds(),
            commit_seconds: seconds(),
            lag_records: Gauge::default(),
        }
    }
}

/// 1 ms to 8 s: a commit in the same machine, and one that waits for a leader's election.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 14))
}

/// All metrics, by name.
pub(crate) fn registry(shared: &Arc<Shared>) -> Arc<Registry> {
    let mut registry = Registry::with_prefix("aggregator");
    let metrics = &shared.metrics;
    registry.register(
        "records",
        "positions and removals counted",
        metrics.records.clone(),
    );
    registry.register(
        "invalid_records",
        "records read that are no positions",
        metrics.invalid_records.clone(),
    );
    registry.register(
        "dead_letters",
        "invalid records written to the dead letters",
        metrics.dead_letters.clone(),
    );
    registry.register(
        "totals_published",
        "totals, tombstones and frames that kafka has committed",
        metrics.totals_published.clone(),
    );
    registry.register(
        "late_records",
        "positions that no minute counts",
        metrics.late_records.clone(),
    );
    registry.register(
        "restarts",
        "times that work began anew after kafka had refused it",
        metrics.restarts.clone(),
    );
    registry.register(
        "publish_seconds",
        "how long a transaction with totals took",
        metrics.publish_seconds.clone(),
    );
    registry.register(
        "commit_seconds",
        "how long a transaction of the first stage took",
        metrics.commit_seconds.clone(),
    );
    registry.register(
        "lag_records",
        "records in kafka that are not counted yet",
        metrics.lag_records.clone(),
    );
    registry.register_collector(Box::new(Now(Arc::clone(shared))));
    Arc::new(registry)
}

/// What the state says when it is asked.
struct Now(Arc<Shared>);

impl std::fmt::Debug for Now {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut totals: Vec<CompanyTotal> = self.0.companies.lock().values().cloned().collect();
        let mut gauge = |name, help, value: usize| {
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
                .encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("vehicles", "vehicles that count", self.0.vehicles())?;
        let partitions = self.0.next.lock().len();
        gauge("partitions", "partitions of the positions", partitions)?;
        gauge("companies", "companies with a vehicle", totals.len())?;

        totals.sort_by(|a, b| b.vehicles.cmp(&a.vehicles).then(a.company.cmp(&b.company)));
        let mut family = encoder.encode_descriptor(
            "passengers",
            "passengers on board by company",
            None,
            MetricType::Gauge,
        )?;
        for total in totals.iter().take(COMPANIES_MAX) {
            let label = [("company", total.company.as_str())];
            ConstGauge::new(i64::try_from(total.passengers).unwrap_or(i64::MAX))
                .encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
