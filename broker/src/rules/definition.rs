//! What the rules mean, written down without any thought of speed, and that the rules do the same.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Direction, Retain, RuleConfig, Rules};

type Captures = BTreeMap<String, String>;

/// The captures of a pattern in a topic.
fn matches(pattern: &str, mqtt_topic: &str) -> Option<Captures> {
    if mqtt_topic.starts_with('$') && pattern.starts_with(['+', '#', '{']) {
        return None;
    }
    let name = |level: &str| level.trim_matches(['{', '}', '#']).to_owned();
    let mut captures = Captures::new();
    let topic: Vec<&str> = mqtt_topic.split('/').collect();
    for (at, level) in pattern.split('/').enumerate() {
        match (level, topic.get(at)) {
            ("#", _) => return Some(captures),
            (tail, Some(_)) if tail.ends_with("#}") => {
                captures.insert(name(tail), topic[at..].join("/"));
                return Some(captures);
            }
            ("+", Some(_)) => {}
            (capture, Some(text)) if capture.starts_with('{') => {
                captures.insert(name(capture), (*text).to_owned());
            }
            (literal, Some(text)) if literal == *text => {}
            _ => return None,
        }
    }
    (pattern.split('/').count() == topic.len()).then_some(captures)
}

fn filled(text: &str, captures: &Captures) -> String {
    captures
        .iter()
        .fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
                .replace(&format!("{{{name}#}}"), value)
        })
}

/// The captures in a key. The tail, or else the last one, takes what the others leave; those before it end at the first
/// place of the text behind them, those after it begin at the last place of the text in front of them.
fn read(template: &str, key: &str) -> Option<Captures> {
    let mut texts = template.split('{');
    let key = key.strip_prefix(texts.next()?)?;
    let (names, texts): (Vec<&str>, Vec<&str>) = texts.map(|t| t.split_once('}').unwrap()).unzip();
    let Some(end) = texts.last() else {
        return key.is_empty().then(Captures::new);
    };
    let tail = names.iter().position(|name| *name == "tail");
    let remainder = tail.unwrap_or(names.len() - 1);
    let mut key = key.strip_suffix(end)?;
    let mut captures = Captures::new();
    for at in 0..remainder {
        let (value, rest) = key.split_once(texts[at])?;
        captures.insert(names[at].to_owned(), value.to_owned());
        key = rest;
    }
    for at in (remainder + 1..names.len()).rev() {
        let (rest, value) = key.rsplit_once(texts[at - 1])?;
        captures.insert(names[at].to_owned(), value.to_owned());
        key = rest;
    }
    captures.insert(names[remainder].to_owned(), key.to_owned());
    Some(captures)
}

/// The first rule that matches, and the key it gives.
fn written(rules: &[RuleConfig], mqtt_topic: &str) -> Option<(usize, String)> {
    rules.iter().enumerate().find_map(|(at, rule)| {
        let captures = matches(&rule.mqtt, mqtt_topic)?;
        let key = match &rule.key {
            None => mqtt_topic.to_owned(),
            Some(key) => filled(key, &captures),
        };
        Some((at, key))
    })
}

/// The first topic, in the order of the rules, that is written with this key.
fn mqtt_topic_of(rules: &[RuleConfig], kafka_topic: &str, key: &str) -> Option<(usize, String)> {
    let of_topic = |(_, rule): &(usize, &RuleConfig)| rule.kafka == kafka_topic;
    rules
        .iter()
        .enumerate()
        .filter(of_topic)
        .find_map(|(at, rule)| {
            let topic = match &rule.key {
                None => key.to_owned(),
                Some(template) => filled(&rule.mqtt, &read(template, key)?),
            };
            (written(rules, &topic)? == (at, key.to_owned())).then_some((at, topic))
        })
}

/// The rule and key of a topic, if they lead back to it.
fn to_kafka(rules: &[RuleConfig], mqtt_topic: &str) -> Option<(usize, String)> {
    let (at, key) = written(rules, mqtt_topic)?;
    let back = mqtt_topic_of(rules, &rules[at].kafka, &key)?;
    (back == (at, mqtt_topic.to_owned())).then_some((at, key))
}

const LEVELS: [&str; 7] = ["a", "b", "", "_", "a_b", "_a", "$x"];

fn rule() -> impl Strategy<Value = RuleConfig> {
    let level = prop_oneof![
        prop::sample::select(&LEVELS[..]).prop_map(str::to_owned),
        Just("+".to_owned()),
        Just("{".to_owned()),
        Just("{".to_owned()),
    ];
    let tail = prop_oneof![Just(None), Just(Some("#")), Just(Some("{tail#}"))];
    let separators =
        prop::collection::vec(prop::sample::select(&["_", "/", "a", "_/a", "__"][..]), 6);
    let ends = prop::sample::select(&["", "_", "a/", "b"][..]);
    let kafka = prop::sample::select(&["k1", "k2", "d"][..]);
    (
        prop::collection::vec(level, 0..4),
        tail,
        any::<bool>(),
        separators,
        (ends.clone(), ends),
        any::<bool>(),
        kafka,
    )
        .prop_map(
            |(mut levels, tail, has_key, separators, (head, end), turned, kafka)| {
                if let Some(tail) = tail {
                    levels.push(tail.to_owned());
                }
                if levels.is_empty() {
                    levels.push("a".into());
                }
                let mut names = Vec::new();
                for (at, level) in levels.iter_mut().enumerate() {
                    match level.as_str() {
                        "+" if has_key => "a".clone_into(level),
                        "#" if has_key => "b".clone_into(level),
                        "{" => {
                            *level = format!("{{c{at}}}");
                            names.push(level.clone());
                        }
                        "{tail#}" => names.push("{tail}".into()),
                        _ => {}
                    }
                }
                if turned {
                    names.reverse();
                }
                let mut key = head.to_owned();
                for (at, name) in names.iter().enumerate() {
                    if at > 0 {
                        key.push_str(separators[at]);
                    }
                    key.push_str(name);
                }
                key.push_str(end);
                RuleConfig {
                    mqtt: levels.join("/"),
                    kafka: kafka.into(),
                    key: has_key.then_some(key),
                    retain: Retain::Topic,
                    direction: Direction::Both,
                    partitioner: None,
                    partitions: None,
                    retention_s: None,
                }
            },
        )
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&LEVELS[..]), 1..5).prop_map(|l| l.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_rules_do_what_they_mean(
        written in prop::collection::vec(rule(), 0..5),
        texts in prop::collection::vec(topic(), 1..40),
    ) {
        // Rules that are refused at the start are another test's matter.
        let Ok(rules) = Rules::new(&written, "d") else {
            return Ok(());
        };
        let default = super::tests::rule("#", "d", None);
        let all: Vec<RuleConfig> = written.into_iter().chain([default]).collect();
        for text in &texts {
            let found = rules.to_kafka(text);
            let found = found.map(|(rule, key)| (rules.number(rule) - 1, key.into_owned()));
            prop_assert_eq!(&found, &to_kafka(&all, text), "{}", text);
            if let Some((at, key)) = found {
                let (rule, back) = rules.mqtt_topic_of(&all[at].kafka, &key).unwrap();
                prop_assert_eq!((rules.number(rule) - 1, &*back), (at, text.as_str()));
            }
            for kafka_topic in ["k1", "k2", "d"] {
                let found = rules.mqtt_topic_of(kafka_topic, text);
                let found = found.map(|(rule, topic)| (rules.number(rule) - 1, topic.into_owned()));
                prop_assert_eq!(&found, &mqtt_topic_of(&all, kafka_topic, text), "{} in {}", text, kafka_topic);
                if let Some((at, topic)) = found {
                    let (rule, key) = rules.to_kafka(&topic).unwrap();
                    prop_assert_eq!((rules.number(rule) - 1, &*key), (at, text.as_str()));
                }
            }
        }
    }
}
