//! CONNECT and CONNACK (§3.1, §3.2).

use bytes::{Bytes, BytesMut};
use mqtt::{Packet, QoS, ReasonCode, Version, codec};

use crate::support::{connect, persistent, publish, subscription, text};
use crate::{BOTH, assert_closed, client, come, leave, of, open, raw, until_closed};

/// A CONNECT from its fields: protocol name, level, flags, and what follows the keep alive (0).
fn connect_bytes(name: &str, level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut body = vec![0, name.len() as u8];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[level, flags, 0, 0]);
    body.extend_from_slice(rest);
    raw(0x10, &body)
}

/// [MQTT-3.1.0-1], [MQTT-3.1.0-2]
#[tokio::test]
async fn mqtt_3_1_0_1_the_first_packet_is_connect_and_there_is_no_second() {
    for version in BOTH {
        for first in [&b"\xc0\x00"[..], b"\xe0\x00", b"\x30\x04\x00\x01ax"] {
            let mut stranger = open(version).await;
            stranger.send_bytes(first).await;
            assert_eq!(until_closed(&mut stranger).await, [], "{first:02x?}");
        }
        let mut twice = client(version, "connect-twice").await;
        let again = connect(version, &of(version, "connect-twice"));
        twice.send(&Packet::Connect(Box::new(again))).await;
        assert_closed(&mut twice, version, ReasonCode::PROTOCOL_ERROR, "").await;
    }
}

/// [MQTT-3.1.2-1], [MQTT-3.1.2-3], [MQTT-3.1.2-11] to [MQTT-3.1.2-13], [MQTT-3.1.3-4], [MQTT-3.1.4-1],
/// and of 3.1.1 [MQTT-3.1.2-3], [MQTT-3.1.2-13] to [MQTT-3.1.2-15], [MQTT-3.1.2-22], [MQTT-3.1.3-4], [MQTT-3.1.4-1]
#[tokio::test]
async fn mqtt_3_1_4_1_a_connect_that_is_not_valid_is_closed_without_an_answer() {
    let will = b"\x00\x01c\x00\x01t\x00\x01p";
    let of_v5 = |rest: &[u8]| [&b"\x00"[..], rest].concat();
    #[rustfmt::skip]
    let rows = [
        ("protocol name", connect_bytes("MQTX", 4, 2, b"\x00\x01c")),
        ("protocol name, 5", connect_bytes("mqtt", 5, 2, &of_v5(b"\x00\x01c"))),
        ("reserved flag", connect_bytes("MQTT", 4, 3, b"\x00\x01c")),
        ("reserved flag, 5", connect_bytes("MQTT", 5, 3, &of_v5(b"\x00\x01c"))),
        ("will qos without will", connect_bytes("MQTT", 4, 0x0a, b"\x00\x01c")),
        ("will qos without will, 5", connect_bytes("MQTT", 5, 0x0a, &of_v5(b"\x00\x01c"))),
        ("will retain without will", connect_bytes("MQTT", 4, 0x22, b"\x00\x01c")),
        ("will retain without will, 5", connect_bytes("MQTT", 5, 0x22, &of_v5(b"\x00\x01c"))),
        ("will qos 3", connect_bytes("MQTT", 4, 0x1e, will)),
        ("will qos 3, 5", connect_bytes("MQTT", 5, 0x1e, b"\x00\x00\x01c\x00\x00\x01t\x00\x01p")),
        ("will topic with a wildcard", connect_bytes("MQTT", 4, 6, b"\x00\x01c\x00\x01#\x00\x01p")),
        ("password without user", connect_bytes("MQTT", 4, 0x42, b"\x00\x01c\x00\x01p")),
        ("user flag without user", connect_bytes("MQTT", 4, 0x82, b"\x00\x01c")),
        ("password without its flag", connect_bytes("MQTT", 5, 0x82, b"\x00\x00\x01c\x00\x03ann\x00\x06secret")),
        ("password flag without password", connect_bytes("MQTT", 5, 0xc2, b"\x00\x00\x01c\x00\x03ann")),
        ("user without its flag", connect_bytes("MQTT", 4, 2, b"\x00\x01c\x00\x03ann")),
        ("client id that is no utf-8", connect_bytes("MQTT", 4, 2, b"\x00\x01\xff")),
        ("client id with a surrogate", connect_bytes("MQTT", 5, 2, b"\x00\x00\x03\xed\xa0\x80")),
        ("client id with u+0000", connect_bytes("MQTT", 5, 2, b"\x00\x00\x01\x00")),
        ("no client id", connect_bytes("MQTT", 4, 2, b"")),
        ("fixed header flags", raw(0x11, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")),
        ("receive maximum 0", connect_bytes("MQTT", 5, 2, b"\x03\x21\x00\x00\x00\x01c")),
        ("maximum packet size 0", connect_bytes("MQTT", 5, 2, b"\x05\x27\x00\x00\x00\x00\x00\x01c")),
        ("session expiry twice", connect_bytes("MQTT", 5, 2, b"\x0a\x11\x00\x00\x00\x01\x11\x00\x00\x00\x01\x00\x01c")),
        ("problem information 2", connect_bytes("MQTT", 5, 2, b"\x02\x17\x02\x00\x01c")),
        ("response information 2", connect_bytes("MQTT", 5, 2, b"\x02\x19\x02\x00\x01c")),
        ("authentication data without method", connect_bytes("MQTT", 5, 2, b"\x04\x16\x00\x01x\x00\x01c")),
    ];
    for (case, bytes) in rows {
        let mut stranger = open(Version::V5).await;
        stranger.send_bytes(&bytes).await;
        assert_eq!(until_closed(&mut stranger).await, [], "{case}");
    }
}

/// [MQTT-3.1.2-2], [MQTT-3.2.2-7], and the same of 3.1.1 ([MQTT-3.1.2-2], [MQTT-3.2.2-5])
#[tokio::test]
async fn mqtt_3_1_2_2_an_unknown_level_is_told_so_and_closed() {
    for (level, version) in [(6, Version::V5), (2, Version::V3_1_1)] {
        let mut stranger = open(version).await;
        stranger
            .send_bytes(&connect_bytes("MQTT", level, 2, b"\x00\x01c"))
            .await;
        match stranger.next().await {
            Some(Packet::ConnAck(answer)) => {
                assert_eq!(answer.reason, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION);
                assert!(!answer.session_present);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(stranger.next().await, None);
    }
}

/// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.1.2-23], [MQTT-3.1.3-2], [MQTT-3.2.2-1], [MQTT-3.2.2-2], [MQTT-3.2.2-3], and of
/// 3.1.1 [MQTT-3.1.2-4] to [MQTT-3.1.2-7], [MQTT-3.1.3-2], [MQTT-3.2.2-1] to [MQTT-3.2.2-3]
#[tokio::test]
async fn mqtt_3_2_2_3_session_present_says_whether_there_was_a_session() {
    for version in BOTH {
        let name = of(version, "present");
        let clean = connect(version, &name);
        let keeps = persistent(version, &name);
        // What comes, and whether a session was there.
        for (step, (packet, expected)) in [
            (&keeps, false),
            (&keeps, true),
            (&clean, false),
            // The clean one ended with its connection.
            (&keeps, false),
            (&keeps, true),
        ]
        .into_iter()
        .enumerate()
        {
            let (client, answer) = come(packet.clone()).await;
            assert_eq!(answer.reason, ReasonCode::SUCCESS);
            assert_eq!(answer.session_present, expected, "{version:?} step {step}");
            leave(client).await;
        }
    }
}

/// [MQTT-3.2.2-6], [MQTT-3.2.2-7], [MQTT-3.1.4-2], [MQTT-3.1.4-6], and of 3.1.1 [MQTT-3.1.4-5], [MQTT-3.2.2-4], [MQTT-3.2.2-5]
#[tokio::test]
async fn mqtt_3_1_4_6_what_follows_a_refused_connect_is_not_processed() {
    for version in BOTH {
        let name = of(version, "refused");
        let (client, _) = come(persistent(version, &name)).await;
        leave(client).await;
        let mut watcher = self::client(version, "refused-watcher").await;
        let topic = of(version, "refused/t");
        watcher
            .subscribe(vec![subscription(&topic, QoS::AtLeastOnce)])
            .await;
        // There is a session of that name, and yet a refusal does not say so.
        let mut packet = persistent(version, &name);
        packet.password = Some(Bytes::from_static(b"wrong"));
        let mut bytes = BytesMut::new();
        for packet in [
            Packet::Connect(Box::new(packet)),
            Packet::Publish(publish(&topic, QoS::AtLeastOnce, 1, "smuggled")),
        ] {
            codec::encode(&packet, version, &mut bytes);
        }
        let mut stranger = open(version).await;
        stranger.send_bytes(&bytes).await;
        let packets = until_closed(&mut stranger).await;
        match &packets[..] {
            [Packet::ConnAck(answer)] => {
                assert_eq!(answer.reason, ReasonCode::BAD_USER_NAME_OR_PASSWORD);
                assert!(!answer.session_present);
            }
            other => panic!("{other:?}"),
        }
        let marker = publish(&topic, QoS::AtLeastOnce, 1, "marker");
        watcher.send(&Packet::Publish(marker)).await;
        let mut payloads = Vec::new();
        while payloads.is_empty() {
            match watcher.next().await {
                Some(Packet::Publish(message)) => payloads.push(text(&message).1),
                Some(Packet::PubAck(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(payloads, ["marker"]);
    }
}

/// [MQTT-3.1.4-5], [MQTT-3.2.0-1], [MQTT-3.2.0-2]: packets right behind CONNECT are served after CONNACK.
#[tokio::test]
async fn mqtt_3_2_0_1_connack_is_the_first_packet_and_comes_once() {
    for version in BOTH {
        let mut bytes = BytesMut::new();
        let name = of(version, "eager");
        for packet in [
            Packet::Connect(Box::new(connect(version, &name))),
            Packet::Publish(publish(&name, QoS::AtLeastOnce, 1, "x")),
            Packet::PingReq,
        ] {
            codec::encode(&packet, version, &mut bytes);
        }
        let mut eager = open(version).await;
        eager.send_bytes(&bytes).await;
        assert!(matches!(eager.next().await, Some(Packet::ConnAck(_))));
        let mut rest = [eager.next().await, eager.next().await];
        rest.sort_by_key(|packet| packet != &Some(Packet::PingResp));
        assert!(matches!(
            rest,
            [Some(Packet::PingResp), Some(Packet::PubAck(_))]
        ));
        eager.nothing_more().await;
    }
}

/// [MQTT-3.1.3-3], [MQTT-3.1.3-5], [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16], and of 3.1.1 [MQTT-3.1.3-3], [MQTT-3.1.3-5] to [MQTT-3.1.3-9]
#[tokio::test]
async fn mqtt_3_1_3_6_client_identifiers_may_be_empty_and_have_all_letters_and_digits() {
    for version in BOTH {
        for name in [
            "abcdefghijklmnopqrstuvw",
            "xyzABCDEFGHIJKLMNOPQRST",
            "UVWXYZ0123456789",
        ] {
            let (client, answer) = come(connect(version, name)).await;
            assert_eq!(answer.reason, ReasonCode::SUCCESS, "{name}");
            assert_eq!(answer.properties.assigned_client_id, None);
            leave(client).await;
        }
        let (mut first, answer) = come(connect(version, "")).await;
        let (mut second, other) = come(connect(version, "")).await;
        for answer in [&answer, &other] {
            assert_eq!(answer.reason, ReasonCode::SUCCESS);
            assert_eq!(
                answer.properties.assigned_client_id.is_some(),
                version.is_v5()
            );
        }
        // Two identifiers: else the second would have taken over the first one's place.
        first.nothing_more().await;
        second.nothing_more().await;
        if version.is_v5() {
            let names = [answer, other].map(|answer| answer.properties.assigned_client_id.clone());
            assert_ne!(names[0], names[1]);
        }
    }
    // The identifier that the server chose is good for the session later.
    let (client, answer) = come(persistent(Version::V5, "")).await;
    let chosen = answer.properties.assigned_client_id.clone().unwrap();
    leave(client).await;
    let (_client, answer) = come(persistent(Version::V5, &chosen)).await;
    assert!(answer.session_present);
    // In 3.1.1 a session needs a name of the client's.
    let (mut client, answer) = come(persistent(Version::V3_1_1, "")).await;
    assert_eq!(answer.reason, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
    assert_eq!(client.next().await, None);
}

/// [MQTT-3.1.3-8]: an identifier that is too long is refused with its reason code.
#[tokio::test]
async fn mqtt_3_1_3_8_a_client_identifier_that_is_not_accepted_is_refused() {
    for version in BOTH {
        let (mut client, answer) = come(connect(version, &"x".repeat(1000))).await;
        assert_eq!(answer.reason, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
        assert_eq!(client.next().await, None);
    }
}

/// [MQTT-3.1.3-9] to [MQTT-3.1.3-12] say where will, user name and password stand: shown by those that get in. Here:
/// [MQTT-3.1.2-16] to [MQTT-3.1.2-19], a password without a user name, which 5.0 allows: refused for its rights, not its form.
#[tokio::test]
async fn mqtt_3_1_2_19_a_password_may_stand_without_a_user_name() {
    let mut packet = connect(Version::V5, "password-only");
    packet.username = None;
    let (mut client, answer) = come(packet).await;
    assert_eq!(answer.reason, ReasonCode::NOT_AUTHORIZED);
    assert_eq!(client.next().await, None);
}
