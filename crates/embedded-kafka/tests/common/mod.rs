//! A server, clients for it, and waiting for conditions.
#![allow(dead_code)] // each test binary uses its part

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use embedded_kafka::{Config, Server};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Longer than any busy machine needs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A server that cleans up eagerly.
pub(crate) async fn start(dir: &Path) -> Server {
    let config = Config {
        cleanup_interval: Duration::from_millis(50),
        ..Config::new(dir)
    };
    Server::start(config).await.unwrap()
}

pub(crate) fn client(bootstrap: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config
}

pub(crate) fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    client(bootstrap, &[]).create().unwrap()
}

pub(crate) async fn create(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let created = admin(bootstrap)
        .create_topics(&[new], &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(created, [Ok(topic.to_owned())]);
}

pub(crate) fn producer(bootstrap: &str, settings: &[(&str, &str)]) -> FutureProducer {
    client(
        bootstrap,
        &[("message.timeout.ms", "30000")]
            .iter()
            .chain(settings)
            .copied()
            .collect::<Vec<_>>(),
    )
    .create()
    .unwrap()
}

/// Produces one record and waits for its acknowledgement: its offset.
pub(crate) async fn put(
    producer: &FutureProducer,
    topic: &str,
    key: &str,
    value: Option<&str>,
) -> i64 {
    let mut record = FutureRecord::<str, str>::to(topic).key(key).partition(0);
    record.payload = value;
    producer.send(record, DEADLINE).await.unwrap().offset
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) timestamp: Option<i64>,
}

/// Everything of partition 0, from the start to the end of the partition.
pub(crate) async fn read(bootstrap: &str, topic: &str, settings: &[(&str, &str)]) -> Vec<Record> {
    let fixed = [
        ("group.id", "reader"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
    ];
    let all: Vec<_> = fixed.iter().chain(settings).copied().collect();
    let consumer: BaseConsumer = client(bootstrap, &all).create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&assignment).unwrap();
    tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        loop {
            match consumer.poll(DEADLINE).expect("the end of the partition") {
                Err(KafkaError::PartitionEOF(_)) => return records,
                message => records.push(record(&message.unwrap())),
            }
        }
    })
    .await
    .unwrap()
}

pub(crate) fn record(message: &impl Message) -> Record {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Record {
        offset: message.offset(),
        key: message.key().map(text).unwrap_or_default(),
        value: message.payload().map(text),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(text)))
            .collect(),
        timestamp: message.timestamp().to_millis(),
    }
}

pub(crate) fn keys(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.key.as_str()).collect()
}

/// Asks until it is so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The server as a process of its own, to be killed.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(dir: &Path, listen: &str) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_embedded-kafka"))
            .args(["--listen", listen, "--data-dir"])
            .arg(dir)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("kafka ")
            .expect("the address")
            .parse()
            .unwrap();
        Process { child, address }
    }

    pub(crate) fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // already dead is fine
        let _ = self.child.wait();
    }
}
