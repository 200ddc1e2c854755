//! A client that was let in: who it is, what it subscribes to, and what of that is stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt::TopicFilter;
use mqtt::packet::{Subscription, Will};
use mqtt::session::{Delivery, InFlight, Session, Step, Token};

use crate::auth::Identity;
use crate::mailbox::Mailbox;
use crate::node::Node;
use crate::replay::Replay;
use crate::session_record::{SavedInFlight, SavedSubscription, SavedWill, SessionRecord};
use crate::sessions::{Claim, now_ms};
use crate::share::Share;
use crate::subscriptions::ConnectionId;

pub(crate) struct Client {
    pub(crate) id: ConnectionId,
    pub(crate) identity: Arc<Identity>,
    /// The session is this connection's alone.
    pub(crate) claim: Claim,
    pub(crate) subscriptions: BTreeMap<TopicFilter, Made>,
    /// The Kafka topics that the subscriptions need of the tail; looked up when those change.
    kafka_topics: BTreeSet<String>,
    /// Some subscription has a reader of its own: it replays history, or is shared.
    pub(crate) has_readers: bool,
}

/// A subscription that was made.
pub(crate) struct Made {
    pub(crate) saved: SavedSubscription,
    pub(crate) replay: Option<Arc<Replay>>,
    pub(crate) share: Option<Arc<Share>>,
}

impl Client {
    pub(crate) fn new(id: ConnectionId, identity: Identity, claim: Claim) -> Self {
        Self {
            id,
            identity: Arc::new(identity),
            claim,
            subscriptions: BTreeMap::new(),
            kafka_topics: BTreeSet::new(),
            has_readers: false,
        }
    }

    /// The subscriptions have changed.
    pub(crate) fn subscriptions_changed(&mut self, node: &Node) {
        self.kafka_topics = self
            .subscriptions
            .keys()
            .filter(|filter| filter.share_group().is_none())
            .flat_map(|filter| node.rules.kafka_topics_of(filter.as_str()))
            .map(ToOwned::to_owned)
            .collect();
        self.has_readers = self
            .subscriptions
            .values()
            .any(|made| made.replay.is_some() || made.share.is_some());
    }

    /// The Kafka topics that the subscriptions need of the tail.
    pub(crate) fn kafka_topics(&self) -> impl Iterator<Item = &str> {
        self.kafka_topics.iter().map(String::as_str)
    }

    /// The session's record as it is now. `with`: messages that are stored together with it; `end`: what is to be published,
    /// and when, if the connection is over.
    pub(crate) fn record(
        &self,
        node: &Node,
        session: &Session,
        mailbox: &Mailbox,
        ready: &VecDeque<Delivery>,
        with: &[Token],
        end: Option<&End>,
    ) -> SessionRecord {
        let saved = session.saved(with);
        let will = match end {
            None => session.will().map(SavedWill::new),
            Some(end) => end.will.as_ref().map(|will| {
                let mut saved = SavedWill::new(will);
                saved.due_ms = Some(end.left_ms + u64::from(saved.delay_s) * 1000);
                saved
            }),
        };
        SessionRecord {
            epoch: self.claim.epoch(),
            connected: end.is_none(),
            left_ms: end.map_or(0, |end| end.left_ms),
            expiry_s: session.session_expiry_s(),
            subscriptions: self
                .subscriptions
                .values()
                .map(|made| made.saved.clone())
                .collect(),
            positions: node
                .positions(self.kafka_topics(), mailbox, ready)
                .into_iter()
                .map(|(name, positions)| (name.to_owned(), positions))
                .collect(),
            in_flight: saved
                .in_flight
                .iter()
                .filter_map(|known| save_in_flight(node, known))
                .collect(),
            received: saved.received.iter().map(|id| id.get()).collect(),
            will,
        }
    }
}

/// How a connection ended, for the session that stays.
pub(crate) struct End {
    pub(crate) left_ms: u64,
    pub(crate) will: Option<Box<Will>>,
}

impl End {
    pub(crate) fn now(will: Option<Box<Will>>) -> Self {
        Self {
            left_ms: now_ms(),
            will,
        }
    }
}

/// `None` for a message that is in no log: it can't be sent again. Nor is one of a shared subscription at QoS 1: if the
/// node dies, the group gives it to somebody.
fn save_in_flight(node: &Node, known: &InFlight) -> Option<SavedInFlight> {
    if known.share != 0 && known.step == Step::Ack {
        return None;
    }
    let origin = known.origin?;
    let (kafka_topic, partition) = node.logs.name(origin.log);
    Some(SavedInFlight::new(
        known,
        kafka_topic,
        partition,
        origin.offset,
    ))
}

/// The way back of `save_in_flight`; `None` for a Kafka topic that no rule names any more.
pub(crate) fn load_in_flight(node: &Node, saved: &SavedInFlight) -> Option<InFlight> {
    let log = node.logs.number(&saved.kafka_topic, saved.partition)?;
    saved
        .in_flight(log)
        .inspect_err(|error| tracing::error!(%error, "a stored message on its way is not valid"))
        .ok()
}

impl Made {
    pub(crate) fn new(
        subscription: &Subscription,
        id: Option<u32>,
        shows_source: bool,
        replay: Option<Arc<Replay>>,
        share: Option<Arc<Share>>,
    ) -> Self {
        Self {
            saved: SavedSubscription::new(subscription, id, shows_source),
            replay,
            share,
        }
    }
}
