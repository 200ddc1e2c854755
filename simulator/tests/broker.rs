//! The fleet against a real broker: mosquitto, where it is installed.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use clap::Parser;
use fleet::{Kind, Position};
use simulator::{Config, Simulator};
use support::{Mosquitto, Watcher, flags, free_port};

#[tokio::test]
async fn vehicles_publish_survive_a_broker_restart_and_say_goodbye() {
    for (client, qos) in [
        ("rumqttc", "0"),
        ("lean", "0"),
        ("rumqttc", "1"),
        ("lean", "1"),
    ] {
        publish_survive_and_say_goodbye(client, qos).await;
    }
}

async fn publish_survive_and_say_goodbye(client: &str, qos: &str) {
    let Some(broker) = Mosquitto::start(free_port()) else {
        return;
    };
    let port = broker.port;
    let cache = tempfile::tempdir().unwrap();
    let shutdown = service::Shutdown::new();
    let mut flags = flags(client, port, cache.path());
    flags.extend(["--qos".into(), qos.into()]);
    let config = Config::parse_from(flags);
    let simulator = Simulator::start(config, shutdown.clone()).await.unwrap();
    assert!(
        simulator.summary().starts_with("6 taxis on "),
        "{}",
        simulator.summary()
    );

    let mut watcher = Watcher::new(port);
    watcher.until_all("online").await;
    let mut last: BTreeMap<String, Position> = BTreeMap::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    let mut visible = BTreeSet::new();
    watcher
        .until("ten positions of each", |topic, publish| {
            let [_, kind, plate] = topic.split('/').collect::<Vec<_>>()[..] else {
                panic!("{topic}");
            };
            if kind == "vehicle_status" {
                return false;
            }
            let position = Position::from_json(&publish.payload).unwrap();
            assert_eq!(position.plate.as_str(), plate);
            if kind == "visible_vehicle_updates" {
                visible.insert(plate.to_owned());
                return false;
            }
            if let Some(before) = last.insert(plate.to_owned(), position.clone()) {
                assert_eq!(position.sequence, before.sequence + 1);
            }
            *count.entry(plate.to_owned()).or_default() += 1;
            count.len() == 6 && count.values().all(|n| *n >= 10)
        })
        .await;
    assert_eq!(visible.len(), 2);

    drop(broker);
    let broker = Mosquitto::start(port).unwrap();
    watcher.until_all("online").await;
    let mut moved = BTreeSet::new();
    watcher
        .until("all vehicles after the restart", |topic, publish| {
            let Some(plate) = topic.strip_prefix("fleet/vehicle_updates/") else {
                return false;
            };
            let position = Position::from_json(&publish.payload).unwrap();
            assert!(position.sequence > last[plate].sequence);
            moved.insert(plate.to_owned());
            moved.len() == 6
        })
        .await;

    shutdown.cancel();
    let (finished, ()) = tokio::join!(simulator.finished(), watcher.until_all("offline"));
    finished.unwrap();
    drop(broker);
}

#[tokio::test]
async fn a_killed_simulator_leaves_its_last_wills() {
    for client in ["rumqttc", "lean"] {
        leave_last_wills(client).await;
    }
}

async fn leave_last_wills(client: &str) {
    let Some(broker) = Mosquitto::start(free_port()) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let mut simulator = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(&flags(client, broker.port, cache.path())[1..])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut watcher = Watcher::new(broker.port);
    watcher.until_all("online").await;
    simulator.kill().unwrap();
    simulator.wait().unwrap();
    watcher.until_all("offline").await;
}

#[tokio::test]
async fn a_missing_broker_is_waited_for() {
    let port = free_port();
    let cache = tempfile::tempdir().unwrap();
    let shutdown = service::Shutdown::new();
    let config = Config::parse_from(flags("lean", port, cache.path()));
    let simulator = Simulator::start(config, shutdown.clone()).await.unwrap();
    let Some(broker) = Mosquitto::start(port) else {
        return;
    };
    let mut watcher = Watcher::new(port);
    watcher.until_all("online").await;
    shutdown.cancel();
    simulator.finished().await.unwrap();
    drop(broker);
}

#[tokio::test]
async fn a_scenario_mixes_fleets() {
    let Some(broker) = Mosquitto::start(free_port()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let scenario = dir.path().join("day.toml");
    let map = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/manhattan.osm.pbf");
    let text = format!(
        "map = '{map}'\n[[fleet]]\nkind = 'taxi'\ncount = 4\ncompanies = 1\n[[fleet]]\nkind = 'truck'\ncount = 2\n"
    );
    std::fs::write(&scenario, text).unwrap();
    let shutdown = service::Shutdown::new();
    let port = broker.port.to_string();
    let config = Config::parse_from([
        "simulator",
        "--scenario",
        scenario.to_str().unwrap(),
        "--map-cache",
        dir.path().to_str().unwrap(),
        "--metrics-port",
        "0",
        "--mqtt-port",
        &port,
    ]);
    let simulator = Simulator::start(config, shutdown.clone()).await.unwrap();
    let summary = simulator.summary();
    assert!(summary.starts_with("4 taxis on ") && summary.contains("; 2 trucks on "));
    let mut watcher = Watcher::new(broker.port);
    let mut seen = BTreeMap::new();
    watcher
        .until("all of both fleets", |topic, publish| {
            if topic.starts_with("fleet/vehicle_updates/") {
                let position = Position::from_json(&publish.payload).unwrap();
                seen.insert(position.id, (position.kind, position.company_name));
            }
            seen.len() == 6
        })
        .await;
    for (id, (kind, company)) in seen {
        let is_taxi = id.parse::<u32>().unwrap() < 4;
        assert_eq!(kind == Kind::Taxi, is_taxi, "vehicle {id}");
        assert_eq!(company == "Meridian Taxi", is_taxi, "vehicle {id}");
    }
    shutdown.cancel();
    simulator.finished().await.unwrap();
}
