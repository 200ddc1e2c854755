//! Persistent sessions that come back, all at once, after much was published: each gets what it missed, in order, and
//! the backlog is not read once for each of them.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{bail, ensure};
use mqtt::packet::Disconnect;
use mqtt::{Packet, QoS, ReasonCode};
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::Client;
use crate::kafka_server::Kafka;
use crate::persistent::{PERSISTENT, Writer, next_is};
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "catch-up";
const SESSIONS: usize = 1_000;
/// Topics for each session's one: nine of ten records are for nobody.
const TOPICS_PER_SESSION: usize = 10;
const RECORDS_PER_TOPIC: u32 = 100;
const FETCHED: &str = r#"mqtt_kafka_fetched_bytes_total{reader="catch-up"}"#;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let server = servers::broker(&kafka).await?;
    let sessions = bench.count(SESSIONS);
    eprintln!("{SCENARIO}: {sessions} sessions subscribe and leave");
    for at in 0..sessions {
        let mut client = Client::connect(server.mqtt, &client_id(at), PERSISTENT).await?;
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

/// Writes records topic by topic in turn; returns the bytes of their keys and values.
async fn write_backlog(kafka: &Kafka, topics: usize) -> anyhow::Result<u64> {
    let mut writer = Writer::new(kafka)?;
    for sequence in 0..RECORDS_PER_TOPIC {
        for at in 0..topics {
            writer.write(&format!("catch/{at}/x"), at, sequence).await;
        }
    }
    writer.finish().await?;
    Ok(writer.bytes)
}

/// Connects and takes what was missed; returns whether the server had kept the session.
async fn come_back(addr: SocketAddr, at: usize) -> anyhow::Result<bool> {
    let mut client = Client::connect(addr, &client_id(at), PERSISTENT).await?;
    if !client.session_present {
        return Ok(false);
    }
    for expected in 0..RECORDS_PER_TOPIC {
        next_is(&mut client, at, expected).await?;
    }
    Ok(true)
}
