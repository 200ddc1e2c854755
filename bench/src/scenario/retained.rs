//! Retained messages: how long a node takes to be ready with many, and what each holds of its memory.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use mqtt::QoS;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Message, Options, Stamp};
use crate::kafka_server::Kafka;
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "retained";
const TOPICS: usize = 100_000;
const PUBLISHERS: usize = 50;
/// Publishes that wait for their acknowledgement, of each publisher.
const WINDOW: usize = 20;
const PAYLOAD_BYTES: usize = 100;
const LIMIT_S: f64 = 5.0;
/// All of them should come in one go to who subscribes.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let topics = bench.count(TOPICS);
    eprintln!("{SCENARIO}: {topics} messages are stored");
    let first = servers::broker(&kafka).await?;
    let (ready_when_empty, empty) = (first.ready_after, first.memory()?);
    store(first.mqtt, topics).await?;
    drop(first);

    eprintln!("{SCENARIO}: the broker starts again");
    let server = servers::broker(&kafka).await?;
    let full = server.memory()?;
    let found = count(server.mqtt, topics).await?;
    ensure!(
        found == topics,
        "{found} of {topics} retained messages are there after the restart"
    );
    let ready = server.ready_after.as_secs_f64();
    drop(server);
    let kib = full.saturating_sub(empty) as f64 / 1024.0 / topics as f64;
    Ok(vec![
        Row::new(
            SCENARIO,
            format!("from start to /ready, {topics} topics"),
            ready,
            "s",
        )
        .at_most(LIMIT_S)
        .note(format!("{:.2} s with none", ready_when_empty.as_secs_f64())),
        Row::new(
            SCENARIO,
            format!("memory a topic, payload {PAYLOAD_BYTES} B"),
            kib,
            "KiB",
        ),
    ])
}

async fn store(addr: SocketAddr, topics: usize) -> anyhow::Result<()> {
    let clients = Client::connect_many(addr, "retain", PUBLISHERS, Options::default()).await?;
    let mut tasks = JoinSet::new();
    for (first, mut client) in clients.into_iter().enumerate() {
        tasks.spawn(async move {
            let mine: Vec<usize> = (first..topics).step_by(PUBLISHERS).collect();
            for window in mine.chunks(WINDOW) {
                let mut out = Vec::new();
                for at in window {
                    let mut message = Message::new(
                        &format!("retained/{at}"),
                        QoS::AtLeastOnce,
                        true,
                        PAYLOAD_BYTES,
                    )?;
                    let stamp = Stamp {
                        sequence: *at as u32,
                        ..Stamp::default()
                    };
                    out.extend_from_slice(message.stamped(stamp));
                }
                client.stream.write_all(&out).await?;
                for _ in window {
                    client
                        .next()
                        .await?
                        .context("the server closed the connection")?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// How many retained messages a new subscriber gets; it stops at `wanted`.
async fn count(addr: SocketAddr, wanted: usize) -> anyhow::Result<usize> {
    let mut client = Client::connect(addr, "reader", Options::default()).await?;
    client.subscribe("retained/+", QoS::AtMostOnce).await?;
    let mut found = 0;
    while found < wanted {
        match tokio::time::timeout(SILENCE, client.next()).await {
            Ok(packet) => packet?.context("the server closed the connection")?,
            Err(_) => return Ok(found),
        };
        found += 1;
    }
    Ok(found)
}
