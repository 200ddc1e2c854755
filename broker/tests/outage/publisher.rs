//! A publisher of numbered messages that keeps to the standard: what is not acknowledged when the connection is lost, it
//! sends again on the next one.

use std::net::SocketAddr;
use std::time::Duration;

use chaos::outgoing::{Answered, Outgoing};
use mqtt::packet::Disconnect;
use mqtt::{Packet, QoS, ReasonCode, Version};
use tokio::sync::watch;

use crate::support::{persistent, publish};
use crate::wire::{self, Lost, Wire};

/// Messages on their way at most: fewer than the broker's Receive Maximum.
const WINDOW: usize = 20;
/// Between two messages.
const PACE: Duration = Duration::from_millis(4);

pub(crate) struct Publisher {
    topic: String,
    qos: QoS,
    sent: u32,
    outgoing: Outgoing,
    lost: u32,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    /// The last number; all are acknowledged, but for QoS 0.
    pub(crate) sent: u32,
    /// How often the connection was lost.
    pub(crate) lost: u32,
}

impl Publisher {
    pub(crate) fn new(topic: String, qos: QoS) -> Self {
        Self {
            topic,
            qos,
            sent: 0,
            outgoing: Outgoing::default(),
            lost: 0,
        }
    }

    /// Publishes until `stop`, and until the last is acknowledged.
    pub(crate) async fn run(mut self, addr: SocketAddr, stop: watch::Receiver<bool>) -> Published {
        loop {
            let hello = persistent(Version::V5, &format!("publisher of {}", self.topic));
            let (mut wire, answer) = wire::connect(addr, &hello).await;
            assert_eq!(answer.session_present, self.lost > 0);
            match self.serve(&mut wire, stop.clone()).await {
                Err(Lost::Closed) => self.lost += 1,
                Err(Lost::Wrong(what)) => panic!("{what}"),
                Ok(()) => {
                    return Published {
                        topic: self.topic,
                        qos: self.qos,
                        sent: self.sent,
                        lost: self.lost,
                    };
                }
            }
        }
    }

    async fn serve(
        &mut self,
        wire: &mut Wire,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Lost> {
        for packet in self.outgoing.again() {
            wire.send(&packet).await?;
        }
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopping = *stop.borrow();
            if stopping && self.outgoing.is_empty() {
                let bye = Disconnect::new(ReasonCode::SUCCESS);
                return wire.send(&Packet::Disconnect(bye)).await;
            }
            tokio::select! {
                packet = wire.next() => {
                    if let Some(answer) = self.acknowledged(&packet?) {
                        wire.send(&answer).await?;
                    }
                }
                _ = pace.tick(), if !stopping && self.outgoing.len() < WINDOW => {
                    let packet = self.next();
                    wire.send(&packet).await?;
                }
                changed = stop.changed(), if !stopping => changed.unwrap(),
            }
        }
    }

    fn next(&mut self) -> Packet {
        self.sent += 1;
        // The identifier is for `Outgoing` to choose.
        let packet = publish(&self.topic, self.qos, 1, &self.sent.to_string());
        self.outgoing.publish(packet)
    }

    /// Returns what is to be answered.
    fn acknowledged(&mut self, packet: &Packet) -> Option<Packet> {
        match self.outgoing.answered(packet) {
            Answered::Next(answer) => Some(answer),
            Answered::Done(_) => None,
            other => panic!("{packet:?}: {other:?}"),
        }
    }
}
