//! DISCONNECT (§3.14): since 5 a reason code (u8) and properties, which may be left out; empty before.

use bytes::{BufMut, BytesMut};

use super::{ReasonCode, Version};
use crate::Violation;
use crate::properties::{Properties, place};
use crate::wire::Reader;

/// The last packet of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Why (version 5).
    pub reason: ReasonCode,
    /// Properties (version 5).
    pub properties: Properties,
}

impl Disconnect {
    /// With a reason and no properties.
    pub fn new(reason: ReasonCode) -> Self {
        Self {
            reason,
            properties: Properties::default(),
        }
    }

    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let mut packet = Self::new(ReasonCode::SUCCESS);
        if version.is_v5() && !body.is_empty() {
            packet.reason = ReasonCode(body.u8()?);
            if !body.is_empty() {
                packet.properties = Properties::read(&mut body, place::DISCONNECT)?;
            }
        }
        if !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        Ok(packet)
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
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
