//! What other threads have for one connection: answers from Kafka, messages, an order to close.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kafka::Progress;
use mqtt::session::{Delivery, Token};
use mqtt::{QoS, ReasonCode};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cursors::Cursors;
use crate::metrics::Metrics;

/// Kafka's answer about one message.
pub(crate) type Appended = Result<(), ReasonCode>;

/// Mailboxes that got messages while a batch of records was worked off: their bells ring when it is done, so that what
/// came together leaves together.
#[derive(Default)]
pub(crate) struct Bells(Vec<Arc<Mailbox>>);

impl Bells {
    pub(crate) fn ring(&mut self) {
        for mailbox in self.0.drain(..) {
            mailbox.bell.notify_one();
        }
    }
}

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// The mailbox of one connection. Its messages are bounded: beyond, QoS 0 is dropped and counted, and for QoS 1 and 2 the
/// client leaves the tail of that partition, to catch up from the log.
pub(crate) struct Mailbox {
    inner: Mutex<Contents>,
    bell: Notify,
    /// There is something that the driver has not taken: looked at without the lock.
    has_news: AtomicBool,
    /// There is a cursor that is behind: looked at without the lock, since almost nobody has one.
    is_behind: AtomicBool,
    /// Messages that the driver has taken and the client has not acknowledged.
    in_flight: AtomicUsize,
    bounds: Bounds,
    metrics: Arc<Metrics>,
}

/// What the driver takes out at once.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) appended: Vec<(Token, Appended)>,
    /// The retained record that the connection waits for is stored, or is not.
    pub(crate) retained_stored: Option<Appended>,
    /// The session's state is stored, or Kafka refused it.
    pub(crate) saved: Option<Appended>,
    pub(crate) deliveries: VecDeque<Delivery>,
    bytes: usize,
    pub(crate) close: Option<ReasonCode>,
    cursors: Cursors,
}

/// Where a message for a mailbox comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The tail of the log: everybody on it gets it.
    Tail,
    /// A sweep: who is behind gets it.
    Sweep,
}

/// What became of a message from a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// Taken, or not wanted.
    Done,
    /// There is no room; it has to be offered again.
    Full,
}

impl Mailbox {
    pub(crate) fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Self {
            inner: Mutex::default(),
            bell: Notify::new(),
            has_news: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            bounds,
            metrics,
        }
    }

    /// Kafka has answered about a publish.
    pub(crate) fn appended(&self, token: Token, result: Appended) {
        self.inner.lock().appended.push((token, result));
        self.ring();
    }

    /// Kafka has answered about a retained record.
    pub(crate) fn retained_stored(&self, result: Appended) {
        self.inner.lock().retained_stored = Some(result);
        self.ring();
    }

    /// Kafka has the session's state, and what was stored with it, or none of that.
    pub(crate) fn saved(&self, result: Appended) {
        self.inner.lock().saved = Some(result);
        self.ring();
    }

    /// A message from the tail.
    pub(crate) fn deliver(self: &Arc<Self>, delivery: Delivery, bells: &mut Bells) {
        let mut inner = self.inner.lock();
        let origin = delivery
            .message
            .origin
            .filter(|_| delivery.qos > QoS::AtMostOnce);
        if let Some(origin) = origin
            && !inner.cursors.wants_live(origin)
        {
            return;
        }
        if inner.close.is_some() {
            // The tail goes on while the connection ends: its session wants this from the log when it is back.
            if let Some(origin) = origin {
                inner.cursors.leave(origin.log, origin.offset);
            }
            return;
        }
        if inner.has_room(self.bounds) {
            inner.push(delivery);
        } else if let Some(origin) = origin {
            inner.cursors.leave(origin.log, origin.offset);
            self.is_behind.store(true, Ordering::SeqCst);
            self.metrics.left_tail.inc();
            return;
        } else {
            self.metrics.dropped("slow_consumer", 1);
            return;
        }
        drop(inner);
        if !self.has_news.swap(true, Ordering::SeqCst) {
            bells.0.push(Arc::clone(self));
        }
    }

    /// A message from a sweep, for the session's own cursors.
    pub(crate) fn sweep(&self, delivery: Delivery) -> Swept {
        let Some(origin) = delivery.message.origin.filter(|_| self.is_behind()) else {
            return Swept::Done;
        };
        let mut inner = self.inner.lock();
        if delivery.qos == QoS::AtMostOnce
            || inner.close.is_some()
            || !inner.cursors.wants_swept(origin)
        {
            return Swept::Done;
        }
        if !inner.has_room(self.bounds) {
            inner.cursors.is_full(origin.log);
            return Swept::Full;
        }
        inner.push(delivery);
        inner.cursors.swept(origin.log, origin.offset + 1);
        drop(inner);
        self.ring();
        Swept::Done
    }

    /// A message that does not depend on the session's own cursors: of a replay, or of a shared subscription whose group
    /// chose this client.
    /// One that shall end has no room: it gives nothing of that to others any more.
    pub(crate) fn offer(&self, delivery: Delivery) -> Swept {
        self.offer_within(delivery, Some(self.bounds))
    }

    /// The same without a bound.
    pub(crate) fn force(&self, delivery: Delivery) -> Swept {
        self.offer_within(delivery, None)
    }

    fn offer_within(&self, delivery: Delivery, bounds: Option<Bounds>) -> Swept {
        let mut inner = self.inner.lock();
        let has_room = bounds.is_none_or(|bounds| inner.has_room(bounds));
        if inner.close.is_some() || !has_room {
            return Swept::Full;
        }
        inner.push(delivery);
        drop(inner);
        self.ring();
        Swept::Done
    }

    /// Whether half of the room is free, so that a sweep is worth it.
    pub(crate) fn has_half_room(&self) -> bool {
        self.inner.lock().has_half_room(self.bounds)
    }

    /// Takes out the messages of shared subscriptions for which `given` is true.
    pub(crate) fn take_shared(&self, given: impl Fn(u32) -> bool) -> Vec<Delivery> {
        take_shared(&mut self.inner.lock().deliveries, given)
    }

    /// How much the client has to do: messages that wait, and those that are on their way.
    pub(crate) fn load(&self) -> usize {
        self.inner.lock().deliveries.len() + self.in_flight.load(Ordering::Relaxed)
    }

    /// The driver says how many messages it has taken that are not acknowledged.
    pub(crate) fn set_in_flight(&self, count: usize) {
        self.in_flight.store(count, Ordering::Relaxed);
    }

    /// Whether the session is behind in some log.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind.load(Ordering::SeqCst)
    }

    /// The session wants records of a log from `next` on.
    pub(crate) fn leave_tail(&self, log: u32, next: i64) {
        self.inner.lock().cursors.leave(log, next);
        self.is_behind.store(true, Ordering::SeqCst);
    }

    /// The logs, with the next offset, for which a sweep has to be asked; only when there is room for what it brings.
    pub(crate) fn ask(&self) -> Vec<(u32, i64)> {
        let mut inner = self.inner.lock();
        match inner.has_half_room(self.bounds) {
            true => inner.cursors.ask(),
            false => Vec::new(),
        }
    }

    /// See [`Cursors::stay_if_current`].
    pub(crate) fn stay_if_current(&self, log: u32, tail: &Progress) {
        let mut inner = self.inner.lock();
        inner.cursors.stay_if_current(log, tail);
        self.is_behind
            .store(inner.cursors.is_behind(), Ordering::SeqCst);
    }

    /// See [`Cursors::join`].
    pub(crate) fn join(&self, log: u32, swept_to: i64, is_end: bool, tail: &Progress) -> bool {
        let mut inner = self.inner.lock();
        // A connection that ends has no use for more.
        if inner.close.is_some() {
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
        let dropped = self.inner.lock().cursors.dropped(log, only_full);
        self.ring();
        dropped
    }

    /// The offset from which the session wants a log again, when `done` is how far the tail has been read: what waits
    /// here is wanted again. `done` must be read before this is called.
    pub(crate) fn position(&self, log: u32, done: i64) -> i64 {
        let inner = self.inner.lock();
        let position = match inner.cursors.next(log) {
            Some((next, true)) => next,
            Some((next, false)) => next.max(done),
            None => done,
        };
        first_of(&inner.deliveries, log).map_or(position, |first| first.min(position))
    }

    /// The connection shall end.
    pub(crate) fn close(&self, reason: ReasonCode) {
        self.inner.lock().close.get_or_insert(reason);
        self.ring();
    }

    /// Whether the connection shall end.
    pub(crate) fn wants_close(&self) -> bool {
        self.inner.lock().close.is_some()
    }

    /// Takes everything but the messages; those only when `with_deliveries`, so that what the driver has not worked off
    /// stays counted here.
    pub(crate) fn take(&self, with_deliveries: bool) -> Contents {
        if !self.has_news.swap(false, Ordering::SeqCst) {
            return Contents::default();
        }
        let mut inner = self.inner.lock();
        let mut taken = Contents {
            appended: std::mem::take(&mut inner.appended),
            retained_stored: inner.retained_stored.take(),
            saved: inner.saved.take(),
            close: inner.close,
            ..Contents::default()
        };
        if with_deliveries {
            taken.deliveries = std::mem::take(&mut inner.deliveries);
            inner.bytes = 0;
        } else if !inner.deliveries.is_empty() {
            self.has_news.store(true, Ordering::SeqCst);
        }
        taken
    }

    /// Waits until something is there.
    pub(crate) async fn bell(&self) {
        self.bell.notified().await;
    }

    /// Whether there is something that the driver has not taken.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::SeqCst)
    }

    /// Wakes the driver, or makes its next wait for the bell short.
    pub(crate) fn ring(&self) {
        self.has_news.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }
}

impl Contents {
    fn has_room(&self, bounds: Bounds) -> bool {
        self.deliveries.len() < bounds.messages_max && self.bytes < bounds.bytes_max
    }

    fn has_half_room(&self, bounds: Bounds) -> bool {
        self.deliveries.len() <= bounds.messages_max / 2 && self.bytes <= bounds.bytes_max / 2
    }

    fn push(&mut self, delivery: Delivery) {
        self.bytes += delivery.message.payload().len();
        self.deliveries.push_back(delivery);
    }
}

/// The lowest offset of a log that waits to be sent at QoS 1 or 2.
pub(crate) fn first_of(deliveries: &VecDeque<Delivery>, log: u32) -> Option<i64> {
    deliveries
        .iter()
        .filter(|delivery| delivery.qos > QoS::AtMostOnce)
        .filter_map(|delivery| delivery.message.origin)
        .filter(|origin| origin.log == log)
        .map(|origin| origin.offset)
        .min()
}

/// Takes out the messages of shared subscriptions for which `given` is true.
pub(crate) fn take_shared(
    deliveries: &mut VecDeque<Delivery>,
    given: impl Fn(u32) -> bool,
) -> Vec<Delivery> {
    let (shared, rest): (Vec<_>, Vec<_>) = std::mem::take(deliveries)
        .into_iter()
        .partition(|delivery| delivery.share != 0 && given(delivery.share));
    *deliveries = rest.into();
    shared
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mqtt::TopicName;
    use mqtt::properties::Properties;
    use mqtt::session::{Message, Origin};

    const LOG: u32 = 7;

    fn delivery(qos: QoS, offset: i64) -> Delivery {
        let topic = TopicName::try_from("a").unwrap();
        let message = Message::new(topic, qos, false, Properties::default(), Bytes::new(), None);
        Delivery {
            message: Arc::new(message.at(Origin { log: LOG, offset }, 0)),
            qos,
            retain: false,
            subscription_ids: Vec::new(),
            extra: None,
            share: 0,
        }
    }

    #[test]
    fn what_comes_while_the_connection_ends_is_wanted_again() {
        let bounds = Bounds {
            messages_max: 10,
            bytes_max: 1000,
        };
        let metrics = Metrics::new(&mut prometheus_client::registry::Registry::default());
        let mailbox = Arc::new(Mailbox::new(bounds, Arc::new(metrics)));
        let mut bells = Bells::default();
        mailbox.deliver(delivery(QoS::AtLeastOnce, 1), &mut bells);
        assert_eq!(mailbox.take(true).deliveries.len(), 1);
        assert_eq!(mailbox.position(LOG, 2), 2);
        mailbox.close(ReasonCode::SERVER_SHUTTING_DOWN);
        mailbox.deliver(delivery(QoS::AtMostOnce, 3), &mut bells);
        assert_eq!(mailbox.position(LOG, 4), 4);
        for offset in [4, 5] {
            mailbox.deliver(delivery(QoS::ExactlyOnce, offset), &mut bells);
        }
        assert_eq!(mailbox.position(LOG, 6), 4);
        assert!(mailbox.take(true).deliveries.is_empty());
    }
}
