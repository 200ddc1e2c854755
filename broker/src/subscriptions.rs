//! Who wants which messages, and how they get them.

use std::sync::Arc;

use mqtt::filters::FilterTree;
use mqtt::packet::SubscriptionOptions;
use mqtt::session::{Delivery, Message};
use mqtt::{QoS, TopicFilter};
use parking_lot::RwLock;

use crate::mailbox::Mailbox;

/// Names a connection of this node; never used again.
pub(crate) type ConnectionId = u64;

/// One subscription of one connection.
pub(crate) struct Subscriber {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) client_id: Arc<str>,
    pub(crate) options: SubscriptionOptions,
    pub(crate) subscription_id: Option<u32>,
}

/// All subscriptions of this node.
#[derive(Default)]
pub(crate) struct Subscriptions {
    tree: RwLock<FilterTree<ConnectionId, Subscriber>>,
}

impl Subscriptions {
    /// Adds or replaces one; returns whether it is new.
    pub(crate) fn insert(
        &self,
        filter: &TopicFilter,
        id: ConnectionId,
        subscriber: Subscriber,
    ) -> bool {
        self.tree.write().insert(filter, id, subscriber).is_none()
    }

    /// Removes one; returns whether it was there.
    pub(crate) fn remove(&self, filter: &TopicFilter, id: ConnectionId) -> bool {
        self.tree.write().remove(filter, &id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.tree.read().len()
    }

    /// Gives a message to all who want it, once each: the highest QoS of a client's matching subscriptions counts
    /// [MQTT-3.3.4-2], and all their identifiers go with it [MQTT-3.3.4-3].
    pub(crate) fn route(&self, message: &Arc<Message>, publisher: Option<&[u8]>) {
        let tree = self.tree.read();
        let mut matched: Vec<(ConnectionId, &Subscriber)> = Vec::new();
        tree.for_each_match(message.topic().as_str(), |id, subscriber| {
            // [MQTT-3.8.3-3]
            let own = publisher == Some(subscriber.client_id.as_bytes());
            if !(own && subscriber.options.no_local) {
                matched.push((*id, subscriber));
            }
        });
        // One filter's subscribers come in order; only a message that several filters match has to be sorted.
        if !matched.is_sorted_by_key(|(id, _)| *id) {
            matched.sort_by_key(|(id, _)| *id);
        }
        for of_one in matched.chunk_by(|(a, _), (b, _)| a == b) {
            let all = || of_one.iter().map(|(_, subscriber)| subscriber);
            let granted = all().map(|s| s.options.qos).max().unwrap_or_default();
            let as_published = all().any(|s| s.options.retain_as_published);
            of_one[0].1.mailbox.deliver(Delivery {
                message: Arc::clone(message),
                qos: granted.min(message.qos),
                retain: as_published && message.retain,
                subscription_ids: all().filter_map(|s| s.subscription_id).collect(),
            });
        }
    }
}

/// A retained message as a new subscription gets it.
pub(crate) fn retained_delivery(
    message: Arc<Message>,
    granted: QoS,
    subscription_id: Option<u32>,
) -> Delivery {
    Delivery {
        qos: granted.min(message.qos),
        message,
        retain: true,
        subscription_ids: subscription_id.into_iter().collect(),
    }
}
