//! UNSUBSCRIBE (§3.10): packet id (u16), properties (since 5), filters (strings); and UNSUBACK (§3.11): packet id,
//! then since 5 properties and a reason code for each filter.

use bytes::{BufMut, BytesMut};

use super::{PacketId, ReasonCode, Version};
use crate::properties::{Properties, place};
use crate::wire::{Reader, put_text};
use crate::{TopicFilter, Violation};

/// A client wants no more messages of some filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// For the UNSUBACK.
    pub packet_id: PacketId,
    /// Properties (version 5).
    pub properties: Properties,
    /// At least one.
    pub filters: Vec<TopicFilter>,
}

/// The answer to UNSUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// Properties (version 5).
    pub properties: Properties,
    /// One for each filter, in their order (version 5; empty before).
    pub reasons: Vec<ReasonCode>,
}

impl Unsubscribe {
    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let packet_id = PacketId::try_from(body.u16()?)?;
        let properties = if version.is_v5() {
            Properties::read(&mut body, place::UNSUBSCRIBE)?
        } else {
            Properties::default()
        };
        let mut filters = Vec::new();
        while !body.is_empty() {
            filters.push(TopicFilter::new(&body.text()?)?);
        }
        if filters.is_empty() {
            return Err(Violation::NoFilters);
        }
        Ok(Self {
            packet_id,
            properties,
            filters,
        })
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.is_v5() {
            self.properties.write(out);
        }
        for filter in &self.filters {
            put_text(out, filter.as_written());
        }
    }
}

impl UnsubAck {
    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let packet_id = PacketId::try_from(body.u16()?)?;
        let properties = if version.is_v5() {
            Properties::read(&mut body, place::ACK)?
        } else {
            Properties::default()
        };
        if !version.is_v5() && !body.is_empty() {
            return Err(Violation::TrailingBytes);
        }
        let reasons = body.rest().iter().map(|code| ReasonCode(*code)).collect();
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
            for reason in &self.reasons {
                out.put_u8(reason.0);
            }
        }
    }
}
