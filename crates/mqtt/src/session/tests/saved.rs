//! What outlives a connection, and what waits until it is saved.

use super::*;

fn durable_connect() -> Connect {
    let mut connect = connect(Version::V5);
    connect.clean_start = false;
    connect.properties.session_expiry_s = Some(100);
    connect
}

fn accepted(resumed: Option<Resumed>) -> Accepted {
    Accepted {
        session_expiry_s: 100,
        resumed,
        ..Accepted::default()
    }
}

fn durable(resumed: Option<Resumed>) -> Subject {
    let mut subject = Subject::new();
    subject.connect(durable_connect());
    subject
        .session
        .handle_accepted(subject.now, accepted(resumed));
    subject
}

fn up() -> Subject {
    let mut subject = durable(None);
    assert!(matches!(subject.sent()[..], [Packet::ConnAck(_)]));
    subject
}

impl Subject {
    fn save(&mut self) {
        let revision = self.session.wants_saving().expect("something to save");
        self.session.handle_saved(revision);
    }
}

fn from_log(qos: QoS, offset: i64) -> Delivery {
    let mut delivery = delivery(qos);
    let message = Message::new(
        TopicName::try_from("a/b").unwrap(),
        qos,
        false,
        Properties::default(),
        Bytes::from_static(b"x"),
        None,
    );
    delivery.message = Arc::new(message.at(Origin { log: 7, offset }, 0));
    delivery
}

fn in_flight(packet_id: u16, qos: QoS, step: Step) -> InFlight {
    InFlight {
        packet_id: id(packet_id),
        origin: Some(Origin { log: 7, offset: 1 }),
        qos,
        retain: false,
        subscription_ids: vec![],
        step,
        share: 0,
    }
}

#[test]
fn a_publish_at_qos_2_is_answered_when_its_identifier_is_saved() {
    let mut subject = up();
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    let (token, _) = subject.appended();
    assert_eq!(subject.session.saved(&[]).received, []);
    subject.session.handle_appended(token.unwrap(), Ok(()));
    assert_eq!(subject.sent(), []);
    assert_eq!(subject.session.saved(&[]).received, [id(5)]);
    subject.save();
    assert_eq!(subject.sent(), [Packet::PubRec(Ack::success(id(5)))]);
    subject.receive(Packet::PubRel(Ack::success(id(5))));
    assert_eq!(subject.sent(), []);
    assert_eq!(subject.session.saved(&[]).received, []);
    subject.save();
    assert_eq!(subject.sent(), [Packet::PubComp(Ack::success(id(5)))]);
    assert_eq!(subject.session.wants_saving(), None);
}

#[test]
fn a_delivery_at_qos_2_leaves_when_its_identifier_is_saved_and_at_qos_1_does_not_overtake_it() {
    let mut subject = up();
    let now = subject.now;
    for (qos, offset) in [
        (QoS::AtLeastOnce, 2),
        (QoS::ExactlyOnce, 3),
        (QoS::AtLeastOnce, 4),
    ] {
        subject.session.handle_delivery(now, &from_log(qos, offset));
        // Two are on their way at most: the first is acknowledged.
        if offset == 2 {
            assert_eq!(
                subject.sent(),
                [Packet::Publish(publish(QoS::AtLeastOnce, 1))]
            );
            subject.receive(Packet::PubAck(Ack::success(id(1))));
        }
    }
    assert_eq!(subject.sent(), []);
    let saved = subject.session.saved(&[]).in_flight;
    let offsets: Vec<_> = saved.iter().map(|f| f.origin.unwrap().offset).collect();
    assert_eq!(offsets, [3, 4]);
    subject.save();
    assert_eq!(
        subject.sent(),
        [
            Packet::Publish(publish(QoS::ExactlyOnce, 2)),
            Packet::Publish(publish(QoS::AtLeastOnce, 3))
        ]
    );
    subject.receive(Packet::PubRec(Ack::success(id(2))));
    assert_eq!(subject.sent(), []);
    assert_eq!(subject.session.saved(&[]).in_flight[0].step, Step::Comp);
    subject.save();
    assert_eq!(subject.sent(), [Packet::PubRel(Ack::success(id(2)))]);
}

#[test]
fn what_is_saved_late_does_not_let_go_what_came_after() {
    let mut subject = up();
    let now = subject.now;
    subject
        .session
        .handle_delivery(now, &from_log(QoS::ExactlyOnce, 3));
    let first = subject.session.wants_saving().unwrap();
    subject
        .session
        .handle_delivery(now, &from_log(QoS::ExactlyOnce, 4));
    subject.session.handle_saved(first);
    assert_eq!(
        subject.sent(),
        [Packet::Publish(publish(QoS::ExactlyOnce, 1))]
    );
    subject.save();
    assert_eq!(
        subject.sent(),
        [Packet::Publish(publish(QoS::ExactlyOnce, 2))]
    );
}

#[test]
fn mqtt_4_4_0_1_unacknowledged_packets_are_sent_again_in_their_order_with_dup() {
    let message = Arc::clone(&from_log(QoS::ExactlyOnce, 1).message);
    let resumed = Resumed {
        received: vec![id(9)],
        in_flight: vec![
            (in_flight(4, QoS::ExactlyOnce, Step::Comp), None),
            (
                in_flight(5, QoS::AtLeastOnce, Step::Ack),
                Some(Arc::clone(&message)),
            ),
            (
                in_flight(6, QoS::ExactlyOnce, Step::Rec),
                Some(Arc::clone(&message)),
            ),
        ],
    };
    let mut subject = durable(Some(resumed));
    let again = |qos, packet_id| {
        let mut packet = publish(qos, packet_id);
        packet.dup = true;
        Packet::Publish(packet)
    };
    // Two at a time: what waits for PUBCOMP counts, too.
    match &subject.sent()[..] {
        [Packet::ConnAck(connack), rest @ ..] => {
            assert!(connack.session_present);
            assert_eq!(
                rest,
                [
                    Packet::PubRel(Ack::success(id(4))),
                    again(QoS::AtLeastOnce, 5)
                ]
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(subject.session.saved(&[]).in_flight.len(), 3);
    subject.receive(Packet::PubComp(Ack::success(id(4))));
    assert_eq!(subject.sent(), [again(QoS::ExactlyOnce, 6)]);
    assert_eq!(subject.session.delivery_room(), 0);
    // [MQTT-4.3.3-10] across connections: a publish whose PUBREC was lost is not stored again.
    subject.receive(again(QoS::ExactlyOnce, 9));
    assert!(subject.session.poll_output().is_none());
    assert_eq!(subject.sent(), [Packet::PubRec(Ack::success(id(9)))]);
    // A new message gets an identifier that is free.
    subject.receive(Packet::PubAck(Ack::success(id(5))));
    subject
        .session
        .handle_delivery(subject.now, &from_log(QoS::AtLeastOnce, 8));
    assert_eq!(
        subject.sent(),
        [Packet::Publish(publish(QoS::AtLeastOnce, 7))]
    );
}

#[test]
fn a_message_that_the_log_has_lost_is_released_so_that_its_identifier_is_free() {
    let resumed = Resumed {
        received: vec![],
        in_flight: vec![
            (in_flight(1, QoS::AtLeastOnce, Step::Ack), None),
            (in_flight(2, QoS::ExactlyOnce, Step::Rec), None),
        ],
    };
    let mut subject = durable(Some(resumed));
    assert_eq!(subject.sent()[1..], [Packet::PubRel(Ack::success(id(2)))]);
    assert_eq!(subject.session.delivery_room(), 1);
}

#[test]
fn an_acknowledgement_that_comes_before_the_resend_counts() {
    let message = Arc::clone(&from_log(QoS::ExactlyOnce, 1).message);
    let resumed = Resumed {
        received: vec![],
        in_flight: (1..=4)
            .map(|packet_id| {
                let known = in_flight(packet_id, QoS::ExactlyOnce, Step::Rec);
                (known, Some(Arc::clone(&message)))
            })
            .collect(),
    };
    let mut subject = durable(Some(resumed));
    assert_eq!(subject.sent().len(), 3);
    subject.receive(Packet::PubRec(Ack::success(id(3))));
    subject.save();
    assert_eq!(subject.sent(), [Packet::PubRel(Ack::success(id(3)))]);
    let steps: Vec<_> = subject
        .session
        .saved(&[])
        .in_flight
        .iter()
        .map(|known| (known.packet_id.get(), known.step))
        .collect();
    assert!(steps.contains(&(3, Step::Comp)), "{steps:?}");
}

#[test]
fn what_others_get_is_forgotten_but_not_at_qos_2() {
    let mut subject = up();
    for (share, qos) in [
        (1, QoS::AtLeastOnce),
        (1, QoS::ExactlyOnce),
        (2, QoS::AtLeastOnce),
    ] {
        let mut delivery = from_log(qos, 3);
        delivery.share = share;
        subject.session.handle_delivery(subject.now, &delivery);
    }
    let origin = Origin { log: 7, offset: 3 };
    assert_eq!(subject.session.saved(&[]).in_flight.len(), 2);
    assert_eq!(subject.session.give_away(), [(1, origin)]);
    let kept = subject.session.saved(&[]).in_flight;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].qos, QoS::ExactlyOnce);
}

#[test]
fn a_message_of_a_shared_subscription_is_finished_when_nobody_else_has_to_get_it() {
    let shared = |qos, offset| Delivery {
        share: 5,
        ..from_log(qos, offset)
    };
    let at = |offset| (5, Origin { log: 7, offset });
    for is_durable in [false, true] {
        let mut subject = match is_durable {
            false => Subject::up(Version::V5),
            true => up(),
        };
        for delivery in [
            shared(QoS::AtLeastOnce, 1),
            shared(QoS::ExactlyOnce, 2),
            from_log(QoS::AtLeastOnce, 3),
        ] {
            subject.session.handle_delivery(subject.now, &delivery);
        }
        assert_eq!(subject.session.take_finished(), []);
        if is_durable {
            subject.save();
            assert_eq!(subject.session.take_finished(), [at(2)]);
        }
        subject.receive(Packet::PubAck(Ack::success(id(1))));
        assert_eq!(subject.session.take_finished(), [at(1)]);
        subject.receive(Packet::PubRec(Ack::success(id(2))));
        assert_eq!(subject.session.take_finished(), [at(2)]);
    }
    // What is too large for the client is done with, too.
    let mut subject = Subject::new();
    let mut connect = connect(Version::V5);
    connect.properties.maximum_packet_size = Some(8);
    subject.connect(connect);
    subject
        .session
        .handle_accepted(subject.now, Accepted::default());
    subject
        .session
        .handle_delivery(subject.now, &shared(QoS::AtLeastOnce, 4));
    assert_eq!(subject.session.take_finished(), [at(4)]);
}

#[test]
fn a_publish_that_kafka_acknowledges_after_the_connection_is_lost_is_known_to_the_next() {
    let mut subject = up();
    subject.receive(Packet::Publish(publish(QoS::ExactlyOnce, 5)));
    let (token, _) = subject.appended();
    subject.session.handle_disconnected();
    assert!(subject.session.is_waiting());
    subject.session.handle_appended(token.unwrap(), Ok(()));
    assert!(!subject.session.is_waiting());
    assert_eq!(subject.session.saved(&[]).received, [id(5)]);
    assert_eq!(subject.sent(), []);
}

#[test]
fn mqtt_3_14_2_2_the_session_expiry_can_be_changed_at_the_end_but_not_from_zero() {
    let bye = |expiry_s| {
        let mut disconnect = Disconnect::new(ReasonCode::SUCCESS);
        disconnect.properties.session_expiry_s = Some(expiry_s);
        Packet::Disconnect(disconnect)
    };
    for (expiry_s, kept_s) in [(0, 0), (5, 5), (5000, 1000)] {
        let mut subject = up();
        subject.receive(bye(expiry_s));
        assert_eq!(subject.closed().0, ReasonCode::SUCCESS);
        assert_eq!(subject.session.session_expiry_s(), kept_s);
    }
    let mut subject = Subject::up(Version::V5);
    subject.receive(bye(5));
    assert_eq!(subject.closed().0, ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn topic_aliases_are_used_as_far_as_the_client_takes_them() {
    let mut subject = Subject::new();
    let mut connect = connect(Version::V5);
    connect.properties.topic_alias_maximum = Some(10);
    subject.connect(connect);
    subject
        .session
        .handle_accepted(subject.now, Accepted::default());
    subject.sent();
    let mut seen = Vec::new();
    for topic in ["a", "b", "c", "a", "b", "c"] {
        let mut delivery = delivery(QoS::AtMostOnce);
        delivery.message = Arc::new(Message::new(
            TopicName::try_from(topic).unwrap(),
            QoS::AtMostOnce,
            false,
            Properties::default(),
            Bytes::new(),
            None,
        ));
        subject.session.handle_delivery(subject.now, &delivery);
        match &subject.sent()[..] {
            [Packet::Publish(publish)] => seen.push((
                publish.topic.as_ref().map(|name| name.as_str().to_owned()),
                publish.properties.topic_alias,
            )),
            other => panic!("{other:?}"),
        }
    }
    let name = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            (name("a"), Some(1)),
            (name("b"), Some(2)),
            (name("c"), None),
            (None, Some(1)),
            (None, Some(2)),
            (name("c"), None)
        ]
    );
}

#[test]
fn mqtt_4_12_authentication_in_steps_then_and_later() {
    let auth = |reason, method: &str, data: &'static [u8]| {
        let mut auth = crate::packet::Auth {
            reason,
            properties: Properties::default(),
        };
        auth.properties.auth_method = Some(method.into());
        auth.properties.auth_data = Some(Bytes::from_static(data));
        Packet::Auth(auth)
    };
    let step = |subject: &mut Subject| match subject.session.poll_output() {
        Some(Output::Auth { data, is_start }) => (data, is_start),
        other => panic!("{other:?}"),
    };
    let mut subject = Subject::new();
    let mut connect = connect(Version::V5);
    connect.properties.auth_method = Some("M".into());
    subject.connect(connect);
    subject.session.handle_challenge(Bytes::from_static(b"1"));
    let goes_on = ReasonCode::CONTINUE_AUTHENTICATION;
    assert_eq!(subject.sent(), [auth(goes_on, "M", b"1")]);
    subject.receive(auth(goes_on, "M", b"2"));
    assert_eq!(step(&mut subject), (Bytes::from_static(b"2"), false));
    let accepted = Accepted {
        auth_data: Some(Bytes::from_static(b"3")),
        ..Accepted::default()
    };
    subject.session.handle_accepted(subject.now, accepted);
    match &subject.sent()[..] {
        [Packet::ConnAck(connack)] => {
            assert_eq!(connack.properties.auth_data.as_deref(), Some(&b"3"[..]));
            assert_eq!(connack.properties.auth_method, Some("M".into()));
        }
        other => panic!("{other:?}"),
    }
    subject.receive(auth(ReasonCode::REAUTHENTICATE, "M", b"4"));
    assert_eq!(step(&mut subject), (Bytes::from_static(b"4"), true));
    subject
        .session
        .handle_reauthenticated(Some(Bytes::from_static(b"5")));
    assert_eq!(subject.sent(), [auth(ReasonCode::SUCCESS, "M", b"5")]);
    // [MQTT-4.12.1-1] The method is the one of the CONNECT.
    subject.receive(auth(ReasonCode::REAUTHENTICATE, "N", b"6"));
    assert_eq!(subject.closed().0, ReasonCode::PROTOCOL_ERROR);
}

#[test]
fn mqtt_3_1_2_29_and_3_4_2_2_reasons_are_for_those_who_want_them_and_fit() {
    let refused = |prepare: fn(&mut Connect)| {
        let mut subject = Subject::new();
        let mut connect = connect(Version::V5);
        prepare(&mut connect);
        subject.connect(connect);
        subject
            .session
            .handle_accepted(subject.now, Accepted::default());
        subject.receive(Packet::Publish(publish(QoS::AtLeastOnce, 7)));
        let (token, _) = subject.appended();
        subject
            .session
            .handle_appended(token.unwrap(), Err(ReasonCode::NOT_AUTHORIZED));
        let sent = subject.sent();
        assert_eq!(
            sent.last(),
            Some(&Packet::PubAck(Ack::new(id(7), ReasonCode::NOT_AUTHORIZED)))
        );
        subject.reasons
    };
    assert_eq!(refused(|_| {}), ["not authorized"]);
    let none: [&str; 0] = [];
    assert_eq!(
        refused(|connect| connect.properties.request_problem_information = Some(0)),
        none
    );
    assert_eq!(
        refused(|connect| connect.properties.maximum_packet_size = Some(15)),
        none
    );
}

#[test]
fn a_payload_that_is_not_what_it_says_and_a_topic_beyond_the_limits_are_refused() {
    let mut subject = Subject::up(Version::V5);
    let mut text = publish(QoS::AtLeastOnce, 1);
    text.properties.payload_format = Some(1);
    text.payload = Bytes::from_static(b"\xff");
    subject.receive(Packet::Publish(text));
    let invalid = ReasonCode::PAYLOAD_FORMAT_INVALID;
    assert_eq!(subject.sent(), [Packet::PubAck(Ack::new(id(1), invalid))]);
    let mut deep = publish(QoS::AtLeastOnce, 2);
    deep.topic = Some(TopicName::try_from("1/2/3/4/5/6/7/8/9/10/11").unwrap());
    subject.receive(Packet::Publish(deep));
    let invalid = ReasonCode::TOPIC_NAME_INVALID;
    assert_eq!(subject.sent(), [Packet::PubAck(Ack::new(id(2), invalid))]);
    assert!(subject.session.poll_output().is_none());
}
