//! Virtual time, and everything that happens in it: what is on its way between clients, nodes and Kafka.
//!
//! The drivers of a node are futures that wait by [`Here::until`] for something to be true of the world; after each event
//! that concerns a node its futures are polled in their order until none gets on. So they read as the real drivers do,
//! and the order of everything is the seed's.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::client::Client;
use super::log::{Log, PARTITIONS, Refusal, SESSION_PARTITIONS, ToAppend};
use super::model::Model;
use super::network::Network;
use super::node::Node;
use super::rng::Rng;

/// Virtual time starts here: milliseconds since the Unix epoch.
pub(super) const START_MS: u64 = 1_764_000_000_000;
/// How long Kafka lets a transaction be open.
const TRANSACTION_TIMEOUT_MS: u64 = 6000;
/// Lines that are printed when a run fails.
const TRACE_MAX: usize = 60;

pub(super) type Shared = Rc<RefCell<World>>;
pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;
/// Called with Kafka's answer, as librdkafka's delivery callback is.
pub(super) type Then = Box<dyn FnOnce(&mut World, Answer)>;

/// A safety rule that is not kept, to see that the model notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    None,
    /// A claim counts at once, also when an older one is not released.
    DoesNotWait,
    /// A dead node's transactions are not ended.
    DoesNotFence,
    /// A QoS 2 message is stored before the state that has its packet identifier.
    StoresApart,
}

/// What a node asks of Kafka.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Append(ToAppend),
    StartTransactions(String),
    AppendInTransaction((String, u32), Vec<ToAppend>),
    Commit((String, u32)),
    /// One record by its place.
    LookUp(usize, i64),
    /// Where the partitions end.
    Ends,
}

#[derive(Debug)]
pub(super) enum Answer {
    At(Vec<i64>),
    Started(u32),
    Committed,
    Record(Option<kafka::Record>),
    Ends([i64; PARTITIONS]),
    Refused(Refusal),
}

/// What keeps its order, as one TCP connection or one partition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Produce(usize),
    Answers(usize),
    Tail(usize),
    Transaction,
    /// A request or an answer for itself.
    Single(u64),
    Connection(u64),
}

/// A run of a node's process; 0 is none.
pub(super) type Process = u64;

#[derive(Debug)]
pub(super) enum Event {
    /// A deadline of the node has come.
    Wake,
    /// Leaves the process for Kafka. `was_held`: it was in the process when that stood still or Kafka was away.
    Request {
        id: u64,
        request: Request,
        was_held: bool,
    },
    Answer {
        id: u64,
        answer: Answer,
    },
    Fetch(usize),
    /// Bytes for the server's end of a connection; `None`: its end.
    Bytes(u64, Option<Vec<u8>>),
}

/// What happens somewhere else than in a node.
#[derive(Debug)]
pub(super) enum Elsewhere {
    OfNode {
        node: usize,
        process: Process,
        stream: Stream,
        event: Event,
    },
    /// The marker of a transaction is written.
    Marker(String, usize),
    GivesUp(String, u64),
    /// Bytes for the client's end of a connection; `None`: its end.
    ToClient(u64, Option<Vec<u8>>),
    ClientTurn(usize),
    Fault,
    Start(usize),
    Compact,
}

pub(super) struct World {
    pub(super) now: u64,
    last_event: u64,
    queue: BTreeMap<(u64, u64), Elsewhere>,
    last_id: u64,
    pub(super) rng: Rng,
    pub(super) log: Log,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) clients: Vec<Client>,
    pub(super) model: Model,
    pub(super) sabotage: Sabotage,
    /// Kafka answers nothing until then.
    pub(super) away_until: u64,
    /// What these processes had on its way to Kafka when they were killed is lost.
    cut: BTreeSet<Process>,
    /// Nothing is late any more.
    pub(super) is_calm: bool,
    pub(super) progressed: bool,
    base: Instant,
    trace: VecDeque<String>,
    /// It costs more than the run itself.
    is_traced: bool,
    /// The trace is printed as it goes.
    is_loud: bool,
}

impl World {
    pub(super) fn new(seed: u64, nodes: usize, sabotage: Sabotage, is_traced: bool) -> Self {
        Self {
            now: 0,
            last_event: 0,
            queue: BTreeMap::new(),
            last_id: 0,
            rng: Rng::new(seed),
            log: Log::default(),
            nodes: (0..nodes).map(Node::down).collect(),
            network: Network::default(),
            clients: Vec::new(),
            model: Model::default(),
            sabotage,
            away_until: 0,
            cut: BTreeSet::new(),
            is_calm: false,
            progressed: false,
            // Only differences to it count.
            base: Instant::now(),
            trace: VecDeque::new(),
            is_traced,
            is_loud: std::env::var_os("SIMULATION_TRACE").is_some(),
        }
    }

    pub(super) fn instant(&self) -> Instant {
        self.base + Duration::from_millis(self.now)
    }

    /// The virtual time of an instant that [`Self::instant`] gave, or one after it.
    pub(super) fn at(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.base);
        u64::try_from(since.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
    }

    pub(super) fn unix_ms(&self) -> u64 {
        START_MS + self.now
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn trace(&mut self, line: impl FnOnce() -> String) {
        if !self.is_traced {
            return;
        }
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        let line = format!("{:>7} {}", self.now, line());
        if self.is_loud {
            println!("{line}");
        }
        self.trace.push_back(line);
    }

    pub(super) fn take_trace(&mut self) -> Vec<String> {
        self.trace.drain(..).collect()
    }

    pub(super) fn schedule(&mut self, at: u64, what: Elsewhere) {
        self.last_event += 1;
        self.queue.insert((at.max(self.now), self.last_event), what);
    }

    /// The next event, with its time set.
    pub(super) fn pop(&mut self, until: u64) -> Option<Elsewhere> {
        let next = self.queue.first_entry().filter(|e| e.key().0 <= until)?;
        let ((at, _), what) = next.remove_entry();
        self.now = at;
        Some(what)
    }

    pub(super) fn of_node(&mut self, node: usize, at: u64, stream: Stream, event: Event) {
        let process = self.nodes[node].process;
        self.schedule(
            at,
            Elsewhere::OfNode {
                node,
                process,
                stream,
                event,
            },
        );
    }

    /// Short most of the time.
    pub(super) fn latency(&mut self) -> u64 {
        match self.is_calm || !self.rng.one_in(30) {
            true => self.rng.within(1, 10),
            false => self.rng.within(50, 800),
        }
    }

    /// A node asks Kafka; returns what the answer is known by.
    pub(super) fn ask(&mut self, node: usize, request: Request) -> u64 {
        let id = self.new_id();
        let stream = match &request {
            Request::Append(record) => Stream::Produce(record.partition),
            // One for each partition: they are written by different brokers.
            Request::AppendInTransaction(..) => Stream::Single(id),
            Request::StartTransactions(_) | Request::Commit(_) => Stream::Transaction,
            Request::LookUp(..) | Request::Ends => Stream::Single(id),
        };
        let at = self.now + self.latency();
        let at = self.nodes[node].in_order(stream, at);
        let was_held = false;
        let event = Event::Request {
            id,
            request,
            was_held,
        };
        self.of_node(node, at, stream, event);
        id
    }

    /// The same, with what is to be done when the answer is there.
    pub(super) fn ask_then(&mut self, node: usize, request: Request, then: Then) {
        let id = self.ask(node, request);
        self.nodes[node].thens.insert(id, then);
    }

    /// Something of a node happens. Returns whether the node has to be polled.
    pub(super) fn happens(
        &mut self,
        node: usize,
        process: Process,
        stream: Stream,
        event: Event,
    ) -> bool {
        let is_there = self.nodes[node].process == process;
        if !is_there {
            if let Event::Request {
                request,
                was_held: false,
                id,
            } = event
                && !self.cut.contains(&process)
                && self.away_until <= self.now
            {
                // It had left before the process was killed.
                self.serve(node, process, id, request, stream);
            }
            return false;
        }
        let kafka_is_away =
            self.away_until > self.now && matches!(event, Event::Request { .. } | Event::Fetch(_));
        let stands_until = match kafka_is_away {
            true => self.away_until,
            false => self.nodes[node].paused_until,
        };
        let is_on_its_way = matches!(event, Event::Request { .. })
            && !kafka_is_away
            && self.nodes[node].requests_left;
        if stands_until > self.now && !is_on_its_way {
            let at = stands_until + self.rng.within(0, 30);
            let at = self.nodes[node].hold(stream, self.now, at);
            self.of_node(node, at, stream, held(event));
            return false;
        }
        if let Some(at) = self.nodes[node].held_until(stream, self.now) {
            self.of_node(node, at, stream, event);
            return false;
        }
        match event {
            Event::Wake => {}
            Event::Request { id, request, .. } => {
                self.serve(node, process, id, request, stream);
                return false;
            }
            Event::Answer { id, answer } => match self.nodes[node].thens.remove(&id) {
                Some(then) => then(self, answer),
                None => {
                    self.nodes[node].answers.insert(id, answer);
                }
            },
            Event::Fetch(partition) => self.fetched(node, partition),
            Event::Bytes(connection, bytes) => {
                self.network.arrived(connection, bytes);
                if !std::mem::replace(&mut self.network.get(connection).is_accepted, true) {
                    match self.nodes[node].is_listening {
                        true => self.nodes[node].to_accept.push(connection),
                        false => self.send_to_client(connection, None),
                    }
                }
            }
        }
        true
    }

    fn serve(&mut self, node: usize, process: Process, id: u64, request: Request, stream: Stream) {
        let now_ms = self.unix_ms() as i64;
        let again = request.clone();
        let answer = match request {
            Request::Append(record) => {
                let partition = record.partition;
                let what = (record.key.clone(), record.value.clone());
                let offset = self.log.append(record, now_ms);
                self.trace(|| format!("log {partition} has at {offset} {what:?}"));
                self.grown(partition);
                Answer::At(vec![offset])
            }
            Request::StartTransactions(name) => {
                let started = self.log.start(&name);
                self.end_transaction(&name);
                match started {
                    Ok(epoch) => Answer::Started(epoch),
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Request::AppendInTransaction(producer, records) => {
                let what = records
                    .iter()
                    .map(|one| (one.key.clone(), one.value.clone()));
                let what: Vec<_> = what.collect();
                let was_open = self.log.open(&producer.0);
                match self.log.append_in_transaction(&producer, records, now_ms) {
                    Ok(offsets) => {
                        self.trace(|| format!("{producer:?} has in the log {what:?}"));
                        let open = self.log.open(&producer.0).filter(|_| was_open.is_none());
                        if let Some(transaction) = open {
                            let at = self.now + TRANSACTION_TIMEOUT_MS;
                            self.schedule(at, Elsewhere::GivesUp(producer.0, transaction));
                        }
                        Answer::At(offsets)
                    }
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Request::Commit(producer) => {
                let committed = self.log.commit(&producer);
                self.end_transaction(&producer.0);
                match committed {
                    Ok(()) => Answer::Committed,
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Request::LookUp(partition, offset) if offset < self.log.end(partition) => {
                let found = self.log.read(partition, offset, offset + 1);
                Answer::Record(found.into_iter().next())
            }
            // Not readable yet.
            Request::LookUp(..) => Answer::Refused(Refusal::Busy),
            Request::Ends => Answer::Ends(std::array::from_fn(|p| self.log.end(p))),
        };
        if self.nodes[node].process != process {
            return;
        }
        if matches!(answer, Answer::Refused(Refusal::Busy)) {
            // The Kafka client asks again by itself.
            let at = self.now + 5;
            let was_held = false;
            let event = Event::Request {
                id,
                request: again,
                was_held,
            };
            let at = self.nodes[node].hold(stream, self.now, at);
            return self.of_node(node, at, stream, event);
        }
        // An answer that is lost is asked for again, and comes late: Kafka knows the request by its sequence number.
        let is_lost = !self.is_calm && self.rng.one_in(40);
        let late = if is_lost {
            self.rng.within(500, 3000)
        } else {
            0
        };
        let answers = match stream {
            Stream::Produce(partition) => Stream::Answers(partition),
            other => other,
        };
        let at = self.now + self.latency() + late;
        let at = self.nodes[node].in_order(answers, at);
        self.of_node(node, at, answers, Event::Answer { id, answer });
    }

    /// The partitions of a transaction that is decided on get their markers, each in its time.
    fn end_transaction(&mut self, id: &str) {
        for partition in self.log.unmarked(id) {
            let at = self.now + self.latency();
            self.schedule(at, Elsewhere::Marker(id.to_owned(), partition));
        }
    }

    pub(super) fn marker(&mut self, id: &str, partition: usize) {
        self.log.mark(id, partition);
        self.grown(partition);
    }

    pub(super) fn gives_up(&mut self, id: &str, transaction: u64) {
        self.log.give_up(id, transaction);
        self.end_transaction(id);
    }

    /// There is more to read: every node's tail will, some later than others.
    fn grown(&mut self, partition: usize) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].process != 0 {
                self.fetch_soon(node, partition);
            }
        }
    }

    pub(super) fn fetch_soon(&mut self, node: usize, partition: usize) {
        let tail = &mut self.nodes[node].tails[partition];
        if tail.is_fetching || !tail.is_followed {
            return;
        }
        tail.is_fetching = true;
        let at = self.now + self.latency();
        let stream = Stream::Tail(partition);
        self.of_node(node, at, stream, Event::Fetch(partition));
    }

    fn fetched(&mut self, node: usize, partition: usize) {
        let from = self.nodes[node].tails[partition].next;
        let end = self.log.end(partition);
        let tail = &mut self.nodes[node].tails[partition];
        tail.is_fetching = false;
        tail.next = end;
        if partition < SESSION_PARTITIONS {
            for record in self.log.read(partition, from, end) {
                self.observe(node, &record);
            }
        }
    }

    /// The process of a node ends at once; `loses`: what it had on its way to Kafka, too.
    pub(super) fn kill(&mut self, node: usize, loses: bool) {
        let process = self.nodes[node].process;
        // Kafka takes nothing that comes behind a gap.
        if loses || self.nodes[node].holds(self.now) {
            self.cut.insert(process);
        }
        self.nodes[node] = Node::down(node);
    }
}

fn held(event: Event) -> Event {
    match event {
        Event::Request { id, request, .. } => Event::Request {
            id,
            request,
            was_held: true,
        },
        other => other,
    }
}

/// A process of a node, as its futures know it.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) world: Shared,
    pub(super) node: usize,
    pub(super) process: Process,
}

impl Here {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    /// Of this node's own.
    pub(super) fn node<T>(&self, act: impl FnOnce(&mut Node) -> T) -> T {
        act(&mut self.world.borrow_mut().nodes[self.node])
    }

    pub(super) fn now(&self) -> u64 {
        self.world.borrow().now
    }

    /// Waits until `look` finds something.
    pub(super) async fn until<T>(&self, mut look: impl FnMut(&mut World) -> Option<T>) -> T {
        poll_fn(|_| {
            let mut world = self.world.borrow_mut();
            match look(&mut world) {
                Some(found) => {
                    world.progressed = true;
                    Poll::Ready(found)
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// The node is polled at this time.
    pub(super) fn wake_at(&self, at: u64) {
        self.with(|world| {
            let id = world.new_id();
            world.of_node(self.node, at, Stream::Single(id), Event::Wake);
        });
    }

    pub(super) async fn ask(&self, request: Request) -> Answer {
        let id = self.with(|world| world.ask(self.node, request));
        self.until(|world| world.nodes[self.node].answers.remove(&id))
            .await
    }

    /// `None` when it takes too long; then it is dropped.
    pub(super) async fn within<T>(&self, ms: u64, work: impl Future<Output = T>) -> Option<T> {
        let deadline = self.now() + ms;
        self.wake_at(deadline);
        let mut work = std::pin::pin!(work);
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let mut world = self.world.borrow_mut();
            let is_late = world.now >= deadline;
            world.progressed |= is_late;
            match is_late {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }

    pub(super) fn spawn(&self, work: impl Future<Output = ()> + 'static) {
        self.node(|node| node.spawned.push(Box::pin(work)));
    }
}
