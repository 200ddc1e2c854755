//! Where an MQTT topic lives in Kafka, and back: the topic rules.
//!
//! A rule's MQTT pattern has literal levels, named captures (`{company}` is one level, `{rest#}` the tail), or MQTT's own
//! `+` and `#`. Its key template names every capture, so that key and rule give the MQTT topic back; without a template
//! the key is the whole MQTT topic. The first rule that matches wins; the last one takes everything.

mod overlap;
mod pattern;

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use service::BadSetting;

pub(crate) use overlap::{covers, overlaps};
use pattern::{KeyTemplate, Pattern};

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

/// A rule that is checked and ready.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its Kafka topic.
    pub(crate) kafka_topic: String,
    /// Where retained messages are kept.
    pub(crate) retain: Retain,
    /// Which ways messages go.
    pub(crate) direction: Direction,
    /// Partitions, when the Kafka topic has to be created.
    pub(crate) partitions: Option<i32>,
    /// Retention in seconds, when the Kafka topic has to be created.
    pub(crate) retention_s: Option<u64>,
    pattern: Pattern,
    /// `None`: the key is the whole MQTT topic.
    key: Option<KeyTemplate>,
}

/// All rules, in order; the last one takes what no other does.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Rules by Kafka topic, in order.
    by_kafka_topic: HashMap<String, Vec<usize>>,
}

impl Rules {
    /// Checks rules; `default_topic` takes the topics that none matches.
    ///
    /// # Errors
    /// Which rule is wrong and what would be right.
    pub(crate) fn new(written: &[RuleConfig], default_topic: &str) -> Result<Self, BadSetting> {
        let mut rules = written
            .iter()
            .map(Rule::new)
            .collect::<Result<Vec<_>, _>>()?;
        rules.push(Rule {
            kafka_topic: default_topic.to_owned(),
            retain: Retain::Topic,
            direction: Direction::Both,
            partitions: None,
            retention_s: None,
            pattern: Pattern::parse("#").map_err(BadSetting)?,
            key: None,
        });
        let mut by_kafka_topic: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, rule) in rules.iter().enumerate() {
            check_kafka_topic(&rule.kafka_topic)?;
            by_kafka_topic
                .entry(rule.kafka_topic.clone())
                .or_default()
                .push(index);
        }
        for (kafka_topic, indexes) in &by_kafka_topic {
            let latest = |index: &&usize| rules[**index].retain == Retain::Latest;
            if indexes.len() > 1 && indexes.iter().any(|index| latest(&index)) {
                return Err(BadSetting(format!(
                    "kafka topic {kafka_topic} has several rules and one has retain = \"latest\"; give that one a topic of its own"
                )));
            }
        }
        Ok(Self {
            rules,
            by_kafka_topic,
        })
    }

    /// All rules, the default one last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule of an MQTT topic, and its key there; `None` when the key would not give the topic back.
    pub(crate) fn to_kafka(&self, mqtt_topic: &str) -> Option<(&Rule, String)> {
        self.rules.iter().find_map(|rule| {
            let captures = rule.pattern.captures(mqtt_topic)?;
            let key = match &rule.key {
                None => mqtt_topic.to_owned(),
                Some(template) => template.fill(&captures),
            };
            // Checked here and not by rules on characters: what cannot be read back is not written.
            let reversible = rule.mqtt_topic(&key).as_deref() == Some(mqtt_topic);
            Some(reversible.then_some((rule, key)))
        })?
    }

    /// The MQTT topic of a record, by the first rule of its Kafka topic that fits its key.
    pub(crate) fn mqtt_topic_of(&self, kafka_topic: &str, key: &str) -> Option<(&Rule, String)> {
        self.by_kafka_topic
            .get(kafka_topic)?
            .iter()
            .map(|index| &self.rules[*index])
            .find_map(|rule| {
                let mqtt_topic = rule.mqtt_topic(key)?;
                // An earlier rule may own that MQTT topic: then this record is not the one it speaks of.
                let (owner, _) = self.to_kafka(&mqtt_topic)?;
                std::ptr::eq(owner, rule).then_some((rule, mqtt_topic))
            })
    }

    /// Kafka topics that have to be read for a subscription, each once.
    pub(crate) fn kafka_topics_of(&self, filter: &str) -> Vec<&str> {
        let mut topics = BTreeMap::new();
        for (order, rule) in self.rules.iter().enumerate() {
            let pattern = rule.pattern.as_filter();
            if rule.direction != Direction::ToKafka && overlaps(pattern, filter) {
                topics.entry(rule.kafka_topic.as_str()).or_insert(order);
            }
            if covers(pattern, filter) {
                break;
            }
        }
        topics.into_keys().collect()
    }
}

impl Rule {
    fn new(written: &RuleConfig) -> Result<Self, BadSetting> {
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
            partitions: written.partitions,
            retention_s: written.retention_s,
            pattern,
            key,
        })
    }

    /// The MQTT topic of a key, if the key fits this rule.
    fn mqtt_topic(&self, key: &str) -> Option<String> {
        match &self.key {
            None => self.pattern.captures(key).map(|_| key.to_owned()),
            Some(template) => {
                let topic = self.pattern.fill(&template.captures(key)?);
                self.pattern.captures(&topic).map(|_| topic)
            }
        }
    }

    /// The rule as one line, for people.
    pub(crate) fn describe(&self) -> String {
        let key = self
            .key
            .as_ref()
            .map_or_else(|| "the mqtt topic".to_owned(), ToString::to_string);
        format!("{} <-> {} key {key}", self.pattern, self.kafka_topic)
    }
}

/// Waterstream's lists: `kafkaTopic:mqttFilter` and `kafkaTopic:prefix/`, comma-separated; prefixes win over patterns.
///
/// # Errors
/// Which entry has no colon.
pub(crate) fn from_lists(patterns: &str, prefixes: &str) -> Result<Vec<RuleConfig>, BadSetting> {
    let entries = |list: &str, name: &'static str| {
        list.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                entry
                    .split_once(':')
                    .map(|(kafka, mqtt)| (kafka.trim().to_owned(), mqtt.trim().to_owned()))
                    .ok_or_else(|| {
                        BadSetting(format!("{name}: `{entry}` is not kafkaTopic:mqttTopic"))
                    })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let rule = |kafka, mqtt, key| RuleConfig {
        mqtt,
        kafka,
        key,
        retain: Retain::Topic,
        direction: Direction::Both,
        partitions: None,
        retention_s: None,
    };
    let mut rules = Vec::new();
    for (kafka, prefix) in entries(prefixes, "KAFKA_MESSAGES_TOPICS_PREFIXES")? {
        let mqtt = format!("{}/{{rest#}}", prefix.trim_end_matches('/'));
        rules.push(rule(kafka, mqtt, Some("{rest}".into())));
    }
    for (kafka, mqtt) in entries(patterns, "KAFKA_MESSAGES_TOPICS_PATTERNS")? {
        rules.push(rule(kafka, mqtt, None));
    }
    Ok(rules)
}

/// Kafka's own rule for topic names.
fn check_kafka_topic(name: &str) -> Result<(), BadSetting> {
    let fits = (1..=249).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(BadSetting(format!(
            "`{name}` is not a kafka topic name: 1 to 249 of a-z, A-Z, 0-9, . _ -"
        )))
    }
}

#[cfg(test)]
mod tests;
