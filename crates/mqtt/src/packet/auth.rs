//! AUTH (§3.15), since 5: a reason code (u8) and properties, which may be left out.

use bytes::{BufMut, BytesMut};

use super::ReasonCode;
use crate::Violation;
use crate::properties::{Properties, place};
use crate::wire::Reader;

/// One step of enhanced authentication (§4.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue or re-authenticate.
    pub reason: ReasonCode,
    /// Method and data.
    pub properties: Properties,
}

impl Auth {
    pub(crate) fn read(mut body: Reader) -> Result<Self, Violation> {
        let mut packet = Self {
            reason: ReasonCode::SUCCESS,
            properties: Properties::default(),
        };
        if !body.is_empty() {
            let code = body.u8()?;
            if !matches!(code, 0x00 | 0x18 | 0x19) {
                return Err(Violation::ReasonCode(code));
            }
            packet.reason = ReasonCode(code);
            if !body.is_empty() {
                packet.properties = Properties::read(&mut body, place::AUTH)?;
            }
        }
        if !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        Ok(packet)
    }

    pub(crate) fn write(&self, out: &mut BytesMut) {
        let has_properties = !self.properties.is_empty();
        if has_properties || self.reason != ReasonCode::SUCCESS {
            out.put_u8(self.reason.0);
        }
        if has_properties {
            self.properties.write(out);
        }
    }
}
