//! `broker check-config` as a process: what it explains and what it refuses, without a Kafka.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::Command;

/// Exit status, standard output and standard error.
fn check_config(config: &str, more: &[&str]) -> (i32, String, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config.as_bytes()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_broker"))
        .arg("check-config")
        .args(["--config".as_ref(), file.path().as_os_str()])
        .args([
            "--kafka-bootstrap-servers=127.0.0.1:1",
            "--authentication-required=false",
        ])
        .args(more)
        .output()
        .unwrap();
    let text = |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        text.replace(file.path().to_str().unwrap(), "FILE")
    };
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const RULES: &str = r#"
[[topic]]
mqtt = "fleet/status/{plate}"
kafka = "vehicle_status"
key = "{plate}"
retain = "latest"
direction = "from-kafka"

[[topic]]
mqtt = "foo/{a}/bar/{b}"
kafka = "mqtt_messages"
key = "{a}_{b}"

[[topic]]
mqtt = "foo/x/bar/+"
kafka = "never"
"#;

#[test]
fn rules_and_topics_are_explained() {
    let (status, text, error) = check_config(
        RULES,
        &[
            "--kafka-messages-topics-patterns=cars:cars/#",
            "--kafka-mqtt-topic-to-message-key=cars/+/speed:speed-$1",
            "fleet/status/T1",
            "foo/1/bar/2",
            "foo/1_1/bar/2",
            "a_b",
            "cars/7/speed",
            "trains/1",
            "$SYS/x",
            "cars/#",
            "vehicle_status=T1",
            "mqtt_messages=1_2",
            "cars=trains/1",
            "x=y",
        ],
    );
    assert_eq!((status, error.as_str()), (0, ""));
    let expected = r#"The settings are right. An MQTT topic belongs to the first rule that matches:
  1  fleet/status/{plate}  <-- vehicle_status  key {plate}         from-kafka  retained in the kafka topic
  2  foo/{a}/bar/{b}       <-> mqtt_messages   key {a}_{b}         both ways   retained in the retained topic
  3  foo/x/bar/+           <-> never           key the mqtt topic  both ways   retained in the retained topic  never used: rule 2 takes all its topics
  4  cars/{1}/speed        <-> cars            key speed-{1}       both ways   retained in the retained topic
  5  cars/#                <-> cars            key the mqtt topic  both ways   retained in the retained topic
  6  #                     <-> mqtt_messages   key the mqtt topic  both ways   retained in the retained topic

fleet/status/T1: rule 1, kafka topic vehicle_status, key T1, and back to fleet/status/T1; publishing is refused: direction = "from-kafka"
foo/1/bar/2: rule 2, kafka topic mqtt_messages, key 1_2, and back to foo/1/bar/2
foo/1_1/bar/2: rule 2, kafka topic mqtt_messages, key 1_1_2: refused: that key reads as foo/1/bar/1_2
a_b: rule 6, kafka topic mqtt_messages, key a_b: refused: that key reads as foo/a/bar/b
cars/7/speed: rule 4, kafka topic cars, key speed-7, and back to cars/7/speed
trains/1: rule 6, kafka topic mqtt_messages, key trains/1, and back to trains/1
$SYS/x: refused: no rule takes it, since a wildcard in front does not match $
cars/#: a subscription reads cars
vehicle_status=T1: rule 1, mqtt topic fleet/status/T1
mqtt_messages=1_2: rule 2, mqtt topic foo/1/bar/2
cars=trains/1: not delivered: no rule of this kafka topic writes such a key
x=y: rule 6, kafka topic mqtt_messages, key x=y, and back to x=y
"#;
    assert_eq!(text, expected);
}

#[test]
fn what_is_wrong_is_one_line() {
    for (config, more, expected) in [
        (
            "[[topic]]\nmqtt = \"a/{b}\"\nkafka = \"k\"\nkey = \"x\"\n",
            &[][..],
            "topic rule mqtt = \"a/{b}\": key: {b} must stand in it once, or the mqtt topic can't be read back",
        ),
        (
            "mqtt_prt = 1\n",
            &[],
            "unknown setting `mqtt_prt` in FILE; did you mean `mqtt_port`? see --help for the settings",
        ),
        (
            "",
            &["--kafka-mqtt-topic-to-message-key=a/+/+:$1$2"],
            "KAFKA_MQTT_TOPIC_TO_MESSAGE_KEY: `a/+/+:$1$2`: text is needed before $2, as in $1_$2, or the key can't be read back",
        ),
        (
            "",
            &["--users-file-path=/no/such"],
            "can't read users file /no/such: No such file or directory (os error 2)",
        ),
        (
            "",
            &["a#"],
            "`a#` is neither an mqtt topic, nor a filter, nor kafkaTopic=key with a kafka topic of a rule",
        ),
    ] {
        let (status, text, error) = check_config(config, more);
        assert_eq!((status, text.as_str()), (2, ""), "{error}");
        assert_eq!(error, format!("broker check-config: {expected}\n"));
    }
}
