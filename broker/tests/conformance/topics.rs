//! Topic names and filters (§4.7, §1.5.4).

use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{publish, subscription, text};
use crate::{BOTH, client, of, say, take};

/// [MQTT-4.7.1-1], [MQTT-4.7.1-2] (what the wildcards mean), [MQTT-4.7.3-1], [MQTT-4.7.3-4], [MQTT-1.5.4-3], and of 3.1.1 [MQTT-4.7.3-4],
/// [MQTT-1.5.3-3]: the identifiers of the subscriptions tell which filters matched.
#[tokio::test]
async fn mqtt_4_7_3_4_filters_match_level_by_level_and_character_by_character() {
    let filters = [
        "topics/#",
        "topics",
        "topics/+",
        "topics/+/",
        "topics/+/+",
        "topics/a",
        "topics/A",
        "topics//+",
        "topics/é",
        "topics/e\u{301}",
        "topics/\u{feff}a",
        "topics/a b",
    ];
    let mut subscriber = client(Version::V5, "topics-subscriber").await;
    for (at, filter) in filters.iter().enumerate() {
        let wanted = vec![subscription(filter, QoS::AtMostOnce)];
        subscriber.subscribe_with(wanted, Some(at as u32 + 1)).await;
    }
    let mut publisher = client(Version::V5, "topics-publisher").await;
    for (topic, expected) in [
        ("topics", &["topics/#", "topics"][..]),
        ("topics/", &["topics/#", "topics/+"]),
        ("topics/a", &["topics/#", "topics/+", "topics/a"]),
        ("topics/A", &["topics/#", "topics/+", "topics/A"]),
        ("topics/a/", &["topics/#", "topics/+/", "topics/+/+"]),
        ("topics//a", &["topics/#", "topics/+/+", "topics//+"]),
        ("topics/a/b/c", &["topics/#"]),
        ("topics/é", &["topics/#", "topics/+", "topics/é"]),
        (
            "topics/e\u{301}",
            &["topics/#", "topics/+", "topics/e\u{301}"],
        ),
        (
            "topics/\u{feff}a",
            &["topics/#", "topics/+", "topics/\u{feff}a"],
        ),
        ("topics/a b", &["topics/#", "topics/+", "topics/a b"]),
    ] {
        say(&mut publisher, topic, "x").await;
        let message = subscriber.message().await;
        assert_eq!(text(&message).0, topic);
        let ids = message.properties.subscription_ids.iter();
        let mut found: Vec<&str> = ids.map(|id| filters[*id as usize - 1]).collect();
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{topic:?}");
    }
    subscriber.nothing_more().await;
}

/// [MQTT-4.7.2-1], also of 3.1.1: `$SYS` is seen by its name, and not by a wildcard in its place.
#[tokio::test]
async fn mqtt_4_7_2_1_a_wildcard_in_front_does_not_match_a_dollar() {
    for version in BOTH {
        let mut by_name = client(version, "dollar-by-name").await;
        let granted = by_name
            .subscribe(vec![subscription("$SYS/broker/+", QoS::AtMostOnce)])
            .await;
        assert_eq!(granted, [ReasonCode::SUCCESS]);
        let mut by_wildcard = client(version, "dollar-by-wildcard").await;
        let filters =
            ["+/broker/#", "+/+/uptime"].map(|filter| subscription(filter, QoS::AtMostOnce));
        by_wildcard.subscribe(filters.to_vec()).await;
        let mut uptimes = std::collections::BTreeSet::new();
        while uptimes.len() < 2 {
            let (topic, payload) = take(&mut by_name).await;
            if topic == "$SYS/broker/uptime" {
                uptimes.insert(payload);
            }
        }
        by_wildcard.nothing_more().await;
    }
}

/// [MQTT-4.7.3-3] bounds a name at 65,535 bytes; the server's own limit is lower (§4.7.3 lets it be): refused by its reason code.
#[tokio::test]
async fn mqtt_4_7_3_3_a_name_beyond_the_servers_limit_is_refused_and_the_connection_goes_on() {
    let mut client = client(Version::V5, "long").await;
    let long = "x".repeat(2000);
    let reason = client
        .publish(publish(&long, QoS::AtLeastOnce, 1, "x"))
        .await;
    assert_eq!(reason, ReasonCode::TOPIC_NAME_INVALID);
    let reasons = client
        .subscribe(vec![subscription(&long, QoS::AtLeastOnce)])
        .await;
    assert_eq!(reasons, [ReasonCode::TOPIC_FILTER_INVALID]);
    client.send(&Packet::PingReq).await;
    assert_eq!(client.next().await, Some(Packet::PingResp));
}

/// [MQTT-4.6.0-1] to [MQTT-4.6.0-6] at one subscriber, and of 3.1.1 [MQTT-4.6.0-1] to [MQTT-4.6.0-6]: acknowledgements and messages of one
/// topic keep their order.
#[tokio::test]
async fn mqtt_4_6_0_5_messages_and_acknowledgements_of_a_topic_keep_their_order() {
    for version in BOTH {
        let topic = of(version, "order/t");
        let mut subscriber = client(version, "order-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::ExactlyOnce)])
            .await;
        let mut publisher = client(version, "order-publisher").await;
        for number in 1..=100u16 {
            let packet = publish(&topic, QoS::AtLeastOnce, number, &number.to_string());
            publisher.send(&Packet::Publish(packet)).await;
            // As many as the server lets be under way.
            if number % 5 == 0 {
                for expected in number - 4..=number {
                    let ack = mqtt::packet::Ack::success(crate::support::id(expected));
                    assert_eq!(publisher.next().await, Some(Packet::PubAck(ack)));
                }
            }
        }
        for number in 1..=100 {
            assert_eq!(take(&mut subscriber).await.1, number.to_string());
        }
    }
}

/// [MQTT-4.6.0-3], [MQTT-4.6.0-4], and of 3.1.1 the same: PUBREC in the order of the PUBLISH packets, PUBREL in that of the PUBREC packets.
#[tokio::test]
async fn mqtt_4_6_0_4_the_steps_of_qos_2_keep_the_order_of_the_steps_before() {
    for version in BOTH {
        let topic = of(version, "steps-order/t");
        let mut subscriber = client(version, "steps-order-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::ExactlyOnce)])
            .await;
        let mut publisher = client(version, "steps-order-publisher").await;
        let numbers = [5, 3, 4, 1, 2];
        let ack = |number| mqtt::packet::Ack::success(crate::support::id(number));
        for number in numbers {
            let packet = publish(&topic, QoS::ExactlyOnce, number, "x");
            publisher.send(&Packet::Publish(packet)).await;
        }
        for number in numbers {
            assert_eq!(publisher.next().await, Some(Packet::PubRec(ack(number))));
        }
        let mut sent = Vec::new();
        for _ in numbers {
            sent.push(subscriber.message().await.packet_id.unwrap().get());
        }
        let different: std::collections::BTreeSet<u16> = sent.iter().copied().collect();
        assert_eq!(
            different.len(),
            sent.len(),
            "each has an identifier of its own"
        );
        // PUBREC in another order than the messages came: PUBREL follows that.
        sent.swap(0, 3);
        for number in &sent {
            subscriber.send(&Packet::PubRec(ack(*number))).await;
        }
        for number in sent {
            assert_eq!(subscriber.next().await, Some(Packet::PubRel(ack(number))));
        }
    }
}
