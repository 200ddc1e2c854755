//! Publishers at QoS 1 as fast as they are acknowledged, and one subscriber at QoS 1: whatever was acknowledged arrives.

use std::time::Instant;

use mqtt::QoS;

use crate::Bench;
use crate::kafka_server::Kafka;
use crate::load::{Subscriber, saturate};
use crate::report::Row;
use crate::servers::{self, Server};

const SCENARIO: &str = "saturate-qos1";
const PUBLISHERS: usize = 50;
const WINDOW: usize = 20;
const PAYLOAD_BYTES: usize = 200;
const TIME_S: f64 = 15.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let mut rows = Vec::new();
    measure(servers::broker(&kafka).await?, bench, &mut rows).await?;
    // As Debian ships it: its queue for a subscriber holds 1 000 messages.
    if let Some(mosquitto) = servers::mosquitto("").await? {
        measure(mosquitto, bench, &mut rows).await?;
    }
    Ok(rows)
}

async fn measure(server: Server, bench: &Bench, rows: &mut Vec<Row>) -> anyhow::Result<()> {
    eprintln!("{SCENARIO}: {}", server.name);
    let name = server.name;
    let epoch = Instant::now();
    let filter = format!("{SCENARIO}/+");
    let subscriber =
        Subscriber::start(server.mqtt, &filter, QoS::AtLeastOnce, PUBLISHERS, epoch).await?;
    let time = bench.time(TIME_S);
    let publishers = (PUBLISHERS, WINDOW);
    let start = Instant::now();
    let done = saturate(
        server.mqtt,
        SCENARIO,
        publishers,
        PAYLOAD_BYTES,
        time,
        epoch,
    )
    .await?;
    let total = done.total();
    let received = subscriber.settled(total).await;
    let took = start.elapsed();
    let account = subscriber.finish().await?;
    drop(server);
    let lost = account.missing(&done.acknowledged);
    let row =
        |what: &str, figure: f64, unit| Row::new(SCENARIO, format!("{what}, {name}"), figure, unit);
    let closed = if account.was_closed {
        "; the server closed the subscriber's connection"
    } else {
        ""
    };
    let lost = row("acknowledged and lost", lost as f64, "messages").note(format!(
        "of {total}; {} twice, {} out of order{closed}",
        account.duplicates, account.out_of_order
    ));
    rows.push(if name == "broker" {
        lost.at_most(0.0)
    } else {
        lost
    });
    rows.push(row("in", done.per_second(), "msg/s"));
    rows.push(row("out", received as f64 / took.as_secs_f64(), "msg/s"));
    Ok(())
}
