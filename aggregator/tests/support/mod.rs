//! A Kafka to test on.

pub(crate) mod recount;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kafka::{Position, Producer, Record, Settings, ToSend};
use parking_lot::Mutex;

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
    pub(crate) group: String,
    pub(crate) updates: String,
    pub(crate) company: String,
    pub(crate) direction: String,
    pub(crate) cell: String,
    pub(crate) minute: String,
    pub(crate) alerts: String,
    pub(crate) map: String,
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
            group: format!("group-{id}"),
            updates: format!("updates-{id}"),
            company: format!("company-{id}"),
            direction: format!("direction-{id}"),
            cell: format!("cell-{id}"),
            minute: format!("minute-{id}"),
            alerts: format!("alerts-{id}"),
            map: format!("map-{id}"),
            dead_letters: format!("dead-{id}"),
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    assert!(
        within_deadline(condition).await,
        "not in {DEADLINE:?}: {what}"
    );
}

/// Whether `condition` holds at last.
pub(crate) async fn within_deadline(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    true
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
