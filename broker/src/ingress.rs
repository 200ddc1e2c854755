//! From MQTT into Kafka.

use std::sync::Arc;
use std::time::Instant;

use kafka::{Error, Full, NewRecord, OnDelivery, Producer, ToSend};
use mqtt::packet::Publish;
use mqtt::{ReasonCode, TopicName};

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
            metrics,
        }
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
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
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let record = ToSend {
            kafka_topic,
            partition: None,
            key: Some(key.as_bytes()),
            value: (!publish.payload.is_empty()).then_some(&publish.payload[..]),
            headers: &headers,
        };
        let on_delivery = self.on_delivery(on_appended);
        match self.producer.send(&record, Some(on_delivery)) {
            Ok(()) => Taken::Yes,
            Err(Full(_)) => Taken::Full,
        }
    }

    /// All records of a publish, to be stored together with something else.
    ///
    /// # Errors
    /// It can't be stored, ever.
    pub(crate) fn records(
        &self,
        publish: &Publish,
        client_id: &str,
    ) -> Result<Vec<NewRecord>, ReasonCode> {
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        let Some((rule, key)) = self.rules.to_kafka(topic) else {
            return Err(ReasonCode::TOPIC_NAME_INVALID);
        };
        if rule.direction == Direction::FromKafka {
            return Err(ReasonCode::NOT_AUTHORIZED);
        }
        let headers: Vec<(String, Vec<u8>)> = record::headers(publish, client_id)
            .into_iter()
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let record = |kafka_topic: &str, key: &str| NewRecord {
            kafka_topic: kafka_topic.into(),
            partition: None,
            key: key.as_bytes().to_vec(),
            value: (!publish.payload.is_empty()).then(|| publish.payload.clone()),
            headers: headers.clone(),
        };
        let mut records = Vec::new();
        if self.first_part(publish) == Part::Retained {
            records.push(record(&self.retained_topic, topic));
        }
        records.push(record(&rule.kafka_topic, &key));
        Ok(records)
    }

    fn on_delivery(&self, on_appended: Option<OnAppended>) -> OnDelivery {
        let metrics = Arc::clone(&self.metrics);
        let sent = Instant::now();
        Box::new(move |result| {
            metrics
                .publish_to_kafka
                .observe(sent.elapsed().as_secs_f64());
            let answer = match result {
                Ok(_) => Ok(()),
                Err(error) => {
                    metrics.kafka_refused.inc();
                    tracing::warn!(%error, "kafka refused a record");
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
