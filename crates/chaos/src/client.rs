//! An MQTT 5 client that publishes and subscribes at every QoS, keeps its session, and goes to the next broker when it has
//! lost one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mqtt::packet::{Connect, Publish, Subscribe, Subscription, SubscriptionOptions};
use mqtt::properties::{Fields, Properties};
use mqtt::{Packet, PacketId, QoS, ReasonCode, TopicFilter, TopicName, Version};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::checker::{ALL_QOS, Message};
use crate::incoming::Incoming;
use crate::log::Log;
use crate::outgoing::{Answered, Outgoing};
use crate::topology;
use crate::wire::{Lost, PACKET_BYTES_MAX, Wire};

/// QoS 1 and 2 publishes of a client on their way at most: fewer than the broker's Receive Maximum.
pub(crate) const WINDOW: usize = 12;
/// Publishes of a burst at most.
const BURST_MAX: usize = 6;
/// Milliseconds between two bursts.
const BURST_EVERY: std::ops::Range<u64> = 500..1500;
const PING_EVERY: Duration = Duration::from_secs(1);
/// Milliseconds of silence after which a client takes its broker for gone: some before its heartbeat lapses, some after.
const SILENCE: std::ops::Range<u64> = 3000..8000;
/// How long a CONNACK may take; twice as long after each round of brokers, up to [`CONNACK_DOUBLED_MAX`] times.
const CONNACK_TIMEOUT: Duration = Duration::from_secs(4);
const CONNACK_DOUBLED_MAX: u32 = 3;
/// Before the second attempt; twice as long before each further one, up to [`BACK_OFF_DOUBLED_MAX`] times.
const BACK_OFF: Duration = Duration::from_millis(50);
const BACK_OFF_DOUBLED_MAX: u32 = 5;
const SUBSCRIBE_ID: u16 = u16::MAX;

/// What the clients are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connect and subscribe.
    Gather,
    /// Publish.
    Publish,
    /// Publish nothing new; see to what is on its way.
    Finish,
}

pub(crate) struct Client {
    number: usize,
    /// How many clients there are.
    clients: usize,
    brokers: Arc<Vec<SocketAddr>>,
    log: Arc<Log>,
    phase: watch::Receiver<Phase>,
    rng: ChaCha8Rng,
    silence: Duration,
    /// The broker that is tried next.
    next: usize,
    has_session: bool,
    is_subscribed: bool,
    outgoing: Outgoing,
    incoming: Incoming,
    last_heard: Option<Instant>,
}

/// Why a connection is over.
enum End {
    Lost(Lost),
    Silent,
    Disconnected(ReasonCode),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl Client {
    pub(crate) fn new(
        number: usize,
        seed: u64,
        brokers: Arc<Vec<SocketAddr>>,
        log: Arc<Log>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let clients = log.lock().clients.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(1000 + number as u64);
        Self {
            number,
            clients,
            silence: Duration::from_millis(rng.random_range(SILENCE)),
            next: number % brokers.len(),
            brokers,
            log,
            phase,
            rng,
            has_session: false,
            is_subscribed: false,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            last_heard: None,
        }
    }

    /// Goes on for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let (mut wire, node) = self.connect().await;
            let Err(end) = self.serve(&mut wire, node).await;
            let reason = match end {
                End::Silent => "silent".to_owned(),
                End::Disconnected(reason) => format!("DISCONNECT {reason:?}"),
                End::Lost(lost) => self.lost(node, lost),
            };
            self.log.failed(self.number, node, &reason);
        }
    }

    /// Tries one broker after the other until one lets the client in.
    async fn connect(&mut self) -> (Wire, usize) {
        let mut attempts: u32 = 0;
        loop {
            let node = self.next;
            self.next = (node + 1) % self.brokers.len();
            let rounds = attempts / self.brokers.len() as u32;
            let patience = CONNACK_TIMEOUT * (1 << rounds.min(CONNACK_DOUBLED_MAX));
            let hello = self.hello();
            let attempt = Wire::connect(self.brokers[node], &hello);
            let reason = match timeout(patience, attempt).await {
                Ok(Ok((wire, answer))) if !answer.reason.is_error() => {
                    self.enter(node, answer.session_present);
                    return (wire, node);
                }
                Ok(Ok((_, answer))) => format!("CONNACK {:?}", answer.reason),
                Ok(Err(lost)) => format!("no CONNACK: {}", self.lost(node, lost)),
                Err(_) => "no CONNACK: silent".to_owned(),
            };
            self.log.failed(self.number, node, &reason);
            let back_off = BACK_OFF * (1 << attempts.min(BACK_OFF_DOUBLED_MAX));
            sleep(back_off.mul_f64(self.rng.random_range(0.5..1.0))).await;
            attempts += 1;
        }
    }

    fn lost(&self, node: usize, lost: Lost) -> String {
        match lost {
            Lost::Closed => "closed".to_owned(),
            Lost::Wrong(what) => {
                self.log.violation(self.number, node, &what);
                "not mqtt".to_owned()
            }
        }
    }

    fn hello(&self) -> Connect {
        Connect {
            version: Version::V5,
            clean_start: !self.has_session,
            keep_alive_s: 30,
            properties: Properties::from(Fields {
                session_expiry_s: Some(3600),
                maximum_packet_size: Some(PACKET_BYTES_MAX as u32),
                ..Fields::default()
            }),
            client_id: format!("chaos-{}", self.number).as_str().into(),
            will: None,
            username: None,
            password: None,
        }
    }

    fn enter(&mut self, node: usize, session_present: bool) {
        let what = if session_present {
            "session"
        } else {
            "no session"
        };
        self.log
            .event(self.number, node, format!("connected, {what}"));
        if self.has_session && !session_present {
            self.log.session_lost(self.number, node);
            self.outgoing.clear();
            self.incoming.clear();
            self.is_subscribed = false;
        }
        self.has_session = true;
        let now = Instant::now();
        if let Some(last) = self.last_heard.replace(now) {
            let (gap, at) = (now - last, self.log.now());
            let mut of_client = self.log.client(self.number);
            if gap > of_client.longest_gap.0 {
                of_client.longest_gap = (gap, at);
            }
        }
    }

    async fn serve(
        &mut self,
        wire: &mut Wire,
        node: usize,
    ) -> Result<std::convert::Infallible, End> {
        let again: Vec<Packet> = self.outgoing.again().collect();
        for packet in again {
            self.send(wire, &packet).await?;
        }
        if !self.is_subscribed {
            self.send(wire, &self.subscribe()).await?;
        }
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut burst_at = self.next_burst();
        let mut phase = self.phase.clone();
        loop {
            let publishes = *phase.borrow_and_update() == Phase::Publish && self.is_subscribed;
            tokio::select! {
                packet = wire.next() => {
                    self.last_heard = Some(Instant::now());
                    if let Some(answer) = self.take(packet?, node)? {
                        self.send(wire, &answer).await?;
                    }
                }
                () = sleep_until(burst_at), if publishes => {
                    burst_at = self.next_burst();
                    self.burst(wire, node).await?;
                }
                _ = ping.tick() => {
                    if self.last_heard.is_some_and(|last| last.elapsed() > self.silence) {
                        return Err(End::Silent);
                    }
                    self.send(wire, &Packet::PingReq).await?;
                }
                _ = phase.changed() => {}
            }
            self.log.client(self.number).in_flight = self.outgoing.len();
        }
    }

    /// A broker that is stopped takes nothing any more.
    async fn send(&self, wire: &mut Wire, packet: &Packet) -> Result<(), End> {
        match timeout(self.silence, wire.send(packet)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(End::Silent),
        }
    }

    fn next_burst(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.rng.random_range(BURST_EVERY))
    }

    async fn burst(&mut self, wire: &mut Wire, node: usize) -> Result<(), End> {
        let qos = ALL_QOS.choose(&mut self.rng).copied().unwrap_or_default();
        for _ in 0..self.rng.random_range(1..=BURST_MAX) {
            if qos > QoS::AtMostOnce && self.outgoing.len() >= WINDOW {
                break;
            }
            let place = self.log.place(node);
            let message = self.log.lock().checker.send(self.number, qos, place);
            let packet = self.outgoing.publish(publish(message));
            self.send(wire, &packet).await?;
        }
        Ok(())
    }

    fn subscribe(&self) -> Packet {
        let sources = topology::sources(self.number, self.clients);
        let subscriptions = sources.into_iter().map(|publisher| Subscription {
            filter: TopicFilter::new(&topology::filter(publisher)).expect("it is a filter"),
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                ..SubscriptionOptions::default()
            },
        });
        Packet::Subscribe(Subscribe {
            packet_id: PacketId::try_from(SUBSCRIBE_ID).expect("it is not 0"),
            properties: Properties::default(),
            subscriptions: subscriptions.collect(),
        })
    }

    /// Returns what is to be answered.
    fn take(&mut self, packet: Packet, node: usize) -> Result<Option<Packet>, End> {
        let packet = match self.incoming.take(packet) {
            Ok(taken) => {
                if let Some(other) = taken.lost {
                    let what = format!("{other:?} under an identifier that is not released");
                    self.log.violation(self.number, node, &what);
                }
                if let Some(publish) = taken.message {
                    self.arrive(&publish, node);
                }
                return Ok(taken.answer);
            }
            Err(packet) => packet,
        };
        match packet {
            Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => {
                return Ok(self.answered(&packet, node));
            }
            Packet::SubAck(answer) if !answer.reasons.iter().any(|r| r.is_error()) => {
                self.is_subscribed = true;
                self.log.client(self.number).is_subscribed = true;
            }
            Packet::PingResp => {}
            Packet::Disconnect(bye) => return Err(End::Disconnected(bye.reason)),
            other => {
                let what = format!("{other:?} for a client");
                self.log.violation(self.number, node, &what);
            }
        }
        Ok(None)
    }

    fn arrive(&self, publish: &Publish, node: usize) {
        let topic = publish.topic.as_ref().map_or("", TopicName::as_str);
        match topology::message(topic, &publish.payload) {
            Some(message) if message.qos == publish.qos => {
                let place = self.log.place(node);
                let mut inner = self.log.lock();
                inner.checker.arrive(self.number, message, place);
            }
            _ => {
                let what = format!("{publish:?} that nobody published");
                self.log.violation(self.number, node, &what);
            }
        }
    }

    fn answered(&mut self, packet: &Packet, node: usize) -> Option<Packet> {
        let place = self.log.place(node);
        match self.outgoing.answered(packet) {
            Answered::Next(next) => return Some(next),
            Answered::Done(publish) => {
                if let Some(message) = message_of(&publish) {
                    self.log.lock().checker.acknowledge(message, place);
                }
            }
            Answered::Refused(publish, reason) => {
                if let Some(message) = message_of(&publish) {
                    self.log.lock().checker.refuse(message);
                }
                let what = format!("refused a publish: {reason:?}");
                self.log.failed(self.number, node, &what);
            }
            Answered::Unknown => {
                let what = format!("{packet:?} for what is not on its way");
                self.log.violation(self.number, node, &what);
            }
        }
        None
    }
}

fn publish(message: Message) -> Publish {
    let topic = topology::topic(message.publisher, message.qos);
    Publish {
        dup: false,
        qos: message.qos,
        retain: false,
        topic: Some(TopicName::try_from(topic.as_str()).expect("it is a topic name")),
        packet_id: None,
        properties: Properties::default(),
        payload: topology::payload(message).into_bytes().into(),
    }
}

/// Of a publish of ours.
fn message_of(publish: &Publish) -> Option<Message> {
    let topic = publish.topic.as_ref()?;
    topology::message(topic.as_str(), &publish.payload)
}
