//! The whole of Convoy in one process, seen from outside: Kafka, MQTT clients that nobody here wrote, and a browser.
//!
//! On the embedded Kafka, or on the one that `TEST_KAFKA` names. Programs that are not installed are named and what
//! needs them is passed over; CI installs them all.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use demo::{Config, Demo};
use fleet::totals::Json;
use fleet::{CompanyTotal, Frame, Kind, Position};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// One demo at a time: they share the machine, and a real Kafka's topics.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn start(change: impl FnOnce(&mut Config)) -> Demo {
    let mut config = Config::on_free_ports();
    config.vehicles = 40;
    config.kafka_bootstrap_servers = std::env::var("TEST_KAFKA")
        .ok()
        .filter(|servers| !servers.is_empty());
    change(&mut config);
    Demo::start(config, |part, line| eprintln!("{part}: {line}"))
        .await
        .unwrap()
}

/// The newest value of each key, tombstones left out; read straight from Kafka.
async fn newest(demo: &Demo, kafka_topic: &'static str) -> BTreeMap<String, Vec<u8>> {
    let settings = kafka::Settings::new(demo.bootstrap_servers());
    tokio::task::spawn_blocking(move || {
        let mut newest = BTreeMap::new();
        kafka::read_to_end(&settings, kafka_topic, PATIENCE, |record| {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            match record.value {
                Some(value) => newest.insert(key, value.to_vec()),
                None => newest.remove(&key),
            };
        })
        .unwrap();
        newest
    })
    .await
    .unwrap()
}

/// Tries again until it gives something, or fails with what it gave last.
async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(last) if started.elapsed() > PATIENCE => panic!("{what}: {last}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vehicles_move_and_the_totals_equal_a_recount() {
    let _one = ONE_AT_A_TIME.lock().await;
    // Nobody leaves the totals by the time that the test takes.
    let mut demo = start(|config| config.silent_after_s = 86_400).await;
    let first = eventually("positions", async || {
        let newest = newest(&demo, "vehicle_updates").await;
        (newest.len() >= 40)
            .then_some(newest)
            .ok_or("fewer than 40 vehicles".into())
    })
    .await;
    eventually("movement", async || {
        let now = newest(&demo, "vehicle_updates").await;
        let moved = first.iter().filter(|(plate, before)| {
            let place = |json: &[u8]| Position::from_json(json).unwrap().current;
            place(before).distance_m(place(&now[*plate])) > 5.0
        });
        let moved = moved.count();
        (moved >= 10)
            .then_some(())
            .ok_or(format!("{moved} vehicles moved"))
    })
    .await;
    demo.stop_vehicles().await.unwrap();
    eventually("totals", async || {
        let mut recount: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
        for json in newest(&demo, "vehicle_updates").await.values() {
            let position = Position::from_json(json).unwrap();
            let total = recount.entry(position.company_name).or_default();
            total.0 += 1;
            total.1 += u64::from(position.is_hired);
            total.2 += u64::from(position.passengers);
        }
        let totals: BTreeMap<String, (u64, u64, u64)> = newest(&demo, "company_passengers")
            .await
            .into_iter()
            .map(|(company, json)| {
                let total = CompanyTotal::from_json(&json).unwrap();
                assert_eq!(total.company, company);
                (company, (total.vehicles, total.hired, total.passengers))
            })
            .collect();
        (totals == recount)
            .then_some(())
            .ok_or(format!("{totals:?} is not the recount {recount:?}"))
    })
    .await;
    eventually("every vehicle on the map", async || {
        let listed: u32 = newest(&demo, "map_frames")
            .await
            .iter()
            .map(|(cell, frame)| Frame::decode(frame, cell.parse().unwrap()).unwrap().total)
            .sum();
        let vehicles = newest(&demo, "vehicle_updates").await.len();
        (listed as usize == vehicles)
            .then_some(())
            .ok_or(format!("{listed} of {vehicles}"))
    })
    .await;
    // Every vehicle has said goodbye.
    eventually("goodbyes", async || {
        let status = newest(&demo, "vehicle_status").await;
        let online = status.values().filter(|value| *value != b"offline").count();
        (online == 0)
            .then_some(())
            .ok_or(format!("{online} vehicles are still online"))
    })
    .await;
    demo.stop().await.unwrap();
}

/// Runs a program to its end; `None` where it is not installed.
async fn run(program: &str, package: &str, args: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED {program}: not installed; apt-get install {package}");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_mosquitto_see_plain_records_and_messages() {
    let _one = ONE_AT_A_TIME.lock().await;
    let demo = start(|_| {}).await;
    let servers = demo.bootstrap_servers().to_owned();
    let kcat = [
        "-b",
        &servers,
        "-t",
        "vehicle_updates",
        "-C",
        "-c",
        "5",
        "-f",
        "%k %s\n",
    ];
    if let Some(output) = run("kcat", "kcat", &kcat).await {
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 5, "{text}");
        for line in text.lines() {
            let (plate, json) = line.split_once(' ').unwrap();
            assert_eq!(
                Position::from_json(json.as_bytes()).unwrap().plate.as_str(),
                plate
            );
        }
    }
    let port = demo.mqtt_addr().port().to_string();
    let status = "fleet/vehicle_status/#";
    let updates = "fleet/vehicle_updates/#";
    // More than the vehicles have to say of their status.
    let listen = [
        "-p", &port, "-t", status, "-t", updates, "-v", "-C", "200", "-W", "60",
    ];
    let Some(output) = run("mosquitto_sub", "mosquitto-clients", &listen).await else {
        return demo.stop().await.unwrap();
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut positions = 0;
    for line in text.lines() {
        let (topic, payload) = line.split_once(' ').unwrap();
        if let Some(plate) = topic.strip_prefix("fleet/vehicle_updates/") {
            let position = Position::from_json(payload.as_bytes()).unwrap();
            assert_eq!(position.plate.as_str(), plate);
            positions += 1;
        }
    }
    assert!(positions > 0, "no position in {text}");
    // Retained: a new subscriber has them at once.
    assert!(text.contains("fleet/vehicle_status/"), "{text}");

    // The browser's credentials, and nobody's, can't publish.
    for login in [&["-u", "browser", "-P", "browser"][..], &[]] {
        for version in ["mqttv311", "mqttv5"] {
            let mut publish = vec!["-p", &port, "-V", version, "-q", "1", "-m", "x"];
            publish.extend(["-t", "fleet/vehicle_updates/EVIL"]);
            publish.extend(login);
            let output = run("mosquitto_pub", "mosquitto-clients", &publish)
                .await
                .unwrap();
            let says = String::from_utf8_lossy(&output.stderr).to_lowercase();
            let refused = !output.status.success() || says.contains("not authorized");
            assert!(refused, "{version} {login:?}: {output:?}");
        }
    }
    assert!(!newest(&demo, "vehicle_updates").await.contains_key("EVIL"));
    demo.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn trucks_drive_in_italy() {
    let _one = ONE_AT_A_TIME.lock().await;
    let demo = start(|config| config.kind = Kind::Truck).await;
    eventually("trucks", async || {
        let (trucks, _) = in_italy(&demo).await;
        (trucks >= 40)
            .then_some(())
            .ok_or(format!("{trucks} trucks"))
    })
    .await;
    demo.stop().await.unwrap();
}

/// How many trucks and taxis there are in Italy.
async fn in_italy(demo: &Demo) -> (usize, usize) {
    let newest = newest(demo, "vehicle_updates").await;
    let found = newest
        .values()
        .filter_map(|json| Position::from_json(json).ok())
        .filter(|position| (35.0..48.0).contains(&position.current.lat))
        // Manhattan is as far north.
        .filter(|position| position.current.lng > 0.0);
    let (trucks, taxis): (Vec<_>, Vec<_>) = found.partition(|it| it.kind == Kind::Truck);
    (trucks.len(), taxis.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scenario_mixes_trucks_and_taxis_in_italy() {
    let _one = ONE_AT_A_TIME.lock().await;
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("few.toml");
    let map = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/italy.osm.pbf");
    let fleet = |kind, count| format!("[[fleet]]\nkind = \"{kind}\"\ncount = {count}\n");
    let text = format!("map = {map:?}\n{}{}", fleet("truck", 30), fleet("taxi", 10));
    std::fs::write(&file, text).unwrap();
    let demo = start(|config| {
        config.scenario = Some(file);
        config.speed = "10".into();
    })
    .await;
    eventually("30 trucks and 10 taxis", async || {
        let (trucks, taxis) = in_italy(&demo).await;
        // A real Kafka may still have the vehicles of the test before.
        (trucks >= 30 && taxis >= 10)
            .then_some(())
            .ok_or(format!("{trucks} trucks, {taxis} taxis"))
    })
    .await;
    demo.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_sees_the_fleet_and_may_only_look() {
    let _one = ONE_AT_A_TIME.lock().await;
    let demo = start(|_| {}).await;
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web-ui/client");
    let script = client.join("e2e/page.mjs");
    let url = demo.page_url();
    // Screenshots for the README: made when asked for, so that a test run leaves the checkout as it is.
    let screenshots = std::env::var("SCREENSHOTS").unwrap_or_default();
    let mut args = vec![script.to_str().unwrap(), &url];
    if !screenshots.is_empty() {
        args.push(&screenshots);
    }
    let output = run("node", "nodejs", &args)
        .await
        .expect("the build has needed node already");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    eprintln!("{said}{complained}");
    match output.status.code() {
        Some(0) => {}
        Some(77) => eprintln!("SKIPPED the browser test: {complained}"),
        _ => panic!("the page failed: {complained}"),
    }
    demo.stop().await.unwrap();
}
