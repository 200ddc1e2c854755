//! A fleet at rest: ten thousand clients that each publish every ten seconds at QoS 1, and nobody who subscribes.

use std::time::{Duration, Instant};

use mqtt::QoS;

use super::Cost;
use crate::Bench;
use crate::kafka_server::Kafka;
use crate::load::Fleet;
use crate::process::SystemCalls;
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "fleet-qos1";
const CLIENTS: usize = 10_000;
const PERIOD_S: f64 = 10.0;
const PAYLOAD_BYTES: usize = 500;
const TIME_S: f64 = 40.0;
const LIMIT_S: f64 = 40.0;
/// Tracing slows everything down, so it has a part of its own.
const TRACED: Duration = Duration::from_secs(5);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let server = servers::broker(&kafka).await?;
    let clients = bench.count(CLIENTS);
    eprintln!("{SCENARIO}: {clients} clients");
    let qos = QoS::AtLeastOnce;
    let mut fleet = Fleet::connect(
        server.mqtt,
        SCENARIO,
        clients,
        qos,
        PAYLOAD_BYTES,
        Instant::now(),
    )
    .await?;
    let rate = clients as f64 / PERIOD_S;
    fleet.publish(rate, (rate * 3.0) as u64).await?;
    fleet.all_acknowledged().await?;

    let before = server.cpu()?;
    let total = (rate * bench.time(TIME_S).as_secs_f64()) as u64;
    fleet.publish(rate, total).await?;
    fleet.all_acknowledged().await?;
    let cost = Cost {
        cpu: server.cpu()? - before,
        due: total,
        lost: 0,
    };

    let what = format!("{clients} clients × 1 msg / {PERIOD_S} s, QoS 1, 500 B");
    let mut rows = vec![
        Row::new(
            SCENARIO,
            format!("CPU per million messages, {what}"),
            cost.per_million(),
            "s",
        )
        .at_most(LIMIT_S),
    ];
    if let Some(tracer) = SystemCalls::of(server.pid()).await? {
        let total = (rate * TRACED.as_secs_f64()) as u64;
        fleet.publish(rate, total).await?;
        fleet.all_acknowledged().await?;
        let calls = tracer.count().await?;
        let per_message = calls as f64 / total as f64;
        rows.push(
            Row::new(SCENARIO, "system calls per message", per_message, "").note("while traced"),
        );
    }
    drop(server);
    Ok(rows)
}
