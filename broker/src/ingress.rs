//! From MQTT into Kafka.

use std::collections::{BTreeMap, HashMap};
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
    answers: Arc<Answers>,
}

/// What Kafka's answers go to.
struct Answers {
    acknowledged: Acknowledged,
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
        let kafka_topics = rules.iter().map(|rule| rule.kafka_topic.as_str());
        let acknowledged = Acknowledged::of(kafka_topics.chain([retained_topic.as_str()]));
        Self {
            rules,
            producer,
            retained_topic,
            answers: Arc::new(Answers {
                acknowledged,
                metrics,
            }),
        }
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    pub(crate) fn acknowledged(&self) -> &Acknowledged {
        &self.answers.acknowledged
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
        let answers = Arc::clone(&self.answers);
        let topic = answers.acknowledged.number(kafka_topic);
        let sent = Instant::now();
        Box::new(move |result| {
            let metrics = &answers.metrics;
            metrics
                .publish_to_kafka
                .observe(sent.elapsed().as_secs_f64());
            let answer = match result {
                Ok(position) => {
                    answers.acknowledged.advance(topic, position);
                    Ok(())
                }
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

/// How far Kafka has acknowledged what this node wrote: a subscription made afterwards starts behind it.
pub(crate) struct Acknowledged {
    numbers: HashMap<String, usize>,
    /// By the number of the Kafka topic, then by partition: the offset after the newest acknowledged record.
    next: Vec<Mutex<BTreeMap<i32, i64>>>,
}

impl Acknowledged {
    fn of<'a>(kafka_topics: impl IntoIterator<Item = &'a str>) -> Self {
        let mut numbers = HashMap::new();
        for name in kafka_topics {
            let next = numbers.len();
            numbers.entry(name.to_owned()).or_insert(next);
        }
        let next = numbers.keys().map(|_| Mutex::default()).collect();
        Self { numbers, next }
    }

    /// `None` for a Kafka topic that no rule names, which nothing is written to.
    fn number(&self, kafka_topic: &str) -> Option<usize> {
        self.numbers.get(kafka_topic).copied()
    }

    fn advance(&self, topic: Option<usize>, position: Position) {
        if let Some(topic) = topic {
            let mut next = self.next[topic].lock();
            let slot = next.entry(position.partition).or_default();
            *slot = (*slot).max(position.offset + 1);
        }
    }

    /// Where a reader is when it has seen everything that was acknowledged until now.
    pub(crate) fn positions(&self, kafka_topic: &str) -> Vec<Position> {
        self.number(kafka_topic).map_or_else(Vec::new, |topic| {
            self.next[topic]
                .lock()
                .iter()
                .map(|(partition, offset)| Position {
                    partition: *partition,
                    offset: *offset,
                })
                .collect()
        })
    }
}
