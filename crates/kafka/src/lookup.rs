//! Reads single records by their offsets: many requests that come together share the reading.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::cursor::{Cursor, Found};
use crate::{Error, Fetched, Record, Settings, thread};

/// Requests that wait at most; who comes then waits for a place.
const REQUESTS_MAX: usize = 1024;
/// A gap of so many records is jumped over; a smaller one is read through, which is faster. A guess.
const GAP_MAX: i64 = 2000;
/// What is read ahead of the wanted records at most, in bytes.
const AHEAD_BYTES: usize = 256 * 1024;

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The Kafka topic.
    pub kafka_topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
}

/// Finds records. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Lookup {
    requests: mpsc::Sender<Request>,
}

struct Request {
    places: Vec<Place>,
    answer: oneshot::Sender<Result<Vec<Option<Record>>, Error>>,
}

impl Lookup {
    /// Starts the thread. A request fails when Kafka says nothing for `patience`.
    ///
    /// # Errors
    /// A user's setting that librdkafka does not take, or no thread can be started.
    pub fn start(
        settings: &Settings,
        patience: Duration,
        fetched: &Fetched,
    ) -> Result<Self, Error> {
        let cursor = Cursor::new(settings, AHEAD_BYTES, fetched)?;
        let (requests, waiting) = mpsc::channel(REQUESTS_MAX);
        let servers = settings.bootstrap_servers().to_owned();
        thread::spawn("kafka-lookup", move || {
            serve(cursor, waiting, patience, &servers);
        })?;
        Ok(Self { requests })
    }

    /// The records at `places`, in their order; `None` where there is none any more.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn read(&self, places: Vec<Place>) -> Result<Vec<Option<Record>>, Error> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let gone = || Error::Unreachable {
            servers: "kafka".into(),
            reason: "its reader has ended".into(),
        };
        let request = Request { places, answer };
        self.requests.send(request).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn serve(
    mut cursor: Cursor,
    mut waiting: mpsc::Receiver<Request>,
    patience: Duration,
    servers: &str,
) {
    let mut requests = Vec::new();
    while waiting.blocking_recv_many(&mut requests, REQUESTS_MAX) > 0 {
        let mut wanted: BTreeMap<(Arc<str>, i32), BTreeSet<i64>> = BTreeMap::new();
        for place in requests.iter().flat_map(|request| &request.places) {
            wanted
                .entry((Arc::clone(&place.kafka_topic), place.partition))
                .or_default()
                .insert(place.offset);
        }
        let mut found = HashMap::new();
        let mut failed = None;
        for ((kafka_topic, partition), offsets) in wanted {
            let read = read_partition(&mut cursor, &kafka_topic, partition, &offsets, patience);
            match read {
                Ok(records) => {
                    found.extend(records.into_iter().map(|record| {
                        ((Arc::clone(&kafka_topic), partition, record.offset), record)
                    }))
                }
                Err(error) => failed = Some(error.to_string()),
            }
        }
        if let Err(error) = cursor.rest() {
            tracing::warn!(%error, "looking up records");
        }
        for request in requests.drain(..) {
            let answer = match &failed {
                Some(reason) => Err(Error::Unreachable {
                    servers: servers.to_owned(),
                    reason: reason.clone(),
                }),
                None => Ok(request
                    .places
                    .iter()
                    .map(|place| {
                        let at = (
                            Arc::clone(&place.kafka_topic),
                            place.partition,
                            place.offset,
                        );
                        found.get(&at).cloned()
                    })
                    .collect()),
            };
            // Who asked may be gone, as a client that left meanwhile.
            let _gone = request.answer.send(answer);
        }
    }
}

/// The records at `offsets`, as far as they are there.
fn read_partition(
    cursor: &mut Cursor,
    kafka_topic: &Arc<str>,
    partition: i32,
    offsets: &BTreeSet<i64>,
    patience: Duration,
) -> Result<Vec<Record>, Error> {
    let mut records = Vec::new();
    let mut offsets = offsets.iter().copied().peekable();
    let Some(first) = offsets.peek() else {
        return Ok(records);
    };
    cursor.seek(kafka_topic, partition, *first)?;
    let mut last_news = Instant::now();
    while let Some(wanted) = offsets.peek().copied() {
        match cursor.next(Duration::from_millis(100)) {
            Ok(Found::Record(record)) => {
                last_news = Instant::now();
                let at = record.offset;
                if at == wanted {
                    records.push(record);
                }
                // What lies before is compacted away or out of its retention.
                while offsets.next_if(|offset| *offset <= at).is_some() {}
                if let Some(next) = offsets.peek()
                    && next - at > GAP_MAX
                {
                    cursor.seek(kafka_topic, partition, *next)?;
                }
            }
            Ok(Found::End) => break,
            Ok(Found::Nothing) if last_news.elapsed() < patience => {}
            Err(error) if last_news.elapsed() < patience => {
                tracing::debug!(%error, "looking up records");
            }
            Err(error) => return Err(error),
            Ok(Found::Nothing) => {
                return Err(Error::NoTopic(format!(
                    "{kafka_topic} partition {partition}: no answer for {patience:?}"
                )));
            }
        }
    }
    Ok(records)
}
