//! What `/metrics` shows. No label has a client's name or topic.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
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
            "mqtt_kafka_refused" kafka_refused "Records that Kafka refused"
            "mqtt_kafka_records" kafka_records "Records read from Kafka"
            "mqtt_kafka_records_bytes" kafka_records_bytes "Bytes of keys and values read from Kafka"
            "mqtt_kafka_records_unmapped" kafka_records_unmapped "Records read from Kafka whose key fits no topic rule"
            "mqtt_publish_to_kafka_seconds" publish_to_kafka "From PUBLISH to Kafka's acknowledgement"
            "mqtt_kafka_to_broker_seconds" kafka_to_broker "From a record's timestamp until it is matched"
        }
        metrics
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
