//! On a Kafka: totals equal a recount, dead letters are exact, whatever happens to the process.
//!
//! On the embedded Kafka; on the one that `TEST_KAFKA=host:port` names where it is set.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};

use aggregator::{Aggregator, Config};
use clap::Parser;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use service::Shutdown;
use support::{DEADLINE, TestKafka, Topics, Writer, eventually, recount};

const SAMPLE: &str = include_str!("../../crates/fleet/samples/vehicle_update.json");
const COMPANIES: [&str; 4] = ["Ada Cabs", "Bee Line", "Meridian Taxi", "Zürich Öko"];

/// Two instances share the work, one is killed in it, another comes; records come before, during and after.
#[tokio::test(flavor = "multi_thread")]
async fn totals_equal_a_recount_and_dead_letters_are_exact_over_kill_9() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let mut fleet = Fleet::new(&kafka, &topics, 7);

    let mut first = Process::start(&kafka, &topics);
    fleet.write(3_000).await;
    let second = Process::start(&kafka, &topics);
    eventually("both have partitions", async || {
        fleet.write(100).await;
        first.number("partitions").await == 3 && second.number("partitions").await == 3
    })
    .await;
    // Killed while records come: somewhere in its work.
    fleet.write(2_000).await;
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    fleet.write(500).await;
    // A company that has gone while nobody counted for some of its vehicles must go from the totals, too.
    fleet.retire("Bee Line").await;
    let third = Process::start(&kafka, &topics);
    fleet.write(2_000).await;
    fleet.check_all(&kafka, &topics).await;

    // And with a clean end: the other takes over, and a fourth one finds nothing to do.
    assert_eq!(third.terminate().code(), Some(0));
    fleet.write(200).await;
    fleet.check_all(&kafka, &topics).await;
    assert_eq!(second.terminate().code(), Some(0));
    let written = async || support::read_all(&kafka, &topics.company).await.len();
    let before = written().await;
    let fourth = Process::start(&kafka, &topics);
    eventually("all partitions", async || {
        fourth.number("partitions").await == 6
    })
    .await;
    fleet.check_all(&kafka, &topics).await;
    assert_eq!(fourth.terminate().code(), Some(0));
    let again = written().await - before;
    assert_eq!(again, 0, "totals that nobody changed were written again");
}

/// What is killed again and again, at moments that a seed decides, comes to the same totals.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_at_whatever_moment_nothing_is_counted_twice() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let mut fleet = Fleet::new(&kafka, &topics, 9);
    let mut random = ChaCha8Rng::seed_from_u64(10);
    for _ in 0..4 {
        let mut process = Process::start(&kafka, &topics);
        eventually("records are counted", async || {
            fleet.write(100).await;
            process.number("records_total").await > 0
        })
        .await;
        for _ in 0..random.random_range(1..12) {
            fleet.write(50).await;
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
    let last = Process::start(&kafka, &topics);
    fleet.check_all(&kafka, &topics).await;
    drop(last);
}

/// One that is stopped loses its partitions, and is woken in the middle of what it did: none of that may count.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_slept_can_not_store_what_others_have_done_meanwhile() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let mut fleet = Fleet::new(&kafka, &topics, 11);
    let sleeper = Process::start(&kafka, &topics);
    let other = Process::start(&kafka, &topics);
    eventually("both have partitions", async || {
        fleet.write(100).await;
        sleeper.number("partitions").await == 3 && other.number("partitions").await == 3
    })
    .await;
    fleet.write(500).await;
    sleeper.signal("-STOP");
    fleet.write(500).await;
    eventually("the other has all partitions", async || {
        other.number("partitions").await == 6
    })
    .await;
    fleet.write(500).await;
    sleeper.signal("-CONT");
    fleet.write(500).await;
    eventually("they share again", async || {
        sleeper.number("partitions").await == 3 && other.number("partitions").await == 3
    })
    .await;
    fleet.write(500).await;
    fleet.check_all(&kafka, &topics).await;
    assert_eq!(sleeper.terminate().code(), Some(0));
    assert_eq!(other.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_that_is_removed_leaves_every_total() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let process = Process::start(&kafka, &topics);
    let writer = Writer::new(&kafka, &topics.updates);
    writer.write(Some(b"T1A23"), Some(SAMPLE.as_bytes()));
    writer.flush().await;
    eventually("the totals", async || {
        let found = recount::published(&kafka, &topics).await;
        // Company, direction, two cells, minute.
        found.totals.len() == 5 && found.map.len() == 1
    })
    .await;
    writer.write(Some(b"T1A23"), Some(b""));
    writer.flush().await;
    eventually("tombstones", async || {
        let found = recount::published(&kafka, &topics).await;
        found.totals.keys().all(|(topic, _)| *topic == "minute") && found.map.is_empty()
    })
    .await;
    let records = support::read_all(&kafka, &topics.company).await;
    let last = records.last().unwrap();
    assert_eq!(last.key.as_deref(), Some(&b"Meridian Taxi"[..]));
    assert!(last.value.is_none());
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_that_falls_silent_leaves_every_total_with_an_alert_until_it_is_back() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let process = Process::start_with(
        &kafka.bootstrap_servers,
        &topics,
        &["--silent-after-s=1", "--stopped-after-s=1"],
    );
    let writer = Writer::new(&kafka, &topics.updates);
    writer.write(Some(b"T1A23"), Some(SAMPLE.as_bytes()));
    writer.flush().await;
    eventually("the alert, and no totals", async || {
        let found = recount::published(&kafka, &topics).await;
        found.alerts.get("T1A23") == Some(&vec![("offline".to_owned(), false)])
            && found.totals.keys().all(|(topic, _)| *topic == "minute")
            && found.map.is_empty()
    })
    .await;
    // It is back, and stands.
    let standing = SAMPLE.replace("38.5", "0");
    writer.write(Some(b"T1A23"), Some(standing.as_bytes()));
    let later = standing.replace("1767225600500", "1767225601500");
    writer.write(Some(b"T1A23"), Some(later.as_bytes()));
    writer.flush().await;
    let told = [("offline", false), ("offline", true), ("stopped", false)];
    let told = told.map(|(kind, ended)| (kind.to_owned(), ended));
    eventually("the alert's end", async || {
        let found = recount::published(&kafka, &topics).await;
        found.alerts["T1A23"].starts_with(&told)
    })
    .await;
    // What has ended is not retained.
    let ended = support::read_all(&kafka, &topics.alerts).await;
    let offline = ended
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"offline/T1A23"));
    let values: Vec<bool> = offline.map(|record| record.value.is_some()).collect();
    assert_eq!(values[..3], [true, true, false]);
    drop(process);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_was_counted() {
    let kafka = TestKafka::start().await;
    let topics = Topics::unique();
    let shutdown = Shutdown::new();
    let config = Config::parse_from(
        std::iter::once("aggregator".to_owned()).chain(flags(&kafka.bootstrap_servers, &topics)),
    );
    let aggregator = Aggregator::start(config, shutdown.clone()).await.unwrap();
    let admin = aggregator.admin_addr();
    let writer = Writer::new(&kafka, &topics.updates);
    writer.write(Some(b"T1A23"), Some(SAMPLE.as_bytes()));
    writer.write(Some(b"T1A23"), Some(b"no position"));
    writer.write(Some(b"T1A24"), None);
    writer.flush().await;
    for line in [
        "aggregator_records_total 2",
        "aggregator_invalid_records_total 1",
        "aggregator_dead_letters_total 1",
        "aggregator_late_records_total 0",
        "aggregator_restarts_total 0",
        "aggregator_lag_records 0",
        "aggregator_partitions 6",
        "aggregator_vehicles 1",
        "aggregator_companies 1",
        "aggregator_passengers{company=\"Meridian Taxi\"} 2",
    ] {
        eventually(line, async || {
            let (status, text) = get(admin, "/metrics").await;
            status == 200 && text.lines().any(|found| found == line)
        })
        .await;
    }
    eventually("ready", async || get(admin, "/ready").await.0 == 200).await;
    shutdown.cancel();
    aggregator.finished().await.unwrap();
}

/// Needs to stop Kafka, so it has one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_it_is_not_ready_and_goes_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = embedded_kafka::Config::new(dir.path());
    let server = embedded_kafka::Server::start(config.clone()).await.unwrap();
    config.listen = server.local_addr();
    let topics = Topics::unique();
    let process = Process::start_at(&server.bootstrap_servers(), &topics);
    process.until_ready().await;

    server.shutdown().await;
    eventually("not ready", async || {
        let (status, reason) = get(process.admin, "/ready").await;
        status == 503 && reason.starts_with("kafka does not answer: ")
    })
    .await;
    assert_eq!(get(process.admin, "/live").await.0, 200);

    let server = embedded_kafka::Server::start(config).await.unwrap();
    process.until_ready().await;
    let kafka = TestKafka::running(server, dir);
    let mut fleet = Fleet::new(&kafka, &topics, 8);
    fleet.write(500).await;
    fleet.check_all(&kafka, &topics).await;
    assert_eq!(process.terminate().code(), Some(0));
}

#[test]
fn what_can_not_start_says_so_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = taken.local_addr().unwrap();
    // A port that nobody listens on: it was free a moment ago.
    let nobody = std::net::TcpListener::bind((nobody.ip(), 0))
        .and_then(|listener| listener.local_addr())
        .unwrap();
    for (flags, code, line) in [
        (
            vec!["--kafka-bootstrap-servers".to_owned(), nobody.to_string()],
            1,
            format!(
                "aggregator: can't reach kafka at {nobody}: nothing answers; check KAFKA_BOOTSTRAP_SERVERS\n"
            ),
        ),
        (
            vec!["--publish-interval-ms=0".to_owned()],
            2,
            "aggregator: invalid value '0' for '--publish-interval-ms <MS>': 0 is not in 10..=60000; see --help\n"
                .to_owned(),
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_aggregator"))
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), line);
        assert_eq!(output.status.code(), Some(code));
    }
}

/// Writes updates of some vehicles, good ones and bad ones, decided by a seed.
struct Fleet {
    writer: Writer,
    bad_writer: Writer,
    random: ChaCha8Rng,
    company_of: BTreeMap<String, &'static str>,
    sequence: u64,
    /// Where Kafka put the records that say nothing.
    bad: Vec<(i32, i64)>,
}

impl Fleet {
    fn new(kafka: &TestKafka, topics: &Topics, seed: u64) -> Self {
        Self {
            writer: Writer::new(kafka, &topics.updates),
            bad_writer: Writer::new(kafka, &topics.updates),
            random: ChaCha8Rng::seed_from_u64(seed),
            company_of: BTreeMap::new(),
            sequence: 0,
            bad: Vec::new(),
        }
    }

    async fn write(&mut self, records: u32) {
        for _ in 0..records {
            let plate = format!("T{}", self.random.random_range(0..60));
            match self.random.random_range(0..100) {
                0..4 => self.write_bad(&plate),
                4..6 => self.remove(&plate, None),
                6..8 => self.remove(&plate, Some(b"")),
                _ => {
                    let company = COMPANIES.choose(&mut self.random).unwrap();
                    self.move_to(&plate, company);
                }
            }
        }
        self.flush().await;
    }

    async fn retire(&mut self, company: &str) {
        let plates: Vec<String> = self.company_of.keys().cloned().collect();
        for plate in plates {
            if self.company_of[&plate] == company {
                self.remove(&plate, None);
            }
        }
        self.flush().await;
    }

    fn move_to(&mut self, plate: &str, company: &'static str) {
        self.sequence += 1;
        let mut json: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
        let passengers = self.random.random_range(0..5);
        json["plate"] = plate.into();
        json["companyName"] = company.into();
        json["passengers"] = passengers.into();
        json["isHired"] = (passengers > 0).into();
        json["speed"] = self.random.random_range(0.0..90.0).into();
        if self.random.random_bool(0.7) {
            json["speedLimit"] = self.random.random_range(30.0..90.0).into();
        }
        // Manhattan, over some cells of the map.
        for place in ["current", "destination"] {
            json[place]["lat"] = self.random.random_range(40.7..40.8).into();
            json[place]["lng"] = self.random.random_range(-74.02..-73.95).into();
        }
        // Clocks differ, and sequences start again: the order of the log is what counts.
        json["updateTimestamp"] =
            (1_767_225_600_000 + self.random.random_range(0..200_000_u64)).into();
        json["sequence"] = (self.sequence % 700).into();
        let value = serde_json::to_vec(&json).unwrap();
        self.writer.write(Some(plate.as_bytes()), Some(&value));
        self.company_of.insert(plate.to_owned(), company);
    }

    fn remove(&mut self, plate: &str, nothing: Option<&[u8]>) {
        self.writer.write(Some(plate.as_bytes()), nothing);
        self.company_of.remove(plate);
    }

    fn write_bad(&mut self, plate: &str) {
        let (key, value): (Option<&[u8]>, Vec<u8>) = match self.random.random_range(0..7) {
            0 => (Some(plate.as_bytes()), b"hello".to_vec()),
            4 => (Some(b"T1A23"), SAMPLE.replace("38.5", "NaN").into()),
            5 => (Some(b"no plate"), SAMPLE.into()),
            1 => (Some(b"ANOTHER"), SAMPLE.into()),
            2 => (None, SAMPLE.into()),
            3 => (Some(b"T1A23"), SAMPLE.replace("38.5", "-1").into()),
            // Longer than what is kept of it.
            _ => (Some(plate.as_bytes()), vec![b'x'; 100_000]),
        };
        self.bad_writer.write(key, Some(&value));
    }

    async fn flush(&mut self) {
        self.writer.flush().await;
        let bad = self.bad_writer.flush().await;
        self.bad
            .extend(bad.iter().map(|at| (at.partition, at.offset)));
    }

    /// Totals become equal to the recount; each bad record is in the dead letters, once, and nothing else is.
    async fn check_all(&mut self, kafka: &TestKafka, topics: &Topics) {
        let expected = recount::recount(kafka, topics).await;
        assert!(expected.totals.len() >= 20, "{expected:?}");
        assert!(expected.alerts.len() >= 20, "{expected:?}");
        let mut different = None;
        let is_equal = async || {
            let published = recount::published(kafka, topics).await;
            different = recount::difference(&published, &expected);
            different.is_none()
        };
        if !support::within_deadline(is_equal).await {
            panic!(
                "not equal to the recount of {}: {}",
                topics.updates,
                different.unwrap_or_default()
            );
        }

        self.bad.sort_unstable();
        assert!(!self.bad.is_empty());
        eventually("all dead letters", async || {
            support::read_all(kafka, &topics.dead_letters).await.len() >= self.bad.len()
        })
        .await;
        let mut found = Vec::new();
        for letter in support::read_all(kafka, &topics.dead_letters).await {
            let text = |name: &str| {
                let header = letter.header(name).unwrap_or_else(|| panic!("no {name}"));
                String::from_utf8(header.to_vec()).unwrap()
            };
            assert_eq!(text("topic"), topics.updates);
            assert!(text("reason").len() > 10 && text("reason").len() <= 256);
            let bytes: usize = text("bytes").parse().unwrap();
            assert_eq!(letter.value.as_ref().unwrap().len(), bytes.min(4096));
            found.push((
                text("partition").parse().unwrap(),
                text("offset").parse().unwrap(),
            ));
        }
        found.sort_unstable();
        assert_eq!(found, self.bad);
    }
}

/// Nobody is silent or late by the time that a test takes, unless it says otherwise.
fn flags(bootstrap_servers: &str, topics: &Topics) -> Vec<String> {
    [
        ("--kafka-bootstrap-servers", bootstrap_servers),
        ("--group", &topics.group),
        ("--silent-after-s", "86400"),
        ("--stopped-after-s", "86400"),
        ("--allowed-lateness-s", "1200"),
        ("--updates-topic", &topics.updates),
        ("--company-topic", &topics.company),
        ("--direction-topic", &topics.direction),
        ("--cell-topic", &topics.cell),
        ("--minute-topic", &topics.minute),
        ("--alerts-topic", &topics.alerts),
        ("--map-topic", &topics.map),
        ("--dead-letters-topic", &topics.dead_letters),
        ("--publish-interval-ms", "20"),
        ("--metrics-port", "0"),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
    .collect()
}

/// The aggregator as its own process, so that it can be killed.
struct Process {
    child: Child,
    admin: SocketAddr,
}

impl Process {
    fn start(kafka: &TestKafka, topics: &Topics) -> Self {
        Self::start_at(&kafka.bootstrap_servers, topics)
    }

    fn start_at(bootstrap_servers: &str, topics: &Topics) -> Self {
        Self::start_with(bootstrap_servers, topics, &[])
    }

    /// Returns when its topics are there: it says where its admin port is after that. `more` beats the flags before.
    fn start_with(bootstrap_servers: &str, topics: &Topics, more: &[&str]) -> Self {
        let is_set = |flag: &str| more.iter().any(|more| more.starts_with(flag));
        let flags = flags(bootstrap_servers, topics);
        let flags = flags.chunks(2).filter(|flag| !is_set(&flag[0]));
        let mut child = Command::new(env!("CARGO_BIN_EXE_aggregator"))
            .args(flags.flatten())
            .args(more)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let admin = loop {
            let Some(line) = lines.next().map(Result::unwrap) else {
                panic!("it ended: {seen:?}");
            };
            if let Some((_, admin)) = line.split_once("admin=") {
                break admin.trim().parse().unwrap();
            }
            seen.push(line);
        };
        // Its further lines, so that it never waits for us to read them.
        std::thread::spawn(move || {
            lines.for_each(|line| eprintln!("{}", line.unwrap_or_default()))
        });
        Self { child, admin }
    }

    /// The value of a metric; 0 while there is none.
    async fn number(&self, metric: &str) -> u64 {
        let (_, text) = get(self.admin, "/metrics").await;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("aggregator_{metric} ")));
        value.map_or(0, |value| value.parse().unwrap())
    }

    async fn until_ready(&self) {
        eventually("ready", async || get(self.admin, "/ready").await.0 == 200).await;
    }

    fn terminate(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it has ended already, as most tests want it.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Status and body.
async fn get(addr: SocketAddr, path: &str) -> (u16, String) {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    })
    .await
    .unwrap()
}
