use super::*;
use mqtt::TopicFilter;
use proptest::prelude::*;

pub(super) fn rule(mqtt: &str, kafka: &str, key: Option<&str>) -> RuleConfig {
    RuleConfig {
        mqtt: mqtt.into(),
        kafka: kafka.into(),
        key: key.map(Into::into),
        retain: Retain::Topic,
        direction: Direction::Both,
        partitioner: None,
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
            (rule.kafka_topic.as_str(), found.as_ref()),
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
}

#[test]
fn a_named_tail_has_a_level_at_least() {
    let rules = fleet();
    assert_eq!(
        rules.to_kafka("home").unwrap().0.kafka_topic,
        "mqtt_messages"
    );
    assert_eq!(rules.kafka_topics_of("home"), ["mqtt_messages"]);
    assert_eq!(rules.kafka_topics_of("home/#"), ["home", "mqtt_messages"]);
    assert_eq!(rules.kafka_topics_of("home/a/#"), ["home"]);
    assert_eq!(rules.to_kafka("home/").unwrap().1, "");
}

#[test]
fn a_key_that_the_topic_is_not_written_with_is_not_its_key() {
    let rules = Rules::new(&[rule("a/{x}/{rest#}", "k", Some("{x}_{rest}"))], "d").unwrap();
    assert_eq!(rules.mqtt_topic_of("k", "p_q/r").unwrap().1, "a/p/q/r");
    // Would be a/p/q/r, too.
    assert!(rules.mqtt_topic_of("k", "p/q_r").is_none());
}

#[test]
fn a_key_that_reads_as_another_rules_is_refused() {
    let rules = Rules::new(&[rule("foo/{a}/bar/{b}", "d", Some("{a}_{b}"))], "d").unwrap();
    assert_eq!(rules.to_kafka("foo/1/bar/2").unwrap().1, "1_2");
    assert!(rules.to_kafka("1_2").is_none());
    assert!(rules.to_kafka("12").is_some());
    assert_eq!(rules.explain("1_2").unwrap().back.unwrap(), "foo/1/bar/2");
}

#[test]
fn rules_whose_keys_are_all_the_same_are_refused() {
    for (first, second) in [
        (
            rule("a/{x}", "k", Some("{x}")),
            rule("b/{y}", "k", Some("{y}")),
        ),
        (rule("a/{x#}", "k", Some("{x}")), rule("b/+", "k", None)),
        (rule("a/#", "k", None), rule("b/{x}", "k", Some("a/{x}"))),
    ] {
        let expected = format!(
            "topic rule mqtt = \"{}\": its keys in kafka topic k can't be told from those of mqtt = \"{}\"",
            second.mqtt, first.mqtt
        );
        let error = Rules::new(&[first, second], "d").unwrap_err().to_string();
        assert!(error.starts_with(&expected), "{error}");
    }
    let all = rule("boats/{rest#}", "d", Some("{rest}"));
    let error = Rules::new(&[all], "d").unwrap_err().to_string();
    assert!(error.starts_with("topic rule mqtt = \"#\": "), "{error}");
}

#[test]
fn common_rules_take_no_memory_for_a_message() {
    let rules = fleet();
    for mqtt_topic in ["cars/speed/1", "trains/1", "fleet/positions/T1", "home/a/b"] {
        let (rule, key) = rules.to_kafka(mqtt_topic).unwrap();
        assert!(matches!(key, Cow::Borrowed(_)), "{mqtt_topic}");
        assert!(rule.rivals.is_empty(), "{mqtt_topic}");
    }
    let (_, back) = rules.mqtt_topic_of("k1", "cars/speed/1").unwrap();
    assert!(matches!(back, Cow::Borrowed(_)));
}

fn lists(patterns: &str, prefixes: &str, keys: &str) -> Result<Rules, BadSetting> {
    let lists = Lists {
        patterns,
        prefixes,
        keys,
        default_topic: "d",
    };
    Rules::new(&lists.rules()?, "d")
}

/// Each topic's Kafka topic and key, and that the key leads back.
#[track_caller]
fn check(rules: &Rules, expected: &[(&str, &str, &str)]) {
    for (mqtt_topic, kafka_topic, key) in expected {
        let (rule, found) = rules.to_kafka(mqtt_topic).unwrap();
        assert_eq!((rule.kafka_topic.as_str(), &*found), (*kafka_topic, *key));
        assert_eq!(
            rules.mqtt_topic_of(kafka_topic, key).unwrap().1,
            *mqtt_topic
        );
    }
}

#[test]
fn waterstreams_lists_are_taken() {
    let rules = lists("k1:cars/speed/+, k2:cars/#", "k3:boats/", "").unwrap();
    check(
        &rules,
        &[
            ("boats/a/b", "k3", "a/b"),
            ("cars/speed/1", "k1", "cars/speed/1"),
            ("cars/1", "k2", "cars/1"),
        ],
    );
}

#[test]
fn waterstreams_key_templates_give_the_key_whatever_the_kafka_topic() {
    let rules = lists(
        "k1:foo/x/#, k2:foo/+/bar/+, k3:+/+",
        "",
        "foo/+/bar/+:$1_$2, +/+:$2+$1, a/b/c:abc",
    );
    check(
        &rules.unwrap(),
        &[
            ("foo/x/bar/1", "k1", "x_1"),
            ("foo/x/bar", "k1", "foo/x/bar"),
            ("foo/y/bar/1", "k2", "y_1"),
            ("foo/x", "k1", "x+foo"),
            ("foo/y", "k3", "y+foo"),
            ("a/b/c", "d", "abc"),
            ("a/b/d", "d", "a/b/d"),
        ],
    );
    let rules = lists("k1:cars/#", "", "foo/+/bar/+:$1_$2");
    check(
        &rules.unwrap(),
        &[("foo/a/bar/b", "d", "a_b"), ("cars/1", "k1", "cars/1")],
    );
}

#[test]
fn wrong_lists_say_what_would_be_right() {
    for (patterns, prefixes, keys, reason) in [
        (
            "k1",
            "",
            "",
            "KAFKA_MESSAGES_TOPICS_PATTERNS: `k1` is not kafkaTopic:mqttFilter",
        ),
        ("k1:a+", "", "", "`k1:a+`: `#` and {name#} stand alone"),
        (
            "",
            "k1:",
            "",
            "KAFKA_MESSAGES_TOPICS_PREFIXES: `k1:` is not kafkaTopic:prefix/",
        ),
        (
            "",
            "",
            "a/+",
            "KAFKA_MQTT_TOPIC_TO_MESSAGE_KEY: `a/+` is not mqttFilter:key",
        ),
        (
            "",
            "",
            "a/+/+:$1$1",
            "`a/+/+:$1$1`: $1 may stand in the key only once",
        ),
        (
            "",
            "",
            "a/+/+:$1$2",
            "text is needed before $2, as in $1_$2",
        ),
        ("", "", "a/+/+:$1", "$2 must stand in the key"),
        (
            "",
            "",
            "a/+:$1-$2",
            "`$2`: the filter has 1 wildcards, the first is $1",
        ),
        ("", "", "a/+:$0", "`$0`: the filter has 1 wildcards"),
        ("", "", "a/+:$", "`$`: the filter has 1 wildcards"),
        ("", "", "a/#:$1", "whose only wildcard is +"),
        ("", "", "a/+:{$1}", "may not hold { or }"),
        (
            "",
            "k3:boats/",
            "boats/+:$1",
            "KAFKA_MESSAGES_TOPICS_PREFIXES has boats/",
        ),
        (
            "k1:b/#",
            "k1:a/",
            "",
            "its keys in kafka topic k1 can't be told from those of mqtt = \"a/{rest#}\"",
        ),
    ] {
        let error = lists(patterns, prefixes, keys).unwrap_err().to_string();
        assert!(error.contains(reason), "`{error}` has no `{reason}`");
    }
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

#[test]
fn a_filter_that_fixes_the_key_needs_one_partition_where_keys_say_which() {
    let key_of = |rules: &Rules, filter: &str| {
        let sources = rules.sources_of(filter);
        let all = sources
            .iter()
            .map(|of| (of.kafka_topic.to_owned(), of.key.clone()));
        all.collect::<Vec<_>>()
    };
    let one =
        |kafka_topic: &str, key: Option<&str>| vec![(kafka_topic.to_owned(), key.map(Into::into))];
    let any = fleet().placed_by(Partitioner::Any);
    let placed = fleet().placed_by(Partitioner::Murmur2);
    for (filter, kafka_topic, key) in [
        ("fleet/positions/T1", "positions", Some("T1")),
        ("foo/1/bar/2", "foo", Some("1_2")),
        ("trains/1", "mqtt_messages", Some("trains/1")),
        ("fleet/positions/+", "positions", None),
        ("foo/1/bar/+", "foo", None),
        // Refused as a topic: nothing can have that key.
        ("foo/1_2/bar/3", "foo", None),
    ] {
        assert_eq!(key_of(&placed, filter), one(kafka_topic, key), "{filter}");
        assert_eq!(key_of(&any, filter), one(kafka_topic, None), "{filter}");
    }
    // What a rule says for itself goes first.
    let mut by_hand = rule("t/{x}", "k", Some("{x}"));
    by_hand.partitioner = Some(Partitioner::Any);
    let rules = Rules::new(&[by_hand], "d")
        .unwrap()
        .placed_by(Partitioner::Murmur2);
    assert_eq!(key_of(&rules, "t/1"), one("k", None));
    assert_eq!(key_of(&rules, "u/1"), one("d", Some("u/1")));
    // Java's example: the key decides.
    let source = Source {
        kafka_topic: "k",
        key: Some("21".into()),
    };
    let partition = kafka::partition_of(b"21", 6) as usize;
    assert_eq!(source.partitions(6), partition..partition + 1);
    assert_eq!(source.partitions(0), 0..0);
    assert_eq!(
        Source {
            kafka_topic: "k",
            key: None
        }
        .partitions(6),
        0..6
    );
}
