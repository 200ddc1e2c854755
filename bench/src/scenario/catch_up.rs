//! Persistent sessions that come back, all at once, after much was published: each gets what it missed, in order, and
//! the backlog is not read once for each of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kafka::{Producer, ToSend};
use mqtt::packet::{Ack, Disconnect};
use mqtt::{Packet, QoS, ReasonCode, Version};
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Options, Stamp, payload};
use crate::kafka_server::Kafka;
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "catch-up";
const SESSIONS: usize = 1_000;
/// Topics for each session's one: nine of ten records are for nobody.
const TOPICS_PER_SESSION: usize = 10;
const RECORDS_PER_TOPIC: u32 = 100;
const PAYLOAD_BYTES: usize = 100;
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Nothing for so long, and the rest never comes.
const SILENCE: Duration = Duration::from_secs(60);
const FETCHED: &str = r#"mqtt_kafka_fetched_bytes_total{reader="catch-up"}"#;

const OPTIONS: Options = Options {
    version: Version::V5,
    clean_start: false,
    keep_alive_s: 0,
    session_expiry_s: 3600,
};

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let server = servers::broker(&kafka).await?;
    let sessions = bench.count(SESSIONS);
    eprintln!("{SCENARIO}: {sessions} sessions subscribe and leave");
    for at in 0..sessions {
        let mut client = Client::connect(server.mqtt, &client_id(at), OPTIONS).await?;
        client
            .subscribe(&format!("catch/{at}/+"), QoS::AtLeastOnce)
            .await?;
        let goodbye = Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS));
        client.send(&goodbye).await?;
        ensure!(client.next().await?.is_none(), "a packet after the goodbye");
    }
    let topics = sessions * TOPICS_PER_SESSION;
    let records = topics as u64 * u64::from(RECORDS_PER_TOPIC);
    eprintln!("{SCENARIO}: {records} records are written");
    let backlog_bytes = write_backlog(&kafka, topics).await?;

    eprintln!("{SCENARIO}: all come back");
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..sessions {
        tasks.spawn(come_back(server.mqtt, at));
    }
    let mut kept = 0;
    while let Some(done) = tasks.join_next().await {
        kept += usize::from(done??);
    }
    let took = start.elapsed();
    if kept < sessions {
        bail!(
            "the server kept {kept} of {sessions} sessions: it answered Session Present = 0 to the others"
        );
    }
    let fetched = server.metric(FETCHED).await?;
    drop(server);

    let missed = sessions as u64 * u64::from(RECORDS_PER_TOPIC);
    let time = Row::new(
        SCENARIO,
        format!("until {sessions} sessions have their {RECORDS_PER_TOPIC} of {records} records"),
        took.as_secs_f64(),
        "s",
    )
    .note(format!("{missed} messages, each once and in order"));
    let alone = format!("{sessions} if each session read alone");
    let what = "read from Kafka, in times the backlog";
    let read = match fetched {
        Some(bytes) => Row::new(SCENARIO, what, bytes / backlog_bytes as f64, "").note(alone),
        None => Row::not_measured(
            SCENARIO,
            what,
            format!("the broker has no metric {FETCHED}"),
        ),
    };
    Ok(vec![time, read])
}

fn client_id(at: usize) -> String {
    format!("catch{at}")
}

/// Writes records straight to Kafka, topic by topic in turn; returns the bytes of their keys and values.
async fn write_backlog(kafka: &Kafka, topics: usize) -> anyhow::Result<u64> {
    let producer = Producer::new(&kafka.settings(), QUEUE_BYTES)?;
    let kafka_topic = kafka.topic("messages");
    let mut value = payload(PAYLOAD_BYTES);
    let mut bytes = 0;
    for sequence in 0..RECORDS_PER_TOPIC {
        for at in 0..topics {
            let stamp = Stamp {
                publisher: at as u32,
                sequence,
                sent_ns: 0,
            };
            stamp.write(&mut value);
            let key = format!("catch/{at}/x");
            let record = ToSend {
                kafka_topic: &kafka_topic,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
            };
            while producer.send(&record, None).is_err() {
                producer.has_room().await;
            }
            bytes += (key.len() + value.len()) as u64;
        }
    }
    producer.flush(SILENCE).await?;
    Ok(bytes)
}

/// Connects and takes what was missed; returns whether the server had kept the session.
async fn come_back(addr: SocketAddr, at: usize) -> anyhow::Result<bool> {
    let mut client = Client::connect(addr, &client_id(at), OPTIONS).await?;
    if !client.session_present {
        return Ok(false);
    }
    let mut expected = 0;
    while expected < RECORDS_PER_TOPIC {
        let packet = tokio::time::timeout(SILENCE, client.next())
            .await
            .with_context(|| format!("session {at} has {expected} messages, and no more come"))??;
        let Some(Packet::Publish(publish)) = packet else {
            bail!("session {at}: {packet:?} instead of a message");
        };
        let stamp = Stamp::read(&publish.payload).context("a payload of another form")?;
        ensure!(
            (stamp.publisher as usize, stamp.sequence) == (at, expected),
            "session {at} got {stamp:?} instead of number {expected}"
        );
        expected += 1;
        let id = publish
            .packet_id
            .context("a QoS 1 message has an identifier")?;
        client.send(&Packet::PubAck(Ack::success(id))).await?;
    }
    Ok(true)
}
