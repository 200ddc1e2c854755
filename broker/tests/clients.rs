//! Clients that nobody here wrote; each is passed over, by name, where it is not installed.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Output, Stdio};

use support::{Kafka, TestBroker};

/// Runs a program to its end; `None` where it is not installed.
async fn run(program: &str, fix: &str, args: &[String]) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap();
    match output {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED {program}: not installed; {fix}");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paho_mqtt_in_all_versions_and_transports() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/paho.py");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let args = [
        script.to_owned(),
        broker.broker.mqtt_addr().ip().to_string(),
        broker.broker.mqtt_addr().port().to_string(),
        broker.broker.ws_addr().port().to_string(),
    ];
    if let Some(output) = run(&python, "apt-get install python3", &args).await {
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => assert_eq!(said.lines().count(), 6, "{said}"),
            Some(77) => eprintln!("SKIPPED paho-mqtt: {complained}"),
            _ => panic!("{said}{complained}"),
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_at_every_qos() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let port = broker.broker.mqtt_addr().port().to_string();
    let fix = "apt-get install mosquitto-clients";
    let args = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            let topic = format!("{version}/{qos}");
            let login = [
                "-p", &port, "-u", "ann", "-P", "secret", "-V", version, "-q", qos,
            ];
            // Retained, so that it does not matter which of the two is there first.
            let publish = [&login[..], &["-t", &topic, "-m", "hello", "-r"]].concat();
            let Some(output) = run("mosquitto_pub", fix, &args(&publish)).await else {
                return broker.stop().await;
            };
            assert!(output.status.success(), "{output:?}");
            let listen = [&login[..], &["-t", &topic, "-C", "1", "-W", "30", "-v"]].concat();
            let output = run("mosquitto_sub", fix, &args(&listen)).await.unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text, format!("{topic} hello\n"), "{:?}", output.stderr);
        }
    }
    broker.stop().await;
}
