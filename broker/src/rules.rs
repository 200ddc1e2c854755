//! Where an MQTT topic lives in Kafka, and back: the topic rules.
//!
//! A rule's MQTT pattern has literal levels, named captures (`{company}` is one level, `{rest#}` the tail), or MQTT's own
//! `+` and `#`. Its key template names every capture, so that key and rule give the MQTT topic back; without a template
//! the key is the whole MQTT topic. The first rule that matches wins; the last one takes everything.
//!
//! A record is an MQTT topic's only under the very key that the topic is written with, so what is written can be read
//! back, and an MQTT topic whose key would read as another's is refused. Both ways are taken for each message: what can
//! be known beforehand (which rules overlap, which keys can be confused) is found out at the start.

mod explain;
mod key;
mod lists;
mod overlap;
mod pattern;
mod rule;
mod shape;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use service::BadSetting;

pub(crate) use lists::Lists;
pub(crate) use overlap::{covers, overlaps};
use pattern::Values;
pub(crate) use rule::{Direction, Partitioner, Retain, Rule, RuleConfig};

/// A level that stands for any: from Unicode's private use area, since no rule has it.
const ANY_LEVEL: &str = "\u{e000}";

/// All rules, in order; the last one takes what no other does.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Rules by Kafka topic, in order.
    by_kafka_topic: HashMap<String, Vec<usize>>,
}

/// What has to be read for a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source<'r> {
    pub(crate) kafka_topic: &'r str,
    /// Only the partition of this key.
    pub(crate) key: Option<Box<str>>,
}

impl Source<'_> {
    /// Those of so many partitions that have to be read.
    pub(crate) fn partitions(&self, count: usize) -> Range<usize> {
        match &self.key {
            Some(key) if count > 0 => {
                let partition = kafka::partition_of(key.as_bytes(), count) as usize;
                partition..partition + 1
            }
            _ => 0..count,
        }
    }
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
        rules.push(Rule::default_to(default_topic)?);
        for at in 0..rules.len() {
            let (before, rule) = (&rules[..at], &rules[at]);
            let places = |fits: &dyn Fn(&Rule) -> bool| {
                let all = before.iter().enumerate();
                all.filter(|(_, other)| fits(other))
                    .map(|(at, _)| at)
                    .collect()
            };
            let earlier =
                places(&|other| overlaps(other.pattern.as_filter(), rule.pattern.as_filter()));
            let rivals = places(&|other| {
                other.kafka_topic == rule.kafka_topic
                    // Two rules without a key template: the topic itself says whose it is.
                    && (other.key.is_some() || rule.key.is_some())
                    && other.key_shape().may_meet(&rule.key_shape())
            });
            (rules[at].earlier, rules[at].rivals) = (earlier, rivals);
        }
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
        let rules = Self {
            rules,
            by_kafka_topic,
        };
        rules.iter().try_for_each(|rule| rules.check_keys(rule))?;
        Ok(rules)
    }

    /// The rules that do not say how records are placed take this.
    pub(crate) fn placed_by(mut self, partitioner: Partitioner) -> Self {
        for rule in &mut self.rules {
            rule.partitioner.get_or_insert(partitioner);
        }
        self
    }

    /// Refuses a rule whose every key reads as another rule's: an example shows it. Keys that can be confused only
    /// where a topic has certain characters are refused one by one, by [`Rules::to_kafka`].
    fn check_keys(&self, rule: &Rule) -> Result<(), BadSetting> {
        let example = rule.pattern.example(ANY_LEVEL);
        let Some((owner, key)) = self.raw_key(&example) else {
            return Ok(());
        };
        let other = rule.rivals.iter().find(|at| self.reads(**at, &key));
        match other.map(|at| &self.rules[*at]) {
            Some(other) if std::ptr::eq(owner, rule) => Err(BadSetting(format!(
                "topic rule mqtt = \"{}\": its keys in kafka topic {} can't be told from those of mqtt = \"{}\"; give one of them another kafka topic or key",
                rule.pattern, rule.kafka_topic, other.pattern
            ))),
            _ => Ok(()),
        }
    }

    /// All rules, the default one last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule of an MQTT topic, and its key there; `None` when the key would not give the topic back.
    pub(crate) fn to_kafka<'t>(&self, mqtt_topic: &'t str) -> Option<(&Rule, Cow<'t, str>)> {
        let (rule, values) = self.owner(mqtt_topic)?;
        let key = rule.key_of(mqtt_topic, &values)?;
        let is_taken = rule.rivals.iter().any(|rival| self.reads(*rival, &key));
        (!is_taken).then_some((rule, key))
    }

    /// The MQTT topic of a record, by the first rule of its Kafka topic that takes its key.
    pub(crate) fn mqtt_topic_of<'k>(
        &self,
        kafka_topic: &str,
        key: &'k str,
    ) -> Option<(&Rule, Cow<'k, str>)> {
        self.by_kafka_topic
            .get(kafka_topic)?
            .iter()
            .find_map(|at| Some((&self.rules[*at], self.read(*at, key)?)))
    }

    /// The first rule that matches.
    fn owner<'t>(&self, mqtt_topic: &'t str) -> Option<(&Rule, Values<'t>)> {
        self.rules
            .iter()
            .find_map(|rule| Some((rule, rule.pattern.matches(mqtt_topic)?)))
    }

    /// The rule of an MQTT topic and the key it gives, whether or not that can be read back.
    fn raw_key(&self, mqtt_topic: &str) -> Option<(&Rule, String)> {
        let (rule, values) = self.owner(mqtt_topic)?;
        let key = match &rule.key {
            None => mqtt_topic.to_owned(),
            Some(template) => template.fill(&values),
        };
        Some((rule, key))
    }

    /// The MQTT topic that a rule reads from a key, unless an earlier rule owns that topic: then the key is not the one
    /// that the topic is written with.
    fn read<'k>(&self, at: usize, key: &'k str) -> Option<Cow<'k, str>> {
        let rule = &self.rules[at];
        let mqtt_topic = rule.mqtt_topic(key)?;
        let is_owned = |at: &usize| self.rules[*at].pattern.matches(&mqtt_topic).is_some();
        (!rule.earlier.iter().any(is_owned)).then_some(mqtt_topic)
    }

    fn reads(&self, at: usize, key: &str) -> bool {
        self.read(at, key).is_some()
    }

    /// Kafka topics that have to be read for a subscription, each once.
    pub(crate) fn kafka_topics_of(&self, filter: &str) -> Vec<&str> {
        self.topics_where(filter, |_| true)
    }

    /// What has to be read for a subscription: each Kafka topic once, and where all matching records have one key, and are
    /// placed by it, that key.
    pub(crate) fn sources_of(&self, filter: &str) -> Vec<Source<'_>> {
        let one_topic = (!filter.contains(['+', '#'])).then(|| self.to_kafka(filter));
        let placed = one_topic
            .flatten()
            .filter(|(rule, _)| rule.partitioner == Some(Partitioner::Murmur2));
        self.kafka_topics_of(filter)
            .into_iter()
            .map(|kafka_topic| Source {
                kafka_topic,
                key: placed.as_ref().map(|(_, key)| key.as_ref().into()),
            })
            .collect()
    }

    /// Kafka topics with `retain = "latest"` that may hold retained messages of a filter, each once.
    pub(crate) fn stores_of(&self, filter: &str) -> Vec<&str> {
        self.topics_where(filter, |rule| rule.retain == Retain::Latest)
    }

    fn topics_where(&self, filter: &str, wanted: impl Fn(&Rule) -> bool) -> Vec<&str> {
        let mut topics = BTreeSet::new();
        for rule in &self.rules {
            let pattern = rule.pattern.as_filter();
            let is_read = rule.direction != Direction::ToKafka && overlaps(pattern, filter);
            if is_read && wanted(rule) {
                topics.insert(rule.kafka_topic.as_str());
            }
            if covers(pattern, filter) {
                break;
            }
        }
        topics.into_iter().collect()
    }
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
mod definition;
#[cfg(test)]
mod tests;
