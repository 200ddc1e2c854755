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
/// How often one client goes away and comes back, to either node.
const RETURNS: usize = 50;
/// A return to another node may take so much longer than one to the same.
const MOVE_MS: f64 = 1000.0;
/// From the kill until the first session is served elsewhere: `NODE_LAPSE_MS` and a second.
const KILL_S: f64 = 6.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let first = servers::broker(&kafka).await?;
    let second = servers::broker(&kafka).await?;
    let mut rows = returns(first.mqtt, second.mqtt).await?;
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
    let earliest = served.iter().map(|came| came.at).min();
    let earliest = earliest.unwrap_or(killed) - killed;
    // What came twice stands before the next one.
    publish(&kafka, sessions, 1).await?;
    let mut kept = 0;
    for (at, mut came) in served.into_iter().enumerate() {
        kept += usize::from(came.is_kept);
        next_is(&mut came.client, at, 1).await?;
    }
    ensure!(
        kept == sessions,
        "only {kept} of {sessions} sessions were there"
    );
    let what =
        format!("until {sessions} sessions of a killed node have what they missed elsewhere");
    rows.extend([
        Row::new(
            SCENARIO,
            "until the first of them has",
            earliest.as_secs_f64(),
            "s",
        )
        .at_most(KILL_S),
        Row::new(SCENARIO, what, took.as_secs_f64(), "s").note(
            format!("0 of {sessions} sessions and messages lost, 0 twice; 5 s of it until the node counts as dead"),
        ),
    ]);
    Ok(rows)
}

/// One client that leaves and comes back, to the node where it was and to the other one.
async fn returns(here: SocketAddr, there: SocketAddr) -> anyhow::Result<Vec<Row>> {
    eprintln!("{SCENARIO}: {RETURNS} returns to either node");
    let (mut same_ms, mut other_ms) = (Vec::new(), Vec::new());
    let nodes = [here, there];
    for at in 0..RETURNS {
        let (node, other) = (nodes[at % 2], nodes[(at + 1) % 2]);
        for (to, took_ms) in [(node, &mut same_ms), (other, &mut other_ms)] {
            let began = Instant::now();
            let mut client = Client::connect(to, "returns", PERSISTENT).await?;
            took_ms.push(began.elapsed().as_secs_f64() * 1000.0);
            client.subscribe("returns", QoS::AtLeastOnce).await?;
            client.leave().await?;
        }
    }
    // The first one found no session.
    same_ms.remove(0);
    let median = |mut ms: Vec<f64>| {
        ms.sort_by(f64::total_cmp);
        ms[ms.len() / 2]
    };
    let (same, other) = (median(same_ms), median(other_ms));
    Ok(vec![
        Row::new(SCENARIO, "a client returns to its node, median", same, "ms"),
        Row::new(
            SCENARIO,
            "a client returns to another node, median",
            other,
            "ms",
        )
        .at_most(same + MOVE_MS),
    ])
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

/// A client that has what it missed.
struct Came {
    client: Client,
    /// The session was there.
    is_kept: bool,
    at: Instant,
}

/// Connects, as often as it takes, and gets what was missed.
async fn come_back(addr: SocketAddr, at: usize) -> anyhow::Result<Came> {
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
    Ok(Came {
        client,
        is_kept,
        at: Instant::now(),
    })
}
