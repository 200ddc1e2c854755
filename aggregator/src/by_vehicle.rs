//! The first stage: positions → what is known of each vehicle → the parts of the totals. One task for each partition of
//! the positions, on whatever instance has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fleet::totals::Json;
use fleet::{Alert, Frame};
use kafka::exactly_once::{Batch, Tasks};
use kafka::{Cursor, Error, Fetched, Found, NewRecord, Position, Record, Settings};

use crate::alerts::Limits;
use crate::dead_letter;
use crate::run::Shared;
use crate::state::State;
use crate::stored::{self, Progress, Total};
use crate::totals::map;
use crate::update::Update;

/// A commit is due when so many records wait for one, or so many bytes of dead letters.
const RECORDS_MAX: usize = 100_000;
const LETTERS_MAX: usize = 1_000;
/// How often it is looked who is silent.
const SILENCE_INTERVAL: Duration = Duration::from_secs(1);
/// How long Kafka may be silent while the state is read, and how long what is stored may lag behind what is committed.
const PATIENCE: Duration = Duration::from_secs(30);
/// The reader of the state fetches so much ahead.
const AHEAD_BYTES: usize = 4 * 1024 * 1024;

/// Names and numbers that do not change while it runs.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) state_topic: Arc<str>,
    pub(crate) parts_topic: Arc<str>,
    pub(crate) parts_partitions: usize,
    pub(crate) alerts_topic: Arc<str>,
    pub(crate) dead_letters_topic: Arc<str>,
    pub(crate) limits: Limits,
    pub(crate) lateness_ms: u64,
}

/// The partitions that this instance has.
pub(crate) struct ByVehicle {
    setup: Arc<Setup>,
    shared: Arc<Shared>,
    cursor: Cursor,
    open: BTreeMap<i32, Task>,
    records: usize,
    letters: usize,
    silence_looked_at: Instant,
}

struct Task {
    state: State,
    letters: Vec<NewRecord>,
    /// The next record wanted, and the one that was wanted when the last commit was made.
    next: i64,
    committed: i64,
    /// All that Kafka holds has come.
    is_at_end: bool,
}

impl ByVehicle {
    pub(crate) fn new(setup: Arc<Setup>, shared: Arc<Shared>) -> Result<Self, Error> {
        let cursor = Cursor::new(&setup.settings, AHEAD_BYTES, &Fetched::default())?;
        shared.next.lock().clear();
        Ok(Self {
            setup,
            shared,
            cursor,
            open: BTreeMap::new(),
            records: 0,
            letters: 0,
            silence_looked_at: Instant::now(),
        })
    }

    /// Reads what is stored about a partition. It was stored together with what the group has committed, but the end of
    /// that transaction may not have come to this topic yet: then it is read again.
    fn restore(
        &mut self,
        partition: i32,
        committed: Option<i64>,
    ) -> Result<(State, Option<Progress>), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (mut state, progress) = self.read(partition, deadline)?;
            let is_behind = committed.is_some_and(|committed| {
                progress.is_none_or(|progress| progress.offset < committed)
            });
            if is_behind && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            if is_behind {
                tracing::warn!(
                    partition,
                    "what is stored is behind what is committed: is {} a new topic?",
                    self.setup.state_topic
                );
            }
            state.restored();
            return Ok((state, progress));
        }
    }

    fn read(
        &mut self,
        partition: i32,
        deadline: Instant,
    ) -> Result<(State, Option<Progress>), Error> {
        let mut state = State::new(self.setup.limits, self.setup.lateness_ms);
        let mut progress = None;
        self.cursor.seek(&self.setup.state_topic, partition, 0)?;
        let end = loop {
            match self.cursor.next(Duration::from_millis(100)) {
                Ok(Found::Record(record)) => {
                    let key = record.key.as_deref().unwrap_or_default();
                    let found = stored::restore(&mut state, key, record.value.as_deref());
                    progress = found.or(progress);
                }
                Ok(Found::End) => break Ok(()),
                Ok(Found::Nothing) if Instant::now() < deadline => {}
                Ok(Found::Nothing) => {
                    break Err(Error::Unreachable {
                        servers: self.setup.settings.bootstrap_servers().to_owned(),
                        reason: format!("{} sent nothing for {PATIENCE:?}", self.setup.state_topic),
                    });
                }
                Err(error) if Instant::now() >= deadline => break Err(error),
                // A broker that is just restarting: the client tries again.
                Err(error) => tracing::debug!(%error, "reading the state"),
            }
        };
        self.cursor.rest()?;
        end.map(|()| (state, progress))
    }

    /// Whether Kafka has answered for so long that a vehicle which sends would have been seen: while Kafka is away nobody
    /// is silent.
    fn all_would_have_come(&self) -> bool {
        let needed = Duration::from_millis(self.setup.limits.silent_after_ms);
        let answers_since = *self.shared.answers_since.lock();
        answers_since.is_some_and(|since| since.elapsed() >= needed)
    }

    fn count_vehicles(&self) {
        let counted = self.open.values().map(|task| task.state.counted()).sum();
        self.shared.set_vehicles(counted);
    }
}

impl Tasks for ByVehicle {
    fn open(&mut self, partitions: &[(i32, Option<i64>)]) -> Result<Vec<Position>, Error> {
        let mut starts = Vec::new();
        for (partition, committed) in partitions.iter().copied() {
            let (state, progress) = self.restore(partition, committed)?;
            let next = progress.map(|progress| progress.offset).or(committed);
            let next = next.unwrap_or(0);
            tracing::debug!(
                partition,
                offset = next,
                vehicles = state.counted(),
                "counting"
            );
            self.shared.next.lock().insert(partition, next);
            self.open.insert(
                partition,
                Task {
                    state,
                    letters: Vec::new(),
                    next,
                    committed: next,
                    is_at_end: false,
                },
            );
            starts.push(Position {
                partition,
                offset: next,
            });
        }
        self.count_vehicles();
        Ok(starts)
    }

    fn close(&mut self, partition: i32) {
        self.open.remove(&partition);
        self.shared.next.lock().remove(&partition);
        self.count_vehicles();
    }

    fn record(&mut self, record: &Record) {
        let Some(task) = self.open.get_mut(&record.partition) else {
            return;
        };
        task.next = record.offset + 1;
        task.is_at_end = false;
        self.records += 1;
        match Update::read(record) {
            Ok(update) => {
                // A producer may write any time into a record; the future is not believed.
                let seen_ms = u64::try_from(record.timestamp_ms).unwrap_or(0);
                if !task.state.apply(update, seen_ms.min(now_ms())) {
                    self.shared.metrics.late_records.inc();
                }
                self.shared.metrics.records.inc();
            }
            Err(invalid) => {
                self.shared.metrics.invalid_records.inc();
                let topic = &self.setup.dead_letters_topic;
                task.letters
                    .push(dead_letter::letter(topic, record, &invalid.to_string()));
                self.letters += 1;
            }
        }
    }

    fn at_end(&mut self, partition: i32) {
        if let Some(task) = self.open.get_mut(&partition) {
            task.is_at_end = true;
        }
    }

    fn is_full(&self) -> bool {
        self.records >= RECORDS_MAX || self.letters >= LETTERS_MAX
    }

    fn collect(&mut self) -> Batch {
        if self.silence_looked_at.elapsed() >= SILENCE_INTERVAL {
            self.silence_looked_at = Instant::now();
            let is_known = self.all_would_have_come();
            for task in self.open.values_mut() {
                if task.is_at_end && is_known {
                    task.state.all_came(now_ms());
                }
                task.state.drop_silent();
            }
        }
        let mut batch = Batch::default();
        for (partition, task) in &self.open {
            task.collect(*partition, &self.setup, &mut batch);
        }
        let mut next = self.shared.next.lock();
        for (partition, task) in &self.open {
            next.insert(*partition, task.next);
        }
        batch
    }

    fn committed(&mut self) {
        self.records = 0;
        self.letters = 0;
        for task in self.open.values_mut() {
            let letters = u64::try_from(task.letters.len()).unwrap_or(0);
            self.shared.metrics.dead_letters.inc_by(letters);
            task.committed = task.next;
            task.letters.clear();
            task.state.told();
        }
        self.count_vehicles();
    }
}

impl Task {
    fn collect(&self, partition: i32, setup: &Setup, batch: &mut Batch) {
        let before = batch.records.len();
        let mut put = |topic: &Arc<str>, to: Option<i32>, key: String, value: Option<Vec<u8>>| {
            batch.records.push(NewRecord {
                kafka_topic: Arc::clone(topic),
                partition: to,
                key: key.into_bytes(),
                value: value.map(Into::into),
                headers: Vec::new(),
            });
        };
        let state = &self.state;
        for (plate, known) in state.changed() {
            let value = known.map(stored::encode);
            put(
                &setup.state_topic,
                Some(partition),
                plate.to_string(),
                value,
            );
        }
        let mut part = |total: &Total, value| {
            let to = total.partition(setup.parts_partitions);
            put(
                &setup.parts_topic,
                Some(to),
                total.part_key(partition),
                value,
            );
        };
        for (company, sum) in state.companies.0.changed() {
            part(&Total::Company(company.clone()), stored::part(sum));
        }
        for (direction, sum) in state.directions.0.changed() {
            part(&Total::Direction(*direction), stored::part(sum));
        }
        for (cell, sum) in state.cells.0.changed() {
            part(&Total::Cell(*cell), stored::part(sum));
        }
        for (start, minute) in state.minutes.changed() {
            part(
                &Total::Minute(start),
                minute.map(|minute| stored::encode(&minute)),
            );
        }
        for (cell, plates) in state.map.changed() {
            let frame = plates.map(|plates| {
                let mut frame = Frame::default();
                for plate in plates {
                    if let Some(known) = state.known(plate) {
                        let (vehicle, alerts) = (&known.vehicle, &known.alerts);
                        map::list(&mut frame, plate, vehicle, alerts, known.seen_ms);
                    }
                }
                frame.encode(cell)
            });
            part(&Total::Map(cell), frame);
        }
        for (start, minute) in state.minutes.changed() {
            let value = minute.map(|minute| stored::encode(&minute));
            put(
                &setup.state_topic,
                Some(partition),
                stored::minute_key(start),
                value,
            );
        }
        for alert in state.alerts() {
            let key = alert_key(alert);
            put(
                &setup.alerts_topic,
                None,
                key.clone(),
                Some(alert.to_json()),
            );
            if alert.ended_at.is_some() {
                // It is told and then no more retained.
                put(&setup.alerts_topic, None, key, None);
            }
        }
        batch.records.extend_from_slice(&self.letters);
        if batch.records.len() == before && self.next == self.committed {
            return;
        }
        let progress = Progress {
            offset: self.next,
            newest_ms: state.minutes.newest_ms(),
        };
        batch.records.push(NewRecord {
            kafka_topic: Arc::clone(&setup.state_topic),
            partition: Some(partition),
            key: stored::NEXT.into(),
            value: Some(stored::encode(&progress).into()),
            headers: Vec::new(),
        });
        batch.offsets.push(Position {
            partition,
            offset: self.next,
        });
    }
}

/// `<kind>/<plate>`: the end of the MQTT topic.
fn alert_key(alert: &Alert) -> String {
    format!("{}/{}", alert.kind, alert.plate)
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
