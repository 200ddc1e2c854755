//! PUBACK, PUBREC, PUBREL, PUBCOMP (§3.4 to §3.7), which have one form.
//!
//! ```text
//! packet id     u16
//! reason code   u8, since 5; may be left out when it is success and there are no properties
//! properties    since 5; may be left out when there are none
//! ```

use bytes::{BufMut, BytesMut};

use super::{PacketId, ReasonCode, Version};
use crate::Violation;
use crate::properties::{Properties, place};
use crate::wire::Reader;

/// One step of the acknowledgement of a PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Of the PUBLISH.
    pub packet_id: PacketId,
    /// Success, or why not (version 5).
    pub reason: ReasonCode,
    /// Properties (version 5).
    pub properties: Properties,
}

impl Ack {
    /// A plain success.
    pub fn success(packet_id: PacketId) -> Self {
        Self::new(packet_id, ReasonCode::SUCCESS)
    }

    /// With a reason and no properties.
    pub fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self {
            packet_id,
            reason,
            properties: Properties::default(),
        }
    }

    /// `allowed`: the reason codes of this packet's table.
    pub(crate) fn read(
        mut body: Reader,
        version: Version,
        allowed: &[u8],
    ) -> Result<Self, Violation> {
        let packet_id = PacketId::try_from(body.u16()?)?;
        let mut ack = Self::success(packet_id);
        if version.is_v5() && !body.is_empty() {
            let code = body.u8()?;
            if !allowed.contains(&code) {
                return Err(Violation::ReasonCode(code));
            }
            ack.reason = ReasonCode(code);
            if !body.is_empty() {
                ack.properties = Properties::read(&mut body, place::ACK)?;
            }
        }
        if !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        Ok(ack)
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if !version.is_v5() {
            return;
        }
        let has_properties = !self.properties.is_empty();
        if has_properties || self.reason != ReasonCode::SUCCESS {
            out.put_u8(self.reason.0);
        }
        if has_properties {
            self.properties.write(out);
        }
    }
}

/// Reason codes of PUBACK and PUBREC (tables 3-4 and 3-5).
pub(crate) const PUBACK_REASONS: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
/// Reason codes of PUBREL and PUBCOMP (tables 3-6 and 3-7).
pub(crate) const PUBREL_REASONS: &[u8] = &[0x00, 0x92];
