use super::*;
use mqtt::TopicFilter;
use proptest::prelude::*;

fn rule(mqtt: &str, kafka: &str, key: Option<&str>) -> RuleConfig {
    RuleConfig {
        mqtt: mqtt.into(),
        kafka: kafka.into(),
        key: key.map(Into::into),
        retain: Retain::Topic,
        direction: Direction::Both,
        partitions: None,
        retention_s: None,
    }
}

fn fleet() -> Rules {
    let written = [
        rule("fleet/positions/{plate}", "positions", Some("{plate}")),
        rule("foo/{a}/bar/{b}", "foo", Some("{a}_{b}")),
        rule("home/{rest#}", "home", Some("{rest}")),
        rule("cars/speed/+", "k1", None),
        rule("cars/#", "k2", None),
    ];
    Rules::new(&written, "mqtt_messages").unwrap()
}

#[test]
fn the_first_rule_wins_and_the_default_takes_the_rest() {
    let rules = fleet();
    for (mqtt_topic, kafka_topic, key) in [
        ("fleet/positions/T1", "positions", "T1"),
        (
            "fleet/positions/T1/x",
            "mqtt_messages",
            "fleet/positions/T1/x",
        ),
        ("foo/1/bar/2", "foo", "1_2"),
        ("home/a/b", "home", "a/b"),
        ("cars/speed/1", "k1", "cars/speed/1"),
        ("cars/location/1", "k2", "cars/location/1"),
        ("cars/speed/1/2", "k2", "cars/speed/1/2"),
        ("cars", "k2", "cars"),
        ("trains/1", "mqtt_messages", "trains/1"),
    ] {
        let (rule, found) = rules.to_kafka(mqtt_topic).unwrap();
        assert_eq!(
            (rule.kafka_topic.as_str(), found.as_str()),
            (kafka_topic, key)
        );
        let (_, back) = rules.mqtt_topic_of(kafka_topic, key).unwrap();
        assert_eq!(back, mqtt_topic);
    }
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let rules = fleet();
    // 1_2 and 3 would be the key 1_2_3, which reads as 1 and 2_3.
    assert!(rules.to_kafka("foo/1_2/bar/3").is_none());
    assert!(rules.to_kafka("foo/1/bar/2_3").is_some());
}

#[test]
fn a_record_whose_key_fits_no_rule_has_no_mqtt_topic() {
    let rules = fleet();
    assert!(rules.mqtt_topic_of("positions", "a/b").is_none());
    assert!(rules.mqtt_topic_of("k1", "trains/1").is_none());
    assert!(rules.mqtt_topic_of("unknown", "x").is_none());
    // cars/speed/1 belongs to k1: its key in k2 is somebody's mistake.
    assert!(rules.mqtt_topic_of("k2", "cars/speed/1").is_none());
}

#[test]
fn only_the_kafka_topics_that_can_match_are_read() {
    let rules = fleet();
    for (filter, expected) in [
        ("cars/speed/+", &["k1"][..]),
        ("cars/#", &["k1", "k2"]),
        ("trains/#", &["mqtt_messages"]),
        ("fleet/positions/T1", &["positions"]),
        ("fleet/#", &["mqtt_messages", "positions"]),
        (
            "#",
            &["foo", "home", "k1", "k2", "mqtt_messages", "positions"],
        ),
    ] {
        assert_eq!(rules.kafka_topics_of(filter), expected, "{filter}");
    }
}

#[test]
fn wrong_rules_say_what_would_be_right() {
    for (mqtt, kafka, key, reason) in [
        ("a/{b}/c", "k", Some("x"), "{b} must stand in it once"),
        (
            "a/{b}/{c}",
            "k",
            Some("{b}{c}"),
            "text is needed before {c}",
        ),
        (
            "a/{b}",
            "k",
            Some("{b}-{z}"),
            "{z} is not in the mqtt pattern",
        ),
        ("a/+", "k", Some("{b}"), "needs named captures"),
        ("a/{b#}/c", "k", None, "alone on the last level"),
        ("a/x{b}", "k", None, "a level of its own"),
        ("a/{b}/{b}", "k", None, "stands twice"),
        ("a/{b}", "k k", None, "is not a kafka topic name"),
    ] {
        let error = Rules::new(&[rule(mqtt, kafka, key)], "d")
            .unwrap_err()
            .to_string();
        assert!(error.contains(reason), "`{error}` has no `{reason}`");
    }
    assert!(from_lists("k1", "").is_err());
}

#[test]
fn waterstreams_lists_are_taken() {
    let lists = from_lists("k1:cars/speed/+, k2:cars/#", "k3:boats/").unwrap();
    let rules = Rules::new(&lists, "d").unwrap();
    let (rule, key) = rules.to_kafka("boats/a/b").unwrap();
    assert_eq!((rule.kafka_topic.as_str(), key.as_str()), ("k3", "a/b"));
    assert_eq!(rules.to_kafka("cars/speed/1").unwrap().0.kafka_topic, "k1");
}

fn filter() -> impl Strategy<Value = String> {
    (prop::collection::vec("a|b|\\+|\\$x", 1..4), any::<bool>()).prop_map(|(mut levels, tail)| {
        if tail {
            levels.push("#".into());
        }
        levels.join("/")
    })
}

proptest! {
    /// Overlap and cover agree with matching every name of up to four levels over a small alphabet.
    #[test]
    fn overlap_and_cover_agree_with_matching(a in filter(), b in filter()) {
        let alphabet = ["a", "b", "$x", "z"];
        let mut names: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
        let mut last = names.clone();
        for _ in 0..4 {
            last = last
                .iter()
                .flat_map(|name| alphabet.iter().map(move |level| format!("{name}/{level}")))
                .collect();
            names.extend(last.clone());
        }
        let (fa, fb) = (TopicFilter::new(&a).unwrap(), TopicFilter::new(&b).unwrap());
        let both = names.iter().any(|name| fa.matches(name) && fb.matches(name));
        prop_assert_eq!(overlaps(&a, &b), both, "{} {}", a, b);
        let all = names.iter().all(|name| !fb.matches(name) || fa.matches(name));
        prop_assert_eq!(covers(&a, &b), all, "{} {}", a, b);
    }
}
