//! SUBSCRIBE (§3.8): packet id (u16), properties (since 5), then filters (string) each with its options (u8).
//!
//! ```text
//! options   reserved(2) retain handling(2) retain as published(1) no local(1) qos(2); before 5 only the qos
//! ```

use bytes::{BufMut, BytesMut};

use super::{PacketId, QoS, Version};
use crate::properties::{Properties, place};
use crate::wire::{Reader, put_text};
use crate::{TopicFilter, Violation};

/// A client wants messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// For the SUBACK.
    pub packet_id: PacketId,
    /// Properties (version 5).
    pub properties: Properties,
    /// At least one.
    pub subscriptions: Vec<Subscription>,
}

/// One filter and how its messages shall come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Which topics.
    pub filter: TopicFilter,
    /// How.
    pub options: SubscriptionOptions,
}

/// Subscription options (§3.8.3.1); before version 5 all but the QoS are at their defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionOptions {
    /// The highest QoS to send at.
    pub qos: QoS,
    /// Do not send what this client published itself.
    pub no_local: bool,
    /// Send the retain flag as it was published.
    pub retain_as_published: bool,
    /// Which retained messages to send at once.
    pub retain_handling: RetainHandling,
}

/// Retain handling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// Send retained messages at each SUBSCRIBE.
    #[default]
    Send = 0,
    /// Send them only when the subscription is new.
    SendIfNew = 1,
    /// Send none.
    DoNotSend = 2,
}

impl Subscribe {
    pub(crate) fn read(mut body: Reader, version: Version) -> Result<Self, Violation> {
        let packet_id = PacketId::try_from(body.u16()?)?;
        let properties = if version.is_v5() {
            Properties::read(&mut body, place::SUBSCRIBE)?
        } else {
            Properties::default()
        };
        let mut subscriptions = Vec::new();
        while !body.is_empty() {
            let filter = TopicFilter::new(&body.text()?)?;
            let options = SubscriptionOptions::from_bits(body.u8()?, version)?;
            // [MQTT-3.8.3-4] No Local on a shared subscription is a protocol error.
            if options.no_local && filter.share_group().is_some() {
                return Err(Violation::SubscriptionValue);
            }
            subscriptions.push(Subscription { filter, options });
        }
        if subscriptions.is_empty() {
            return Err(Violation::NoFilters);
        }
        Ok(Self {
            packet_id,
            properties,
            subscriptions,
        })
    }

    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        out.put_u16(self.packet_id.get());
        if version.is_v5() {
            self.properties.write(out);
        }
        for subscription in &self.subscriptions {
            put_text(out, subscription.filter.as_written());
            out.put_u8(subscription.options.to_bits());
        }
    }
}

impl SubscriptionOptions {
    fn from_bits(bits: u8, version: Version) -> Result<Self, Violation> {
        let reserved = if version.is_v5() { 0xc0 } else { 0xfc };
        if bits & reserved != 0 {
            return Err(Violation::SubscriptionOptions);
        }
        let retain_handling = match (bits >> 4) & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Violation::SubscriptionValue),
        };
        // Before version 5 such a packet is malformed [MQTT-3.8.3-4 of 3.1.1]; either way the connection is closed.
        Ok(Self {
            qos: QoS::try_from(bits & 3).map_err(|_| Violation::SubscriptionValue)?,
            no_local: bits & 0x04 != 0,
            retain_as_published: bits & 0x08 != 0,
            retain_handling,
        })
    }

    fn to_bits(self) -> u8 {
        self.qos as u8
            | (u8::from(self.no_local) << 2)
            | (u8::from(self.retain_as_published) << 3)
            | ((self.retain_handling as u8) << 4)
    }
}
