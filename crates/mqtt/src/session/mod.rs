//! The server's side of one connection, as a state machine.
//!
//! Methods come in three kinds. `handle_*` take what happened outside: bytes came, Kafka has a message, a message is
//! to be delivered, the state is saved, time passed. [`Session::poll_output`] says what the driver must do:
//! authenticate, append, subscribe, close. [`Session::transmit`] holds the bytes to send. A driver's loop is: fulfil
//! outputs, save the state if [`Session::wants_saving`], send what is to be sent, wait for bytes, events or
//! [`Session::poll_timeout`].
//!
//! A session that outlives its connection sends nothing at QoS 2 that depends on a state which is not saved: PUBREC and
//! PUBCOMP, and PUBLISH and PUBREL to the client, wait for [`Session::handle_saved`].

mod connect;
mod incoming;
mod message;
mod outgoing;
mod saved;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

pub use connect::{Accepted, asked_expiry_s};
pub use incoming::Token;
pub use message::{Delivery, Extra, Message, Origin};
pub use saved::{InFlight, Resumed, Saved, Step};

use crate::packet::{
    Ack, Connect, Disconnect, PacketId, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe, Will,
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
    /// The largest CONNECT, in bytes: what a stranger may send.
    pub connect_bytes_max: usize,
    /// How many QoS 1 and 2 publishes of the client wait for their acknowledgement at most.
    pub receive_maximum: u16,
    /// How many QoS 1 and 2 messages are on their way to the client at most.
    pub in_flight_max: u16,
    /// The highest topic alias the client may use; 0: none.
    pub topic_alias_maximum: u16,
    /// The highest topic alias that is used towards the client, if it takes so many; 0: none.
    pub client_alias_maximum: u16,
    /// The longest keep alive in seconds; one of 0 (never) is lowered to it, too. 0: no limit.
    pub keep_alive_max_s: u16,
    /// The longest time that a session outlives its connection, in seconds; `u32::MAX`: no limit.
    pub session_expiry_max_s: u32,
    /// How long the client may take until its CONNECT is complete, and for each step of its authentication.
    pub connect_timeout: Duration,
    /// The longest client identifier, in bytes.
    pub client_id_bytes_max: usize,
    /// The longest topic name or filter, in bytes.
    pub topic_bytes_max: usize,
    /// The most levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// Refuse a payload that says it is UTF-8 and is not (§3.3.2.3.2).
    pub validates_payload_format: bool,
}

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    /// Decide on this CONNECT; answer with [`Session::handle_accepted`], [`Session::handle_refused`] or, where the
    /// method of enhanced authentication wants more, [`Session::handle_challenge`].
    Connect(Box<Connect>),
    /// The next step of enhanced authentication. Answer as to [`Output::Connect`] when the client is not let in yet,
    /// else with [`Session::handle_challenge`], [`Session::handle_reauthenticated`] or [`Session::close`].
    Auth {
        /// The client's data.
        data: Bytes,
        /// The client, which is connected, starts to authenticate again.
        is_start: bool,
    },
    /// Store a message; answer with [`Session::handle_appended`] when there is a token (QoS 1 and 2).
    Append {
        /// Names this message in the answer.
        token: Option<Token>,
        /// The message; its topic is set, also when it came by alias.
        publish: Publish,
    },
    /// Subscribe; answer with [`Session::handle_subscribed`].
    Subscribe(Subscribe),
    /// Unsubscribe; answer with [`Session::handle_unsubscribed`].
    Unsubscribe {
        /// For the answer.
        packet_id: PacketId,
        /// Filters.
        filters: Vec<TopicFilter>,
    },
    /// Send what is to be sent, then close the connection. No output comes after it.
    Close {
        /// Why.
        reason: ReasonCode,
        /// What is to be published, now or after its delay (§3.1.3.2.2).
        will: Option<Box<Will>>,
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
    /// The driver decides on the CONNECT, or on an AUTH that followed it.
    Deciding(Box<Connect>),
    /// The client must answer with an AUTH before it is let in.
    Challenged(Box<Connect>),
    /// Packets flow.
    Up,
    /// The connection is to be closed, or is.
    Closed,
}

/// Bytes that wait until the session's state is saved.
#[derive(Debug)]
struct Held {
    revision: u64,
    bytes: Bytes,
    /// The message of a shared subscription that is finished when they leave.
    finishes: Option<(u32, Origin)>,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    state: State,
    version: Version,
    will: Option<Box<Will>>,
    keep_alive: Option<Duration>,
    last_received: Instant,
    session_expiry_s: u32,
    /// The client asked for a session that outlives its connection, so it may change its mind on how long.
    may_extend: bool,
    /// The session outlives its connection, so what depends on its state waits until that is saved.
    is_durable: bool,
    /// Counts the changes of state that packets depend on.
    revision: u64,
    held: VecDeque<Held>,
    auth_method: Option<Box<Text>>,
    is_reauthenticating: bool,
    wants_reasons: bool,
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
            session_expiry_s: 0,
            may_extend: false,
            is_durable: false,
            revision: 0,
            held: VecDeque::new(),
            auth_method: None,
            is_reauthenticating: false,
            wants_reasons: true,
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

    /// Whether bytes should be read: not while a CONNECT is decided on, nor while so many publishes of a client that
    /// knows no Receive Maximum wait for Kafka that it has to wait, too.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::New | State::Challenged(_) => true,
            State::Up => self.version.is_v5() || !self.incoming.is_full(),
            State::Deciding(_) | State::Closed => false,
        }
    }

    /// How long the session outlives its connection, in seconds; `u32::MAX` is for ever. The client may have changed it
    /// at its DISCONNECT.
    pub fn session_expiry_s(&self) -> u32 {
        self.session_expiry_s
    }

    /// The will, as long as it may have to be published.
    pub fn will(&self) -> Option<&Will> {
        self.will.as_deref()
    }

    /// Whether some message of the client waits for Kafka's answer, also after the connection is closed: its identifier
    /// belongs to the state that is saved.
    pub fn is_waiting(&self) -> bool {
        self.incoming.is_waiting()
    }

    /// What has to be saved for the next connection of this session. `with`: QoS 2 messages that are stored together with
    /// it, all or nothing; answer with [`Self::handle_stored`].
    pub fn saved(&self, with: &[Token]) -> Saved {
        Saved {
            received: self.incoming.received(with),
            in_flight: self.outgoing.saved(),
        }
    }

    /// The client is gone: forgets what others get instead of it, the QoS 1 messages of shared subscriptions. Returns where
    /// they can be read, by [`Delivery::share`].
    pub fn give_away(&mut self) -> Vec<(u32, Origin)> {
        self.outgoing.give_away()
    }

    /// Messages of shared subscriptions that nobody else has to get any more, since the last call, by [`Delivery::share`]:
    /// at QoS 1 the client has acknowledged them; at QoS 2 it has got them (PUBREC), or a session that outlives its
    /// connection is saved with them; or they were dropped, being expired or too large for the client.
    pub fn take_finished(&mut self) -> Vec<(u32, Origin)> {
        self.outgoing.take_finished()
    }

    /// The revision of the state that has to be saved before some packets can leave, if any wait for that. Answer with
    /// [`Self::handle_saved`].
    pub fn wants_saving(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.revision)
    }

    /// The state as it was at `revision` is saved.
    pub fn handle_saved(&mut self, revision: u64) {
        while let Some(held) = self.held.pop_front_if(|held| held.revision <= revision) {
            self.transmit.extend_from_slice(&held.bytes);
            if let Some((share, origin)) = held.finishes {
                self.outgoing.finish(share, Some(origin));
            }
        }
    }

    /// How many QoS 1 and 2 deliveries can be taken now.
    pub fn delivery_room(&self) -> usize {
        self.outgoing.room()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() && self.outputs.capacity() > 0 {
            // An idle connection holds no memory for what it may have to do.
            self.outputs = VecDeque::new();
        }
        next
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
            State::New | State::Challenged(_) => {
                Some(self.last_received + self.limits.connect_timeout)
            }
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
            let bytes_max = match self.state {
                State::New | State::Challenged(_) => self.limits.connect_bytes_max,
                _ => self.limits.packet_bytes_max,
            };
            match codec::decode(buffer, self.version, bytes_max) {
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
            (State::Challenged(_), Packet::Auth(auth)) => self.auth(auth),
            // [MQTT-3.1.4-6] Until CONNACK, AUTH and DISCONNECT are all that the client may send.
            (State::Challenged(_), Packet::Disconnect(_)) => {
                self.closed(ReasonCode::SUCCESS);
                Ok(())
            }
            (State::Challenged(_), _) => Err(Violation::Unexpected),
            (State::Up, packet) => self.packet_when_up(now, packet),
            (State::Deciding(_) | State::Closed, _) => Ok(()),
        };
        if let Err(violation) = result {
            self.violated(violation);
        }
    }

    /// Kafka has the message of `token`, or it never will.
    pub fn handle_appended(&mut self, token: Token, result: Result<(), ReasonCode>) {
        let reason = match result {
            Ok(()) => ReasonCode::SUCCESS,
            Err(reason) => reason,
        };
        self.incoming.appended(token, reason, false);
        self.send_acks();
    }

    /// Kafka has the message of `token`, and with it the state that [`Self::saved`] gave.
    pub fn handle_stored(&mut self, token: Token) {
        self.incoming.appended(token, ReasonCode::SUCCESS, true);
        self.send_acks();
    }

    /// Whether the session's state outlives the connection, so that QoS 2 depends on what is saved of it.
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn send_acks(&mut self) {
        while let Some(next) = self.incoming.next_ack() {
            let ack = next.packet;
            let (Packet::PubAck(of_ack) | Packet::PubRec(of_ack)) = &ack else {
                unreachable!("a publish is acknowledged by one of the two");
            };
            match (&ack, of_ack.reason) {
                // The client is gone; only the state counts.
                _ if self.is_closed() => {}
                // [MQTT-3.3.5-2] of 3.1.1: there is no way to refuse, so the connection is closed.
                (_, reason) if reason.is_error() && !self.version.is_v5() => self.close(reason),
                (Packet::PubRec(_), ReasonCode::SUCCESS) if !next.is_saved => {
                    self.send_when_saved(&ack);
                }
                _ => self.send(ack),
            }
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
        let is_exactly_once = delivery.qos == QoS::ExactlyOnce;
        // One that need not wait does not overtake one that does, so that they can be sent again in the order in which
        // they were sent [MQTT-4.6.0-1].
        let waits = self.is_durable
            && (is_exactly_once || (delivery.qos > QoS::AtMostOnce && !self.held.is_empty()));
        let sent = if waits {
            let mut bytes = BytesMut::new();
            let sent = self
                .outgoing
                .deliver(now, self.version, delivery, false, &mut bytes);
            if sent.is_some() {
                let shared = is_exactly_once && delivery.share != 0;
                let origin = delivery.message.origin.filter(|_| shared);
                let finishes = origin.map(|origin| (delivery.share, origin));
                self.hold(bytes.freeze(), is_exactly_once, finishes);
            }
            sent
        } else {
            let out = &mut self.transmit;
            self.outgoing
                .deliver(now, self.version, delivery, true, out)
        };
        match sent {
            Some(qos) => self.stats.sent[qos as usize] += 1,
            None => {
                self.stats.dropped += 1;
                self.outgoing
                    .finish(delivery.share, delivery.message.origin);
            }
        }
    }

    /// The server ends the connection.
    pub fn close(&mut self, reason: ReasonCode) {
        self.close_to(reason, None);
    }

    /// The server ends the connection, and names another one that the client should use.
    pub fn close_to(&mut self, reason: ReasonCode, server: Option<&str>) {
        if self.is_up() && self.version.is_v5() {
            let mut disconnect = Disconnect::new(reason);
            disconnect.properties.server_reference = server.map(Text::from);
            if reason.is_error() {
                disconnect.properties.reason_string = Some(Text::from(
                    match self.violation {
                        Some(violation) => violation.to_string(),
                        None => reason.text().to_owned(),
                    }
                    .as_str(),
                ));
            }
            self.send(Packet::Disconnect(disconnect));
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
        // What waits for the state would come too late; the next connection finds it there.
        self.held.clear();
        // It stays part of the state, which may be saved again before its end is: else it would be lost in between.
        let will = self.will.clone();
        self.outputs.push_back(Output::Close { reason, will });
    }

    fn packet_when_up(&mut self, now: Instant, packet: Packet) -> Result<(), Violation> {
        match packet {
            Packet::Publish(publish) => self.publish(publish)?,
            Packet::PubAck(ack) => {
                self.outgoing.handle_puback(&ack);
                self.resend(now);
            }
            Packet::PubRec(ack) => match self.outgoing.handle_pubrec(&ack) {
                Some(pubrel) => self.send_when_saved(&pubrel),
                None => self.resend(now),
            },
            Packet::PubComp(ack) => {
                self.outgoing.handle_pubcomp(&ack);
                self.resend(now);
            }
            Packet::PubRel(ack) => {
                if self.incoming.release(ack.packet_id) {
                    self.send_when_saved(&Packet::PubComp(Ack::success(ack.packet_id)));
                } else {
                    let unknown = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
                    self.send(Packet::PubComp(Ack::new(ack.packet_id, unknown)));
                }
            }
            Packet::Subscribe(subscribe) => self.outputs.push_back(Output::Subscribe(subscribe)),
            Packet::Unsubscribe(Unsubscribe {
                packet_id, filters, ..
            }) => self
                .outputs
                .push_back(Output::Unsubscribe { packet_id, filters }),
            Packet::PingReq => self.send(Packet::PingResp),
            Packet::Disconnect(disconnect) => self.disconnect(&disconnect)?,
            Packet::Auth(auth) => self.auth(auth)?,
            Packet::Connect(_) => return Err(Violation::SecondConnect),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Violation::Unexpected);
            }
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
        let reason = self.refusal(&publish);
        self.stats.received[publish.qos as usize] += 1;
        let token = match (publish.qos, publish.packet_id) {
            (QoS::AtMostOnce, _) | (_, None) => None,
            (qos, Some(packet_id)) => {
                // [MQTT-3.3.4-9]; one that is sent again counts once.
                if self.version.is_v5()
                    && self.incoming.is_used_up()
                    && !self.incoming.knows(packet_id)
                {
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
        match (reason, token) {
            (None, _) => self.outputs.push_back(Output::Append { token, publish }),
            (Some(reason), Some(token)) => self.handle_appended(token, Err(reason)),
            (Some(reason), None) => self.close(reason),
        }
        Ok(())
    }

    /// Why a publish that is well formed is not taken.
    fn refusal(&self, publish: &Publish) -> Option<ReasonCode> {
        let is_text = publish.properties.payload_format == Some(1);
        if publish
            .topic
            .as_ref()
            .is_some_and(|topic| !self.topic_fits(topic))
        {
            Some(ReasonCode::TOPIC_NAME_INVALID)
        } else if self.limits.validates_payload_format
            && is_text
            && std::str::from_utf8(&publish.payload).is_err()
        {
            Some(ReasonCode::PAYLOAD_FORMAT_INVALID)
        } else {
            None
        }
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> Result<(), Violation> {
        if let Some(expiry_s) = disconnect.properties.session_expiry_s {
            // [MQTT-3.1.2-23] of the text: a session that was to end with its connection does so.
            if expiry_s > 0 && !self.may_extend {
                return Err(Violation::PropertyValue(0x11));
            }
            self.session_expiry_s = expiry_s.min(self.limits.session_expiry_max_s);
        }
        // [MQTT-3.14.2-2] The server alone names another one.
        if disconnect.properties.server_reference.is_some() {
            return Err(Violation::Property(0x1c));
        }
        // [MQTT-3.14.4-3] A normal end deletes the will.
        if disconnect.reason == ReasonCode::SUCCESS {
            self.will = None;
        }
        self.closed(disconnect.reason);
        Ok(())
    }

    /// Sends what an earlier connection left, as far as the client takes it now.
    fn resend(&mut self, now: Instant) {
        while let Some(qos) = self.outgoing.resend(now, self.version, &mut self.transmit) {
            self.stats.sent[qos as usize] += 1;
        }
    }

    fn send(&mut self, packet: Packet) {
        let limit = self.outgoing.packet_bytes_max();
        if self.version.is_v5() {
            encode_within(packet, limit, self.wants_reasons, &mut self.transmit);
        } else {
            codec::encode(&packet, self.version, &mut self.transmit);
        }
    }

    /// Sends a packet once the state that it tells of is saved.
    fn send_when_saved(&mut self, packet: &Packet) {
        if self.is_durable {
            let mut bytes = BytesMut::new();
            codec::encode(packet, self.version, &mut bytes);
            self.hold(bytes.freeze(), true, None);
        } else {
            codec::encode(packet, self.version, &mut self.transmit);
        }
    }

    fn hold(&mut self, bytes: Bytes, is_change: bool, finishes: Option<(u32, Origin)>) {
        self.revision += u64::from(is_change);
        self.held.push_back(Held {
            revision: self.revision,
            bytes,
            finishes,
        });
    }
}

/// Writes a packet with the reason for people that version 5 allows, unless the client wants none [MQTT-3.1.2-29] or the
/// packet would be too large with it [MQTT-3.4.2-2].
fn encode_within(mut packet: Packet, limit: usize, wants_reasons: bool, out: &mut BytesMut) {
    if let Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) = &mut packet
        && wants_reasons
        && ack.reason.is_error()
    {
        ack.properties.reason_string = Some(Text::from(ack.reason.text()));
    }
    let start = out.len();
    codec::encode(&packet, Version::V5, out);
    if out.len() - start <= limit {
        return;
    }
    out.truncate(start);
    match &mut packet {
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack) => {
            ack.properties.reason_string = None;
        }
        Packet::ConnAck(connack) => connack.properties.reason_string = None,
        Packet::Disconnect(disconnect) => disconnect.properties.reason_string = None,
        _ => {}
    }
    codec::encode(&packet, Version::V5, out);
}

/// [MQTT-3.3.2-14] A response topic is a topic name.
fn check_response_topic(publish: &Publish) -> Result<(), Violation> {
    match &publish.properties.response_topic {
        Some(topic) => TopicName::new(topic.clone()).map(drop),
        None => Ok(()),
    }
}

impl Will {
    /// The message that is published when the connection is lost.
    pub fn into_publish(self) -> Publish {
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
