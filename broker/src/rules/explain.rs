//! The rules in words.

use std::fmt;

use super::{Direction, Retain, Rule, Rules, covers};

/// What becomes of an MQTT topic.
pub(crate) struct Way<'r> {
    /// The place of its rule, from 1.
    pub(crate) number: usize,
    /// Its rule.
    pub(crate) rule: &'r Rule,
    /// Its key.
    pub(crate) key: String,
    /// The MQTT topic that the key is read as; if it is another one, or none, the first is refused.
    pub(crate) back: Option<String>,
}

impl Rules {
    /// What becomes of an MQTT topic; `None` when no rule takes it, which is so for `$…`.
    pub(crate) fn explain(&self, mqtt_topic: &str) -> Option<Way<'_>> {
        let (rule, key) = self.raw_key(mqtt_topic)?;
        let back = self.mqtt_topic_of(&rule.kafka_topic, &key);
        Some(Way {
            number: self.number(rule),
            rule,
            back: back.map(|(_, mqtt_topic)| mqtt_topic.into_owned()),
            key,
        })
    }

    /// The place of a rule, from 1.
    pub(crate) fn number(&self, rule: &Rule) -> usize {
        self.rules
            .iter()
            .take_while(|other| !std::ptr::eq(*other, rule))
            .count()
            + 1
    }

    /// The earlier rule that takes every topic of this one, which therefore never applies.
    pub(crate) fn shadowed_by(&self, rule: &Rule) -> Option<&Rule> {
        rule.earlier
            .iter()
            .map(|at| &self.rules[*at])
            .find(|other| covers(other.pattern.as_filter(), rule.pattern.as_filter()))
    }

    /// Whether some rule maps to this Kafka topic.
    pub(crate) fn has_kafka_topic(&self, kafka_topic: &str) -> bool {
        self.by_kafka_topic.contains_key(kafka_topic)
    }
}

impl Rule {
    /// The rule as one line, for people.
    pub(crate) fn describe(&self) -> String {
        self.columns().join(" ")
    }

    /// The same in columns: MQTT pattern, Kafka topic, key, direction, where retained messages are.
    pub(crate) fn columns(&self) -> [String; 5] {
        let arrow = match self.direction {
            Direction::Both => "<->",
            Direction::ToKafka => "-->",
            Direction::FromKafka => "<--",
        };
        let key = match &self.key {
            None => "the mqtt topic".to_owned(),
            Some(template) => template.to_string(),
        };
        [
            self.pattern.to_string(),
            format!("{arrow} {}", self.kafka_topic),
            format!("key {key}"),
            self.direction.to_string(),
            format!("retained in {}", self.retain),
        ]
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both ways",
            Self::ToKafka => "to-kafka",
            Self::FromKafka => "from-kafka",
        })
    }
}

impl fmt::Display for Retain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "the retained topic",
            Self::Latest => "the kafka topic",
        })
    }
}
