//! A client that keeps to MQTT 5: it keeps its state while it is away, sends again what is not acknowledged, and takes a
//! QoS 2 message once.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use mqtt::packet::{Ack, Connect, Disconnect, Publish, Subscribe, Subscription, Will};
use mqtt::packet::{RetainHandling, SubscriptionOptions};
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version, codec};

use super::world::{Elsewhere, World};

/// What is on its way to the server at once: less than the server's Receive Maximum.
const WINDOW: usize = 6;
const KEEP_ALIVE_S: u16 = 2;
/// The client pings after so much silence, and gives up after twice as much.
const SILENCE_MS: u64 = 1000;
/// Longer than the server's own patience.
const CONNECT_TIMEOUT_MS: u64 = 6000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    DownUntil(u64),
    ConnectingSince(u64),
    Up,
}

/// A message on its way to the server.
struct Outgoing {
    packet_id: PacketId,
    qos: QoS,
    number: u64,
    /// PUBREC has come.
    is_released: bool,
}

pub(super) struct Client {
    id: String,
    state: State,
    pub(super) connection: Option<u64>,
    /// How many connections it has tried.
    tried: u64,
    will_delay_s: u32,
    is_subscriber: bool,
    is_subscribed: bool,
    buffer: BytesMut,
    last_packet_id: u16,
    /// Messages that it has published, by QoS.
    published: [u64; 3],
    /// How many it shall publish.
    pub(super) quota: u64,
    outgoing: VecDeque<Outgoing>,
    /// QoS 2 identifiers of the server that wait for PUBREL.
    received: BTreeSet<PacketId>,
    heard: u64,
    pub(super) has_vanished: bool,
}

impl Client {
    pub(super) fn new(number: usize, will_delay_s: u32, is_subscriber: bool, quota: u64) -> Self {
        Self {
            id: format!("c{number}"),
            state: State::DownUntil(0),
            connection: None,
            tried: 0,
            will_delay_s,
            is_subscriber,
            is_subscribed: false,
            buffer: BytesMut::new(),
            last_packet_id: 0,
            published: [0; 3],
            quota,
            outgoing: VecDeque::new(),
            received: BTreeSet::new(),
            heard: 0,
            has_vanished: false,
        }
    }

    /// Nothing is left to do, and it is served.
    pub(super) fn is_content(&self) -> bool {
        self.state == State::Up
            && self.outgoing.is_empty()
            && self.left_to_publish() == 0
            && (self.is_subscribed || !self.is_subscriber)
    }

    fn left_to_publish(&self) -> u64 {
        self.quota - self.published.iter().sum::<u64>()
    }

    pub(super) fn describe(&self) -> String {
        format!(
            "{} {:?}, {} on their way, {} to publish",
            self.id,
            self.state,
            self.outgoing.len(),
            self.left_to_publish()
        )
    }

    fn new_packet_id(&mut self) -> PacketId {
        loop {
            // Few, so that they are used again soon.
            self.last_packet_id = self.last_packet_id % 12 + 1;
            let id = PacketId::try_from(self.last_packet_id).expect("it is not 0");
            if self.outgoing.iter().all(|known| known.packet_id != id) {
                return id;
            }
        }
    }

    fn publish(&self, known: &Outgoing, dup: bool) -> Packet {
        let qos = known.qos as u8;
        let topic = format!("t/{}/{qos}", self.id);
        Packet::Publish(Publish {
            dup,
            qos: known.qos,
            retain: false,
            topic: Some(TopicName::try_from(topic.as_str()).expect("it is one")),
            packet_id: Some(known.packet_id),
            properties: Default::default(),
            payload: format!("{} {qos} {}", self.id, known.number).into(),
        })
    }

    fn connect(&self) -> Packet {
        let topic = format!("w/{}", self.id);
        let mut will = Will {
            topic: TopicName::try_from(topic.as_str()).expect("it is one"),
            payload: format!("{} {}", self.id, self.tried).into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Default::default(),
        };
        if self.will_delay_s > 0 {
            will.properties.will_delay_s = Some(self.will_delay_s);
        }
        let mut connect = Connect {
            version: Version::V5,
            clean_start: false,
            keep_alive_s: KEEP_ALIVE_S,
            properties: Default::default(),
            client_id: self.id.as_str().into(),
            will: Some(will),
            username: None,
            password: None,
        };
        connect.properties.session_expiry_s = Some(3600);
        Packet::Connect(Box::new(connect))
    }
}

impl World {
    pub(super) fn client_turn(&mut self, number: usize) {
        let next = self.now + self.rng.within(20, 200);
        self.schedule(next, Elsewhere::ClientTurn(number));
        let client = &self.clients[number];
        if client.has_vanished {
            return;
        }
        let silent_ms = self.now.saturating_sub(client.heard);
        match client.state {
            State::DownUntil(until) if self.now >= until => self.client_connects(number),
            State::DownUntil(_) => {}
            State::ConnectingSince(since) if self.now - since > CONNECT_TIMEOUT_MS => {
                self.client_leaves(number, 100);
            }
            State::ConnectingSince(_) => {}
            State::Up if silent_ms > 2 * SILENCE_MS => self.client_leaves(number, 100),
            State::Up => {
                if silent_ms > SILENCE_MS {
                    self.client_sends(number, &[Packet::PingReq]);
                }
                let client = &self.clients[number];
                let may = client.left_to_publish() > 0 && client.outgoing.len() < WINDOW;
                if may && !self.rng.one_in(3) {
                    self.client_publishes(number);
                }
            }
        }
    }

    fn client_publishes(&mut self, number: usize) {
        let qos = match self.rng.one_in(3) {
            true => QoS::AtLeastOnce,
            false => QoS::ExactlyOnce,
        };
        let now = self.now;
        let client = &mut self.clients[number];
        let known = Outgoing {
            packet_id: client.new_packet_id(),
            qos,
            number: client.published[qos as usize],
            is_released: false,
        };
        client.published[qos as usize] += 1;
        let packet = client.publish(&known, false);
        self.model.sent(&client.id, qos, known.number, now);
        let what = (client.id.clone(), qos as u8, known.number, known.packet_id);
        client.outgoing.push_back(known);
        self.trace(|| format!("publishes {what:?}"));
        self.client_sends(number, &[packet]);
    }

    fn client_connects(&mut self, number: usize) {
        let node = self.rng.below(self.nodes.len());
        if !self.nodes[node].is_listening {
            let until = self.now + self.rng.within(50, 300);
            self.clients[number].state = State::DownUntil(until);
            return;
        }
        let connection = self.open_connection(number, node);
        let now = self.now;
        let client = &mut self.clients[number];
        client.tried += 1;
        client.connection = Some(connection);
        client.state = State::ConnectingSince(now);
        client.buffer.clear();
        let delay_ms = u64::from(client.will_delay_s) * 1000;
        self.model.connects(&client.id, client.tried, delay_ms, now);
        let (id, tried) = (client.id.clone(), client.tried);
        self.trace(|| format!("{id} connects to n{node} the {tried}th time"));
        let packet = self.clients[number].connect();
        self.client_sends(number, &[packet]);
    }

    /// The client does not use its connection any more, and tells nobody: it may only be slow.
    pub(super) fn client_leaves(&mut self, number: usize, for_ms: u64) {
        let until = self.now + for_ms;
        let now = self.now;
        let client = &mut self.clients[number];
        client.state = State::DownUntil(until);
        if client.connection.take().is_some() {
            self.model.lost(&client.id, client.tried, now);
        }
    }

    /// The client says goodbye, so its will is not published.
    pub(super) fn client_disconnects(&mut self, number: usize, for_ms: u64) {
        let client = &self.clients[number];
        if client.state != State::Up {
            return;
        }
        let (id, tried) = (client.id.clone(), client.tried);
        self.model.disconnects(&id, tried);
        let goodbye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
        self.client_sends(number, &[goodbye]);
        if let Some(connection) = self.clients[number].connection {
            self.send_to_server(connection, None);
        }
        self.client_leaves(number, for_ms);
    }

    fn client_sends(&mut self, number: usize, packets: &[Packet]) {
        let mut bytes = BytesMut::new();
        for packet in packets {
            codec::encode(packet, Version::V5, &mut bytes);
        }
        if let Some(connection) = self.clients[number].connection
            && !bytes.is_empty()
        {
            self.send_to_server(connection, Some(bytes.to_vec()));
        }
    }

    /// Bytes have come to the client's end of a connection; `None`: its end.
    pub(super) fn client_hears(&mut self, connection: u64, bytes: Option<Vec<u8>>) {
        let number = self.network.get(connection).client;
        if self.clients[number].connection != Some(connection) {
            return;
        }
        let Some(bytes) = bytes else {
            let for_ms = self.rng.within(0, 500);
            return self.client_leaves(number, for_ms);
        };
        self.clients[number].heard = self.now;
        self.clients[number].buffer.extend_from_slice(&bytes);
        while self.clients[number].connection == Some(connection) {
            let buffer = &mut self.clients[number].buffer;
            match codec::decode(buffer, Version::V5, usize::MAX) {
                Ok(Some(packet)) => {
                    let answers = self.client_takes(number, packet);
                    self.client_sends(number, &answers);
                }
                Ok(None) => return,
                Err(violation) => {
                    return self
                        .model
                        .fails(format!("not MQTT for c{number}: {violation}"));
                }
            }
        }
    }

    /// Returns what the client answers.
    fn client_takes(&mut self, number: usize, packet: Packet) -> Vec<Packet> {
        let now = self.now;
        match packet {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::SUCCESS => {
                let client = &mut self.clients[number];
                client.state = State::Up;
                self.model
                    .admitted(&client.id, client.tried, answer.session_present, now);
                return self.client_resends(number);
            }
            Packet::ConnAck(_) | Packet::Disconnect(_) => {
                let for_ms = self.rng.within(0, 500);
                self.client_leaves(number, for_ms);
            }
            Packet::SubAck(_) => {
                let client = &mut self.clients[number];
                if !std::mem::replace(&mut client.is_subscribed, true) {
                    self.model.subscribed(&client.id, now);
                }
            }
            Packet::PubAck(ack) => self.client_is_done(number, &ack, QoS::AtLeastOnce),
            Packet::PubRec(ack) => return self.client_releases(number, &ack),
            Packet::PubComp(ack) => {
                let outgoing = &mut self.clients[number].outgoing;
                outgoing.retain(|known| !(known.is_released && known.packet_id == ack.packet_id));
            }
            Packet::Publish(publish) => return self.client_receives(number, &publish),
            Packet::PubRel(ack) => {
                self.clients[number].received.remove(&ack.packet_id);
                return vec![Packet::PubComp(Ack::success(ack.packet_id))];
            }
            Packet::PingResp => {}
            other => self.model.fails(format!("not for a client: {other:?}")),
        }
        Vec::new()
    }

    fn client_resends(&mut self, number: usize) -> Vec<Packet> {
        let client = &mut self.clients[number];
        let mut packets = Vec::new();
        for known in &client.outgoing {
            packets.push(match known.is_released {
                true => Packet::PubRel(Ack::success(known.packet_id)),
                false => client.publish(known, true),
            });
        }
        if client.is_subscriber && !client.is_subscribed {
            let options = SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                retain_handling: RetainHandling::DoNotSend,
                ..SubscriptionOptions::default()
            };
            packets.push(Packet::Subscribe(Subscribe {
                packet_id: PacketId::try_from(1000).expect("it is not 0"),
                properties: Default::default(),
                subscriptions: vec![Subscription {
                    filter: TopicFilter::new("t/#").expect("it is one"),
                    options,
                }],
            }));
        }
        packets
    }

    /// An acknowledgement that ends the server's part, or a refusal.
    fn client_is_done(&mut self, number: usize, ack: &Ack, qos: QoS) {
        let client = &mut self.clients[number];
        let is_meant = |known: &Outgoing| known.packet_id == ack.packet_id && known.qos == qos;
        if let Some(at) = client.outgoing.iter().position(is_meant)
            && let Some(known) = client.outgoing.remove(at)
        {
            let is_refused = ack.reason.is_error();
            self.model
                .answered(&client.id, qos, known.number, is_refused);
        }
    }

    fn client_releases(&mut self, number: usize, ack: &Ack) -> Vec<Packet> {
        if ack.reason.is_error() {
            self.client_is_done(number, ack, QoS::ExactlyOnce);
            return Vec::new();
        }
        let client = &mut self.clients[number];
        let known = client
            .outgoing
            .iter_mut()
            .find(|known| known.packet_id == ack.packet_id && known.qos == QoS::ExactlyOnce);
        let Some(known) = known else {
            let reason = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
            return vec![Packet::PubRel(Ack::new(ack.packet_id, reason))];
        };
        known.is_released = true;
        let sent = known.number;
        self.model
            .answered(&client.id, QoS::ExactlyOnce, sent, false);
        vec![Packet::PubRel(Ack::success(ack.packet_id))]
    }

    fn client_receives(&mut self, number: usize, publish: &Publish) -> Vec<Packet> {
        let client = &mut self.clients[number];
        let Some(packet_id) = publish.packet_id else {
            self.model.fails("a message at QoS 0".to_owned());
            return Vec::new();
        };
        let is_new = publish.qos < QoS::ExactlyOnce || client.received.insert(packet_id);
        if is_new {
            let payload: &Bytes = &publish.payload;
            self.model.received(&client.id, payload, publish.qos);
            self.trace(|| format!("c{number} gets {payload:?}"));
        }
        let ack = Ack::success(packet_id);
        vec![match publish.qos {
            QoS::ExactlyOnce => Packet::PubRec(ack),
            _ => Packet::PubAck(ack),
        }]
    }
}
