//! From a PUBLISH at QoS 1 until its record is in Kafka, against the two things that nobody can save: reading and
//! acknowledging it, and producing the record. Both floors get the load that the broker had.

use std::time::{Duration, Instant};

use mqtt::QoS;

use super::Cost;
use crate::Bench;
use crate::floor;
use crate::kafka_server::Kafka;
use crate::load::{Fleet, saturate};
use crate::report::Row;
use crate::servers::{self, Server};

const SCENARIO: &str = "ingest";
const PUBLISHERS: usize = 100;
const WINDOW: usize = 20;
const PAYLOAD_BYTES: usize = 500;
const PACED_PER_SECOND: f64 = 5_000.0;
const TIME_S: f64 = 20.0;
/// Times the sum of the floors.
const LIMIT: f64 = 1.5;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    Ok(vec![
        saturating(&kafka, bench.time(TIME_S)).await?,
        paced(&kafka, bench.time(TIME_S)).await?,
    ])
}

async fn saturating(kafka: &Kafka, time: Duration) -> anyhow::Result<Row> {
    let (ours, rate) = saturated(servers::broker(kafka).await?, time).await?;
    // A server that answers at once is sent one message at a time, which costs more than what comes together: it holds
    // its answers back for as long as the broker did (all that is on its way, over the rate).
    let in_flight = PUBLISHERS * WINDOW;
    let hold = Duration::from_secs_f64(in_flight as f64 / rate);
    let (reading, reading_rate) = saturated(floor::server(hold).await?, time).await?;
    let records = floor::Records::new(kafka, PUBLISHERS, PAYLOAD_BYTES).await?;
    let producing = records.in_flight(in_flight, ours.due).cost().await?;
    let note = format!("{rate:.0} msg/s; reading at {reading_rate:.0} msg/s");
    Ok(row("saturating", ours, reading, producing, &note))
}

async fn paced(kafka: &Kafka, time: Duration) -> anyhow::Result<Row> {
    let ours = at_rate(servers::broker(kafka).await?, time).await?;
    let reading = at_rate(floor::server(Duration::ZERO).await?, time).await?;
    let records = floor::Records::new(kafka, PUBLISHERS, PAYLOAD_BYTES).await?;
    let producing = records.paced(PACED_PER_SECOND, ours.due).cost().await?;
    let note = format!("{PACED_PER_SECOND:.0} msg/s");
    Ok(row("paced", ours, reading, producing, &note))
}

fn row(load: &str, ours: Cost, reading: Cost, producing: Cost, note: &str) -> Row {
    let (reading, producing) = (reading.per_million(), producing.per_million());
    let what = format!("CPU per million messages, QoS 1, 500 B, {load}");
    Row::new(SCENARIO, what, ours.per_million(), "s")
        .at_most_times(LIMIT, Some(reading + producing), "the floors'")
        .note(format!(
            "{note}; reading and acknowledging {reading:.1} s, producing {producing:.1} s"
        ))
}

/// As fast as acknowledgements allow; returns messages a second, too.
async fn saturated(server: Server, time: Duration) -> anyhow::Result<(Cost, f64)> {
    eprintln!("{SCENARIO}: saturating, {}", server.name);
    let publish = async |time| {
        let publishers = (PUBLISHERS, WINDOW);
        saturate(
            server.mqtt,
            SCENARIO,
            publishers,
            PAYLOAD_BYTES,
            time,
            Instant::now(),
        )
        .await
    };
    // Warm.
    publish(Duration::from_secs(1)).await?;
    let before = server.cpu()?;
    let done = publish(time).await?;
    let cost = Cost {
        cpu: server.cpu()? - before,
        due: done.total(),
        lost: 0,
    };
    Ok((cost, done.per_second()))
}

async fn at_rate(server: Server, time: Duration) -> anyhow::Result<Cost> {
    eprintln!("{SCENARIO}: paced, {}", server.name);
    let (qos, epoch) = (QoS::AtLeastOnce, Instant::now());
    let mut fleet =
        Fleet::connect(server.mqtt, SCENARIO, PUBLISHERS, qos, PAYLOAD_BYTES, epoch).await?;
    // Warm.
    fleet
        .publish(PACED_PER_SECOND, PACED_PER_SECOND as u64)
        .await?;
    fleet.all_acknowledged().await?;
    let before = server.cpu()?;
    let due = (PACED_PER_SECOND * time.as_secs_f64()) as u64;
    fleet.publish(PACED_PER_SECOND, due).await?;
    fleet.all_acknowledged().await?;
    Ok(Cost {
        cpu: server.cpu()? - before,
        due,
        lost: 0,
    })
}
