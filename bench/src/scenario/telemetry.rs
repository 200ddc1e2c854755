//! Many clients that each send a message a second at QoS 0, and one subscriber that gets them all.

use std::time::Instant;

use mqtt::QoS;

use super::{Cost, NO_LIMITS, ROUNDS};
use crate::Bench;
use crate::kafka_server::Kafka;
use crate::load::{Fleet, Subscriber};
use crate::report::Row;
use crate::servers::{self, Server};

const SCENARIO: &str = "telemetry";
const CLIENTS: usize = 5_000;
const PAYLOAD_BYTES: usize = 1_000;
const TIME_S: f64 = 20.0;
/// Times what Mosquitto needs, which passes the messages on without storing them.
const LIMIT: f64 = 1.5;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let (mut ours, mut theirs) = (Cost::default(), None);
    for _ in 0..ROUNDS {
        ours.add(measure(servers::broker(&kafka).await?, bench).await?);
        if let Some(mosquitto) = servers::mosquitto(NO_LIMITS).await? {
            let cost = measure(mosquitto, bench).await?;
            theirs.get_or_insert_with(Cost::default).add(cost);
        }
    }
    let clients = bench.count(CLIENTS);
    let row = |whose: &str, cost: Cost| {
        let what = format!("CPU per million messages, {clients} clients × 1 msg/s × 1 KB{whose}");
        Row::new(SCENARIO, what, cost.per_million(), "s").note(cost.note())
    };
    let mut rows =
        vec![row("", ours).at_most_times(LIMIT, theirs.map(Cost::per_million), "Mosquitto's")];
    rows.extend(theirs.map(|cost| row(", Mosquitto", cost)));
    Ok(rows)
}

async fn measure(server: Server, bench: &Bench) -> anyhow::Result<Cost> {
    eprintln!("{SCENARIO}: {}", server.name);
    let clients = bench.count(CLIENTS);
    let rate = clients as f64;
    let (epoch, qos) = (Instant::now(), QoS::AtMostOnce);
    let filter = format!("{SCENARIO}/+");
    let subscriber = Subscriber::start(server.mqtt, &filter, qos, clients, epoch).await?;
    let mut fleet =
        Fleet::connect(server.mqtt, SCENARIO, clients, qos, PAYLOAD_BYTES, epoch).await?;
    // Every client publishes once before it counts.
    fleet.publish(rate, clients as u64).await?;
    let received_before = subscriber.settled(fleet.sent()).await;
    let before = server.cpu()?;
    let due = (rate * bench.time(TIME_S).as_secs_f64()) as u64;
    fleet.publish(rate, due).await?;
    let received = subscriber.settled(received_before + due).await - received_before;
    Ok(Cost {
        cpu: server.cpu()? - before,
        due,
        lost: due.saturating_sub(received),
    })
}
