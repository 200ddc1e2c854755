//! Who is connected here, and how a client identifier becomes this node's: claims in the session topic.
//!
//! A client identifier has one owner at a time, over all nodes: a connection, or a node itself while it publishes a will or
//! ends a session. So whoever owns a session finds its newest record, and nobody else writes one. See `ownership` for
//! what is in the topic and what it means.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka::{Error, Lookup, NewRecord, Place, Position, Producer, Record, Tail, partition_of};
use mqtt::ReasonCode;
use parking_lot::Mutex;
use service::Shutdown;
use tokio::sync::{Notify, oneshot};

use crate::ledger::Ledger;
use crate::mailbox::Mailbox;
use crate::ownership::{ClaimRecord, EPOCH, Epoch, Event, Ownership, Run, Standing, Stored};
use crate::session_record::SessionRecord;

/// What the reader of the session topic knows.
pub(crate) struct Directory {
    pub(crate) kafka_topic: Arc<str>,
    pub(crate) partitions: usize,
    pub(crate) producer: Producer,
    table: Mutex<Table>,
    /// The first thing that is due has changed.
    pub(crate) due_changed: Notify,
    /// Some run was declared dead.
    pub(crate) declared: Notify,
    /// This run was.
    pub(crate) declared_myself: Shutdown,
    /// Some owner on this node has let go.
    let_go: Notify,
}

struct Table {
    ownership: Ownership,
    owners: HashMap<Arc<str>, Owner>,
    last_attempt: u64,
}

/// Who has a client identifier on this node, or tries to.
struct Owner {
    attempt: u64,
    /// Of its claim, as soon as that is known.
    epoch: Option<Epoch>,
    /// `None`: the node itself.
    mailbox: Option<Arc<Mailbox>>,
    news: Arc<Notify>,
    /// States that are on their way to Kafka.
    storing: usize,
    /// Whoever had it is gone.
    is_left: bool,
}

pub(crate) struct Sessions {
    pub(crate) directory: Arc<Directory>,
    pub(crate) tail: Tail,
    pub(crate) ledger: Ledger,
    pub(crate) lookup: Lookup,
}

/// A client identifier that is owned; let go when it is dropped.
pub(crate) struct Claim {
    sessions: Arc<Sessions>,
    client_id: Arc<str>,
    attempt: u64,
    /// `None`: nobody else can know the client identifier, so nobody was asked.
    epoch: Option<Epoch>,
    news: Arc<Notify>,
}

/// What becomes of a session's record when its owner lets go.
pub(crate) enum Left<'a> {
    /// It stays as it is.
    AsItIs,
    /// There is none any more.
    Nothing,
    /// This is the state.
    State(&'a SessionRecord),
}

impl Directory {
    pub(crate) fn new(
        kafka_topic: &str,
        partitions: usize,
        producer: Producer,
        ownership: Ownership,
    ) -> Self {
        Self {
            kafka_topic: kafka_topic.into(),
            partitions,
            producer,
            table: Mutex::new(Table {
                ownership,
                owners: HashMap::new(),
                last_attempt: 0,
            }),
            due_changed: Notify::new(),
            declared: Notify::new(),
            declared_myself: Shutdown::new(),
            let_go: Notify::new(),
        }
    }

    /// A record of the session topic, when the node starts or any time later.
    pub(crate) fn observe(&self, record: &Record) {
        let mut table = self.table.lock();
        let events = table.ownership.observe(record, Instant::now());
        self.handle(&table, events);
    }

    fn handle(&self, table: &Table, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Changed(client_id) => {
                    self.changed(table, &client_id);
                    self.due_changed.notify_one();
                }
                Event::Buried(client_id, newest) => {
                    let owner = table.owners.get(&client_id);
                    if let Some(owner) = owner.filter(|owner| owner.epoch == Some(newest)) {
                        self.send_now(&self.claim_record(table, &client_id, owner));
                    }
                }
                Event::Declared(run) => {
                    tracing::info!(run = format_args!("{run:016x}"), "a node has ended");
                    self.declared.notify_one();
                }
                Event::DeclaredMyself => self.declared_myself.cancel(),
            }
        }
    }

    fn changed(&self, table: &Table, client_id: &Arc<str>) {
        let owner = table.owners.get(client_id);
        if let Some(owner) = owner {
            owner.news.notify_one();
            if let (Some(epoch), Some(mailbox)) = (owner.epoch, &owner.mailbox)
                && table.ownership.standing(client_id, epoch) == Standing::Lost
            {
                mailbox.close(ReasonCode::SESSION_TAKEN_OVER);
            }
        }
        // A claim of this run that nobody has: whoever wrote it gave up before it was there.
        if owner.is_none_or(|owner| owner.epoch.is_some()) {
            let has = owner.and_then(|owner| owner.epoch);
            for epoch in table.ownership.own_claims(client_id) {
                if has != Some(epoch) {
                    self.send_now(&self.release_record(client_id, epoch));
                }
            }
        }
    }

    /// Writes without waiting for anything; what finds no room is written at the next occasion.
    fn send_now(&self, record: &NewRecord) {
        let sent = record.with(|record| self.producer.send(record, None));
        if sent.is_err() {
            tracing::debug!("no room for a record of the session topic");
        }
    }

    /// The claim of an owner, which says its epoch when it is written again.
    fn claim_record(&self, table: &Table, client_id: &str, owner: &Owner) -> NewRecord {
        let claim = ClaimRecord {
            node: table.ownership.name().to_owned(),
            run: table.ownership.run(),
            epoch: owner.epoch,
            is_idle: owner.mailbox.is_none(),
        };
        let value = serde_json::to_vec(&claim).expect("strings and numbers can be JSON");
        self.record("claim", client_id, Some(value))
    }

    /// An owner knows where its claim is; what has come behind that meanwhile was nobody's.
    fn note_epoch(&self, client_id: &Arc<str>, epoch: Epoch) {
        let mut table = self.table.lock();
        if let Some(owner) = table.owners.get_mut(client_id) {
            owner.epoch = Some(epoch);
        }
        let owner = table.owners.get(client_id);
        if let Some(owner) = owner.filter(|_| table.ownership.is_buried(client_id, epoch)) {
            self.send_now(&self.claim_record(&table, client_id, owner));
        }
    }

    /// An owner is gone, or something that it stored is answered. It lets go when both are true of all, so that no state
    /// of it comes behind its release.
    fn let_go_if_over(&self, table: &mut Table, client_id: &Arc<str>, attempt: u64) {
        let is_over =
            |owner: &&Owner| owner.attempt == attempt && owner.is_left && owner.storing == 0;
        let Some(owner) = table.owners.get(client_id).filter(is_over) else {
            return;
        };
        // What came due meanwhile was passed over, since the client was here. A node that has looked after it in vain
        // waits its time.
        let was_here = owner.mailbox.is_some();
        table.owners.remove(client_id);
        if was_here {
            table.ownership.look_again(client_id);
        }
        // A claim that was given up is released when it is observed; one that was observed is released now.
        self.changed(table, client_id);
        self.due_changed.notify_one();
        self.let_go.notify_waiters();
    }

    /// All that concerns a client identifier is in one partition.
    fn partition(&self, client_id: &str) -> i32 {
        partition_of(client_id.as_bytes(), self.partitions)
    }

    fn record(&self, kind: &str, client_id: &str, value: Option<Vec<u8>>) -> NewRecord {
        NewRecord {
            kafka_topic: Arc::clone(&self.kafka_topic),
            partition: Some(self.partition(client_id)),
            key: format!("{kind}/{client_id}").into_bytes(),
            value: value.map(Bytes::from),
            headers: Vec::new(),
        }
    }

    fn release_record(&self, client_id: &str, epoch: Epoch) -> NewRecord {
        let mut record = self.record("claim", client_id, None);
        record
            .headers
            .push((EPOCH.into(), epoch.to_string().into_bytes()));
        record
    }

    /// How many sessions Kafka has.
    pub(crate) fn stored(&self) -> usize {
        self.table.lock().ownership.stored_count()
    }

    /// How many clients are connected to this node.
    pub(crate) fn connected(&self) -> usize {
        let table = self.table.lock();
        let connected = |owner: &&Owner| owner.mailbox.is_some();
        table.owners.values().filter(connected).count()
    }

    /// Tells all clients of this node that the server goes.
    pub(crate) fn close_all(&self, reason: ReasonCode) {
        let table = self.table.lock();
        for mailbox in table.owners.values().filter_map(|o| o.mailbox.as_ref()) {
            mailbox.close(reason);
        }
    }

    /// Asks or tells what is known of all nodes.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Ownership) -> T) -> T {
        look(&mut self.table.lock().ownership)
    }

    /// The claims of a run are over; who waits for them is told.
    pub(crate) fn bury(&self, run: Run) {
        let mut table = self.table.lock();
        let over = table.ownership.bury(run);
        for (client_id, epoch) in over {
            self.changed(&table, &client_id);
            // Of a client that left nothing else, the claim is all that has to go.
            let ownership = &table.ownership;
            if ownership.stored(&client_id).is_none() && ownership.looks_after(&client_id) {
                self.send_now(&self.release_record(&client_id, epoch));
            }
        }
        self.due_changed.notify_one();
    }
}

impl Sessions {
    /// Owns a client identifier for a connection; an earlier one, here or elsewhere, is closed [MQTT-3.1.4-3], and waited
    /// for. `None` when a newer one has come meanwhile.
    ///
    /// # Errors
    /// When Kafka refuses the claim.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        client_id: &str,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Option<Claim>, Error> {
        let Some(mut claim) = self.own_here(client_id, mailbox).await else {
            return Ok(None);
        };
        let is_owner = claim.win(|| mailbox.wants_close()).await?;
        Ok(is_owner.then_some(claim))
    }

    /// The same for a client identifier that this node has just made up: nobody else can have it.
    pub(crate) async fn claim_new(
        self: &Arc<Self>,
        client_id: &str,
        mailbox: &Arc<Mailbox>,
    ) -> Option<Claim> {
        self.own_here(client_id, mailbox).await
    }

    /// Owns a client identifier for the node itself; not one that has an owner here, or an owner elsewhere who keeps it.
    ///
    /// # Errors
    /// When Kafka refuses the claim.
    pub(crate) async fn claim_idle(
        self: &Arc<Self>,
        client_id: &str,
    ) -> Result<Option<Claim>, Error> {
        if self.directory.table.lock().owners.contains_key(client_id) {
            return Ok(None);
        }
        let Some(mut claim) = self.try_own(client_id, None) else {
            return Ok(None);
        };
        let is_owner = claim.win(|| false).await?;
        Ok(is_owner.then_some(claim))
    }

    async fn own_here(self: &Arc<Self>, client_id: &str, mailbox: &Arc<Mailbox>) -> Option<Claim> {
        loop {
            // Listened to before it is looked, so that nobody lets go unheard in between.
            let let_go = self.directory.let_go.notified();
            if let Some(claim) = self.try_own(client_id, Some(mailbox)) {
                return Some(claim);
            }
            let_go.await;
            // Another connection of the same client may have come meanwhile: the newest one wins.
            if mailbox.wants_close() {
                return None;
            }
        }
    }

    fn try_own(self: &Arc<Self>, client_id: &str, mailbox: Option<&Arc<Mailbox>>) -> Option<Claim> {
        let mut table = self.directory.table.lock();
        if let Some(owner) = table.owners.get(client_id) {
            if let Some(old) = &owner.mailbox {
                old.close(ReasonCode::SESSION_TAKEN_OVER);
            }
            owner.news.notify_one();
            return None;
        }
        table.last_attempt += 1;
        let attempt = table.last_attempt;
        let news = Arc::new(Notify::new());
        let client_id: Arc<str> = client_id.into();
        table.owners.insert(
            Arc::clone(&client_id),
            Owner {
                attempt,
                epoch: None,
                mailbox: mailbox.cloned(),
                news: Arc::clone(&news),
                storing: 0,
                is_left: false,
            },
        );
        Some(Claim {
            sessions: Arc::clone(self),
            client_id,
            attempt,
            epoch: None,
            news,
        })
    }
}

impl Claim {
    pub(crate) fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// What the session's records carry.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.unwrap_or(0)
    }

    /// Writes the claim and waits until it is the only one; `false` when there is a newer one, or `gives_up` says so.
    async fn win(&mut self, gives_up: impl Fn() -> bool) -> Result<bool, Error> {
        let directory = Arc::clone(&self.sessions.directory);
        let claim = {
            let table = directory.table.lock();
            directory.claim_record(&table, &self.client_id, &table.owners[&self.client_id])
        };
        // One that is given up meanwhile is released when it is observed.
        let at = directory.producer.append(&claim.lent(&[])).await?;
        self.epoch = Some(at.offset);
        directory.note_epoch(&self.client_id, at.offset);
        loop {
            // Each change leaves a permit, so none between looking and waiting is missed.
            let standing = directory.with(|all| all.standing(&self.client_id, at.offset));
            match standing {
                Standing::Owner => return Ok(true),
                Standing::Lost => return Ok(false),
                Standing::Waits if gives_up() => return Ok(false),
                Standing::Waits => self.news.notified().await,
            }
        }
    }

    /// Whether Kafka has a record of the session.
    pub(crate) fn is_stored(&self) -> bool {
        let stored = |all: &mut Ownership| all.stored(&self.client_id);
        self.sessions.directory.with(stored).is_some()
    }

    /// When the last owner's node was heard last, if the owner died with it: milliseconds since the Unix epoch.
    pub(crate) fn lost_ms(&self) -> Option<u64> {
        let directory = &self.sessions.directory;
        directory.with(|all| all.lost_ms(&self.client_id))
    }

    /// The session's newest record.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn read(&self) -> Result<Option<SessionRecord>, Error> {
        let directory = &self.sessions.directory;
        let Some(stored) = directory.with(|all| all.stored(&self.client_id)) else {
            return Ok(None);
        };
        let place = Place {
            kafka_topic: Arc::clone(&directory.kafka_topic),
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

    /// Stores the session's state, or that there is none, with records that belong to it, and waits until Kafka has all.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub(crate) async fn store(
        &self,
        session: Option<&SessionRecord>,
        more: Vec<NewRecord>,
    ) -> Result<(), Error> {
        let left = session.map_or(Left::Nothing, Left::State);
        self.store_and_wait(left, more, false).await
    }

    /// Lets go: stores what is left of the session and releases the claim, at once.
    ///
    /// # Errors
    /// When Kafka refuses it.
    pub(crate) async fn release(self, left: Left<'_>, more: Vec<NewRecord>) -> Result<(), Error> {
        self.store_and_wait(left, more, true).await
    }

    async fn store_and_wait(
        &self,
        left: Left<'_>,
        more: Vec<NewRecord>,
        releases: bool,
    ) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.store_then(left, more, releases, |result| {
            // Whoever waited may have given up.
            let _gone = answer.send(result);
        })
        .await;
        answered.await.unwrap_or(Err(Error::Ended))
    }

    /// Stores the session's state with records that belong to it; `then` is called when Kafka has answered. Waits only for
    /// room.
    pub(crate) async fn store_then(
        &self,
        left: Left<'_>,
        mut records: Vec<NewRecord>,
        releases: bool,
        then: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let directory = Arc::clone(&self.sessions.directory);
        let epoch = self.epoch();
        // The state comes first, so that a reader which has the release has the state.
        let state_at = records.len();
        let session = match left {
            Left::AsItIs => None,
            Left::Nothing => Some(None),
            Left::State(session) => Some(Some(session)),
        };
        if let Some(session) = session {
            let value = session.map(|session| session.write());
            let mut record = directory.record("session", &self.client_id, value);
            if session.is_none() {
                let epoch = epoch.to_string().into_bytes();
                record.headers.push((EPOCH.into(), epoch));
            }
            records.push(record);
        }
        let released = self.epoch.filter(|_| releases);
        records.extend(released.map(|epoch| directory.release_record(&self.client_id, epoch)));
        if records.is_empty() {
            return then(Ok(()));
        }
        let facts = session.map(|session| session.map(|s| (s.due_ms(), s.after_loss_ms())));
        let client_id = Arc::clone(&self.client_id);
        let storing = Storing::new(self);
        let note = move |result: Result<Vec<Position>, Error>| {
            let result = result.map(|positions| {
                let mut table = directory.table.lock();
                if let Some(facts) = facts {
                    let at = positions[state_at];
                    let stored = facts.map(|(due_ms, after_loss_ms)| Stored {
                        at,
                        due_ms,
                        after_loss_ms,
                        written_ms: 0,
                    });
                    let events = table.ownership.note(&client_id, at, epoch, stored);
                    directory.handle(&table, events);
                }
                if let Some(epoch) = released {
                    table.ownership.release(&client_id, epoch);
                }
            });
            drop(storing);
            then(result);
        };
        self.sessions.ledger.store(records, Box::new(note)).await;
    }
}

/// Counts a state that is on its way to Kafka, until that has answered or was never asked.
struct Storing {
    directory: Arc<Directory>,
    client_id: Arc<str>,
    attempt: u64,
}

impl Storing {
    fn new(claim: &Claim) -> Self {
        let directory = Arc::clone(&claim.sessions.directory);
        if let Some(owner) = directory.table.lock().owners.get_mut(&claim.client_id) {
            owner.storing += 1;
        }
        Self {
            directory,
            client_id: Arc::clone(&claim.client_id),
            attempt: claim.attempt,
        }
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        let mut table = self.directory.table.lock();
        if let Some(owner) = table.owners.get_mut(&self.client_id) {
            owner.storing -= 1;
        }
        self.directory
            .let_go_if_over(&mut table, &self.client_id, self.attempt);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let directory = &self.sessions.directory;
        let mut table = directory.table.lock();
        let owner = table.owners.get_mut(&self.client_id);
        if let Some(owner) = owner.filter(|owner| owner.attempt == self.attempt) {
            owner.is_left = true;
        }
        directory.let_go_if_over(&mut table, &self.client_id, self.attempt);
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
