//! What is on its way to the client: the QoS 1 and 2 messages that it has not acknowledged, and the topic aliases that
//! it knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::message::Alias;
use super::{Delivery, InFlight, Message, Origin, Step};
use crate::packet::{Ack, PacketId};
use crate::{Packet, QoS, TopicName, Version};

#[derive(Debug)]
pub(super) struct Outgoing {
    /// In the order in which they were sent.
    in_flight: VecDeque<InFlight>,
    /// Of an earlier connection, and not sent on this one yet.
    to_resend: VecDeque<(InFlight, Arc<Message>)>,
    in_flight_max: usize,
    packet_bytes_max: usize,
    last_id: u16,
    /// Messages of shared subscriptions that the driver has to be told of.
    finished: Vec<(u32, Origin)>,
    /// By topic; a map that keeps nothing where the client takes no alias.
    aliases: BTreeMap<TopicName, u16>,
    alias_max: u16,
}

impl Outgoing {
    pub(super) fn new(in_flight_max: u16) -> Self {
        Self {
            in_flight: VecDeque::new(),
            to_resend: VecDeque::new(),
            in_flight_max: in_flight_max.into(),
            packet_bytes_max: usize::MAX,
            last_id: 0,
            finished: Vec::new(),
            aliases: BTreeMap::new(),
            alias_max: 0,
        }
    }

    pub(super) fn set_client_limits(
        &mut self,
        receive_maximum: u16,
        packet_max: Option<u32>,
        alias_max: u16,
    ) {
        self.in_flight_max = self.in_flight_max.min(receive_maximum.into());
        self.packet_bytes_max = packet_max.map_or(usize::MAX, |max| max as usize);
        self.alias_max = alias_max;
    }

    /// The largest packet that the client takes, in bytes.
    pub(super) fn packet_bytes_max(&self) -> usize {
        self.packet_bytes_max
    }

    /// How many more QoS 1 and 2 messages may be sent now [MQTT-3.3.4-9].
    pub(super) fn room(&self) -> usize {
        let used = self.in_flight.len() + self.to_resend.len();
        self.in_flight_max - used.min(self.in_flight_max)
    }

    /// Takes over what an earlier connection left; returns the PUBREL packets to send.
    pub(super) fn resume(
        &mut self,
        in_flight: Vec<(InFlight, Option<Arc<Message>>)>,
    ) -> Vec<Packet> {
        let mut releases = Vec::new();
        for (mut known, message) in in_flight {
            self.last_id = self.last_id.max(known.packet_id.get());
            match (known.step, message) {
                (Step::Ack | Step::Rec, Some(message)) => {
                    self.to_resend.push_back((known, message))
                }
                (Step::Ack, None) => {}
                // Either it is released already, or it can't be sent again: releasing it makes sure that the client
                // does not take the next message with this identifier for this one.
                (Step::Rec | Step::Comp, _) => {
                    known.step = Step::Comp;
                    releases.push(Packet::PubRel(Ack::success(known.packet_id)));
                    self.in_flight.push_back(known);
                }
            }
        }
        releases
    }

    /// Sends the next message of an earlier connection again, as far as the client's Receive Maximum allows; returns
    /// its QoS. [MQTT-4.4.0-1], [MQTT-3.3.1-1]: same identifier, DUP set.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        version: Version,
        out: &mut BytesMut,
    ) -> Option<QoS> {
        while self.in_flight.len() < self.in_flight_max {
            let (known, message) = self.to_resend.pop_front()?;
            let delivery = Delivery {
                message,
                qos: known.qos,
                retain: known.retain,
                subscription_ids: known.subscription_ids.clone(),
                extra: None,
                share: known.share,
            };
            let template = delivery
                .template(now, version, Alias::None)
                .filter(|template| template.len() <= self.packet_bytes_max);
            match template {
                Some(template) => {
                    template.write(true, known.qos, known.retain, Some(known.packet_id), out);
                    let qos = known.qos;
                    self.in_flight.push_back(known);
                    return Some(qos);
                }
                // Expired at QoS 1: nothing is left to do. At QoS 2 the client may know it: release it.
                None if known.qos == QoS::ExactlyOnce => {
                    let release = Packet::PubRel(Ack::success(known.packet_id));
                    crate::codec::encode(&release, version, out);
                    self.in_flight.push_back(InFlight {
                        step: Step::Comp,
                        ..known
                    });
                }
                None => {}
            }
        }
        None
    }

    /// What [`Self::resume`] takes, without the messages.
    pub(super) fn saved(&self) -> Vec<InFlight> {
        let waiting = self.to_resend.iter().map(|(known, _)| known);
        self.in_flight.iter().chain(waiting).cloned().collect()
    }

    /// Writes the PUBLISH; returns the QoS it went with, or `None` when it could not be sent. `is_next`: no other packet
    /// leaves before it, so that it may say what an alias means.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        version: Version,
        delivery: &Delivery,
        is_next: bool,
        out: &mut BytesMut,
    ) -> Option<QoS> {
        let alias = match is_next {
            true => self.alias(version, delivery),
            false => Alias::None,
        };
        let template = delivery.template(now, version, alias)?;
        // [MQTT-3.1.2-25] Too large for this client: as if it had been sent.
        if template.len() > self.packet_bytes_max {
            return None;
        }
        let packet_id = match delivery.qos {
            QoS::AtMostOnce => None,
            _ if self.room() == 0 => return None,
            _ => Some(self.start(delivery)),
        };
        if let Alias::New(number) = alias {
            self.aliases
                .insert(delivery.message.topic().clone(), number);
        }
        template.write(false, delivery.qos, delivery.retain, packet_id, out);
        Some(delivery.qos)
    }

    /// The first topics get an alias each.
    fn alias(&self, version: Version, delivery: &Delivery) -> Alias {
        if self.alias_max == 0 || !version.is_v5() {
            return Alias::None;
        }
        match self.aliases.get(delivery.message.topic()) {
            Some(number) => Alias::Known(*number),
            None if self.aliases.len() < usize::from(self.alias_max) => {
                Alias::New(self.aliases.len() as u16 + 1)
            }
            None => Alias::None,
        }
    }

    fn start(&mut self, delivery: &Delivery) -> PacketId {
        let packet_id = self.free_id();
        self.in_flight.push_back(InFlight {
            packet_id,
            origin: delivery.message.origin,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: delivery.subscription_ids.clone(),
            step: match delivery.qos {
                QoS::ExactlyOnce => Step::Rec,
                _ => Step::Ack,
            },
            share: delivery.share,
        });
        packet_id
    }

    /// The next identifier that is not in use; there is one, since far fewer than 65 535 are in flight.
    fn free_id(&mut self) -> PacketId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Ok(id) = PacketId::try_from(self.last_id)
                && self.in_flight.iter().all(|known| known.packet_id != id)
                && self
                    .to_resend
                    .iter()
                    .all(|(known, _)| known.packet_id != id)
            {
                return id;
            }
        }
    }

    /// Forgets the QoS 1 messages of shared subscriptions: others get them. Returns where they can be read. At QoS 2 the
    /// message stays with the client that has got it [MQTT-4.8.2-4].
    pub(super) fn give_away(&mut self) -> Vec<(u32, Origin)> {
        let mut origins = Vec::new();
        let mut keep = |known: &InFlight| {
            let goes = known.share != 0 && known.step == Step::Ack;
            if goes && let Some(origin) = known.origin {
                origins.push((known.share, origin));
            }
            !goes
        };
        self.in_flight.retain(&mut keep);
        self.to_resend.retain(|(known, _)| keep(known));
        origins
    }

    fn position(&self, packet_id: PacketId, step: Step) -> Option<usize> {
        self.in_flight
            .iter()
            .position(|known| known.packet_id == packet_id && known.step == step)
    }

    /// A client may acknowledge what it got on an earlier connection before it is sent again.
    fn take_back(&mut self, packet_id: PacketId, step: Step) -> Option<InFlight> {
        let index = self
            .to_resend
            .iter()
            .position(|(known, _)| known.packet_id == packet_id && known.step == step)?;
        self.to_resend.remove(index).map(|(known, _)| known)
    }

    pub(super) fn handle_puback(&mut self, ack: &Ack) {
        let known = self.take_back(ack.packet_id, Step::Ack).or_else(|| {
            let index = self.position(ack.packet_id, Step::Ack)?;
            self.in_flight.remove(index)
        });
        if let Some(known) = known {
            self.finish(known.share, known.origin);
        }
    }

    /// A message of a shared subscription is done with, if it is one.
    pub(super) fn finish(&mut self, share: u32, origin: Option<Origin>) {
        if share != 0 {
            self.finished.extend(origin.map(|origin| (share, origin)));
        }
    }

    /// See [`super::Session::take_finished`].
    pub(super) fn take_finished(&mut self) -> Vec<(u32, Origin)> {
        std::mem::take(&mut self.finished)
    }

    /// Returns the PUBREL to send.
    pub(super) fn handle_pubrec(&mut self, ack: &Ack) -> Option<Packet> {
        if let Some(known) = self.take_back(ack.packet_id, Step::Rec) {
            self.in_flight.push_back(known);
        }
        let index = self.position(ack.packet_id, Step::Rec);
        if let Some(index) = index {
            let (share, origin) = (self.in_flight[index].share, self.in_flight[index].origin);
            self.finish(share, origin);
        }
        match index {
            // The client refuses the message: that ends it (§4.3.3).
            Some(index) if ack.reason.is_error() => {
                self.in_flight.remove(index);
                None
            }
            Some(index) => {
                self.in_flight[index].step = Step::Comp;
                Some(Packet::PubRel(Ack::success(ack.packet_id)))
            }
            // Sent again, or never ours: answer, so that the client can forget it.
            None if !ack.reason.is_error() => Some(Packet::PubRel(Ack::success(ack.packet_id))),
            None => None,
        }
    }

    pub(super) fn handle_pubcomp(&mut self, ack: &Ack) {
        if let Some(index) = self.position(ack.packet_id, Step::Comp) {
            self.in_flight.remove(index);
        }
    }
}
