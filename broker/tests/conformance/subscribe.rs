//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (§3.8 to §3.11), and what subscriptions bring (§3.3.4).

use mqtt::packet::{RetainHandling, SubAck, Subscribe, Subscription};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{id, publish, subscription, text};
use crate::{BOTH, client, of, retain, say, take, unsubscribe};

/// [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-5], [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1], [MQTT-3.9.3-2], and of 3.1.1
/// [MQTT-3.8.4-1], [MQTT-3.8.4-2], [MQTT-3.8.4-4] to [MQTT-3.8.4-6], [MQTT-3.9.3-1], [MQTT-3.9.3-2]
#[tokio::test]
async fn mqtt_3_8_4_6_suback_has_the_identifier_and_one_code_for_each_filter_in_order() {
    for version in BOTH {
        let mut packet = crate::support::connect(version, &of(version, "codes"));
        packet.username = Some("eve".into());
        let (mut eve, _) = crate::come(packet).await;
        let filters = [
            ("open/codes/1", QoS::ExactlyOnce),
            ("closed", QoS::AtLeastOnce),
            ("open/codes/0", QoS::AtMostOnce),
            ("open/codes/+", QoS::AtLeastOnce),
        ];
        for number in [1, 65_535] {
            let packet = Subscribe {
                packet_id: id(number),
                properties: Properties::default(),
                subscriptions: filters
                    .map(|(filter, qos)| subscription(filter, qos))
                    .to_vec(),
            };
            eve.send(&Packet::Subscribe(packet)).await;
            let refused = match version {
                Version::V5 => ReasonCode::NOT_AUTHORIZED,
                _ => ReasonCode::UNSPECIFIED_ERROR,
            };
            let expected = SubAck {
                packet_id: id(number),
                properties: Properties::default(),
                reasons: vec![
                    ReasonCode::GRANTED_QOS_2,
                    refused,
                    ReasonCode::SUCCESS,
                    ReasonCode::GRANTED_QOS_1,
                ],
            };
            assert_eq!(eve.next().await, Some(Packet::SubAck(expected)));
        }
    }
}

/// [MQTT-3.8.4-3], [MQTT-3.8.4-4], and of 3.1.1 [MQTT-3.8.4-3]
#[tokio::test]
async fn mqtt_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    for version in BOTH {
        let topic = of(version, "replaced/t");
        let mut publisher = client(version, "replaced-publisher").await;
        retain(&mut publisher, &topic, "kept").await;
        let mut subscriber = client(version, "replaced-subscriber").await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtMostOnce] {
            let granted = subscriber.subscribe(vec![subscription(&topic, qos)]).await;
            assert_eq!(granted, [ReasonCode(qos as u8)]);
            // The retained one comes again, and what is published comes once, at the new QoS.
            let kept = subscriber.message().await;
            assert!(kept.retain && kept.qos == qos);
            say(&mut publisher, &topic, "live").await;
            let live = subscriber.message().await;
            assert!(!live.retain && live.qos == qos);
            assert_eq!(text(&live).1, "live");
            subscriber.nothing_more().await;
        }
        let reasons = unsubscribe(&mut subscriber, &[&topic]).await;
        say(&mut publisher, &topic, "after").await;
        subscriber.nothing_more().await;
        let expected = if version.is_v5() {
            vec![ReasonCode::SUCCESS]
        } else {
            vec![]
        };
        assert_eq!(reasons, expected);
    }
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6], [MQTT-3.11.3-1], [MQTT-3.11.3-2], [MQTT-3.3.4-5], and of
/// 3.1.1 [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-4] to [MQTT-3.10.4-6]
#[tokio::test]
async fn mqtt_3_10_4_1_unsubscribe_ends_what_is_named_character_by_character() {
    for version in BOTH {
        let level = of(version, "named");
        let [one, plus, hash] = ["a", "+", "#"].map(|last| format!("{level}/{last}"));
        let mut subscriber = client(version, "named-subscriber").await;
        let filters = [&one, &plus].map(|filter| subscription(filter, QoS::AtLeastOnce));
        subscriber.subscribe(filters.to_vec()).await;
        let mut publisher = client(version, "named-publisher").await;
        // `#` would match both, but is not what was subscribed.
        let none = unsubscribe(&mut subscriber, &[&hash, &one.to_uppercase()]).await;
        say(&mut publisher, &one, "1").await;
        assert_eq!(take(&mut subscriber).await.1, "1");
        subscriber.nothing_more().await;
        let some = unsubscribe(&mut subscriber, &[&hash, &one, &one]).await;
        say(&mut publisher, &one, "2").await;
        assert_eq!(
            take(&mut subscriber).await.1,
            "2",
            "the other subscription stays"
        );
        let last = unsubscribe(&mut subscriber, &[&plus]).await;
        say(&mut publisher, &one, "3").await;
        subscriber.nothing_more().await;
        let (gone, unknown) = (ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED);
        if version.is_v5() {
            assert_eq!(none, [unknown, unknown]);
            assert_eq!(some, [unknown, gone, unknown]);
            assert_eq!(last, [gone]);
        }
    }
}

/// [MQTT-3.10.4-3], and of 3.1.1 the same: what was sent at QoS 1 and 2 is completed after UNSUBSCRIBE.
#[tokio::test]
async fn mqtt_3_10_4_3_deliveries_that_were_started_are_completed() {
    for version in BOTH {
        let topic = of(version, "started/t");
        let mut subscriber = client(version, "started-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::ExactlyOnce)])
            .await;
        let mut publisher = client(version, "started-publisher").await;
        let packet = publish(&topic, QoS::ExactlyOnce, 1, "x");
        publisher.send(&Packet::Publish(packet)).await;
        let packet_id = subscriber.message().await.packet_id.unwrap();
        unsubscribe(&mut subscriber, &[&topic]).await;
        let ack = mqtt::packet::Ack::success(packet_id);
        subscriber.send(&Packet::PubRec(ack.clone())).await;
        assert_eq!(subscriber.next().await, Some(Packet::PubRel(ack.clone())));
        subscriber.send(&Packet::PubComp(ack)).await;
        subscriber.nothing_more().await;
    }
}

/// [MQTT-3.3.4-2], and of 3.1.1 [MQTT-3.3.5-1]: overlapping subscriptions bring a message at the highest QoS of them.
#[tokio::test]
async fn mqtt_3_3_4_2_overlapping_subscriptions_bring_the_highest_qos() {
    for version in BOTH {
        let level = of(version, "overlap");
        let mut subscriber = client(version, "overlap-subscriber").await;
        let filters = [
            ("#", QoS::AtMostOnce),
            ("+", QoS::ExactlyOnce),
            ("a", QoS::AtLeastOnce),
        ];
        let filters = filters.map(|(last, qos)| subscription(&format!("{level}/{last}"), qos));
        subscriber.subscribe(filters.to_vec()).await;
        let mut publisher = client(version, "overlap-publisher").await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let packet = publish(&format!("{level}/a"), qos, 1, "x");
            publisher.send(&Packet::Publish(packet)).await;
            let message = subscriber.message().await;
            assert_eq!(message.qos, qos);
            if qos == QoS::ExactlyOnce {
                let ack = mqtt::packet::Ack::success(message.packet_id.unwrap());
                subscriber.send(&Packet::PubRec(ack)).await;
                assert!(matches!(subscriber.next().await, Some(Packet::PubRel(_))));
            }
            subscriber.nothing_more().await;
        }
    }
}

/// [MQTT-3.3.4-3], [MQTT-3.3.4-4], [MQTT-3.3.4-5], [MQTT-3.8.4-3]: the identifier is that of the last SUBSCRIBE, also on retained messages.
#[tokio::test]
async fn mqtt_3_3_4_3_messages_carry_the_identifiers_of_their_subscriptions() {
    let mut publisher = client(Version::V5, "identified-publisher").await;
    retain(&mut publisher, "identified/t", "kept").await;
    let mut subscriber = client(Version::V5, "identified-subscriber").await;
    let filter = || vec![subscription("identified/t", QoS::AtLeastOnce)];
    for id in [Some(1), Some(268_435_455), None] {
        subscriber.subscribe_with(filter(), id).await;
        let kept = subscriber.message().await;
        say(&mut publisher, "identified/t", "live").await;
        let live = subscriber.message().await;
        let expected: Vec<u32> = id.into_iter().collect();
        assert_eq!(kept.properties.subscription_ids, expected);
        assert_eq!(live.properties.subscription_ids, expected);
    }
    // Two subscriptions may have the same identifier; one has none, so it adds none.
    for filter in ["identified/+", "identified/#"] {
        let mut options = subscription(filter, QoS::AtLeastOnce);
        options.options.retain_handling = RetainHandling::DoNotSend;
        subscriber.subscribe_with(vec![options], Some(5)).await;
    }
    say(&mut publisher, "identified/t", "live").await;
    let live = subscriber.message().await;
    assert!(!live.properties.subscription_ids.is_empty());
    assert!(live.properties.subscription_ids.iter().all(|id| *id == 5));
    subscriber.nothing_more().await;
}

/// [MQTT-3.8.3-3]: also when another subscription of the same client has not the option, that one's copy comes.
#[tokio::test]
async fn mqtt_3_8_3_3_no_local_is_of_its_subscription_alone() {
    let mut client = client(Version::V5, "local").await;
    let mut no_local = subscription("local/+", QoS::AtLeastOnce);
    no_local.options.no_local = true;
    client.subscribe_with(vec![no_local], Some(1)).await;
    let own = |topic| Packet::Publish(publish(topic, QoS::AtMostOnce, 0, "x"));
    client.send(&own("local/a")).await;
    client
        .subscribe_with(vec![subscription("local/b", QoS::AtMostOnce)], Some(2))
        .await;
    client.send(&own("local/b")).await;
    let message = client.message().await;
    assert_eq!(text(&message).0, "local/b");
    assert_eq!(message.properties.subscription_ids, [2]);
    client.nothing_more().await;
}

/// [MQTT-3.3.1-12], [MQTT-3.3.1-13]: the flag as published, or 0, for each of two subscribers of the same message.
#[tokio::test]
async fn mqtt_3_3_1_12_retain_as_published_is_of_its_subscription_alone() {
    let mut publisher = client(Version::V5, "flag-publisher").await;
    let mut subscribers = Vec::new();
    for keeps in [false, true] {
        let mut subscriber = client(Version::V5, &format!("flag-{keeps}")).await;
        let mut wanted: Subscription = subscription("flag/t", QoS::AtLeastOnce);
        wanted.options.retain_as_published = keeps;
        subscriber.subscribe(vec![wanted]).await;
        subscribers.push((keeps, subscriber));
    }
    retain(&mut publisher, "flag/t", "kept").await;
    say(&mut publisher, "flag/t", "not kept").await;
    for (keeps, subscriber) in &mut subscribers {
        assert_eq!(subscriber.message().await.retain, *keeps);
        assert!(!subscriber.message().await.retain);
    }
}

/// [MQTT-3.8.4-4]: while messages flow, subscribing again loses none of them, and brings none twice.
#[tokio::test]
async fn mqtt_3_8_4_4_subscribing_again_loses_nothing() {
    const COUNT: u32 = 200;
    for version in BOTH {
        let topic = of(version, "flowing/t");
        let mut subscriber = client(version, "flowing-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let mut publisher = client(version, "flowing-publisher").await;
        let publishing = tokio::spawn({
            let topic = topic.clone();
            async move {
                for number in 0..COUNT {
                    say(&mut publisher, &topic, &number.to_string()).await;
                }
            }
        });
        let again = Packet::Subscribe(Subscribe {
            packet_id: id(1),
            properties: Properties::default(),
            subscriptions: vec![subscription(&topic, QoS::AtLeastOnce)],
        });
        let mut numbers = Vec::new();
        while numbers.len() < COUNT as usize {
            match subscriber.next().await {
                Some(Packet::Publish(message)) => {
                    let ack = mqtt::packet::Ack::success(message.packet_id.unwrap());
                    subscriber.send(&Packet::PubAck(ack)).await;
                    numbers.push(text(&message).1.parse::<u32>().unwrap());
                    if numbers.len() % 10 == 0 {
                        subscriber.send(&again).await;
                    }
                }
                Some(Packet::SubAck(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        publishing.await.unwrap();
        assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>());
    }
}
