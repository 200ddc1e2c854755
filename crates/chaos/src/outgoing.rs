//! What a client has published and not seen acknowledged to the end: the sender's half of its session.

use std::collections::VecDeque;

use mqtt::packet::{Ack, PacketId, Publish};
use mqtt::{Packet, QoS, ReasonCode};

/// The highest identifier of a publish: 65535 is for the subscriptions of the same client.
const LAST_ID: u16 = u16::MAX - 1;

/// Publishes on their way, in their order. Its user bounds how many.
#[derive(Debug, Default)]
pub struct Outgoing {
    in_flight: VecDeque<InFlight>,
    last_id: u16,
}

#[derive(Debug)]
struct InFlight {
    packet_id: PacketId,
    publish: Publish,
    /// QoS 2: the server has it; it must not be sent again, but released.
    is_received: bool,
}

/// What an acknowledgement means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answered {
    /// There is a next step, to be sent.
    Next(Packet),
    /// The publish is acknowledged to the end.
    Done(Publish),
    /// The server does not want it.
    Refused(Publish, ReasonCode),
    /// Nothing of this kind was on its way.
    Unknown,
}

impl Outgoing {
    /// How many are on their way.
    pub fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether all are acknowledged.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Forgets all: the server has no session.
    pub fn clear(&mut self) {
        self.in_flight.clear();
    }

    /// Gives a new message its packet identifier, and returns what is to be sent.
    pub fn publish(&mut self, mut publish: Publish) -> Packet {
        if publish.qos > QoS::AtMostOnce {
            let packet_id = self.free_id();
            publish.packet_id = Some(packet_id);
            self.in_flight.push_back(InFlight {
                packet_id,
                publish: publish.clone(),
                is_received: false,
            });
        }
        Packet::Publish(publish)
    }

    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id % LAST_ID + 1;
            if let Ok(packet_id) = PacketId::try_from(self.last_id)
                && self.position(packet_id).is_none()
            {
                return packet_id;
            }
        }
    }

    fn position(&self, packet_id: PacketId) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|known| known.packet_id == packet_id)
    }

    /// What is sent again on a new connection [MQTT-4.4.0-1].
    pub fn again(&self) -> impl Iterator<Item = Packet> {
        self.in_flight.iter().map(|known| {
            if known.is_received {
                return Packet::PubRel(Ack::success(known.packet_id));
            }
            let mut publish = known.publish.clone();
            publish.dup = true;
            Packet::Publish(publish)
        })
    }

    /// Takes a PUBACK, PUBREC or PUBCOMP.
    pub fn answered(&mut self, packet: &Packet) -> Answered {
        let (Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubComp(ack)) = packet else {
            return Answered::Unknown;
        };
        let Some(at) = self.position(ack.packet_id) else {
            return Answered::Unknown;
        };
        let known = &mut self.in_flight[at];
        let is_right = match packet {
            Packet::PubAck(_) => known.publish.qos == QoS::AtLeastOnce,
            Packet::PubRec(_) => known.publish.qos == QoS::ExactlyOnce,
            _ => known.is_received,
        };
        // A server that has released the identifier says so when it is released again on a new connection.
        let is_over = matches!(packet, Packet::PubComp(_))
            && ack.reason == ReasonCode::PACKET_IDENTIFIER_NOT_FOUND;
        match packet {
            _ if !is_right => Answered::Unknown,
            Packet::PubRec(_) if !ack.reason.is_error() => {
                known.is_received = true;
                Answered::Next(Packet::PubRel(Ack::success(ack.packet_id)))
            }
            _ => match self.in_flight.remove(at) {
                Some(known) if is_over || !ack.reason.is_error() => Answered::Done(known.publish),
                Some(known) => Answered::Refused(known.publish, ack.reason),
                None => Answered::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::TopicName;

    fn message(qos: QoS) -> Publish {
        Publish {
            dup: false,
            qos,
            retain: false,
            topic: Some(TopicName::try_from("a").unwrap()),
            packet_id: None,
            properties: mqtt::properties::Properties::default(),
            payload: bytes::Bytes::from_static(b"x"),
        }
    }

    fn ack(number: u16) -> Ack {
        Ack::success(PacketId::try_from(number).unwrap())
    }

    #[test]
    fn what_is_not_acknowledged_is_sent_again_with_its_identifier_and_dup() {
        let mut out = Outgoing::default();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            out.publish(message(qos));
        }
        out.publish(message(QoS::ExactlyOnce));
        let next = out.answered(&Packet::PubRec(ack(2)));
        assert_eq!(next, Answered::Next(Packet::PubRel(ack(2))));
        let again: Vec<Packet> = out.again().collect();
        let expected = [(0, QoS::AtLeastOnce, 1), (2, QoS::ExactlyOnce, 3)];
        for (at, qos, number) in expected {
            let mut publish = message(qos);
            (publish.dup, publish.packet_id) = (true, Some(ack(number).packet_id));
            assert_eq!(again[at], Packet::Publish(publish));
        }
        assert_eq!(again[1], Packet::PubRel(ack(2)));
        assert_eq!(again.len(), 3);
    }

    #[test]
    fn an_acknowledgement_of_another_step_is_unknown() {
        let mut out = Outgoing::default();
        out.publish(message(QoS::ExactlyOnce));
        for wrong in [
            Packet::PubAck(ack(1)),
            Packet::PubComp(ack(1)),
            Packet::PubRec(ack(2)),
        ] {
            assert_eq!(out.answered(&wrong), Answered::Unknown);
        }
        out.answered(&Packet::PubRec(ack(1)));
        let gone = Ack::new(ack(1).packet_id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND);
        assert!(matches!(
            out.answered(&Packet::PubComp(gone)),
            Answered::Done(_)
        ));
        assert!(out.is_empty());
    }

    #[test]
    fn an_identifier_that_is_in_use_is_passed_over() {
        let mut out = Outgoing::default();
        out.publish(message(QoS::AtLeastOnce));
        out.last_id = LAST_ID;
        match out.publish(message(QoS::AtLeastOnce)) {
            Packet::Publish(publish) => assert_eq!(publish.packet_id, Some(ack(2).packet_id)),
            other => panic!("{other:?}"),
        }
    }
}
