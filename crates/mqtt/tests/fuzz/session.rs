//! A session under any sequence of inputs: it never panics, and all it sends are packets that a server may send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mqtt::packet::{Packet, PacketId};
use mqtt::properties::Properties;
use mqtt::session::{Accepted, Delivery, Limits, Message, Output, Resumed, Session, Token};
use mqtt::{QoS, ReasonCode, TopicName, codec};

/// Each step is a byte that says what happens, and what follows it.
pub(crate) fn run(input: &[u8]) {
    let mut bed = Bed::new();
    let mut input = input.iter().copied();
    while let Some(step) = input.next() {
        let mut next = || input.next().unwrap_or_default();
        match step % 10 {
            0 => {
                let length = next().into();
                let chunk: Vec<u8> = input.by_ref().take(length).collect();
                bed.buffer.extend_from_slice(&chunk);
            }
            1 => bed.decide(next()),
            2 => bed.appended(next().into(), next()),
            3 => bed.answer(next()),
            4 => bed.deliver(next(), next().into()),
            5 => bed.pass(Duration::from_secs(next().into())),
            6 => bed.save(),
            7 => bed.authenticate(next()),
            8 => bed.session.close(ReasonCode(0x80 | next())),
            _ => bed.session.handle_disconnected(),
        }
        bed.settle();
    }
}

/// A session and what it waits for.
struct Bed {
    session: Session,
    now: Instant,
    buffer: BytesMut,
    appends: Vec<Token>,
    subscribes: Vec<(PacketId, usize)>,
    unsubscribes: Vec<(PacketId, usize)>,
    /// The client named a method of enhanced authentication.
    has_method: bool,
    is_closed: bool,
}

impl Bed {
    fn new() -> Self {
        let now = Instant::now();
        let limits = Limits {
            connect_bytes_max: 4096,
            packet_bytes_max: 1 << 12,
            receive_maximum: 3,
            in_flight_max: 3,
            topic_alias_maximum: 2,
            client_alias_maximum: 2,
            keep_alive_max_s: 60,
            session_expiry_max_s: 3600,
            connect_timeout: Duration::from_secs(10),
            client_id_bytes_max: 32,
            topic_bytes_max: 64,
            topic_levels_max: 4,
            validates_payload_format: true,
        };
        Self {
            session: Session::new(Arc::new(limits), now),
            now,
            buffer: BytesMut::new(),
            appends: Vec::new(),
            subscribes: Vec::new(),
            unsubscribes: Vec::new(),
            has_method: false,
            is_closed: false,
        }
    }

    fn decide(&mut self, how: u8) {
        if how == 0xff {
            return self.session.handle_refused(ReasonCode::NOT_AUTHORIZED);
        }
        // What a session leaves goes on in the next one, its messages lost; this one plays both.
        let left = self.session.saved(&[]);
        let resumed = Resumed {
            received: left.received,
            in_flight: left
                .in_flight
                .into_iter()
                .map(|known| (known, None))
                .collect(),
        };
        let accepted = Accepted {
            assigned_client_id: (how & 1 != 0).then(|| "chosen".into()),
            session_expiry_s: u32::from(how & 2) * 1000,
            resumed: (how & 4 != 0).then_some(resumed),
            ..Accepted::default()
        };
        self.session.handle_accepted(self.now, accepted);
    }

    fn authenticate(&mut self, how: u8) {
        match how % 2 {
            _ if !self.has_method => {}
            0 => self.session.handle_challenge(Bytes::from_static(b"more")),
            _ => self.session.handle_reauthenticated(None),
        }
    }

    /// Kafka answers, in any order.
    fn appended(&mut self, which: usize, how: u8) {
        if !self.appends.is_empty() {
            let token = self.appends.remove(which % self.appends.len());
            let result = match how % 4 {
                0 => Err(ReasonCode::QUOTA_EXCEEDED),
                _ => Ok(()),
            };
            self.session.handle_appended(token, result);
        }
    }

    fn answer(&mut self, code: u8) {
        let reasons = |count| vec![ReasonCode(code % 3); count];
        if let Some((packet_id, count)) = self.subscribes.pop() {
            self.session.handle_subscribed(packet_id, reasons(count));
        }
        if let Some((packet_id, count)) = self.unsubscribes.pop() {
            let none = vec![ReasonCode::NO_SUBSCRIPTION_EXISTED; count];
            self.session.handle_unsubscribed(packet_id, none);
        }
    }

    fn deliver(&mut self, flags: u8, length: usize) {
        let qos = QoS::try_from(flags % 3).unwrap_or_default();
        if qos > QoS::AtMostOnce && self.session.delivery_room() == 0 {
            return;
        }
        let topic = TopicName::try_from(["a/b", "a", "b"][length % 3]).expect("a valid name");
        let expires = (flags & 4 != 0).then(|| self.now + Duration::from_secs(1));
        let mut properties = Properties::default();
        properties.message_expiry_s = expires.map(|_| 1);
        let payload = Bytes::from(vec![b'x'; length]);
        let retain = flags & 8 != 0;
        let message = Message::new(topic, qos, retain, properties, payload, expires);
        let delivery = Delivery {
            message: Arc::new(message),
            qos,
            retain,
            subscription_ids: vec![7; usize::from(flags >> 6)],
            extra: None,
            share: 0,
        };
        self.session.handle_delivery(self.now, &delivery);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    fn save(&mut self) {
        if let Some(revision) = self.session.wants_saving() {
            self.session.handle_saved(revision);
        }
    }

    /// Gives the session what has come, and takes what it puts out.
    fn settle(&mut self) {
        self.session.handle_bytes(self.now, &mut self.buffer);
        while let Some(output) = self.session.poll_output() {
            assert!(!self.is_closed, "{output:?} after the end");
            match output {
                Output::Connect(connect) => {
                    self.has_method = connect.properties.auth_method.is_some();
                }
                Output::Auth { .. } => {}
                Output::Append { token, .. } => self.appends.extend(token),
                Output::Subscribe(subscribe) => self
                    .subscribes
                    .push((subscribe.packet_id, subscribe.subscriptions.len())),
                Output::Unsubscribe { packet_id, filters } => {
                    self.unsubscribes.push((packet_id, filters.len()));
                }
                Output::Close { .. } => self.is_closed = true,
            }
        }
        let version = self.session.version();
        let mut sent = self.session.transmit().split();
        while let Some(packet) =
            codec::decode(&mut sent, version, usize::MAX).expect("the session sends valid packets")
        {
            let is_a_clients = matches!(
                packet,
                Packet::Connect(_)
                    | Packet::Subscribe(_)
                    | Packet::Unsubscribe(_)
                    | Packet::PingReq
            );
            assert!(!is_a_clients, "{packet:?} is not a server's");
        }
        assert!(sent.is_empty(), "half a packet");
    }
}
