//! A node is killed that serves many persistent sessions: until all of them are served by another one, and whether each
//! has got what was published meanwhile, once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use mqtt::QoS;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::Client;
use crate::kafka_server::Kafka;
use crate::persistent::{PERSISTENT, SILENCE, Writer, next_is};
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "take-over";
/// Below half of the 20 000 descriptors that this machine gives a process.
const SESSIONS: usize = 10_000;
/// Clients that try to connect at the same time.
const AT_ONCE: usize = 500;
/// A client that is refused tries again after this.
const RETRY: Duration = Duration::from_millis(200);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let first = servers::broker(&kafka).await?;
    let second = servers::broker(&kafka).await?;
    let sessions = bench.count(SESSIONS);
    eprintln!("{SCENARIO}: {sessions} sessions at one of two nodes");
    let subscribed = each(sessions, first.mqtt, |addr, at| async move {
        let mut client = Client::connect(addr, &client_id(at), PERSISTENT).await?;
        client.subscribe(&topic(at), QoS::AtLeastOnce).await?;
        Ok(client)
    })
    .await?;

    eprintln!("{SCENARIO}: it is killed");
    drop(first);
    let killed = Instant::now();
    drop(subscribed);
    publish(&kafka, sessions, 0).await?;
    let served = each(sessions, second.mqtt, come_back).await?;
    let took = killed.elapsed();
    // What came twice stands before the next one.
    publish(&kafka, sessions, 1).await?;
    let mut kept = 0;
    for (at, (mut client, is_kept)) in served.into_iter().enumerate() {
        kept += usize::from(is_kept);
        next_is(&mut client, at, 1).await?;
    }
    ensure!(
        kept == sessions,
        "only {kept} of {sessions} sessions were there"
    );
    let what =
        format!("until {sessions} sessions of a killed node have what they missed elsewhere");
    Ok(vec![Row::new(SCENARIO, what, took.as_secs_f64(), "s").note(
        format!("0 of {sessions} sessions and messages lost, 0 twice; 5 s of it until the node counts as dead"),
    )])
}

fn client_id(at: usize) -> String {
    format!("moves{at}")
}

fn topic(at: usize) -> String {
    format!("moves/{at}")
}

/// Does something for each session, some of them at a time; the results are in their order.
async fn each<T: Send + 'static, F>(
    sessions: usize,
    addr: SocketAddr,
    work: fn(SocketAddr, usize) -> F,
) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for at in 0..sessions {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire().await?;
            anyhow::Ok((at, work(addr, at).await?))
        });
    }
    let mut done = Vec::with_capacity(sessions);
    while let Some(result) = tasks.join_next().await {
        done.push(result??);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// Writes one message for each session.
async fn publish(kafka: &Kafka, sessions: usize, sequence: u32) -> anyhow::Result<()> {
    let mut writer = Writer::new(kafka)?;
    for at in 0..sessions {
        writer.write(&topic(at), at, sequence).await;
    }
    writer.finish().await
}

/// Connects, as often as it takes, and gets what was missed; returns whether the session was there.
async fn come_back(addr: SocketAddr, at: usize) -> anyhow::Result<(Client, bool)> {
    let deadline = Instant::now() + SILENCE;
    let mut client = loop {
        match Client::connect(addr, &client_id(at), PERSISTENT).await {
            Ok(client) => break client,
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    let is_kept = client.session_present;
    if is_kept {
        next_is(&mut client, at, 0).await?;
    }
    Ok((client, is_kept))
}
