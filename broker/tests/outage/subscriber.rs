//! A subscriber that keeps to the standard, and its session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mqtt::packet::{Ack, PacketId, Subscribe};
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, Version};
use parking_lot::Mutex;

use crate::support::{id, persistent, subscription, text};
use crate::wire::{Lost, Wire};

/// What has come, by topic, in its order.
pub(crate) type Received = Arc<Mutex<BTreeMap<String, Vec<u32>>>>;

pub(crate) struct Subscriber {
    addr: SocketAddr,
    filter: String,
    received: Received,
    /// QoS 2 messages that the broker has not released yet.
    unreleased: BTreeSet<PacketId>,
    lost: Arc<AtomicU32>,
}

impl Subscriber {
    /// Subscribes; the rest is for [`Self::run`].
    pub(crate) async fn start(
        addr: SocketAddr,
        filter: String,
        qos: QoS,
        received: Received,
        lost: Arc<AtomicU32>,
    ) -> (Self, Wire) {
        let subscriber = Self {
            addr,
            filter,
            received,
            unreleased: BTreeSet::new(),
            lost,
        };
        let (mut wire, present) = subscriber.connect().await;
        assert!(!present);
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: id(1),
            properties: Properties::default(),
            subscriptions: vec![subscription(&subscriber.filter, qos)],
        });
        wire.send(&subscribe).await.unwrap();
        match wire.next().await.unwrap() {
            Packet::SubAck(answer) => assert_eq!(answer.reasons[0].0, qos as u8),
            other => panic!("{other:?} instead of SUBACK"),
        }
        (subscriber, wire)
    }

    async fn connect(&self) -> (Wire, bool) {
        let hello = persistent(Version::V5, &format!("subscriber of {}", self.filter));
        let (wire, answer) = Wire::connect(self.addr, &hello).await;
        (wire, answer.session_present)
    }

    /// Takes messages for ever.
    pub(crate) async fn run(mut self, mut wire: Wire) {
        loop {
            let Err(Lost) = self.serve(&mut wire).await;
            self.lost.fetch_add(1, Ordering::Relaxed);
            let (again, present) = self.connect().await;
            assert!(present, "the session is gone");
            wire = again;
        }
    }

    async fn serve(&mut self, wire: &mut Wire) -> Result<std::convert::Infallible, Lost> {
        loop {
            let answer = match wire.next().await? {
                Packet::Publish(message) => {
                    let (topic, payload) = text(&message);
                    let is_new = match (message.qos, message.packet_id) {
                        (QoS::ExactlyOnce, Some(packet_id)) => self.unreleased.insert(packet_id),
                        _ => true,
                    };
                    if is_new {
                        let mut received = self.received.lock();
                        received
                            .entry(topic)
                            .or_default()
                            .push(payload.parse().unwrap());
                    }
                    match (message.qos, message.packet_id) {
                        (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(Ack::success(id)),
                        (QoS::ExactlyOnce, Some(id)) => Packet::PubRec(Ack::success(id)),
                        _ => continue,
                    }
                }
                Packet::PubRel(ack) => {
                    self.unreleased.remove(&ack.packet_id);
                    Packet::PubComp(Ack::success(ack.packet_id))
                }
                other => panic!("{other:?} for a subscriber"),
            };
            wire.send(&answer).await?;
        }
    }
}
