//! Catching up is shared: whoever is behind in a partition is served by one sweep of it.
//!
//! A sweep starts at the lowest offset that is wanted, gives each record to all who are behind and want it, picks up
//! others as it passes the offsets where they are, and puts each back on the tail when it has caught up with that. A
//! reader that has no room is dropped and asks again; only when it is the last one, the sweep waits for it. There are few
//! sweeps at a time, each a thread with a consumer of its own, and partitions wait for their turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka::{Cursor, Fetched, Found, Record, Settings, Tail};
use parking_lot::{Condvar, Mutex};

use crate::logs::Logs;
use crate::mailbox::{Mailbox, Swept};
use crate::metrics::Metrics;
use crate::replay::Replay;

/// Sweeps at a time. A guess: one partition is read at several 100,000 records/s.
const SWEEPS: usize = 2;
/// What a sweep fetches ahead at most.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
/// How often, in records, a sweep looks who has reached the tail.
const LOOK_EVERY: u32 = 256;
/// How long a sweep waits for readers that come together, as after a restart, before it starts.
const GATHER: Duration = Duration::from_millis(20);
/// How long a sweep waits for its last reader to make room before it gives way to other partitions.
const PATIENCE: Duration = Duration::from_millis(200);

/// Somebody who is behind.
#[derive(Clone)]
pub(crate) enum Reader {
    Session(Arc<Mailbox>),
    Replay(Arc<Replay>),
}

/// Where readers ask for sweeps.
pub(crate) struct CatchUp {
    shared: Arc<Shared>,
    threads: Mutex<Vec<kafka::thread::Thread>>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// Somebody has asked, has made room, or the end has come.
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Logs that no sweep works on, in the order of their turn.
    turn: VecDeque<u32>,
    /// By log: who wants it and from where. A log that is swept right now has its entry, too.
    by_log: BTreeMap<u32, Vec<(i64, Reader)>>,
    swept: Vec<u32>,
    is_ending: bool,
}

/// What the sweeps need of the node.
pub(crate) struct Sweeping {
    pub(crate) logs: Arc<Logs>,
    pub(crate) tail: Arc<Tail>,
    pub(crate) metrics: Arc<Metrics>,
    /// Gives a record to all who are behind.
    pub(crate) give: Box<dyn Fn(&Record) -> Swept + Send + Sync>,
}

impl CatchUp {
    /// Starts the threads.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take, or no thread can be started.
    pub(crate) fn start(settings: &Settings, sweeping: Sweeping) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            news: Condvar::new(),
        });
        let sweeping = Arc::new(sweeping);
        let mut threads = Vec::new();
        for _ in 0..SWEEPS {
            let fetched = Fetched::default();
            let cursor = Cursor::new(settings, AHEAD_BYTES, &fetched)?;
            sweeping.metrics.add_fetched("catch-up", &fetched);
            let mut sweep = Sweep {
                shared: Arc::clone(&shared),
                sweeping: Arc::clone(&sweeping),
                cursor,
            };
            threads.push(kafka::thread::spawn("kafka-catch-up", move || sweep.run())?);
        }
        Ok(Self {
            shared,
            threads: Mutex::new(threads),
        })
    }

    /// A reader wants logs, each from an offset on.
    pub(crate) fn ask(&self, reader: &Reader, wanted: Vec<(u32, i64)>) {
        if wanted.is_empty() {
            return;
        }
        let mut waiting = self.shared.waiting.lock();
        for (log, next) in wanted {
            waiting.add(log, next, reader.clone());
        }
        self.shared.news.notify_all();
    }

    /// Somebody who is behind has made room.
    pub(crate) fn made_room(&self) {
        self.shared.news.notify_all();
    }

    /// Ends the threads.
    pub(crate) fn stop(&self) {
        self.shared.waiting.lock().is_ending = true;
        self.shared.news.notify_all();
        for thread in self.threads.lock().drain(..) {
            thread.join();
        }
    }
}

impl Drop for CatchUp {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Waiting {
    fn add(&mut self, log: u32, next: i64, reader: Reader) {
        self.by_log.entry(log).or_default().push((next, reader));
        if !self.swept.contains(&log) && !self.turn.contains(&log) {
            self.turn.push_back(log);
        }
    }
}

impl Reader {
    fn join(&self, log: u32, swept_to: i64, is_end: bool, tail: &kafka::Progress) -> bool {
        match self {
            Self::Session(mailbox) => mailbox.join(log, swept_to, is_end, tail),
            Self::Replay(replay) => replay.join(log, swept_to, is_end, tail),
        }
    }

    fn admitted(&self, log: u32) {
        match self {
            Self::Session(mailbox) => mailbox.admitted(log),
            Self::Replay(replay) => replay.admitted(log),
        }
    }

    fn dropped(&self, log: u32, only_full: bool) -> bool {
        match self {
            Self::Session(mailbox) => mailbox.dropped(log, only_full),
            Self::Replay(replay) => replay.dropped(log, only_full),
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Self::Session(mailbox) => mailbox.wants_close(),
            Self::Replay(replay) => replay.is_gone(),
        }
    }
}

struct Sweep {
    shared: Arc<Shared>,
    sweeping: Arc<Sweeping>,
    cursor: Cursor,
}

impl Sweep {
    fn run(&mut self) {
        while let Some(log) = self.next_log() {
            let mut readers = Vec::new();
            if let Err(error) = self.sweep(log, &mut readers) {
                tracing::warn!(%error, "catching up");
            }
            // Who is left asks again.
            for reader in readers {
                reader.dropped(log, false);
            }
            if let Err(error) = self.cursor.rest() {
                tracing::warn!(%error, "catching up");
            }
            let mut waiting = self.shared.waiting.lock();
            waiting.swept.retain(|swept| *swept != log);
            if waiting.by_log.contains_key(&log) {
                waiting.turn.push_back(log);
            }
            self.shared.news.notify_all();
        }
    }

    fn next_log(&self) -> Option<u32> {
        let mut waiting = self.shared.waiting.lock();
        loop {
            if waiting.is_ending {
                return None;
            }
            if let Some(log) = waiting.turn.pop_front() {
                waiting.swept.push(log);
                // Those who come together start together.
                let deadline = Instant::now() + GATHER;
                while !waiting.is_ending
                    && !self
                        .shared
                        .news
                        .wait_until(&mut waiting, deadline)
                        .timed_out()
                {}
                return Some(log);
            }
            self.shared.news.wait(&mut waiting);
        }
    }

    /// Sweeps one log until nobody needs it any more, or others need the thread more.
    fn sweep(&mut self, log: u32, readers: &mut Vec<Reader>) -> Result<(), kafka::Error> {
        let sweeping = Arc::clone(&self.sweeping);
        let (kafka_topic, partition) = sweeping.logs.name(log);
        // Everything before this offset has been given.
        let mut at = i64::MAX;
        let mut since_look = 0;
        sweeping.metrics.sweeps.inc();
        loop {
            if self.admit(log, readers, &mut at) {
                self.cursor.seek(kafka_topic, partition, at)?;
            }
            if readers.is_empty() {
                return Ok(());
            }
            let is_end = match self.cursor.next(PATIENCE) {
                Ok(Found::Record(record)) => {
                    if !self.give(&record, log, readers) {
                        return Ok(());
                    }
                    at = record.offset + 1;
                    sweeping.metrics.swept_records.inc();
                    since_look += 1;
                    if since_look < LOOK_EVERY {
                        continue;
                    }
                    false
                }
                Ok(Found::End) => true,
                Ok(Found::Nothing) => false,
                Err(error) => {
                    tracing::debug!(%error, "catching up");
                    false
                }
            };
            since_look = 0;
            let looked = sweeping.tail.progress(kafka_topic, |all| {
                let tail = all.get(partition as usize)?.as_ref()?;
                readers.retain(|reader| !reader.join(log, at, is_end, tail));
                Some(())
            });
            if looked.flatten().is_none() || self.shared.waiting.lock().is_ending {
                // Nobody on this node wants the partition any more.
                return Ok(());
            }
        }
    }

    /// Takes in who has asked meanwhile. Those who want earlier records wait for the next sweep, unless they are more
    /// than those here: then it starts again, and who has got the records already is passed over. So the whole costs
    /// about one reading, however they come. Returns whether the cursor has to go to `at`.
    fn admit(&self, log: u32, readers: &mut Vec<Reader>, at: &mut i64) -> bool {
        let mut waiting = self.shared.waiting.lock();
        let Some(asked) = waiting.by_log.remove(&log) else {
            return false;
        };
        let (later, earlier): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|(next, _)| *next >= *at);
        for (_, reader) in later {
            reader.admitted(log);
            readers.push(reader);
        }
        if earlier.is_empty() {
            return false;
        }
        if earlier.len() <= readers.len() {
            waiting.by_log.insert(log, earlier);
            return false;
        }
        for (next, reader) in earlier {
            *at = (*at).min(next);
            reader.admitted(log);
            readers.push(reader);
        }
        true
    }

    /// Gives a record to all who want it. Who has no room is dropped, but for the last one, for which the sweep waits.
    /// Returns whether to go on.
    fn give(&self, record: &Record, log: u32, readers: &mut Vec<Reader>) -> bool {
        let mut since = Instant::now();
        while (self.sweeping.give)(record) == Swept::Full {
            let before = readers.len();
            if before > 1 {
                readers.retain(|reader| !reader.dropped(log, true));
                if readers.len() < before {
                    continue;
                }
            }
            let mut waiting = self.shared.waiting.lock();
            let others_wait = !waiting.turn.is_empty() || waiting.by_log.contains_key(&log);
            if waiting.is_ending || (others_wait && since.elapsed() >= PATIENCE) {
                return false;
            }
            self.shared.news.wait_for(&mut waiting, PATIENCE);
            drop(waiting);
            if readers.iter().all(|reader| reader.is_gone()) {
                return false;
            }
            if !others_wait {
                since = Instant::now();
            }
        }
        true
    }
}
