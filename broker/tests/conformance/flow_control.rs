//! Flow control and sizes (§4.9, §3.1.2.11.3, §3.1.2.11.4, §3.2.2.3.6).

use mqtt::packet::Ack;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{connect, id, publish, subscription, text};
use crate::{BOTH, PACKET_BYTES_MAX, RECEIVE_MAXIMUM, assert_closed, client, come, of, say, take};

/// [MQTT-3.3.4-9], [MQTT-3.3.4-10], [MQTT-4.9.0-1], [MQTT-4.9.0-2], [MQTT-4.9.0-3]
#[tokio::test]
async fn mqtt_3_3_4_9_no_more_than_the_clients_receive_maximum_is_under_way_and_other_packets_pass()
{
    let topic = "quota/t";
    let mut packet = connect(Version::V5, "quota");
    packet.properties.receive_maximum = Some(2);
    let (mut subscriber, _) = come(packet).await;
    subscriber
        .subscribe(vec![subscription(topic, QoS::ExactlyOnce)])
        .await;
    let mut publisher = client(Version::V5, "quota-publisher").await;
    for number in 0..5 {
        say(&mut publisher, topic, &number.to_string()).await;
    }
    let mut under_way = Vec::new();
    for number in 0..5 {
        while under_way.len() < 2.min(5 - number) {
            match subscriber.next().await {
                Some(Packet::Publish(message)) => under_way.push(message),
                other => panic!("{other:?}"),
            }
        }
        if let [one, other] = &under_way[..] {
            assert_ne!(one.packet_id, other.packet_id);
        }
        // Full: pings and subscriptions are answered, and no message comes.
        subscriber.nothing_more().await;
        let granted = subscriber
            .subscribe(vec![subscription("quota/other", QoS::AtMostOnce)])
            .await;
        assert_eq!(granted, [ReasonCode::SUCCESS]);
        let message = under_way.remove(0);
        assert_eq!(text(&message).1, number.to_string());
        let ack = Ack::success(message.packet_id.unwrap());
        subscriber.send(&Packet::PubAck(ack)).await;
    }
    subscriber.nothing_more().await;
}

/// [MQTT-3.3.4-7] (the client's duty; what the server does: §3.3.4, reason code 0x93)
#[tokio::test]
async fn mqtt_3_3_4_7_a_client_that_exceeds_the_servers_receive_maximum_is_disconnected() {
    let mut client = client(Version::V5, "exceeds").await;
    for number in 1..=RECEIVE_MAXIMUM {
        let packet = publish("exceeds/t", QoS::ExactlyOnce, number, "x");
        client.send(&Packet::Publish(packet)).await;
        let ack = Ack::success(id(number));
        assert_eq!(client.next().await, Some(Packet::PubRec(ack)));
    }
    let packet = publish("exceeds/t", QoS::AtLeastOnce, RECEIVE_MAXIMUM + 1, "x");
    client.send(&Packet::Publish(packet)).await;
    assert_closed(
        &mut client,
        Version::V5,
        ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
        "",
    )
    .await;
}

/// [MQTT-3.1.2-24], [MQTT-3.1.2-25]: what does not fit is as if it had been delivered, for this subscriber alone.
#[tokio::test]
async fn mqtt_3_1_2_24_nothing_larger_than_the_client_takes_is_sent() {
    let topic = "large/t";
    let mut packet = connect(Version::V5, "large-takes-little");
    packet.properties.maximum_packet_size = Some(100);
    packet.properties.receive_maximum = Some(1);
    let (mut little, _) = come(packet).await;
    let mut all = client(Version::V5, "large-takes-all").await;
    for subscriber in [&mut little, &mut all] {
        subscriber
            .subscribe(vec![subscription(topic, QoS::AtLeastOnce)])
            .await;
    }
    let mut publisher = client(Version::V5, "large-publisher").await;
    let empty = publish(topic, QoS::AtLeastOnce, 1, "");
    let mut bytes = bytes::BytesMut::new();
    mqtt::codec::encode(&Packet::Publish(empty), Version::V5, &mut bytes);
    let fits = "x".repeat(100 - bytes.len());
    let does_not = format!("{fits}x");
    for payload in [&does_not, &does_not, &fits] {
        say(&mut publisher, topic, payload).await;
    }
    assert_eq!(take(&mut little).await.1, fits);
    little.nothing_more().await;
    for payload in [&does_not, &does_not, &fits] {
        assert_eq!(take(&mut all).await.1, *payload);
    }
}

/// [MQTT-3.2.2-15] (the client's duty; what the server does: 0x95). A packet of exactly the maximum passes.
#[tokio::test]
async fn mqtt_3_2_2_15_a_packet_of_the_maximum_size_passes_and_a_larger_one_ends_the_connection() {
    for version in BOTH {
        let topic = of(version, "size/t");
        let mut client = client(version, "size").await;
        let mut bytes = bytes::BytesMut::new();
        let empty = publish(&topic, QoS::AtLeastOnce, 1, &"x".repeat(1000));
        mqtt::codec::encode(&Packet::Publish(empty), version, &mut bytes);
        let fits = "x".repeat(1000 + PACKET_BYTES_MAX - bytes.len());
        say(&mut client, &topic, &fits).await;
        let packet = publish(&topic, QoS::AtLeastOnce, 1, &format!("{fits}x"));
        client.send(&Packet::Publish(packet)).await;
        assert_closed(&mut client, version, ReasonCode::PACKET_TOO_LARGE, "").await;
    }
}
