//! From Kafka to MQTT: each record is read once per node, matched once, encoded once per form, and shared.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka::Record;
use mqtt::session::Message;
use parking_lot::Mutex;

use crate::logs::Logs;
use crate::mailbox::{Bells, Swept};
use crate::metrics::Metrics;
use crate::retained::Retained;
use crate::routed::Routed;
use crate::rules::{Direction, Retain, Rule, Rules};
use crate::subscriptions::Subscriptions;

pub(crate) struct Egress {
    pub(crate) rules: Arc<Rules>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) retained_topic: String,
    pub(crate) retained: Retained,
    pub(crate) subscriptions: Subscriptions,
    /// Of the batch that is being worked off.
    pub(crate) bells: Mutex<Bells>,
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
        let age_ms = now_ms.saturating_sub(record.timestamp_ms).max(0);
        metrics.kafka_to_broker.observe(age_ms as f64 / 1000.0);
        self.handle(record, true);
    }

    /// The records that had come together are delivered: their receivers are told.
    pub(crate) fn ring(&self) {
        self.bells.lock().ring();
    }

    /// A record of a sweep: who is behind gets it.
    pub(crate) fn sweep(&self, record: &Record) -> Swept {
        self.routed(record, |routed| self.subscriptions.sweep(routed))
            .unwrap_or(Swept::Done)
    }

    /// Gives a record to `give`, if it is one that subscribers may get.
    pub(crate) fn routed<T>(
        &self,
        record: &Record,
        give: impl FnOnce(&Routed<'_>) -> T,
    ) -> Option<T> {
        let (rule, mqtt_topic) = self.mqtt_topic(record)?;
        rule.filter(|rule| rule.direction != Direction::ToKafka)?;
        Routed::of(record, &mqtt_topic, &self.logs).map(|routed| give(&routed))
    }

    /// The message of a record, also of one in the topic of retained messages.
    pub(crate) fn message(&self, record: &Record) -> Option<Arc<Message>> {
        let (_, mqtt_topic) = self.mqtt_topic(record)?;
        Routed::of(record, &mqtt_topic, &self.logs)?
            .message()
            .cloned()
    }

    /// The MQTT topic of a record, and its rule unless it is of the topic of retained messages.
    fn mqtt_topic<'a>(&self, record: &'a Record) -> Option<(Option<&Rule>, Cow<'a, str>)> {
        let key = std::str::from_utf8(record.key.as_deref()?).ok()?;
        if *record.kafka_topic == self.retained_topic {
            return Some((None, key.into()));
        }
        let (rule, mqtt_topic) = self.rules.mqtt_topic_of(&record.kafka_topic, key)?;
        Some((Some(rule), mqtt_topic))
    }

    fn handle(&self, record: &Record, is_live: bool) {
        let Some((rule, mqtt_topic)) = self.mqtt_topic(record) else {
            self.metrics.kafka_records_unmapped.inc();
            return;
        };
        if rule.is_some_and(|rule| rule.direction == Direction::ToKafka) {
            return;
        }
        let Some(routed) = Routed::of(record, &mqtt_topic, &self.logs) else {
            self.metrics.kafka_records_unmapped.inc();
            return;
        };
        let is_kept = rule.is_none_or(|rule| rule.retain == Retain::Latest);
        if is_kept {
            // The retained message changes before subscribers hear of it: who subscribes in between gets it either way.
            match routed.message() {
                Some(message) => self.retained.keep(Arc::clone(message)),
                None => self.retained.forget(&mqtt_topic),
            }
            self.metrics.retained.set(self.retained.len() as i64);
        }
        if is_live && rule.is_some() {
            self.subscriptions.route(&routed, &mut self.bells.lock());
        }
    }
}
