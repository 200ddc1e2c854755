//! Who is connected, and what Kafka has of those who were: an index, not a copy.
//!
//! A client identifier has one owner at a time: a connection, or the node itself while it publishes a will or ends a
//! session. Who wants to own it asks the owner to close and waits until it has let go, which it does after Kafka has its
//! state. So whoever owns a session finds its newest record, and nobody else writes one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use kafka::{Error, Lookup, Place, Position, Record, ToSend};
use mqtt::ReasonCode;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::mailbox::Mailbox;
use crate::session_record::SessionRecord;

pub(crate) struct Sessions {
    kafka_topic: Arc<str>,
    lookup: Lookup,
    producer: kafka::Producer,
    inner: Mutex<Inner>,
    /// The first thing that is due has changed.
    pub(crate) due_changed: Notify,
    /// Some owner has let go.
    let_go: Notify,
}

#[derive(Default)]
struct Inner {
    owners: HashMap<Arc<str>, Owner>,
    stored: HashMap<Arc<str>, Stored>,
    /// What has to be done, and when: wills and ends of sessions. Milliseconds since the Unix epoch.
    due: BTreeSet<(u64, Arc<str>)>,
}

/// The mailbox of a connection; `None`: the node itself.
type Owner = Option<Arc<Mailbox>>;

/// Where the newest record of a session is.
#[derive(Clone, Copy, Debug)]
struct Stored {
    at: Position,
    due_ms: Option<u64>,
}

/// A client identifier that is owned; let go when it is dropped.
pub(crate) struct Claim {
    sessions: Arc<Sessions>,
    client_id: Arc<str>,
}

impl Sessions {
    pub(crate) fn new(kafka_topic: &str, lookup: Lookup, producer: kafka::Producer) -> Arc<Self> {
        Arc::new(Self {
            kafka_topic: kafka_topic.into(),
            lookup,
            producer,
            inner: Mutex::default(),
            due_changed: Notify::new(),
            let_go: Notify::new(),
        })
    }

    /// A record of the session topic, when the node starts or any time later.
    pub(crate) fn observe(&self, record: &Record) {
        let client_id = record
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok());
        let Some(client_id) = client_id else {
            tracing::warn!(offset = record.offset, "a session record without a key");
            return;
        };
        let due_ms = match record.value.as_deref().map(SessionRecord::read) {
            None => None,
            Some(Ok(session)) => Some(session.due_ms()),
            Some(Err(error)) => {
                tracing::warn!(%error, client_id, offset = record.offset, "not a session record");
                return;
            }
        };
        let at = Position {
            partition: record.partition,
            offset: record.offset,
        };
        self.note(client_id, at, due_ms);
    }

    /// `due_ms`: `None` for a tombstone.
    fn note(&self, client_id: &str, at: Position, due_ms: Option<Option<u64>>) {
        let mut inner = self.inner.lock();
        let known = inner.stored.get_key_value(client_id);
        let (name, before) = match known {
            Some((name, stored)) => (Arc::clone(name), Some(*stored)),
            None => (Arc::from(client_id), None),
        };
        if let Some(before) = before {
            if before.at.offset > at.offset {
                return;
            }
            if let Some(due_ms) = before.due_ms {
                inner.due.remove(&(due_ms, Arc::clone(&name)));
            }
        }
        match due_ms {
            None => {
                inner.stored.remove(&name);
            }
            Some(due_ms) => {
                if let Some(due_ms) = due_ms {
                    inner.due.insert((due_ms, Arc::clone(&name)));
                }
                inner.stored.insert(name, Stored { at, due_ms });
            }
        }
        drop(inner);
        self.due_changed.notify_one();
    }

    /// How many sessions Kafka has.
    pub(crate) fn stored(&self) -> usize {
        self.inner.lock().stored.len()
    }

    /// How many clients are connected.
    pub(crate) fn connected(&self) -> usize {
        self.inner.lock().owners.len()
    }

    /// All client identifiers that Kafka has a session of.
    pub(crate) fn client_ids(&self) -> Vec<Arc<str>> {
        self.inner.lock().stored.keys().cloned().collect()
    }

    /// Owns a client identifier for a connection; an earlier one is closed [MQTT-3.1.4-3], and waited for.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        client_id: &str,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Claim> {
        loop {
            // Listened to before it is looked, so that nobody lets go unheard in between.
            let let_go = self.let_go.notified();
            if let Some(claim) = self.try_claim(client_id, Some(mailbox)) {
                return Some(claim);
            }
            let_go.await;
            // Another connection of the same client may have come meanwhile: the newest one wins.
            if mailbox.wants_close() {
                return None;
            }
        }
    }

    /// Owns a client identifier for the node itself; not one that is owned already.
    pub(crate) fn claim_idle(self: &Arc<Self>, client_id: &str) -> Option<Claim> {
        if self.inner.lock().owners.contains_key(client_id) {
            return None;
        }
        self.try_claim(client_id, None)
    }

    fn try_claim(
        self: &Arc<Self>,
        client_id: &str,
        mailbox: Option<&Arc<Mailbox>>,
    ) -> Option<Claim> {
        let mut inner = self.inner.lock();
        if let Some(owner) = inner.owners.get(client_id) {
            if let Some(old) = owner {
                old.close(ReasonCode::SESSION_TAKEN_OVER);
            }
            return None;
        }
        let client_id: Arc<str> = match inner.stored.get_key_value(client_id) {
            Some((name, _)) => Arc::clone(name),
            None => client_id.into(),
        };
        inner
            .owners
            .insert(Arc::clone(&client_id), mailbox.cloned());
        Some(Claim {
            sessions: Arc::clone(self),
            client_id,
        })
    }

    /// Tells all clients that the server goes.
    pub(crate) fn close_all(&self, reason: ReasonCode) {
        let inner = self.inner.lock();
        for mailbox in inner.owners.values().flatten() {
            mailbox.close(reason);
        }
    }

    /// The first client identifier that something is due for, and when that is.
    pub(crate) fn first_due(&self) -> Option<(u64, Arc<str>)> {
        self.inner.lock().due.first().cloned()
    }

    /// Nothing is to be done now: the session has an owner, after whom it is looked at again.
    pub(crate) fn forget_due(&self, due: &(u64, Arc<str>)) {
        self.inner.lock().due.remove(due);
    }
}

impl Claim {
    pub(crate) fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// Whether Kafka has a record of the session.
    pub(crate) fn is_stored(&self) -> bool {
        let inner = self.sessions.inner.lock();
        inner.stored.contains_key(&self.client_id)
    }

    /// The session's newest record.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn read(&self) -> Result<Option<SessionRecord>, Error> {
        let stored = self
            .sessions
            .inner
            .lock()
            .stored
            .get(&self.client_id)
            .copied();
        let Some(stored) = stored else {
            return Ok(None);
        };
        let place = Place {
            kafka_topic: Arc::clone(&self.sessions.kafka_topic),
            partition: stored.at.partition,
            offset: stored.at.offset,
        };
        let records = self.sessions.lookup.read(vec![place]).await?;
        let value = records.into_iter().flatten().next().and_then(|r| r.value);
        let Some(value) = value else {
            tracing::error!(client_id = %self.client_id, ?stored, "a session's record is not there");
            return Ok(None);
        };
        // It was read once already, when it was noted.
        Ok(SessionRecord::read(&value)
            .inspect_err(|error| tracing::error!(%error, "not a session record"))
            .ok())
    }

    /// Stores the session's state, or its end, and waits until Kafka has it.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub(crate) async fn store(&self, session: Option<&SessionRecord>) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let answer = Mutex::new(Some(answer));
        self.store_then(session, move |result| {
            // Nobody listens any more only when the connection's task ended with the process.
            let _ended = answer.into_inner().map(|answer| answer.send(result));
        })
        .await;
        answered.await.unwrap_or_else(|_| {
            Err(Error::Unreachable {
                servers: "kafka".into(),
                reason: "the producer has ended".into(),
            })
        })
    }

    /// Stores the session's state; `then` is called when Kafka has answered. Waits only for room in the queue.
    pub(crate) async fn store_then(
        &self,
        session: Option<&SessionRecord>,
        then: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        let value = session.map(SessionRecord::write);
        let due_ms = session.map(SessionRecord::due_ms);
        let record = ToSend {
            kafka_topic: &self.sessions.kafka_topic,
            key: Some(self.client_id.as_bytes()),
            value: value.as_deref(),
            headers: &[],
        };
        let sessions = Arc::clone(&self.sessions);
        let client_id = Arc::clone(&self.client_id);
        let mut on_delivery: Option<kafka::OnDelivery> = Some(Box::new(move |result| {
            then(result.map(|at| sessions.note(&client_id, at, due_ms)));
        }));
        while let Err(kafka::Full(back)) = self.sessions.producer.send(&record, on_delivery) {
            on_delivery = back;
            self.sessions.producer.has_room().await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut inner = self.sessions.inner.lock();
        inner.owners.remove(&self.client_id);
        // What came due meanwhile was passed over, since the session had an owner.
        if let Some(due_ms) = inner.stored.get(&self.client_id).and_then(|s| s.due_ms) {
            inner.due.insert((due_ms, Arc::clone(&self.client_id)));
        }
        drop(inner);
        self.sessions.due_changed.notify_one();
        self.sessions.let_go.notify_waiters();
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
