//! One packet model for all versions: 5.0 is the superset, the version is an argument of decode and encode.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod reason;
mod suback;
mod subscribe;
mod unsubscribe;

use std::fmt;
use std::num::NonZeroU16;

pub use ack::Ack;
pub(crate) use ack::{PUBACK_REASONS, PUBREL_REASONS};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::{Publish, Template};
pub use reason::ReasonCode;
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, Subscription, SubscriptionOptions};
pub use unsubscribe::{UnsubAck, Unsubscribe};

use crate::Violation;

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V3_1,
    /// MQTT 3.1.1: level 4.
    V3_1_1,
    /// MQTT 5.0: level 5.
    V5,
}

impl Version {
    /// Whether packets have properties and reason codes.
    pub fn is_v5(self) -> bool {
        self == Self::V5
    }
}

/// Quality of service (§4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl TryFrom<u8> for QoS {
    type Error = Violation;

    fn try_from(bits: u8) -> Result<Self, Violation> {
        match bits {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err(Violation::QoS3),
        }
    }
}

/// A packet identifier: 1 to 65 535 (§2.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub NonZeroU16);

impl TryFrom<u16> for PacketId {
    type Error = Violation;

    fn try_from(number: u16) -> Result<Self, Violation> {
        NonZeroU16::new(number)
            .map(Self)
            .ok_or(Violation::ZeroPacketId)
    }
}

impl PacketId {
    /// The number on the wire.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Debug for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A control packet (§2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// 1: client to server.
    Connect(Box<Connect>),
    /// 2: server to client.
    ConnAck(ConnAck),
    /// 3: both ways.
    Publish(Publish),
    /// 4: answers a QoS 1 publish.
    PubAck(Ack),
    /// 5: QoS 2, step 1.
    PubRec(Ack),
    /// 6: QoS 2, step 2.
    PubRel(Ack),
    /// 7: QoS 2, step 3.
    PubComp(Ack),
    /// 8: client to server.
    Subscribe(Subscribe),
    /// 9: server to client.
    SubAck(SubAck),
    /// 10: client to server.
    Unsubscribe(Unsubscribe),
    /// 11: server to client.
    UnsubAck(UnsubAck),
    /// 12: client to server.
    PingReq,
    /// 13: server to client.
    PingResp,
    /// 14: client to server, and since 5.0 both ways.
    Disconnect(Disconnect),
    /// 15: both ways, since 5.0.
    Auth(Auth),
}
