//! Sessions and what is sent again (§4.1, §4.4), and wills (§3.1.2.5).

use mqtt::packet::{Ack, Connect, Disconnect, Will};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, ReasonCode, TopicName, Version};

use crate::support::{Client, connect, id, persistent, publish, subscription, text};
use crate::{BOTH, assert_closed, client, come, leave, of, say, take};

/// [MQTT-4.1.0-1], [MQTT-4.1.0-2], [MQTT-3.1.2-5], [MQTT-4.4.0-1], [MQTT-3.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-6], and of 3.1.1
/// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-4.1.0-1], [MQTT-4.4.0-1], [MQTT-3.3.1-1]: the three states of a delivery, after a lost connection.
#[tokio::test]
async fn mqtt_4_4_0_1_unacknowledged_packets_come_again_with_their_identifiers_and_dup() {
    for version in BOTH {
        let (name, topic) = (of(version, "resend"), of(version, "resend/t"));
        let (mut subscriber, _) = come(persistent(version, &name)).await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::ExactlyOnce)])
            .await;
        let mut publisher = client(version, "resend-publisher").await;
        for (number, qos) in [
            (1, QoS::ExactlyOnce),
            (2, QoS::AtLeastOnce),
            (3, QoS::ExactlyOnce),
        ] {
            let packet = publish(&topic, qos, number, &number.to_string());
            publisher.send(&Packet::Publish(packet)).await;
        }
        let mut sent = Vec::new();
        for _ in 0..3 {
            match subscriber.next().await {
                Some(Packet::Publish(message)) => sent.push(message),
                other => panic!("{other:?}"),
            }
        }
        let half_done = Ack::success(sent.remove(0).packet_id.unwrap());
        subscriber.send(&Packet::PubRec(half_done.clone())).await;
        let release = Some(Packet::PubRel(half_done.clone()));
        assert_eq!(subscriber.next().await, release);
        drop(subscriber);
        let (mut subscriber, answer) = come(persistent(version, &name)).await;
        assert!(answer.session_present);
        assert_eq!(subscriber.next().await, release);
        for before in sent {
            let after = match subscriber.next().await {
                Some(Packet::Publish(message)) => message,
                other => panic!("{other:?}"),
            };
            assert!(after.dup);
            assert_eq!((after.packet_id, after.qos), (before.packet_id, before.qos));
            assert_eq!(text(&after), text(&before));
        }
        subscriber.nothing_more().await;
    }
}

/// [MQTT-3.1.4-3], and of 3.1.1 [MQTT-3.1.4-2]: the session goes over to the second connection, with its subscriptions; the
/// first one's will is published.
#[tokio::test]
async fn mqtt_3_1_4_3_a_second_connection_takes_over_the_session_and_the_first_ones_will_comes() {
    for version in BOTH {
        let (name, topic) = (of(version, "taken"), of(version, "taken/t"));
        let mut watcher = watcher(version, "taken").await;
        let mut packet = persistent(version, &name);
        packet.will = Some(will(version, "taken"));
        let (mut first, _) = come(packet).await;
        first
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let (mut second, answer) = come(persistent(version, &name)).await;
        assert!(answer.session_present);
        assert_closed(&mut first, version, ReasonCode::SESSION_TAKEN_OVER, "").await;
        assert_eq!(take(&mut watcher).await.1, "gone");
        say(&mut watcher, &topic, "to the second").await;
        assert_eq!(take(&mut second).await.1, "to the second");
    }
}

fn will(version: Version, name: &str) -> Will {
    Will {
        topic: TopicName::try_from(of(version, &format!("wills/{name}")).as_str()).unwrap(),
        payload: "gone".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Properties::default(),
    }
}

fn with_will(version: Version, name: &str) -> Connect {
    let mut packet = connect(version, &of(version, name));
    packet.will = Some(will(version, name));
    packet
}

/// Sees the will of `name`.
async fn watcher(version: Version, name: &str) -> Client {
    let mut watcher = client(version, &format!("{name}-watcher")).await;
    let filter = of(version, &format!("wills/{name}"));
    watcher
        .subscribe(vec![subscription(&filter, QoS::ExactlyOnce)])
        .await;
    watcher
}

/// [MQTT-3.1.2-7], [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3], and of 3.1.1 [MQTT-3.1.2-8] to [MQTT-3.1.2-10], [MQTT-3.1.2-12],
/// [MQTT-3.14.4-3]: which ends publish the will.
#[tokio::test]
async fn mqtt_3_1_2_8_every_end_but_a_normal_disconnect_publishes_the_will_once() {
    for version in BOTH {
        let mut publisher = client(version, "ends-publisher").await;
        for (name, bytes, comes) in [
            ("normal", &b"\xe0\x00"[..], false),
            ("not-a-packet", b"\x00\x00", true),
            (
                "a-second-connect",
                b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c",
                true,
            ),
            ("ending", b"", true),
        ] {
            let mut watcher = watcher(version, name).await;
            let (mut client, answer) = come(with_will(version, name)).await;
            assert_eq!(answer.reason, ReasonCode::SUCCESS);
            if bytes.is_empty() {
                drop(client);
            } else {
                client.send_bytes(bytes).await;
                crate::until_closed(&mut client).await;
            }
            if comes {
                assert_eq!(take(&mut watcher).await.1, "gone", "{name} {version:?}");
            }
            // The next connection is clean and leaves properly: the old will is not its own.
            let (client, _) = come(connect(version, &of(version, name))).await;
            leave(client).await;
            say(
                &mut publisher,
                &of(version, &format!("wills/{name}")),
                "marker",
            )
            .await;
            assert_eq!(take(&mut watcher).await.1, "marker", "{name} {version:?}");
        }
    }
}

/// [MQTT-3.1.2-8], §3.14.2.1: the will is published at once when the client asks for that.
#[tokio::test]
async fn mqtt_3_14_2_1_disconnect_with_will_publishes_it() {
    let version = Version::V5;
    let mut watcher = watcher(version, "asked").await;
    let (mut client, _) = come(with_will(version, "asked")).await;
    let bye = Packet::Disconnect(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL));
    client.send(&bye).await;
    assert_eq!(client.next().await, None);
    assert_eq!(take(&mut watcher).await.1, "gone");
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.2-9], [MQTT-3.1.3-10] (will properties), and of 3.1.1 [MQTT-3.1.2-16], [MQTT-3.1.2-17],
/// [MQTT-3.1.2-14]: the will comes with its QoS, its retain flag and its properties.
#[tokio::test]
async fn mqtt_3_1_2_14_a_will_has_the_flags_and_properties_of_its_connect() {
    for version in BOTH {
        for (name, qos, retain) in [
            ("will-0", QoS::AtMostOnce, false),
            ("will-1", QoS::AtLeastOnce, true),
            ("will-2", QoS::ExactlyOnce, true),
        ] {
            let mut watcher = watcher(version, name).await;
            let mut packet = with_will(version, name);
            let will = packet.will.as_mut().unwrap();
            (will.qos, will.retain) = (qos, retain);
            if version.is_v5() {
                will.properties.content_type = Some("text/plain".into());
                will.properties.user = vec![("b".into(), "1".into()), ("a".into(), "2".into())];
            }
            let expected = will.properties.clone();
            drop(come(packet).await);
            let message = watcher.message().await;
            assert!(message.qos == qos && !message.retain);
            assert_eq!(message.properties, expected);
            let mut later = client(version, "will-later").await;
            let topic = text(&message).0;
            later
                .subscribe(vec![subscription(&topic, QoS::AtMostOnce)])
                .await;
            if retain {
                assert!(later.message().await.retain);
            }
            later.nothing_more().await;
        }
    }
}

/// §3.14.2.2.2: a session that was to end with its connection can't be made to last at the end.
#[tokio::test]
async fn mqtt_3_14_2_2_an_expiry_in_disconnect_after_none_in_connect_is_a_protocol_error() {
    let mut client = client(Version::V5, "extends").await;
    let mut bye = Disconnect::new(ReasonCode::SUCCESS);
    bye.properties.session_expiry_s = Some(10);
    client.send(&Packet::Disconnect(bye)).await;
    assert_closed(&mut client, Version::V5, ReasonCode::PROTOCOL_ERROR, "").await;
    let (_client, answer) = come(persistent(Version::V5, &of(Version::V5, "extends"))).await;
    assert!(!answer.session_present);
}

/// [MQTT-4.3.3-10] across connections, and of 3.1.1 [MQTT-4.3.3-2]: a PUBLISH that comes again before its PUBREL is no second message.
#[tokio::test]
async fn mqtt_4_3_3_10_a_qos_2_publish_that_comes_again_is_delivered_once() {
    for version in BOTH {
        let (name, topic) = (of(version, "once"), of(version, "once/t"));
        let mut subscriber = client(version, "once-subscriber").await;
        subscriber
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        let mut packet = publish(&topic, QoS::ExactlyOnce, 4, "once");
        let received = Some(Packet::PubRec(Ack::success(id(4))));
        for _ in 0..3 {
            let (mut publisher, _) = come(persistent(version, &name)).await;
            publisher.send(&Packet::Publish(packet.clone())).await;
            assert_eq!(publisher.next().await, received);
            packet.dup = true;
        }
        assert_eq!(take(&mut subscriber).await.1, "once");
        say(&mut subscriber, &of(version, "once/other"), "x").await;
        subscriber.nothing_more().await;
    }
}
