//! A broker to connect to, and somebody who sees everything below `fleet/`.

// Not every test needs everything.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::time::timeout;

/// Generous: a condition is waited for, and a noisy machine is slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Mosquitto {
    pub(crate) port: u16,
    child: Child,
}

impl Mosquitto {
    pub(crate) fn start(port: u16) -> Option<Self> {
        let child = Command::new("mosquitto")
            .args(["-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self { port, child }),
            Err(error) => {
                eprintln!("skipped: can't run mosquitto ({error}): apt-get install mosquitto");
                None
            }
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn flags(client: &str, port: u16, cache: &std::path::Path) -> Vec<String> {
    [
        "simulator",
        "--map",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../data/manhattan.osm.pbf"),
        "--map-cache",
        cache.to_str().unwrap(),
        "--metrics-port",
        "0",
        "--vehicles",
        "6",
        "--visible",
        "2",
        "--interval-ms",
        "100",
        "--client",
        client,
        "--mqtt-port",
        &port.to_string(),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Somebody who sees everything below `fleet/`.
pub(crate) struct Watcher {
    events: EventLoop,
    pub(crate) client: AsyncClient,
}

impl Watcher {
    pub(crate) fn new(port: u16) -> Self {
        let options = MqttOptions::new("watcher", "127.0.0.1", port);
        let (client, events) = AsyncClient::new(options, 10);
        Self { events, client }
    }

    /// The next message, over as many connections as it takes.
    pub(crate) async fn next(&mut self) -> Publish {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    self.client
                        .try_subscribe("fleet/#", QoS::AtLeastOnce)
                        .unwrap();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => return publish,
                Ok(_) => (),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Follows the messages until what they add up to is enough.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut enough: impl FnMut(&str, &Publish) -> bool,
    ) {
        let wait = async {
            loop {
                let publish = self.next().await;
                let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
                if enough(&topic, &publish) {
                    return;
                }
            }
        };
        timeout(DEADLINE, wait)
            .await
            .unwrap_or_else(|_| panic!("never saw {what}"));
    }

    /// Waits until all six have last said `status`.
    pub(crate) async fn until_all(&mut self, status: &str) {
        let mut said = BTreeMap::new();
        self.until(status, |topic, publish| {
            if topic.starts_with("fleet/vehicle_status/") {
                said.insert(topic.to_owned(), publish.payload.clone());
            }
            said.len() == 6 && said.values().all(|s| s == status.as_bytes())
        })
        .await;
    }
}
