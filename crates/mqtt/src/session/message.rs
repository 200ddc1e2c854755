//! A message on its way to clients: made once, shared by all who get it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;

use crate::packet::Template;
use crate::properties::Properties;
use crate::wire::Text;
use crate::{QoS, TopicName, Version};

/// Where a message is in the log; how logs are numbered is the driver's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Number of the log (a partition).
    pub log: u32,
    /// Offset in it.
    pub offset: i64,
}

/// An application message, with its encoded forms, each made when it is first needed.
#[derive(Debug)]
pub struct Message {
    topic: TopicName,
    properties: Properties,
    payload: Bytes,
    /// The QoS it was published with; a delivery has no higher one.
    pub qos: QoS,
    /// Whether it was published as a retained message.
    pub retain: bool,
    /// Where it can be read again; `None` for what is in no log.
    pub origin: Option<Origin>,
    /// When it was published, as the log says: milliseconds since the Unix epoch; 0 when unknown.
    pub timestamp_ms: i64,
    /// When it is of no use any more, with `message_expiry_s` in its properties.
    expires: Option<Instant>,
    /// By version 3 or 5, without or with a packet identifier.
    templates: [OnceLock<Template>; 4],
}

impl Message {
    /// A message that is in no log; `expires` goes with `properties.message_expiry_s`, which is what remains now.
    pub fn new(
        topic: TopicName,
        qos: QoS,
        retain: bool,
        properties: Properties,
        payload: Bytes,
        expires: Option<Instant>,
    ) -> Self {
        Self {
            topic,
            properties,
            payload,
            qos,
            retain,
            origin: None,
            timestamp_ms: 0,
            expires,
            templates: Default::default(),
        }
    }

    /// The same, read from the log at `origin`, which has it since `timestamp_ms`.
    #[must_use]
    pub fn at(mut self, origin: Origin, timestamp_ms: i64) -> Self {
        self.origin = Some(origin);
        self.timestamp_ms = timestamp_ms;
        self
    }

    /// Its topic name.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    fn shared(&self, version: Version, with_packet_id: bool) -> &Template {
        let index = usize::from(version.is_v5()) * 2 + usize::from(with_packet_id);
        self.templates[index].get_or_init(|| {
            Template::new(
                version,
                with_packet_id,
                self.topic.as_str(),
                &self.properties,
                &self.payload,
            )
        })
    }
}

/// User properties that go with a delivery beside the message's own.
pub type Extra = Arc<[(Text, Text)]>;

/// A message for one client, and how it is to be sent there.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What.
    pub message: Arc<Message>,
    /// The lower of the message's and the subscription's.
    pub qos: QoS,
    /// The retain flag to send.
    pub retain: bool,
    /// Identifiers of the subscriptions that it matched; sent in version 5 only.
    pub subscription_ids: Vec<u32>,
    /// User properties for a subscriber that asked for more; sent in version 5 only.
    pub extra: Option<Extra>,
    /// The driver's number of what it has of a shared subscription that chose this client; 0: none did.
    pub share: u32,
}

/// How a topic alias changes a packet (§3.3.2.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alias {
    /// None is used.
    None,
    /// The topic name goes with it: the client learns it.
    New(u16),
    /// It stands for the topic name.
    Known(u16),
}

impl Delivery {
    /// The encoded packet, or `None` when the message has expired [MQTT-3.3.2-5].
    pub(super) fn template(
        &self,
        now: Instant,
        version: Version,
        alias: Alias,
    ) -> Option<Template> {
        let message = &self.message;
        let with_packet_id = self.qos > QoS::AtMostOnce;
        let left_s = match message.expires {
            None => None,
            Some(expires) if expires <= now => return None,
            // Rounded up: the last second is still sent as 1.
            Some(expires) => Some(expires.duration_since(now).as_millis().div_ceil(1000) as u32),
        };
        let as_is = !version.is_v5()
            || (self.subscription_ids.is_empty()
                && self.extra.is_none()
                && alias == Alias::None
                && left_s == message.properties.message_expiry_s);
        if as_is {
            return Some(message.shared(version, with_packet_id).clone());
        }
        let mut properties = message.properties.clone();
        // [MQTT-3.3.2-6] What is left when it is sent.
        if left_s.is_some() {
            properties.message_expiry_s = left_s;
        }
        if !self.subscription_ids.is_empty() {
            properties
                .subscription_ids
                .clone_from(&self.subscription_ids);
        }
        if let Some(extra) = &self.extra {
            properties.user.extend_from_slice(extra);
        }
        let topic = match alias {
            Alias::Known(_) => "",
            _ => message.topic.as_str(),
        };
        if let Alias::New(number) | Alias::Known(number) = alias {
            properties.topic_alias = Some(number);
        }
        Some(Template::new(
            version,
            with_packet_id,
            topic,
            &properties,
            &message.payload,
        ))
    }
}
