//! The server's side of one connection, as a state machine.
//!
//! Methods come in three kinds. `handle_*` take what happened outside: bytes came, Kafka has a message, a message is
//! to be delivered, time passed. [`Session::poll_output`] says what the driver must do: authenticate, append,
//! subscribe, close. [`Session::transmit`] holds the bytes to send. A driver's loop is: fulfil outputs, send what is to
//! be sent, wait for bytes, events or [`Session::poll_timeout`].

mod incoming;
mod message;
mod outgoing;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

pub use incoming::Token;
pub use message::{Delivery, Message};

use crate::packet::{
    Ack, ConnAck, Connect, Disconnect, PacketId, Publish, SubAck, Subscribe, Subscription,
    UnsubAck, Unsubscribe, Will,
};
use crate::wire::Text;
use crate::{Packet, QoS, ReasonCode, TopicFilter, TopicName, Version, Violation, codec};
use incoming::Incoming;
use outgoing::Outgoing;

/// What the server takes from one client.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest packet, in bytes.
    pub packet_bytes_max: usize,
    /// How many QoS 1 and 2 publishes of the client wait for their acknowledgement at most.
    pub receive_maximum: u16,
    /// How many QoS 1 and 2 messages are on their way to the client at most.
    pub in_flight_max: u16,
    /// The highest topic alias the client may use; 0: none.
    pub topic_alias_maximum: u16,
    /// The longest keep alive in seconds; one of 0 (never) is lowered to it, too. 0: no limit.
    pub keep_alive_max_s: u16,
    /// How long the client may take until its CONNECT is complete.
    pub connect_timeout: Duration,
}

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    /// Decide on this CONNECT; answer with [`Session::handle_accepted`] or [`Session::handle_refused`].
    Connect(Box<Connect>),
    /// Store a message; answer with [`Session::handle_appended`] when there is a token (QoS 1 and 2).
    Append {
        /// Names this message in the answer.
        token: Option<Token>,
        /// The message; its topic is set, also when it came by alias.
        publish: Publish,
    },
    /// Subscribe; answer with [`Session::handle_subscribed`].
    Subscribe {
        /// For the answer.
        packet_id: PacketId,
        /// Filters and options.
        subscriptions: Vec<Subscription>,
        /// The subscription identifier, if one was given.
        subscription_id: Option<u32>,
    },
    /// Unsubscribe; answer with [`Session::handle_unsubscribed`].
    Unsubscribe {
        /// For the answer.
        packet_id: PacketId,
        /// Filters.
        filters: Vec<TopicFilter>,
    },
    /// Send what is to be sent, then close the connection. No output but a will comes after it.
    Close {
        /// Why.
        reason: ReasonCode,
    },
}

/// What one step counted; the driver adds it to the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages received, by QoS.
    pub received: [u64; 3],
    /// Messages sent, by QoS.
    pub sent: [u64; 3],
    /// Messages not sent since they were larger than the client takes, or had expired.
    pub dropped: u64,
}

#[derive(Debug)]
enum State {
    /// Nothing came yet.
    New,
    /// The driver decides on the CONNECT.
    Deciding(Box<Connect>),
    /// Packets flow.
    Up,
    /// The connection is to be closed, or is.
    Closed,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    state: State,
    version: Version,
    will: Option<Will>,
    keep_alive: Option<Duration>,
    last_received: Instant,
    incoming: Incoming,
    outgoing: Outgoing,
    outputs: VecDeque<Output>,
    transmit: BytesMut,
    stats: Stats,
    violation: Option<Violation>,
}

impl Session {
    /// A connection that has just been accepted.
    pub fn new(limits: Arc<Limits>, now: Instant) -> Self {
        Self {
            incoming: Incoming::new(limits.topic_alias_maximum, limits.receive_maximum),
            outgoing: Outgoing::new(limits.in_flight_max),
            limits,
            state: State::New,
            version: Version::V3_1_1,
            will: None,
            keep_alive: None,
            last_received: now,
            outputs: VecDeque::new(),
            transmit: BytesMut::new(),
            stats: Stats::default(),
            violation: None,
        }
    }

    /// The version that the client speaks; meaningless before its CONNECT.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the client is connected.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    /// Whether the connection is to be closed, or is.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether bytes should be read: not while a CONNECT is decided on, nor while so many publishes wait for Kafka
    /// that the client has to wait, too.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::New => true,
            State::Up => self.incoming.has_room(),
            State::Deciding(_) | State::Closed => false,
        }
    }

    /// How many QoS 1 and 2 deliveries can be taken now.
    pub fn delivery_room(&self) -> usize {
        self.outgoing.room()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Bytes to send; the driver takes them out.
    pub fn transmit(&mut self) -> &mut BytesMut {
        &mut self.transmit
    }

    /// What the client did wrong, if that is why the connection is closed.
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// What was counted since the last call.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }

    /// When [`Self::handle_timeout`] should be called; it may be called earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::New => Some(self.last_received + self.limits.connect_timeout),
            // [MQTT-3.1.2-22]
            State::Up => self
                .keep_alive
                .map(|keep_alive| self.last_received + keep_alive * 3 / 2),
            State::Deciding(_) | State::Closed => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.violated(Violation::KeepAlive);
        }
    }

    /// The connection is read again after a pause that was not the client's doing: its keep alive starts anew.
    pub fn handle_resumed(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// Bytes have come: takes complete packets from the front of `buffer` while input is wanted.
    pub fn handle_bytes(&mut self, now: Instant, buffer: &mut BytesMut) {
        while self.wants_input() {
            match codec::decode(buffer, self.version, self.limits.packet_bytes_max) {
                Ok(Some(packet)) => self.handle_packet(now, packet),
                Ok(None) => return,
                Err(violation) => return self.violated(violation),
            }
        }
    }

    /// A packet has come.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        self.last_received = now;
        let result = match (&self.state, packet) {
            (State::New, Packet::Connect(connect)) => self.connect(connect),
            (State::New, _) => Err(Violation::NotConnect),
            (State::Up, packet) => self.packet_when_up(packet),
            (State::Deciding(_) | State::Closed, _) => Ok(()),
        };
        if let Err(violation) = result {
            self.violated(violation);
        }
    }

    /// The driver lets the client in. `assigned` is the client identifier that the server chose, if it did.
    pub fn handle_accepted(&mut self, now: Instant, assigned: Option<&str>) {
        let State::Deciding(connect) = std::mem::replace(&mut self.state, State::Up) else {
            return;
        };
        self.last_received = now;
        let keep_alive_s = self.keep_alive_s(&connect);
        self.keep_alive = (keep_alive_s > 0).then(|| Duration::from_secs(keep_alive_s.into()));
        self.outgoing.set_client_limits(
            connect.properties.receive_maximum.unwrap_or(u16::MAX),
            connect.properties.maximum_packet_size,
        );
        let mut answer = ConnAck {
            // The session ends with its connection, so there is never an earlier one.
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Default::default(),
        };
        let properties = &mut answer.properties;
        properties.assigned_client_id = assigned.map(Text::from);
        properties.receive_maximum = Some(self.limits.receive_maximum);
        properties.maximum_packet_size = u32::try_from(self.limits.packet_bytes_max).ok();
        properties.topic_alias_maximum = Some(self.limits.topic_alias_maximum);
        properties.shared_subscription_available = Some(0);
        properties.server_keep_alive_s =
            (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s);
        if connect.properties.session_expiry_s.is_some_and(|s| s > 0) {
            properties.session_expiry_s = Some(0);
        }
        self.will = connect.will;
        self.send(Packet::ConnAck(answer));
    }

    /// The driver does not let the client in.
    pub fn handle_refused(&mut self, reason: ReasonCode) {
        let answer = ConnAck {
            session_present: false,
            reason,
            properties: Default::default(),
        };
        self.send(Packet::ConnAck(answer));
        self.closed(reason);
    }

    /// Kafka has the message of `token`, or it never will.
    pub fn handle_appended(&mut self, token: Token, result: Result<(), ReasonCode>) {
        if self.is_closed() {
            return;
        }
        let reason = match result {
            Ok(()) => ReasonCode::SUCCESS,
            // [MQTT-3.3.5-2] of 3.1.1: there is no way to refuse, so the connection is closed.
            Err(reason) if !self.version.is_v5() => return self.close(reason),
            Err(reason) => reason,
        };
        self.incoming.appended(token, reason);
        while let Some(ack) = self.incoming.next_ack() {
            self.send(ack);
        }
    }

    /// A message that cannot be acknowledged (QoS 0) may not be published.
    pub fn handle_not_appended(&mut self, reason: ReasonCode) {
        self.close(reason);
    }

    /// The subscriptions are made, or refused, one by one.
    pub fn handle_subscribed(&mut self, packet_id: PacketId, reasons: Vec<ReasonCode>) {
        self.send(Packet::SubAck(SubAck {
            packet_id,
            properties: Default::default(),
            reasons,
        }));
    }

    /// The subscriptions are gone, or there were none.
    pub fn handle_unsubscribed(&mut self, packet_id: PacketId, reasons: Vec<ReasonCode>) {
        self.send(Packet::UnsubAck(UnsubAck {
            packet_id,
            properties: Default::default(),
            reasons,
        }));
    }

    /// A message for this client. QoS 1 and 2 need [`Self::delivery_room`].
    pub fn handle_delivery(&mut self, now: Instant, delivery: &Delivery) {
        if !self.is_up() {
            return;
        }
        let sent = self
            .outgoing
            .deliver(now, self.version, delivery, &mut self.transmit);
        match sent {
            Some(qos) => self.stats.sent[qos as usize] += 1,
            None => self.stats.dropped += 1,
        }
    }

    /// The server ends the connection.
    pub fn close(&mut self, reason: ReasonCode) {
        if self.is_up() && self.version.is_v5() {
            self.send(Packet::Disconnect(Disconnect::new(reason)));
        }
        self.closed(reason);
    }

    /// The network connection is gone.
    pub fn handle_disconnected(&mut self) {
        if !self.is_closed() {
            self.closed(ReasonCode::UNSPECIFIED_ERROR);
        }
    }

    fn violated(&mut self, violation: Violation) {
        let reason = violation.reason_code();
        let answer = match (&self.state, violation) {
            // [MQTT-3.1.4-1] of 3.1.1: say 0x01, then close. Version 5 has its own code for it.
            (State::New, Violation::ProtocolVersion(level)) => {
                self.version = if level > 4 {
                    Version::V5
                } else {
                    Version::V3_1_1
                };
                true
            }
            _ => false,
        };
        self.violation = Some(violation);
        if answer {
            self.handle_refused(reason);
        } else {
            self.close(reason);
        }
    }

    fn closed(&mut self, reason: ReasonCode) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        self.outputs.push_back(Output::Close { reason });
        if let Some(will) = self.will.take() {
            self.outputs.push_back(Output::Append {
                token: None,
                publish: will.into_publish(),
            });
        }
    }

    fn connect(&mut self, connect: Box<Connect>) -> Result<(), Violation> {
        self.version = connect.version;
        let too_long_for_3_1 = connect.version == Version::V3_1 && connect.client_id.len() > 23;
        // [MQTT-3.1.3-8] of 3.1.1: without a client identifier there is no session to keep.
        let nameless = connect.client_id.is_empty()
            && match connect.version {
                Version::V3_1 => true,
                Version::V3_1_1 => !connect.clean_start,
                Version::V5 => false,
            };
        if nameless || too_long_for_3_1 {
            self.handle_refused(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID);
            return Ok(());
        }
        if connect.properties.auth_data.is_some() && connect.properties.auth_method.is_none() {
            return Err(Violation::PropertyValue(0x16));
        }
        if connect.properties.auth_method.is_some() {
            self.handle_refused(ReasonCode::BAD_AUTHENTICATION_METHOD);
            return Ok(());
        }
        self.state = State::Deciding(connect.clone());
        self.outputs.push_back(Output::Connect(connect));
        Ok(())
    }

    fn keep_alive_s(&self, connect: &Connect) -> u16 {
        match (connect.keep_alive_s, self.limits.keep_alive_max_s) {
            (asked, 0) => asked,
            // Before version 5 the client cannot be told another one.
            (asked, _) if !connect.version.is_v5() => asked,
            (0, limit) => limit,
            (asked, limit) => asked.min(limit),
        }
    }

    fn packet_when_up(&mut self, packet: Packet) -> Result<(), Violation> {
        match packet {
            Packet::Publish(publish) => self.publish(publish)?,
            Packet::PubAck(ack) => self.outgoing.handle_puback(&ack),
            Packet::PubRec(ack) => {
                if let Some(pubrel) = self.outgoing.handle_pubrec(&ack) {
                    self.send(pubrel);
                }
            }
            Packet::PubComp(ack) => self.outgoing.handle_pubcomp(&ack),
            Packet::PubRel(ack) => {
                let known = self.incoming.release(ack.packet_id);
                let reason = match known {
                    true => ReasonCode::SUCCESS,
                    false => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
                };
                self.send(Packet::PubComp(Ack::new(ack.packet_id, reason)));
            }
            Packet::Subscribe(subscribe) => self.subscribe(subscribe),
            Packet::Unsubscribe(Unsubscribe {
                packet_id, filters, ..
            }) => self
                .outputs
                .push_back(Output::Unsubscribe { packet_id, filters }),
            Packet::PingReq => self.send(Packet::PingResp),
            Packet::Disconnect(disconnect) => self.disconnect(&disconnect)?,
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => return Err(Violation::Unexpected),
        }
        Ok(())
    }

    fn publish(&mut self, mut publish: Publish) -> Result<(), Violation> {
        self.incoming.resolve_alias(&mut publish)?;
        // [MQTT-3.3.4-6] Only a server sets subscription identifiers.
        if !publish.properties.subscription_ids.is_empty() {
            return Err(Violation::Property(0x0b));
        }
        check_response_topic(&publish)?;
        self.stats.received[publish.qos as usize] += 1;
        let token = match (publish.qos, publish.packet_id) {
            (QoS::AtMostOnce, _) | (_, None) => None,
            (qos, Some(packet_id)) => {
                if !self.incoming.has_room() {
                    return Err(Violation::ReceiveMaximum);
                }
                let Some(token) = self.incoming.expect(packet_id, qos) else {
                    // QoS 2, sent again: it is stored already, or on its way; acknowledge it again if it is.
                    if self.incoming.is_stored(packet_id) {
                        self.send(Packet::PubRec(Ack::success(packet_id)));
                    }
                    return Ok(());
                };
                Some(token)
            }
        };
        self.outputs.push_back(Output::Append { token, publish });
        Ok(())
    }

    fn subscribe(&mut self, subscribe: Subscribe) {
        self.outputs.push_back(Output::Subscribe {
            packet_id: subscribe.packet_id,
            subscription_id: subscribe.properties.subscription_ids.first().copied(),
            subscriptions: subscribe.subscriptions,
        });
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> Result<(), Violation> {
        // [MQTT-3.14.4-3] A normal end deletes the will.
        if disconnect.reason == ReasonCode::SUCCESS {
            self.will = None;
        }
        self.closed(disconnect.reason);
        Ok(())
    }

    fn send(&mut self, packet: Packet) {
        codec::encode(&packet, self.version, &mut self.transmit);
    }
}

/// [MQTT-3.3.2-14] A response topic is a topic name.
fn check_response_topic(publish: &Publish) -> Result<(), Violation> {
    match &publish.properties.response_topic {
        Some(topic) => TopicName::new(topic.clone()).map(drop),
        None => Ok(()),
    }
}

impl Will {
    fn into_publish(self) -> Publish {
        let mut properties = self.properties;
        if properties.will_delay_s.is_some() {
            properties.will_delay_s = None;
        }
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: Some(self.topic),
            packet_id: None,
            properties,
            payload: self.payload,
        }
    }
}

#[cfg(test)]
mod tests;
