//! What a connection costs that does nothing: connected at MQTT 3.1.1 over TCP, with keep alive on.

use std::time::Duration;

use crate::Bench;
use crate::client::{Client, Options};
use crate::kafka_server::Kafka;
use crate::report::Row;
use crate::servers::{self, Server};

const SCENARIO: &str = "idle";
/// Below the 20 000 descriptors that this machine gives a process.
const CONNECTIONS: usize = 19_000;
const LIMIT_KIB: f64 = 2.0;
/// Until whatever connecting left behind is put away.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.count(CONNECTIONS);
    let kafka = Kafka::start(&bench.kafka).await?;
    let broker = kib_per_connection(servers::broker(&kafka).await?, count).await?;
    let what = format!("memory a connection, {count} of them");
    let mut rows = vec![Row::new(SCENARIO, &what, broker, "KiB").at_most(LIMIT_KIB)];
    if let Some(mosquitto) = servers::mosquitto("").await? {
        let peer = kib_per_connection(mosquitto, count).await?;
        rows.push(Row::new(
            SCENARIO,
            format!("{what}, mosquitto"),
            peer,
            "KiB",
        ));
    }
    Ok(rows)
}

async fn kib_per_connection(server: Server, count: usize) -> anyhow::Result<f64> {
    eprintln!("{SCENARIO}: {count} connections to {}", server.name);
    let options = Options {
        keep_alive_s: 600,
        ..Options::default()
    };
    // The first connection pays for what the server does once.
    let first = Client::connect(server.mqtt, "first", options).await?;
    let before = server.memory()?;
    let clients = Client::connect_many(server.mqtt, "idle", count, options).await?;
    tokio::time::sleep(SETTLE).await;
    let after = server.memory()?;
    drop((first, clients));
    drop(server);
    Ok(after.saturating_sub(before) as f64 / 1024.0 / count as f64)
}
