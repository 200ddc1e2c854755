//! Waterstream's comma lists as rules.
//!
//! The topic lists say which Kafka topic an MQTT topic goes to, prefixes before patterns, and what none takes goes to
//! the default topic. The list of keys says, whatever the Kafka topic, under which key: so a pattern becomes several
//! rules, first the part of it that each key filter matches, then the rest under the MQTT topic itself. Topics of a
//! prefix have their key already, and `[[topic]]` of the config file is complete as it is written.

use mqtt::TopicFilter;
use service::BadSetting;

use super::pattern::Pattern;
use super::{Direction, Retain, RuleConfig, covers, overlaps};

const PATTERNS: &str = "KAFKA_MESSAGES_TOPICS_PATTERNS";
const PREFIXES: &str = "KAFKA_MESSAGES_TOPICS_PREFIXES";
const KEYS: &str = "KAFKA_MQTT_TOPIC_TO_MESSAGE_KEY";

/// The lists as they are written.
pub(crate) struct Lists<'a> {
    /// `kafkaTopic:mqttFilter`.
    pub(crate) patterns: &'a str,
    /// `kafkaTopic:prefix/`.
    pub(crate) prefixes: &'a str,
    /// `mqttFilter:key`, with `$1` in the key for what the first `+` of the filter is.
    pub(crate) keys: &'a str,
    /// Kafka topic of what the others don't take.
    pub(crate) default_topic: &'a str,
}

impl Lists<'_> {
    /// The rules, in order.
    ///
    /// # Errors
    /// Which entry is wrong and what would be right.
    pub(crate) fn rules(&self) -> Result<Vec<RuleConfig>, BadSetting> {
        let keys = entries(self.keys, KEYS, "mqttFilter:key")?
            .map(|(entry, filter, key)| KeyRule::parse(filter, key).map_err(wrong(KEYS, entry)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut rules = Vec::new();
        for (_, kafka, prefix) in entries(self.prefixes, PREFIXES, "kafkaTopic:prefix/")? {
            let prefix = format!("{}/", prefix.trim_end_matches('/'));
            if let Some(key) = keys.iter().find(|key| key.filter.starts_with(&prefix)) {
                let reason =
                    format!("{PREFIXES} has {prefix}, and its topics have the rest as their key");
                return Err(wrong(KEYS, &key.filter)(reason));
            }
            rules.push(rule(
                kafka,
                format!("{prefix}{{rest#}}"),
                Some("{rest}".into()),
            ));
        }
        let mut done: Vec<String> = Vec::new();
        let mut add = |kafka: &str, filter: &str, mqtt: String, key: Option<String>| {
            if !done.iter().any(|before| covers(before, filter)) {
                done.push(filter.to_owned());
                rules.push(rule(kafka, mqtt, key));
            }
        };
        for (entry, kafka, mqtt) in entries(self.patterns, PATTERNS, "kafkaTopic:mqttFilter")? {
            let pattern = Pattern::parse(mqtt).map_err(wrong(PATTERNS, entry))?;
            for key in &keys {
                if let Some((filter, narrow, key)) = key.within(pattern.as_filter()) {
                    add(kafka, &filter, narrow, Some(key));
                }
            }
            add(kafka, pattern.as_filter(), mqtt.to_owned(), None);
        }
        for key in &keys {
            if let Some((filter, mqtt, key)) = key.within(&key.filter) {
                add(self.default_topic, &filter, mqtt, Some(key));
            }
        }
        Ok(rules)
    }
}

/// The entries of a list, each whole and in its two halves.
fn entries<'l>(
    list: &'l str,
    name: &str,
    form: &str,
) -> Result<impl Iterator<Item = (&'l str, &'l str, &'l str)>, BadSetting> {
    let halves = |entry: &'l str| {
        entry
            .split_once(':')
            .map(|(a, b)| (entry, a.trim(), b.trim()))
            .filter(|(_, a, b)| !a.is_empty() && !b.is_empty())
            .ok_or_else(|| BadSetting(format!("{name}: `{entry}` is not {form}")))
    };
    let all: Vec<_> = list
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(halves)
        .collect::<Result<_, _>>()?;
    Ok(all.into_iter())
}

fn wrong(name: &str, entry: &str) -> impl FnOnce(String) -> BadSetting {
    move |reason| BadSetting(format!("{name}: `{entry}`: {reason}"))
}

fn rule(kafka: &str, mqtt: String, key: Option<String>) -> RuleConfig {
    RuleConfig {
        mqtt,
        kafka: kafka.to_owned(),
        key,
        retain: Retain::Topic,
        direction: Direction::Both,
        partitioner: None,
        partitions: None,
        retention_s: None,
    }
}

/// One entry of the list of keys.
struct KeyRule {
    filter: String,
    parts: Vec<Part>,
}

enum Part {
    Text(String),
    /// The n-th `+` of the filter, from 1.
    Wildcard(usize),
}

impl KeyRule {
    fn parse(filter: &str, key: &str) -> Result<Self, String> {
        let is_filter = TopicFilter::new(filter).is_ok()
            && !filter.contains(['#', '{', '}'])
            && !filter.starts_with('$');
        if !is_filter {
            return Err("the part before `:` is an mqtt filter whose only wildcard is +".into());
        }
        if key.contains(['{', '}']) {
            return Err("the key may not hold { or }".into());
        }
        let wildcards = filter.split('/').filter(|level| *level == "+").count();
        let mut texts = key.split('$');
        let mut parts = vec![Part::Text(texts.next().unwrap_or_default().to_owned())];
        let mut seen = Vec::new();
        for text in texts {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let (number, text) = text.split_at(digits);
            let known = number.parse().ok().filter(|n| (1..=wildcards).contains(n));
            let Some(n) = known else {
                return Err(format!(
                    "`${number}`: the filter has {wildcards} wildcards, the first is $1"
                ));
            };
            if seen.contains(&n) {
                return Err(format!("${n} may stand in the key only once"));
            }
            // An empty text in front of the first one is no matter.
            if !seen.is_empty() && matches!(parts.last(), Some(Part::Text(t)) if t.is_empty()) {
                return Err(format!(
                    "text is needed before ${n}, as in $1_$2, or the key can't be read back"
                ));
            }
            seen.push(n);
            parts.push(Part::Wildcard(n));
            parts.push(Part::Text(text.to_owned()));
        }
        if let Some(n) = (1..=wildcards).find(|n| !seen.contains(n)) {
            return Err(format!(
                "${n} must stand in the key, or the mqtt topic can't be read back"
            ));
        }
        Ok(Self {
            filter: filter.to_owned(),
            parts,
        })
    }

    /// For the topics that match `pattern`, too: their filter, and the pattern and key of a rule; `None` for no topics.
    fn within(&self, pattern: &str) -> Option<(String, String, String)> {
        if !overlaps(pattern, &self.filter) {
            return None;
        }
        let mut of_pattern = pattern.split('/').take_while(|level| *level != "#");
        let mut filter = Vec::new();
        let mut captures = Vec::new();
        let mut mqtt = Vec::new();
        for level in self.filter.split('/') {
            let narrow = match (level, of_pattern.next()) {
                ("+", Some(narrow)) => narrow,
                (level, _) => level,
            };
            filter.push(narrow);
            let in_rule = match narrow {
                "+" => format!("{{{}}}", captures.len() + 1),
                literal => literal.to_owned(),
            };
            if level == "+" {
                captures.push(in_rule.clone());
            }
            mqtt.push(in_rule);
        }
        let key = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Wildcard(n) => captures[n - 1].as_str(),
        });
        let key = key.collect();
        Some((filter.join("/"), mqtt.join("/"), key))
    }
}
