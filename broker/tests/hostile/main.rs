//! Clients that mean harm, or might as well: each loses its own connection at most, and the others go on.
#![allow(clippy::unwrap_used)]

mod connecting;
mod load;
mod packets;
mod records;
mod subscribing;
mod websocket;

#[path = "../support/http.rs"]
mod http;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use bytes::BytesMut;
use mqtt::{Packet, QoS, ReasonCode, Version, codec};
use support::{Client, Kafka, PATIENCE, TestBroker, publish, subscription, text};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A broker with two clients that behave.
struct Bed {
    broker: TestBroker,
    publisher: Client,
    subscriber: Client,
    round: u16,
    kafka: Kafka,
}

impl Bed {
    async fn new(flags: &[&str]) -> Self {
        let kafka = Kafka::start().await;
        let broker = TestBroker::start_with(&kafka, "", flags).await;
        let publisher = broker.client(Version::V5, "good-publisher").await;
        let mut subscriber = broker.client(Version::V5, "good-subscriber").await;
        subscriber
            .subscribe(vec![subscription("good/#", QoS::AtLeastOnce)])
            .await;
        Self {
            broker,
            publisher,
            subscriber,
            round: 0,
            kafka,
        }
    }

    fn mqtt(&self) -> SocketAddr {
        self.broker.broker.mqtt_addr()
    }

    fn ws(&self) -> SocketAddr {
        self.broker.broker.ws_addr()
    }

    fn admin(&self) -> SocketAddr {
        self.broker.broker.admin_addr()
    }

    /// Who was there still gets messages, and who comes gets in.
    async fn goes_on(&mut self) {
        self.round += 1;
        let payload = self.round.to_string();
        let packet = publish("good/news", QoS::AtLeastOnce, self.round, &payload);
        assert_eq!(self.publisher.publish(packet).await, ReasonCode::SUCCESS);
        assert_eq!(text(&self.subscriber.message().await).1, payload);
        let mut newcomer = self.broker.client(Version::V3_1_1, "newcomer").await;
        newcomer.nothing_more().await;
    }

    async fn stop(self) {
        self.broker.stop().await;
    }
}

/// What comes until the server ends the connection. A reset is as good an end as a close.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut received))
        .await
        .expect("the server ends the connection");
    received
}

async fn open(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

fn wire(packet: &Packet) -> BytesMut {
    let mut bytes = BytesMut::new();
    codec::encode(packet, Version::V5, &mut bytes);
    bytes
}
