//! Shared subscriptions (§4.8.2) on this node: each message goes to one member of the group, the one with the least to do.
//!
//! The group itself reads the log: while no member has room it leaves the tail, as a session does, and a sweep brings it
//! on. What a member that goes has not acknowledged goes to another one. When the last member goes and its session stays,
//! the group remembers where it was and goes on from there with the next member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use kafka::Progress;
use mqtt::filters::FilterTree;
use mqtt::session::{Delivery, Extra, Message};
use mqtt::{QoS, TopicFilter};
use parking_lot::{Mutex, RwLock};

use crate::cursors::Cursors;
use crate::mailbox::{Bells, Mailbox, Swept};
use crate::routed::Routed;
use crate::subscriptions::{ConnectionId, Subscriber, delivery};

/// All groups of this node, by filter and group name.
#[derive(Default)]
pub(crate) struct Shares {
    tree: RwLock<FilterTree<Arc<str>, Arc<Share>>>,
    last_number: AtomicU32,
}

/// One group: a name and a filter.
pub(crate) struct Share {
    /// See [`Delivery::share`].
    pub(crate) number: u32,
    inner: Mutex<Inner>,
    is_behind: AtomicBool,
}

#[derive(Default)]
struct Inner {
    members: BTreeMap<ConnectionId, Subscriber>,
    cursors: Cursors,
    /// Where the group was when its last member went and the session of that one stayed.
    left: Vec<(u32, i64)>,
    /// Turns the choice among members that have the same to do.
    turn: usize,
}

impl Shares {
    pub(crate) fn len(&self) -> usize {
        self.tree.read().len()
    }

    /// The group of a shared filter, made where there is none.
    pub(crate) fn group(&self, filter: &TopicFilter) -> Arc<Share> {
        let name: Arc<str> = filter.share_group().unwrap_or_default().into();
        let mut tree = self.tree.write();
        if let Some(known) = tree.get(filter, &name) {
            return Arc::clone(known);
        }
        let share = Arc::new(Share {
            number: self.last_number.fetch_add(1, Ordering::Relaxed) + 1,
            inner: Mutex::default(),
            is_behind: AtomicBool::new(false),
        });
        tree.insert(filter, name, Arc::clone(&share));
        share
    }

    /// Forgets a group that has no member and nowhere to go on from.
    pub(crate) fn forget_if_empty(&self, filter: &TopicFilter) {
        let name: Arc<str> = filter.share_group().unwrap_or_default().into();
        let mut tree = self.tree.write();
        let is_over = tree.get(filter, &name).is_some_and(|share| {
            let inner = share.inner.lock();
            inner.members.is_empty() && inner.left.is_empty()
        });
        if is_over {
            tree.remove(filter, &name);
        }
    }

    pub(crate) fn route(&self, routed: &Routed<'_>, bells: &mut Bells) {
        self.each_group(routed, |share| share.tail(routed, bells));
    }

    pub(crate) fn sweep(&self, routed: &Routed<'_>) -> Swept {
        let mut result = Swept::Done;
        self.each_group(routed, |share| {
            if share.is_behind() && share.sweep(routed) == Swept::Full {
                result = Swept::Full;
            }
        });
        result
    }

    fn each_group(&self, routed: &Routed<'_>, mut give: impl FnMut(&Share)) {
        let tree = self.tree.read();
        if !tree.is_empty() {
            tree.for_each_match(routed.topic(), |_, share| give(share));
        }
    }
}

impl Share {
    /// A member comes. A group that had none goes on where it was, or else from `from`, where the member's session was.
    /// Returns whether the member is new.
    pub(crate) fn join(&self, id: ConnectionId, member: Subscriber, from: Vec<(u32, i64)>) -> bool {
        let mut inner = self.inner.lock();
        if inner.members.is_empty() {
            let left = std::mem::take(&mut inner.left);
            let start = if left.is_empty() { from } else { left };
            for (log, next) in start {
                inner.cursors.leave(log, next);
            }
            self.is_behind
                .store(inner.cursors.is_behind(), Ordering::SeqCst);
        }
        inner.members.insert(id, member).is_none()
    }

    /// A member goes; returns whether it was there. `left` is where its session was, if it stays.
    pub(crate) fn leave(&self, id: ConnectionId, left: &[(u32, i64)]) -> bool {
        let mut inner = self.inner.lock();
        let was_there = inner.members.remove(&id).is_some();
        if was_there && inner.members.is_empty() {
            inner.left = left
                .iter()
                .map(|(log, position)| match inner.cursors.next(*log) {
                    Some((next, true)) => (*log, next.min(*position)),
                    _ => (*log, *position),
                })
                .collect();
            inner.cursors = Cursors::default();
            self.is_behind.store(false, Ordering::SeqCst);
        }
        was_there
    }

    /// Whether there is a member beside `id`.
    pub(crate) fn has_others(&self, id: ConnectionId) -> bool {
        self.inner.lock().members.keys().any(|member| *member != id)
    }

    /// Gives another member what one that is gone did not acknowledge, also beyond the bound of its mailbox: what one
    /// member had is little. Nobody gets it when there is no other.
    pub(crate) fn give_back(&self, message: &Arc<Message>) {
        let mut inner = self.inner.lock();
        while let Some((mailbox, delivery)) = inner.choose(message, None, self.number) {
            // One that began to end meanwhile is not chosen again.
            if mailbox.force(delivery) == Swept::Done {
                return;
            }
        }
    }

    fn tail(&self, routed: &Routed<'_>, bells: &mut Bells) {
        let mut inner = self.inner.lock();
        let origin = routed.origin();
        if inner.members.is_empty()
            || origin.is_some_and(|origin| !inner.cursors.wants_live(origin))
        {
            return;
        }
        let Some(message) = routed.message() else {
            return;
        };
        if inner
            .give(message, routed.source(), self.number, bells)
            .is_none()
            && let Some(origin) = origin
        {
            inner.cursors.leave(origin.log, origin.offset);
            self.is_behind.store(true, Ordering::SeqCst);
            inner.ring();
        }
    }

    fn sweep(&self, routed: &Routed<'_>) -> Swept {
        let mut inner = self.inner.lock();
        let Some(origin) = routed.origin() else {
            return Swept::Done;
        };
        if inner.members.is_empty() || !inner.cursors.wants_swept(origin) {
            return Swept::Done;
        }
        let Some(message) = routed.message() else {
            return Swept::Done;
        };
        let mut bells = Bells::default();
        let given = inner.give(message, routed.source(), self.number, &mut bells);
        bells.ring();
        if given.is_none() {
            inner.cursors.is_full(origin.log);
            return Swept::Full;
        }
        inner.cursors.swept(origin.log, origin.offset + 1);
        Swept::Done
    }

    /// Whether the group has left the tail somewhere.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    /// See [`Cursors::ask`].
    pub(crate) fn ask(&self) -> Vec<(u32, i64)> {
        self.inner.lock().cursors.ask()
    }

    /// See [`Cursors::join`].
    pub(crate) fn catch_up(&self, log: u32, swept_to: i64, is_end: bool, tail: &Progress) -> bool {
        let mut inner = self.inner.lock();
        if inner.members.is_empty() {
            return true;
        }
        let joined = inner.cursors.join(log, swept_to, is_end, tail);
        self.is_behind
            .store(inner.cursors.is_behind(), Ordering::SeqCst);
        joined
    }

    /// See [`Cursors::admitted`].
    pub(crate) fn admitted(&self, log: u32) {
        self.inner.lock().cursors.admitted(log);
    }

    /// See [`Cursors::dropped`].
    pub(crate) fn dropped(&self, log: u32, only_full: bool) -> bool {
        let mut inner = self.inner.lock();
        let dropped = inner.cursors.dropped(log, only_full);
        inner.ring();
        dropped
    }

    /// Whether nobody is in the group.
    pub(crate) fn is_gone(&self) -> bool {
        self.inner.lock().members.is_empty()
    }
}

impl Inner {
    /// The member with the least to do, and what it gets.
    fn choose(
        &mut self,
        message: &Arc<Message>,
        source: Option<Extra>,
        number: u32,
    ) -> Option<(&Arc<Mailbox>, Delivery)> {
        self.turn = self.turn.wrapping_add(1);
        let count = self.members.len().max(1);
        let start = self.turn % count;
        let least = |(at, member): &(usize, &Subscriber)| {
            (member.mailbox.load(), (at + count - start) % count)
        };
        let (_, chosen) = self
            .members
            .values()
            .enumerate()
            .filter(|(_, member)| !member.mailbox.wants_close())
            .min_by_key(least)?;
        let extra = source.filter(|_| chosen.shows_source);
        let mut delivery = delivery(message, &[chosen], extra);
        delivery.share = number;
        Some((&chosen.mailbox, delivery))
    }

    /// Gives a message to a member; `None` when none has room. A QoS 0 message that finds no room is dropped by the
    /// mailbox, which counts it.
    fn give(
        &mut self,
        message: &Arc<Message>,
        source: Option<Extra>,
        number: u32,
        bells: &mut Bells,
    ) -> Option<()> {
        let (mailbox, delivery) = self.choose(message, source, number)?;
        if delivery.qos == QoS::AtMostOnce {
            mailbox.deliver(delivery, bells);
            return Some(());
        }
        (mailbox.offer(delivery) == Swept::Done).then_some(())
    }

    /// The members look whether there is a sweep to ask for.
    fn ring(&self) {
        for member in self.members.values() {
            member.mailbox.ring();
        }
    }
}
