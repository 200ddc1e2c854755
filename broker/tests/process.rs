//! The broker as a process: what is wrong ends the start with one line, and kill -9 loses nothing acknowledged.
#![allow(clippy::unwrap_used)]

#[path = "support/process.rs"]
mod process;
mod support;

use std::process::Command;

use mqtt::packet::Ack;
use mqtt::{Packet, QoS, Version};
use process::Process;
use support::{Client, Kafka, access, connect, id, publish, write_file};

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let mut acknowledged = 0u32;
    for round in 0..3u32 {
        let process = Process::start(&kafka, &files, &[]);
        let mut client = Client::open(process.mqtt, Version::V3_1_1).await;
        client.connect(connect(Version::V3_1_1, "c")).await;
        let mut sent = 0u16;
        for _ in 0..300 {
            // A window of 20: when the process is killed, some are on their way.
            while sent < 20 + acknowledged as u16 - (round * 300) as u16 {
                sent += 1;
                let payload = (round * 300 + u32::from(sent)).to_string();
                let packet = publish("a/b", QoS::AtLeastOnce, sent, &payload);
                client.send(&Packet::Publish(packet)).await;
            }
            let expected = id((acknowledged - round * 300 + 1) as u16);
            assert_eq!(
                client.next().await,
                Some(Packet::PubAck(Ack::success(expected)))
            );
            acknowledged += 1;
        }
        drop(process);
    }
    let records = kafka.records("messages").await;
    let stored: Vec<u32> = records
        .iter()
        .map(|record| {
            std::str::from_utf8(record.value.as_ref().unwrap())
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    let missing: Vec<u32> = (1..=acknowledged)
        .filter(|number| !stored.contains(number))
        .collect();
    assert_eq!(missing, Vec::<u32>::new(), "acknowledged and not in kafka");
}

/// Exit status and standard error of a broker that can't start.
fn refused(flags: &[String]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(flags)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn what_is_wrong_ends_the_start_with_one_line() {
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = |name: &str, text: &str| write_file(&files, name, text).display().to_string();
    let with = |more: &[String]| {
        let mut flags = kafka.flags();
        flags.extend(access(&files));
        flags.extend_from_slice(more);
        flags
    };
    let unknown = file("unknown.toml", "mqtt_prt = 1\n");
    let rule = file(
        "rule.toml",
        "[[topic]]\nmqtt = \"a/{b}\"\nkafka = \"k\"\nkey = \"x\"\n",
    );
    let field = file(
        "field.toml",
        "[[topic]]\nmqtt = \"a\"\nkafka = \"k\"\ncolour = 1\n",
    );
    let columns = file(
        "columns.csv",
        "Topic, Action, Condition, Outcome\n#, ALL, ALLOW\n",
    );
    let cases = [
        (
            with(&[format!("--config={unknown}")]),
            2,
            "unknown setting `mqtt_prt`",
        ),
        (
            with(&[format!("--config={rule}")]),
            2,
            "topic rule mqtt = \"a/{b}\": key: {b} must stand",
        ),
        (
            with(&[format!("--config={field}")]),
            2,
            "unknown field `colour`",
        ),
        (with(&["--mqtt-port=x".into()]), 2, "invalid value 'x'"),
        (
            kafka.flags(),
            2,
            "nobody could connect: set USERS_FILE_PATH",
        ),
        (
            [
                kafka.flags(),
                vec![
                    "--authentication-required=false".into(),
                    format!("--authorization-rules-path={columns}"),
                ],
            ]
            .concat(),
            2,
            "line 2: 3 columns instead of 4",
        ),
        (
            with(&[format!(
                "--mqtt-port={}",
                taken.local_addr().unwrap().port()
            )]),
            1,
            "the port is in use; set MQTT_PORT",
        ),
        (
            with(&["--kafka-bootstrap-servers=127.0.0.1:1".into()]),
            1,
            "can't reach kafka at 127.0.0.1:1: nothing answers; check KAFKA_BOOTSTRAP_SERVERS",
        ),
    ];
    for (mut flags, status, expected) in cases {
        // A later flag wins over an earlier one of the same name.
        flags.reverse();
        let mut seen = std::collections::HashSet::new();
        flags.retain(|flag| seen.insert(flag.split('=').next().unwrap().to_owned()));
        let (code, text) = refused(&flags);
        let last = text.lines().last().unwrap_or_default();
        assert!(
            last.contains(expected),
            "`{text}` does not say `{expected}`"
        );
        assert_eq!(code, status, "{text}");
    }
}
