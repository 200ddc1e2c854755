//! SUBACK (§3.9): packet id (u16), properties (since 5), a reason code (u8) for each filter of the SUBSCRIBE.

use bytes::{BufMut, BytesMut};

use super::{PacketId, ReasonCode, Version};
use crate::Violation;
use crate::properties::{Properties, place};
use crate::wire::Reader;

/// The answer to SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties (version 5).
    pub properties: Properties,
    /// One for each filter, in their order.
    pub reasons: Vec<ReasonCode>,
}

impl SubAck {
    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let packet_id = PacketId::try_from(body.u16()?)?;
        let properties = if version.is_v5() {
            Properties::read(&mut body, place::ACK)?
        } else {
            Properties::default()
        };
        let reasons: Vec<ReasonCode> = body.rest().iter().map(|code| ReasonCode(*code)).collect();
        if let Some(unknown) = reasons.iter().find(|reason| !reason.is_of_suback(version)) {
            return Err(Violation::ReasonCode(unknown.0));
        }
        Ok(Self {
            packet_id,
            properties,
            reasons,
        })
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.is_v5() {
            self.properties.write(out);
        }
        for reason in &self.reasons {
            out.put_u8(reason.suback(version));
        }
    }
}
