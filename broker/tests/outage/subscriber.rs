//! A subscriber that keeps to the standard, and its session.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chaos::incoming::Incoming;
use mqtt::packet::Subscribe;
use mqtt::properties::Properties;
use mqtt::{Packet, QoS, Version};
use parking_lot::Mutex;

use crate::support::{id, persistent, subscription, text};
use crate::wire::{self, Lost, Wire};

/// What has come, by topic, in its order.
pub(crate) type Received = Arc<Mutex<BTreeMap<String, Vec<u32>>>>;

pub(crate) struct Subscriber {
    addr: SocketAddr,
    filter: String,
    received: Received,
    incoming: Incoming,
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
            incoming: Incoming::default(),
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
        let (wire, answer) = wire::connect(self.addr, &hello).await;
        (wire, answer.session_present)
    }

    /// Takes messages for ever.
    pub(crate) async fn run(mut self, mut wire: Wire) {
        loop {
            let Err(lost) = self.serve(&mut wire).await;
            assert_eq!(lost, Lost::Closed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            let (again, present) = self.connect().await;
            assert!(present, "the session is gone");
            wire = again;
        }
    }

    async fn serve(&mut self, wire: &mut Wire) -> Result<std::convert::Infallible, Lost> {
        loop {
            let packet = wire.next().await?;
            let taken = self.incoming.take(packet);
            let taken = taken.unwrap_or_else(|other| panic!("{other:?} for a subscriber"));
            assert_eq!(taken.lost, None, "under an identifier that is in use");
            if let Some(message) = taken.message {
                let (topic, payload) = text(&message);
                let mut received = self.received.lock();
                let numbers = received.entry(topic).or_default();
                numbers.push(payload.parse().unwrap());
            }
            if let Some(answer) = taken.answer {
                wire.send(&answer).await?;
            }
        }
    }
}
