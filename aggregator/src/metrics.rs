//! What the aggregator tells Prometheus.
//!
//! | metric | |
//! |---|---|
//! | `aggregator_records_total` | positions and removals counted |
//! | `aggregator_invalid_records_total` | records read that say nothing |
//! | `aggregator_dead_letters_total` | of those, written to the dead letters by this process |
//! | `aggregator_totals_published_total` | totals and tombstones that Kafka acknowledged |
//! | `aggregator_produce_errors_total` | totals or dead letters that Kafka refused |
//! | `aggregator_publish_seconds` | from taking the changed totals to Kafka's acknowledgement of the last |
//! | `aggregator_lag_records` | records in Kafka that are not counted yet |
//! | `aggregator_vehicles`, `aggregator_companies` | how many there are now |
//! | `aggregator_passengers{company}` | on board, of the [`COMPANIES_MAX`] companies with the most vehicles |

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
    pub(crate) produce_errors: Counter,
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
            produce_errors: Counter::default(),
            // 1 ms to 8 s: an acknowledgement in the same machine, and one that waits for a leader's election.
            publish_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            lag_records: Gauge::default(),
        }
    }
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
        "totals and tombstones that kafka acknowledged",
        metrics.totals_published.clone(),
    );
    registry.register(
        "produce_errors",
        "totals or dead letters that kafka refused",
        metrics.produce_errors.clone(),
    );
    registry.register(
        "publish_seconds",
        "from taking the changed totals to the last acknowledgement",
        metrics.publish_seconds.clone(),
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
        let (vehicles, mut totals) = {
            let state = self.0.state.lock();
            let totals: Vec<CompanyTotal> = state.companies().totals().collect();
            (state.vehicles(), totals)
        };
        let mut gauge = |name, help, value: usize| {
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
                .encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        gauge("vehicles", "vehicles that count", vehicles)?;
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
