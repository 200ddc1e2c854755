//! CONNACK (§3.2): session present (u8: 0 or 1), reason code (u8), properties (since 5).

use bytes::{BufMut, BytesMut};

use super::{ReasonCode, Version};
use crate::Violation;
use crate::properties::{Properties, place};
use crate::wire::Reader;

/// The server's answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server had a session of this client.
    pub session_present: bool,
    /// Success, or why not.
    pub reason: ReasonCode,
    /// Properties (version 5).
    pub properties: Properties,
}

impl ConnAck {
    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let session_present = match body.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Violation::ReservedFlags),
        };
        let code = body.u8()?;
        let (reason, properties) = if version.is_v5() {
            (
                ReasonCode(code),
                Properties::read(&mut body, place::CONNACK)?,
            )
        } else {
            let reason = ReasonCode::from_connack_v3(code);
            (
                reason.ok_or(Violation::ReasonCode(code))?,
                Properties::default(),
            )
        };
        // [MQTT-3.2.2-6] A refusal has no session present.
        if session_present && reason.is_error() {
            return Err(Violation::ReasonCode(code));
        }
        if !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        Ok(Self {
            session_present,
            reason,
            properties,
        })
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        // [MQTT-3.2.2-6] A refusal has no session present.
        out.put_u8(u8::from(self.session_present && !self.reason.is_error()));
        if version.is_v5() {
            out.put_u8(self.reason.0);
            self.properties.write(out);
        } else {
            out.put_u8(self.reason.connack_v3());
        }
    }
}
