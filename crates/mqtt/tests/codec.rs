//! Every packet in every version: written, read back, the same; and bytes that are no packet never panic.

#![allow(clippy::unwrap_used)] // a strategy that makes something invalid is a broken test

use bytes::{Bytes, BytesMut};
use mqtt::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Publish, RetainHandling, SubAck, Subscribe,
    Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Will,
};
use mqtt::properties::Properties;
use mqtt::wire::Text;
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, Violation, codec};
use proptest::prelude::*;

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        Just(Version::V3_1),
        Just(Version::V3_1_1),
        Just(Version::V5)
    ]
}

fn text() -> impl Strategy<Value = Text> {
    "[a-zé€\u{10348}]{0,8}".prop_map(|text| Text::from(text.as_str()))
}

fn name() -> impl Strategy<Value = TopicName> {
    "[a-zé/$]{1,12}".prop_map(|text| TopicName::try_from(text.as_str()).unwrap())
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    "(\\$share/g/)?(a|\\+|é)(/(b|\\+)){0,3}(/#)?".prop_map(|text| TopicFilter::new(&text).unwrap())
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = PacketId> {
    (1..=u16::MAX).prop_map(|number| PacketId::try_from(number).unwrap())
}

fn qos() -> impl Strategy<Value = QoS> {
    (0..3u8).prop_map(|bits| QoS::try_from(bits).unwrap())
}

/// Properties of a PUBLISH or will.
fn message_properties() -> impl Strategy<Value = Properties> {
    let fields = (
        prop::option::of(0..2u8),
        prop::option::of(any::<u32>()),
        prop::option::of(text()),
        prop::option::of(bytes()),
        prop::collection::vec((text(), text()), 0..3),
    );
    fields.prop_map(|(format, expiry, content_type, correlation, user)| {
        let mut properties = Properties::default();
        properties.payload_format = format;
        properties.message_expiry_s = expiry;
        properties.content_type = content_type;
        properties.correlation_data = correlation;
        properties.user = user;
        properties
    })
}

/// Properties of an acknowledgement.
fn ack_properties() -> impl Strategy<Value = Properties> {
    (
        prop::option::of(text()),
        prop::collection::vec((text(), text()), 0..2),
    )
        .prop_map(|(reason, user)| {
            let mut properties = Properties::default();
            properties.reason_string = reason;
            properties.user = user;
            properties
        })
}

fn connect() -> impl Strategy<Value = Connect> {
    let will = (name(), bytes(), qos(), any::<bool>(), message_properties()).prop_map(
        |(topic, payload, qos, retain, properties)| Will {
            topic,
            payload,
            qos,
            retain,
            properties,
        },
    );
    (
        version(),
        any::<bool>(),
        any::<u16>(),
        text(),
        prop::option::of(will),
        prop::option::of((text(), prop::option::of(bytes()))),
        prop::option::of(any::<u32>()),
    )
        .prop_map(
            |(version, clean_start, keep_alive_s, client_id, mut will, login, expiry)| {
                let mut properties = Properties::default();
                if version.is_v5() {
                    properties.session_expiry_s = expiry;
                } else if let Some(will) = &mut will {
                    will.properties = Properties::default();
                }
                let (username, password) = match login {
                    Some((name, password)) => (Some(name), password),
                    None => (None, None),
                };
                Connect {
                    version,
                    clean_start,
                    keep_alive_s,
                    properties,
                    client_id,
                    will,
                    username,
                    password,
                }
            },
        )
}

/// A packet that is right in version 5; what older versions cannot say is taken out by [`plain`].
fn packet() -> impl Strategy<Value = Packet> {
    let ack = |codes: &'static [u8]| {
        (id(), prop::sample::select(codes), ack_properties()).prop_map(|(packet_id, code, p)| Ack {
            packet_id,
            reason: ReasonCode(code),
            properties: p,
        })
    };
    let publish = (
        any::<bool>(),
        qos(),
        any::<bool>(),
        name(),
        id(),
        message_properties(),
        bytes(),
    )
        .prop_map(
            |(dup, qos, retain, topic, id, properties, payload)| Publish {
                dup: dup && qos != QoS::AtMostOnce,
                qos,
                retain,
                topic: Some(topic),
                packet_id: (qos != QoS::AtMostOnce).then_some(id),
                properties,
                payload,
            },
        );
    let options = (qos(), any::<bool>(), any::<bool>(), 0..3u8).prop_map(
        |(qos, no_local, retain_as_published, handling)| SubscriptionOptions {
            qos,
            no_local,
            retain_as_published,
            retain_handling: match handling {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        },
    );
    let subscription = (filter(), options).prop_map(|(filter, mut options)| {
        options.no_local &= filter.share_group().is_none();
        Subscription { filter, options }
    });
    let reasons = prop::collection::vec(prop::sample::select(&[0u8, 1, 2, 0x80][..]), 1..4)
        .prop_map(|codes| codes.into_iter().map(ReasonCode).collect::<Vec<_>>());
    prop_oneof![
        publish.prop_map(Packet::Publish),
        ack(&[0, 0x10, 0x87]).prop_map(Packet::PubAck),
        ack(&[0, 0x97]).prop_map(Packet::PubRec),
        ack(&[0, 0x92]).prop_map(Packet::PubRel),
        ack(&[0, 0x92]).prop_map(Packet::PubComp),
        (
            id(),
            prop::option::of(1..1000u32),
            prop::collection::vec(subscription, 1..4)
        )
            .prop_map(|(packet_id, sub_id, subscriptions)| {
                let mut properties = Properties::default();
                properties.subscription_ids.extend(sub_id);
                Packet::Subscribe(Subscribe {
                    packet_id,
                    properties,
                    subscriptions,
                })
            }),
        (id(), ack_properties(), reasons.clone()).prop_map(|(packet_id, properties, reasons)| {
            Packet::SubAck(SubAck {
                packet_id,
                properties,
                reasons,
            })
        }),
        (id(), prop::collection::vec(filter(), 1..4)).prop_map(|(packet_id, filters)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties: Properties::default(),
                filters,
            })
        }),
        (id(), ack_properties(), reasons).prop_map(|(packet_id, properties, reasons)| {
            Packet::UnsubAck(UnsubAck {
                packet_id,
                properties,
                reasons,
            })
        }),
        Just(Packet::PingReq),
        Just(Packet::PingResp),
        (ack_properties(), prop::sample::select(&[0u8, 4, 0x8e][..])).prop_map(
            |(properties, code)| Packet::Disconnect(Disconnect {
                reason: ReasonCode(code),
                properties
            })
        ),
        (any::<bool>(), ack_properties()).prop_map(|(present, properties)| {
            Packet::ConnAck(ConnAck {
                session_present: present,
                reason: ReasonCode::SUCCESS,
                properties,
            })
        }),
        ack_properties().prop_map(|properties| Packet::Auth(Auth {
            reason: ReasonCode::CONTINUE_AUTHENTICATION,
            properties
        })),
    ]
}

/// The packet as a version before 5 can say it; `None` when it cannot.
fn plain(packet: Packet) -> Option<Packet> {
    let ack = |ack: Ack| Ack::success(ack.packet_id);
    Some(match packet {
        Packet::Publish(p) => Packet::Publish(Publish {
            properties: Properties::default(),
            ..p
        }),
        Packet::PubAck(p) => Packet::PubAck(ack(p)),
        Packet::PubRec(p) => Packet::PubRec(ack(p)),
        Packet::PubRel(p) => Packet::PubRel(ack(p)),
        Packet::PubComp(p) => Packet::PubComp(ack(p)),
        Packet::Subscribe(mut p) => {
            p.properties = Properties::default();
            for subscription in &mut p.subscriptions {
                subscription.options = SubscriptionOptions {
                    qos: subscription.options.qos,
                    ..SubscriptionOptions::default()
                };
            }
            Packet::Subscribe(p)
        }
        Packet::SubAck(p) => Packet::SubAck(SubAck {
            properties: Properties::default(),
            ..p
        }),
        Packet::UnsubAck(p) => Packet::UnsubAck(UnsubAck {
            properties: Properties::default(),
            reasons: vec![],
            ..p
        }),
        Packet::Disconnect(_) => Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)),
        Packet::ConnAck(p) => Packet::ConnAck(ConnAck {
            properties: Properties::default(),
            ..p
        }),
        Packet::Auth(_) => return None,
        other => other,
    })
}

fn round_trip(packet: &Packet, version: Version) {
    let mut wire = BytesMut::new();
    codec::encode(packet, version, &mut wire);
    // What is not complete is no error, and is not touched.
    for cut in 0..wire.len() {
        let mut part = BytesMut::from(&wire[..cut]);
        assert_eq!(codec::decode(&mut part, version, usize::MAX), Ok(None));
        assert_eq!(part.len(), cut);
    }
    let length = wire.len();
    wire.extend_from_slice(b"next");
    let mut limited = wire.clone();
    assert_eq!(
        codec::decode(&mut limited, version, length - 1),
        Err(Violation::TooLarge)
    );
    let read = codec::decode(&mut wire, version, length).unwrap().unwrap();
    assert_eq!(&read, packet);
    assert_eq!(&wire[..], b"next");
}

proptest! {
    #[test]
    fn what_is_written_reads_back(packet in packet(), version in version()) {
        if version.is_v5() {
            round_trip(&packet, version);
        } else if let Some(packet) = plain(packet) {
            round_trip(&packet, version);
        }
    }

    #[test]
    fn connect_reads_back(connect in connect()) {
        let version = connect.version;
        round_trip(&Packet::Connect(Box::new(connect)), version);
    }

    #[test]
    fn bytes_that_are_no_packet_never_panic(
        first in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..127),
        version in version(),
    ) {
        let mut wire = BytesMut::from(&[first, body.len() as u8][..]);
        wire.extend_from_slice(&body);
        // Whatever it says, it takes the frame or refuses it: it never waits for more.
        prop_assert_ne!(codec::decode(&mut wire, version, usize::MAX), Ok(None));
    }
}

/// Frames written down by hand from the standard, so that reading and writing cannot be wrong in the same way.
#[test]
fn frames_of_the_standard() {
    let read = |bytes: &[u8], version| {
        codec::decode(&mut BytesMut::from(bytes), version, 1000)
            .unwrap()
            .unwrap()
    };
    // 3.1.1 figure 3.6 and following: MQTT, level 4, user name, password, will QoS 1, clean session, keep alive 10.
    let connect =
        b"\x10\x1c\x00\x04MQTT\x04\xce\x00\x0a\x00\x01c\x00\x01w\x00\x03bye\x00\x01u\x00\x02pw";
    match read(connect, Version::V3_1_1) {
        Packet::Connect(connect) => {
            let will = connect.will.as_ref().unwrap();
            assert_eq!(connect.version, Version::V3_1_1);
            assert!(connect.clean_start && !will.retain && will.qos == QoS::AtLeastOnce);
            assert_eq!((connect.keep_alive_s, will.topic.as_str()), (10, "w"));
            assert_eq!(connect.password.as_deref(), Some(&b"pw"[..]));
            assert!(!format!("{connect:?}").contains("pw"));
        }
        other => panic!("{other:?}"),
    }
    // Version 5, QoS 1, dup, retain, identifier 10, message expiry 2, payload "hi".
    let publish = b"\x3b\x0f\x00\x03a/b\x00\x0a\x05\x02\x00\x00\x00\x02hi";
    match read(publish, Version::V5) {
        Packet::Publish(publish) => {
            assert!(publish.dup && publish.retain && publish.qos == QoS::AtLeastOnce);
            assert_eq!(publish.packet_id.unwrap().get(), 10);
            assert_eq!(publish.properties.message_expiry_s, Some(2));
            assert_eq!(&publish.payload[..], b"hi");
        }
        other => panic!("{other:?}"),
    }
    let refused = |bytes: &[u8], version| {
        codec::decode(&mut BytesMut::from(bytes), version, 1000).unwrap_err()
    };
    for (bytes, violation) in [
        (&b"\x00\x00"[..], Violation::PacketType(0)),
        (b"\x36\x05\x00\x01a\x00\x01", Violation::QoS3),
        (b"\x38\x03\x00\x01a", Violation::DupOnQoS0),
        (b"\x32\x05\x00\x01a\x00\x00", Violation::ZeroPacketId),
        (b"\x60\x02\x00\x01", Violation::ReservedFlags),
        (b"\x82\x02\x00\x01", Violation::NoFilters),
        (
            b"\x82\x06\x00\x01\x00\x01a\x04",
            Violation::SubscriptionOptions,
        ),
        (b"\xc0\x01\x00", Violation::TrailingBytes),
        (b"\xf0\x00", Violation::PacketType(15)),
        (b"\x30\x03\x00\x01#", Violation::TopicName),
        (b"\x30\xff\xff\xff\xff", Violation::MalformedVarint),
        // Of a server, as a client of ours would see them.
        (b"\x20\x02\x01\x05", Violation::ReasonCode(5)),
        (b"\x20\x02\x00\x06", Violation::ReasonCode(6)),
        (b"\x20\x03\x00\x00\x00", Violation::TrailingBytes),
        (b"\x90\x03\x00\x01\x87", Violation::ReasonCode(0x87)),
        (b"\xb0\x03\x00\x01\x00", Violation::TrailingBytes),
    ] {
        assert_eq!(refused(bytes, Version::V3_1_1), violation, "{bytes:02x?}");
    }
    let with_session = b"\x20\x03\x01\x87\x00";
    assert_eq!(
        refused(with_session, Version::V5),
        Violation::ReasonCode(0x87)
    );
}
