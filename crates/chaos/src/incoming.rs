//! What a client has received and not seen released: the receiver's half of its session.

use std::collections::BTreeMap;

use bytes::Bytes;
use mqtt::packet::{Ack, PacketId, Publish};
use mqtt::{Packet, QoS, ReasonCode};

/// QoS 2 messages that the server has not released yet; packet identifiers bound them.
#[derive(Debug, Default)]
pub struct Incoming {
    /// With their payloads, to tell a message that is sent again from another one.
    unreleased: BTreeMap<PacketId, Bytes>,
}

/// What a packet brought.
#[derive(Debug, Default)]
pub struct Taken {
    /// A message that is new to the client.
    pub message: Option<Publish>,
    /// What is to be sent.
    pub answer: Option<Packet>,
    /// Another message came with an identifier that is not released: a mistake of the server, which loses it.
    pub lost: Option<Publish>,
}

impl Incoming {
    /// Forgets all: the server has no session.
    pub fn clear(&mut self) {
        self.unreleased.clear();
    }

    /// Takes a PUBLISH or PUBREL.
    ///
    /// # Errors
    /// Gives any other packet back.
    pub fn take(&mut self, packet: Packet) -> Result<Taken, Packet> {
        match packet {
            Packet::Publish(publish) => Ok(self.publish(publish)),
            Packet::PubRel(ack) => {
                let reason = match self.unreleased.remove(&ack.packet_id) {
                    Some(_) => ReasonCode::SUCCESS,
                    None => ReasonCode::PACKET_IDENTIFIER_NOT_FOUND,
                };
                Ok(Taken {
                    answer: Some(Packet::PubComp(Ack::new(ack.packet_id, reason))),
                    ..Taken::default()
                })
            }
            other => Err(other),
        }
    }

    fn publish(&mut self, publish: Publish) -> Taken {
        let Some(packet_id) = publish.packet_id else {
            return Taken {
                message: Some(publish),
                ..Taken::default()
            };
        };
        let ack = Ack::success(packet_id);
        if publish.qos < QoS::ExactlyOnce {
            return Taken {
                message: Some(publish),
                answer: Some(Packet::PubAck(ack)),
                lost: None,
            };
        }
        let answer = Some(Packet::PubRec(ack));
        let (message, lost) = match self.unreleased.get(&packet_id) {
            Some(payload) if *payload == publish.payload => (None, None),
            Some(_) => (None, Some(publish)),
            None => {
                // A copy: the payload shares the buffer of all that was read with it.
                let payload = Bytes::copy_from_slice(&publish.payload);
                self.unreleased.insert(packet_id, payload);
                (Some(publish), None)
            }
        };
        Taken {
            message,
            answer,
            lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(number: u16, payload: &'static str) -> Packet {
        Packet::Publish(Publish {
            dup: false,
            qos: QoS::ExactlyOnce,
            retain: false,
            topic: Some(mqtt::TopicName::try_from("a").unwrap()),
            packet_id: Some(PacketId::try_from(number).unwrap()),
            properties: mqtt::properties::Properties::default(),
            payload: Bytes::from_static(payload.as_bytes()),
        })
    }

    #[test]
    fn a_qos_2_message_is_new_once_until_it_is_released() {
        let mut incoming = Incoming::default();
        let ack = Ack::success(PacketId::try_from(7).unwrap());
        for is_new in [true, false] {
            let taken = incoming.take(publish(7, "x")).unwrap();
            assert_eq!(taken.message.is_some(), is_new);
            assert_eq!(taken.answer, Some(Packet::PubRec(ack.clone())));
            assert_eq!(taken.lost, None);
        }
        assert!(incoming.take(publish(7, "y")).unwrap().lost.is_some());
        let released = incoming.take(Packet::PubRel(ack.clone())).unwrap();
        assert_eq!(released.answer, Some(Packet::PubComp(ack)));
        assert!(incoming.take(publish(7, "y")).unwrap().message.is_some());
    }
}
