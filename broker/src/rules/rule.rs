//! One rule: as it is written, and checked.

use std::borrow::Cow;

use serde::Deserialize;
use service::BadSetting;

use super::key::KeyTemplate;
use super::pattern::{Pattern, Values};
use super::shape::KeyShape;

/// One `[[topic]]` as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleConfig {
    /// MQTT pattern.
    pub(crate) mqtt: String,
    /// Kafka topic.
    pub(crate) kafka: String,
    /// Key template; left out: the whole MQTT topic.
    pub(crate) key: Option<String>,
    /// Where retained messages of these topics are kept.
    #[serde(default)]
    pub(crate) retain: Retain,
    /// Which ways messages go.
    #[serde(default)]
    pub(crate) direction: Direction,
    /// How records are placed in the Kafka topic; left out: as the setting says.
    pub(crate) partitioner: Option<Partitioner>,
    /// Partitions, when the broker has to create the Kafka topic.
    pub(crate) partitions: Option<i32>,
    /// Retention in seconds, when the broker has to create the Kafka topic; `retain = "latest"` makes it compacted.
    pub(crate) retention_s: Option<u64>,
}

/// Where retained messages are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Retain {
    /// In the broker's own topic of retained messages.
    #[default]
    Topic,
    /// The mapped Kafka topic itself is compacted: its newest record of each key is the retained message.
    Latest,
}

/// Which ways messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    /// MQTT clients publish and subscribe.
    #[default]
    Both,
    /// MQTT clients only publish.
    ToKafka,
    /// MQTT clients only subscribe.
    FromKafka,
}

/// Which partition of a Kafka topic a record is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Partitioner {
    /// Any: each producer has its own way. Who wants one key reads all partitions.
    #[default]
    Any,
    /// The one that the murmur2 hash of its key names, as with Java's producers and this broker: who wants one key reads one
    /// partition.
    Murmur2,
}

/// A rule that is checked and ready.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its Kafka topic.
    pub(crate) kafka_topic: String,
    /// Where retained messages are kept.
    pub(crate) retain: Retain,
    /// Which ways messages go.
    pub(crate) direction: Direction,
    /// How records are placed.
    pub(crate) partitioner: Option<Partitioner>,
    /// Partitions, when the Kafka topic has to be created.
    pub(crate) partitions: Option<i32>,
    /// Retention in seconds, when the Kafka topic has to be created.
    pub(crate) retention_s: Option<u64>,
    pub(super) pattern: Pattern,
    /// `None`: the key is the whole MQTT topic.
    pub(super) key: Option<KeyTemplate>,
    /// Earlier rules, by their place, that take some of the MQTT topics this one matches.
    pub(super) earlier: Vec<usize>,
    /// Earlier rules of the same Kafka topic that may read a key of this one as theirs.
    pub(super) rivals: Vec<usize>,
}

impl Rule {
    pub(super) fn new(written: &RuleConfig) -> Result<Self, BadSetting> {
        let bad = |reason: String| {
            BadSetting(format!("topic rule mqtt = \"{}\": {reason}", written.mqtt))
        };
        let pattern = Pattern::parse(&written.mqtt).map_err(bad)?;
        let key = written
            .key
            .as_deref()
            .map(|key| KeyTemplate::parse(key, &pattern))
            .transpose()
            .map_err(bad)?;
        if written.partitions.is_some_and(|count| count < 1) {
            return Err(bad("partitions must be at least 1".into()));
        }
        Ok(Self {
            kafka_topic: written.kafka.clone(),
            retain: written.retain,
            direction: written.direction,
            partitioner: written.partitioner,
            partitions: written.partitions,
            retention_s: written.retention_s,
            pattern,
            key,
            earlier: Vec::new(),
            rivals: Vec::new(),
        })
    }

    /// The rule for everything that no other takes.
    pub(super) fn default_to(kafka_topic: &str) -> Result<Self, BadSetting> {
        Self::new(&RuleConfig {
            mqtt: "#".into(),
            kafka: kafka_topic.to_owned(),
            key: None,
            retain: Retain::Topic,
            direction: Direction::Both,
            partitioner: None,
            partitions: None,
            retention_s: None,
        })
    }

    pub(super) fn key_shape(&self) -> KeyShape<'_> {
        match &self.key {
            None => KeyShape::of_filter(self.pattern.as_filter()),
            Some(template) => template.shape(),
        }
    }

    /// The key of a topic with these captures; `None` when the template could not read it back.
    pub(super) fn key_of<'t>(
        &self,
        mqtt_topic: &'t str,
        values: &Values<'t>,
    ) -> Option<Cow<'t, str>> {
        match &self.key {
            None => Some(Cow::Borrowed(mqtt_topic)),
            Some(template) => template.key(values),
        }
    }

    /// The MQTT topic of a key, if the key fits this rule.
    pub(super) fn mqtt_topic<'k>(&self, key: &'k str) -> Option<Cow<'k, str>> {
        match &self.key {
            None => self.pattern.matches(key).map(|_| Cow::Borrowed(key)),
            Some(template) => self.pattern.fill(&template.read(key)?).map(Cow::Owned),
        }
    }
}
