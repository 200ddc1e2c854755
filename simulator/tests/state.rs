//! A simulator that is killed or stopped goes on from its state file: where the vehicles were, with the trips they were on.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fleet::Position;
use support::{Mosquitto, Watcher, flags, free_port};

/// What a kill loses at most: the time between two files, and two ticks.
const LOST_MAX: Duration = Duration::from_millis(5_200);

/// The speed of the fastest road of the map, with some to spare.
const FASTEST_MPS: f64 = 30.0;

fn start(port: u16, dir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(&flags("lean", port, dir)[1..])
        .args(["--state-file", dir.join("state").to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Follows the fleet until `enough` says so of the newest positions of all six.
async fn positions(
    watcher: &mut Watcher,
    mut enough: impl FnMut(&BTreeMap<String, Position>) -> bool,
) -> BTreeMap<String, Position> {
    let mut last = BTreeMap::new();
    watcher
        .until("positions of all", |topic, publish| {
            if topic.starts_with("fleet/vehicle_updates/") {
                let position = Position::from_json(&publish.payload).unwrap();
                last.insert(position.plate.to_string(), position);
            }
            last.len() == 6 && enough(&last)
        })
        .await;
    last
}

fn trip_number(position: &Position) -> u64 {
    let (_, number) = position.trip_id.rsplit_once('-').unwrap();
    number.parse().unwrap()
}

fn terminate(child: &mut Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[tokio::test]
async fn a_restart_goes_on_and_a_kill_loses_no_more_than_the_interval() {
    let Some(broker) = Mosquitto::start(free_port()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::new(broker.port);

    let mut simulator = start(broker.port, dir.path());
    let first = positions(&mut watcher, |_| true).await;
    // Two files at least have been written by the time the vehicles have moved for so long.
    let begun = Instant::now();
    let before = positions(&mut watcher, |_| begun.elapsed() > LOST_MAX * 2).await;
    simulator.kill().unwrap();
    simulator.wait().unwrap();
    assert!(
        before
            .iter()
            .any(|(plate, p)| p.current != first[plate].current),
        "they drive"
    );

    let mut simulator = start(broker.port, dir.path());
    // The positions sent between the last look and the kill are of before it.
    let newer = |last: &BTreeMap<String, Position>| {
        last.iter()
            .all(|(plate, p)| p.sequence > before[plate].sequence + 500)
    };
    let after = positions(&mut watcher, newer).await;
    for (plate, now) in &after {
        let then = &before[plate];
        let apart_m = then.current.distance_m(now.current);
        let most_m = FASTEST_MPS * LOST_MAX.as_secs_f64() * 2.0;
        assert!(apart_m < most_m, "{plate} jumped {apart_m} m");
        assert!(trip_number(now).abs_diff(trip_number(then)) <= 1);
        assert_eq!(now.company_name, then.company_name);
    }

    // Stopped in order, they lose nothing: each goes on from its very last position.
    let mut last = after;
    terminate(&mut simulator);
    watcher
        .until("offline of all", {
            let mut offline = 0;
            let last = &mut last;
            move |topic, publish| {
                if topic.starts_with("fleet/vehicle_updates/") {
                    let position = Position::from_json(&publish.payload).unwrap();
                    last.insert(position.plate.to_string(), position);
                }
                offline += usize::from(&publish.payload[..] == b"offline" && !publish.retain);
                offline == 6
            }
        })
        .await;
    let mut simulator = start(broker.port, dir.path());
    let mut next: BTreeMap<String, Position> = BTreeMap::new();
    watcher
        .until("the first positions after the restart", |topic, publish| {
            if topic.starts_with("fleet/vehicle_updates/") {
                let position = Position::from_json(&publish.payload).unwrap();
                next.entry(position.plate.to_string()).or_insert(position);
            }
            next.len() == 6
        })
        .await;
    for (plate, now) in &next {
        let then = &last[plate];
        let apart_m = then.current.distance_m(now.current);
        // The ticks until the connection was there, on a machine that may be slow.
        assert!(apart_m < FASTEST_MPS * 5.0, "{plate} jumped {apart_m} m");
        assert!(now.sequence > then.sequence);
        assert!(trip_number(now) >= trip_number(then));
    }
    terminate(&mut simulator);
}
