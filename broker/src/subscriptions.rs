//! Who wants which messages, and how they get them.

use std::sync::Arc;

use mqtt::filters::FilterTree;
use mqtt::packet::SubscriptionOptions;
use mqtt::session::{Delivery, Extra, Message};
use mqtt::{QoS, TopicFilter};
use parking_lot::RwLock;

use crate::mailbox::{Bells, Mailbox, Source, Swept};
use crate::replay::Replay;
use crate::routed::Routed;

/// Names a connection of this node; never used again.
pub(crate) type ConnectionId = u64;

/// One subscription of one connection.
#[derive(Clone)]
pub(crate) struct Subscriber {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) client_id: Arc<str>,
    pub(crate) options: SubscriptionOptions,
    pub(crate) subscription_id: Option<u32>,
    /// It wants to know where in Kafka a message is.
    pub(crate) shows_source: bool,
    /// It gets history first; until it has, the tail passes it over.
    pub(crate) replay: Option<Arc<Replay>>,
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

    /// Gives a message of the tail to all who want it.
    pub(crate) fn route(&self, routed: &Routed<'_>, bells: &mut Bells) {
        self.each_client(routed, Source::Tail, |mailbox, delivery, _| {
            mailbox.deliver(delivery, bells);
        });
    }

    /// Gives a message of a sweep to those who are behind; returns whether some of them had no room for it.
    pub(crate) fn sweep(&self, routed: &Routed<'_>) -> Swept {
        let mut result = Swept::Done;
        self.each_client(routed, Source::Sweep, |mailbox, delivery, replay| {
            let swept = match replay {
                Some(replay) => replay.sweep(delivery),
                None => mailbox.sweep(delivery),
            };
            if swept == Swept::Full {
                result = Swept::Full;
            }
        });
        result
    }

    /// Each client once: the highest QoS of its matching subscriptions counts [MQTT-3.3.4-2], and all their identifiers
    /// go with it [MQTT-3.3.4-3]. A subscription that replays history stands for itself.
    fn each_client(
        &self,
        routed: &Routed<'_>,
        from: Source,
        mut give: impl FnMut(&Arc<Mailbox>, Delivery, Option<&Replay>),
    ) {
        let tree = self.tree.read();
        let mut matched: Vec<(ConnectionId, &Subscriber)> = Vec::new();
        let mut replaying: Vec<&Subscriber> = Vec::new();
        tree.for_each_match(routed.topic(), |id, subscriber| {
            // [MQTT-3.8.3-3]
            let own = subscriber.options.no_local
                && routed.publisher() == Some(subscriber.client_id.as_bytes());
            match &subscriber.replay {
                _ if own => {}
                Some(replay) if from == Source::Sweep && !replay.is_over() => {
                    replaying.push(subscriber);
                }
                Some(replay) if from == Source::Tail && !replay.is_on_tail(routed.origin()) => {}
                _ if from == Source::Sweep && !subscriber.mailbox.is_behind() => {}
                _ => matched.push((*id, subscriber)),
            }
        });
        if matched.is_empty() && replaying.is_empty() {
            return;
        }
        let Some(message) = routed.message() else {
            return;
        };
        let extra = |shown: bool| shown.then(|| routed.source()).flatten();
        for subscriber in replaying {
            let delivery = delivery(message, &[subscriber], extra(subscriber.shows_source));
            give(&subscriber.mailbox, delivery, subscriber.replay.as_deref());
        }
        // One filter's subscribers come in order; only a message that several filters match has to be sorted.
        if !matched.is_sorted_by_key(|(id, _)| *id) {
            matched.sort_by_key(|(id, _)| *id);
        }
        for of_one in matched.chunk_by(|(a, _), (b, _)| a == b) {
            let first = of_one[0].1;
            let delivery = match of_one {
                [_] => delivery(message, &[first], extra(first.shows_source)),
                _ => {
                    let all: Vec<&Subscriber> = of_one.iter().map(|(_, one)| *one).collect();
                    let shown = all.iter().any(|one| one.shows_source);
                    delivery(message, &all, extra(shown))
                }
            };
            give(&first.mailbox, delivery, None);
        }
    }
}

/// A message as one client gets it for its subscriptions that match.
pub(crate) fn delivery(
    message: &Arc<Message>,
    subscribers: &[&Subscriber],
    extra: Option<Extra>,
) -> Delivery {
    let all = || subscribers.iter();
    let granted = all().map(|s| s.options.qos).max().unwrap_or_default();
    let as_published = all().any(|s| s.options.retain_as_published);
    Delivery {
        message: Arc::clone(message),
        qos: granted.min(message.qos),
        retain: as_published && message.retain,
        subscription_ids: all().filter_map(|s| s.subscription_id).collect(),
        extra,
        share: 0,
    }
}

/// A retained message as a new subscription gets it.
pub(crate) fn retained_delivery(
    message: Arc<Message>,
    granted: QoS,
    subscription_id: Option<u32>,
    extra: Option<Extra>,
) -> Delivery {
    Delivery {
        qos: granted.min(message.qos),
        message,
        retain: true,
        subscription_ids: subscription_id.into_iter().collect(),
        extra,
        share: 0,
    }
}
