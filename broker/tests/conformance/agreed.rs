//! What CONNECT and CONNACK agree on (§3.1.2.10, §3.2.2.3), and enhanced authentication (§4.12) that is not agreed on. Exchanges
//! that are: broker/tests/auth.rs.

use mqtt::packet::Connect;
use mqtt::{Packet, QoS, ReasonCode, Version};

use crate::support::{connect, publish};
use crate::{
    BOTH, KEEP_ALIVE_MAX_S, PACKET_BYTES_MAX, RECEIVE_MAXIMUM, assert_closed, client, come, of,
};

/// [MQTT-3.2.2-22], and what [MQTT-3.1.2-21] of the client needs: whoever is granted another keep alive is told, others not.
#[tokio::test]
async fn mqtt_3_1_2_21_a_keep_alive_that_is_not_the_asked_one_is_told() {
    for (asked, told) in [
        (0, Some(KEEP_ALIVE_MAX_S)),
        (KEEP_ALIVE_MAX_S + 1, Some(KEEP_ALIVE_MAX_S)),
        (KEEP_ALIVE_MAX_S, None),
        (60, None),
    ] {
        let mut packet = connect(Version::V5, "keep-alive");
        packet.keep_alive_s = asked;
        let (_client, answer) = come(packet).await;
        assert_eq!(answer.properties.server_keep_alive_s, told, "{asked}");
    }
}

/// [MQTT-3.1.2-22], [MQTT-3.14.4-1] (the server's side), and of 3.1.1 [MQTT-3.1.2-24]
#[tokio::test]
async fn mqtt_3_1_2_22_a_silent_client_is_disconnected_after_its_keep_alive() {
    for version in BOTH {
        let mut packet = connect(version, &of(version, "silent"));
        packet.keep_alive_s = 1;
        let start = std::time::Instant::now();
        let (mut client, _) = come(packet).await;
        assert_closed(&mut client, version, ReasonCode::KEEP_ALIVE_TIMEOUT, "").await;
        // Not before one and a half times of it: that no noise can shorten.
        assert!(start.elapsed().as_millis() >= 1500);
    }
}

/// [MQTT-3.1.2-28], [MQTT-3.1.2-29]
#[tokio::test]
async fn mqtt_3_1_2_28_response_information_and_reasons_come_to_those_who_ask() {
    for (asked, told) in [(None, false), (Some(0), false), (Some(1), true)] {
        let mut packet = connect(Version::V5, "information");
        packet.properties.request_response_information = asked;
        let (_client, answer) = come(packet).await;
        assert_eq!(answer.properties.response_information.is_some(), told);
    }
    for (asked, told) in [(None, true), (Some(1), true), (Some(0), false)] {
        let mut packet = connect(Version::V5, "problems");
        packet.properties.request_problem_information = asked;
        let (mut client, _) = come(packet).await;
        let denied = publish("$SYS/x", QoS::AtLeastOnce, 1, "x");
        assert_eq!(client.publish(denied).await, ReasonCode::NOT_AUTHORIZED);
        assert_eq!(!client.reasons.is_empty(), told);
    }
}

/// What CONNACK of 5.0 says of the server (§3.2.2.3); [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-13] ask for words only
/// where something is not there, and all is there.
#[tokio::test]
async fn mqtt_3_2_2_9_connack_names_the_limits_and_takes_nothing_away() {
    let (_client, answer) = come(connect(Version::V5, "limits")).await;
    let told = &answer.properties;
    assert_eq!(told.receive_maximum, Some(RECEIVE_MAXIMUM));
    assert_eq!(told.maximum_packet_size, Some(PACKET_BYTES_MAX as u32));
    assert_eq!(told.maximum_qos, None);
    assert_eq!(told.session_expiry_s, None);
    for available in [
        told.retain_available,
        told.wildcard_subscription_available,
        told.subscription_id_available,
        told.shared_subscription_available,
    ] {
        assert!(matches!(available, None | Some(1)));
    }
    // A session that is asked to last longer than the server keeps sessions: the client is told how long it does.
    let mut packet: Connect = connect(Version::V5, "limits");
    packet.properties.session_expiry_s = Some(u32::MAX);
    let (_client, answer) = come(packet).await;
    assert_eq!(answer.properties.session_expiry_s, Some(604_800));
}

/// [MQTT-4.12.0-1]: a method of enhanced authentication that the server has not.
#[tokio::test]
async fn mqtt_4_12_0_1_an_unknown_authentication_method_is_refused() {
    let mut packet = connect(Version::V5, "method");
    packet.properties.auth_method = Some("SCRAM-SHA-1".into());
    let (mut client, answer) = come(packet).await;
    assert_eq!(answer.reason, ReasonCode::BAD_AUTHENTICATION_METHOD);
    assert_eq!(client.next().await, None);
}

/// [MQTT-4.12.0-7], [MQTT-4.12.1-1]: AUTH from a client that named no method.
#[tokio::test]
async fn mqtt_4_12_0_7_auth_without_a_method_is_a_protocol_error() {
    for bytes in [
        &b"\xf0\x00"[..],
        b"\xf0\x01\x19",
        b"\xf0\x06\x18\x04\x15\x00\x01m",
    ] {
        let mut client = client(Version::V5, "auth").await;
        client.send_bytes(bytes).await;
        assert_closed(&mut client, Version::V5, ReasonCode::PROTOCOL_ERROR, "auth").await;
    }
}

/// [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.5.2-2], [MQTT-3.14.2-3]: a reason is left out where it makes a packet too large.
#[tokio::test]
async fn mqtt_3_14_2_3_reasons_are_left_out_where_they_do_not_fit() {
    for (maximum, told) in [(None, true), (Some(22), false)] {
        let mut packet = connect(Version::V5, "no-room");
        packet.properties.maximum_packet_size = maximum;
        let mut refused = packet.clone();
        refused.password = Some("wrong".into());
        let (stranger, answer) = come(refused).await;
        assert_eq!(answer.reason, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        assert_eq!(!stranger.reasons.is_empty(), told, "CONNACK");
        let (mut client, _) = come(packet).await;
        for (at, qos) in [QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().enumerate() {
            let denied = publish("$SYS/x", qos, 1, "x");
            client.send(&Packet::Publish(denied)).await;
            match client.next().await {
                Some(Packet::PubAck(ack) | Packet::PubRec(ack)) => {
                    assert_eq!(ack.reason, ReasonCode::NOT_AUTHORIZED);
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(
                client.reasons.len(),
                if told { at + 1 } else { 0 },
                "{qos:?}"
            );
        }
        client.send_bytes(b"\x00\x00").await;
        assert_closed(&mut client, Version::V5, ReasonCode::MALFORMED_PACKET, "").await;
        assert_eq!(client.reasons.len(), if told { 3 } else { 0 }, "DISCONNECT");
    }
}
