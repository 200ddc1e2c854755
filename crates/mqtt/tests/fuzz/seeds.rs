//! Seeds that are packets.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use mqtt::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, PacketId, Publish, SubAck, Subscribe,
    Subscription, SubscriptionOptions, UnsubAck, Unsubscribe, Will,
};
use mqtt::properties::Properties;
use mqtt::{QoS, ReasonCode, TopicFilter, TopicName, Version, codec};

type Files = BTreeMap<String, Vec<u8>>;

const VERSIONS: [(&str, Version); 3] = [
    ("3.1", Version::V3_1),
    ("3.1.1", Version::V3_1_1),
    ("5", Version::V5),
];

/// One file for each packet and version: the version's number, then the packet.
pub(crate) fn decode() -> Files {
    let mut files = Files::new();
    for (number, (version_name, version)) in (0u8..).zip(VERSIONS) {
        for (name, packet) in packets(version) {
            let mut bytes = vec![number];
            bytes.extend_from_slice(&wire(&packet, version));
            files.insert(format!("{name}-{version_name}"), bytes);
        }
    }
    files
}

/// One file for each version: a whole life of a session, as `session::run` reads it.
pub(crate) fn session() -> Files {
    let mut files = Files::new();
    for (name, version) in VERSIONS {
        let mut steps = Vec::new();
        receive(
            &mut steps,
            &Packet::Connect(Box::new(connect(version))),
            version,
        );
        steps.extend([1, 2]); // accepted, and the session outlives its connection
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            receive(&mut steps, &Packet::Publish(publish(qos)), version);
            steps.extend([2, 0, 1]); // Kafka has it
            steps.extend([4, qos as u8, 5]); // a message for the client
            steps.push(6); // the session is saved
        }
        for packet in [
            Packet::PubRel(Ack::success(id(7))),
            Packet::Subscribe(subscribe()),
            Packet::Unsubscribe(unsubscribe()),
        ] {
            receive(&mut steps, &packet, version);
        }
        steps.extend([6, 3, 1]); // saved, subscribed
        for packet in [
            Packet::PubAck(Ack::success(id(1))),
            Packet::PubRec(Ack::success(id(2))),
            Packet::PubComp(Ack::success(id(2))),
            Packet::PingReq,
        ] {
            receive(&mut steps, &packet, version);
        }
        let mut ended = steps.clone();
        receive(
            &mut ended,
            &Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)),
            version,
        );
        files.insert(format!("goodbye-{name}"), ended);
        steps.extend([5, 200]); // silence
        files.insert(format!("silence-{name}"), steps);
    }
    files.insert("authentication-5".into(), authentication());
    files
}

/// A client that is challenged, then let in, and that authenticates again.
fn authentication() -> Vec<u8> {
    let mut connect = connect(Version::V5);
    connect.properties.auth_method = Some("m".into());
    let auth = |reason| {
        let mut properties = Properties::default();
        properties.auth_method = Some("m".into());
        Packet::Auth(Auth { reason, properties })
    };
    let mut steps = Vec::new();
    receive(&mut steps, &Packet::Connect(Box::new(connect)), Version::V5);
    steps.extend([7, 0]); // challenged
    receive(
        &mut steps,
        &auth(ReasonCode::CONTINUE_AUTHENTICATION),
        Version::V5,
    );
    steps.extend([1, 0]); // accepted
    receive(&mut steps, &auth(ReasonCode::REAUTHENTICATE), Version::V5);
    steps.extend([7, 1]); // still the same
    steps
}

fn receive(steps: &mut Vec<u8>, packet: &Packet, version: Version) {
    let bytes = wire(packet, version);
    steps.extend([0, u8::try_from(bytes.len()).unwrap()]);
    steps.extend_from_slice(&bytes);
}

fn wire(packet: &Packet, version: Version) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec::encode(packet, version, &mut bytes);
    bytes
}

fn packets(version: Version) -> Vec<(&'static str, Packet)> {
    let ack = Ack::success(id(7));
    let mut packets = vec![
        ("connect", Packet::Connect(Box::new(connect(version)))),
        (
            "connack",
            Packet::ConnAck(ConnAck {
                session_present: true,
                reason: ReasonCode::SUCCESS,
                properties: properties(),
            }),
        ),
        ("publish-0", Packet::Publish(publish(QoS::AtMostOnce))),
        ("publish-2", Packet::Publish(publish(QoS::ExactlyOnce))),
        ("puback", Packet::PubAck(ack.clone())),
        ("pubrec", Packet::PubRec(ack.clone())),
        ("pubrel", Packet::PubRel(ack.clone())),
        ("pubcomp", Packet::PubComp(ack)),
        ("subscribe", Packet::Subscribe(subscribe())),
        (
            "suback",
            Packet::SubAck(SubAck {
                packet_id: id(7),
                properties: properties(),
                reasons: [0, 1, 2, 0x80].map(ReasonCode).to_vec(),
            }),
        ),
        ("unsubscribe", Packet::Unsubscribe(unsubscribe())),
        (
            "unsuback",
            Packet::UnsubAck(UnsubAck {
                packet_id: id(7),
                properties: properties(),
                reasons: vec![ReasonCode::SUCCESS],
            }),
        ),
        ("pingreq", Packet::PingReq),
        ("pingresp", Packet::PingResp),
        (
            "disconnect",
            Packet::Disconnect(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL)),
        ),
    ];
    if version.is_v5() {
        packets.push((
            "auth",
            Packet::Auth(Auth {
                reason: ReasonCode::CONTINUE_AUTHENTICATION,
                properties: properties(),
            }),
        ));
    }
    packets
}

fn connect(version: Version) -> Connect {
    let mut own = properties();
    own.receive_maximum = Some(2);
    own.session_expiry_s = Some(60);
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 30,
        properties: own,
        client_id: "c".into(),
        will: Some(Will {
            topic: name("will"),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: properties(),
        }),
        username: Some("u".into()),
        password: Some(Bytes::from_static(b"p")),
    }
}

fn publish(qos: QoS) -> Publish {
    let mut own = properties();
    own.topic_alias = Some(1);
    own.message_expiry_s = Some(5);
    Publish {
        dup: false,
        qos,
        retain: qos == QoS::AtLeastOnce,
        topic: Some(name("a/b")),
        packet_id: (qos > QoS::AtMostOnce).then(|| id(7)),
        properties: own,
        payload: Bytes::from_static(b"hello"),
    }
}

fn subscribe() -> Subscribe {
    let subscription = |filter| Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions {
            qos: QoS::ExactlyOnce,
            ..SubscriptionOptions::default()
        },
    };
    Subscribe {
        packet_id: id(8),
        properties: properties(),
        subscriptions: vec![subscription("a/+/#"), subscription("$share/g/a")],
    }
}

fn unsubscribe() -> Unsubscribe {
    Unsubscribe {
        packet_id: id(9),
        properties: properties(),
        filters: vec![TopicFilter::new("a/+/#").unwrap()],
    }
}

fn properties() -> Properties {
    let mut properties = Properties::default();
    properties.user.push(("k".into(), "v".into()));
    properties
}

fn name(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

fn id(number: u16) -> PacketId {
    PacketId::try_from(number).unwrap()
}
