//! How a client identifier becomes a node's, and is let go. As `sessions` does.

use std::sync::Arc;

use bytes::Bytes;
use kafka::{Position, partition_of};
use mqtt::ReasonCode;

use super::committing::Entry;
use super::log::{MESSAGE_TOPIC, PARTITIONS, SESSION_PARTITIONS, ToAppend};
use super::world::{Answer, Here, Request, Sabotage, Then, World};
use crate::ownership::{ClaimRecord, EPOCH, Epoch, Event, NodeRecord, Run, Standing, Stored};
use crate::session_record::SessionRecord;

/// Who has a client identifier on a node, or tries to.
pub(super) struct Owner {
    attempt: u64,
    /// Of its claim, as soon as that is known.
    epoch: Option<Epoch>,
    /// `None`: the node itself.
    pub(super) connection: Option<u64>,
    /// States that are on their way to Kafka.
    storing: usize,
    /// Whoever had it is gone.
    is_left: bool,
}

/// A client identifier that is owned; let go when it is dropped.
pub(super) struct Claim {
    here: Here,
    client_id: Arc<str>,
    attempt: u64,
    epoch: Epoch,
}

/// What becomes of a session's record when its owner stores it.
pub(super) enum Left {
    Nothing,
    State(Box<SessionRecord>),
}

/// Called when all is stored (`true`), or nothing is.
pub(super) type OnStored = Box<dyn FnOnce(&mut World, bool)>;

fn session_partition(client_id: &str) -> usize {
    partition_of(client_id.as_bytes(), SESSION_PARTITIONS) as usize
}

/// A record of the message topic.
pub(super) fn message(topic: &str, payload: &Bytes, qos: mqtt::QoS) -> ToAppend {
    let partitions = PARTITIONS - SESSION_PARTITIONS;
    ToAppend {
        partition: SESSION_PARTITIONS + partition_of(topic.as_bytes(), partitions) as usize,
        key: topic.to_owned(),
        value: Some(payload.clone()),
        headers: vec![(
            MESSAGE_TOPIC.into(),
            Bytes::copy_from_slice(&[b'0' + qos as u8]),
        )],
    }
}

fn of_epoch(epoch: Epoch) -> Vec<(String, Bytes)> {
    vec![(EPOCH.into(), epoch.to_string().into())]
}

fn release_record(client_id: &str, epoch: Epoch) -> ToAppend {
    ToAppend {
        partition: session_partition(client_id),
        key: format!("claim/{client_id}"),
        value: None,
        headers: of_epoch(epoch),
    }
}

impl World {
    /// Whether the log says so, whoever has read it.
    fn is_declared_dead(&self, run: Run) -> bool {
        let mut values = self
            .log
            .all(0)
            .into_iter()
            .filter_map(|record| record.value);
        values.any(|value| {
            let node = serde_json::from_slice::<NodeRecord>(&value);
            node.is_ok_and(|node| node.run == run && node.is_dead)
        })
    }

    /// A record of the session topic has come to a node.
    pub(super) fn observe(&mut self, node: usize, record: &kafka::Record) {
        let now = self.instant();
        let events = self.nodes[node].ownership.observe(record, now);
        self.handle(node, events);
    }

    fn handle(&mut self, node: usize, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Changed(client_id) => self.changed(node, &client_id),
                Event::Buried(client_id, newest) => {
                    let owner = self.nodes[node].owners.get(&client_id);
                    if owner.is_some_and(|owner| owner.epoch == Some(newest)) {
                        self.claim_again(node, &client_id);
                    }
                }
                Event::Declared(_) => self.nodes[node].has_declared = true,
                Event::DeclaredMyself => self.nodes[node].is_declared = true,
            }
        }
    }

    pub(super) fn changed(&mut self, node: usize, client_id: &Arc<str>) {
        let here = &self.nodes[node];
        let owner = here.owners.get(client_id);
        let has = owner.and_then(|owner| owner.epoch);
        let connection = owner.and_then(|owner| owner.connection);
        let is_claiming = owner.is_some() && has.is_none();
        let is_lost =
            has.is_some_and(|epoch| here.ownership.standing(client_id, epoch) == Standing::Lost);
        let own = here.ownership.own_claims(client_id);
        if let Some(connection) = connection.filter(|_| is_lost) {
            self.close_connection(connection, ReasonCode::SESSION_TAKEN_OVER);
        }
        // A claim of this run that nobody has: whoever wrote it gave up before it was there.
        for epoch in own.into_iter().filter(|_| !is_claiming) {
            if has != Some(epoch) {
                self.send_release(node, client_id, epoch);
            }
        }
    }

    pub(super) fn close_connection(&mut self, connection: u64, reason: ReasonCode) {
        let connection = self.network.get(connection);
        connection.close.get_or_insert(reason);
    }

    pub(super) fn send_release(&mut self, node: usize, client_id: &str, epoch: Epoch) {
        let record = release_record(client_id, epoch);
        let nothing: Then = Box::new(|_, _| ());
        self.ask_then(node, Request::Append(record), nothing);
    }

    fn claim_again(&mut self, node: usize, client_id: &str) {
        let claim = self.claim_record(node, client_id);
        let nothing: Then = Box::new(|_, _| ());
        self.ask_then(node, Request::Append(claim), nothing);
    }

    fn claim_record(&self, node: usize, client_id: &str) -> ToAppend {
        let here = &self.nodes[node];
        let owner = &here.owners[client_id];
        let claim = ClaimRecord {
            node: here.name.clone(),
            run: here.ownership.run(),
            epoch: owner.epoch,
            is_idle: owner.connection.is_none(),
        };
        let value = serde_json::to_vec(&claim).expect("strings and numbers can be JSON");
        ToAppend {
            partition: session_partition(client_id),
            key: format!("claim/{client_id}"),
            value: Some(value.into()),
            headers: Vec::new(),
        }
    }

    /// An owner is gone, or something that it stored is answered; it lets go when both are true of all, so that no state
    /// comes after the release.
    fn let_go(&mut self, node: usize, client_id: &Arc<str>, attempt: u64) {
        let here = &mut self.nodes[node];
        let is_over =
            |owner: &Owner| owner.attempt == attempt && owner.is_left && owner.storing == 0;
        let owner = here.owners.get(client_id).filter(|owner| is_over(owner));
        if let Some(owner) = owner {
            let was_connection = owner.connection.is_some();
            here.owners.remove(client_id);
            // What came due meanwhile was passed over, since the session had an owner.
            if was_connection {
                here.ownership.look_again(client_id);
            }
            self.changed(node, client_id);
            self.progressed = true;
        }
    }

    /// Returns the number of the attempt.
    fn try_own(&mut self, node: usize, client_id: &Arc<str>, by: Option<u64>) -> Option<u64> {
        let here = &mut self.nodes[node];
        if let Some(owner) = here.owners.get(client_id) {
            if let Some(old) = owner.connection {
                self.close_connection(old, ReasonCode::SESSION_TAKEN_OVER);
            }
            return None;
        }
        here.last_attempt += 1;
        let attempt = here.last_attempt;
        let owner = Owner {
            attempt,
            epoch: None,
            connection: by,
            storing: 0,
            is_left: false,
        };
        here.owners.insert(Arc::clone(client_id), owner);
        Some(attempt)
    }
}

impl Claim {
    /// Owns a client identifier for a connection; an earlier one, here or elsewhere, is closed, and waited for. `None`
    /// when a newer one has come meanwhile.
    pub(super) async fn by_connection(here: &Here, client_id: &str, by: u64) -> Option<Self> {
        let client_id: Arc<str> = client_id.into();
        let attempt = here
            .until(|world| {
                let attempt = world.try_own(here.node, &client_id, Some(by));
                let is_late = attempt.is_none() && world.network.get(by).close.is_some();
                (attempt.is_some() || is_late).then_some(attempt)
            })
            .await?;
        Self::win(here, client_id, attempt, Some(by)).await
    }

    /// Owns a client identifier for the node itself; not one that has an owner here, or an owner elsewhere who keeps it.
    pub(super) async fn idle(here: &Here, client_id: &Arc<str>) -> Option<Self> {
        if here.node(|node| node.owners.contains_key(client_id)) {
            return None;
        }
        let attempt = here.with(|world| world.try_own(here.node, client_id, None))?;
        Self::win(here, Arc::clone(client_id), attempt, None).await
    }

    /// Writes the claim and waits until it is the only one.
    async fn win(here: &Here, client_id: Arc<str>, attempt: u64, by: Option<u64>) -> Option<Self> {
        let mut claim = Self {
            here: here.clone(),
            client_id,
            attempt,
            epoch: 0,
        };
        let record = here.with(|world| world.claim_record(here.node, &claim.client_id));
        let Answer::At(offsets) = here.ask(Request::Append(record)).await else {
            unreachable!("it answers what was asked");
        };
        claim.epoch = offsets[0];
        here.with(|world| {
            let node = &mut world.nodes[here.node];
            if let Some(owner) = node.owners.get_mut(&claim.client_id) {
                owner.epoch = Some(claim.epoch);
            }
            if node.ownership.is_buried(&claim.client_id, claim.epoch) {
                world.claim_again(here.node, &claim.client_id);
            }
        });
        let is_owner = here
            .until(|world| {
                let ownership = &world.nodes[here.node].ownership;
                match ownership.standing(&claim.client_id, claim.epoch) {
                    Standing::Owner => Some(true),
                    Standing::Lost => Some(false),
                    Standing::Waits if world.sabotage == Sabotage::DoesNotWait => Some(true),
                    Standing::Waits => {
                        let gives_up = |by| world.network.get(by).close.is_some();
                        by.is_some_and(gives_up).then_some(false)
                    }
                }
            })
            .await;
        is_owner.then_some(claim)
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn is_stored(&self) -> bool {
        self.here
            .node(|node| node.ownership.stored(&self.client_id).is_some())
    }

    pub(super) fn lost_ms(&self) -> Option<u64> {
        self.here
            .node(|node| node.ownership.lost_ms(&self.client_id))
    }

    /// The session's newest record.
    pub(super) async fn read(&self) -> Option<SessionRecord> {
        let stored = self
            .here
            .node(|node| node.ownership.stored(&self.client_id))?;
        let (partition, offset) = (stored.at.partition as usize, stored.at.offset);
        let answer = self.here.ask(Request::LookUp(partition, offset)).await;
        let Answer::Record(found) = answer else {
            unreachable!("it answers what was asked");
        };
        let read = found
            .and_then(|record| record.value)
            .map(|value| SessionRecord::read(&value));
        match read {
            Some(Ok(session)) => Some(session),
            other => {
                let what = format!("the session of {} at {stored:?}: {other:?}", self.client_id);
                let run = self.here.node(|node| node.ownership.run());
                self.here.with(|world| {
                    // A node that slept and does not know it yet may look for what is compacted; what it stores then
                    // does not count.
                    if !world.is_declared_dead(run) {
                        world.model.fails(what);
                    }
                });
                None
            }
        }
    }

    /// Stores the session's state with records that belong to it, and waits until Kafka has all.
    pub(super) async fn store(&self, left: Left, more: Vec<ToAppend>) -> bool {
        self.store_and_wait(Some(left), more, false).await
    }

    /// Lets go: stores what is left of the session and releases the claim, at once.
    pub(super) async fn release(self, left: Option<Left>, more: Vec<ToAppend>) -> bool {
        self.store_and_wait(left, more, true).await
    }

    async fn store_and_wait(
        &self,
        left: Option<Left>,
        more: Vec<ToAppend>,
        releases: bool,
    ) -> bool {
        let id = self.here.with(World::new_id);
        let node = self.here.node;
        let then: OnStored = Box::new(move |world, is_stored| {
            let answer = match is_stored {
                true => Answer::Committed,
                false => Answer::Refused(super::log::Refusal::Fenced),
            };
            world.nodes[node].answers.insert(id, answer);
        });
        self.store_then(left, more, releases, then);
        let answer = self
            .here
            .until(|world| world.nodes[node].answers.remove(&id))
            .await;
        matches!(answer, Answer::Committed)
    }

    pub(super) fn store_then(
        &self,
        left: Option<Left>,
        mut records: Vec<ToAppend>,
        releases: bool,
        then: OnStored,
    ) {
        let (node, epoch) = (self.here.node, self.epoch);
        // The state comes first, so that a reader which has the release has the state.
        let state_at = records.len();
        if let Some(left) = &left {
            records.push(ToAppend {
                partition: session_partition(&self.client_id),
                key: format!("session/{}", self.client_id),
                value: match left {
                    Left::Nothing => None,
                    Left::State(session) => Some(session.write().into()),
                },
                headers: match left {
                    Left::Nothing => of_epoch(epoch),
                    Left::State(_) => Vec::new(),
                },
            });
        }
        if releases {
            records.push(release_record(&self.client_id, epoch));
        }
        let (client_id, attempt) = (Arc::clone(&self.client_id), self.attempt);
        let on_stored = move |world: &mut World, places: Option<Vec<(usize, i64)>>| {
            let is_stored = places.is_some();
            if let Some(places) = places {
                if let Some(left) = left {
                    let (partition, offset) = places[state_at];
                    let partition = partition as i32;
                    let at = Position { partition, offset };
                    let stored = match &left {
                        Left::Nothing => None,
                        Left::State(session) => Some(Stored::of(session, at, 0)),
                    };
                    world.trace(|| format!("n{node} has stored {client_id} {epoch} at {at:?}"));
                    let ownership = &mut world.nodes[node].ownership;
                    let events = ownership.note(&client_id, at, epoch, stored);
                    world.handle(node, events);
                }
                if releases {
                    world.nodes[node].ownership.release(&client_id, epoch);
                }
            }
            if let Some(owner) = world.nodes[node].owners.get_mut(&client_id) {
                owner.storing -= 1;
            }
            world.let_go(node, &client_id, attempt);
            then(world, is_stored);
        };
        self.here.with(|world| {
            if let Some(owner) = world.nodes[node].owners.get_mut(&self.client_id) {
                owner.storing += 1;
            }
            let entry = Entry {
                records,
                then: Box::new(on_stored),
            };
            super::committing::push(world, node, entry);
        });
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let here = self.here.clone();
        here.with(|world| {
            let node = &mut world.nodes[here.node];
            // A process that was killed lets nothing go.
            if node.process != here.process {
                return;
            }
            let owner = node.owners.get_mut(&self.client_id);
            if let Some(owner) = owner.filter(|owner| owner.attempt == self.attempt) {
                owner.is_left = true;
            }
            world.let_go(here.node, &self.client_id, self.attempt);
        });
    }
}
