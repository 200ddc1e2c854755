//! From a publisher through Kafka to a subscriber, against a record from a bare producer to a bare reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use kafka::{Producer, Start, Tail, ToSend};
use mqtt::QoS;
use tokio::sync::mpsc;

use crate::Bench;
use crate::client::{Stamp, payload};
use crate::kafka_server::Kafka;
use crate::load::{Fleet, Subscriber, microseconds, paced, settled};
use crate::report::Row;
use crate::servers;

const SCENARIO: &str = "latency";
const PER_SECOND: f64 = 1_000.0;
const PUBLISHERS: usize = 10;
const PAYLOAD_BYTES: usize = 200;
/// In turn, so that what else the machine does falls on both.
const ROUNDS: usize = 3;
const TIME_S: f64 = 10.0;
const LIMIT_P50: f64 = 1.5;
const LIMIT_P99: f64 = 2.0;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let total = (PER_SECOND * bench.time(TIME_S).as_secs_f64()) as u64;
    let (mut through_broker, mut bare) = (microseconds()?, microseconds()?);
    for round in 1..=ROUNDS {
        eprintln!("{SCENARIO}: round {round} of {ROUNDS}");
        through_broker.add(measure_broker(&kafka, total).await?)?;
        bare.add(measure_bare(&kafka, total).await?)?;
    }
    let rows =
        [("p50", 0.5, LIMIT_P50), ("p99", 0.99, LIMIT_P99)].map(|(name, quantile, limit)| {
            let ms =
                |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64 / 1000.0;
            let what = format!("MQTT to MQTT through Kafka, 1,000 msg/s, QoS 1, {name}");
            Row::new(SCENARIO, what, ms(&through_broker), "ms").at_most_times(
                limit,
                Some(ms(&bare)),
                "bare Kafka's",
            )
        });
    Ok(rows.into())
}

async fn measure_broker(kafka: &Kafka, total: u64) -> anyhow::Result<Histogram<u64>> {
    let server = servers::broker(kafka).await?;
    let epoch = Instant::now();
    let filter = format!("{SCENARIO}/+");
    let qos = QoS::AtLeastOnce;
    // The first second only warms up.
    let warm = PER_SECOND as u64;
    let mut fleet =
        Fleet::connect(server.mqtt, SCENARIO, PUBLISHERS, qos, PAYLOAD_BYTES, epoch).await?;
    fleet.publish(PER_SECOND, warm).await?;
    fleet.all_acknowledged().await?;
    let subscriber = Subscriber::start(server.mqtt, &filter, qos, PUBLISHERS, epoch).await?;
    fleet.publish(PER_SECOND, total).await?;
    subscriber.settled(total).await;
    let account = subscriber.finish().await?;
    drop(server);
    complete(&account.latency_us, total)?;
    Ok(account.latency_us)
}

async fn measure_bare(kafka: &Kafka, total: u64) -> anyhow::Result<Histogram<u64>> {
    let topic = kafka.make_topic("latency").await?;
    let epoch = Instant::now();
    let received = Arc::new(AtomicU64::new(0));
    let (tell, mut told) = mpsc::unbounded_channel();
    let on_record = {
        let received = Arc::clone(&received);
        move |record: kafka::Record| {
            let now_ns = epoch.elapsed().as_nanos() as u64;
            if let Some(stamp) = record.value.as_deref().and_then(Stamp::read) {
                // Bounded by the number of records; nobody listens any more only when the measurement has failed.
                let _failed = tell.send(now_ns.saturating_sub(stamp.sent_ns) / 1000);
            }
            received.fetch_add(1, Ordering::Relaxed);
        }
    };
    let tail = Tail::start(&kafka.settings(), "latency", on_record, || {})?;
    let producer = Producer::new(&kafka.settings(), 1 << 26)?;
    let mut value = payload(PAYLOAD_BYTES);
    let mut send = async |at: u64| {
        let stamp = Stamp {
            sent_ns: epoch.elapsed().as_nanos() as u64,
            ..Stamp::default()
        };
        stamp.write(&mut value);
        let key = format!("{SCENARIO}/{}", at % PUBLISHERS as u64);
        let record = ToSend {
            kafka_topic: &topic,
            partition: None,
            key: Some(key.as_bytes()),
            value: Some(&value),
            headers: &[("mqtt.qos", b"1")],
        };
        while producer.send(&record, None).is_err() {
            producer.has_room().await;
        }
        Ok(())
    };
    paced(PER_SECOND, PER_SECOND as u64, &mut send).await?;
    producer.flush(std::time::Duration::from_secs(10)).await?;
    tail.follow(&topic, None, Start::End).await?;
    paced(PER_SECOND, total, &mut send).await?;
    settled(&received, total).await;
    drop(tail);
    let mut latency_us = microseconds()?;
    while let Ok(us) = told.try_recv() {
        latency_us.saturating_record(us);
    }
    complete(&latency_us, total)?;
    Ok(latency_us)
}

fn complete(latency_us: &Histogram<u64>, total: u64) -> anyhow::Result<()> {
    anyhow::ensure!(
        latency_us.len() == total,
        "{} of {total} messages arrived",
        latency_us.len()
    );
    Ok(())
}
