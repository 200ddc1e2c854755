//! From MQTT into Kafka.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use kafka::{Error, Full, OnDelivery, Position, Producer, ToSend};
use mqtt::packet::Publish;
use mqtt::{ReasonCode, TopicName};
use parking_lot::Mutex;

use crate::mailbox::Appended;
use crate::metrics::Metrics;
use crate::record;
use crate::rules::{Direction, Retain, Rules};

/// Called once, when Kafka has answered.
pub(crate) type OnAppended = Box<dyn FnOnce(Appended) + Send + Sync>;

/// Which record of a publish: a retained message in a topic without `retain = "latest"` is two, the retained one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Retained,
    Message,
}

pub(crate) struct Ingress {
    rules: Arc<Rules>,
    producer: Producer,
    retained_topic: String,
    acknowledged: Arc<Acknowledged>,
    metrics: Arc<Metrics>,
}

/// Whether a record was taken.
pub(crate) enum Taken {
    /// It is on its way; the answer comes.
    Yes,
    /// It can't be stored, ever.
    Refused(ReasonCode),
    /// Too much waits for Kafka: try again later.
    Full,
}

impl Ingress {
    pub(crate) fn new(
        rules: Arc<Rules>,
        producer: Producer,
        retained_topic: String,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rules,
            producer,
            retained_topic,
            acknowledged: Arc::default(),
            metrics,
        }
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// The first record of a publish.
    pub(crate) fn first_part(&self, publish: &Publish) -> Part {
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        let rule = || self.rules.to_kafka(topic).map(|(rule, _)| rule);
        if publish.retain && !rule().is_some_and(|rule| rule.retain == Retain::Latest) {
            Part::Retained
        } else {
            Part::Message
        }
    }

    /// Sends one record of a publish to Kafka.
    pub(crate) fn append(
        &self,
        part: Part,
        publish: &Publish,
        client_id: &str,
        on_appended: Option<OnAppended>,
    ) -> Taken {
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        let Some((rule, key)) = self.rules.to_kafka(topic) else {
            return Taken::Refused(ReasonCode::TOPIC_NAME_INVALID);
        };
        if rule.direction == Direction::FromKafka {
            return Taken::Refused(ReasonCode::NOT_AUTHORIZED);
        }
        let (kafka_topic, key) = match part {
            Part::Retained => (self.retained_topic.as_str(), topic),
            Part::Message => (rule.kafka_topic.as_str(), &*key),
        };
        let headers = record::headers(publish, client_id);
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let record = ToSend {
            kafka_topic,
            key: Some(key.as_bytes()),
            value: (!publish.payload.is_empty()).then_some(&publish.payload[..]),
            headers: &headers,
        };
        let on_delivery = self.on_delivery(kafka_topic, on_appended);
        match self.producer.send(&record, Some(on_delivery)) {
            Ok(()) => Taken::Yes,
            Err(Full(_)) => Taken::Full,
        }
    }

    fn on_delivery(&self, kafka_topic: &str, on_appended: Option<OnAppended>) -> OnDelivery {
        let acknowledged = Arc::clone(&self.acknowledged);
        let metrics = Arc::clone(&self.metrics);
        let kafka_topic = kafka_topic.to_owned();
        let sent = Instant::now();
        Box::new(move |result| {
            metrics
                .publish_to_kafka
                .observe(sent.elapsed().as_secs_f64());
            let answer = match result {
                Ok(position) => {
                    acknowledged.advance(&kafka_topic, position);
                    Ok(())
                }
                Err(error) => {
                    metrics.kafka_refused.inc();
                    tracing::warn!(%error, kafka_topic, "kafka refused a record");
                    Err(match error {
                        Error::TooLarge => ReasonCode::PACKET_TOO_LARGE,
                        _ => ReasonCode::UNSPECIFIED_ERROR,
                    })
                }
            };
            if let Some(on_appended) = on_appended {
                on_appended(answer);
            }
        })
    }
}

/// How far Kafka has acknowledged what this node wrote: a subscription made afterwards starts behind it.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// By Kafka topic and partition: the offset after the newest acknowledged record.
    next: Mutex<HashMap<String, HashMap<i32, i64>>>,
}

impl Acknowledged {
    fn advance(&self, kafka_topic: &str, position: Position) {
        let mut next = self.next.lock();
        if !next.contains_key(kafka_topic) {
            next.insert(kafka_topic.to_owned(), HashMap::new());
        }
        if let Some(partitions) = next.get_mut(kafka_topic) {
            let slot = partitions.entry(position.partition).or_default();
            *slot = (*slot).max(position.offset + 1);
        }
    }

    /// Where a reader is when it has seen everything that was acknowledged until now.
    pub(crate) fn positions(&self, kafka_topic: &str) -> Vec<Position> {
        let next = self.next.lock();
        next.get(kafka_topic).map_or_else(Vec::new, |partitions| {
            partitions
                .iter()
                .map(|(partition, offset)| Position {
                    partition: *partition,
                    offset: *offset,
                })
                .collect()
        })
    }
}
