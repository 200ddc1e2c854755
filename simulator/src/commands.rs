//! Commands to a vehicle over MQTT: what comes in, and the answers that go out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fleet::Reply;
use mqtt::QoS;

use crate::agent::Message;
use crate::connection::Shared;

/// Answers that wait for the connection; what is more is dropped and counted.
const REPLIES_MAX: usize = 4;

/// A message on the vehicle's command topic.
pub(crate) struct Incoming<'a> {
    pub(crate) payload: &'a [u8],
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation: Option<Bytes>,
}

/// Where an answer goes.
#[derive(Debug)]
pub(crate) struct ReplyTo {
    topic: Arc<str>,
    correlation: Option<Bytes>,
}

impl ReplyTo {
    /// Where the answer to this goes; nothing when nobody asked for one, or not below `fleet/replies/`: whoever may send
    /// a command must not make vehicles publish anywhere else.
    pub(crate) fn of(incoming: &Incoming<'_>, shared: &Shared) -> Option<Self> {
        let topic = incoming.response_topic?;
        if !shared.topics.is_reply(topic) {
            shared.metrics.replies_dropped.inc();
            tracing::debug!(topic, "an answer was asked for where no answers go");
            return None;
        }
        Some(Self {
            topic: topic.into(),
            correlation: incoming.correlation.clone(),
        })
    }
}

/// The answers of one vehicle.
#[derive(Default)]
pub(crate) struct Replies(VecDeque<Message>);

impl Replies {
    pub(crate) fn push(&mut self, to: Option<ReplyTo>, reply: &Reply, shared: &Shared) {
        if matches!(reply, Reply::Refused { .. }) {
            shared.metrics.commands_refused.inc();
        }
        let Some(to) = to else {
            return;
        };
        if self.0.len() >= REPLIES_MAX {
            shared.metrics.replies_dropped.inc();
            return;
        }
        self.0.push_back(Message {
            topic: to.topic,
            payload: reply.to_json().into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            correlation: to.correlation,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.0.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
