//! MQTT 3.1, 3.1.1 and 5.0 without IO: bytes, events and `now` go in, bytes and actions come out.
//!
//! This crate knows no sockets, no runtime, no Kafka and never reads a clock. In reading order:
//!
//! - [`wire`]: the primitive types of the wire, bounded and checked
//! - [`topic`]: topic names, topic filters, and how they match
//! - [`properties`]: the properties of MQTT 5, one struct for all packets
//! - [`packet`]: one model for all versions, one file a packet; version 5 is the superset
//! - [`codec`]: frames to packets and back
//! - [`violation`]: what a peer did wrong, by normative statement, with its reason code
//! - [`session`]: the server's side of one connection
//! - [`filters`]: which of many filters match a topic name, and which of many names match a filter
//!
//! Sources: [MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html) and
//! [MQTT 5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html), OASIS; statements are named as there.

pub mod codec;
pub mod filters;
pub mod packet;
pub mod properties;
pub mod session;
pub mod topic;
pub mod violation;
pub mod wire;

pub use packet::{Packet, PacketId, QoS, ReasonCode, Version};
pub use topic::{TopicFilter, TopicName};
pub use violation::Violation;
