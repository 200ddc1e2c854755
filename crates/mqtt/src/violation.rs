//! What a peer did wrong. Each says which normative statement it breaks and which reason code closes the connection.

use crate::ReasonCode;

/// A protocol violation. It closes the connection it came on, and that one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A field runs past the end of its packet.
    #[error("packet ends inside a field")]
    Truncated,
    /// [MQTT-1.5.5-1] More than four bytes.
    #[error("variable byte integer is malformed [MQTT-1.5.5-1]")]
    MalformedVarint,
    /// [MQTT-1.5.4-1], [MQTT-1.5.4-2]
    #[error("string is not utf-8 or holds u+0000 [MQTT-1.5.4-1]")]
    MalformedString,
    /// [MQTT-2.1.3-1] A reserved flag of the fixed header.
    #[error("reserved flags of the fixed header are set [MQTT-2.1.3-1]")]
    ReservedFlags,
    /// Packet type 0, or AUTH before version 5.
    #[error("packet type {0} is not of this version")]
    PacketType(u8),
    /// Larger than the limit that CONNACK named.
    #[error("packet is larger than the maximum packet size [MQTT-3.2.2-15]")]
    TooLarge,
    /// Bytes after the last field.
    #[error("packet has bytes after its last field")]
    TrailingBytes,
    /// [MQTT-3.3.1-4]
    #[error("qos 3 [MQTT-3.3.1-4]")]
    QoS3,
    /// [MQTT-3.3.1-2]
    #[error("dup is set on qos 0 [MQTT-3.3.1-2]")]
    DupOnQoS0,
    /// [MQTT-2.2.1-3], [MQTT-2.2.1-4]
    #[error("packet identifier is zero [MQTT-2.2.1-3]")]
    ZeroPacketId,
    /// A property that this packet may not carry, or that is not known.
    #[error("property {0:#04x} does not belong here")]
    Property(u8),
    /// A property that may stand only once.
    #[error("property {0:#04x} stands twice")]
    DuplicateProperty(u8),
    /// A property's value is outside its range.
    #[error("property {0:#04x} has a value out of range")]
    PropertyValue(u8),
    /// [MQTT-3.1.0-1]
    #[error("the first packet is not connect [MQTT-3.1.0-1]")]
    NotConnect,
    /// [MQTT-3.1.0-2]
    #[error("a second connect [MQTT-3.1.0-2]")]
    SecondConnect,
    /// [MQTT-3.1.2-1]
    #[error("protocol name is not MQTT [MQTT-3.1.2-1]")]
    ProtocolName,
    /// [MQTT-3.1.2-2]
    #[error("protocol version {0} is not supported [MQTT-3.1.2-2]")]
    ProtocolVersion(u8),
    /// [MQTT-3.1.2-3], and the rules on will and password flags.
    #[error("connect flags are not valid [MQTT-3.1.2-3]")]
    ConnectFlags,
    /// [MQTT-3.1.3-8]
    #[error("client identifier is not valid [MQTT-3.1.3-8]")]
    ClientId,
    /// [MQTT-4.7.3-1], [MQTT-3.3.2-2]: a topic name that is empty or has wildcards.
    #[error("topic name is not valid [MQTT-3.3.2-2]")]
    TopicName,
    /// [MQTT-4.7.1-1], [MQTT-4.7.1-2]
    #[error("topic filter is not valid [MQTT-4.7.1-1]")]
    TopicFilter,
    /// Alias 0, above the maximum, or not known: [MQTT-3.3.2-8], [MQTT-3.3.2-9].
    #[error("topic alias is not valid [MQTT-3.3.2-9]")]
    TopicAlias,
    /// [MQTT-3.3.4-9] More unacknowledged publishes than the receive maximum.
    #[error("more publishes in flight than the receive maximum [MQTT-3.3.4-9]")]
    ReceiveMaximum,
    /// [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    #[error("no topic filter in the packet [MQTT-3.8.3-2]")]
    NoFilters,
    /// [MQTT-3.8.3-5] A reserved bit of the subscription options.
    #[error("reserved bits of the subscription options are set [MQTT-3.8.3-5]")]
    SubscriptionOptions,
    /// [MQTT-3.8.3-4] No Local on a shared subscription; §3.8.3.1: QoS 3 or Retain Handling 3.
    #[error("subscription options have a value that is not allowed [MQTT-3.8.3-4]")]
    SubscriptionValue,
    /// A reason code that this packet may not carry.
    #[error("reason code {0:#04x} does not belong here")]
    ReasonCode(u8),
    /// A packet that only a server sends, or one that this server does not take at this point.
    #[error("this packet is not expected here")]
    Unexpected,
    /// [MQTT-3.2.2-11] A publish above the Maximum QoS that CONNACK named.
    #[error("qos is above the maximum qos [MQTT-3.2.2-11]")]
    QoSNotSupported,
    /// [MQTT-3.1.2-24] Nothing came for one and a half times the keep alive.
    #[error("nothing came within one and a half times the keep alive [MQTT-3.1.2-24]")]
    KeepAlive,
}

impl Violation {
    /// The reason code for DISCONNECT or CONNACK (MQTT 5.0 §2.4, §4.13).
    pub fn reason_code(self) -> ReasonCode {
        match self {
            Self::Truncated
            | Self::MalformedVarint
            | Self::MalformedString
            | Self::ReservedFlags
            | Self::PacketType(_)
            | Self::TrailingBytes
            | Self::QoS3
            | Self::ConnectFlags
            | Self::Property(_)
            | Self::SubscriptionOptions
            | Self::ReasonCode(_)
            | Self::ZeroPacketId
            | Self::DupOnQoS0 => ReasonCode::MALFORMED_PACKET,
            Self::TooLarge => ReasonCode::PACKET_TOO_LARGE,
            Self::ProtocolName | Self::ProtocolVersion(_) => {
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
            }
            Self::ClientId => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::TopicName => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicFilter => ReasonCode::TOPIC_FILTER_INVALID,
            Self::TopicAlias => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::ReceiveMaximum => ReasonCode::RECEIVE_MAXIMUM_EXCEEDED,
            Self::QoSNotSupported => ReasonCode::QOS_NOT_SUPPORTED,
            Self::KeepAlive => ReasonCode::KEEP_ALIVE_TIMEOUT,
            Self::DuplicateProperty(_)
            | Self::PropertyValue(_)
            | Self::NotConnect
            | Self::SecondConnect
            | Self::NoFilters
            | Self::SubscriptionValue
            | Self::Unexpected => ReasonCode::PROTOCOL_ERROR,
        }
    }
}
