//! A node's process: how it starts, stays a member, finds out about the others, and ends. As `start` and `membership` do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use mqtt::ReasonCode;

use super::claims::{Left, Owner};
use super::committing::{self, Entry};
use super::due;
use super::log::{PARTITIONS, SESSION_PARTITIONS, ToAppend};
use super::world::{Answer, Here, Process, Request, Sabotage, Stream, Task, Then, World};
use crate::ownership::{BEATS, NodeRecord, Ownership, Run};

/// A node that was silent for so long is dead.
pub(super) const LAPSE_MS: u64 = 1000;
/// How long connections have to end when the node does.
const DRAIN_MS: u64 = 3000;

/// How far a node has read a partition.
#[derive(Clone, Copy, Default)]
pub(super) struct Tail {
    pub(super) next: i64,
    pub(super) is_followed: bool,
    pub(super) is_fetching: bool,
}

pub(super) struct Node {
    pub(super) name: String,
    /// 0: there is none.
    pub(super) process: Process,
    pub(super) is_listening: bool,
    pub(super) paused_until: u64,
    /// What it had asked of Kafka when it was paused was on the wire already.
    pub(super) requests_left: bool,
    held: BTreeMap<Stream, u64>,
    last: BTreeMap<Stream, u64>,
    pub(super) ownership: Ownership,
    pub(super) owners: BTreeMap<Arc<str>, Owner>,
    pub(super) last_attempt: u64,
    pub(super) tails: [Tail; PARTITIONS],
    pub(super) ledger: VecDeque<Entry>,
    pub(super) ledger_is_over: bool,
    pub(super) answers: BTreeMap<u64, Answer>,
    pub(super) thens: BTreeMap<u64, Then>,
    pub(super) spawned: Vec<Task>,
    pub(super) to_accept: Vec<u64>,
    pub(super) connections: usize,
    /// The process was sure that it lives.
    pub(super) sure_at: u64,
    pub(super) has_declared: bool,
    pub(super) is_declared: bool,
    /// It was asked to end.
    pub(super) shall_end: bool,
    /// It was a member to the last.
    has_ended: bool,
    /// The process exits.
    pub(super) has_exited: bool,
    is_saying: bool,
    burying: BTreeSet<Run>,
}

impl Node {
    pub(super) fn down(number: usize) -> Self {
        Self {
            name: format!("n{number}"),
            process: 0,
            is_listening: false,
            paused_until: 0,
            requests_left: false,
            held: BTreeMap::new(),
            last: BTreeMap::new(),
            ownership: Ownership::new("", 0),
            owners: BTreeMap::new(),
            last_attempt: 0,
            tails: Default::default(),
            ledger: VecDeque::new(),
            ledger_is_over: false,
            answers: BTreeMap::new(),
            thens: BTreeMap::new(),
            spawned: Vec::new(),
            to_accept: Vec::new(),
            connections: 0,
            sure_at: 0,
            has_declared: false,
            is_declared: false,
            shall_end: false,
            has_ended: false,
            has_exited: false,
            is_saying: false,
            burying: BTreeSet::new(),
        }
    }

    /// When something of a stream happens, at `at` at the earliest: not before what came before it.
    pub(super) fn in_order(&mut self, stream: Stream, at: u64) -> u64 {
        let last = self.last.entry(stream).or_default();
        *last = at.max(*last);
        *last
    }

    /// What comes in a stream waits until `at`, or as long as what came before it.
    pub(super) fn hold(&mut self, stream: Stream, now: u64, at: u64) -> u64 {
        let held = self.held.entry(stream).or_default();
        if *held <= now {
            // What is on its way already comes earlier than that, and is held in its turn; what is sent from now on comes
            // later.
            let last = self.last.entry(stream).or_default();
            *held = at.max(*last + 1);
            *last = *held + 1;
        }
        *held
    }

    pub(super) fn held_until(&self, stream: Stream, now: u64) -> Option<u64> {
        self.held.get(&stream).copied().filter(|held| *held > now)
    }

    /// Whether something waits in the process that was to leave it before.
    pub(super) fn holds(&self, now: u64) -> bool {
        self.held.values().any(|held| *held >= now)
    }

    /// Whether the process has not slept for a lapse.
    pub(super) fn is_sure(&self, now: u64) -> bool {
        now < self.sure_at + LAPSE_MS
    }
}

/// What a run of a node is called in Kafka's transactions.
fn transactional_id(name: &str, run: Run) -> String {
    format!("{name}-{run:016x}")
}

/// A process from its start on.
pub(super) async fn start(here: Here) {
    let Answer::Ends(ends) = here.ask(Request::Ends).await else {
        unreachable!("it answers what was asked");
    };
    here.with(|world| {
        world.nodes[here.node].sure_at = world.now;
        for (partition, end) in ends.into_iter().enumerate() {
            world.nodes[here.node].tails[partition].next = end;
            world.nodes[here.node].tails[partition].is_followed = true;
            if partition < SESSION_PARTITIONS {
                for record in world.log.read(partition, 0, end) {
                    world.observe(here.node, &record);
                }
            }
            world.fetch_soon(here.node, partition);
        }
    });
    let (name, run) = here.node(|node| (node.name.clone(), node.ownership.run()));
    let id = transactional_id(&name, run);
    let Answer::Started(epoch) = here.ask(Request::StartTransactions(id.clone())).await else {
        unreachable!("a busy producer is asked again");
    };
    here.spawn(committing::run(here.clone(), (id, epoch)));
    here.ask(Request::Append(says(run, false, &name))).await;
    read_all(&here).await;
    here.node(|node| node.is_listening = true);
    here.spawn(due::run(here.clone()));
    here.spawn(run_membership(here.clone()));
    finish(&here).await;
}

/// Waits for the end, and ends in order: as a node that gets SIGTERM, or that was declared dead.
async fn finish(here: &Here) {
    let is_dead = here
        .until(|world| {
            let node = &world.nodes[here.node];
            (node.is_declared || node.shall_end).then_some(node.is_declared)
        })
        .await;
    here.with(|world| {
        world.trace(|| format!("n{} ends, declared dead: {is_dead}", here.node));
        let node = &mut world.nodes[here.node];
        node.is_listening = false;
        node.shall_end = true;
        let of_clients: Vec<u64> = node.owners.values().filter_map(|o| o.connection).collect();
        for connection in of_clients {
            world.close_connection(connection, ReasonCode::SERVER_SHUTTING_DOWN);
        }
    });
    let drained = here.until(|world| (world.nodes[here.node].connections == 0).then_some(()));
    here.within(DRAIN_MS, drained).await;
    here.node(|node| {
        node.has_ended = true;
        node.ledger_is_over = true;
    });
    if !is_dead {
        let name = here.node(|node| node.name.clone());
        let goodbye = ToAppend {
            value: None,
            ..says(0, false, &name)
        };
        here.within(DRAIN_MS, here.ask(Request::Append(goodbye)))
            .await;
    }
    here.node(|node| node.has_exited = true);
}

/// All that concerns all clients is in the first partition.
fn says(run: Run, is_dead: bool, name: &str) -> ToAppend {
    let record = serde_json::to_vec(&match is_dead {
        true => NodeRecord::dead(run),
        false => NodeRecord::alive(run, None),
    });
    ToAppend {
        partition: 0,
        key: format!("node/{name}"),
        value: Some(record.expect("numbers can be JSON").into()),
        headers: Vec::new(),
    }
}

/// Waits until everything that any node had stored in the session topic before this call is known here.
pub(super) async fn read_all(here: &Here) {
    let asked: Vec<u64> = here.with(|world| {
        let key = format!("barrier/{}", world.nodes[here.node].name);
        let barrier = |partition| ToAppend {
            partition,
            key: key.clone(),
            value: None,
            headers: Vec::new(),
        };
        (0..SESSION_PARTITIONS)
            .map(|partition| world.ask(here.node, Request::Append(barrier(partition))))
            .collect()
    });
    for (partition, id) in asked.into_iter().enumerate() {
        let answer = here
            .until(|world| world.nodes[here.node].answers.remove(&id))
            .await;
        let Answer::At(offsets) = answer else {
            unreachable!("it answers what was asked");
        };
        here.until(|world| {
            let tail = world.nodes[here.node].tails[partition];
            (tail.next > offsets[0]).then_some(())
        })
        .await;
    }
}

/// Keeps this node a member, until its end.
async fn run_membership(here: Here) {
    let (name, run) = here.node(|node| (node.name.clone(), node.ownership.run()));
    let mut slept_at = here.now();
    loop {
        let deadline = here.now() + LAPSE_MS / u64::from(BEATS);
        here.wake_at(deadline);
        here.until(|world| {
            let node = &mut world.nodes[here.node];
            let goes_on = std::mem::take(&mut node.has_declared) || node.has_ended;
            (goes_on || world.now >= deadline).then_some(())
        })
        .await;
        if here.node(|node| node.has_ended) {
            return;
        }
        let now = here.now();
        if now - slept_at >= LAPSE_MS {
            // Whoever declared it dead did so before its own word is read.
            let heard = here.within(LAPSE_MS, read_all(&here)).await;
            if heard.is_none() || here.node(|node| node.is_declared) {
                continue;
            }
        }
        here.with(|world| {
            world.nodes[here.node].sure_at = world.now;
            slept_at = world.now;
            beat(world, here.node, &name, run);
            suspect(world, here.node, now);
        });
        let declared = here.node(|node| node.ownership.declared());
        for (dead, its_name) in declared {
            if here.node(|node| node.burying.insert(dead)) {
                here.spawn(bury(here.clone(), dead, its_name));
            }
        }
    }
}

fn beat(world: &mut World, node: usize, name: &str, run: Run) {
    if !std::mem::replace(&mut world.nodes[node].is_saying, true) {
        let said: Then = Box::new(move |world, _| world.nodes[node].is_saying = false);
        world.ask_then(node, Request::Append(says(run, false, name)), said);
    }
}

fn suspect(world: &mut World, node: usize, now: u64) {
    let lapse = std::time::Duration::from_millis(LAPSE_MS);
    let behind = std::time::Duration::from_millis(world.now - now);
    let instant = world.instant() - behind;
    for (run, name) in world.nodes[node].ownership.suspects(instant, lapse) {
        world.trace(|| format!("n{node} declares {name} {run:016x} dead"));
        let nothing: Then = Box::new(|_, _| ());
        world.ask_then(node, Request::Append(says(run, true, &name)), nothing);
    }
}

/// Ends what a dead node could still do, and takes note of what it has done.
async fn bury(here: Here, run: Run, name: Arc<str>) {
    if here.with(|world| world.sabotage) != Sabotage::DoesNotFence {
        let id = transactional_id(&name, run);
        here.ask(Request::StartTransactions(id)).await;
    }
    read_all(&here).await;
    here.with(|world| {
        world.trace(|| format!("n{} buries {name} {run:016x}", here.node));
        world.nodes[here.node].burying.remove(&run);
        let mut over = world.nodes[here.node].ownership.bury(run);
        // It comes out of a hash map.
        over.sort();
        for (client_id, epoch) in over {
            world.changed(here.node, &client_id);
            let ownership = &world.nodes[here.node].ownership;
            if ownership.stored(&client_id).is_none() && ownership.looks_after(&client_id) {
                world.send_release(here.node, &client_id, epoch);
            }
        }
    });
}

/// What is left of a session whose client is away, as far as it is time for that.
pub(super) fn left_of(session: &crate::session_record::SessionRecord, is_over: bool) -> Left {
    match is_over {
        true => Left::Nothing,
        false => Left::State(Box::new(session.clone())),
    }
}
