//! Sessions that outlive their connections: the log is their queue, on the embedded Kafka or the one that `TEST_KAFKA`
//! names.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use mqtt::packet::{Ack, Connect, Disconnect, Publish, Subscription, SubscriptionOptions, Will};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicFilter, TopicName, Version};
use support::{Client, Kafka, TestBroker, connect, id, persistent, publish, subscription, text};

/// Connects; returns whether there was a session.
async fn come(broker: &TestBroker, connect: Connect) -> (Client, bool) {
    Client::come(broker.broker.mqtt_addr(), connect).await
}

async fn leave(mut client: Client) {
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
    client.send(&bye).await;
    assert_eq!(client.next().await, None);
}

/// The payloads of the next messages, each acknowledged.
async fn take(client: &mut Client, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        payloads.push(text(&exchange(client).await).1);
    }
    payloads
}

/// The next message, with all steps of its QoS.
async fn exchange(client: &mut Client) -> Publish {
    let message = client.message().await;
    if message.qos == QoS::ExactlyOnce {
        let packet_id = message.packet_id.unwrap();
        client.send(&Packet::PubRec(Ack::success(packet_id))).await;
        assert_eq!(
            client.next().await,
            Some(Packet::PubRel(Ack::success(packet_id)))
        );
        client.send(&Packet::PubComp(Ack::success(packet_id))).await;
    }
    message
}

async fn publish_all(client: &mut Client, topic: &str, payloads: &[String]) {
    for (at, payload) in payloads.iter().enumerate() {
        let packet = publish(topic, QoS::AtLeastOnce, at as u16 + 1, payload);
        assert_eq!(client.publish(packet).await, ReasonCode::SUCCESS);
    }
}

fn numbers(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_client_gets_what_it_missed_in_order_and_then_what_comes() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    for version in [Version::V3_1_1, Version::V5] {
        let (topic, name) = (format!("{version:?}/t"), format!("{version:?}"));
        let (mut subscriber, present) = come(&broker, persistent(version, &name)).await;
        assert!(!present);
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let mut publisher = broker.client(version, &format!("{name}-pub")).await;
        publish_all(&mut publisher, &topic, &numbers(0, 5)).await;
        assert_eq!(take(&mut subscriber, 5).await, numbers(0, 5));
        subscriber.nothing_more().await;
        leave(subscriber).await;
        publish_all(&mut publisher, &topic, &numbers(5, 100)).await;
        let (mut subscriber, present) = come(&broker, persistent(version, &name)).await;
        assert!(present);
        assert_eq!(take(&mut subscriber, 95).await, numbers(5, 100));
        publish_all(&mut publisher, &topic, &numbers(100, 103)).await;
        assert_eq!(take(&mut subscriber, 3).await, numbers(100, 103));
        subscriber.nothing_more().await;
        // Without missing anything, and without a sweep.
        leave(subscriber).await;
        let (mut subscriber, present) = come(&broker, persistent(version, &name)).await;
        assert!(present);
        publish_all(&mut publisher, &topic, &numbers(103, 105)).await;
        assert_eq!(take(&mut subscriber, 2).await, numbers(103, 105));
        subscriber.nothing_more().await;
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_restart_of_the_node_keeps_sessions_and_what_they_miss() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let (mut subscriber, _) = come(&broker, persistent(Version::V5, "s")).await;
    subscriber
        .subscribe_with(vec![subscription("a/#", QoS::ExactlyOnce)], Some(7))
        .await;
    let mut publisher = broker.client(Version::V5, "p").await;
    publish_all(&mut publisher, "a/1", &numbers(0, 3)).await;
    assert_eq!(take(&mut subscriber, 3).await, numbers(0, 3));
    // The acknowledgements are there when the connection ends with the node.
    subscriber.nothing_more().await;
    broker.stop().await;
    kafka
        .produce("messages", "a/2", Some("while the node was away"))
        .await;
    let broker = TestBroker::start(&kafka).await;
    assert!(broker.broker.summary().ends_with("1 sessions"));
    let (mut subscriber, present) = come(&broker, persistent(Version::V5, "s")).await;
    assert!(present);
    let message = exchange(&mut subscriber).await;
    assert_eq!(text(&message).1, "while the node was away");
    assert_eq!(message.qos, QoS::ExactlyOnce);
    assert_eq!(message.properties.subscription_ids, [7]);
    subscriber.nothing_more().await;
    broker.stop().await;
}

#[tokio::test]
async fn mqtt_4_4_0_1_what_was_not_acknowledged_comes_again_in_order_also_after_a_restart() {
    let kafka = Kafka::start().await;
    let mut broker = TestBroker::start(&kafka).await;
    let (mut subscriber, _) = come(&broker, persistent(Version::V5, "s")).await;
    subscriber
        .subscribe(vec![subscription("a/+", QoS::ExactlyOnce)])
        .await;
    let mut publisher = broker.client(Version::V5, "p").await;
    for number in 1..=6u16 {
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(number % 2)];
        let packet = publish(&format!("a/{number}"), qos, number, &number.to_string());
        publisher.send(&Packet::Publish(packet)).await;
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        match subscriber.next().await {
            Some(Packet::Publish(publish)) => seen.push(publish),
            other => panic!("{other:?}"),
        }
    }
    // One is half done: its PUBREL comes again, not its PUBLISH.
    let half = seen.iter().position(|p| p.qos == QoS::ExactlyOnce).unwrap();
    let half = seen.remove(half).packet_id.unwrap();
    subscriber.send(&Packet::PubRec(Ack::success(half))).await;
    assert_eq!(
        subscriber.next().await,
        Some(Packet::PubRel(Ack::success(half)))
    );
    for restarts in [false, true] {
        drop(subscriber);
        if restarts {
            broker.stop().await;
            broker = TestBroker::start(&kafka).await;
        }
        let (again, present) = come(&broker, persistent(Version::V5, "s")).await;
        assert!(present);
        subscriber = again;
        assert_eq!(
            subscriber.next().await,
            Some(Packet::PubRel(Ack::success(half)))
        );
        for before in &seen {
            match subscriber.next().await {
                Some(Packet::Publish(after)) => {
                    assert!(after.dup);
                    assert_eq!(after.packet_id, before.packet_id);
                    assert_eq!((after.qos, text(&after)), (before.qos, text(before)));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    subscriber.nothing_more().await;
    broker.stop().await;
}

#[tokio::test]
async fn mqtt_4_3_3_a_qos_2_publish_is_stored_once_across_connections_and_restarts() {
    let kafka = Kafka::start().await;
    let mut broker = TestBroker::start(&kafka).await;
    let (mut publisher, _) = come(&broker, persistent(Version::V3_1_1, "p")).await;
    let mut packet = publish("a", QoS::ExactlyOnce, 3, "once");
    publisher.send(&Packet::Publish(packet.clone())).await;
    let received = Some(Packet::PubRec(Ack::success(id(3))));
    assert_eq!(publisher.next().await, received);
    packet.dup = true;
    for restarts in [false, true] {
        drop(publisher);
        if restarts {
            broker.stop().await;
            broker = TestBroker::start(&kafka).await;
        }
        (publisher, _) = come(&broker, persistent(Version::V3_1_1, "p")).await;
        publisher.send(&Packet::Publish(packet.clone())).await;
        assert_eq!(publisher.next().await, received);
    }
    publisher.send(&Packet::PubRel(Ack::success(id(3)))).await;
    let complete = Some(Packet::PubComp(Ack::success(id(3))));
    assert_eq!(publisher.next().await, complete);
    assert_eq!(kafka.records("messages").await.len(), 1);
    // The identifier is free for the next message, also on another connection.
    drop(publisher);
    (publisher, _) = come(&broker, persistent(Version::V3_1_1, "p")).await;
    packet.dup = false;
    publisher.send(&Packet::Publish(packet)).await;
    assert_eq!(publisher.next().await, received);
    assert_eq!(kafka.records("messages").await.len(), 2);
    broker.stop().await;
}

#[tokio::test]
async fn a_slow_client_leaves_the_tail_and_catches_up_and_a_fast_one_is_not_held_up() {
    const COUNT: u32 = 3000;
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, "", &["--client-queue=50"]).await;
    // One is persistent, one is not: both are slow, since they acknowledge late.
    let (mut slow, _) = come(&broker, persistent(Version::V5, "slow")).await;
    let (mut clean, _) = come(&broker, connect(Version::V3_1_1, "clean")).await;
    let (mut fast, _) = come(&broker, connect(Version::V5, "fast")).await;
    for client in [&mut slow, &mut clean, &mut fast] {
        client
            .subscribe(vec![subscription("a/+", QoS::AtLeastOnce)])
            .await;
    }
    let mut publisher = broker.client(Version::V5, "p").await;
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < COUNT as usize {
            seen.extend(take(&mut fast, 1).await);
        }
        seen
    });
    for number in 0..COUNT {
        let packet = publish("a/1", QoS::AtLeastOnce, 1, &number.to_string());
        assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    }
    assert_eq!(reading.await.unwrap(), numbers(0, COUNT));
    for client in [&mut slow, &mut clean] {
        assert_eq!(take(client, COUNT as usize).await, numbers(0, COUNT));
        client.nothing_more().await;
    }
    // Back on the tail.
    let packet = publish("a/1", QoS::AtLeastOnce, 1, "live");
    publisher.publish(packet).await;
    for client in [&mut slow, &mut clean] {
        assert_eq!(take(client, 1).await, ["live"]);
        client.nothing_more().await;
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_come_back_at_once_and_each_gets_its_own() {
    const CLIENTS: u32 = 50;
    const EACH: u32 = 20;
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    for number in 0..CLIENTS {
        let name = format!("c{number}");
        let (mut client, _) = come(&broker, persistent(Version::V5, &name)).await;
        let filter = format!("many/{number}/+");
        client
            .subscribe(vec![subscription(&filter, QoS::AtLeastOnce)])
            .await;
        leave(client).await;
    }
    let producer = kafka::Producer::new(&kafka.settings(), 1 << 24).unwrap();
    for round in 0..EACH {
        for number in 0..CLIENTS * 4 {
            let key = format!("many/{number}/x");
            let value = round.to_string();
            let record = kafka::ToSend {
                kafka_topic: &kafka.topic("messages"),
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(value.as_bytes()),
                headers: &[],
            };
            assert!(producer.send(&record, None).is_ok());
        }
    }
    producer.flush(support::PATIENCE).await.unwrap();
    let addr = broker.broker.mqtt_addr();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(async move {
                let mut client = Client::open(addr, Version::V5).await;
                let name = format!("c{number}");
                let answer = client.connect(persistent(Version::V5, &name)).await;
                assert!(answer.session_present);
                let got = take(&mut client, EACH as usize).await;
                assert_eq!(got, numbers(0, EACH), "{name}");
                client.nothing_more().await;
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test]
async fn mqtt_3_1_2_4_a_clean_start_forgets_the_session_and_expiry_ends_it() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let (mut client, _) = come(&broker, persistent(Version::V5, "c")).await;
    client
        .subscribe(vec![subscription("a", QoS::AtLeastOnce)])
        .await;
    leave(client).await;
    let mut clean = persistent(Version::V5, "c");
    clean.clean_start = true;
    let (client, present) = come(&broker, clean).await;
    assert!(!present);
    leave(client).await;
    let (client, present) = come(&broker, persistent(Version::V5, "c")).await;
    assert!(present, "the new session is there");
    // At its DISCONNECT the client changes its mind: the session ends with the connection.
    let mut client = client;
    let mut bye = Disconnect::new(ReasonCode::SUCCESS);
    bye.properties.session_expiry_s = Some(0);
    client.send(&Packet::Disconnect(bye)).await;
    assert_eq!(client.next().await, None);
    let mut short = persistent(Version::V5, "c");
    short.properties.session_expiry_s = Some(1);
    let (client, present) = come(&broker, short.clone()).await;
    assert!(!present);
    leave(client).await;
    // When its time is over, Kafka has a tombstone of it.
    eventually(async || {
        let records = kafka.records("sessions").await;
        let mut of_c = records
            .iter()
            .filter(|r| r.key.as_deref() == Some(b"session/c"));
        of_c.next_back()
            .is_some_and(|record| record.value.is_none())
    })
    .await;
    let (_client, present) = come(&broker, short).await;
    assert!(!present);
    broker.stop().await;
}

async fn eventually(check: impl AsyncFn() -> bool) {
    tokio::time::timeout(support::PATIENCE, async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it comes true");
}

fn will(topic: &str, delay_s: u32) -> Will {
    let mut properties = Properties::default();
    properties.will_delay_s = Some(delay_s);
    properties.content_type = Some("text/plain".into());
    Will {
        topic: TopicName::try_from(topic).unwrap(),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties,
    }
}

#[tokio::test]
async fn mqtt_3_1_3_9_a_delayed_will_comes_later_and_not_when_the_client_is_back() {
    let kafka = Kafka::start().await;
    let mut broker = TestBroker::start(&kafka).await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher
        .subscribe(vec![subscription("wills/#", QoS::AtLeastOnce)])
        .await;
    let with_will = |name: &str, delay_s| {
        let mut connect = persistent(Version::V5, name);
        connect.will = Some(will(&format!("wills/{name}"), delay_s));
        connect
    };
    // One comes back in time, one does not, one has no delay, one ends its session with its connection.
    let (back, _) = come(&broker, with_will("back", 1)).await;
    drop(back);
    let (back, present) = come(&broker, with_will("back", 1000)).await;
    assert!(present);
    let (stays, _) = come(&broker, with_will("stays", 2)).await;
    let (at_once, _) = come(&broker, with_will("at-once", 0)).await;
    let mut ends = with_will("ends", 1000);
    ends.properties.session_expiry_s = None;
    let (ends, _) = come(&broker, ends).await;
    drop((stays, at_once, ends));
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let message = watcher.message().await;
        assert_eq!(message.properties.content_type, Some("text/plain".into()));
        assert_eq!(message.properties.will_delay_s, None);
        seen.insert(text(&message).0);
    }
    let expected = ["wills/at-once", "wills/ends", "wills/stays"];
    assert_eq!(seen, expected.map(ToOwned::to_owned).into());
    // A will outlives the node: it comes when the delay is over, on whatever node runs then.
    let (later, _) = come(&broker, with_will("later", 1)).await;
    drop(back);
    drop(later);
    eventually(async || {
        kafka.records("sessions").await.iter().any(|record| {
            let value = record.value.as_deref().unwrap_or_default();
            record.key.as_deref() == Some(b"session/later")
                && String::from_utf8_lossy(value).contains("due_ms")
        })
    })
    .await;
    broker.stop().await;
    broker = TestBroker::start(&kafka).await;
    eventually(async || {
        let records = kafka.records("messages").await;
        records
            .iter()
            .any(|record| record.key.as_deref() == Some(b"wills/later"))
    })
    .await;
    let of_back = |record: &kafka::Record| record.key.as_deref() == Some(b"wills/back");
    assert!(!kafka.records("messages").await.iter().any(of_back));
    broker.stop().await;
}

#[tokio::test]
async fn history_first_and_then_live_for_who_asks_and_may() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut publisher = broker.client(Version::V5, "p").await;
    publish_all(&mut publisher, "h/1", &numbers(0, 20)).await;
    let mut live = 0;
    for from in ["earliest", "-1h", "1970-01-02T00:00:00Z", "offset:0"] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut client = broker.client(Version::V5, "c").await;
            let granted = replay(&mut client, "h/1", qos, from).await;
            assert_eq!(granted, ReasonCode(qos as u8));
            let history = numbers(0, 20 + live);
            assert_eq!(take(&mut client, history.len()).await, history, "{from}");
            let packet = publish("h/1", QoS::AtLeastOnce, 9, &(20 + live).to_string());
            publisher.publish(packet).await;
            live += 1;
            let newest = numbers(19 + live, 20 + live);
            assert_eq!(take(&mut client, 1).await, newest, "{from} {qos:?}");
            client.nothing_more().await;
        }
    }
    let mut client = broker.client(Version::V5, "c").await;
    let wrong = replay(&mut client, "h/+", QoS::AtMostOnce, "yesterday").await;
    assert_eq!(wrong, ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR);
    broker.stop().await;
}

async fn replay(client: &mut Client, filter: &str, qos: QoS, from: &str) -> ReasonCode {
    let mut properties = Properties::default();
    properties.user = vec![("from".into(), from.into())];
    let subscribe = mqtt::packet::Subscribe {
        packet_id: id(1),
        properties,
        subscriptions: vec![subscription(filter, qos)],
    };
    client.send(&Packet::Subscribe(subscribe)).await;
    match client.next().await {
        Some(Packet::SubAck(ack)) => ack.reasons[0],
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_asks_is_told_where_in_kafka_a_message_is() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut client = broker.client(Version::V5, "c").await;
    let mut properties = Properties::default();
    properties.user = vec![("kafka-metadata".into(), "true".into())];
    let subscribe = mqtt::packet::Subscribe {
        packet_id: id(1),
        properties,
        subscriptions: vec![subscription("m", QoS::AtMostOnce)],
    };
    client.send(&Packet::Subscribe(subscribe)).await;
    assert!(matches!(client.next().await, Some(Packet::SubAck(_))));
    kafka.produce("messages", "m", Some("x")).await;
    let message = client.message().await;
    let user: std::collections::BTreeMap<String, String> = message
        .properties
        .user
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
        .collect();
    assert_eq!(user["kafka-topic"], kafka.topic("messages"));
    assert_eq!(user["source"], "elsewhere");
    let record = &kafka.records("messages").await[0];
    assert_eq!(user["kafka-partition"], record.partition.to_string());
    assert_eq!(user["kafka-offset"], record.offset.to_string());
    assert_eq!(user["kafka-timestamp"], record.timestamp_ms.to_string());
    broker.stop().await;
}

#[tokio::test]
async fn a_shared_subscription_gives_each_message_to_one_member_and_what_is_left_to_another() {
    const COUNT: u32 = 200;
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let shared = |qos| Subscription {
        filter: TopicFilter::new("$share/g/s/+").unwrap(),
        options: SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        },
    };
    let mut members = Vec::new();
    for name in ["m1", "m2", "m3"] {
        let mut member = broker.client(Version::V5, name).await;
        member.subscribe(vec![shared(QoS::AtLeastOnce)]).await;
        members.push(member);
    }
    let mut publisher = broker.client(Version::V5, "p").await;
    publish_all(&mut publisher, "s/1", &numbers(0, COUNT)).await;
    // The third one acknowledges nothing and goes: what it had goes to the others.
    drop(members.pop());
    let mut readers = Vec::new();
    let (send, mut seen) = tokio::sync::mpsc::channel(COUNT as usize);
    for mut member in members {
        let send = send.clone();
        readers.push(tokio::spawn(async move {
            loop {
                let payload = text(&exchange(&mut member).await).1;
                if send.send(payload).await.is_err() {
                    return;
                }
            }
        }));
    }
    let mut got = BTreeSet::new();
    while got.len() < COUNT as usize {
        let payload = tokio::time::timeout(support::PATIENCE, seen.recv()).await;
        assert!(got.insert(payload.unwrap().unwrap()), "one came twice");
    }
    assert_eq!(got, numbers(0, COUNT).into_iter().collect());
    for reader in readers {
        reader.abort();
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_group_whose_members_are_all_away_goes_on_where_it_was() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let filter = || vec![subscription("$share/g/s/+", QoS::AtLeastOnce)];
    let (mut member, _) = come(&broker, persistent(Version::V5, "m1")).await;
    member.subscribe(filter()).await;
    leave(member).await;
    let mut publisher = broker.client(Version::V5, "p").await;
    publish_all(&mut publisher, "s/1", &numbers(0, 30)).await;
    let (mut member, present) = come(&broker, persistent(Version::V5, "m1")).await;
    assert!(present);
    assert_eq!(take(&mut member, 30).await, numbers(0, 30));
    publish_all(&mut publisher, "s/1", &numbers(30, 32)).await;
    assert_eq!(take(&mut member, 2).await, numbers(30, 32));
    member.nothing_more().await;
    broker.stop().await;
}
