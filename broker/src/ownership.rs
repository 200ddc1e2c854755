//! Who owns which client identifier, over all nodes: what the session topic says, read in its order.
//!
//! A node that wants a client identifier appends a *claim*; the claim's offset is its *epoch*. All records of a client
//! identifier are in one partition, so every node sees its claims in one order, and the newest wins. The owner before it
//! closes its connection, stores the session's final state and *releases* its claim; until then the new one waits. A claim
//! of a run (a node from its start to its end) that is dead counts as released.
//!
//! | key | value | |
//! |---|---|---|
//! | `session/CLIENT` | [`SessionRecord`] | the state, with the epoch of its writer; older ones are passed over |
//! | `claim/CLIENT` | [`ClaimRecord`] | tombstone: released, the header `epoch` says which claim |
//! | `node/NAME` | [`NodeRecord`] | the heartbeat; tombstone: the node has ended |
//! | `barrier/NAME` | nothing | written to read everything before it |
//!
//! This module has no clock and does no IO, so that the simulation can drive it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka::{Position, Record};
use serde::{Deserialize, Serialize};

use crate::session_record::SessionRecord;

/// The header that says whose claim a tombstone is about.
pub(crate) const EPOCH: &str = "epoch";
/// Heartbeats of its own that a node must have seen before it takes another's silence for death: while Kafka is away
/// nobody is heard, and nobody is dead.
pub(crate) const BEATS: u32 = 5;

/// One node from its start to its end; random.
pub(crate) type Run = u64;
/// The offset of a claim.
pub(crate) type Epoch = i64;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClaimRecord {
    pub(crate) node: String,
    #[serde(with = "hex")]
    pub(crate) run: Run,
    /// There when a claim is written again, since something else came behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<Epoch>,
    /// Of a node that looks after a session which nobody owns: it gives way to every claim that came before it, and
    /// closes nobody's connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_idle: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    #[serde(with = "hex")]
    pub(crate) run: Run,
    /// Another node has found it silent for too long: what it writes from now on does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_dead: bool,
    /// There when the node says it of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Counts>,
}

/// What a node counts, for the sums over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    /// When the node started, in milliseconds since the Unix epoch.
    pub(crate) started_ms: u64,
    /// Clients that are connected.
    pub(crate) connected: u64,
    pub(crate) subscriptions: u64,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

impl Counts {
    /// Of two nodes together.
    fn and(self, other: Self) -> Self {
        Self {
            // The service is as old as its oldest node.
            started_ms: self.started_ms.min(other.started_ms),
            connected: self.connected + other.connected,
            subscriptions: self.subscriptions + other.subscriptions,
            messages_received: self.messages_received + other.messages_received,
            messages_sent: self.messages_sent + other.messages_sent,
            bytes_received: self.bytes_received + other.bytes_received,
            bytes_sent: self.bytes_sent + other.bytes_sent,
        }
    }
}

/// What a record may mean for this node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something about a client identifier has changed: whoever waits for it looks again, and an owner whose claim is not
    /// the newest lets go.
    Changed(Arc<str>),
    /// The newest claim is not the newest record of its key any more: its owner writes it again.
    Buried(Arc<str>, Epoch),
    /// A run has been declared dead, or has been followed by another of its node. Its claims count until
    /// [`Ownership::bury`].
    Declared(Run),
    /// This node itself.
    DeclaredMyself,
}

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The client identifier is owned by it.
    Owner,
    /// An older owner has not let go, or the claim has not been observed.
    Waits,
    /// There is a newer claim, or, for an idle one, an older one.
    Lost,
}

/// Where the newest record of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) at: Position,
    pub(crate) due_ms: Option<u64>,
    /// The same in milliseconds after its connection was lost, while it says that its client is connected.
    pub(crate) after_loss_ms: Option<u64>,
    /// Kafka's time of the record, in milliseconds since the Unix epoch; 0 for what this node has just written.
    pub(crate) written_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Claimed {
    run: Run,
    is_idle: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// Those that are not released, by epoch. Nearly always one: it has to be small.
    claims: Vec<(Epoch, Claimed)>,
    /// The claim that the newest record is about.
    last: Epoch,
    stored: Option<Stored>,
    /// The epoch of the newest state that was seen, also of one that is gone.
    newest: Epoch,
    /// When the last owner, or its node, was heard last, if it died with that.
    lost_ms: Option<u64>,
}

#[derive(Debug)]
struct Node {
    name: Arc<str>,
    /// A heartbeat of it was read. It writes the first one before its first claim, but to another partition: of a run
    /// that is known by a claim alone, all heartbeats are still to come, and what is read before them is older.
    has_said: bool,
    heard: Instant,
    /// Kafka's time of its last heartbeat, in milliseconds since the Unix epoch.
    heard_ms: i64,
    /// Heartbeats of this node since then.
    beats: u32,
    /// What it said last that it counts.
    counts: Option<Counts>,
}

impl Node {
    fn heard(name: &str, record: &Record, now: Instant, has_said: bool) -> Self {
        Self {
            name: name.into(),
            has_said,
            heard: now,
            heard_ms: record.timestamp_ms,
            beats: 0,
            counts: None,
        }
    }
}

impl NodeRecord {
    pub(crate) fn alive(run: Run, counts: Option<Counts>) -> Self {
        Self {
            run,
            is_dead: false,
            counts,
        }
    }

    pub(crate) fn dead(run: Run) -> Self {
        Self {
            run,
            is_dead: true,
            counts: None,
        }
    }
}

/// See the [module](self).
pub(crate) struct Ownership {
    name: String,
    run: Run,
    clients: HashMap<Arc<str>, Known>,
    /// What has to be done, and when: wills and ends of sessions. Milliseconds since the Unix epoch.
    due: BTreeSet<(u64, Arc<str>)>,
    /// Runs that live, this one too.
    nodes: BTreeMap<Run, Node>,
    /// Runs that are dead, but may have written until now.
    declared: BTreeMap<Run, Node>,
    /// Runs whose claims do not count.
    dead: BTreeSet<Run>,
}

impl Ownership {
    /// Of a node with this name, and this run of it.
    pub(crate) fn new(name: &str, run: Run) -> Self {
        Self {
            name: name.to_owned(),
            run,
            clients: HashMap::new(),
            due: BTreeSet::new(),
            nodes: BTreeMap::new(),
            declared: BTreeMap::new(),
            dead: BTreeSet::new(),
        }
    }

    pub(crate) fn run(&self) -> Run {
        self.run
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A record of the session topic.
    pub(crate) fn observe(&mut self, record: &Record, now: Instant) -> Vec<Event> {
        let key = record.key.as_deref().map(std::str::from_utf8);
        let Some(Ok(key)) = key else {
            tracing::warn!(offset = record.offset, "a session record without a key");
            return Vec::new();
        };
        let result = match key.split_once('/') {
            Some(("session", client_id)) => self.session(client_id, record),
            Some(("claim", client_id)) => self.claim(client_id, record, now),
            Some(("node", name)) => self.node(name, record, now),
            Some(("barrier", _)) => Ok(Vec::new()),
            _ => Err(anyhow::anyhow!("not a key of the session topic")),
        };
        result.unwrap_or_else(|error| {
            tracing::warn!(%error, key, offset = record.offset, "not a record of the session topic");
            Vec::new()
        })
    }

    fn session(&mut self, client_id: &str, record: &Record) -> anyhow::Result<Vec<Event>> {
        let at = Position {
            partition: record.partition,
            offset: record.offset,
        };
        let (epoch, stored) = match record.value.as_deref() {
            Some(value) => {
                let session = SessionRecord::read(value)?;
                let written_ms = u64::try_from(record.timestamp_ms).unwrap_or(0);
                (session.epoch, Some(Stored::of(&session, at, written_ms)))
            }
            None => (epoch_of(record), None),
        };
        Ok(self.note(client_id, at, epoch, stored))
    }

    /// A session's state is stored, or it is gone.
    pub(crate) fn note(
        &mut self,
        client_id: &str,
        at: Position,
        epoch: Epoch,
        stored: Option<Stored>,
    ) -> Vec<Event> {
        let name = self.name_of(client_id);
        let known = self.clients.entry(Arc::clone(&name)).or_default();
        let is_old = known
            .stored
            .is_some_and(|stored| stored.at.offset > at.offset);
        // One that is not the owner any more, and does not know it yet.
        if epoch < known.newest || is_old {
            return Vec::new();
        }
        known.newest = epoch;
        if let Some(due_ms) = known.due_ms() {
            self.due.remove(&(due_ms, Arc::clone(&name)));
        }
        known.lost_ms = None;
        known.stored = stored;
        if let Some(due_ms) = known.due_ms() {
            self.due.insert((due_ms, Arc::clone(&name)));
        }
        self.forget_if_empty(&name);
        vec![Event::Changed(name)]
    }

    fn claim(
        &mut self,
        client_id: &str,
        record: &Record,
        now: Instant,
    ) -> anyhow::Result<Vec<Event>> {
        let written: Option<ClaimRecord> = match record.value.as_deref() {
            Some(value) => Some(serde_json::from_slice(value)?),
            None => None,
        };
        let name = self.name_of(client_id);
        let known = self.clients.entry(Arc::clone(&name)).or_default();
        let epoch = match &written {
            None => {
                let epoch = epoch_of(record);
                known.release(epoch);
                epoch
            }
            Some(claim) => {
                let epoch = claim.epoch.unwrap_or(record.offset);
                if !self.dead.contains(&claim.run) {
                    let claimed = Claimed {
                        run: claim.run,
                        is_idle: claim.is_idle,
                    };
                    known.insert(epoch, claimed);
                }
                epoch
            }
        };
        known.last = epoch;
        let mut events = vec![Event::Changed(Arc::clone(&name))];
        if let Some(newest) = known.newest_claim()
            && newest != epoch
        {
            events.push(Event::Buried(Arc::clone(&name), newest));
        }
        self.forget_if_empty(&name);
        // A run that is heard of by its claim alone: it lives, until it is silent for too long.
        if let Some(claim) = written
            && !self.knows(claim.run)
        {
            let node = Node::heard(&claim.node, record, now, false);
            self.nodes.insert(claim.run, node);
        }
        Ok(events)
    }

    fn knows(&self, run: Run) -> bool {
        self.nodes.contains_key(&run)
            || self.declared.contains_key(&run)
            || self.dead.contains(&run)
    }

    fn node(&mut self, name: &str, record: &Record, now: Instant) -> anyhow::Result<Vec<Event>> {
        let written: Option<NodeRecord> = match record.value.as_deref() {
            Some(value) => Some(serde_json::from_slice(value)?),
            None => None,
        };
        let lives = written
            .as_ref()
            .filter(|node| !node.is_dead)
            .map(|node| node.run);
        let counts = written.as_ref().and_then(|node| node.counts);
        let named: Vec<(Run, bool)> = self
            .nodes
            .iter()
            .filter(|(_, node)| &*node.name == name)
            .map(|(run, node)| (*run, node.has_said))
            .collect();
        let mut events = Vec::new();
        for (run, has_said) in named {
            let is_meant = match &written {
                // A certificate names the run it is about; a heartbeat ends all earlier runs of its node.
                Some(node) if node.is_dead => node.run == run,
                _ => has_said && lives != Some(run),
            };
            if !is_meant {
                continue;
            }
            if run == self.run {
                events.push(Event::DeclaredMyself);
            } else if let Some(node) = self.nodes.remove(&run) {
                self.declared.insert(run, node);
                events.push(Event::Declared(run));
            }
        }
        // One that died before this node came: its claims may still be there.
        if let Some(dead) = written.filter(|node| node.is_dead && !self.knows(node.run)) {
            let node = Node::heard(name, record, now, true);
            self.declared.insert(dead.run, node);
            events.push(Event::Declared(dead.run));
        }
        let Some(run) = lives else {
            return Ok(events);
        };
        if run == self.run {
            for node in self.nodes.values_mut() {
                node.beats += 1;
            }
        }
        if !self.declared.contains_key(&run) && !self.dead.contains(&run) {
            let node = Node {
                counts,
                ..Node::heard(name, record, now, true)
            };
            self.nodes.insert(run, node);
        }
        Ok(events)
    }

    /// How many nodes live, and what they have said that they count, together. Each node that has read as far says the
    /// same.
    pub(crate) fn counts(&self) -> (usize, Counts) {
        let said = self.nodes.values().filter_map(|node| node.counts);
        let sums = said.reduce(Counts::and).unwrap_or_default();
        (self.nodes.len(), sums)
    }

    /// Runs that were silent for `lapse` while this node was heard.
    pub(crate) fn suspects(&self, now: Instant, lapse: Duration) -> Vec<(Run, Arc<str>)> {
        self.nodes
            .iter()
            .filter(|(run, node)| {
                **run != self.run
                    && node.beats >= BEATS
                    && now.saturating_duration_since(node.heard) >= lapse
            })
            .map(|(run, node)| (*run, Arc::clone(&node.name)))
            .collect()
    }

    /// Runs that were declared dead, by name, and whose claims still count.
    pub(crate) fn declared(&self) -> Vec<(Run, Arc<str>)> {
        self.declared
            .iter()
            .map(|(run, node)| (*run, Arc::clone(&node.name)))
            .collect()
    }

    /// A run that was declared dead can write no more, and all that it wrote was observed: its claims are over. Returns
    /// them.
    pub(crate) fn bury(&mut self, run: Run) -> Vec<(Arc<str>, Epoch)> {
        let Some(node) = self.declared.remove(&run) else {
            return Vec::new();
        };
        self.dead.insert(run);
        let heard_ms = u64::try_from(node.heard_ms).unwrap_or(0);
        let mut over = Vec::new();
        for (client_id, known) in &mut self.clients {
            let newest = known.newest;
            // Its owner lived when it wrote its state, whatever was heard of the node.
            let lost_ms = heard_ms.max(known.stored.map_or(0, |stored| stored.written_ms));
            known.claims.retain(|(epoch, of)| {
                if of.run == run {
                    over.push((Arc::clone(client_id), *epoch));
                    // Not of an earlier owner, whose claim is still there though it has let go, nor of one that has
                    // waited in vain.
                    if *epoch == newest {
                        known.lost_ms = Some(lost_ms);
                    }
                }
                of.run != run
            });
            if over.last().is_none_or(|(last, _)| last != client_id) {
                continue;
            }
            // The owner's own claim was compacted away, behind one of a node that has looked after it in vain.
            if known.claims.is_empty() {
                known.lost_ms.get_or_insert(lost_ms);
            }
            if let Some(due_ms) = known.due_ms() {
                self.due.insert((due_ms, Arc::clone(client_id)));
            }
        }
        for (client_id, _) in &over {
            self.forget_if_empty(client_id);
        }
        over
    }

    /// When a session's last owner, or its node, was heard last, in milliseconds since the Unix epoch, if it died with
    /// that.
    pub(crate) fn lost_ms(&self, client_id: &str) -> Option<u64> {
        self.clients.get(client_id)?.lost_ms
    }

    /// Where a claim stands.
    pub(crate) fn standing(&self, client_id: &str, epoch: Epoch) -> Standing {
        let Some(known) = self.clients.get(client_id) else {
            return Standing::Waits;
        };
        let Some(at) = known.claims.iter().position(|(of, _)| *of == epoch) else {
            return Standing::Waits;
        };
        let (is_idle, is_first) = (known.claims[at].1.is_idle, at == 0);
        let has_newer = known.newest_claim().is_some_and(|newest| newest > epoch);
        match (is_idle, is_first) {
            (false, _) if has_newer => Standing::Lost,
            (_, true) => Standing::Owner,
            (true, false) => Standing::Lost,
            (false, false) => Standing::Waits,
        }
    }

    /// Whether something else has come behind a claim, which is the newest: see [`Event::Buried`]. To be asked by an owner
    /// that learns the epoch of its claim after that was observed.
    pub(crate) fn is_buried(&self, client_id: &str, epoch: Epoch) -> bool {
        let known = self.clients.get(client_id);
        known.is_some_and(|known| known.newest_claim() == Some(epoch) && known.last != epoch)
    }

    /// A claim is released.
    pub(crate) fn release(&mut self, client_id: &Arc<str>, epoch: Epoch) {
        if let Some(known) = self.clients.get_mut(client_id) {
            known.release(epoch);
            self.forget_if_empty(client_id);
        }
    }

    /// The claims of this run to a client identifier.
    pub(crate) fn own_claims(&self, client_id: &str) -> Vec<Epoch> {
        let known = self.clients.get(client_id);
        let claims = known.into_iter().flat_map(|known| &known.claims);
        claims
            .filter(|(_, claimed)| claimed.run == self.run)
            .map(|(epoch, _)| *epoch)
            .collect()
    }

    /// Where the newest record of a session is.
    pub(crate) fn stored(&self, client_id: &str) -> Option<Stored> {
        self.clients.get(client_id)?.stored
    }

    /// How many sessions Kafka has.
    pub(crate) fn stored_count(&self) -> usize {
        let stored = |known: &&Known| known.stored.is_some();
        self.clients.values().filter(stored).count()
    }

    /// The first client identifier that something is due for, and when that is.
    pub(crate) fn first_due(&self) -> Option<&(u64, Arc<str>)> {
        self.due.first()
    }

    /// Takes what is due, and whether it is for this node to do. It is due again at `later_ms` if it is not done by then:
    /// then it is for whoever comes first.
    pub(crate) fn take_due(&mut self, due: &(u64, Arc<str>), later_ms: u64) -> bool {
        self.due.remove(due);
        let Some(stored_ms) = self.clients.get(&due.1).and_then(Known::due_ms) else {
            return false;
        };
        self.due
            .insert((later_ms.max(stored_ms), Arc::clone(&due.1)));
        stored_ms <= due.0 && (stored_ms < due.0 || self.looks_after(&due.1))
    }

    /// What is due for a client identifier counts again as it is stored.
    pub(crate) fn look_again(&mut self, client_id: &Arc<str>) {
        if let Some(due_ms) = self.clients.get(client_id).and_then(Known::due_ms) {
            self.due.insert((due_ms, Arc::clone(client_id)));
        }
    }

    /// Whether this node is the one that looks after a client identifier which nobody owns: each has one among those
    /// that live. Two nodes may disagree for a moment; then the claims decide.
    pub(crate) fn looks_after(&self, client_id: &str) -> bool {
        let score = |run: Run| {
            let mixed = run.rotate_left(17) ^ u64::from(spread(client_id));
            mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        };
        let best = self.nodes.keys().copied().max_by_key(|run| score(*run));
        best.is_none_or(|best| best == self.run)
    }

    fn name_of(&self, client_id: &str) -> Arc<str> {
        match self.clients.get_key_value(client_id) {
            Some((name, _)) => Arc::clone(name),
            None => client_id.into(),
        }
    }

    fn forget_if_empty(&mut self, client_id: &Arc<str>) {
        let known = self.clients.get(client_id);
        if known.is_some_and(|known| known.claims.is_empty() && known.stored.is_none()) {
            self.clients.remove(client_id);
        }
    }
}

impl Known {
    /// The newest claim for a connection.
    fn newest_claim(&self) -> Option<Epoch> {
        let mut newest_first = self.claims.iter().rev();
        newest_first
            .find(|(_, claimed)| !claimed.is_idle)
            .map(|(epoch, _)| *epoch)
    }

    fn insert(&mut self, epoch: Epoch, claimed: Claimed) {
        self.release(epoch);
        let at = self.claims.partition_point(|(other, _)| *other < epoch);
        self.claims.reserve_exact(1);
        self.claims.insert(at, (epoch, claimed));
    }

    fn release(&mut self, epoch: Epoch) {
        self.claims.retain(|(other, _)| *other != epoch);
    }

    /// When something has to be done about the session.
    fn due_ms(&self) -> Option<u64> {
        let stored = self.stored?;
        let of_lost = || Some(self.lost_ms?.saturating_add(stored.after_loss_ms?));
        stored.due_ms.or_else(of_lost)
    }
}

impl Stored {
    /// Of a record at `at`.
    pub(crate) fn of(session: &SessionRecord, at: Position, written_ms: u64) -> Self {
        Self {
            at,
            due_ms: session.due_ms(),
            after_loss_ms: session.after_loss_ms(),
            written_ms,
        }
    }
}

/// Spreads client identifiers; FNV-1a.
fn spread(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn epoch_of(record: &Record) -> Epoch {
    record
        .header(EPOCH)
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(0)
}

mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde wants a reference
    pub(super) fn serialize<S: Serializer>(run: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{run:016x}"))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
