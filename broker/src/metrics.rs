//! What `/metrics` shows. No label has a client's name or topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use kafka::Fetched;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use mqtt::Version;
use mqtt::session::Stats;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ConnectionLabels {
    transport: &'static str,
    version: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QoSLabel {
    qos: u8,
}

/// The broker's metrics.
pub(crate) struct Metrics {
    connections: Family<ConnectionLabels, Gauge>,
    connects: Family<Reason, Counter>,
    disconnects: Family<Reason, Counter>,
    refusals: Family<Reason, Counter>,
    received: Family<QoSLabel, Counter>,
    sent: Family<QoSLabel, Counter>,
    dropped: Family<Reason, Counter>,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) writes: Counter,
    pub(crate) subscriptions: Gauge,
    pub(crate) retained: Gauge,
    pub(crate) sessions_expired: Counter,
    pub(crate) nodes: Gauge,
    pub(crate) nodes_lost: Counter,
    pub(crate) left_tail: Counter,
    pub(crate) sweeps: Counter,
    pub(crate) swept_records: Counter,
    fetched: FetchedByReader,
    pub(crate) kafka_refused: Counter,
    pub(crate) kafka_records: Counter,
    pub(crate) kafka_records_bytes: Counter,
    pub(crate) kafka_records_unmapped: Counter,
    pub(crate) publish_to_kafka: Histogram,
    pub(crate) kafka_to_broker: Histogram,
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        // 0.5 ms to 8 s.
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 15));
        let metrics = Self {
            connections: Family::default(),
            connects: Family::default(),
            disconnects: Family::default(),
            refusals: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            dropped: Family::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            writes: Counter::default(),
            subscriptions: Gauge::default(),
            retained: Gauge::default(),
            sessions_expired: Counter::default(),
            nodes: Gauge::default(),
            nodes_lost: Counter::default(),
            left_tail: Counter::default(),
            sweeps: Counter::default(),
            swept_records: Counter::default(),
            fetched: FetchedByReader::default(),
            kafka_refused: Counter::default(),
            kafka_records: Counter::default(),
            kafka_records_bytes: Counter::default(),
            kafka_records_unmapped: Counter::default(),
            publish_to_kafka: seconds(),
            kafka_to_broker: seconds(),
        };
        macro_rules! register {
            ($($name:literal $field:ident $help:literal)*) => {
                $(registry.register($name, $help, metrics.$field.clone());)*
            };
        }
        // Counters get their `_total` from the exposition format.
        register! {
            "mqtt_connections" connections "Clients that are connected"
            "mqtt_connects" connects "CONNECT packets by what became of them"
            "mqtt_disconnects" disconnects "Connections that ended, by reason"
            "mqtt_refusals" refusals "Publishes and subscriptions that were refused, by reason"
            "mqtt_messages_received" received "PUBLISH packets from clients"
            "mqtt_messages_sent" sent "PUBLISH packets to clients"
            "mqtt_messages_dropped" dropped "Messages that were not delivered or not stored, by reason"
            "mqtt_received_bytes" received_bytes "Bytes from clients"
            "mqtt_sent_bytes" sent_bytes "Bytes to clients"
            "mqtt_writes" writes "Writes to clients: system calls, or WebSocket messages"
            "mqtt_subscriptions" subscriptions "Subscriptions of connected clients"
            "mqtt_retained_messages" retained "Topics that have a retained message"
            "mqtt_sessions_expired" sessions_expired "Sessions that ended since their client did not come back in time"
            "mqtt_nodes" nodes "Nodes that live, as this one knows, itself included"
            "mqtt_nodes_lost" nodes_lost "Nodes that ended or died while this one lived"
            "mqtt_left_tail" left_tail "Times that a client which could not keep up left the tail of a partition"
            "mqtt_catch_up_sweeps" sweeps "Sweeps of a partition for those who are behind"
            "mqtt_catch_up_records" swept_records "Records read by sweeps"
            "mqtt_kafka_refused" kafka_refused "Records that Kafka refused"
            "mqtt_kafka_records" kafka_records "Records read from Kafka"
            "mqtt_kafka_records_bytes" kafka_records_bytes "Bytes of keys and values read from Kafka"
            "mqtt_kafka_records_unmapped" kafka_records_unmapped "Records read from Kafka whose key fits no topic rule"
            "mqtt_publish_to_kafka_seconds" publish_to_kafka "From PUBLISH to Kafka's acknowledgement"
            "mqtt_kafka_to_broker_seconds" kafka_to_broker "From a record's timestamp until it is matched"
        }
        registry.register_collector(Box::new(metrics.fetched.clone()));
        metrics
    }

    /// Bytes that a reader fetches from Kafka count for `reader`.
    pub(crate) fn add_fetched(&self, reader: &'static str, fetched: &Fetched) {
        self.fetched.0.lock().push((reader, fetched.clone()));
    }

    /// PUBLISH packets from clients.
    pub(crate) fn messages_received(&self) -> u64 {
        total(&self.received)
    }

    /// PUBLISH packets to clients.
    pub(crate) fn messages_sent(&self) -> u64 {
        total(&self.sent)
    }

    pub(crate) fn connected(&self, transport: &'static str, version: Version, change: i64) {
        let version = match version {
            Version::V3_1 => "3.1",
            Version::V3_1_1 => "3.1.1",
            Version::V5 => "5.0",
        };
        self.connections
            .get_or_create(&ConnectionLabels { transport, version })
            .inc_by(change);
    }

    pub(crate) fn connect(&self, reason: &'static str) {
        self.connects.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn disconnect(&self, reason: &'static str) {
        self.disconnects.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn dropped(&self, reason: &'static str, count: u64) {
        self.dropped.get_or_create(&Reason { reason }).inc_by(count);
    }

    /// Adds what a session has counted.
    pub(crate) fn add(&self, stats: Stats) {
        if stats == Stats::default() {
            return;
        }
        for qos in 0..3u8 {
            let index = usize::from(qos);
            if stats.received[index] > 0 {
                self.received
                    .get_or_create(&QoSLabel { qos })
                    .inc_by(stats.received[index]);
            }
            if stats.sent[index] > 0 {
                self.sent
                    .get_or_create(&QoSLabel { qos })
                    .inc_by(stats.sent[index]);
            }
        }
        if stats.dropped > 0 {
            self.dropped("expired_or_too_large", stats.dropped);
        }
    }
}

fn total(by_qos: &Family<QoSLabel, Counter>) -> u64 {
    (0..3)
        .map(|qos| by_qos.get_or_create(&QoSLabel { qos }).get())
        .sum()
}

/// What the readers have fetched, asked when the metrics are.
#[derive(Clone, Debug, Default)]
struct FetchedByReader(Arc<Mutex<Vec<(&'static str, Fetched)>>>);

impl Collector for FetchedByReader {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut by_reader: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (reader, fetched) in &*self.0.lock() {
            *by_reader.entry(reader).or_default() += fetched.bytes();
        }
        let help = "Bytes of records fetched from Kafka, framing included";
        let mut metric = encoder.encode_descriptor(
            "mqtt_kafka_fetched_bytes",
            help,
            None,
            MetricType::Counter,
        )?;
        for (reader, bytes) in by_reader {
            let labels = [("reader", reader)];
            ConstCounter::new(bytes).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
