//! The aggregator: what it costs, how far it is behind, and how that grows with the number of vehicles.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use fleet::{Kind, LatLng, Position};
use kafka::{Full, Producer, ToSend};
use tokio::process::Command;

use crate::Bench;
use crate::kafka_server::Kafka;
use crate::load::paced;
use crate::process::{self, Process};
use crate::report::Row;
use crate::servers::{free_port, metric, until};

const SCENARIO: &str = "totals";
/// The reference load: 15,000 vehicles that each send twice a second; the same for the other sizes, so that only they differ.
const PER_SECOND: f64 = 30_000.0;
const SECONDS: f64 = 30.0;
const VEHICLES: [usize; 3] = [1_000, 15_000, 100_000];
/// How often it is asked how far it is.
const SAMPLE: Duration = Duration::from_millis(100);
/// After so long without a record more it does not get them all.
const PATIENCE: Duration = Duration::from_secs(60);
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// Its partitions of the positions.
const PARTITIONS: u64 = 6;

pub(crate) async fn run(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for full in VEHICLES {
        let vehicles = bench.count(full);
        let found = measure(bench, vehicles).await?;
        let what = |what: &str| format!("{what}, {vehicles} vehicles, {PER_SECOND} records/s");
        let cpu = found.cpu.as_secs_f64();
        rows.extend([
            Row::new(
                SCENARIO,
                what("CPU s per million"),
                cpu * 1e6 / found.records as f64,
                "s",
            )
            .note(format!("{} records", found.records)),
            Row::new(
                SCENARIO,
                what("behind at worst"),
                found.behind_max as f64 / PER_SECOND * 1000.0,
                "ms",
            )
            .note(format!("{} records", found.behind_max)),
            Row::new(
                SCENARIO,
                what("memory"),
                found.memory as f64 / 1024.0 / 1024.0,
                "MiB",
            ),
            Row::new(
                SCENARIO,
                what("from start to counting, after that"),
                found.restart.as_secs_f64(),
                "s",
            ),
        ]);
    }
    Ok(rows)
}

struct Found {
    cpu: Duration,
    records: u64,
    /// Records that Kafka was given and that were not counted yet, at most.
    behind_max: u64,
    memory: u64,
    restart: Duration,
}

async fn measure(bench: &Bench, vehicles: usize) -> anyhow::Result<Found> {
    let kafka = Kafka::start(&bench.kafka).await?;
    let aggregator = Aggregator::start(&kafka).await?;
    let producer = Producer::new(&kafka.settings(), QUEUE_BYTES)?;
    let mut fleet = Fleet::new(kafka.topic("updates"), vehicles);
    // Each vehicle once, so that they are known, and what is measured is their going on.
    eprintln!("{SCENARIO}: {vehicles} vehicles come");
    let first = vehicles as u64;
    fleet.send(&producer, first).await?;
    aggregator.until_counted(first).await?;

    let seconds = bench.time(SECONDS).as_secs_f64();
    let total = (PER_SECOND * seconds) as u64;
    eprintln!("{SCENARIO}: {total} records");
    let before = aggregator.cpu()?;
    let mut behind_max = 0;
    {
        let sending = fleet.send(&producer, total);
        tokio::pin!(sending);
        let start = Instant::now();
        loop {
            tokio::select! {
                sent = &mut sending => break sent?,
                () = tokio::time::sleep(SAMPLE) => {
                    let due = first + (start.elapsed().as_secs_f64() * PER_SECOND) as u64;
                    let counted = aggregator.number("records_total").await?;
                    behind_max = behind_max.max(due.saturating_sub(counted));
                }
            }
        }
    }
    aggregator.until_counted(first + total).await?;
    let cpu = aggregator.cpu()? - before;
    let memory = process::memory(aggregator.process.pid)?;
    drop(aggregator);

    let start = Instant::now();
    let again = Aggregator::start(&kafka).await?;
    let restart = start.elapsed();
    let known = again.number("vehicles").await?;
    ensure!(
        known == first,
        "{known} of {first} vehicles are known after a kill"
    );
    Ok(Found {
        cpu,
        records: total,
        behind_max,
        memory,
        restart,
    })
}

struct Aggregator {
    process: Process,
    admin: SocketAddr,
}

impl Aggregator {
    /// Starts it and waits until it has all partitions.
    async fn start(kafka: &Kafka) -> anyhow::Result<Self> {
        let admin = free_port().await?;
        let topics = [
            ("AGGREGATOR_GROUP", "aggregator"),
            ("VEHICLE_UPDATES_TOPIC", "updates"),
            ("COMPANY_PASSENGERS_TOPIC", "company"),
            ("DIRECTION_STATS_TOPIC", "direction"),
            ("CELL_STATS_TOPIC", "cell"),
            ("MINUTE_STATS_TOPIC", "minute"),
            ("FLEET_ALERTS_TOPIC", "alerts"),
            ("MAP_FRAMES_TOPIC", "map"),
            ("DEAD_LETTERS_TOPIC", "dead"),
        ];
        let process = Process::start(
            SCENARIO,
            Command::new(process::beside("aggregator")?)
                .envs(topics.map(|(variable, name)| (variable, kafka.topic(name))))
                .env("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap_servers)
                .env("AGGREGATOR_METRICS_PORT", admin.port().to_string())
                // The rate is the same for all sizes: with many vehicles each sends rarely.
                .env("SILENT_AFTER_S", "3600"),
        )?;
        let mut aggregator = Self { process, admin };
        let ask = async || matches!(number(admin, "partitions").await, Ok(PARTITIONS));
        until(&mut aggregator.process, ask).await?;
        Ok(aggregator)
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        process::cpu(self.process.pid)
    }

    async fn number(&self, metric: &str) -> anyhow::Result<u64> {
        number(self.admin, metric).await
    }

    async fn until_counted(&self, records: u64) -> anyhow::Result<()> {
        let mut last = (0, Instant::now());
        while last.0 < records {
            let counted = self.number("records_total").await?;
            if counted > last.0 {
                last = (counted, Instant::now());
            }
            ensure!(
                last.1.elapsed() < PATIENCE,
                "{counted} of {records} records are counted"
            );
            tokio::time::sleep(SAMPLE).await;
        }
        ensure!(last.0 == records, "{} of {records} records", last.0);
        Ok(())
    }
}

async fn number(admin: SocketAddr, name: &str) -> anyhow::Result<u64> {
    let value = metric(admin, &format!("aggregator_{name}")).await?;
    Ok(value.with_context(|| format!("no metric {name}"))? as u64)
}

/// Vehicles that drive through Manhattan, from south to north and back.
struct Fleet {
    kafka_topic: String,
    vehicles: Vec<Position>,
    sent: u64,
}

impl Fleet {
    fn new(kafka_topic: String, vehicles: usize) -> Self {
        let vehicles = (0..vehicles).map(vehicle).collect();
        Self {
            kafka_topic,
            vehicles,
            sent: 0,
        }
    }

    /// Sends so many positions, evenly, the vehicles in turn; returns when Kafka has them.
    async fn send(&mut self, producer: &Producer, total: u64) -> anyhow::Result<()> {
        paced(PER_SECOND, total, async |_| {
            let at = self.sent as usize % self.vehicles.len();
            self.sent += 1;
            let vehicle = &mut self.vehicles[at];
            vehicle.update_timestamp = SystemTime::now()
                .duration_since(UNIX_EPOCH)?
                .as_millis()
                .try_into()?;
            vehicle.sequence += 1;
            let step = vehicle.sequence as f64 * 1e-4 + at as f64 * 1e-3;
            vehicle.current.lat = 40.70 + 0.1 * (step % 2.0 - 1.0).abs();
            let value = vehicle.to_json();
            let record = ToSend {
                kafka_topic: &self.kafka_topic,
                partition: None,
                key: Some(vehicle.plate.as_str().as_bytes()),
                value: Some(&value),
                headers: &[],
            };
            while let Err(Full(_)) = producer.send(&record, None) {
                producer.has_room().await;
            }
            Ok(())
        })
        .await?;
        Ok(producer.flush(PATIENCE).await?)
    }
}

fn vehicle(at: usize) -> Position {
    let current = LatLng::new(40.7, -74.02 + 0.09 * (at as f64 * 0.618).fract());
    let company = at % 8;
    Position {
        plate: format!("T{at:06}").parse().expect("a plate"),
        current,
        waypoint: current,
        speed: 20.0 + (at % 50) as f64,
        visible: false,
        distance: 105.5,
        update_timestamp: 0,
        passengers: (at % 5) as u32,
        company_name: format!("Company {company}"),
        company_color: format!("#2f6fd{company}"),
        company_shape: "circle".into(),
        is_hired: !at.is_multiple_of(5),
        id: at.to_string(),
        kind: Kind::Taxi,
        bearing: (at % 360) as f64,
        trip_id: format!("T{at:06}-1"),
        destination: LatLng::new(40.75, -73.98),
        eta_seconds: 412.5,
        sequence: 0,
        speed_limit: Some(50.0),
    }
}
