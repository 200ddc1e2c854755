//! What of a message is kept and passed on: its properties (§3.3.2.3), and the retained message (§3.3.1.3).

use bytes::Bytes;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{PATIENCE, publish, subscription, text};
use crate::{BOTH, client, of, retain, say, take};

/// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20], [MQTT-3.3.2-3]: live and retained.
#[tokio::test]
async fn mqtt_3_3_2_17_properties_of_a_message_are_passed_on_unchanged_and_in_their_order() {
    let topic = "unchanged/t";
    let mut subscriber = client(Version::V5, "unchanged-subscriber").await;
    subscriber
        .subscribe(vec![subscription("unchanged/+", QoS::AtLeastOnce)])
        .await;
    let mut publisher = client(Version::V5, "unchanged-publisher").await;
    let mut packet = publish(topic, QoS::AtLeastOnce, 1, "grüße");
    packet.retain = true;
    let sent = &mut packet.properties;
    sent.payload_format = Some(1);
    sent.content_type = Some("text/plain".into());
    sent.response_topic = Some("answers/here".into());
    sent.correlation_data = Some(Bytes::from_static(b"\x00\xffid"));
    sent.user = [("z", "1"), ("a", "2"), ("z", ""), ("", "3"), ("a", "2")]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
    assert_eq!(publisher.publish(packet.clone()).await, ReasonCode::SUCCESS);
    let live = subscriber.message().await;
    let mut later = client(Version::V5, "unchanged-later").await;
    later
        .subscribe(vec![subscription("unchanged/+", QoS::AtLeastOnce)])
        .await;
    let retained = later.message().await;
    assert!(retained.retain && !live.retain);
    for message in [live, retained] {
        assert_eq!(text(&message).0, topic);
        assert_eq!(message.payload, packet.payload);
        assert_eq!(message.properties, packet.properties);
    }
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[tokio::test]
async fn mqtt_3_3_2_6_the_expiry_that_is_passed_on_is_what_is_left_and_nothing_expired_comes() {
    let mut publisher = client(Version::V5, "expiry-publisher").await;
    for (topic, expiry_s) in [("expiry/short", 2), ("expiry/long", 1000)] {
        let mut packet = publish(topic, QoS::AtLeastOnce, 1, "x");
        packet.retain = true;
        packet.properties.message_expiry_s = Some(expiry_s);
        assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
    }
    let mut subscriber = client(Version::V5, "expiry-subscriber").await;
    let left = tokio::time::timeout(PATIENCE, async {
        loop {
            let granted = subscriber
                .subscribe_with(vec![subscription("expiry/+", QoS::AtMostOnce)], None)
                .await;
            assert_eq!(granted, [ReasonCode::SUCCESS]);
            let mut left = std::collections::BTreeMap::new();
            subscriber.send(&Packet::PingReq).await;
            while let Some(Packet::Publish(message)) = subscriber.next().await {
                let expiry_s = message.properties.message_expiry_s.unwrap();
                left.insert(text(&message).0, expiry_s);
            }
            assert!(left.contains_key("expiry/long"));
            if left.len() == 1 {
                return left["expiry/long"];
            }
        }
    })
    .await
    .expect("the short one expires");
    assert!((1..1000).contains(&left), "{left}");
}

/// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7], [MQTT-3.3.1-8], and of 3.1.1 [MQTT-3.3.1-5] to [MQTT-3.3.1-12]
#[tokio::test]
async fn mqtt_3_3_1_5_the_last_retained_message_stays_until_an_empty_one() {
    for version in BOTH {
        let topic = of(version, "kept/t");
        let filter = [subscription(&topic, QoS::AtLeastOnce)];
        let mut publisher = client(version, "kept-publisher").await;
        let mut existing = client(version, "kept-existing").await;
        existing.subscribe(filter.to_vec()).await;
        retain(&mut publisher, &topic, "first").await;
        retain(&mut publisher, &topic, "second").await;
        // Without the flag it is neither kept nor does it take the kept one away, be it empty or not.
        say(&mut publisher, &topic, "not kept").await;
        say(&mut publisher, &topic, "").await;
        let mut subscriber = client(version, "kept-subscriber").await;
        for _ in 0..2 {
            // Every SUBSCRIBE brings it, also one of a filter that is there already.
            subscriber.subscribe(filter.to_vec()).await;
            let message = subscriber.message().await;
            assert!(message.retain);
            assert_eq!(text(&message).1, "second");
            subscriber.nothing_more().await;
        }
        retain(&mut publisher, &topic, "").await;
        // To those that are there it is a message like others, and the flag is 0.
        for expected in ["first", "second", "not kept", "", ""] {
            let message = existing.message().await;
            assert!(!message.retain);
            assert_eq!(text(&message).1, expected);
        }
        assert_eq!(text(&subscriber.message().await).1, "");
        subscriber.subscribe(filter.to_vec()).await;
        subscriber.nothing_more().await;
    }
}

/// [MQTT-3.3.1-7] of 3.1.1: a QoS 0 message with RETAIN 1 replaces what is kept, and this server keeps it.
#[tokio::test]
async fn mqtt3_3_3_1_7_a_retained_message_at_qos_0_replaces_the_one_before() {
    for version in BOTH {
        let topic = of(version, "kept-0/t");
        let mut publisher = client(version, "kept-0-publisher").await;
        retain(&mut publisher, &topic, "before").await;
        let mut packet = publish(&topic, QoS::AtMostOnce, 0, "after");
        packet.retain = true;
        publisher.send(&Packet::Publish(packet)).await;
        // What the same client publishes behind it is acknowledged when it is through, too.
        say(&mut publisher, &topic, "marker").await;
        let mut subscriber = client(version, "kept-0-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        assert_eq!(take(&mut subscriber).await.1, "after");
    }
}
