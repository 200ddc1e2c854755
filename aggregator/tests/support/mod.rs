//! A Kafka to test on, and what Kafka itself says the aggregator should have written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka::{Position, Producer, Record, Settings, ToSend};
use parking_lot::Mutex;
use serde_json::Value;

/// Generous: a busy machine may be ten times slower than a free one.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// The Kafka that `TEST_KAFKA` names, or an embedded one.
pub(crate) struct TestKafka {
    pub(crate) bootstrap_servers: String,
    _embedded: Option<(embedded_kafka::Server, tempfile::TempDir)>,
}

impl TestKafka {
    pub(crate) async fn start() -> Self {
        if let Ok(servers) = std::env::var("TEST_KAFKA")
            && !servers.is_empty()
        {
            return Self {
                bootstrap_servers: servers,
                _embedded: None,
            };
        }
        let dir = tempfile::tempdir().unwrap();
        let server = embedded_kafka::Server::start(embedded_kafka::Config::new(dir.path()))
            .await
            .unwrap();
        Self::running(server, dir)
    }

    /// One that was started for a test.
    pub(crate) fn running(server: embedded_kafka::Server, dir: tempfile::TempDir) -> Self {
        Self {
            bootstrap_servers: server.bootstrap_servers(),
            _embedded: Some((server, dir)),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(&self.bootstrap_servers)
    }
}

/// Topic names of one test: the Kafka may be shared, and may remember earlier runs.
#[derive(Clone)]
pub(crate) struct Topics {
    pub(crate) updates: String,
    pub(crate) company: String,
    pub(crate) dead_letters: String,
}

impl Topics {
    pub(crate) fn unique() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = format!(
            "{}-{}-{}",
            since_epoch.as_millis(),
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        Self {
            updates: format!("updates-{id}"),
            company: format!("company-{id}"),
            dead_letters: format!("dead-{id}"),
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Writes records and remembers where Kafka put each.
pub(crate) struct Writer {
    producer: Producer,
    topic: String,
    written: Arc<Mutex<Vec<Position>>>,
}

impl Writer {
    pub(crate) fn new(kafka: &TestKafka, topic: &str) -> Self {
        Self {
            producer: Producer::new(&kafka.settings(), 64 * 1024 * 1024).unwrap(),
            topic: topic.to_owned(),
            written: Arc::default(),
        }
    }

    pub(crate) fn write(&self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let written = Arc::clone(&self.written);
        let record = ToSend {
            kafka_topic: &self.topic,
            partition: None,
            key,
            value,
            headers: &[],
        };
        let on_delivery = Box::new(move |position: Result<Position, kafka::Error>| {
            written.lock().push(position.unwrap());
        });
        assert!(self.producer.send(&record, Some(on_delivery)).is_ok());
    }

    /// Waits until Kafka has all, and returns where; of one partition in the order of writing.
    pub(crate) async fn flush(&self) -> Vec<Position> {
        self.producer.flush(DEADLINE).await.unwrap();
        std::mem::take(&mut *self.written.lock())
    }
}

/// All records of a topic.
pub(crate) async fn read_all(kafka: &TestKafka, topic: &str) -> Vec<Record> {
    let (settings, topic) = (kafka.settings(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        kafka::read_to_end(&settings, &topic, DEADLINE, |record| records.push(record)).unwrap();
        records
    })
    .await
    .unwrap()
}

/// vehicles, hired, passengers, newest time
pub(crate) type Counts = (u64, u64, u64, u64);

/// Adds up the newest update of each plate, straight from Kafka and by the JSON alone.
pub(crate) async fn recount(kafka: &TestKafka, updates: &str) -> BTreeMap<String, (Counts, f64)> {
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    for record in read_all(kafka, updates).await {
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let Some(plate) = key.map(|key| key.into_owned()) else {
            continue;
        };
        match record.value.as_deref() {
            None | Some([]) => {
                newest.remove(&plate);
            }
            Some(value) => {
                if let Ok(json) = serde_json::from_slice::<Value>(value)
                    && json["plate"] == plate.as_str()
                    && json["speed"].as_f64().is_some_and(|speed| speed >= 0.0)
                {
                    newest.insert(plate, json);
                }
            }
        }
    }
    let mut sums: BTreeMap<String, (Counts, f64)> = BTreeMap::new();
    for json in newest.values() {
        let company = json["companyName"].as_str().unwrap().to_owned();
        let (counts, speeds) = sums.entry(company).or_default();
        counts.0 += 1;
        counts.1 += u64::from(json["isHired"].as_bool().unwrap());
        counts.2 += json["passengers"].as_u64().unwrap();
        counts.3 = counts.3.max(json["updateTimestamp"].as_u64().unwrap());
        *speeds += json["speed"].as_f64().unwrap();
    }
    for (counts, speed) in sums.values_mut() {
        #[expect(clippy::cast_precision_loss, reason = "few vehicles")]
        let vehicles = counts.0 as f64;
        *speed /= vehicles;
    }
    sums
}

/// What the aggregator published last, by company.
pub(crate) async fn published(kafka: &TestKafka, company: &str) -> BTreeMap<String, (Counts, f64)> {
    let mut newest = BTreeMap::new();
    for record in read_all(kafka, company).await {
        let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        match record.value {
            None => {
                newest.remove(&key);
            }
            Some(value) => {
                let json: Value = serde_json::from_slice(&value).unwrap();
                assert_eq!(json["company"], key.as_str());
                let number = |field: &str| json[field].as_u64().unwrap();
                let counts = (
                    number("vehicles"),
                    number("hired"),
                    number("passengers"),
                    number("updateTimestamp"),
                );
                newest.insert(key, (counts, json["meanSpeed"].as_f64().unwrap()));
            }
        }
    }
    newest
}

/// Whether the published totals are the recount; speeds are published to a hundredth of a km/h.
pub(crate) fn equal(
    published: &BTreeMap<String, (Counts, f64)>,
    recount: &BTreeMap<String, (Counts, f64)>,
) -> bool {
    published.len() == recount.len()
        && published.iter().zip(recount).all(|(a, b)| {
            let ((company_a, (counts_a, speed_a)), (company_b, (counts_b, speed_b))) = (a, b);
            company_a == company_b && counts_a == counts_b && (speed_a - speed_b).abs() < 0.011
        })
}
