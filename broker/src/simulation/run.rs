//! One run: the world of a seed, its faults, their end, and what must be true then.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use super::client::Client;
use super::connection;
use super::node::{self, Node};
use super::world::{Elsewhere, Event, Here, Sabotage, Shared, Stream, Task, World};
use crate::ownership::Ownership;

const NODES: usize = 3;
const CLIENTS: usize = 4;
/// How long faults happen.
const FAULTS_MS: u64 = 25_000;
/// Within so much time after the last fault, every client is served and has everything.
const SERVED_MS: u64 = 40_000;
/// Then all clients are gone for good, and within so much time their wills are published.
const GONE_MS: u64 = 25_000;
const WILL_DELAY_S: u32 = 6;
/// Longer than any reader is behind, as the setting of the real topic.
pub(super) const COMPACTION_LAG_MS: u64 = 18_000;
/// Polls of one node for one event: more never end.
const ROUNDS_MAX: usize = 10_000;

struct Run {
    world: Shared,
    /// By node.
    tasks: Vec<Vec<Task>>,
}

/// What went wrong.
pub(super) fn run(seed: u64, sabotage: Sabotage) -> Result<(), String> {
    Run::new(seed, sabotage, false).play()
}

/// What happened last in a run that goes wrong.
pub(super) fn trace(seed: u64, sabotage: Sabotage) -> String {
    let mut run = Run::new(seed, sabotage, true);
    let result = run.play();
    let mut lines = run.with(World::take_trace);
    lines.push(format!("{result:?}"));
    lines.join("\n")
}

impl Run {
    fn new(seed: u64, sabotage: Sabotage, is_traced: bool) -> Self {
        let world = World::new(seed, NODES, sabotage, is_traced);
        Self {
            world: Rc::new(RefCell::new(world)),
            tasks: (0..NODES).map(|_| Vec::new()).collect(),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        self.with(|world| {
            for node in 0..NODES {
                world.schedule(0, Elsewhere::Start(node));
            }
            for number in 0..CLIENTS {
                let delay_s = if number % 2 == 0 { 0 } else { WILL_DELAY_S };
                let quota = world.rng.within(20, 60);
                let client = Client::new(number, delay_s, number < 2, quota);
                world.clients.push(client);
                let at = world.rng.within(0, 1000);
                world.schedule(at, Elsewhere::ClientTurn(number));
            }
            world.schedule(1500, Elsewhere::Fault);
            world.schedule(COMPACTION_LAG_MS, Elsewhere::Compact);
        });
        self.play_until(FAULTS_MS, |_| false)?;
        self.with(World::heal);
        let is_served = self.play_until(FAULTS_MS + SERVED_MS, |world| {
            world.clients.iter().all(Client::is_content) && world.model.missing().is_empty()
        })?;
        if !is_served {
            return Err(self.with(|world| {
                let clients: Vec<String> = world.clients.iter().map(Client::describe).collect();
                let missing = world.model.missing();
                format!("not served in time: {clients:?}, {missing:?}")
            }));
        }
        self.everybody_goes();
        let end = self.with(|world| world.now) + GONE_MS;
        self.play_until(end, |_| false)?;
        self.with(|world| {
            world.model.check_epochs(&world.log);
            world.model.check_messages(&world.log);
            world.model.check_wills(&world.log);
        });
        self.failure()
    }

    fn failure(&self) -> Result<(), String> {
        let world = self.world.borrow();
        world
            .model
            .failure()
            .map_or(Ok(()), |what| Err(what.to_owned()))
    }

    fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    /// Returns whether `is_done` came true.
    fn play_until(&mut self, end: u64, is_done: impl Fn(&World) -> bool) -> Result<bool, String> {
        let mut looked_at = 0;
        while let Some(next) = self.with(|world| world.pop(end)) {
            self.play_one(next)?;
            self.failure()?;
            let world = self.world.borrow();
            // It is much to look at.
            if world.now >= looked_at + 100 {
                looked_at = world.now;
                if is_done(&world) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn play_one(&mut self, what: Elsewhere) -> Result<(), String> {
        match what {
            Elsewhere::OfNode {
                node,
                process,
                stream,
                event,
            } => {
                if self.with(|world| world.happens(node, process, stream, event)) {
                    self.poll(node)?;
                }
            }
            Elsewhere::Marker(id, partition) => self.with(|world| world.marker(&id, partition)),
            Elsewhere::GivesUp(id, number) => self.with(|world| world.gives_up(&id, number)),
            Elsewhere::ToClient(id, bytes) => self.with(|world| world.client_hears(id, bytes)),
            Elsewhere::ClientTurn(number) => self.with(|world| world.client_turn(number)),
            Elsewhere::Fault => self.fault(),
            Elsewhere::Start(node) => {
                self.start(node);
                self.poll(node)?;
            }
            Elsewhere::Compact => self.with(|world| {
                let before = world.unix_ms() - COMPACTION_LAG_MS;
                world.model.check_epochs(&world.log);
                world.log.compact(before as i64);
                let next = world.now + world.rng.within(500, 3000);
                world.schedule(next, Elsewhere::Compact);
            }),
        }
        Ok(())
    }

    fn start(&mut self, node: usize) {
        let process = self.with(|world| {
            let (process, run) = (world.new_id(), world.rng.next());
            let mut new = Node::down(node);
            new.process = process;
            new.ownership = Ownership::new(&new.name, run);
            world.nodes[node] = new;
            world.trace(|| format!("n{node} starts as {run:016x}"));
            process
        });
        let here = Here {
            world: Rc::clone(&self.world),
            node,
            process,
        };
        self.tasks[node] = vec![Box::pin(node::start(here))];
    }

    /// Lets the node's futures get on, as far as they can.
    fn poll(&mut self, node: usize) -> Result<(), String> {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..ROUNDS_MAX {
            let process = self.with(|world| world.nodes[node].process);
            let accepted = self.with(|world| {
                world.progressed = false;
                let here = &mut world.nodes[node];
                let accepted = std::mem::take(&mut here.to_accept);
                here.connections += accepted.len();
                accepted
            });
            for id in accepted {
                let here = Here {
                    world: Rc::clone(&self.world),
                    node,
                    process,
                };
                self.tasks[node].push(Box::pin(connection::serve(here, id)));
            }
            self.tasks[node].retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
            let (spawned, progressed, has_exited) = self.with(|world| {
                let here = &mut world.nodes[node];
                let spawned = std::mem::take(&mut here.spawned);
                (spawned, world.progressed, here.has_exited)
            });
            if has_exited {
                self.kill(node, false, true);
                return Ok(());
            }
            if spawned.is_empty() && !progressed {
                return Ok(());
            }
            self.tasks[node].extend(spawned);
        }
        Err(format!("n{node} does not come to rest"))
    }

    /// The process ends, and is started again some time later. `tells`: its clients find out at once.
    fn kill(&mut self, node: usize, loses: bool, tells: bool) {
        self.with(|world| {
            for connection in world.connections_of(node) {
                world.lose_connection(connection, tells);
            }
            world.kill(node, loses);
            let back_at = world.now + world.rng.within(100, 4000);
            world.schedule(back_at, Elsewhere::Start(node));
        });
        self.tasks[node].clear();
    }

    fn fault(&mut self) {
        let (what, node, client) = self.with(|world| {
            let next = world.now + world.rng.within(200, 1800);
            if next < FAULTS_MS {
                world.schedule(next, Elsewhere::Fault);
            }
            let what = world.rng.below(12);
            (what, world.rng.below(NODES), world.rng.below(CLIENTS))
        });
        let is_up = self.with(|world| world.nodes[node].process != 0);
        if what < 2 && is_up {
            let (loses, tells) = self.with(|w| (w.rng.one_in(2), w.rng.one_in(2)));
            self.with(|world| world.trace(|| format!("fault: n{node} is killed")));
            return self.kill(node, loses, tells);
        }
        self.with(|world| match what {
            2 | 3 => world.pauses(node, 1100, 6000),
            4 => world.pauses(node, 100, 900),
            5 => {
                let until = world.now + world.rng.within(200, 4000);
                world.away_until = until.max(world.away_until);
                world.trace(|| format!("fault: Kafka is away until {until}"));
            }
            6 if is_up => {
                world.nodes[node].shall_end = true;
                world.of_node(node, world.now, Stream::Single(0), Event::Wake);
            }
            7 => {
                let for_ms = world.rng.within(0, 3000);
                world.client_disconnects(client, for_ms);
            }
            8 => {
                let for_ms = world.rng.within(5000, 20_000);
                world.client_leaves(client, for_ms);
            }
            // It goes to another node while its connection is alive, or seems to be.
            9 => world.client_leaves(client, 0),
            _ => {
                let tells = world.rng.one_in(2);
                if let Some(connection) = world.clients[client].connection {
                    world.lose_connection(connection, tells);
                    world.trace(|| format!("fault: c{client} loses its connection"));
                }
            }
        });
    }

    /// All clients lose their connections for good, and some node may die with them.
    fn everybody_goes(&mut self) {
        self.with(|world| {
            for number in 0..CLIENTS {
                let tells = world.rng.one_in(2);
                if let Some(connection) = world.clients[number].connection {
                    world.lose_connection(connection, tells);
                }
                world.client_leaves(number, 0);
                world.clients[number].has_vanished = true;
            }
        });
        let (node, dies) = self.with(|world| (world.rng.below(NODES), world.rng.one_in(2)));
        if dies && self.with(|world| world.nodes[node].process != 0) {
            self.kill(node, true, true);
        }
    }
}

impl World {
    fn pauses(&mut self, node: usize, low: u64, high: u64) {
        let until = self.now + self.rng.within(low, high);
        let requests_left = self.rng.one_in(2);
        let paused = &mut self.nodes[node];
        // Not for so long that what it has to read is compacted away.
        if paused.process == 0 || paused.paused_until > self.now {
            return;
        }
        paused.paused_until = until;
        paused.requests_left = requests_left;
        self.trace(|| format!("fault: n{node} stands still until {until}"));
        // It wakes late, and looks around.
        self.of_node(node, until, Stream::Single(0), Event::Wake);
    }

    /// Everything works from now on.
    fn heal(&mut self) {
        self.is_calm = true;
        self.away_until = self.now;
        for node in 0..self.nodes.len() {
            self.nodes[node].paused_until = self.now;
            self.of_node(node, self.now, Stream::Single(0), Event::Wake);
        }
        self.trace(|| "all faults end".to_owned());
    }
}
