//! Shared subscriptions (§4.8.2).

use std::collections::BTreeSet;

use mqtt::packet::Ack;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{persistent, publish, subscription};
use crate::{client, come, retain, say, take, unsubscribe};

/// §4.8.2: each group gets each message once, a plain subscription beside them gets its own copy; [MQTT-3.8.4-4]: no retained ones.
#[tokio::test]
async fn mqtt_4_8_2_each_group_gets_a_message_once_and_plain_subscribers_all() {
    let mut publisher = client(Version::V5, "groups-publisher").await;
    retain(&mut publisher, "groups/t", "kept").await;
    let mut clients = Vec::new();
    for (name, filter) in [
        ("groups-1", "$share/one/groups/t"),
        ("groups-2", "$share/two/groups/+"),
        ("groups-plain", "groups/t"),
    ] {
        let mut client = client(Version::V5, name).await;
        let granted = client
            .subscribe(vec![subscription(filter, QoS::AtLeastOnce)])
            .await;
        assert_eq!(granted, [ReasonCode::GRANTED_QOS_1]);
        if name == "groups-plain" {
            assert_eq!(take(&mut client).await.1, "kept");
        }
        client.nothing_more().await;
        clients.push(client);
    }
    for number in 0..10 {
        say(&mut publisher, "groups/t", &number.to_string()).await;
    }
    for client in &mut clients {
        for number in 0..10 {
            assert_eq!(take(client).await.1, number.to_string());
        }
        client.nothing_more().await;
    }
    let reasons = unsubscribe(
        &mut clients[0],
        &["groups/t", "$share/two/groups/t", "$share/one/groups/t"],
    )
    .await;
    let none = ReasonCode::NO_SUBSCRIPTION_EXISTED;
    assert_eq!(reasons, [none, none, ReasonCode::SUCCESS]);
}

/// [MQTT-4.8.2-3]: each member at its own QoS.
#[tokio::test]
async fn mqtt_4_8_2_3_a_member_gets_a_message_at_the_qos_it_was_granted() {
    let mut members = Vec::new();
    for (name, qos) in [
        ("granted-0", QoS::AtMostOnce),
        ("granted-1", QoS::AtLeastOnce),
    ] {
        let mut member = client(Version::V5, name).await;
        member
            .subscribe(vec![subscription("$share/g/granted/t", qos)])
            .await;
        members.push((member, qos));
    }
    let mut publisher = client(Version::V5, "granted-publisher").await;
    for number in 1..=20 {
        let packet = publish("granted/t", QoS::ExactlyOnce, number, &number.to_string());
        publisher.send(&Packet::Publish(packet)).await;
        let ack = Ack::success(crate::support::id(number));
        assert_eq!(publisher.next().await, Some(Packet::PubRec(ack.clone())));
        publisher.send(&Packet::PubRel(ack)).await;
        assert!(matches!(publisher.next().await, Some(Packet::PubComp(_))));
    }
    let (send, mut seen) = tokio::sync::mpsc::channel(20);
    for (mut member, qos) in members {
        let send = send.clone();
        tokio::spawn(async move {
            loop {
                let message = member.message().await;
                let number: u16 = crate::support::text(&message).1.parse().unwrap();
                if send.send((number, message.qos == qos)).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut got = BTreeSet::new();
    while got.len() < 20 {
        let (number, at_its_qos) = seen.recv().await.unwrap();
        assert!(at_its_qos && got.insert(number), "{number}");
    }
}

/// [MQTT-4.8.2-4], [MQTT-4.8.2-5]: a QoS 2 delivery that was begun is ended with the same member, when it comes back; no other gets it.
#[tokio::test]
async fn mqtt_4_8_2_4_a_begun_qos_2_delivery_is_ended_with_its_member() {
    let filter = || vec![subscription("$share/g/begun/t", QoS::ExactlyOnce)];
    let (mut first, _) = come(persistent(Version::V5, "begun-first")).await;
    first.subscribe(filter()).await;
    let mut publisher = client(Version::V5, "begun-publisher").await;
    let packet = publish("begun/t", QoS::ExactlyOnce, 1, "x");
    publisher.send(&Packet::Publish(packet)).await;
    let ack = Ack::success(first.message().await.packet_id.unwrap());
    let (mut second, _) = come(persistent(Version::V5, "begun-second")).await;
    second.subscribe(filter()).await;
    first.send(&Packet::PubRec(ack.clone())).await;
    let release = Some(Packet::PubRel(ack.clone()));
    assert_eq!(first.next().await, release);
    drop(first);
    let (mut first, answer) = come(persistent(Version::V5, "begun-first")).await;
    assert!(answer.session_present);
    assert_eq!(first.next().await, release);
    first.send(&Packet::PubComp(ack)).await;
    first.nothing_more().await;
    second.nothing_more().await;
}

/// [MQTT-4.8.2-6]: a message that a member refuses goes to no other.
#[tokio::test]
async fn mqtt_4_8_2_6_a_message_that_a_member_refuses_goes_to_no_other() {
    let filter = || vec![subscription("$share/g/refused/t", QoS::AtLeastOnce)];
    let mut first = client(Version::V5, "refused-first").await;
    first.subscribe(filter()).await;
    let mut publisher = client(Version::V5, "refused-publisher").await;
    say(&mut publisher, "refused/t", "refused").await;
    let message = match first.next().await {
        Some(Packet::Publish(message)) => message,
        other => panic!("{other:?}"),
    };
    let mut second = client(Version::V5, "refused-second").await;
    second.subscribe(filter()).await;
    let ack = Ack::new(message.packet_id.unwrap(), ReasonCode::UNSPECIFIED_ERROR);
    first.send(&Packet::PubAck(ack)).await;
    first.nothing_more().await;
    crate::leave(first).await;
    say(&mut publisher, "refused/t", "next").await;
    assert_eq!(take(&mut second).await.1, "next");
    second.nothing_more().await;
}

/// [MQTT-4.8.2-5]: a QoS 2 message whose member's session ends before it is complete goes to no other.
#[tokio::test]
async fn mqtt_4_8_2_5_a_begun_qos_2_delivery_ends_with_its_members_session() {
    let filter = || vec![subscription("$share/g/ended/t", QoS::ExactlyOnce)];
    let mut first = client(Version::V5, "ended-first").await;
    first.subscribe(filter()).await;
    let mut publisher = client(Version::V5, "ended-publisher").await;
    let packet = publish("ended/t", QoS::ExactlyOnce, 1, "begun");
    publisher.send(&Packet::Publish(packet)).await;
    assert_eq!(crate::support::text(&first.message().await).1, "begun");
    let mut second = client(Version::V5, "ended-second").await;
    second.subscribe(filter()).await;
    crate::leave(first).await;
    assert!(matches!(publisher.next().await, Some(Packet::PubRec(_))));
    say(&mut publisher, "ended/t", "next").await;
    assert_eq!(take(&mut second).await.1, "next");
    second.nothing_more().await;
}
