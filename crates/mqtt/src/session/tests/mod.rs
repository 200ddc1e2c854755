//! Scenario tables: packets and events in, exact packets and outputs out.

mod saved;

use super::*;
use crate::properties::Properties;
use bytes::Bytes;

fn limits() -> Arc<Limits> {
    Arc::new(Limits {
        packet_bytes_max: 10_000,
        connect_bytes_max: 5_000,
        receive_maximum: 2,
        in_flight_max: 2,
        topic_alias_maximum: 3,
        client_alias_maximum: 2,
        keep_alive_max_s: 0,
        session_expiry_max_s: 1000,
        connect_timeout: Duration::from_secs(10),
        client_id_bytes_max: 100,
        topic_bytes_max: 1000,
        topic_levels_max: 10,
        validates_payload_format: true,
    })
}

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 10,
        properties: Properties::default(),
        client_id: "c".into(),
        will: Some(Will {
            topic: TopicName::try_from("will").unwrap(),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::default(),
        }),
        username: None,
        password: None,
    }
}

/// A session with what a test wants to say about it.
struct Subject {
    session: Session,
    now: Instant,
    reasons: Vec<String>,
}

impl Subject {
    fn up(version: Version) -> Self {
        let mut subject = Self::new();
        subject.connect(connect(version));
        subject
            .session
            .handle_accepted(subject.now, Accepted::default());
        assert!(matches!(subject.sent()[..], [Packet::ConnAck(_)]));
        subject
    }

    fn new() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(limits(), now),
            now,
            reasons: Vec::new(),
        }
    }

    fn connect(&mut self, connect: Connect) {
        self.receive(Packet::Connect(Box::new(connect)));
        assert!(matches!(
            self.session.poll_output(),
            Some(Output::Connect(_))
        ));
    }

    fn receive(&mut self, packet: Packet) {
        let version = match &packet {
            Packet::Connect(connect) => connect.version,
            _ => self.session.version(),
        };
        let mut bytes = BytesMut::new();
        codec::encode(&packet, version, &mut bytes);
        self.session.handle_bytes(self.now, &mut bytes);
    }

    /// What was sent since the last call, without the reasons for people: [`Self::reasons`] has those.
    fn sent(&mut self) -> Vec<Packet> {
        let version = self.session.version();
        let mut bytes = self.session.transmit().split();
        let mut packets = Vec::new();
        while let Some(mut packet) = codec::decode(&mut bytes, version, usize::MAX).unwrap() {
            let reason = match &mut packet {
                Packet::PubAck(p) | Packet::PubRec(p) | Packet::PubComp(p) => {
                    p.properties.reason_string.take()
                }
                Packet::Disconnect(p) => p.properties.reason_string.take(),
                _ => None,
            };
            self.reasons
                .extend(reason.map(|reason| reason.as_str().to_owned()));
            packets.push(packet);
        }
        assert!(bytes.is_empty());
        packets
    }

    fn closed(&mut self) -> (ReasonCode, Option<Will>) {
        match self.session.poll_output() {
            Some(Output::Close { reason, will }) => (reason, will.map(|will| *will)),
            other => panic!("{other:?} is not the end"),
        }
    }

    fn appended(&mut self) -> (Option<Token>, Publish) {
        match self.session.poll_output() {
            Some(Output::Append { token, publish }) => (token, publish),
            other => panic!("{other:?} is not an append"),
        }
    }
}

fn id(number: u16) -> PacketId {
    PacketId::try_from(number).unwrap()
}

fn publish(qos: QoS, packet_id: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::try_from("a/b").unwrap()),
        packet_id: PacketId::try_from(packet_id).ok(),
        properties: Properties::default(),
        payload: Bytes::from_static(b"x"),
    }
}

fn delivery(qos: QoS) -> Delivery {
    let message = Message::new(
        TopicName::try_from("a/b").unwrap(),
        qos,
        false,
        Properties::default(),
        Bytes::from_static(b"x"),
        None,
    );
    Delivery {
        message: Arc::new(message),
        qos,
        retain: false,
        subscription_ids: vec![],
        extra: None,
        share: 0,
    }
}

#[test]
fn a_publish_is_acknowledged_only_when_it_is_stored() {
    let mut subject = Subject::up(Version::V5);
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 7)));
    let (token, stored) = subject.appended();
    assert_eq!(stored.topic.unwrap().as_str(), "a/b");
    assert_eq!(subject.sent(), []);
    subject.session.handle_appended(token.unwrap(), Ok(()));
    assert_eq!(subject.sent(), [Packet::PubAck(Ack::success(id(7)))]);
}

#[test]
fn mqtt_4_6_0_2_acknowledgements_keep_the_order_of_their_publishes() {
    let mut subject = Subject::up(Version::V3_1_1);
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 1)));
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 2)));
    let (first, _) = subject.appended();
    let (second, _) = subject.appended();
    subject.session.handle_appended(second.unwrap(), Ok(()));
    assert_eq!(subject.sent(), []);
    subject.session.handle_appended(first.unwrap(), Ok(()));
    assert_eq!(
        subject.sent(),
        [
            Packet::PubAck(Ack::success(id(1))),
            Packet::PubRec(Ack::success(id(2)))
        ]
    );
}

#[test]
fn mqtt_4_3_3_10_a_qos_2_publish_sent_again_is_stored_once() {
    let mut subject = Subject::up(Version::V5);
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    let (token, _) = subject.appended();
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    assert!(subject.session.poll_output().is_none());
    subject.session.handle_appended(token.unwrap(), Ok(()));
    assert_eq!(subject.sent(), [Packet::PubRec(Ack::success(id(5)))]);
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    assert!(subject.session.poll_output().is_none());
    assert_eq!(subject.sent(), [Packet::PubRec(Ack::success(id(5)))]);
    subject.receive(Packet::PubRel(Ack::success(id(5))));
    subject.receive(Packet::PubRel(Ack::success(id(5))));
    assert_eq!(
        subject.sent(),
        [
            Packet::PubComp(Ack::success(id(5))),
            Packet::PubComp(Ack::new(id(5), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND))
        ]
    );
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    assert!(subject.appended().0.is_some());
}

#[test]
fn input_waits_while_the_receive_maximum_waits_for_kafka() {
    let mut subject = Subject::up(Version::V3_1_1);
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 1)));
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 2)));
    assert!(!subject.session.wants_input());
    let (token, _) = subject.appended();
    subject.session.handle_appended(token.unwrap(), Ok(()));
    assert!(subject.session.wants_input());
}

#[test]
fn a_refused_publish_has_a_reason_in_5_and_closes_before() {
    let mut subject = Subject::up(Version::V5);
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 7)));
    let (token, _) = subject.appended();
    subject
        .session
        .handle_appended(token.unwrap(), Err(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(
        subject.sent(),
        [Packet::PubAck(Ack::new(id(7), ReasonCode::NOT_AUTHORIZED))]
    );
    assert!(subject.session.is_up());

    let mut subject = Subject::up(Version::V3_1_1);
    subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 7)));
    let (token, _) = subject.appended();
    subject
        .session
        .handle_appended(token.unwrap(), Err(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(subject.sent(), []);
    assert!(subject.session.is_closed());
}

#[test]
fn mqtt_3_3_4_9_no_more_than_the_receive_maximum_is_in_flight() {
    let mut subject = Subject::up(Version::V5);
    let now = subject.now;
    subject
        .session
        .handle_delivery(now, &delivery(QoS::AtLeastOnce));
    subject
        .session
        .handle_delivery(now, &delivery(QoS::ExactlyOnce));
    assert_eq!(subject.session.delivery_room(), 0);
    assert_eq!(
        subject.sent(),
        [
            Packet::Publish(publish(QoS::AtLeastOnce, 1)),
            Packet::Publish(publish(QoS::ExactlyOnce, 2))
        ]
    );
    subject.receive(Packet::PubAck(Ack::success(id(1))));
    subject.receive(Packet::PubRec(Ack::success(id(2))));
    assert_eq!(subject.session.delivery_room(), 1);
    assert_eq!(subject.sent(), [Packet::PubRel(Ack::success(id(2)))]);
    subject.receive(Packet::PubComp(Ack::success(id(2))));
    assert_eq!(subject.session.delivery_room(), 2);
    // QoS 0 needs no room and has no identifier.
    subject
        .session
        .handle_delivery(now, &delivery(QoS::AtMostOnce));
    assert_eq!(
        subject.sent(),
        [Packet::Publish(publish(QoS::AtMostOnce, 0))]
    );
}

#[test]
fn mqtt_3_3_2_topic_aliases_are_resolved_and_checked() {
    let mut subject = Subject::up(Version::V5);
    let aliased = |topic: Option<&str>, alias| {
        let mut packet = publish(QoS::AtMostOnce, 0);
        packet.topic = topic.map(|name| TopicName::try_from(name).unwrap());
        packet.properties.topic_alias = Some(alias);
        Packet::Publish(packet)
    };
    subject.receive(aliased(Some("long/name"), 3));
    subject.receive(aliased(None, 3));
    for _ in 0..2 {
        let (_, stored) = subject.appended();
        assert_eq!(stored.topic.unwrap().as_str(), "long/name");
        assert_eq!(stored.properties.topic_alias, None);
    }
    subject.receive(aliased(None, 2));
    assert_eq!(
        subject.sent(),
        [Packet::Disconnect(Disconnect::new(
            ReasonCode::TOPIC_ALIAS_INVALID
        ))]
    );
}

#[test]
fn mqtt_3_1_2_24_silence_closes_and_publishes_the_will() {
    for version in [Version::V3_1_1, Version::V5] {
        let mut subject = Subject::up(version);
        let deadline = subject.session.poll_timeout().unwrap();
        assert_eq!(deadline, subject.now + Duration::from_secs(15));
        subject
            .session
            .handle_timeout(deadline - Duration::from_millis(1));
        assert!(subject.session.is_up());
        subject.session.handle_timeout(deadline);
        let bye = Packet::Disconnect(Disconnect::new(ReasonCode::KEEP_ALIVE_TIMEOUT));
        let expected = if version.is_v5() { vec![bye] } else { vec![] };
        assert_eq!(subject.sent(), expected);
        let (reason, will) = subject.closed();
        assert_eq!(reason, ReasonCode::KEEP_ALIVE_TIMEOUT);
        let will = will.unwrap();
        assert_eq!((will.topic.as_str(), will.retain), ("will", true));
        assert!(subject.session.poll_output().is_none());
    }
}

#[test]
fn mqtt_3_14_4_3_a_normal_disconnect_deletes_the_will() {
    for (reason, will_comes) in [
        (ReasonCode::SUCCESS, false),
        (ReasonCode::DISCONNECT_WITH_WILL, true),
    ] {
        let mut subject = Subject::up(Version::V5);
        subject.receive(Packet::Disconnect(Disconnect::new(reason)));
        let (closed_with, will) = subject.closed();
        assert_eq!((closed_with, will.is_some()), (reason, will_comes));
        assert_eq!(subject.sent(), []);
    }
}

#[test]
fn mqtt_3_1_0_the_first_packet_is_connect_and_the_only_one() {
    let mut subject = Subject::new();
    subject.receive(Packet::PingReq);
    assert!(subject.session.is_closed());
    assert_eq!(subject.session.violation(), Some(Violation::NotConnect));

    let mut subject = Subject::up(Version::V5);
    subject.receive(Packet::Connect(Box::new(connect(Version::V5))));
    assert_eq!(
        subject.sent(),
        [Packet::Disconnect(Disconnect::new(
            ReasonCode::PROTOCOL_ERROR
        ))]
    );
}

#[test]
fn a_stranger_may_send_less_than_a_client() {
    let mut subject = Subject::new();
    let mut large = connect(Version::V5);
    large.password = Some(Bytes::from(vec![0; 5_000]));
    subject.receive(Packet::Connect(Box::new(large)));
    assert_eq!(subject.session.violation(), Some(Violation::TooLarge));
    let mut subject = Subject::up(Version::V5);
    let mut large = publish(QoS::AtMostOnce, 0);
    large.payload = Bytes::from(vec![0; 9_000]);
    subject.receive(Packet::Publish(large));
    assert_eq!(subject.appended().1.payload.len(), 9_000);
}

#[test]
fn mqtt_3_1_4_1_an_unknown_version_is_told_so() {
    let now = Instant::now();
    let mut session = Session::new(limits(), now);
    let mut bytes = BytesMut::from(&b"\x10\x0c\x00\x04MQTT\x02\x02\x00\x00\x00\x00"[..]);
    session.handle_bytes(now, &mut bytes);
    assert_eq!(&session.transmit()[..], [0x20, 2, 0, 1]);
    assert!(session.is_closed());
}

#[test]
fn expired_and_too_large_messages_are_not_sent() {
    let mut subject = Subject::up(Version::V5);
    let now = subject.now;
    let message = |expires| {
        let mut properties = Properties::default();
        properties.message_expiry_s = Some(5);
        let mut delivery = delivery(QoS::AtMostOnce);
        delivery.message = Arc::new(Message::new(
            TopicName::try_from("a/b").unwrap(),
            QoS::AtMostOnce,
            false,
            properties,
            Bytes::from_static(b"x"),
            Some(expires),
        ));
        delivery
    };
    subject.session.handle_delivery(now, &message(now));
    assert_eq!(subject.sent(), []);
    assert_eq!(subject.session.take_stats().dropped, 1);
    // [MQTT-3.3.2-6] The time that is left is sent.
    subject
        .session
        .handle_delivery(now, &message(now + Duration::from_millis(2500)));
    match &subject.sent()[..] {
        [Packet::Publish(publish)] => assert_eq!(publish.properties.message_expiry_s, Some(3)),
        other => panic!("{other:?}"),
    }
}
