//! PUBLISH and its acknowledgements (§3.3 to §3.7, §4.3, §4.5).

use mqtt::packet::Ack;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{PATIENCE, id, publish, subscription, text};
use crate::{BOTH, client, of, take};

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// [MQTT-3.3.4-1], [MQTT-2.2.1-2], [MQTT-2.2.1-5], [MQTT-4.3.1-1] (no acknowledgement of QoS 0), [MQTT-4.3.2-4], [MQTT-4.3.3-8],
/// [MQTT-4.3.3-11], and of 3.1.1 [MQTT-3.3.4-1], [MQTT-2.3.1-5], [MQTT-2.3.1-6], [MQTT-4.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]
#[tokio::test]
async fn mqtt_3_3_4_1_each_publish_is_answered_as_its_qos_wants_with_its_identifier() {
    for version in BOTH {
        let mut client = client(version, "answered").await;
        let topic = of(version, "answered/t");
        for number in [1, 255, 256, 65_535] {
            let qos_0 = publish(&topic, QoS::AtMostOnce, 0, "x");
            client.send(&Packet::Publish(qos_0)).await;
            client.nothing_more().await;
            let qos_1 = publish(&topic, QoS::AtLeastOnce, number, "x");
            assert_eq!(client.publish(qos_1).await, ReasonCode::SUCCESS);
            let qos_2 = publish(&topic, QoS::ExactlyOnce, number, "x");
            client.send(&Packet::Publish(qos_2)).await;
            let ack = Ack::success(id(number));
            assert_eq!(client.next().await, Some(Packet::PubRec(ack.clone())));
            client.send(&Packet::PubRel(ack.clone())).await;
            assert_eq!(client.next().await, Some(Packet::PubComp(ack)));
        }
    }
}

/// [MQTT-3.3.1-3], [MQTT-4.3.1-1], [MQTT-4.3.2-2] (DUP is 0 at first), [MQTT-4.3.3-2], [MQTT-3.8.4-8], [MQTT-4.5.0-1], and of 3.1.1
/// [MQTT-3.3.1-3], [MQTT-3.8.4-6], [MQTT-4.5.0-1]
#[tokio::test]
async fn mqtt_3_8_4_8_a_message_comes_at_the_lower_qos_and_with_a_dup_flag_of_its_own() {
    for version in BOTH {
        let topic = of(version, "lower/t");
        let mut subscribers = Vec::new();
        for qos in ALL_QOS {
            let mut subscriber = client(version, &format!("lower-{qos:?}")).await;
            let granted = subscriber.subscribe(vec![subscription(&topic, qos)]).await;
            assert_eq!(granted, [ReasonCode(qos as u8)]);
            subscribers.push((qos, subscriber));
        }
        let mut publisher = client(version, "lower-publisher").await;
        for published in ALL_QOS {
            let mut packet = publish(&topic, published, 7, "x");
            packet.dup = published > QoS::AtMostOnce;
            publisher.send(&Packet::Publish(packet)).await;
            for (granted, subscriber) in &mut subscribers {
                let message = subscriber.message().await;
                let qos = published.min(*granted);
                assert!(message.qos == qos && !message.dup && !message.retain);
                assert_eq!(message.packet_id.is_some(), qos > QoS::AtMostOnce);
                assert_eq!(text(&message), (topic.clone(), "x".to_owned()));
                if let (QoS::ExactlyOnce, Some(packet_id)) = (qos, message.packet_id) {
                    let ack = Ack::success(packet_id);
                    subscriber.send(&Packet::PubRec(ack.clone())).await;
                    assert_eq!(subscriber.next().await, Some(Packet::PubRel(ack.clone())));
                    subscriber.send(&Packet::PubComp(ack)).await;
                }
                subscriber.nothing_more().await;
            }
        }
    }
}

/// [MQTT-4.3.2-5], and of 3.1.1 [MQTT-4.3.2-2]: after PUBACK an identifier is that of a new message, whatever its DUP flag.
/// [MQTT-4.3.3-12], and of 3.1.1 [MQTT-4.3.3-2]: so it is after PUBCOMP.
#[tokio::test]
async fn mqtt_4_3_2_5_an_acknowledged_identifier_names_a_new_message() {
    for version in BOTH {
        let topic = of(version, "again/t");
        let mut subscriber = client(version, "again-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let mut publisher = client(version, "again-publisher").await;
        for dup in [false, true] {
            let mut packet = publish(&topic, QoS::AtLeastOnce, 5, "at least once");
            packet.dup = dup;
            assert_eq!(publisher.publish(packet).await, ReasonCode::SUCCESS);
            assert_eq!(take(&mut subscriber).await.1, "at least once");
            let mut packet = publish(&topic, QoS::ExactlyOnce, 5, "exactly once");
            packet.dup = dup;
            publisher.send(&Packet::Publish(packet)).await;
            let ack = Ack::success(id(5));
            assert_eq!(publisher.next().await, Some(Packet::PubRec(ack.clone())));
            publisher.send(&Packet::PubRel(ack.clone())).await;
            assert_eq!(publisher.next().await, Some(Packet::PubComp(ack)));
            assert_eq!(take(&mut subscriber).await.1, "exactly once");
        }
        subscriber.nothing_more().await;
    }
}

/// [MQTT-4.3.3-10], [MQTT-4.3.3-11]: until PUBREL the message is not delivered twice; an unknown identifier is answered, too.
#[tokio::test]
async fn mqtt_4_3_3_11_every_pubrel_is_answered_with_pubcomp() {
    for version in BOTH {
        let mut client = client(version, "unknown-release").await;
        client.send(&Packet::PubRel(Ack::success(id(77)))).await;
        let reason = match version {
            Version::V5 => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
            _ => ReasonCode::SUCCESS,
        };
        let expected = Packet::PubComp(Ack::new(id(77), reason));
        assert_eq!(client.next().await, Some(expected));
    }
}

/// [MQTT-4.3.3-9] (the receiver refuses), [MQTT-4.3.3-5]: a subscriber's PUBREC with an error ends the exchange: no PUBREL,
/// and the message does not come again. [MQTT-4.3.2-3], [MQTT-4.4.0-2]: so does a PUBACK with an error.
#[tokio::test]
async fn mqtt_4_4_0_2_an_acknowledgement_with_an_error_ends_the_exchange() {
    let topic = "refusing/t";
    let mut packet = crate::support::connect(Version::V5, "refusing");
    packet.properties.receive_maximum = Some(1);
    let (mut subscriber, _) = crate::come(packet).await;
    subscriber
        .subscribe(vec![subscription(topic, QoS::ExactlyOnce)])
        .await;
    let mut publisher = client(Version::V5, "refusing-publisher").await;
    for number in 0..3 {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let packet = publish(topic, qos, 3, &number.to_string());
            publisher.send(&Packet::Publish(packet)).await;
        }
        let mut acks = [publisher.next().await, publisher.next().await];
        acks.sort_by_key(|ack| matches!(ack, Some(Packet::PubRec(_))));
        assert!(matches!(
            acks,
            [Some(Packet::PubAck(_)), Some(Packet::PubRec(_))]
        ));
        publisher.send(&Packet::PubRel(Ack::success(id(3)))).await;
        assert!(matches!(publisher.next().await, Some(Packet::PubComp(_))));
    }
    // One at a time: each refusal must make room for the next.
    for number in 0..6 {
        let message = match subscriber.next().await {
            Some(Packet::Publish(message)) => message,
            other => panic!("{other:?} instead of PUBLISH {number}"),
        };
        let ack = Ack::new(message.packet_id.unwrap(), ReasonCode::UNSPECIFIED_ERROR);
        let ack = match message.qos {
            QoS::ExactlyOnce => Packet::PubRec(ack),
            _ => Packet::PubAck(ack),
        };
        subscriber.send(&ack).await;
    }
    subscriber.nothing_more().await;
}

/// [MQTT-4.3.3-9]: after a PUBREC that refuses, the identifier is a new message's, and there is no PUBREL to wait for.
#[tokio::test]
async fn mqtt_4_3_3_9_a_refused_identifier_is_free_at_once() {
    let mut client = client(Version::V5, "free").await;
    client
        .subscribe(vec![subscription("free/t", QoS::AtMostOnce)])
        .await;
    for topic in ["$SYS/free", "free/t"] {
        let packet = publish(topic, QoS::ExactlyOnce, 6, "x");
        client.send(&Packet::Publish(packet)).await;
        let mut acks = Vec::new();
        while acks.is_empty() {
            match client.next().await {
                Some(Packet::PubRec(ack)) => acks.push((ack.packet_id, ack.reason)),
                // It may be delivered before it is acknowledged.
                Some(Packet::Publish(_)) if topic == "free/t" => {}
                other => panic!("{other:?}"),
            }
        }
        let expected = match topic {
            "free/t" => ReasonCode::SUCCESS,
            _ => ReasonCode::NOT_AUTHORIZED,
        };
        assert_eq!(acks, [(id(6), expected)]);
    }
}

/// [MQTT-4.3.3-7], [MQTT-4.3.3-13]: a message that was sent is completed though its expiry passes meanwhile. That it has
/// passed is told by a retained message with a shorter life, which comes no more.
#[tokio::test]
async fn mqtt_4_3_3_13_the_steps_of_qos_2_go_on_after_the_expiry() {
    let mut subscriber = client(Version::V5, "steps-subscriber").await;
    subscriber
        .subscribe(vec![subscription("steps/t", QoS::ExactlyOnce)])
        .await;
    let mut publisher = client(Version::V5, "steps-publisher").await;
    let mut packet = publish("steps/t", QoS::ExactlyOnce, 1, "x");
    packet.properties.message_expiry_s = Some(1);
    publisher.send(&Packet::Publish(packet)).await;
    let ack = Ack::success(subscriber.message().await.packet_id.unwrap());
    assert_eq!(
        publisher.next().await,
        Some(Packet::PubRec(Ack::success(id(1))))
    );
    let mut clock = publish("steps/clock", QoS::AtLeastOnce, 2, "x");
    clock.retain = true;
    clock.properties.message_expiry_s = Some(2);
    assert_eq!(publisher.publish(clock).await, ReasonCode::SUCCESS);
    let mut watcher = client(Version::V5, "steps-watcher").await;
    tokio::time::timeout(PATIENCE, async {
        loop {
            watcher
                .subscribe(vec![subscription("steps/clock", QoS::AtMostOnce)])
                .await;
            watcher.send(&Packet::PingReq).await;
            if watcher.next().await == Some(Packet::PingResp) {
                return;
            }
            assert_eq!(watcher.next().await, Some(Packet::PingResp));
        }
    })
    .await
    .expect("time passes");
    publisher.send(&Packet::PubRel(Ack::success(id(1)))).await;
    assert_eq!(
        publisher.next().await,
        Some(Packet::PubComp(Ack::success(id(1))))
    );
    subscriber.send(&Packet::PubRec(ack.clone())).await;
    assert_eq!(subscriber.next().await, Some(Packet::PubRel(ack.clone())));
    subscriber.send(&Packet::PubComp(ack)).await;
    subscriber.nothing_more().await;
}
