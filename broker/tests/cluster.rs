//! Several nodes on one Kafka: one server. On the embedded Kafka or the one that `TEST_KAFKA` names.
#![allow(clippy::unwrap_used)]

#[path = "support/http.rs"]
mod http;
#[path = "support/process.rs"]
mod process;
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt::packet::{Ack, Disconnect, Publish, Will};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicName, Version};
use process::Process;
use support::{Client, Kafka, TestBroker, connect, id, persistent, publish, subscription, text};

/// Publishes at QoS 2, with all its steps.
async fn publish_once(client: &mut Client, topic: &str, packet_id: u16, payload: &str) {
    let packet = publish(topic, QoS::ExactlyOnce, packet_id, payload);
    client.send(&Packet::Publish(packet)).await;
    let ack = || Ack::success(id(packet_id));
    assert_eq!(client.next().await, Some(Packet::PubRec(ack())));
    client.send(&Packet::PubRel(ack())).await;
    assert_eq!(client.next().await, Some(Packet::PubComp(ack())));
}

async fn node(kafka: &Kafka, name: &str) -> TestBroker {
    let name = format!("--node-name={name}");
    TestBroker::start_with(kafka, "", &[&name]).await
}

/// [MQTT-3.1.4-3] over nodes: the one that comes last has the session, with what was in flight; the other is told.
#[tokio::test]
async fn a_client_that_comes_to_another_node_takes_its_session_along() {
    for transactions in ["--kafka-transactions=true", "--kafka-transactions=false"] {
        takes_its_session_along(transactions).await;
    }
}

async fn takes_its_session_along(transactions: &str) {
    let kafka = Kafka::start().await;
    let [a, b] = ["--node-name=a", "--node-name=b"].map(|name| [name, transactions]);
    let a = TestBroker::start_with(&kafka, "", &a).await;
    let b = TestBroker::start_with(&kafka, "", &b).await;
    let (at_a, at_b) = (a.broker.mqtt_addr(), b.broker.mqtt_addr());
    let (mut old, present) = Client::come(at_a, persistent(Version::V5, "c")).await;
    assert!(!present);
    old.subscribe(vec![subscription("t/#", QoS::ExactlyOnce)])
        .await;
    // A message on its way to the client, and one of the client's that waits for its PUBREL.
    let (mut other, _) = Client::come(at_b, connect(Version::V5, "other")).await;
    publish_once(&mut other, "t/1", 1, "one").await;
    let on_its_way = old.message().await;
    assert_eq!(text(&on_its_way).1, "one");
    old.send(&Packet::Publish(publish("u", QoS::ExactlyOnce, 9, "mine")))
        .await;
    assert_eq!(old.next().await, Some(Packet::PubRec(Ack::success(id(9)))));

    let (mut new, present) = Client::come(at_b, persistent(Version::V5, "c")).await;
    assert!(present);
    match old.next().await {
        Some(Packet::Disconnect(bye)) => assert_eq!(bye.reason, ReasonCode::SESSION_TAKEN_OVER),
        other => panic!("{other:?}"),
    }
    let again = new.message().await;
    assert_eq!(text(&again), text(&on_its_way));
    assert!(again.dup && again.packet_id == on_its_way.packet_id);
    // The publish is known here, too: sent again, it is acknowledged and not stored again.
    let mut resent = publish("u", QoS::ExactlyOnce, 9, "mine");
    resent.dup = true;
    new.send(&Packet::Publish(resent)).await;
    assert_eq!(new.next().await, Some(Packet::PubRec(Ack::success(id(9)))));
    new.send(&Packet::PubRel(Ack::success(id(9)))).await;
    assert_eq!(new.next().await, Some(Packet::PubComp(Ack::success(id(9)))));
    let stored = kafka.records("messages").await;
    let mine = |record: &&kafka::Record| record.key.as_deref() == Some(b"u");
    assert_eq!(stored.iter().filter(mine).count(), 1);
    a.stop().await;
    b.stop().await;
}

/// A clean session of a client that names itself is one of its kind over all nodes, too.
#[tokio::test]
async fn a_client_identifier_has_one_connection_over_all_nodes() {
    let kafka = Kafka::start().await;
    let (a, b) = (node(&kafka, "a").await, node(&kafka, "b").await);
    let (mut old, _) = Client::come(a.broker.mqtt_addr(), connect(Version::V3_1_1, "c")).await;
    let (mut new, _) = Client::come(b.broker.mqtt_addr(), connect(Version::V3_1_1, "c")).await;
    assert_eq!(old.next().await, None, "closed");
    new.send(&Packet::PingReq).await;
    assert_eq!(new.next().await, Some(Packet::PingResp));
    // Back and forth: each time the one before is closed.
    for round in 0..6 {
        let here = if round % 2 == 0 { &a } else { &b };
        let (newer, _) = Client::come(here.broker.mqtt_addr(), connect(Version::V5, "c")).await;
        assert!(!matches!(new.next().await, Some(Packet::PingResp)));
        new = newer;
    }
    a.stop().await;
    b.stop().await;
}

/// What one node has acknowledged as retained, a subscriber on another one gets at once.
#[tokio::test]
async fn a_retained_message_is_seen_on_every_node_as_soon_as_it_is_acknowledged() {
    let kafka = Kafka::start().await;
    let (a, b) = (node(&kafka, "a").await, node(&kafka, "b").await);
    let (mut publisher, _) = Client::come(a.broker.mqtt_addr(), persistent(Version::V5, "p")).await;
    let (mut subscriber, _) = Client::come(b.broker.mqtt_addr(), connect(Version::V5, "s")).await;
    for round in 0..20u16 {
        let qos = if round % 2 == 0 {
            QoS::AtLeastOnce
        } else {
            QoS::ExactlyOnce
        };
        let topic = format!("r/{round}");
        let mut packet = publish(&topic, qos, round + 1, "x");
        packet.retain = true;
        publisher.send(&Packet::Publish(packet)).await;
        match publisher.next().await {
            Some(Packet::PubAck(_)) => {}
            Some(Packet::PubRec(_)) => {
                let release = Packet::PubRel(Ack::success(id(round + 1)));
                publisher.send(&release).await;
                assert!(matches!(publisher.next().await, Some(Packet::PubComp(_))));
            }
            other => panic!("{other:?}"),
        }
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtMostOnce)])
            .await;
        assert_eq!(text(&subscriber.message().await), (topic, "x".to_owned()));
    }
    a.stop().await;
    b.stop().await;
}

fn will(topic: &str, delay_s: u32) -> Will {
    let mut properties = Properties::default();
    properties.will_delay_s = Some(delay_s);
    Will {
        topic: TopicName::try_from(topic).unwrap(),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties,
    }
}

/// A node is killed: the others take over its sessions, publish its wills once, and end its sessions.
#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn what_a_killed_node_had_goes_on_elsewhere() {
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let lapse = "--node-lapse-ms=2000";
    let killed = Process::start(&kafka, &files, &["--node-name=killed", lapse]);
    let b = TestBroker::start_with(&kafka, "", &["--node-name=b", lapse]).await;
    let c = TestBroker::start_with(&kafka, "", &["--node-name=c", lapse]).await;
    let (at_b, at_c) = (b.broker.mqtt_addr(), c.broker.mqtt_addr());
    let (mut watcher, _) = Client::come(at_b, connect(Version::V5, "watcher")).await;
    watcher
        .subscribe(vec![subscription("wills/#", QoS::AtLeastOnce)])
        .await;
    let mut clients = Vec::new();
    for number in 0..20u32 {
        let name = format!("c{number}");
        let mut connect = persistent(Version::V5, &name);
        connect.will = Some(will(&format!("wills/{name}"), number % 2));
        let (mut client, _) = Client::come(killed.mqtt, connect).await;
        client
            .subscribe(vec![subscription("t/#", QoS::AtLeastOnce)])
            .await;
        // Stored before it is acknowledged, and known to whoever serves the client next.
        let packet = publish("u", QoS::ExactlyOnce, 7, &name);
        client.send(&Packet::Publish(packet)).await;
        assert_eq!(
            client.next().await,
            Some(Packet::PubRec(Ack::success(id(7))))
        );
        clients.push(client);
    }
    drop(killed);
    let dead = Instant::now();
    let (mut publisher, _) = Client::come(at_c, connect(Version::V5, "publisher")).await;
    publisher
        .publish(publish("t/x", QoS::AtLeastOnce, 1, "while away"))
        .await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        assert!(
            seen.insert(text(&watcher.message().await).0),
            "a will came twice"
        );
    }
    eprintln!("all wills {:?} after the kill", dead.elapsed());
    for number in 0..20u32 {
        let addr = if number % 2 == 0 { at_b } else { at_c };
        let name = format!("c{number}");
        let (mut client, present) = Client::come(addr, persistent(Version::V5, &name)).await;
        assert!(present, "{name}");
        assert_eq!(text(&client.message().await).1, "while away");
        let mut resent = publish("u", QoS::ExactlyOnce, 7, &name);
        resent.dup = true;
        client.send(&Packet::Publish(resent)).await;
        assert_eq!(
            client.next().await,
            Some(Packet::PubRec(Ack::success(id(7))))
        );
    }
    let stored = kafka.records("messages").await;
    let of_u = |record: &&kafka::Record| record.key.as_deref() == Some(b"u");
    assert_eq!(stored.iter().filter(of_u).count(), 20);
    watcher.nothing_more().await;
    b.stop().await;
    c.stop().await;
}

/// A node that slept through its own death serves nobody when it wakes, and stops.
#[tokio::test(flavor = "multi_thread")] // waiting for a process blocks a thread, and Kafka needs one
async fn a_node_that_was_stopped_for_too_long_does_not_come_back_to_its_clients() {
    let kafka = Kafka::start().await;
    let files = tempfile::tempdir().unwrap();
    let lapse = "--node-lapse-ms=2000";
    let mut sleeper = Process::start(&kafka, &files, &["--node-name=sleeper", lapse]);
    let b = TestBroker::start_with(&kafka, "", &["--node-name=b", lapse]).await;
    let (mut old, _) = Client::come(sleeper.mqtt, persistent(Version::V5, "c")).await;
    old.subscribe(vec![subscription("t/#", QoS::ExactlyOnce)])
        .await;
    sleeper.signal("STOP");
    // While it sleeps, its client comes back elsewhere, as soon as the node counts as dead.
    let (mut new, present) = Client::come(b.broker.mqtt_addr(), persistent(Version::V5, "c")).await;
    assert!(present);
    let (mut publisher, _) = Client::come(b.broker.mqtt_addr(), connect(Version::V5, "p")).await;
    publish_once(&mut publisher, "t", 1, "x").await;
    let message: Publish = new.message().await;
    assert_eq!(text(&message).1, "x");
    let packet_id = message.packet_id.unwrap();
    new.send(&Packet::PubRec(Ack::success(packet_id))).await;
    assert_eq!(
        new.next().await,
        Some(Packet::PubRel(Ack::success(packet_id)))
    );
    new.send(&Packet::PubComp(Ack::success(packet_id))).await;
    sleeper.signal("CONT");
    // The old connection ends, and got nothing more.
    loop {
        match old.next().await {
            None => break,
            Some(Packet::Disconnect(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sleeper.ended(Duration::from_secs(30)), Some(1));
    new.send(&Packet::PingReq).await;
    assert_eq!(new.next().await, Some(Packet::PingResp));
    new.send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)))
        .await;
    b.stop().await;
}

/// What the nodes count is summed up, and each of them says the same of all.
#[tokio::test]
async fn every_node_gives_the_sums_of_all() {
    let kafka = Kafka::start().await;
    let [a, b] = ["--node-name=a", "--node-name=b"].map(|name| [name, "--mqtt-sys-interval-s=1"]);
    let a = TestBroker::start_with(&kafka, "", &a).await;
    let b = TestBroker::start_with(&kafka, "", &b).await;
    let mut at_a = a.client(Version::V5, "at-a").await;
    let mut at_b = b.client(Version::V5, "at-b").await;
    for watcher in [&mut at_a, &mut at_b] {
        let all = subscription("$SYS/broker/#", QoS::AtMostOnce);
        assert_eq!(watcher.subscribe(vec![all]).await, [ReasonCode::SUCCESS]);
    }
    let mut publisher = b.client(Version::V5, "publisher").await;
    for number in 1..=5 {
        let packet = publish("t", QoS::AtLeastOnce, number, "x");
        assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    }
    for (watcher, name) in [(&mut at_a, "a"), (&mut at_b, "b")] {
        let expected = [
            ("nodes", "2"),
            ("clients/connected", "3"),
            ("subscriptions/count", "2"),
            ("messages/received", "5"),
            ("node", name),
        ];
        say(watcher, &expected).await;
    }
    // Who goes takes along what it has counted.
    drop((publisher, at_b));
    b.stop().await;
    let expected = [
        ("nodes", "1"),
        ("clients/connected", "1"),
        ("messages/received", "0"),
    ];
    say(&mut at_a, &expected).await;
    a.stop().await;
}

async fn acknowledge(client: &mut Client, message: &Publish) {
    let ack = Ack::success(message.packet_id.unwrap());
    client.send(&Packet::PubAck(ack)).await;
}

/// Waits until these values below `$SYS/broker/` are those that came last.
async fn say(watcher: &mut Client, expected: &[(&str, &str)]) {
    let mut said = std::collections::BTreeMap::new();
    let is_said = |said: &std::collections::BTreeMap<String, String>| {
        expected.iter().all(|(name, value)| {
            said.get(&format!("$SYS/broker/{name}"))
                .is_some_and(|s| s == value)
        })
    };
    while !is_said(&said) {
        let message = watcher.message().await;
        let (topic, payload) = text(&message);
        said.insert(topic, payload);
    }
}

/// Where keys say in which partition a record is, a subscription to one topic reads one partition: nothing else is fetched,
/// and its session misses nothing, whatever node it comes back to.
#[tokio::test]
async fn a_session_of_one_topic_reads_one_partition() {
    const PARTITIONS: usize = 3;
    let kafka = Kafka::start().await;
    let start = async |name: &str| {
        let name = format!("--node-name={name}");
        let flags = [name.as_str(), "--kafka-partitioner=murmur2"];
        TestBroker::start_with(&kafka, "", &flags).await
    };
    let (a, b, c) = (start("a").await, start("b").await, start("c").await);
    let partition = |topic: &str| kafka::partition_of(topic.as_bytes(), PARTITIONS);
    let topics: Vec<String> = (0..30).map(|number| format!("t/{number}")).collect();
    let large = "x".repeat(10_000);
    let mut publisher = c.client(Version::V5, "publisher").await;
    let mut publish_all = async |own: &str| {
        for (number, topic) in topics.iter().enumerate() {
            let payload = if number == 0 { own } else { &large };
            let packet = publish(topic, QoS::AtLeastOnce, number as u16 + 1, payload);
            assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
        }
    };

    let (mut client, _) = Client::come(a.broker.mqtt_addr(), persistent(Version::V5, "s")).await;
    let own = subscription("t/0", QoS::AtLeastOnce);
    client.subscribe(vec![own]).await;
    publish_all("live").await;
    let live = client.message().await;
    assert_eq!(text(&live), ("t/0".into(), "live".into()));
    acknowledge(&mut client, &live).await;
    client.nothing_more().await;
    let beside = topics[1..]
        .iter()
        .filter(|topic| partition(topic) == partition("t/0"));
    let (needed, all) = (beside.count() as f64 * 1e4, 29.0 * 1e4);
    assert!(needed > 0.0 && needed < all / 2.0, "{needed} of {all}");
    let fetched = "mqtt_kafka_fetched_bytes_total{reader=\"tail\"}";
    http::until(a.broker.admin_addr(), fetched, |bytes| bytes >= needed).await;
    let bytes = http::metric(a.broker.admin_addr(), fetched).await;
    assert!(
        bytes < needed + (all - needed) / 2.0,
        "{bytes} fetched, {needed} needed"
    );

    client
        .send(&Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)))
        .await;
    assert_eq!(client.next().await, None);
    publish_all("missed").await;
    let (mut client, present) =
        Client::come(b.broker.mqtt_addr(), persistent(Version::V5, "s")).await;
    assert!(present);
    let missed = client.message().await;
    assert_eq!(text(&missed), ("t/0".into(), "missed".into()));
    acknowledge(&mut client, &missed).await;
    publish_all("live again").await;
    assert_eq!(text(&client.message().await).1, "live again");
    client.nothing_more().await;
    for node in [a, b, c] {
        node.stop().await;
    }
}
