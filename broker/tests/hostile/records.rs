//! Records that any Kafka producer may write, and no MQTT client could have: each is a message as far as it can be one,
//! and none harms those who read it, or those who read the next.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use kafka::{Producer, ToSend};
use mqtt::{QoS, Version};

use crate::Bed;
use crate::support::{PATIENCE, publish, subscription, text};

const KEY: &[u8] = b"records/x";

#[tokio::test]
async fn records_that_are_no_proper_messages_harm_nobody() {
    let mut bed = Bed::new(&[]).await;
    let mut readers = Vec::new();
    for version in [Version::V3_1_1, Version::V5] {
        let mut reader = bed.broker.client(version, &format!("{version:?}")).await;
        reader
            .subscribe(vec![subscription("records/#", QoS::AtLeastOnce)])
            .await;
        readers.push(reader);
    }
    let mut reader_of_all = bed.broker.client(Version::V5, "all").await;
    reader_of_all
        .subscribe(vec![subscription("#", QoS::AtMostOnce)])
        .await;
    // Longer than MQTT can say.
    let long = vec![b'x'; 70_000];
    let long_name = "x".repeat(70_000);
    let headers: &[(&str, &[u8])] = &[
        ("large", &long),
        (&long_name, b"x"),
        ("", b""),
        ("binary", b"\xff\x00"),
        ("mqtt.correlation-data", &long),
        ("mqtt.content-type", &long),
        ("mqtt.content-type", b"\xff"),
        ("mqtt.response-topic", b"a/#"),
        ("mqtt.response-topic", b""),
        ("mqtt.user.", b"x"),
        ("mqtt.unknown", b"x"),
        ("mqtt.qos", b"9"),
        ("mqtt.qos", b""),
        ("mqtt.format", b"7"),
        ("mqtt.retain", b"maybe"),
        ("mqtt.client", b"\xff"),
        ("mqtt.expiry", b"soon"),
        ("mqtt.expiry", b"-1"),
        ("mqtt.expiry", b"4294967295"),
        ("mqtt.expiry", b"99999999999999999999"),
    ];
    let producer = Producer::new(&bed.kafka.settings(), 16 << 20).unwrap();
    let topic = bed.kafka.topic("messages");
    let send = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]| {
        let record = ToSend {
            kafka_topic: &topic,
            partition: None,
            key,
            value,
            headers,
        };
        assert!(producer.send(&record, None).is_ok());
    };
    let deep = "x/".repeat(500);
    let odd_keys: [&[u8]; 7] = [b"", b"a/#", b"+", b"a\0b", b"\xff", &long, deep.as_bytes()];
    for key in odd_keys {
        send(Some(key), Some(b"x"), &[]);
    }
    send(None, Some(b"x"), &[]);
    for header in headers {
        send(Some(KEY), Some(b"x"), &[*header]);
    }
    send(Some(KEY), None, headers);
    let many: Vec<(&str, &[u8])> = vec![("many", b"x"); 5000];
    send(Some(KEY), Some(b"x"), &many);
    send(Some(KEY), Some(b"last"), &[]);
    producer.flush(PATIENCE).await.unwrap();
    for reader in &mut readers {
        for number in 0..headers.len() + 2 {
            let message = reader.message().await;
            assert_ne!(text(&message).1, "last", "only {number} before it");
            if let Some(topic) = &message.properties.response_topic {
                panic!("{topic} is not a topic name");
            }
        }
        assert_eq!(text(&reader.message().await).1, "last");
    }
    while text(&reader_of_all.message().await).1 != "last" {}
    bed.goes_on().await;
    bed.stop().await;
}

/// Kafka's protocol has text for the name of a header; no broker checks it.
#[tokio::test(flavor = "multi_thread")] // waiting for a program blocks a thread, and Kafka needs one
async fn a_header_whose_name_is_no_text_harms_nobody() {
    let mut bed = Bed::new(&[]).await;
    let mut reader = bed.broker.client(Version::V5, "reader").await;
    reader
        .subscribe(vec![subscription("records/#", QoS::AtLeastOnce)])
        .await;
    let files = tempfile::tempdir().unwrap();
    let value = crate::support::write_file(&files, "value", "strange");
    let mut kcat = Command::new("kcat");
    kcat.args(["-P", "-b", &bed.kafka.bootstrap_servers, "-k", "records/x"])
        .args(["-t", &bed.kafka.topic("messages")])
        .args(["-H", "before=1", "-H"])
        .arg(std::ffi::OsStr::from_bytes(b"\xff\xfe=2"))
        .args(["-H", "after=3"])
        .arg(value);
    match kcat.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED kcat: not installed; apt-get install kcat");
        }
        output => {
            let output = output.unwrap();
            assert!(output.status.success(), "{output:?}");
            let message = reader.message().await;
            assert_eq!(text(&message).1, "strange");
            let names = message
                .properties
                .user
                .iter()
                .map(|(name, _)| name.as_str());
            assert_eq!(names.collect::<Vec<_>>(), ["before", "after"]);
        }
    }
    let next = publish("records/x", QoS::AtLeastOnce, 100, "next");
    bed.publisher.publish(next).await;
    assert_eq!(text(&reader.message().await).1, "next");
    bed.goes_on().await;
    bed.stop().await;
}
