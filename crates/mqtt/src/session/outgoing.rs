//! What is on its way to the client: the QoS 1 and 2 messages that it has not acknowledged.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::Delivery;
use crate::packet::{Ack, PacketId};
use crate::{Packet, QoS, Version};

#[derive(Debug)]
pub(super) struct Outgoing {
    in_flight: VecDeque<InFlight>,
    in_flight_max: usize,
    packet_bytes_max: usize,
    last_id: u16,
}

#[derive(Debug)]
struct InFlight {
    packet_id: PacketId,
    waits_for: Step,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBCOMP.
    Comp,
}

impl Outgoing {
    pub(super) fn new(in_flight_max: u16) -> Self {
        Self {
            in_flight: VecDeque::new(),
            in_flight_max: in_flight_max.into(),
            packet_bytes_max: usize::MAX,
            last_id: 0,
        }
    }

    pub(super) fn set_client_limits(&mut self, receive_maximum: u16, packet_max: Option<u32>) {
        self.in_flight_max = self.in_flight_max.min(receive_maximum.into());
        self.packet_bytes_max = packet_max.map_or(usize::MAX, |max| max as usize);
    }

    /// How many more QoS 1 and 2 messages may be sent now [MQTT-3.3.4-9].
    pub(super) fn room(&self) -> usize {
        self.in_flight_max - self.in_flight.len().min(self.in_flight_max)
    }

    /// Writes the PUBLISH; returns the QoS it went with, or `None` when it could not be sent.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        version: Version,
        delivery: &Delivery,
        out: &mut BytesMut,
    ) -> Option<QoS> {
        let template = delivery.template(now, version)?;
        // [MQTT-3.1.2-25] Too large for this client: as if it had been sent.
        if template.len() > self.packet_bytes_max {
            return None;
        }
        let packet_id = match delivery.qos {
            QoS::AtMostOnce => None,
            _ if self.room() == 0 => return None,
            qos => Some(self.start(qos)),
        };
        template.write(false, delivery.qos, delivery.retain, packet_id, out);
        Some(delivery.qos)
    }

    fn start(&mut self, qos: QoS) -> PacketId {
        let packet_id = self.free_id();
        self.in_flight.push_back(InFlight {
            packet_id,
            waits_for: if qos == QoS::AtLeastOnce {
                Step::Ack
            } else {
                Step::Rec
            },
        });
        packet_id
    }

    /// The next identifier that is not in use; there is one, since far fewer than 65 535 are in flight.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Ok(id) = PacketId::try_from(self.last_id)
                && self.in_flight.iter().all(|known| known.packet_id != id)
            {
                return id;
            }
        }
    }

    fn position(&self, packet_id: PacketId, waits_for: &Step) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|known| known.packet_id == packet_id && known.waits_for == *waits_for)
    }

    pub(super) fn handle_puback(&mut self, ack: &Ack) {
        if let Some(index) = self.position(ack.packet_id, &Step::Ack) {
            self.in_flight.remove(index);
        }
    }

    /// Returns the PUBREL to send.
    pub(super) fn handle_pubrec(&mut self, ack: &Ack) -> Option<Packet> {
        let index = self.position(ack.packet_id, &Step::Rec);
        match index {
            // The client refuses the message: that ends it (§4.3.3).
            Some(index) if ack.reason.is_error() => {
                self.in_flight.remove(index);
                None
            }
            Some(index) => {
                self.in_flight[index].waits_for = Step::Comp;
                Some(Packet::PubRel(Ack::success(ack.packet_id)))
            }
            // Sent again, or never ours: answer, so that the client can forget it.
            None if !ack.reason.is_error() => Some(Packet::PubRel(Ack::success(ack.packet_id))),
            None => None,
        }
    }

    pub(super) fn handle_pubcomp(&mut self, ack: &Ack) {
        if let Some(index) = self.position(ack.packet_id, &Step::Comp) {
            self.in_flight.remove(index);
        }
    }
}
