//! What the client publishes: its aliases, and the acknowledgements that wait for Kafka.
//!
//! Kafka may acknowledge out of order (partitions are independent), but PUBACK and PUBREC leave in the order in which
//! the PUBLISH packets came [MQTT-4.6.0-2], [MQTT-4.6.0-3].

use std::collections::{BTreeMap, VecDeque};

use crate::packet::{Ack, PacketId, Publish};
use crate::{Packet, QoS, ReasonCode, TopicName, Violation};

/// Names a message that waits for Kafka; unique within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

#[derive(Debug)]
pub(super) struct Incoming {
    aliases: Vec<Option<TopicName>>,
    alias_max: u16,
    receive_maximum: usize,
    /// Acknowledgements in the order of their PUBLISH; the first one's token is `first`.
    waiting: VecDeque<Waiting>,
    first: u64,
    /// QoS 2 packet identifiers from PUBLISH to PUBREL.
    exactly_once: BTreeMap<PacketId, ExactlyOnce>,
}

#[derive(Debug)]
struct Waiting {
    packet_id: PacketId,
    qos: QoS,
    result: Option<ReasonCode>,
    /// The state with the packet identifier was saved with the message.
    is_saved: bool,
}

/// An acknowledgement that may leave.
pub(super) struct NextAck {
    pub(super) packet: Packet,
    /// See [`Waiting::is_saved`].
    pub(super) is_saved: bool,
}

#[derive(Clone, Copy, Debug)]
struct ExactlyOnce {
    /// Kafka has the message.
    is_stored: bool,
    /// Its PUBLISH came on this connection, so it counts against the Receive Maximum.
    is_counted: bool,
}

impl Incoming {
    pub(super) fn new(alias_max: u16, receive_maximum: u16) -> Self {
        Self {
            aliases: Vec::new(),
            alias_max,
            receive_maximum: receive_maximum.into(),
            waiting: VecDeque::new(),
            first: 0,
            exactly_once: BTreeMap::new(),
        }
    }

    /// The identifiers of an earlier connection that wait for their PUBREL.
    pub(super) fn resume(&mut self, received: Vec<PacketId>) {
        let known = ExactlyOnce {
            is_stored: true,
            is_counted: false,
        };
        self.exactly_once
            .extend(received.into_iter().map(|packet_id| (packet_id, known)));
    }

    /// What [`Self::resume`] takes, when the messages of `with` are stored together with it.
    pub(super) fn received(&self, with: &[Token]) -> Vec<PacketId> {
        let stored = self
            .exactly_once
            .iter()
            .filter(|(_, entry)| entry.is_stored);
        let mut received: Vec<PacketId> = stored.map(|(packet_id, _)| *packet_id).collect();
        received.extend(
            with.iter()
                .filter_map(|token| self.waiting.get(self.index(*token)?))
                .filter(|waiting| waiting.result.is_none() && waiting.qos == QoS::ExactlyOnce)
                .map(|waiting| waiting.packet_id),
        );
        received
    }

    fn index(&self, token: Token) -> Option<usize> {
        usize::try_from(token.0.checked_sub(self.first)?).ok()
    }

    /// Whether so many publishes wait for Kafka that the client has to wait, too.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.receive_maximum
    }

    /// Whether some publish waits for Kafka.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the client has used up the Receive Maximum that it was told [MQTT-3.3.4-9].
    pub(super) fn is_used_up(&self) -> bool {
        let half_done = self
            .exactly_once
            .values()
            .filter(|entry| entry.is_stored && entry.is_counted)
            .count();
        let counted_twice = self
            .waiting
            .iter()
            .filter(|waiting| waiting.qos == QoS::ExactlyOnce)
            .filter(|waiting| waiting.result.is_some_and(|reason| !reason.is_error()))
            .count();
        self.waiting.len() + half_done - counted_twice >= self.receive_maximum
    }

    /// Sets the topic of a publish that came by alias, or remembers the alias (§3.3.2.3.4).
    pub(super) fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Violation> {
        let Some(alias) = publish.properties.topic_alias else {
            return Ok(());
        };
        if alias > self.alias_max {
            return Err(Violation::TopicAlias);
        }
        // It means something on this connection only: it is not stored with the message.
        publish.properties.topic_alias = None;
        let index = usize::from(alias) - 1;
        match &publish.topic {
            Some(topic) => {
                if self.aliases.len() <= index {
                    self.aliases.resize(index + 1, None);
                }
                self.aliases[index] = Some(topic.clone());
            }
            None => {
                let known = self.aliases.get(index).cloned().flatten();
                publish.topic = Some(known.ok_or(Violation::TopicAlias)?);
            }
        }
        Ok(())
    }

    /// Starts to wait for a message; `None` when it is a QoS 2 one that was sent again.
    pub(super) fn expect(&mut self, packet_id: PacketId, qos: QoS) -> Option<Token> {
        if qos == QoS::ExactlyOnce {
            if let Some(known) = self.exactly_once.get_mut(&packet_id) {
                known.is_counted = true;
                return None;
            }
            let new = ExactlyOnce {
                is_stored: false,
                is_counted: true,
            };
            self.exactly_once.insert(packet_id, new);
        }
        self.waiting.push_back(Waiting {
            packet_id,
            qos,
            result: None,
            is_saved: false,
        });
        Some(Token(self.first + self.waiting.len() as u64 - 1))
    }

    /// Whether a QoS 2 message of `packet_id` is on its way to Kafka, or there.
    pub(super) fn knows(&self, packet_id: PacketId) -> bool {
        self.exactly_once.contains_key(&packet_id)
    }

    /// Whether the QoS 2 message of `packet_id` is stored and waits for its PUBREL.
    pub(super) fn is_stored(&self, packet_id: PacketId) -> bool {
        self.exactly_once
            .get(&packet_id)
            .is_some_and(|entry| entry.is_stored)
    }

    /// Kafka has answered. `is_saved`: it has the state with the packet identifier, too.
    pub(super) fn appended(&mut self, token: Token, reason: ReasonCode, is_saved: bool) {
        let waiting = self.index(token).and_then(|at| self.waiting.get_mut(at));
        let Some(waiting) = waiting else {
            return;
        };
        waiting.result = Some(reason);
        waiting.is_saved = is_saved;
        // From now on it belongs to the state, though its acknowledgement may have to wait for its turn.
        if waiting.qos == QoS::ExactlyOnce
            && !reason.is_error()
            && let Some(entry) = self.exactly_once.get_mut(&waiting.packet_id)
        {
            entry.is_stored = true;
        }
    }

    /// The next acknowledgement whose turn it is.
    pub(super) fn next_ack(&mut self) -> Option<NextAck> {
        let reason = self.waiting.front()?.result?;
        let waiting = self.waiting.pop_front()?;
        self.first += 1;
        let ack = Ack::new(waiting.packet_id, reason);
        let packet = match waiting.qos {
            QoS::ExactlyOnce => {
                if reason.is_error() {
                    // [MQTT-4.3.3-9] The identifier is free again after a refusing PUBREC.
                    self.exactly_once.remove(&waiting.packet_id);
                }
                Packet::PubRec(ack)
            }
            _ => Packet::PubAck(ack),
        };
        Some(NextAck {
            packet,
            is_saved: waiting.is_saved,
        })
    }

    /// A PUBREL came; returns whether the identifier was known.
    pub(super) fn release(&mut self, packet_id: PacketId) -> bool {
        if self.is_stored(packet_id) {
            self.exactly_once.remove(&packet_id);
            return true;
        }
        false
    }
}
