//! One publisher to a thousand subscribers of the same topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mqtt::QoS;
use tokio::task::JoinSet;

use super::{Cost, NO_LIMITS, ROUNDS};
use crate::Bench;
use crate::client::{Client, Options};
use crate::kafka_server::Kafka;
use crate::load::{Fleet, settled};
use crate::report::Row;
use crate::servers::{self, Server};

const SCENARIO: &str = "fanout";
const SUBSCRIBERS: usize = 1_000;
const PAYLOAD_BYTES: usize = 200;
/// Messages a second: within what both servers manage, so that neither drops.
const RATE: f64 = 50.0;
const TIME_S: f64 = 10.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let kafka = Kafka::start(&bench.kafka).await?;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let (mut ours, mut theirs) = (Cost::default(), None);
        for _ in 0..ROUNDS {
            ours.add(measure(servers::broker(&kafka).await?, qos, bench).await?);
            if let Some(mosquitto) = servers::mosquitto(NO_LIMITS).await? {
                let cost = measure(mosquitto, qos, bench).await?;
                theirs.get_or_insert_with(Cost::default).add(cost);
            }
        }
        let subscribers = bench.count(SUBSCRIBERS);
        let row = |whose: &str, cost: Cost| {
            let qos = qos as u8;
            let what =
                format!("CPU per million deliveries, {subscribers} subscribers, QoS {qos}{whose}");
            Row::new(SCENARIO, what, cost.per_million(), "s").note(cost.note())
        };
        let limit = theirs.map(Cost::per_million);
        rows.push(row("", ours).at_most_times(1.0, limit, "Mosquitto's"));
        rows.extend(theirs.map(|cost| row(", Mosquitto", cost)));
    }
    Ok(rows)
}

async fn measure(server: Server, qos: QoS, bench: &Bench) -> anyhow::Result<Cost> {
    eprintln!("{SCENARIO}: QoS {}, {}", qos as u8, server.name);
    let count = bench.count(SUBSCRIBERS);
    let received = Arc::new(AtomicU64::new(0));
    let clients = Client::connect_many(server.mqtt, "fan", count, Options::default()).await?;
    let mut subscribers = JoinSet::new();
    for mut client in clients {
        client.subscribe("fanout/+", qos).await?;
        let received = Arc::clone(&received);
        subscribers.spawn(async move {
            let count = |_: &_| {
                received.fetch_add(1, Ordering::Relaxed);
            };
            if let Err(error) = client.take(count).await {
                // What it did not get counts as lost.
                eprintln!("{SCENARIO}: a subscriber lost its connection: {error:#}");
            }
        });
    }
    let epoch = Instant::now();
    let mut publisher = Fleet::connect(server.mqtt, SCENARIO, 1, qos, PAYLOAD_BYTES, epoch).await?;
    let warm = RATE as u64;
    publisher.publish(RATE, warm).await?;
    let received_before = settled(&received, warm * count as u64).await;
    let before = server.cpu()?;
    let total = (RATE * bench.time(TIME_S).as_secs_f64()) as u64;
    publisher.publish(RATE, total).await?;
    let due = total * count as u64;
    let came = settled(&received, received_before + due).await - received_before;
    let cpu = server.cpu()? - before;
    // Before the server ends, so that its end is not theirs.
    subscribers.shutdown().await;
    Ok(Cost {
        cpu,
        due,
        lost: due.saturating_sub(came),
    })
}
