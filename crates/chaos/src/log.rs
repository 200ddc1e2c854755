//! What happened in a run, as its clients and the keepers of its processes saw it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::checker::{Checker, Millis, Place};
use crate::fault::Target;

/// Events of one client that are kept: the newest.
const EVENTS_MAX: usize = 256;
/// Notes of each kind that are kept: the first.
const NOTES_MAX: usize = 20;

pub(crate) struct Log {
    began: Instant,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) checker: Checker,
    pub(crate) clients: Vec<OfClient>,
    /// In the order of their beginnings.
    pub(crate) faults: Vec<Happened>,
    /// How often connections were lost or refused, by reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Sessions that a server had and has no more.
    pub(crate) sessions_lost: Notes,
    /// Packets that are not right.
    pub(crate) violations: Notes,
    /// Processes that ended by themselves in a way that nothing explains.
    pub(crate) crashes: Notes,
}

/// What is known of a client.
#[derive(Default)]
pub(crate) struct OfClient {
    pub(crate) is_subscribed: bool,
    pub(crate) in_flight: usize,
    pub(crate) events: VecDeque<Event>,
    /// The longest time from the last packet of a connection to the next CONNACK, and when that came.
    pub(crate) longest_gap: (Duration, Millis),
}

/// A connection began, ended or was refused.
pub(crate) struct Event {
    pub(crate) place: Place,
    pub(crate) what: String,
    /// How often in a row, on whatever node: the place is that of the last time.
    pub(crate) times: u32,
}

/// Something that happened to a process.
pub(crate) struct Happened {
    pub(crate) target: Target,
    pub(crate) what: String,
    pub(crate) from: Millis,
    pub(crate) until: Option<Millis>,
}

/// A count, and the first of what is counted.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) count: u64,
    pub(crate) first: Vec<String>,
}

impl Notes {
    fn add(&mut self, note: String) {
        self.count += 1;
        if self.first.len() < NOTES_MAX {
            self.first.push(note);
        }
    }
}

impl Log {
    pub(crate) fn new(clients: usize) -> Self {
        Self {
            began: Instant::now(),
            inner: Mutex::new(Inner {
                checker: Checker::new(clients),
                clients: (0..clients).map(|_| OfClient::default()).collect(),
                faults: Vec::new(),
                reasons: BTreeMap::new(),
                sessions_lost: Notes::default(),
                violations: Notes::default(),
                crashes: Notes::default(),
            }),
        }
    }

    pub(crate) fn now(&self) -> Millis {
        self.began.elapsed().as_millis() as Millis
    }

    pub(crate) fn place(&self, node: usize) -> Place {
        Place {
            at: self.now(),
            node,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub(crate) fn client(&self, client: usize) -> MappedMutexGuard<'_, OfClient> {
        MutexGuard::map(self.lock(), |inner| &mut inner.clients[client])
    }

    /// A connection began or ended.
    pub(crate) fn event(&self, client: usize, node: usize, what: String) {
        let place = self.place(node);
        let mut of_client = self.client(client);
        let last = of_client.events.back_mut();
        if let Some(last) = last.filter(|last| last.what == what) {
            last.place = place;
            last.times += 1;
            return;
        }
        if of_client.events.len() == EVENTS_MAX {
            of_client.events.pop_front();
        }
        of_client.events.push_back(Event {
            place,
            what,
            times: 1,
        });
    }

    /// A connection was lost or refused.
    pub(crate) fn failed(&self, client: usize, node: usize, reason: &str) {
        self.event(client, node, reason.to_owned());
        let mut inner = self.lock();
        *inner.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    pub(crate) fn session_lost(&self, client: usize, node: usize) {
        let note = format!("{} client {client} on {}", self.text_now(), broker(node));
        self.lock().sessions_lost.add(note);
    }

    pub(crate) fn violation(&self, client: usize, node: usize, what: &str) {
        let now = self.text_now();
        let note = format!("{now} client {client} on {}: {what}", broker(node));
        self.lock().violations.add(note);
    }

    /// A process ended by itself, and that is a mistake.
    pub(crate) fn crash(&self, target: Target, what: &str) {
        let note = format!("{} {target}: {what}", self.text_now());
        self.lock().crashes.add(note);
    }

    fn text_now(&self) -> String {
        seconds(self.now())
    }

    /// Something begins to happen to a process; returns its number.
    pub(crate) fn begins(&self, target: Target, what: String) -> usize {
        let from = self.now();
        eprintln!("{} {target}: {what}", seconds(from));
        let mut inner = self.lock();
        inner.faults.push(Happened {
            target,
            what,
            from,
            until: None,
        });
        inner.faults.len() - 1
    }

    /// It is over, and the process does its work again.
    pub(crate) fn is_over(&self, number: usize) {
        let now = self.now();
        let mut inner = self.lock();
        let fault = &mut inner.faults[number];
        fault.until = Some(now);
        eprintln!("{} {}: is back", seconds(now), fault.target);
    }
}

/// A broker's name.
pub(crate) fn broker(node: usize) -> Target {
    Target::Broker(node)
}

/// A time since the beginning.
pub(crate) fn seconds(at: Millis) -> String {
    format!("{:8.3} s", at as f64 / 1000.0)
}
