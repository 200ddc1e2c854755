//! A publisher of numbered messages that keeps to the standard: what is not acknowledged when the connection is lost, it
//! sends again on the next one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use mqtt::packet::{Ack, Disconnect, PacketId};
use mqtt::{Packet, QoS, ReasonCode, Version};
use tokio::sync::watch;

use crate::support::{id, persistent, publish};
use crate::wire::{Lost, Wire};

/// Messages on their way at most: fewer than the broker's Receive Maximum.
const WINDOW: usize = 20;
/// Between two messages.
const PACE: Duration = Duration::from_millis(4);

pub(crate) struct Publisher {
    topic: String,
    qos: QoS,
    sent: u32,
    in_flight: VecDeque<InFlight>,
    lost: u32,
}

struct InFlight {
    packet_id: PacketId,
    number: u32,
    /// QoS 2: the broker has it; it must not be sent again.
    is_received: bool,
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
            in_flight: VecDeque::new(),
            lost: 0,
        }
    }

    /// Publishes until `stop`, and until the last is acknowledged.
    pub(crate) async fn run(mut self, addr: SocketAddr, stop: watch::Receiver<bool>) -> Published {
        loop {
            let hello = persistent(Version::V5, &format!("publisher of {}", self.topic));
            let (mut wire, answer) = Wire::connect(addr, &hello).await;
            assert_eq!(answer.session_present, self.lost > 0);
            match self.serve(&mut wire, stop.clone()).await {
                Err(Lost) => self.lost += 1,
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
        // [MQTT-4.4.0-1]
        for known in &self.in_flight {
            let packet = match known.is_received {
                true => Packet::PubRel(Ack::success(known.packet_id)),
                false => self.packet(known.number, true),
            };
            wire.send(&packet).await?;
        }
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let stopping = *stop.borrow();
            if stopping && self.in_flight.is_empty() {
                let bye = Disconnect::new(ReasonCode::SUCCESS);
                return wire.send(&Packet::Disconnect(bye)).await;
            }
            tokio::select! {
                packet = wire.next() => {
                    if let Some(answer) = self.acknowledged(packet?) {
                        wire.send(&answer).await?;
                    }
                }
                _ = pace.tick(), if !stopping && self.in_flight.len() < WINDOW => {
                    let packet = self.next();
                    wire.send(&packet).await?;
                }
                changed = stop.changed(), if !stopping => changed.unwrap(),
            }
        }
    }

    fn next(&mut self) -> Packet {
        self.sent += 1;
        if self.qos > QoS::AtMostOnce {
            self.in_flight.push_back(InFlight {
                packet_id: packet_id(self.sent),
                number: self.sent,
                is_received: false,
            });
        }
        self.packet(self.sent, false)
    }

    fn packet(&self, number: u32, dup: bool) -> Packet {
        let packet_id = packet_id(number).get();
        let mut packet = publish(&self.topic, self.qos, packet_id, &number.to_string());
        packet.dup = dup;
        Packet::Publish(packet)
    }

    /// Returns what is to be answered.
    fn acknowledged(&mut self, packet: Packet) -> Option<Packet> {
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = &packet else {
            panic!("{packet:?} for a publisher");
        };
        let known = self
            .in_flight
            .iter()
            .position(|known| known.packet_id == ack.packet_id);
        let at = known.unwrap_or_else(|| panic!("{packet:?} for what is not on its way"));
        // A broker that has released the identifier says so when it is released again after a lost connection.
        let forgotten = ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
        let is_done = matches!(&packet, Packet::PubComp(ack) if ack.reason == forgotten);
        assert!(is_done || !ack.reason.is_error(), "{packet:?}");
        if let Packet::PubRec(ack) = &packet {
            self.in_flight[at].is_received = true;
            return Some(Packet::PubRel(Ack::success(ack.packet_id)));
        }
        self.in_flight.remove(at);
        None
    }
}

fn packet_id(number: u32) -> PacketId {
    id((number % 60_000) as u16 + 1)
}
