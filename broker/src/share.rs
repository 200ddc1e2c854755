//! Shared subscriptions (§4.8.2): a consumer group in Kafka for each group name and filter.
//!
//! Kafka shares the partitions out among the nodes that have members; on this node each message goes to the member with
//! the least to do. It is finished when nobody else has to get it any more, and what is unfinished when a partition goes
//! to another node is given there. So a group needs nothing of the tail: it reads the log by itself, and waits where no
//! member has room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka::{Fetched, Held, Member, Record, Taken};
use mqtt::session::{Delivery, Extra, Message, Origin};
use mqtt::{QoS, ReasonCode, TopicFilter};
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::egress::Egress;
use crate::mailbox::{Bells, Mailbox, Swept};
use crate::routed::Routed;
use crate::subscriptions::{ConnectionId, Subscriber, delivery};

/// What names of consumer groups begin with.
const PREFIX: &str = "convoy-share-";
/// How long a node may be silent until others get its partitions. A guess: clients of a dead node wait so long.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// What a group fetches ahead at most, in bytes.
const AHEAD_BYTES: usize = 1024 * 1024;

/// All groups that have members on this node.
pub(crate) struct Shares {
    kafka: kafka::Settings,
    /// Names the nodes that share their sessions: groups of others on the same Kafka are others.
    nodes: String,
    groups_max: usize,
    fetched: Fetched,
    open: Mutex<BTreeMap<TopicFilter, Open>>,
    /// Kafka is asked for one new group at a time.
    opening: tokio::sync::Mutex<()>,
    /// Of groups that are open, and of those that the node is just leaving.
    room: Arc<Semaphore>,
    by_assignment: Arc<RwLock<HashMap<u32, Arc<Share>>>>,
}

struct Open {
    share: Arc<Share>,
    leaving: Leaving,
}

/// A group that the node has to leave, now or one day.
pub(crate) struct Leaving {
    /// `None` for a filter that no record can match.
    member: Option<Member>,
    _room: OwnedSemaphorePermit,
}

impl Leaving {
    /// Commits what is finished and says goodbye. Blocks.
    pub(crate) fn finish(self) {
        if let Some(member) = self.member {
            member.leave();
        }
    }
}

/// One group: a name and a filter.
pub(crate) struct Share {
    filter: TopicFilter,
    held: Arc<Held>,
    inner: Mutex<Inner>,
    /// Something waits for room.
    is_full: AtomicBool,
}

#[derive(Default)]
struct Inner {
    members: BTreeMap<ConnectionId, Subscriber>,
    /// Messages of members that are gone, each with its assignment, while all others are about to go, too.
    left: Vec<(Arc<Message>, u32)>,
    /// Turns the choice among members that have the same to do.
    turn: usize,
}

/// What Kafka gives to a group.
struct Receiver {
    share: Arc<Share>,
    egress: Arc<Egress>,
    by_assignment: Arc<RwLock<HashMap<u32, Arc<Share>>>>,
}

impl Shares {
    pub(crate) fn new(
        kafka: kafka::Settings,
        nodes: &str,
        groups_max: usize,
        fetched: Fetched,
    ) -> Self {
        Self {
            kafka,
            nodes: nodes.to_owned(),
            groups_max,
            fetched,
            open: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            room: Arc::new(Semaphore::new(groups_max)),
            by_assignment: Arc::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.lock().len()
    }

    /// A member comes. When this returns, the group has a place in the log, so that everything that Kafka acknowledges
    /// from now on comes to some member.
    pub(crate) async fn join(
        &self,
        filter: &TopicFilter,
        kafka_topics: &[&str],
        egress: &Arc<Egress>,
        id: ConnectionId,
        member: Subscriber,
    ) -> Result<Arc<Share>, ReasonCode> {
        if let Some(known) = self.join_open(filter, id, &member) {
            return Ok(known);
        }
        let _one_at_a_time = self.opening.lock().await;
        if let Some(known) = self.join_open(filter, id, &member) {
            return Ok(known);
        }
        if self.len() >= self.groups_max {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        // One that the node is leaving may still have the place; not for long.
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_| ReasonCode::SERVER_UNAVAILABLE)?;
        let share = Arc::new(Share {
            filter: filter.clone(),
            held: Arc::default(),
            inner: Mutex::default(),
            is_full: AtomicBool::new(false),
        });
        share.join(id, member);
        let mut leaving = Leaving {
            member: None,
            _room: room,
        };
        if !kafka_topics.is_empty() {
            leaving.member = Some(self.start(&share, kafka_topics, egress).await?);
        }
        let open = Open {
            share: Arc::clone(&share),
            leaving,
        };
        self.open.lock().insert(filter.clone(), open);
        Ok(share)
    }

    fn join_open(
        &self,
        filter: &TopicFilter,
        id: ConnectionId,
        member: &Subscriber,
    ) -> Option<Arc<Share>> {
        let open = self.open.lock();
        let share = &open.get(filter)?.share;
        share.join(id, member.clone());
        Some(Arc::clone(share))
    }

    /// Starts to read for a group.
    async fn start(
        &self,
        share: &Arc<Share>,
        kafka_topics: &[&str],
        egress: &Arc<Egress>,
    ) -> Result<Member, ReasonCode> {
        let group = kafka::Group {
            id: group_id(&self.nodes, &share.filter),
            kafka_topics: kafka_topics.iter().map(ToString::to_string).collect(),
            session_timeout: SESSION_TIMEOUT,
            ahead_bytes: AHEAD_BYTES,
        };
        let receiver = Receiver {
            share: Arc::clone(share),
            egress: Arc::clone(egress),
            by_assignment: Arc::clone(&self.by_assignment),
        };
        let held = Arc::clone(&share.held);
        Member::join(&self.kafka, group, held, receiver, &self.fetched)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "can't join a consumer group");
                ReasonCode::UNSPECIFIED_ERROR
            })
    }

    /// A member goes. When it was the last one here, the node has to leave the group in Kafka.
    pub(crate) fn leave(&self, share: &Share, id: ConnectionId) -> Option<Leaving> {
        let mut open = self.open.lock();
        let is_last = {
            let mut inner = share.inner.lock();
            inner.members.remove(&id);
            inner.members.is_empty()
        };
        let is_open = open
            .get(&share.filter)
            .is_some_and(|open| std::ptr::eq(&*open.share, share));
        (is_last && is_open)
            .then(|| open.remove(&share.filter))
            .flatten()
            .map(|open| open.leaving)
    }

    /// A message of the node's own, which is in no log: for members of this node.
    pub(crate) fn route(&self, routed: &Routed<'_>, bells: &mut Bells) {
        for open in self.open.lock().values() {
            if open.share.filter.matches(routed.topic())
                && let Some(message) = routed.message()
            {
                open.share.give(message, routed.source(), 0, bells);
            }
        }
    }

    /// A message is about to be sent. Returns whether it may: not when it is another node's by now.
    pub(crate) fn begin(&self, delivery: &Delivery) -> bool {
        let Some(origin) = delivery.message.origin.filter(|_| delivery.share != 0) else {
            return true;
        };
        let once = delivery.qos == QoS::ExactlyOnce;
        delivery.qos == QoS::AtMostOnce
            || self
                .by_assignment(delivery.share)
                .is_some_and(|share| share.held.begin(delivery.share, origin.offset, once))
    }

    /// A message needs nothing more.
    pub(crate) fn finish(&self, assignment: u32, origin: Option<Origin>) {
        if let Some(origin) = origin
            && let Some(share) = self.by_assignment(assignment)
        {
            share.held.finish(assignment, origin.offset);
        }
    }

    /// What a client that is gone had and did not acknowledge is not on its way any more. Returns the group whose other
    /// members on this node get it, once the client has left; `None` when it is finished, or another node's by now.
    pub(crate) fn take_back(&self, assignment: u32, origin: Origin) -> Option<Arc<Share>> {
        let share = self.by_assignment(assignment)?;
        let is_ours = share.held.take_back(assignment, origin.offset);
        is_ours.then_some(share)
    }

    fn by_assignment(&self, assignment: u32) -> Option<Arc<Share>> {
        self.by_assignment.read().get(&assignment).cloned()
    }
}

/// The same on all nodes. The filter is hashed, since names in Kafka are shown to people and used in access rules.
fn group_id(nodes: &str, filter: &TopicFilter) -> String {
    let mut hash = Sha256::new();
    hash.update(nodes);
    hash.update([0]);
    hash.update(filter.as_str());
    let hash: String = hash.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(
        "{PREFIX}{}-{hash}",
        filter.share_group().unwrap_or_default()
    )
}

impl Share {
    fn join(&self, id: ConnectionId, member: Subscriber) {
        let mut inner = self.inner.lock();
        inner.members.insert(id, member);
        let left = std::mem::take(&mut inner.left);
        drop(inner);
        for (message, assignment) in left {
            self.give_back(&message, assignment);
        }
        self.held.made_room();
    }

    /// Whether it has members; without any it is over on this node.
    pub(crate) fn has_members(&self) -> bool {
        !self.inner.lock().members.is_empty()
    }

    /// A member has room. It is cheap to say so again and again.
    pub(crate) fn made_room(&self) {
        if self.is_full.swap(false, Ordering::SeqCst) {
            self.held.made_room();
        }
    }

    /// Whether a message waits for room.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }

    /// Gives another member what one that is gone did not acknowledge, also beyond the bound of its mailbox: what one
    /// member had is little. Without members it stays unfinished, and another node gets it from Kafka.
    pub(crate) fn give_back(&self, message: &Arc<Message>, assignment: u32) {
        let mut inner = self.inner.lock();
        for chosen in inner.choose() {
            let mut delivery = delivery(message, &[chosen], None);
            delivery.share = assignment;
            // One that began to end meanwhile takes none.
            if chosen.mailbox.force(delivery) == Swept::Done {
                return;
            }
        }
        if !inner.members.is_empty() {
            inner.left.push((Arc::clone(message), assignment));
        }
    }

    /// Gives a message to the member with the least to do that has room; `None` when there is none.
    fn give(
        &self,
        message: &Arc<Message>,
        source: Option<Extra>,
        assignment: u32,
        bells: &mut Bells,
    ) -> Option<QoS> {
        let mut inner = self.inner.lock();
        for chosen in inner.choose() {
            let extra = source.clone().filter(|_| chosen.shows_source);
            let mut delivery = delivery(message, &[chosen], extra);
            delivery.share = assignment;
            let qos = delivery.qos;
            if qos == QoS::AtMostOnce {
                // Where there is no room it is dropped, and counted.
                chosen.mailbox.deliver(delivery, bells);
                return Some(qos);
            }
            if chosen.mailbox.offer(delivery) == Swept::Done {
                return Some(qos);
            }
        }
        None
    }

    fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let inner = self.inner.lock();
        let of = |member: &Subscriber| Arc::clone(&member.mailbox);
        inner.members.values().map(of).collect()
    }
}

impl Inner {
    /// The members, the one with the least to do first.
    fn choose(&mut self) -> Vec<&Subscriber> {
        self.turn = self.turn.wrapping_add(1);
        let count = self.members.len().max(1);
        let start = self.turn % count;
        let mut members: Vec<_> = self
            .members
            .values()
            .enumerate()
            .filter(|(_, member)| !member.mailbox.wants_close())
            .map(|(at, member)| (member.mailbox.load(), (at + count - start) % count, member))
            .collect();
        members.sort_unstable_by_key(|(load, turn, _)| (*load, *turn));
        members.into_iter().map(|(_, _, member)| member).collect()
    }
}

impl kafka::Receiver for Receiver {
    fn assigned(&self, assignment: u32) {
        let share = Arc::clone(&self.share);
        self.by_assignment.write().insert(assignment, share);
    }

    fn record(&self, assignment: u32, record: &Record) -> Taken {
        let share = &self.share;
        let given = self.egress.routed(record, |routed| {
            if !share.filter.matches(routed.topic()) {
                return Taken::Finished;
            }
            let Some(message) = routed.message() else {
                return Taken::Finished;
            };
            let mut bells = Bells::default();
            let mut give = || share.give(message, routed.source(), assignment, &mut bells);
            let given = give().or_else(|| {
                // Room that is made from now on is told of, and what was made before is found.
                share.is_full.store(true, Ordering::SeqCst);
                give()
            });
            bells.ring();
            match given {
                None => Taken::Full,
                Some(QoS::AtMostOnce) => Taken::Finished,
                Some(_) => Taken::Held,
            }
        });
        given.unwrap_or(Taken::Finished)
    }

    fn revoking(&self, assignment: u32) {
        for mailbox in self.share.mailboxes() {
            drop(mailbox.take_shared(|given| given == assignment));
        }
        let mut inner = self.share.inner.lock();
        inner.left.retain(|(_, given)| *given != assignment);
    }

    fn revoked(&self, assignment: u32) {
        self.by_assignment.write().remove(&assignment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_group_is_the_same_on_all_nodes_and_one_of_each_filter() {
        let id = |nodes, filter| group_id(nodes, &TopicFilter::new(filter).unwrap());
        assert_eq!(
            id("mqtt_sessions", "$share/workers/jobs/+"),
            id("mqtt_sessions", "$share/workers/jobs/+")
        );
        assert!(id("mqtt_sessions", "$share/workers/jobs/+").starts_with("convoy-share-workers-"));
        let others = [
            id("mqtt_sessions", "$share/workers/jobs/#"),
            id("mqtt_sessions", "$share/others/jobs/+"),
            id("other_sessions", "$share/workers/jobs/+"),
        ];
        assert!(!others.contains(&id("mqtt_sessions", "$share/workers/jobs/+")));
    }
}
