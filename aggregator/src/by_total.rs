//! The second stage: parts → totals. All parts of a total are in one partition; they are absolute, so a total is what the
//! newest of them add up to, and nothing but the parts needs to be stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fleet::totals::Json;
use fleet::{CompanyTotal, Frame};
use kafka::exactly_once::{Batch, Tasks};
use kafka::{Ends, Error, NewRecord, Position, Record, Settings};
use tokio::runtime::Handle;

use crate::run::Shared;
use crate::stored::{self, Total};
use crate::totals::minute::{self, Minute};
use crate::totals::part::Part;
use crate::totals::{cell, company, direction};

/// How long Kafka may be silent while we read from it.
const PATIENCE: Duration = Duration::from_secs(30);
/// A minute is left as it is when it ended so long before the newest: its parts may be gone. Half of what they are kept.
const MINUTE_SETTLED_MS: u64 = minute::KEPT_MS / 2;

/// Where totals go.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) parts_partitions: usize,
    pub(crate) company_topic: Arc<str>,
    pub(crate) direction_topic: Arc<str>,
    pub(crate) cell_topic: Arc<str>,
    pub(crate) minute_topic: Arc<str>,
    pub(crate) map_topic: Arc<str>,
}

/// The partitions that this instance has.
pub(crate) struct ByTotal {
    setup: Arc<Setup>,
    shared: Arc<Shared>,
    open: BTreeMap<i32, Task>,
}

type Published = BTreeMap<Total, Bytes>;

#[derive(Default)]
struct Task {
    parts: BTreeMap<Total, BTreeMap<i32, Bytes>>,
    changed: BTreeSet<Total>,
    newest_minute: u64,
    /// What Kafka had of the totals when this was opened; none when that was compared.
    published: Option<Arc<Published>>,
    next: i64,
    committed: i64,
}

impl ByTotal {
    pub(crate) fn new(setup: Arc<Setup>, shared: Arc<Shared>) -> Self {
        shared.companies.lock().clear();
        Self {
            setup,
            shared,
            open: BTreeMap::new(),
        }
    }

    fn read_published(&self) -> Result<Published, Error> {
        let setup = &self.setup;
        let mut published = Published::new();
        let kinds = [
            (&setup.company_topic, "company"),
            (&setup.direction_topic, "direction"),
            (&setup.cell_topic, "cell"),
            (&setup.minute_topic, "minute"),
        ];
        for (kafka_topic, kind) in kinds {
            Handle::current().block_on(settled(&setup.settings, kafka_topic))?;
            kafka::read_to_end(&setup.settings, kafka_topic, PATIENCE, |record| {
                let key = record.key.as_deref().map(String::from_utf8_lossy);
                // What is not a total's is not ours.
                let Some(Ok(total)) = key.map(|key| format!("{kind}/{key}").parse()) else {
                    return;
                };
                match record.value {
                    Some(value) => published.insert(total, value),
                    None => published.remove(&total),
                };
            })?;
        }
        Ok(published)
    }

    fn destination(&self, total: &Total) -> (&Arc<str>, String) {
        match total {
            Total::Company(company) => (&self.setup.company_topic, company.clone()),
            Total::Direction(direction) => (&self.setup.direction_topic, direction.to_string()),
            Total::Cell(cell) => (&self.setup.cell_topic, cell.to_string()),
            Total::Minute(start) => (&self.setup.minute_topic, start.to_string()),
            Total::Map(cell) => (&self.setup.map_topic, cell.to_string()),
        }
    }
}

/// Waits until the transactions that have written to a topic until now have ended there: what the owner before has
/// published is seen then.
async fn settled(settings: &Settings, kafka_topic: &str) -> Result<(), Error> {
    let written = Ends::uncommitted(settings)?
        .of(kafka_topic, PATIENCE)
        .await?;
    let committed = Ends::new(settings)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ends = committed.of(kafka_topic, PATIENCE).await?;
        let is_settled = ends.iter().zip(&written).all(|(is, was)| is.end >= was.end);
        if is_settled || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Tasks for ByTotal {
    /// Parts are read from the first one: they are the state.
    fn open(&mut self, partitions: &[(i32, Option<i64>)]) -> Result<Vec<Position>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        // Read anew each time: until now, others may have published for these partitions.
        let published = Arc::new(self.read_published()?);
        let start = |(partition, _): &(i32, Option<i64>)| {
            let task = Task {
                published: Some(Arc::clone(&published)),
                ..Task::default()
            };
            self.open.insert(*partition, task);
            Position {
                partition: *partition,
                offset: 0,
            }
        };
        Ok(partitions.iter().map(start).collect())
    }

    fn close(&mut self, partition: i32) {
        if let Some(task) = self.open.remove(&partition) {
            let mut companies = self.shared.companies.lock();
            for total in task.parts.keys() {
                if let Total::Company(company) = total {
                    companies.remove(company);
                }
            }
        }
    }

    fn record(&mut self, record: &Record) {
        let Some(task) = self.open.get_mut(&record.partition) else {
            return;
        };
        task.next = record.offset + 1;
        let key = record.key.as_deref().unwrap_or_default();
        if let Some((total, of)) = Total::of_part_key(key) {
            task.take(total, of, record.value.clone());
        }
    }

    fn at_end(&mut self, partition: i32) {
        let Some(task) = self.open.get_mut(&partition) else {
            return;
        };
        if let Some(published) = task.published.take() {
            task.mark_different(&published, |total| {
                total.partition(self.setup.parts_partitions) == partition
            });
        }
    }

    fn is_full(&self) -> bool {
        false
    }

    fn collect(&mut self) -> Batch {
        let mut batch = Batch::default();
        for (partition, task) in &self.open {
            if task.published.is_some() || (task.changed.is_empty() && task.next == task.committed)
            {
                continue;
            }
            for total in &task.changed {
                let (kafka_topic, key) = self.destination(total);
                batch.records.push(NewRecord {
                    kafka_topic: Arc::clone(kafka_topic),
                    partition: None,
                    key: key.into_bytes(),
                    value: task.value(total).map(Bytes::from),
                    headers: Vec::new(),
                });
            }
            batch.offsets.push(Position {
                partition: *partition,
                offset: task.next,
            });
        }
        batch
    }

    fn committed(&mut self) {
        let mut companies = self.shared.companies.lock();
        for task in self.open.values_mut() {
            if task.published.is_some() {
                continue;
            }
            for total in std::mem::take(&mut task.changed) {
                self.shared.metrics.totals_published.inc();
                if let Total::Company(company) = &total {
                    match task.company(&total, company) {
                        Some(now) => companies.insert(company.clone(), now),
                        None => companies.remove(company),
                    };
                }
            }
            task.committed = task.next;
        }
    }
}

impl Task {
    fn take(&mut self, total: Total, of: i32, value: Option<Bytes>) {
        let minute = match &total {
            Total::Minute(start) => Some(*start),
            _ => None,
        };
        if let Some(start) = minute {
            self.newest_minute = self.newest_minute.max(start);
            if minute::is_over(start, self.newest_minute, MINUTE_SETTLED_MS) || value.is_none() {
                self.parts.remove(&total);
                return;
            }
        }
        match value {
            Some(value) => {
                self.parts
                    .entry(total.clone())
                    .or_default()
                    .insert(of, value);
            }
            None => {
                if let Some(parts) = self.parts.get_mut(&total) {
                    parts.remove(&of);
                    if parts.is_empty() {
                        self.parts.remove(&total);
                    }
                }
            }
        }
        self.changed.insert(total);
    }

    /// Of all totals, those that differ from what is `published` are to be told; of the map, all that came: frames
    /// are not kept.
    fn mark_different(&mut self, published: &Published, is_ours: impl Fn(&Total) -> bool) {
        let newest_minute = self.newest_minute;
        let is_settled = |total: &Total| match total {
            Total::Minute(start) => minute::is_over(*start, newest_minute, MINUTE_SETTLED_MS),
            _ => false,
        };
        let changed = std::mem::take(&mut self.changed);
        let gone = published.keys().filter(|total| {
            let is_minute = matches!(total, Total::Minute(_));
            is_ours(total) && !is_minute && !self.parts.contains_key(total)
        });
        self.changed = changed
            .into_iter()
            .filter(|total| {
                let before = published.get(total).map(|value| &value[..]);
                !is_settled(total)
                    && (matches!(total, Total::Map(_)) || self.value(total).as_deref() != before)
            })
            .chain(gone.cloned())
            .collect();
    }

    /// What is published of a total; none is a tombstone.
    fn value(&self, total: &Total) -> Option<Vec<u8>> {
        match total {
            Total::Company(company) => self.company(total, company).map(|total| total.to_json()),
            Total::Direction(of) => self
                .sum(total)
                .map(|sum| direction::total(*of, &sum).to_json()),
            Total::Cell(of) => self.sum(total).map(|sum| cell::total(*of, &sum).to_json()),
            Total::Minute(start) => {
                let mut sum = Minute::default();
                self.parts_of::<Minute>(total)
                    .for_each(|part| sum.add(&part));
                (sum.messages > 0).then(|| minute::total(*start, &sum).to_json())
            }
            Total::Map(cell) => {
                let mut frame = Frame::default();
                for part in self.parts.get(total).into_iter().flatten() {
                    match Frame::decode(part.1, *cell) {
                        Ok(part) => frame.extend(part),
                        Err(error) => tracing::error!(%error, %cell, "a part that is no frame"),
                    }
                }
                // A cell that has emptied says so, and is not kept.
                Some(frame.encode(*cell))
            }
        }
    }

    fn company(&self, total: &Total, company: &str) -> Option<CompanyTotal> {
        self.sum(total).map(|sum| company::total(company, &sum))
    }

    fn sum(&self, total: &Total) -> Option<Part> {
        let mut sum = Part::default();
        self.parts_of::<Part>(total).for_each(|part| sum.add(&part));
        (sum.vehicles > 0).then_some(sum)
    }

    fn parts_of<T: serde::de::DeserializeOwned>(&self, total: &Total) -> impl Iterator<Item = T> {
        let parts = self.parts.get(total).into_iter().flatten();
        parts.filter_map(|(_, bytes)| stored::decode(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(vehicles: u64) -> Option<Bytes> {
        let part = Part {
            vehicles,
            ..Part::default()
        };
        Some(stored::encode(&part).into())
    }

    fn minute(messages: u64) -> Option<Bytes> {
        let minute = Minute {
            messages,
            speed_m_per_h: 0,
        };
        Some(stored::encode(&minute).into())
    }

    fn ada() -> Total {
        Total::Company("Ada".into())
    }

    #[test]
    fn a_total_is_what_its_newest_parts_add_up_to() {
        let mut task = Task::default();
        task.take(ada(), 0, part(2));
        task.take(ada(), 1, part(5));
        task.take(ada(), 1, part(3));
        assert_eq!(task.company(&ada(), "Ada").unwrap().vehicles, 5);
        task.take(ada(), 0, None);
        assert_eq!(task.company(&ada(), "Ada").unwrap().vehicles, 3);
        task.take(ada(), 1, None);
        assert_eq!(task.value(&ada()), None);
        assert!(task.changed.contains(&ada()));
    }

    #[test]
    fn only_what_differs_from_the_published_totals_is_told_again() {
        let mut task = Task::default();
        let company = |name: &str| Total::Company(name.into());
        for name in ["same", "other", "new"] {
            task.take(company(name), 0, part(1));
        }
        let cell = Total::Map("dr5ru".parse().unwrap());
        task.take(cell.clone(), 0, None);
        let json = |name: &str| Bytes::from(task.value(&company(name)).unwrap());
        let published = Published::from([
            (company("same"), json("same")),
            (company("other"), json("same")),
            (company("gone"), json("same")),
            (company("of another partition"), json("same")),
            (Total::Minute(0), json("same")),
        ]);
        let not_ours = company("of another partition");
        task.mark_different(&published, |total| *total != not_ours);
        let told: Vec<&Total> = task.changed.iter().collect();
        assert_eq!(
            told,
            [&company("gone"), &company("new"), &company("other"), &cell]
        );
        assert_eq!(task.value(&cell).unwrap().len(), 16, "an empty frame");
    }

    #[test]
    fn a_minute_that_is_long_over_stays_as_it_was_published() {
        let mut task = Task::default();
        let first = Total::Minute(0);
        task.take(first.clone(), 0, minute(2));
        task.take(first.clone(), 1, minute(3));
        let json = task.value(&first).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"minute":0,"messages":5,"meanSpeed":0.0}"#
        );
        task.changed.clear();
        task.take(Total::Minute(MINUTE_SETTLED_MS * 2), 0, minute(1));
        task.take(first.clone(), 0, None);
        task.take(first.clone(), 1, minute(9));
        assert_eq!(task.changed.len(), 1);
        assert!(!task.parts.contains_key(&first));
    }
}
