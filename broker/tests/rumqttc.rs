//! rumqttc, which nobody here wrote, with sessions that outlive their connections.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::VecDeque;

use support::{Kafka, PATIENCE, TestBroker};

/// What was published while the subscriber was away.
const MISSED: usize = 50;

/// The two versions of rumqttc's client have the same names in different places, and no trait.
macro_rules! client {
    ($version:ident: $client:path, $loop:path, $event:path, $packet:path, $qos:path, $options:expr) => {
        mod $version {
            use super::*;
            use $client as AsyncClient;
            use $event as Event;
            use $loop as EventLoop;
            use $packet as Packet;
            use $qos as QoS;

            struct Peer {
                client: AsyncClient,
                events: EventLoop,
                messages: VecDeque<String>,
                session_present: bool,
            }

            impl Peer {
                async fn connect(broker: &TestBroker, name: &str, persistent: bool) -> Self {
                    let port = broker.broker.mqtt_addr().port();
                    let options = $options(name, port, persistent);
                    let (client, events) = AsyncClient::new(options, 100);
                    let mut peer = Self {
                        client,
                        events,
                        messages: VecDeque::new(),
                        session_present: false,
                    };
                    match peer
                        .until(|packet| matches!(packet, Packet::ConnAck(_)))
                        .await
                    {
                        Packet::ConnAck(answer) => peer.session_present = answer.session_present,
                        other => panic!("{other:?}"),
                    }
                    peer
                }

                /// Drives the client until a packet comes; messages are kept.
                async fn until(&mut self, wanted: impl Fn(&Packet) -> bool) -> Packet {
                    loop {
                        let event = tokio::time::timeout(PATIENCE, self.events.poll()).await;
                        let Event::Incoming(packet) = event.unwrap().unwrap() else {
                            continue;
                        };
                        if let Packet::Publish(message) = &packet {
                            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
                            self.messages.push_back(payload);
                        }
                        if wanted(&packet) {
                            return packet;
                        }
                    }
                }

                async fn publish(&mut self, payload: &str) {
                    self.client
                        .publish("rumqttc", QoS::ExactlyOnce, false, payload.to_owned())
                        .await
                        .unwrap();
                    self.until(|packet| matches!(packet, Packet::PubComp(_)))
                        .await;
                }

                /// The next message, once all its steps are done.
                async fn take(&mut self) -> String {
                    self.until(|packet| matches!(packet, Packet::PubRel(_)))
                        .await;
                    self.messages.pop_front().unwrap()
                }

                /// Says goodbye and waits for the end of the connection, which for rumqttc is an error.
                async fn leave(mut self) {
                    self.client.disconnect().await.unwrap();
                    let end = async { while self.events.poll().await.is_ok() {} };
                    tokio::time::timeout(PATIENCE, end).await.unwrap();
                }
            }

            pub(super) async fn comes_back(broker: &TestBroker) {
                let mut subscriber = Peer::connect(broker, "away", true).await;
                assert!(!subscriber.session_present);
                subscriber
                    .client
                    .subscribe("rumqttc", QoS::ExactlyOnce)
                    .await
                    .unwrap();
                subscriber
                    .until(|packet| matches!(packet, Packet::SubAck(_)))
                    .await;
                subscriber.leave().await;
                let mut publisher = Peer::connect(broker, "publisher", false).await;
                let missed: Vec<String> = (0..MISSED).map(|number| number.to_string()).collect();
                for payload in &missed {
                    publisher.publish(payload).await;
                }
                let mut subscriber = Peer::connect(broker, "away", true).await;
                assert!(subscriber.session_present);
                let mut came = Vec::new();
                while came.len() < MISSED {
                    came.push(subscriber.take().await);
                }
                assert_eq!(came, missed);
                // What comes next comes next: nothing came twice.
                publisher.publish("last").await;
                assert_eq!(subscriber.take().await, "last");
                subscriber.leave().await;
                publisher.leave().await;
            }
        }
    };
}

client!(v3_1_1: rumqttc::AsyncClient, rumqttc::EventLoop, rumqttc::Event, rumqttc::Packet, rumqttc::QoS,
|name: &str, port: u16, persistent: bool| {
    let mut options = rumqttc::MqttOptions::new(name, "127.0.0.1", port);
    options.set_credentials("ann", "secret").set_clean_session(!persistent);
    options
});

client!(v5: rumqttc::v5::AsyncClient, rumqttc::v5::EventLoop, rumqttc::v5::Event, rumqttc::v5::mqttbytes::v5::Packet,
rumqttc::v5::mqttbytes::QoS,
|name: &str, port: u16, persistent: bool| {
    let mut options = rumqttc::v5::MqttOptions::new(name, "127.0.0.1", port);
    options
        .set_credentials("ann", "secret")
        .set_clean_start(!persistent)
        .set_session_expiry_interval(persistent.then_some(3600));
    options
});

#[tokio::test(flavor = "multi_thread")]
async fn rumqttc_comes_back_to_its_session() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    v3_1_1::comes_back(&broker).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rumqttc_comes_back_to_its_session_in_version_5() {
    let kafka = Kafka::start().await;
    let broker = TestBroker::start(&kafka).await;
    v5::comes_back(&broker).await;
    broker.stop().await;
}
