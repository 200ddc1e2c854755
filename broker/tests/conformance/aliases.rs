//! Topic aliases (§3.3.2.3.4), both ways.

use mqtt::{Packet, QoS, ReasonCode, TopicName, Version};

use crate::support::{connect, publish, subscription, text};
use crate::{assert_closed, client, come, say};

/// A PUBLISH at QoS 0 with an alias, and with a topic or without.
fn aliased(topic: &str, alias: u16, payload: &str) -> Packet {
    let mut packet = publish("x", QoS::AtMostOnce, 0, payload);
    packet.topic = (!topic.is_empty()).then(|| TopicName::try_from(topic).unwrap());
    packet.properties.topic_alias = Some(alias);
    Packet::Publish(packet)
}

/// [MQTT-3.3.2-12]: every alias up to the maximum is taken, and may be given another topic.
#[tokio::test]
async fn mqtt_3_3_2_12_the_server_takes_every_alias_up_to_its_maximum() {
    let mut subscriber = client(Version::V5, "alias-subscriber").await;
    subscriber
        .subscribe(vec![subscription("alias/+", QoS::AtMostOnce)])
        .await;
    let (mut publisher, answer) = come(connect(Version::V5, "alias-publisher")).await;
    let maximum = answer.properties.topic_alias_maximum.unwrap();
    assert!(maximum > 1);
    for alias in [1, maximum] {
        for topic in [format!("alias/{alias}"), format!("alias/{alias}-again")] {
            publisher.send(&aliased(&topic, alias, "by name")).await;
            publisher.send(&aliased("", alias, "by alias")).await;
            for payload in ["by name", "by alias"] {
                let message = subscriber.message().await;
                assert_eq!(message.properties.topic_alias, None);
                assert_eq!(text(&message), (topic.clone(), payload.to_owned()));
            }
        }
    }
}

/// [MQTT-3.3.2-7]; [MQTT-3.3.2-8] and [MQTT-3.3.2-9] bind the client: what the server does with one that breaks them.
#[tokio::test]
async fn mqtt_3_3_2_7_aliases_end_with_the_connection_and_wrong_ones_end_it() {
    let (mut client, answer) = come(connect(Version::V5, "alias-wrong")).await;
    let maximum = answer.properties.topic_alias_maximum.unwrap();
    client.send(&aliased("wrong/a", 1, "x")).await;
    client.nothing_more().await;
    crate::leave(client).await;
    for packet in [
        // Known on the connection before only.
        aliased("", 1, "x"),
        aliased("wrong/a", maximum + 1, "x"),
    ] {
        let mut client = crate::client(Version::V5, "alias-wrong").await;
        client.send(&packet).await;
        assert_closed(
            &mut client,
            Version::V5,
            ReasonCode::TOPIC_ALIAS_INVALID,
            "",
        )
        .await;
    }
}

/// [MQTT-3.1.2-26], [MQTT-3.1.2-27], [MQTT-3.3.2-10], [MQTT-3.3.2-11]
#[tokio::test]
async fn mqtt_3_1_2_26_the_server_uses_no_more_aliases_than_the_client_takes() {
    for maximum in [None, Some(0), Some(2)] {
        let mut packet = connect(Version::V5, "alias-limited");
        packet.properties.topic_alias_maximum = maximum;
        let (mut subscriber, _) = come(packet).await;
        subscriber
            .subscribe(vec![subscription("limited/+", QoS::AtLeastOnce)])
            .await;
        let mut publisher = client(Version::V5, "alias-limited-publisher").await;
        let mut names = std::collections::BTreeMap::<u16, String>::new();
        for number in [1, 2, 3, 1, 2, 3] {
            let topic = format!("limited/{number}");
            say(&mut publisher, &topic, "x").await;
            let message = subscriber.message().await;
            let alias = message.properties.topic_alias;
            assert!(alias.is_none_or(|alias| (1..=maximum.unwrap_or(0)).contains(&alias)));
            let name = message.topic.map(|topic| topic.as_str().to_owned());
            // What the client makes of it is the topic, be it by name or by alias.
            let understood = name.unwrap_or_else(|| names[&alias.unwrap()].clone());
            assert_eq!(understood, topic);
            names.extend(alias.map(|alias| (alias, topic)));
        }
    }
}
