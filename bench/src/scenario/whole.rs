//! Everything at once on this machine: vehicles, broker, Kafka, aggregator, web UI, and a client that subscribes as a page
//! does. What comes through, how late, what it costs, and whether the totals are right.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use fleet::totals::Json;
use fleet::{Cell, CompanyTotal, Frame, Plate, Position, topics};
use hdrhistogram::Histogram;
use mqtt::QoS;
use parking_lot::Mutex;
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::Bench;
use crate::client::{Client, Options};
use crate::kafka_server::{Choice, Kafka};
use crate::process::{self, Process};
use crate::report::Row;
use crate::servers::{free_port, get, metric, until};

const SCENARIO: &str = "whole";
/// The vehicles join so fast.
const PER_SECOND: u32 = 500;
/// From when all have joined until it is measured.
const WARM_UP: Duration = Duration::from_secs(15);
/// Nothing new for so long, and the rest never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);
const PASSWORD: &str = "of-the-bench";

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// How many vehicles, each at two positions a second
    #[arg(long, default_value_t = 15_000)]
    vehicles: u32,
    /// How long it is measured
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// The map, instead of the shipped one of Manhattan
    #[arg(long, value_name = "FILE.osm.pbf")]
    map: Option<PathBuf>,
}

pub(crate) async fn run(bench: &Bench, args: &Args) -> anyhow::Result<Vec<Row>> {
    ensure!(
        !matches!(bench.kafka, Choice::Servers(_)),
        "the fleet's topics would mix with those that are there: --kafka embedded or apache"
    );
    let kafka = Kafka::start(&bench.kafka).await?;
    let parts = Parts::start(&kafka, args).await?;
    let page = Page::open(parts.mqtt).await?;
    let simulator = Part::simulator(parts.mqtt, args).await?;
    eprintln!("{SCENARIO}: {} vehicles join", args.vehicles);
    simulator.until_joined(args.vehicles).await?;
    tokio::time::sleep(WARM_UP).await;

    eprintln!("{SCENARIO}: for {} s", args.seconds);
    let mut all = vec![&simulator];
    all.extend(&parts.all);
    let kafka_pid = kafka.pid()?;
    let cpu = || -> anyhow::Result<Vec<Duration>> {
        let mut cpu = all
            .iter()
            .map(|part| process::cpu(part.process.pid))
            .collect::<anyhow::Result<Vec<_>>>()?;
        cpu.push(process::cpu(kafka_pid)?);
        Ok(cpu)
    };
    let (before, late_before) = (cpu()?, simulator.lateness().await?);
    let sent_before = simulator.number("mqtt_messages_sent_total").await?;
    let began = Instant::now();
    page.measure(true);
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    page.measure(false);
    let took = began.elapsed().as_secs_f64();
    let (after, late_after) = (cpu()?, simulator.lateness().await?);
    let sent = simulator.number("mqtt_messages_sent_total").await? - sent_before;
    let mut rows = vec![
        Row::new(SCENARIO, "sent by vehicles", sent / took, "msg/s")
            .note(format!("{} vehicles", args.vehicles)),
        Row::new(
            SCENARIO,
            "tick lateness, p99: at most",
            1000.0 * p99(&late_before, &late_after)?,
            "ms",
        ),
    ];
    let mut names: Vec<&str> = all.iter().map(|part| part.name).collect();
    names.push("kafka");
    let mut pids: Vec<u32> = all.iter().map(|part| part.process.pid).collect();
    pids.push(kafka_pid);
    for (at, name) in names.iter().enumerate() {
        let cores = (after[at] - before[at]).as_secs_f64() / took;
        let mib = process::memory(pids[at])? as f64 / 1024.0 / 1024.0;
        rows.push(Row::new(SCENARIO, format!("{name}: cores"), cores, ""));
        rows.push(Row::new(SCENARIO, format!("{name}: memory"), mib, "MiB"));
    }

    eprintln!("{SCENARIO}: the vehicles leave, and everything is counted again");
    simulator.leave().await?;
    let recount = Recount::of(&kafka).await?;
    recount.equals_totals(&kafka).await?;
    let seen = page.all(&kafka).await?;
    rows.extend(seen.rows()?);
    rows.push(
        Row::new(SCENARIO, "positions in Kafka", recount.records as f64, "").note(format!(
            "{} of those that vehicles had numbered are missing",
            recount.missing
        )),
    );
    rows.push(
        Row::new(
            SCENARIO,
            "companies whose totals equal the recount",
            recount.companies.len() as f64,
            "",
        )
        .note("all: otherwise this would have failed"),
    );
    Ok(rows)
}

/// A program that runs, and where its metrics are.
struct Part {
    name: &'static str,
    process: Process,
    admin: SocketAddr,
}

impl Part {
    async fn start(
        name: &'static str,
        port_variable: &str,
        configure: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let admin = free_port().await?;
        let mut command = Command::new(process::beside(name)?);
        command.env(port_variable, admin.port().to_string());
        configure(&mut command);
        let mut process = Process::start(name, &mut command)?;
        let is_up = async || get(admin, "/live").await.is_ok();
        until(&mut process, is_up).await?;
        Ok(Self {
            name,
            process,
            admin,
        })
    }

    async fn simulator(mqtt: SocketAddr, args: &Args) -> anyhow::Result<Self> {
        Self::start("simulator", "SIMULATOR_METRICS_PORT", |command| {
            command
                .env("MAP", map(args))
                .env("VEHICLES_TOTAL_NUMBER", args.vehicles.to_string())
                .env("CONNECT_RATE", PER_SECOND.to_string())
                .env("MQTT_PORT", mqtt.port().to_string())
                .env("MQTT_USERNAME", "simulator")
                .env("MQTT_PASSWORD", PASSWORD);
        })
        .await
    }

    async fn number(&self, name: &str) -> anyhow::Result<f64> {
        let value = metric(self.admin, &format!("{}_{name}", self.name)).await?;
        value.with_context(|| format!("{} has no metric {name}", self.name))
    }

    async fn until_joined(&self, vehicles: u32) -> anyhow::Result<()> {
        let mut last = (0.0, Instant::now());
        while last.0 < f64::from(vehicles) {
            let joined = self.number("mqtt_connections").await?;
            if joined > last.0 {
                last = (joined, Instant::now());
            }
            ensure!(
                last.1.elapsed() < PATIENCE,
                "{joined} of {vehicles} vehicles have joined"
            );
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// By upper bound in seconds: how many ticks were not later, so far.
    async fn lateness(&self) -> anyhow::Result<Vec<(f64, f64)>> {
        let (_, body) = get(self.admin, "/metrics").await?;
        let buckets = body.lines().filter_map(|line| {
            line.strip_prefix("simulator_tick_lateness_seconds_bucket{le=\"")?
                .split_once("\"} ")
        });
        buckets
            .map(|(bound, count)| {
                let bound = match bound {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse()?,
                };
                Ok((bound, count.parse()?))
            })
            .collect()
    }

    /// Stops it and waits for its end: what it has sent is at the broker then.
    async fn leave(&self) -> anyhow::Result<()> {
        let pid = self.process.pid.to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await?;
        ensure!(killed.success(), "can't stop the {}", self.name);
        let gone = async {
            while get(self.admin, "/live").await.is_ok() {
                tokio::time::sleep(POLL).await;
            }
        };
        Ok(tokio::time::timeout(PATIENCE, gone).await?)
    }
}

/// The upper bound under which 99 of 100 of the ticks between two readings are.
fn p99(before: &[(f64, f64)], after: &[(f64, f64)]) -> anyhow::Result<f64> {
    let counts: Vec<(f64, f64)> = before
        .iter()
        .zip(after)
        .map(|((bound, before), (_, after))| (*bound, after - before))
        .collect();
    let all = counts.last().context("no ticks")?.1;
    let found = counts.iter().find(|(_, count)| *count >= 0.99 * all);
    Ok(found.context("no ticks")?.0)
}

fn map(args: &Args) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/manhattan.osm.pbf");
    args.map.clone().unwrap_or(shipped)
}

/// What the vehicles and the page need.
struct Parts {
    mqtt: SocketAddr,
    all: Vec<Part>,
    _files: tempfile::TempDir,
}

impl Parts {
    async fn start(kafka: &Kafka, args: &Args) -> anyhow::Result<Self> {
        let files = tempfile::tempdir()?;
        let users = files.path().join("users");
        std::fs::write(&users, format!("simulator={PASSWORD}\n"))?;
        let of_the_demo = |name: &str| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../demo")
                .join(name)
        };
        let servers = &kafka.bootstrap_servers;
        let mut broker = Part::start("broker", "MONITORING_PORT", |command| {
            command
                .arg("--config")
                .arg(of_the_demo("broker.toml"))
                .env("KAFKA_BOOTSTRAP_SERVERS", servers)
                .env("LISTEN_ADDRESS", "127.0.0.1")
                .env("MQTT_PORT", "0")
                .env("MQTT_WS_PORT", "0")
                .env("USERS_FILE_PATH", &users)
                .env("AUTHENTICATION_REQUIRED", "false")
                .env("AUTHORIZATION_RULES_PATH", of_the_demo("access.csv"));
        })
        .await?;
        let line = broker.process.line().await?;
        let (mqtt, ws) =
            addresses(&line).with_context(|| format!("`{line}` does not say where mqtt is"))?;
        let aggregator = Part::start("aggregator", "AGGREGATOR_METRICS_PORT", |command| {
            command
                .env("KAFKA_BOOTSTRAP_SERVERS", servers)
                // So that the totals stand still once the vehicles are gone, and can be compared.
                .env("SILENT_AFTER_S", "3600");
        })
        .await?;
        let web_ui = Part::start("web-ui", "WEB_UI_PORT", |command| {
            command
                .env("MAP", map(args))
                .env("MQTT_WS_PORT", ws.port().to_string());
        })
        .await?;
        Ok(Self {
            mqtt,
            all: vec![broker, aggregator, web_ui],
            _files: files,
        })
    }
}

/// From `… mqtt on HOST:PORT, websocket on HOST:PORT, …`.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let after = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split([',', ' ']).next()?.parse().ok()
    };
    Some((after("mqtt on ")?, after("websocket on ")?))
}

/// A client that sees the whole map, and one that gets the JSON of the first vehicles.
struct Page {
    seen: Arc<Mutex<Seen>>,
    measures: Arc<AtomicBool>,
    clients: Vec<JoinHandle<anyhow::Result<()>>>,
}

struct Seen {
    /// Of the newest position of each vehicle on the map.
    newest: HashMap<Plate, u64>,
    frames: u64,
    positions: u64,
    /// From a vehicle's position to the client, in ms.
    frame_ms: Histogram<u64>,
    position_ms: Histogram<u64>,
    /// Which could not be read.
    broken: u64,
}

impl Page {
    async fn open(mqtt: SocketAddr) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 600_000, 3);
        let seen = Arc::new(Mutex::new(Seen {
            newest: HashMap::new(),
            frames: 0,
            positions: 0,
            frame_ms: histogram()?,
            position_ms: histogram()?,
            broken: 0,
        }));
        let measures = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for (name, filter) in [
            ("map", "fleet/map/#"),
            ("visible", "fleet/visible_vehicle_updates/#"),
        ] {
            let mut client = Client::connect(mqtt, name, Options::default()).await?;
            client.subscribe(filter, QoS::AtMostOnce).await?;
            let (seen, measures) = (Arc::clone(&seen), Arc::clone(&measures));
            clients.push(tokio::spawn(async move {
                client
                    .take(|publish| {
                        let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
                        let measures = measures.load(Ordering::Relaxed);
                        seen.lock().take(topic, &publish.payload, measures);
                    })
                    .await
            }));
        }
        Ok(Self {
            seen,
            measures,
            clients,
        })
    }

    fn measure(&self, on: bool) {
        self.measures.store(on, Ordering::Relaxed);
    }

    /// Waits for what Kafka has and this has not seen yet.
    async fn all(self, kafka: &Kafka) -> anyhow::Result<Delivered> {
        let frames = count(kafka, topics::KAFKA_MAP_FRAMES).await?;
        let positions = count(kafka, topics::KAFKA_VISIBLE_VEHICLE_UPDATES).await?;
        let mut last = (0, Instant::now());
        loop {
            let now = {
                let seen = self.seen.lock();
                ensure!(seen.broken == 0, "{} messages are broken", seen.broken);
                seen.frames + seen.positions
            };
            if now > last.0 {
                last = (now, Instant::now());
            }
            if now >= frames + positions || last.1.elapsed() > PATIENCE / 6 {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        for client in self.clients {
            ensure!(!client.is_finished(), "a client was disconnected");
            client.abort();
        }
        Ok(Delivered {
            frames,
            positions,
            seen: self.seen,
        })
    }
}

impl Seen {
    fn take(&mut self, topic: &str, payload: &[u8], measures: bool) {
        let now = now_ms();
        let Some(cell) = topic.strip_prefix("fleet/map/") else {
            self.positions += 1;
            match Position::from_json(payload) {
                Ok(position) if measures => {
                    let age = now.saturating_sub(position.update_timestamp);
                    self.position_ms.saturating_record(age);
                }
                Ok(_) => {}
                Err(_) => self.broken += 1,
            }
            return;
        };
        self.frames += 1;
        let frame = cell
            .parse::<Cell>()
            .ok()
            .and_then(|cell| Frame::decode(payload, cell).ok());
        let Some(frame) = frame else {
            self.broken += 1;
            return;
        };
        for vehicle in frame.vehicles {
            let newest = self.newest.entry(vehicle.plate).or_default();
            if vehicle.timestamp_ms > *newest {
                *newest = vehicle.timestamp_ms;
                if measures {
                    self.frame_ms
                        .saturating_record(now.saturating_sub(vehicle.timestamp_ms));
                }
            }
        }
    }
}

/// What has come to the clients, beside what Kafka has.
struct Delivered {
    frames: u64,
    positions: u64,
    seen: Arc<Mutex<Seen>>,
}

impl Delivered {
    fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let seen = self.seen.lock();
        let of = |came: u64, stored: u64| format!("{came} of {stored} in Kafka");
        ensure!(!seen.frame_ms.is_empty(), "no vehicle came to the map");
        let mut rows = vec![
            Row::new(
                SCENARIO,
                "map frames delivered",
                100.0 * seen.frames as f64 / self.frames as f64,
                "%",
            )
            .note(of(seen.frames, self.frames)),
            Row::new(
                SCENARIO,
                "JSON of the visible vehicles delivered",
                100.0 * seen.positions as f64 / self.positions as f64,
                "%",
            )
            .note(of(seen.positions, self.positions)),
        ];
        for (what, histogram) in [
            ("vehicle to client by map frames", &seen.frame_ms),
            ("vehicle to client by JSON", &seen.position_ms),
        ] {
            for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
                let ms = histogram.value_at_quantile(quantile) as f64;
                rows.push(Row::new(SCENARIO, format!("{what}, {name}"), ms, "ms"));
            }
        }
        Ok(rows)
    }
}

/// What the log itself says.
struct Recount {
    records: u64,
    /// Numbers between a vehicle's first and last that are not there.
    missing: u64,
    companies: BTreeMap<String, CompanyTotal>,
}

#[derive(Default)]
struct OfPlate {
    first: u64,
    count: u64,
    newest: Option<Position>,
}

impl Recount {
    /// Reads all positions.
    async fn of(kafka: &Kafka) -> anyhow::Result<Self> {
        let settings = kafka.settings();
        let plates = tokio::task::spawn_blocking(move || {
            let mut plates: HashMap<Plate, OfPlate> = HashMap::new();
            let mut broken = 0u64;
            kafka::read_to_end(
                &settings,
                topics::KAFKA_VEHICLE_UPDATES,
                PATIENCE,
                |record| {
                    let value = record.value.as_deref().unwrap_or_default();
                    let Ok(position) = Position::from_json(value) else {
                        broken += 1;
                        return;
                    };
                    let known = plates.entry(position.plate.clone()).or_default();
                    if known.count == 0 {
                        known.first = position.sequence;
                    }
                    known.count += 1;
                    known.newest = Some(position);
                },
            )?;
            ensure!(broken == 0, "{broken} records are no positions");
            Ok(plates)
        })
        .await??;
        let mut recount = Self {
            records: 0,
            missing: 0,
            companies: BTreeMap::new(),
        };
        for of in plates.into_values() {
            let Some(newest) = of.newest else { continue };
            recount.records += of.count;
            let numbered = newest.sequence.saturating_sub(of.first) + 1;
            recount.missing += numbered.saturating_sub(of.count);
            let company = newest.company_name.clone();
            let total = recount
                .companies
                .entry(company.clone())
                .or_insert_with(|| CompanyTotal {
                    company,
                    vehicles: 0,
                    hired: 0,
                    passengers: 0,
                    mean_speed: 0.0,
                    update_timestamp: 0,
                });
            total.vehicles += 1;
            total.hired += u64::from(newest.is_hired);
            total.passengers += u64::from(newest.passengers);
            total.update_timestamp = total.update_timestamp.max(newest.update_timestamp);
        }
        Ok(recount)
    }

    /// Waits until the published totals say the same.
    async fn equals_totals(&self, kafka: &Kafka) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let published = totals(kafka).await?;
            let differs = |company: &&String| {
                let facts =
                    |of: &CompanyTotal| (of.vehicles, of.hired, of.passengers, of.update_timestamp);
                published.get(*company).map(facts) != self.companies.get(*company).map(facts)
            };
            let all = published.keys().chain(self.companies.keys());
            let different: Vec<&String> = all.filter(differs).collect();
            match different.first() {
                None => return Ok(()),
                Some(company) if Instant::now() >= deadline => bail!(
                    "the totals of {company} are {:?}, and the positions say {:?}",
                    published.get(*company),
                    self.companies.get(*company)
                ),
                Some(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// The totals that are published.
async fn totals(kafka: &Kafka) -> anyhow::Result<BTreeMap<String, CompanyTotal>> {
    let settings = kafka.settings();
    tokio::task::spawn_blocking(move || {
        let mut totals = BTreeMap::new();
        kafka::read_to_end(
            &settings,
            topics::KAFKA_COMPANY_PASSENGERS,
            PATIENCE,
            |record| {
                let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
                let total = record.value.as_deref().map(CompanyTotal::from_json);
                match total {
                    Some(Ok(total)) => {
                        totals.insert(key.into_owned(), total);
                    }
                    _ => {
                        totals.remove(&*key);
                    }
                }
            },
        )?;
        Ok(totals)
    })
    .await?
}

/// How many records a Kafka topic holds.
async fn count(kafka: &Kafka, kafka_topic: &'static str) -> anyhow::Result<u64> {
    let settings = kafka.settings();
    tokio::task::spawn_blocking(move || {
        let mut count = 0;
        kafka::read_to_end(&settings, kafka_topic, PATIENCE, |_| count += 1)?;
        Ok(count)
    })
    .await?
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_p99_is_of_the_ticks_in_between() {
        let before = [(0.001, 500.0), (0.01, 600.0), (f64::INFINITY, 600.0)];
        let after = [(0.001, 598.0), (0.01, 699.0), (f64::INFINITY, 700.0)];
        assert_eq!(p99(&before, &after).unwrap(), 0.01);
        assert!(p99(&[], &[]).is_err());
    }

    #[test]
    fn the_broker_says_where_it_is() {
        let line = "broker: mqtt on 127.0.0.1:1883, websocket on 127.0.0.1:1893, metrics on 127.0.0.1:1884";
        let (mqtt, ws) = addresses(line).unwrap();
        assert_eq!((mqtt.port(), ws.port()), (1883, 1893));
    }
}
