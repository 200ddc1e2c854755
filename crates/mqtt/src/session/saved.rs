//! What outlives a connection: the part of a session's state (§4.1) that is the protocol's own. The driver stores it
//! beside the subscriptions and the offsets from which the session still wants records.

use std::sync::Arc;

use super::{Message, Origin};
use crate::{PacketId, QoS};

/// Packet identifiers that are in use, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// QoS 2 messages of the client that are stored and wait for their PUBREL.
    pub received: Vec<PacketId>,
    /// Messages to the client that it has not acknowledged to the end, in the order in which they were sent.
    pub in_flight: Vec<InFlight>,
}

/// A QoS 1 or 2 message on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its packet identifier.
    pub packet_id: PacketId,
    /// Where it can be read again.
    pub origin: Option<Origin>,
    /// The QoS that it was sent with: 1 or 2.
    pub qos: QoS,
    /// The retain flag that it was sent with.
    pub retain: bool,
    /// The subscription identifiers that it was sent with.
    pub subscription_ids: Vec<u32>,
    /// What it waits for.
    pub step: Step,
    /// See [`Delivery::share`](super::Delivery::share).
    pub share: u32,
}

/// What a message on its way waits for (§4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// PUBACK.
    Ack,
    /// PUBREC.
    Rec,
    /// PUBCOMP.
    Comp,
}

/// A session that goes on: what was saved, with the messages that have to be sent again.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// See [`Saved::received`].
    pub received: Vec<PacketId>,
    /// See [`Saved::in_flight`]; a message is `None` when the log has it no more, or when it needs none (PUBCOMP).
    pub in_flight: Vec<(InFlight, Option<Arc<Message>>)>,
}
