//! Messages through Kafka and back, on the embedded Kafka or the one that `TEST_KAFKA` names.
#![allow(clippy::unwrap_used)]

mod support;

use mqtt::packet::{Ack, RetainHandling, Will};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicName, Version};
use support::{Client, Kafka, TestBroker, connect, id, publish, subscription, text};

/// Rules of these tests: positions by plate, and totals whose compacted topic is the retained store.
const RULES: &str = r#"
[[topic]]
mqtt = "fleet/updates/{plate}"
kafka = "{prefix}updates"
key = "{plate}"

[[topic]]
mqtt = "fleet/totals/{company}"
kafka = "{prefix}totals"
key = "{company}"
retain = "latest"

[[topic]]
mqtt = "fleet/computed/{name}"
kafka = "{prefix}computed"
key = "{name}"
direction = "from-kafka"
"#;

#[tokio::test]
async fn an_acknowledged_message_is_a_plain_record_and_reaches_subscribers_of_all_versions() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, RULES, &[]).await;
    let mut subscribers = Vec::new();
    for (at, version) in [Version::V3_1, Version::V3_1_1, Version::V5]
        .into_iter()
        .enumerate()
    {
        let mut subscriber = broker.client(version, &format!("sub{at}")).await;
        let granted = subscriber
            .subscribe(vec![subscription("fleet/updates/+", QoS::AtLeastOnce)])
            .await;
        assert_eq!(granted, [ReasonCode::GRANTED_QOS_1]);
        subscribers.push(subscriber);
    }
    let mut publisher = broker.client(Version::V5, "pub").await;
    let mut packet = publish("fleet/updates/T1", QoS::AtLeastOnce, 7, "{}");
    packet.properties.user = vec![("trace".into(), "42".into())];
    assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);

    let records = kafka.records("updates").await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key.as_deref(), Some(&b"T1"[..]));
    assert_eq!(records[0].value.as_deref(), Some(&b"{}"[..]));
    assert_eq!(records[0].header("trace").map(|v| &v[..]), Some(&b"42"[..]));
    for (at, subscriber) in subscribers.iter_mut().enumerate() {
        let message = subscriber.message().await;
        assert_eq!(text(&message), ("fleet/updates/T1".into(), "{}".into()));
        assert!(message.qos == QoS::AtLeastOnce && !message.retain && !message.dup);
        let expected = if at == 2 {
            vec![("trace".into(), "42".into())]
        } else {
            vec![]
        };
        assert_eq!(message.properties.user, expected);
    }
    broker.stop().await;
}

#[tokio::test]
async fn qos_2_both_ways_takes_four_steps_and_arrives_once() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut subscriber = broker.client(Version::V3_1_1, "sub").await;
    subscriber
        .subscribe(vec![subscription("a", QoS::ExactlyOnce)])
        .await;
    let mut publisher = broker.client(Version::V3_1_1, "pub").await;
    let mut packet = publish("a", QoS::ExactlyOnce, 3, "once");
    publisher.send(&Packet::Publish(packet.clone())).await;
    assert_eq!(
        publisher.next().await,
        Some(Packet::PubRec(Ack::success(id(3))))
    );
    packet.dup = true;
    publisher.send(&Packet::Publish(packet)).await;
    assert_eq!(
        publisher.next().await,
        Some(Packet::PubRec(Ack::success(id(3))))
    );
    publisher.send(&Packet::PubRel(Ack::success(id(3)))).await;
    assert_eq!(
        publisher.next().await,
        Some(Packet::PubComp(Ack::success(id(3))))
    );

    let message = subscriber.message().await;
    assert_eq!(message.qos, QoS::ExactlyOnce);
    let packet_id = message.packet_id.unwrap();
    subscriber
        .send(&Packet::PubRec(Ack::success(packet_id)))
        .await;
    assert_eq!(
        subscriber.next().await,
        Some(Packet::PubRel(Ack::success(packet_id)))
    );
    subscriber
        .send(&Packet::PubComp(Ack::success(packet_id)))
        .await;
    subscriber.nothing_more().await;
    assert_eq!(kafka.records("messages").await.len(), 1);
    broker.stop().await;
}

#[tokio::test]
async fn the_order_of_a_topic_is_kept_and_nothing_acknowledged_is_lost() {
    const COUNT: u16 = 2000;
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut subscriber = broker.client(Version::V3_1_1, "sub").await;
    subscriber
        .subscribe(vec![subscription("log/#", QoS::AtLeastOnce)])
        .await;
    let mut publisher = broker.client(Version::V3_1_1, "pub").await;
    let publishing = tokio::spawn(async move {
        let mut acknowledged = 0;
        for number in 1..=COUNT {
            let packet = publish("log/one", QoS::AtLeastOnce, number, &number.to_string());
            publisher.send(&Packet::Publish(packet)).await;
            // No more than fits into the socket's buffers is left unread.
            if number % 100 == 0 {
                while acknowledged < number {
                    acknowledged += 1;
                    let ack = Packet::PubAck(Ack::success(id(acknowledged)));
                    assert_eq!(publisher.next().await, Some(ack));
                }
            }
        }
    });
    for number in 1..=COUNT {
        assert_eq!(text(&subscriber.message().await).1, number.to_string());
    }
    publishing.await.unwrap();
    broker.stop().await;
}

#[tokio::test]
async fn a_subscription_starts_after_what_was_acknowledged_before_it() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    for round in 0..20 {
        let topic = format!("start/{round}");
        let before = publish(&topic, QoS::AtLeastOnce, 1, "before");
        publisher.publish(before).await;
        let mut subscriber = broker.client(Version::V5, "sub").await;
        subscriber
            .subscribe(vec![subscription("start/#", QoS::AtMostOnce)])
            .await;
        publisher
            .publish(publish(&topic, QoS::AtLeastOnce, 2, "after"))
            .await;
        assert_eq!(text(&subscriber.message().await), (topic, "after".into()));
    }
    broker.stop().await;
}

#[tokio::test]
async fn overlapping_subscriptions_deliver_once_at_the_highest_qos_with_all_identifiers() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut client = broker.client(Version::V5, "c").await;
    client
        .subscribe_with(vec![subscription("a/#", QoS::AtMostOnce)], Some(1))
        .await;
    client
        .subscribe_with(vec![subscription("a/+", QoS::AtLeastOnce)], Some(2))
        .await;
    let mut own = subscription("own", QoS::AtLeastOnce);
    own.options.no_local = true;
    client.subscribe(vec![own]).await;

    let mut other = broker.client(Version::V5, "other").await;
    other
        .publish(publish("a/b", QoS::AtLeastOnce, 1, "x"))
        .await;
    let message = client.message().await;
    assert_eq!(message.qos, QoS::AtLeastOnce);
    assert_eq!(message.properties.subscription_ids, [1, 2]);
    // [MQTT-3.8.3-3] No Local: its own message does not come back, another's does.
    client
        .send(&Packet::Publish(publish("own", QoS::AtMostOnce, 0, "mine")))
        .await;
    other
        .publish(publish("own", QoS::AtLeastOnce, 2, "yours"))
        .await;
    assert_eq!(text(&client.message().await).1, "yours");
    // [MQTT-3.3.5-1] The lower QoS of message and subscription counts.
    other
        .send(&Packet::Publish(publish("a/b", QoS::AtMostOnce, 0, "y")))
        .await;
    assert_eq!(client.message().await.qos, QoS::AtMostOnce);
    client.nothing_more().await;
    broker.stop().await;
}

#[tokio::test]
async fn retained_messages_outlive_the_broker_and_end_with_an_empty_one() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, RULES, &[]).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    for (at, topic) in ["keep/a", "keep/b", "fleet/totals/x"]
        .into_iter()
        .enumerate()
    {
        let mut packet = publish(topic, QoS::AtLeastOnce, 1 + at as u16, topic);
        packet.retain = true;
        publisher.publish(packet).await;
    }
    // A record of any producer is retained where the compacted topic itself is the store.
    kafka.produce("totals", "y", Some("from kafka")).await;
    let mut removed = publish("keep/b", QoS::AtLeastOnce, 9, "");
    removed.retain = true;
    publisher.publish(removed).await;
    broker.stop().await;

    let broker = TestBroker::start_with(&kafka, RULES, &[]).await;
    let mut client = broker.client(Version::V5, "sub").await;
    let filters = ["keep/#", "fleet/totals/+"].map(|f| subscription(f, QoS::AtLeastOnce));
    client.subscribe(filters.to_vec()).await;
    let mut found = Vec::new();
    for _ in 0..3 {
        let message = client.message().await;
        assert!(message.retain);
        found.push(text(&message));
    }
    found.sort();
    assert_eq!(
        found,
        [
            ("fleet/totals/x".into(), "fleet/totals/x".into()),
            ("fleet/totals/y".into(), "from kafka".into()),
            ("keep/a".into(), "keep/a".into()),
        ]
    );
    client.nothing_more().await;
    // Only the mapped topic has the totals: there is no second copy.
    let retained = kafka.records("retained").await;
    assert!(
        retained
            .iter()
            .all(|record| record.key.as_deref().unwrap().starts_with(b"keep/"))
    );
    broker.stop().await;
}

#[tokio::test]
async fn a_subscriber_sees_a_retained_message_once_its_publisher_has_the_puback() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, RULES, &[]).await;
    let mut publisher = broker.client(Version::V5, "pub").await;
    let mut subscriber = broker.client(Version::V5, "sub").await;
    for round in 1..=50u16 {
        for topic in ["now", "fleet/totals/now"] {
            let mut packet = publish(topic, QoS::AtLeastOnce, round, &round.to_string());
            packet.retain = true;
            publisher.publish(packet).await;
            subscriber
                .subscribe(vec![subscription(topic, QoS::AtMostOnce)])
                .await;
            let message = subscriber.message().await;
            assert_eq!(text(&message).1, round.to_string());
            assert!(message.retain);
            unsubscribe(&mut subscriber, topic).await;
        }
    }
    // Retain handling: not at all, and only when the subscription is new.
    for (handling, first, second) in [
        (RetainHandling::DoNotSend, false, false),
        (RetainHandling::SendIfNew, true, false),
        (RetainHandling::Send, true, true),
    ] {
        for expected in [first, second] {
            let mut wanted = subscription("now", QoS::AtMostOnce);
            wanted.options.retain_handling = handling;
            subscriber.subscribe(vec![wanted]).await;
            if expected {
                assert!(subscriber.message().await.retain);
            }
            subscriber.nothing_more().await;
        }
        unsubscribe(&mut subscriber, "now").await;
    }
    // Retain as published.
    let mut wanted = subscription("now", QoS::AtMostOnce);
    wanted.options.retain_as_published = true;
    wanted.options.retain_handling = RetainHandling::DoNotSend;
    subscriber.subscribe(vec![wanted]).await;
    let mut packet = publish("now", QoS::AtLeastOnce, 99, "flagged");
    packet.retain = true;
    publisher.publish(packet).await;
    assert!(subscriber.message().await.retain);
    broker.stop().await;
}

#[tokio::test]
async fn a_retained_publish_right_before_the_goodbye_reaches_everybody() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut subscriber = broker.client(Version::V5, "sub").await;
    subscriber
        .subscribe(vec![subscription("last/+", QoS::AtMostOnce)])
        .await;
    for round in 0..10 {
        let mut publisher = broker.client(Version::V3_1_1, "pub").await;
        let mut bytes = bytes::BytesMut::new();
        let mut packet = publish(&format!("last/{round}"), QoS::AtMostOnce, 0, "word");
        packet.retain = true;
        let goodbye = mqtt::packet::Disconnect::new(ReasonCode::SUCCESS);
        for packet in [Packet::Publish(packet), Packet::Disconnect(goodbye)] {
            mqtt::codec::encode(&packet, Version::V3_1_1, &mut bytes);
        }
        publisher.send_bytes(&bytes).await;
        assert_eq!(text(&subscriber.message().await).0, format!("last/{round}"));
    }
    broker.stop().await;
}

async fn unsubscribe(client: &mut Client, filter: &str) {
    let packet = mqtt::packet::Unsubscribe {
        packet_id: id(8),
        properties: Properties::default(),
        filters: vec![mqtt::TopicFilter::new(filter).unwrap()],
    };
    client.send(&Packet::Unsubscribe(packet)).await;
    match client.next().await {
        Some(Packet::UnsubAck(ack)) => assert_eq!(ack.reasons, [ReasonCode::SUCCESS]),
        other => panic!("{other:?} instead of UNSUBACK"),
    }
}

#[tokio::test]
async fn a_lost_connection_publishes_the_will_and_a_disconnect_does_not() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let mut watcher = broker.client(Version::V5, "watcher").await;
    watcher
        .subscribe(vec![subscription("will/#", QoS::AtLeastOnce)])
        .await;
    for (client_id, says_goodbye) in [("polite", true), ("lost", false)] {
        let mut client = Client::open(broker.broker.mqtt_addr(), Version::V3_1_1).await;
        let mut packet = connect(Version::V3_1_1, client_id);
        packet.will = Some(Will {
            topic: TopicName::try_from(format!("will/{client_id}").as_str()).unwrap(),
            payload: "offline".into(),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::default(),
        });
        client.connect(packet).await;
        if says_goodbye {
            let bye = mqtt::packet::Disconnect::new(ReasonCode::SUCCESS);
            client.send(&Packet::Disconnect(bye)).await;
            assert_eq!(client.next().await, None);
        }
    }
    let message = watcher.message().await;
    assert_eq!(text(&message), ("will/lost".into(), "offline".into()));
    watcher.nothing_more().await;
    // It was retained, too.
    watcher
        .subscribe(vec![subscription("will/+", QoS::AtMostOnce)])
        .await;
    let retained = watcher.message().await;
    assert!(retained.retain);
    assert_eq!(text(&retained).0, "will/lost");
    broker.stop().await;
}

#[tokio::test]
async fn records_of_other_producers_reach_subscribers_and_what_fits_no_rule_is_counted() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start_with(&kafka, RULES, &[]).await;
    let mut client = broker.client(Version::V5, "c").await;
    client
        .subscribe(vec![subscription("#", QoS::AtLeastOnce)])
        .await;
    kafka
        .produce("updates", "a/b", Some("no plate has a slash"))
        .await;
    kafka.produce("updates", "T7", Some("hello")).await;
    let message = client.message().await;
    assert_eq!(text(&message), ("fleet/updates/T7".into(), "hello".into()));
    assert_eq!(message.qos, QoS::AtLeastOnce);
    assert_eq!(
        message.properties.user,
        [("source".into(), "elsewhere".into())]
    );
    kafka.produce("computed", "sum", Some("1")).await;
    assert_eq!(text(&client.message().await).0, "fleet/computed/sum");
    kafka.produce("updates", "T7", None).await;
    assert_eq!(
        text(&client.message().await),
        ("fleet/updates/T7".into(), String::new())
    );
    // What only Kafka may write, nobody publishes.
    let refused = client
        .publish(publish("fleet/computed/sum", QoS::AtLeastOnce, 1, "2"))
        .await;
    assert_eq!(refused, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(kafka.records("computed").await.len(), 1);
    broker.stop().await;
}
