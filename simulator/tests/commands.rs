//! An operator tells vehicles where to go, by MQTT 5 request and response.

// A helper of a test fails by panicking, as the test does.
#![allow(clippy::unwrap_used)]

mod support;

use clap::Parser;
use fleet::{Command, LatLng, Position, Reply};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use simulator::{Config, Simulator};
use support::{Mosquitto, Watcher, flags, free_port};

/// Beside Bryant Park.
const PARK: LatLng = LatLng::new(40.7536, -73.9832);

fn send(operator: &Watcher, plate: &str, payload: &[u8], reply: Option<(&str, &str)>) {
    let properties = PublishProperties {
        response_topic: reply.map(|(topic, _)| topic.to_owned()),
        correlation_data: reply.map(|(_, correlation)| correlation.to_owned().into()),
        ..PublishProperties::default()
    };
    let topic = format!("fleet/commands/{plate}");
    let (qos, payload) = (QoS::AtLeastOnce, payload.to_vec());
    operator
        .client
        .try_publish_with_properties(topic, qos, false, payload, properties)
        .unwrap();
}

/// Sends a command and waits for the answer to it.
async fn ask(operator: &mut Watcher, plate: &str, payload: &[u8], number: u32) -> Reply {
    let correlation = format!("request {number}");
    send(
        operator,
        plate,
        payload,
        Some(("fleet/replies/desk", &correlation)),
    );
    let mut reply = None;
    operator
        .until("the answer", |topic, publish| {
            if topic != "fleet/replies/desk" {
                return false;
            }
            let properties = publish.properties.as_ref().unwrap();
            assert_eq!(properties.correlation_data.as_ref().unwrap(), &correlation);
            reply = Some(serde_json::from_slice(&publish.payload).unwrap());
            true
        })
        .await;
    reply.unwrap()
}

fn json(command: &Command) -> Vec<u8> {
    serde_json::to_vec(command).unwrap()
}

async fn commands_are_carried_out_and_answered(client: &str) {
    let Some(broker) = Mosquitto::start(free_port()) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let shutdown = service::Shutdown::new();
    let mut flags = flags(client, broker.port, cache.path());
    // A way across town in the time of a test.
    flags.extend(["--speed".into(), "100".into()]);
    let config = Config::parse_from(flags);
    let simulator = Simulator::start(config, shutdown.clone()).await.unwrap();
    let mut operator = Watcher::new(broker.port);
    operator.until_all("online").await;
    let mut plate = String::new();
    operator
        .until("a vehicle", |topic, _| {
            let found = topic.strip_prefix("fleet/vehicle_updates/");
            plate = found.unwrap_or_default().to_owned();
            found.is_some()
        })
        .await;

    for (number, bad, why) in [
        (1, &b"go home"[..], "not a command"),
        (
            2,
            br#"{"command":"go","destination":{"lat":91,"lng":0}}"#,
            "out of range",
        ),
        (
            3,
            br#"{"command":"go","destination":{"lat":0,"lng":0}}"#,
            "within 1000 m",
        ),
    ] {
        match ask(&mut operator, &plate, bad, number).await {
            Reply::Refused { reason } => assert!(reason.contains(why), "{reason}"),
            accepted @ Reply::Accepted { .. } => panic!("{accepted:?}"),
        }
    }

    let go = json(&Command::Go { destination: PARK });
    let Reply::Accepted {
        destination,
        eta_seconds,
    } = ask(&mut operator, &plate, &go, 4).await
    else {
        panic!("it can drive to the park");
    };
    assert!(destination.distance_m(PARK) < 300.0);
    assert!((0.0..7_200.0).contains(&eta_seconds));
    arrival(&mut operator, &plate, destination).await;

    // Without a response topic, or with one where no answers go, it is carried out all the same.
    let harbour = LatLng::new(40.7050, -74.0090);
    let go = json(&Command::Go {
        destination: harbour,
    });
    send(
        &operator,
        &plate,
        &go,
        Some(("fleet/vehicle_updates/T1A23", "x")),
    );
    arrival_near(&mut operator, &plate, harbour).await;
    send(
        &operator,
        &plate,
        &json(&Command::Go { destination: PARK }),
        None,
    );
    arrival_near(&mut operator, &plate, PARK).await;

    let Reply::Accepted { destination, .. } =
        ask(&mut operator, &plate, &json(&Command::Recall), 5).await
    else {
        panic!("it can drive home");
    };
    arrival(&mut operator, &plate, destination).await;
    shutdown.cancel();
    simulator.finished().await.unwrap();
}

async fn arrival(operator: &mut Watcher, plate: &str, destination: LatLng) {
    let own = format!("fleet/vehicle_updates/{plate}");
    operator
        .until("the arrival", |topic, publish| {
            assert_ne!(
                topic, "fleet/vehicle_updates/T1A23",
                "an answer where none may go"
            );
            topic == own && {
                let position = Position::from_json(&publish.payload).unwrap();
                position.speed == 0.0 && position.current.distance_m(destination) < 1.0
            }
        })
        .await;
}

/// Waits until it is on the way to a place near there, then until it is there.
async fn arrival_near(operator: &mut Watcher, plate: &str, asked: LatLng) {
    let own = format!("fleet/vehicle_updates/{plate}");
    let mut destination = None;
    operator
        .until("a new destination", |topic, publish| {
            topic == own && {
                let position = Position::from_json(&publish.payload).unwrap();
                destination = Some(position.destination);
                position.destination.distance_m(asked) < 300.0
            }
        })
        .await;
    arrival(operator, plate, destination.unwrap()).await;
}

#[tokio::test]
async fn the_lean_client_takes_commands() {
    commands_are_carried_out_and_answered("lean").await;
}

#[tokio::test]
async fn rumqttc_takes_commands() {
    commands_are_carried_out_and_answered("rumqttc").await;
}
