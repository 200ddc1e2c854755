//! From Kafka to MQTT: each record is read once per node, matched once, encoded once per form, and shared.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka::Record;

use crate::metrics::Metrics;
use crate::record;
use crate::retained::Retained;
use crate::rules::{Direction, Retain, Rules};
use crate::subscriptions::Subscriptions;

pub(crate) struct Egress {
    pub(crate) rules: Arc<Rules>,
    pub(crate) retained_topic: String,
    pub(crate) retained: Retained,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) metrics: Arc<Metrics>,
}

impl Egress {
    /// A record that was already there when the node started: only what it says of retained messages counts.
    pub(crate) fn restore(&self, record: &Record) {
        self.handle(record, false);
    }

    /// A record that has just come.
    pub(crate) fn deliver(&self, record: &Record) {
        let metrics = &self.metrics;
        metrics.kafka_records.inc();
        let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
        metrics
            .kafka_records_bytes
            .inc_by((length(&record.key) + length(&record.value)) as u64);
        let now_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_millis() as i64);
        let age_ms = (now_ms - record.timestamp_ms).max(0);
        metrics.kafka_to_broker.observe(age_ms as f64 / 1000.0);
        self.handle(record, true);
        metrics.retained.set(self.retained.len() as i64);
    }

    fn handle(&self, record: &Record, is_live: bool) {
        let key = record
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key else {
            self.metrics.kafka_records_unmapped.inc();
            return;
        };
        if *record.kafka_topic == self.retained_topic {
            self.retain(record, key);
            return;
        }
        let Some((rule, mqtt_topic)) = self.rules.mqtt_topic_of(&record.kafka_topic, key) else {
            self.metrics.kafka_records_unmapped.inc();
            return;
        };
        if rule.direction == Direction::ToKafka {
            return;
        }
        // The retained message changes before subscribers hear of it: who subscribes in between gets it either way.
        let Some(message) = record::message(record, &mqtt_topic) else {
            if rule.retain == Retain::Latest {
                self.retained.forget(&mqtt_topic);
            }
            self.metrics.dropped("expired_or_invalid", 1);
            return;
        };
        let message = Arc::new(message);
        if rule.retain == Retain::Latest {
            self.retained.keep(Arc::clone(&message));
        }
        if is_live {
            let publisher = record.header(record::CLIENT).map(|client| &client[..]);
            self.subscriptions.route(&message, publisher);
        }
    }

    fn retain(&self, record: &Record, mqtt_topic: &str) {
        match record::message(record, mqtt_topic) {
            Some(message) => self.retained.keep(Arc::new(message)),
            None => self.retained.forget(mqtt_topic),
        }
    }
}
