//! Clients that nobody here wrote; each is passed over, by name, where it is not installed.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::{Kafka, TestBroker, write_file};

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
    python(&broker, "paho_messages.py", 6).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_at_every_qos() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let port = broker.broker.mqtt_addr().port().to_string();
    let fix = "apt-get install mosquitto-clients";
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

/// What was published while a client was away.
const MISSED: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn paho_mqtt_comes_back_to_its_session() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    python(&broker, "paho_session.py", 4).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_js_comes_back_to_its_session() {
    let Some(folder) = install_mqtt_js().await else {
        return;
    };
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    let script = folder.join("session.js").display().to_string();
    let args = [vec![script], places(&broker)].concat();
    if let Some(output) = run("node", "apt-get install nodejs", &args).await {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{output:?}");
        assert_eq!(said.lines().count(), 4, "{said}");
    }
    broker.stop().await;
}

/// Installs MQTT.js beside the build's own files, once; `None` where that can't be done.
async fn install_mqtt_js() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/mqttjs");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mqttjs");
    std::fs::create_dir_all(&folder).unwrap();
    let read = |folder: &Path| std::fs::read(folder.join("package-lock.json")).ok();
    let installed = folder.join("node_modules/mqtt/package.json");
    let is_there = installed.exists() && read(&folder) == read(&source);
    for name in ["package.json", "package-lock.json", "session.js"] {
        std::fs::copy(source.join(name), folder.join(name)).unwrap();
    }
    if !is_there {
        let prefix = folder.display().to_string();
        let words = ["ci", "--no-audit", "--no-fund", "--prefix", &prefix];
        let output = run("npm", "apt-get install npm", &args(&words)).await?;
        if !output.status.success() {
            let complained = String::from_utf8_lossy(&output.stderr);
            eprintln!("SKIPPED MQTT.js: npm ci failed: {complained}");
            return None;
        }
    }
    Some(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_sub_comes_back_to_its_session() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    for version in ["mqttv311", "mqttv5"] {
        let mosquitto = Mosquitto::new(&broker, version);
        let topic = format!("{version}/session");
        let subscriber = mosquitto.subscriber(&topic);
        if subscriber.subscribe().await.is_none() {
            break;
        }
        let mut expected: Vec<String> = (0..MISSED).map(|number| number.to_string()).collect();
        expected.push("end".into());
        for payload in &expected {
            mosquitto.publish(&topic, payload).await;
        }
        assert_eq!(subscriber.take(expected.len()).await, expected);
        // What comes next comes next: nothing came twice.
        mosquitto.publish(&topic, "later").await;
        assert_eq!(subscriber.take(1).await, ["later"]);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kcat_and_mosquitto_write_to_each_other() {
    let kafka = Kafka::start().await;
    let rule = "[[topic]]\nmqtt = \"trucks/{plate}/position\"\nkafka = \"{prefix}trucks\"\nkey = \"{plate}\"\n";
    let broker = TestBroker::start_with(&kafka, rule, &[]).await;
    let mosquitto = Mosquitto::new(&broker, "mqttv5");
    let subscriber = mosquitto.subscriber("trucks/+/position");
    let servers = &kafka.bootstrap_servers;
    let kafka_topic = kafka.topic("trucks");
    let fix = "apt-get install kcat";
    let is_there = run("kcat", fix, &args(&["-V"])).await.is_some();
    if is_there && subscriber.subscribe().await.is_some() {
        let files = tempfile::tempdir().unwrap();
        let record = write_file(&files, "record", "A1:from kcat\n")
            .display()
            .to_string();
        let write = [
            "-P",
            "-b",
            servers,
            "-t",
            &kafka_topic,
            "-K",
            ":",
            "-l",
            &record,
        ];
        let output = run("kcat", fix, &args(&write)).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(subscriber.take(1).await, ["from kcat"]);
        mosquitto
            .publish("trucks/B2/position", "from mosquitto")
            .await;
        let read = [
            "-C",
            "-b",
            servers,
            "-t",
            &kafka_topic,
            "-e",
            "-q",
            "-f",
            "%k=%s\n",
        ];
        let output = run("kcat", fix, &args(&read)).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["A1=from kcat", "B2=from mosquitto"],
            "{:?}",
            output.stderr
        );
    }
    broker.stop().await;
}

/// mosquitto_pub and mosquitto_sub at QoS 2.
struct Mosquitto {
    login: Vec<String>,
    is_v5: bool,
}

impl Mosquitto {
    const FIX: &str = "apt-get install mosquitto-clients";

    fn new(broker: &TestBroker, version: &str) -> Self {
        let port = broker.broker.mqtt_addr().port().to_string();
        let login = [
            "-p", &port, "-u", "ann", "-P", "secret", "-V", version, "-q", "2",
        ];
        Self {
            login: args(&login),
            is_v5: version == "mqttv5",
        }
    }

    async fn publish(&self, topic: &str, payload: &str) {
        let words = [self.login.clone(), args(&["-t", topic, "-m", payload])].concat();
        let output = run("mosquitto_pub", Self::FIX, &words).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// A persistent session with one subscription.
    fn subscriber(&self, topic: &str) -> MosquittoSub {
        let mut words = self.login.clone();
        words.extend(args(&["-c", "-i", "away", "-t", topic]));
        if self.is_v5 {
            words.extend(args(&["-x", "3600"]));
        }
        MosquittoSub(words)
    }
}

struct MosquittoSub(Vec<String>);

impl MosquittoSub {
    /// Subscribes and leaves; `None` where mosquitto_sub is not installed.
    async fn subscribe(&self) -> Option<()> {
        let words = [self.0.clone(), args(&["-E"])].concat();
        let output = run("mosquitto_sub", Mosquitto::FIX, &words).await?;
        assert!(output.status.success(), "{output:?}");
        Some(())
    }

    /// Comes back for some messages and leaves.
    async fn take(&self, count: usize) -> Vec<String> {
        let count = count.to_string();
        let words = [self.0.clone(), args(&["-C", &count, "-W", "60"])].concat();
        let output = run("mosquitto_sub", Mosquitto::FIX, &words).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

fn args(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Where the broker is, as the scripts take it.
fn places(broker: &TestBroker) -> Vec<String> {
    let (mqtt, ws) = (broker.broker.mqtt_addr(), broker.broker.ws_addr());
    vec![
        mqtt.ip().to_string(),
        mqtt.port().to_string(),
        ws.port().to_string(),
    ]
}

/// Runs a script of paho-mqtt that says `ok` a number of times.
async fn python(broker: &TestBroker, script: &str, count: usize) {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let fix = "apt-get install python3";
    let find = args(&["-c", "import paho.mqtt.client"]);
    // Asked apart, so that nothing which goes wrong in the script can look like this.
    match run(&python, fix, &find).await {
        Some(output) if !output.status.success() => {
            eprintln!("SKIPPED {script}: {python} has no paho-mqtt; pip install paho-mqtt");
        }
        None => {}
        Some(_) => {
            let path = format!("{}/tests/clients/{script}", env!("CARGO_MANIFEST_DIR"));
            let args = [vec![path], places(broker)].concat();
            let output = run(&python, fix, &args).await.unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let complained = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}{complained}");
            assert_eq!(said.lines().count(), count, "{said}");
        }
    }
}
