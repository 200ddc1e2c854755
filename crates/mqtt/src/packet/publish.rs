//! PUBLISH (§3.3).
//!
//! ```text
//! fixed header   0011 dup(1) qos(2) retain(1)
//! topic name     string; empty only with a topic alias (version 5)
//! packet id      u16, QoS 1 and 2 only
//! properties     since 5
//! payload        the rest
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{PacketId, QoS, Version};
use crate::properties::{Properties, place};
use crate::wire::{Reader, put_text, put_varint, varint_len};
use crate::{TopicName, Violation};

const TYPE: u8 = 0x30;
const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

/// An application message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// It may have been sent before.
    pub dup: bool,
    /// Quality of service of this step.
    pub qos: QoS,
    /// To the server: keep it. To a client: it is a kept one (or as published, where asked for).
    pub retain: bool,
    /// `None`: the topic alias says it.
    pub topic: Option<TopicName>,
    /// There for QoS 1 and 2, and only there.
    pub packet_id: Option<PacketId>,
    /// Properties (version 5).
    pub properties: Properties,
    /// The payload, sharing the packet's buffer.
    pub payload: Bytes,
}

impl Publish {
    pub(crate) fn read(flags: u8, mut body: Reader, version: Version) -> Result<Self, Violation> {
        let qos = QoS::try_from((flags >> 1) & 3)?;
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(Violation::DupOnQoS0);
        }
        let topic = body.text()?;
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            _ => Some(PacketId::try_from(body.u16()?)?),
        };
        let properties = if version.is_v5() {
            Properties::read(&mut body, place::PUBLISH)?
        } else {
            Properties::default()
        };
        // [MQTT-3.3.2-8] An empty name needs an alias.
        let topic = if topic.is_empty() && properties.topic_alias.is_some() {
            None
        } else {
            Some(TopicName::new(topic)?)
        };
        Ok(Self {
            dup,
            qos,
            retain: flags & RETAIN != 0,
            topic,
            packet_id,
            properties,
            payload: body.rest(),
        })
    }

    /// The whole packet, fixed header included.
    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        let template = Template::new(
            version,
            self.qos > QoS::AtMostOnce,
            self.topic.as_ref().map_or("", TopicName::as_str),
            &self.properties,
            &self.payload,
        );
        template.write(self.dup, self.qos, self.retain, self.packet_id, out);
    }
}

/// An encoded PUBLISH that lacks only what differs between its receivers: flags and packet identifier.
/// It is made once per message and shape, and shared.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Bytes,
    /// Where the packet identifier goes.
    packet_id_at: Option<usize>,
}

impl Template {
    /// Encodes a message for a version, with or without room for a packet identifier.
    pub fn new(
        version: Version,
        with_packet_id: bool,
        topic: &str,
        properties: &Properties,
        payload: &[u8],
    ) -> Self {
        let properties_len = if version.is_v5() { properties.len() } else { 0 };
        let packet_id_len = if with_packet_id { 2 } else { 0 };
        let body = 2 + topic.len() + packet_id_len + properties_len + payload.len();
        let remaining = body as u32;
        let mut out = BytesMut::with_capacity(1 + varint_len(remaining) + body);
        out.put_u8(TYPE);
        put_varint(&mut out, remaining);
        put_text(&mut out, topic);
        let packet_id_at = with_packet_id.then_some(out.len());
        if with_packet_id {
            out.put_u16(0);
        }
        if version.is_v5() {
            properties.write(&mut out);
        }
        out.put_slice(payload);
        Self {
            bytes: out.freeze(),
            packet_id_at,
        }
    }

    /// Bytes of the whole packet.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: a packet has at least a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes the packet with its flags and identifier.
    pub fn write(
        &self,
        dup: bool,
        qos: QoS,
        retain: bool,
        packet_id: Option<PacketId>,
        out: &mut BytesMut,
    ) {
        let start = out.len();
        out.put_slice(&self.bytes);
        let dup = if dup { DUP } else { 0 };
        out[start] = TYPE | dup | ((qos as u8) << 1) | u8::from(retain);
        if let (Some(at), Some(id)) = (self.packet_id_at, packet_id) {
            out[start + at..start + at + 2].copy_from_slice(&id.get().to_be_bytes());
        }
    }
}
