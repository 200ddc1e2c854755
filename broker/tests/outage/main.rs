//! Kafka is killed and comes back; the broker is killed and comes back: all under load. `OUTAGE_S` says how many seconds
//! Kafka stays away.
#![allow(clippy::unwrap_used)]

mod kafka;
mod load;
mod publisher;
mod subscriber;
mod wire;

#[path = "../support/http.rs"]
mod http;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use http::{get, metric, resident_bytes, until};
use kafka::Node;
use load::{Load, Outcome};
use mqtt::{Packet, QoS, ReasonCode, Version};
use process::Process;
use support::{Client, Kafka, PATIENCE, connect, persistent, publish, subscription, text};

/// How long Kafka stays away.
fn outage() -> Duration {
    let seconds = std::env::var("OUTAGE_S").map_or(4, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

async fn until_ready(admin: SocketAddr, wanted: u16) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = get(admin, "/ready").await.map(|(status, _)| status);
        if status == Some(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "/ready is {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The log has each message of QoS 2 once.
async fn check_log(kafka: &Kafka, outcome: &Outcome) {
    let of_qos_2 = |topic: &str| topic.starts_with("q2/");
    let mut expected = outcome.by_topic.clone();
    expected.retain(|topic, _| of_qos_2(topic));
    assert_eq!(stored_by_topic(kafka, of_qos_2).await, expected);
}

/// How many records the log has of some MQTT topics.
async fn stored_by_topic(kafka: &Kafka, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for record in kafka.records("messages").await {
        let topic = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        if wanted(&topic) {
            *counts.entry(topic).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread
async fn when_kafka_is_away_nothing_acknowledged_is_lost_and_nobody_is_disconnected() {
    let Some(mut node) = Node::start().await else {
        return;
    };
    let kafka = node.kafka();
    let files = tempfile::tempdir().unwrap();
    let mut broker = Process::start(&kafka, &files, &[]);
    let load = Load::start(broker.mqtt).await;
    load.progress(100).await;
    let before = resident_bytes(broker.pid());

    node.kill();
    let began = Instant::now();
    until_ready(broker.admin, 503).await;
    let noticed = began.elapsed();
    tokio::time::sleep(outage().saturating_sub(began.elapsed())).await;
    let within = resident_bytes(broker.pid());
    node.start_again().await;
    let back = Instant::now();
    load.progress(1).await;
    let first = back.elapsed();
    load.progress(100).await;
    until_ready(broker.admin, 200).await;

    let outcome = load.finish().await;
    eprintln!(
        "away {:?}, /ready 503 after {noticed:?}, first message {first:?} after kafka was back; memory {before:?}, {within:?}: {outcome:?}",
        back - began
    );
    assert_eq!((outcome.publishers_lost, outcome.subscribers_lost), (0, 0));
    // Nobody had a reason to send anything again.
    assert_eq!(outcome.again, [0, 0, 0]);
    check_log(&kafka, &outcome).await;
    if let Some(bytes) = within {
        // 64 MiB may wait for Kafka; the rest is the process, unoptimised.
        assert!(bytes < 320 << 20, "{} MiB", bytes >> 20);
    }
    assert!(broker.runs());
}

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread
async fn what_is_too_much_while_kafka_is_away_is_dropped_at_qos_0_and_counted() {
    const SENT: u16 = 3000;
    let Some(mut node) = Node::start().await else {
        return;
    };
    let kafka = node.kafka();
    let files = tempfile::tempdir().unwrap();
    let broker = Process::start(&kafka, &files, &["--kafka-queue-bytes=262144"]);
    let mut subscriber = client_of(&broker, "subscriber").await;
    let both = ["flood", "end"].map(|topic| subscription(topic, QoS::AtLeastOnce));
    subscriber.subscribe(both.to_vec()).await;
    let mut flood = client_of(&broker, "flood").await;
    let mut careful = client_of(&broker, "careful").await;
    careful
        .publish(publish("end", QoS::AtLeastOnce, 1, "before"))
        .await;
    assert_eq!(text(&subscriber.message().await).1, "before");

    node.kill();
    until_ready(broker.admin, 503).await;
    for number in 1..=SENT {
        let packet = publish("flood", QoS::AtMostOnce, 0, &format!("{number:01000}"));
        flood.send(&Packet::Publish(packet)).await;
    }
    // It is still served, though Kafka is away and the queue is full.
    flood.nothing_more().await;
    let dropped = "mqtt_messages_dropped_total{reason=\"kafka_queue_full\"}";
    until(broker.admin, dropped, |count| count > 0.0).await;
    // Who wants an answer waits for it.
    careful
        .send(&Packet::Publish(publish(
            "end",
            QoS::AtLeastOnce,
            2,
            "after",
        )))
        .await;
    let dropped = metric(broker.admin, dropped).await as u32;
    node.start_again().await;
    assert!(
        matches!(careful.next().await, Some(Packet::PubAck(ack)) if ack.reason == ReasonCode::SUCCESS)
    );

    let (mut came, mut last, mut ended) = (0, 0, false);
    while came + dropped < u32::from(SENT) || !ended {
        let message = text(&subscriber.message().await);
        if message.0 == "end" {
            ended = true;
            continue;
        }
        let number: u16 = message.1.parse().unwrap();
        assert!(number > last, "{number} after {last}");
        (came, last) = (came + 1, number);
    }
    eprintln!("{SENT} sent, {dropped} dropped, {came} came");
    assert!(came > 0);
    subscriber.nothing_more().await;
    flood.nothing_more().await;
}

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread
async fn who_leaves_while_kafka_is_away_finds_its_session_when_it_is_back() {
    let Some(mut node) = Node::start().await else {
        return;
    };
    let kafka = node.kafka();
    let files = tempfile::tempdir().unwrap();
    let broker = Process::start(&kafka, &files, &[]);
    let hello = persistent(Version::V5, "away");
    let mut subscriber = Client::open(broker.mqtt, Version::V5).await;
    subscriber.connect(hello.clone()).await;
    subscriber
        .subscribe(vec![subscription("a", QoS::ExactlyOnce)])
        .await;
    let mut publisher = client_of(&broker, "publisher").await;
    publisher
        .publish(publish("a", QoS::AtLeastOnce, 1, "before"))
        .await;
    assert_eq!(text(&subscriber.message().await).1, "before");
    subscriber.nothing_more().await;

    node.kill();
    until_ready(broker.admin, 503).await;
    drop(subscriber);
    let late = publish("a", QoS::ExactlyOnce, 2, "meanwhile");
    publisher.send(&Packet::Publish(late)).await;
    // Who needs nothing that is in Kafka gets in: one whose name is made up here, so that nobody else can have it. Who
    // does is told so.
    client_of(&broker, "").await.nothing_more().await;
    let mut early = Client::open(broker.mqtt, Version::V5).await;
    let refused = early.connect(hello.clone()).await.reason;
    assert!(refused.is_error());
    node.start_again().await;
    assert!(matches!(
        publisher.next().await,
        Some(Packet::PubRec(ack)) if ack.reason == ReasonCode::SUCCESS
    ));
    let (mut subscriber, answer) = wire::connect(broker.mqtt, &hello).await;
    assert!(answer.session_present);
    let next = tokio::time::timeout(PATIENCE, subscriber.next()).await;
    match next.expect("what was missed comes") {
        Ok(Packet::Publish(message)) => assert_eq!(text(&message).1, "meanwhile"),
        other => panic!("{other:?}"),
    }
    eprintln!("early: {refused}");
}

/// How often the broker is killed.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread
async fn kill_9_of_the_broker_loses_nothing_and_sessions_go_on() {
    let Some(node) = Node::start().await else {
        return;
    };
    let kafka = node.kafka();
    let files = tempfile::tempdir().unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let port = format!("--mqtt-port={port}");
    let mut broker = Process::start(&kafka, &files, &[&port]);
    let load = Load::start(broker.mqtt).await;
    for kills in 1..=KILLS as u32 {
        load.progress(100).await;
        drop(broker);
        broker = Process::start(&kafka, &files, &[&port]);
        load.progress(1).await;
        assert!(load.subscribers_lost() >= 3 * kills);
    }
    let outcome = load.finish().await;
    eprintln!("{outcome:?}");
    // A QoS 2 publish and its identifier are stored at once, so none is stored again, and none comes twice.
    check_log(&kafka, &outcome).await;
    assert_eq!(outcome.again[2], 0, "{outcome:?}");
}

async fn client_of(broker: &Process, client_id: &str) -> Client {
    let mut client = Client::open(broker.mqtt, Version::V5).await;
    let answer = client.connect(connect(Version::V5, client_id)).await;
    assert_eq!(answer.reason, ReasonCode::SUCCESS);
    client
}
